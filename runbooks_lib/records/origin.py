"""Who runs this, on which machine, as which process, with which versions?"""

from __future__ import annotations

import getpass
import os
import platform
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from runbooks_lib import __version__

#: Names the operator where the login name is shared or means nothing (cron, CI, a container).
OPERATOR_VARIABLE = "RUNBOOKS_OPERATOR"

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class Process:
    """One process, so that it is never taken for a later one with the same number.

    Attributes:
        host: where it runs.
        pid: its number.
        started: an opaque text that no other process with that number shares (boot and start time).
    """

    host: str
    pid: int
    started: str


def operator(variables: Mapping[str, str] | None = None) -> str:
    """Who is responsible? ``$RUNBOOKS_OPERATOR``, else the login name, else ``uid-<number>``."""
    environ = os.environ if variables is None else variables
    named = environ.get(OPERATOR_VARIABLE, "").strip()
    if named:
        return named
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        # A container may run under a number that no passwd file knows.
        return f"uid-{os.getuid()}" if hasattr(os, "getuid") else "unknown"


def host() -> str:
    """The machine's name."""
    return socket.gethostname()


def this_process() -> Process:
    """The process that runs now."""
    return Process(host(), os.getpid(), process_started(os.getpid()) or "")


def is_alive(process: Process) -> bool | None:
    """Is that process running? None when it belongs to another machine, so cannot be asked from here."""
    if process.host != host():
        return None
    started = process_started(process.pid)
    return started is not None and started == process.started


def process_started(pid: int) -> str | None:
    """When did the process start? An opaque text; None when there is no such process, or only its corpse is left."""
    try:
        boot = _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return _process_started_elsewhere(pid)
    try:
        # /proc/<pid>/stat: the name in parentheses may hold anything; state and start time follow it.
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[0] in (b"Z", b"X") else f"{boot}/{fields[19].decode('ascii')}"


def _process_started_elsewhere(pid: int) -> str | None:
    """The same on a system without ``/proc``; psutil comes with ipykernel."""
    import psutil  # type: ignore[import-untyped]

    try:
        found = psutil.Process(pid)
        return None if found.status() == psutil.STATUS_ZOMBIE else f"{found.create_time():.3f}"
    except psutil.Error:
        return None


def versions() -> dict[str, str]:
    """Versions of the library and of Python."""
    return {"runbooks_lib": __version__, "python": platform.python_version()}


def git_commit(folder: Path) -> str:
    """The commit that is checked out in the folder, 40 hex digits; empty where there is none.

    Read from git's files, because starting git would cost more than the rest of the record. It does not say
    whether files differ from that commit.
    """
    try:
        git = folder / ".git"
        if git.is_file():
            git = (folder / git.read_text(encoding="utf-8").removeprefix("gitdir:").strip()).resolve()
        head = (git / "HEAD").read_text(encoding="ascii").strip()
        if not head.startswith("ref: "):
            return head
        name = head.removeprefix("ref: ")
        common = git / "commondir"
        shared = (git / common.read_text(encoding="utf-8").strip()).resolve() if common.is_file() else git
        return _resolve_reference(name, (git, shared))
    except (OSError, ValueError):
        return ""


def _resolve_reference(name: str, folders: tuple[Path, ...]) -> str:
    for folder in folders:
        if (folder / name).is_file():
            return (folder / name).read_text(encoding="ascii").strip()
    for line in (folders[-1] / "packed-refs").read_text(encoding="utf-8").splitlines():
        commit, _, packed = line.partition(" ")
        if packed == name:
            return commit
    return ""
