"""Who runs this, on which machine, as which process, with which versions?"""

from __future__ import annotations

import getpass
import hashlib
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
_MACHINE_ID = Path("/etc/machine-id")


@dataclass(frozen=True, slots=True)
class Process:
    """One process, so that it is never taken for a later one with the same number.

    Attributes:
        host: where it runs.
        pid: its number.
        started: an opaque text that no other process with that number shares (boot, start time, PID namespace).
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


@dataclass(frozen=True, slots=True)
class Account:
    """The account of the operating system that a process runs under: what it is, not what it calls itself.

    Attributes:
        uid: its number; -1 where there is none.
        login: its name in the system's list; empty where it has none. Variables have no say in it.
        host: the machine's name.
        machine: a fingerprint of the machine's own id; empty where it has none.
    """

    uid: int
    login: str
    host: str
    machine: str

    @property
    def shown(self) -> str:
        """``anna (uid 1000) on ops1``."""
        return f"{self.login or 'an account'} (uid {self.uid}) on {self.host}"

    def is_same(self, other: Account) -> bool:
        """The same number on the same machine; a machine is known by its id, or by its name where one has none."""
        by_id = bool(self.machine and other.machine)
        same_machine = self.machine == other.machine if by_id else self.host == other.host
        return self.uid == other.uid and same_machine


def this_account() -> Account:
    """The account that this process runs under."""
    uid = os.getuid() if hasattr(os, "getuid") else -1
    try:
        # Not getpass: it believes the variables LOGNAME and USER.
        import pwd

        login = pwd.getpwuid(uid).pw_name
    except (KeyError, ImportError):
        login = ""
    return Account(uid, login, host(), _machine())


def account_in(payload: Mapping[str, object]) -> Account | None:
    """The account that an event names; None where it names none."""
    kept = payload.get("account")
    if not isinstance(kept, Mapping) or not isinstance(kept.get("uid"), int):
        return None
    return Account(kept["uid"], *(str(kept.get(name, "")) for name in ("login", "host", "machine")))


def _machine() -> str:
    try:
        # The id itself is not for showing around (man machine-id).
        return hashlib.sha256(_MACHINE_ID.read_bytes().strip()).hexdigest()[:16]
    except OSError:
        return ""


def host() -> str:
    """The machine's name."""
    return socket.gethostname()


def this_process() -> Process:
    """The process that runs now."""
    started = _started_at("self") or process_started(os.getpid()) or ""
    namespace = _pid_namespace()
    return Process(host(), os.getpid(), f"{started}/{namespace}" if started and namespace else started)


def is_alive(process: Process) -> bool | None:
    """Is that process running? None when that cannot be known from here.

    It is known on the same machine only (name and boot: two machines may share a name), in the same PID namespace (a
    container has numbers of its own), where ``/proc`` shows this namespace and does not hide the process
    (``hidepid``). A record of an earlier release does not name its namespace, and is taken for one of ours.
    """
    if process.host != host() or not process.started or process.pid <= 0:
        return None
    if "/" in process.started and not _is_here(process):
        return None
    now = process_started(process.pid)
    if now is not None:
        return process.started == now or process.started.startswith(f"{now}/")
    return None if _may_exist(process.pid) else False


def _is_here(process: Process) -> bool:
    """Same boot of the same machine, same PID namespace, and a ``/proc`` that is this namespace's."""
    boot, _, rest = process.started.partition("/")
    namespace = rest.partition("/")[2]
    try:
        is_ours = str(Path("/proc/self").readlink()) == str(os.getpid())
    except OSError:
        return False
    return is_ours and boot == _boot() and namespace in ("", _pid_namespace())


def _may_exist(pid: int) -> bool:
    """Is there a process of this number that ``/proc`` does not show? The kernel tells, whatever ``/proc`` hides."""
    if _state(pid) is not None:
        return False  # it is shown: a corpse
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True


def _boot() -> str:
    """Which start of which machine this is; empty on a system without ``/proc``."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _pid_namespace() -> str:
    """In which space this process has its number; empty where there are no such spaces."""
    try:
        return str(Path("/proc/self/ns/pid").readlink()).strip("pid:[]")
    except OSError:
        return ""


def process_started(pid: int) -> str | None:
    """When did the process start? An opaque text; None when there is no such process, or only its corpse is left."""
    return _started_at(pid) if _boot() else _process_started_elsewhere(pid)


def _started_at(pid: int | str) -> str | None:
    """Boot and start time of a process that ``/proc`` shows; None for a corpse."""
    boot, fields = _boot(), _state(pid)
    if not boot or fields is None or fields[0] in (b"Z", b"X"):
        return None
    return f"{boot}/{fields[19].decode('ascii')}"


def _state(pid: int | str) -> list[bytes] | None:
    """The fields of ``/proc/<pid>/stat`` from the state on; None where it is not shown."""
    try:
        # The name in parentheses may hold anything; state and start time follow it.
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split() or None
    except OSError:
        return None


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
