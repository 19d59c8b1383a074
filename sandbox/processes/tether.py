"""Processes: started so that they cannot outlive us, recognised by more than a number, ended for certain.

A process is identified by pid *and* start time, because a pid alone is given to somebody else sooner or later.
Nothing is ever ended by name.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

RUN_ID = "SANDBOX_RUN_ID"
PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class ProcessId:
    """One process, for ever: its pid and when it started."""

    pid: int
    started: str

    @classmethod
    def of(cls, pid: int) -> ProcessId | None:
        """Identify a running process; None if there is none (a zombie counts as none)."""
        started = _start_of(pid)
        return None if started is None else cls(pid, started)

    @property
    def alive(self) -> bool:
        """Whether this very process runs."""
        return _start_of(self.pid) == self.started

    def send(self, number: signal.Signals) -> bool:
        """Send a signal to this very process; False if it is gone."""
        if not self.alive:
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)
            return True
        return False


def _start_of(pid: int) -> str | None:
    return _linux_start_of(pid) if sys.platform == "linux" else _other_start_of(pid)


def _linux_start_of(pid: int) -> str | None:
    """Boot id and start in clock ticks since boot: exact, and not moved by a corrected clock."""
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    if after_name[0] in "ZX":
        return None
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot[:8]}:{after_name[19]}"


def _other_start_of(pid: int) -> str | None:
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else f"{process.create_time():.2f}"
    except psutil.Error:
        return None


def start_tethered(
    argv: Sequence[str], *, cwd: Path, environment: Mapping[str, str], log: Path
) -> subprocess.Popen[bytes]:
    """Start a child in a process group of its own that is told to end when this process ends, however it ends.

    Call from the main thread: on Linux the tether (PR_SET_PDEATHSIG) follows the thread that forked.
    Elsewhere there is no such signal; the next `up` or `down` recognises what was left and ends it.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    prctl = ctypes.CDLL(None, use_errno=True).prctl if sys.platform == "linux" else None
    supervisor = os.getpid()

    def tether() -> None:
        if prctl is not None:
            prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
            if os.getppid() != supervisor:  # it died between fork and prctl
                os._exit(1)

    with log.open("ab") as stream:
        return subprocess.Popen(
            list(argv),
            cwd=cwd,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            preexec_fn=tether,  # noqa: PLW1509 - called from the main thread, and nothing in it takes a lock
            process_group=0,
        )


def signal_group(leader: int, number: signal.Signals) -> None:
    """Send a signal to the process group that a tethered child leads; gone already is fine."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, number)


def members_of_run(run_id: str) -> list[ProcessId]:
    """Find every process that carries the id of a run in its environment, except this one.

    The id is random, so this finds descendants whose parent is gone, and never a stranger.
    """
    import psutil

    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and process.environ().get(RUN_ID) == run_id:
                found.append(ProcessId.of(process.pid))
    return [member for member in found if member is not None]


def end_all(processes: Iterable[ProcessId], *, grace_seconds: float) -> list[ProcessId]:
    """Ask processes to end, then make them; return those that still run."""
    remaining = [process for process in processes if process.send(signal.SIGTERM)]
    deadline = time.monotonic() + grace_seconds
    while (remaining := [process for process in remaining if process.alive]) and time.monotonic() < deadline:
        time.sleep(0.05)
    for process in remaining:
        process.send(signal.SIGKILL)
    deadline = time.monotonic() + 2
    while (remaining := [process for process in remaining if process.alive]) and time.monotonic() < deadline:
        time.sleep(0.05)
    return remaining


def resident_bytes(pid: int) -> int:
    """Return the resident memory of one process, in bytes; 0 if it is gone."""
    import psutil

    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0


def resident_bytes_of_family(pid: int) -> int:
    """Return the resident memory of a process and its descendants, in bytes (shared pages counted in each)."""
    import psutil

    try:
        descendants = psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return 0
    return resident_bytes(pid) + sum(resident_bytes(process.pid) for process in descendants)
