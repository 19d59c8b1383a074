"""Is a server's process one of this machine, so that files and memory seen here are its own?"""

from __future__ import annotations

import os
from pathlib import Path

#: The age of a process is read twice, in whole seconds by the server.
_SLACK_SECONDS = 2.0


def runs_here(process_id: int, uptime_seconds: int, folder: Path) -> bool:
    """Does the process that a server names run here, in the folder and since the moment that the server says?

    A number or a path alone proves nothing: in a container or behind a tunnel both mean something else. Without /proc
    (macOS) nothing can be told, and the answer is no.
    """
    if not process_id:
        return False
    process = Path("/proc") / str(process_id)
    try:
        same_folder = (process / "cwd").samefile(folder)
        # The name of a process may hold blanks and brackets; its start is the 20th field after the last bracket.
        ticks = int((process / "stat").read_text().rpartition(")")[2].split()[19])
        since_boot = float(Path("/proc/uptime").read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        return False
    age = since_boot - ticks / os.sysconf("SC_CLK_TCK")
    return same_folder and abs(age - uptime_seconds) <= _SLACK_SECONDS
