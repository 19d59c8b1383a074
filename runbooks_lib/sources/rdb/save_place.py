"""Is the file that Redis saves within reach of this process, and what does this machine have left?"""

from __future__ import annotations

import os
import re
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path

from runbooks_lib.sources.rdb.persistence import Saving
from runbooks_lib.sources.redis.here import runs_here

#: Between a file's time and what the server says of its last save; both are read in whole seconds.
_SLACK_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class SavePlace:
    """Where a server saves, seen from here.

    Attributes:
        file: what it writes; None where it does not say.
        reachable: the file is that server's and may be read here.
        same_machine: the server runs on this machine, so that memory and disk seen here are its own.
        how: by what it was told; or why it is out of reach.
    """

    file: Path | None
    reachable: bool
    same_machine: bool
    how: str


@dataclass(frozen=True, slots=True)
class FileMark:
    """What tells one saved file from the next: Redis writes a new file and renames it over the old one."""

    device: int
    inode: int
    modified_ns: int
    size_bytes: int


def save_place(facts: Saving) -> SavePlace:
    """Is the file in ``dir`` that server's own, and not that of another machine with the same path?

    Either the process that the server names runs here, with that folder as its working directory and started when the
    server says (Linux); or a file of that name lies there, was written in the second in which the server says that it
    last saved, and begins like one. A path alone proves nothing: behind a tunnel or in a container it is another disk.
    Should both machines have saved in the same second, the file that does not change with our save gives it away.
    """
    rules = facts.rules
    if rules.unread or not rules.folder:
        return SavePlace(None, reachable=False, same_machine=False, how=f"CONFIG GET was not answered: {rules.unread}")
    if "/" in rules.file_name or not rules.file_name:
        return SavePlace(None, reachable=False, same_machine=False, how="its dbfilename is not the name of a file")
    file = Path(rules.folder) / rules.file_name
    here = runs_here(facts.process_id, facts.uptime_seconds, Path(rules.folder))
    if not here and not _is_last_save(file, facts.state.last_saved_at_seconds):
        how = f"{rules.folder} is not seen to be that server's folder from here (another host or a container?)"
        return SavePlace(file, reachable=False, same_machine=False, how=how)
    if not os.access(rules.folder, os.R_OK | os.X_OK) or (file.exists() and not os.access(file, os.R_OK)):
        how = f"{file} may not be read by this user: join the server's group (usually redis), or use sudo"
        return SavePlace(file, reachable=False, same_machine=here, how=how)
    how = (
        f"process {facts.process_id} runs here in {rules.folder}"
        if here
        else "the file's time is that of its last save"
    )
    return SavePlace(file, reachable=True, same_machine=here, how=how)


def mark_of(file: Path) -> FileMark | None:
    """What the file is now; None where there is none."""
    try:
        found = file.lstat()
    except OSError:
        return None
    return FileMark(found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size)


def free_bytes(folder: Path) -> int | None:
    """Free space for an ordinary user where the folder lies or would lie; None where it cannot be told."""
    try:
        return shutil.disk_usage(existing(folder)).free
    except OSError:
        return None


def existing(folder: Path) -> Path:
    """The folder itself or the nearest one above it that exists."""
    # os.path.exists never raises; Path.exists does where a folder above may not be entered.
    return next((place for place in (folder, *folder.parents) if os.path.exists(place)), Path("/"))  # noqa: PTH110


def available_memory_bytes() -> int | None:
    """Memory that new work on this machine may take, within the limit of its control group; None where not known.

    Source:
        /proc/meminfo MemAvailable; /sys/fs/cgroup/memory.max and memory.current.
    """
    found = re.search(r"^MemAvailable:\s+(\d+) kB", _text("/proc/meminfo"), re.MULTILINE)
    if found is None:
        return None
    machine = int(found[1]) * 1024
    limit, used = _text("/sys/fs/cgroup/memory.max").strip(), _text("/sys/fs/cgroup/memory.current").strip()
    return min(machine, int(limit) - int(used)) if limit.isdecimal() and used.isdecimal() else machine


def fork_may_be_refused(rss_bytes: int) -> bool:
    """Would ``vm.overcommit_memory=0`` refuse a fork of this size? Linux doubts what exceeds half of all memory."""
    total = re.search(r"^MemTotal:\s+(\d+) kB", _text("/proc/meminfo"), re.MULTILINE)
    overcommit = _text("/proc/sys/vm/overcommit_memory").strip()
    return overcommit == "0" and total is not None and rss_bytes > int(total[1]) * 1024 / 2


def _is_last_save(file: Path, saved_at_seconds: int) -> bool:
    try:
        found = file.lstat()
        if not stat.S_ISREG(found.st_mode) or abs(found.st_mtime - saved_at_seconds) > _SLACK_SECONDS:
            return False
        with file.open("rb") as opened:
            return opened.read(5) == b"REDIS"
    except OSError:
        return False


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return ""
