"""Takes away what a run leaves on disk, and what a crashed run left running."""

from __future__ import annotations

import shutil

from sandbox.errors import SandboxError
from sandbox.layout import Home
from sandbox.processes.state import State
from sandbox.processes.tether import end_all, members_of_run

KEPT = frozenset({"logs", "ports.json", "failure.json", "up.lock", "control.lock"})


def clear_home(home: Home) -> None:
    """Remove everything in the home folder but the logs, the ports to prefer, and why the run failed."""
    if not home.path.is_dir():
        return
    for entry in home.path.iterdir():
        if entry.name in KEPT:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)


def end_leftovers(home: Home, state: State) -> int:
    """End what a run left whose supervisor is gone, and remove its files.

    Returns:
        How many processes were still running.

    Raises:
        SandboxError: a process could not be ended.
    """
    leftovers = {process.pid: process for process in (*state.processes, *members_of_run(state.run_id))}
    alive = [process for process in leftovers.values() if process.alive]
    unended = end_all(alive, grace_seconds=4)
    # A process that was ended may have left children that carry the id of the run.
    unended += end_all(members_of_run(state.run_id), grace_seconds=1)
    if unended:
        pids = ", ".join(str(process.pid) for process in unended)
        raise SandboxError(f"Could not end what an earlier sandbox left: pid {pids}. End it, then try again.")
    clear_home(home)
    return len(alive)
