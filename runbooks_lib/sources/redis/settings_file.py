"""What does the configuration file of a Redis hold, where it can be seen from here?"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from runbooks_lib.errors import SourceError
from runbooks_lib.sources.redis.here import runs_here
from runbooks_lib.sources.redis.nodes import ReadNode
from runbooks_lib.sources.redis.replies import Info
from runbooks_lib.units import parse_redis_size

#: What holds for a setting that no line names; CONFIG REWRITE adds no line for these.
_DEFAULTS = {"maxmemory": "0", "maxmemory-policy": "noeviction", "timeout": "0", "tcp-keepalive": "300"}
_LARGEST_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class SettingsFile:
    """A configuration file.

    Attributes:
        path: as the server names it; empty where it was started without one.
        unseen: why it cannot be read from here; empty where it was.
        values: name → value, of the last line that sets it.
        includes: it includes others, which are not read: ``values`` holds what is set after the last of them.
    """

    path: str
    unseen: str = ""
    values: Mapping[str, str] = field(default_factory=dict)
    includes: bool = False

    def not_known(self, wanted: Mapping[str, str]) -> str:
        """Why it cannot be told how these are set in it; empty where it can."""
        hidden = [name for name in wanted if self.includes and name not in self.values]
        return self.unseen or (f"{self.path} includes other files, which may set {hidden[0]}" if hidden else "")

    def differs(self, wanted: Mapping[str, str]) -> dict[str, str]:
        """What of the wanted settings, if it can be told, is otherwise in it; the values are those of the file."""
        lines = {name: self.values.get(name, _DEFAULTS.get(name, "")) for name in wanted}
        return {name: lines[name] for name in wanted if _as_answered(name, lines[name]) != wanted[name]}


def settings_file(node: ReadNode) -> SettingsFile:
    """The configuration file of this server, read only where it is seen to be its own and not that of another machine.

    Raises:
        SourceError: Redis cannot be reached, or keeps INFO or CONFIG GET from this user.

    Source:
        INFO server: config_file, process_id, uptime_in_seconds; CONFIG GET dir.
    """
    info, place = Info(node.ask("INFO", "server")), node.ask("CONFIG", "GET", "dir")
    path = info.text("config_file")
    if not path:
        return SettingsFile("", "it was started without a configuration file")
    if not isinstance(place, list) or len(place) != 2 or not isinstance(place[1], bytes):
        raise SourceError(f"{node.shown} does not say where it runs (CONFIG GET dir)", source="redis")
    process = info.integer("process_id") or 0, info.integer("uptime_in_seconds") or 0
    if not runs_here(*process, Path(os.fsdecode(place[1]))):
        return SettingsFile(path, f"{path} is not seen to be its file from here (another host or a container?)")
    return _read(path)


def _read(path: str) -> SettingsFile:
    try:
        if not stat.S_ISREG(Path(path).stat().st_mode):
            return SettingsFile(path, f"{path} is no ordinary file")
        with Path(path).open(encoding="utf-8", errors="replace") as opened:
            text = opened.read(_LARGEST_BYTES)
    except (OSError, ValueError) as error:
        return SettingsFile(path, f"{path} cannot be read here: {error}")
    values, includes = dict[str, str](), False
    for line in text.splitlines():
        name, _, value = line.strip().partition(" ")
        if name.lower() == "include":
            values, includes = {}, True
        elif name and not name.startswith("#"):
            values[name.lower()] = value.strip().strip("\"'")
    return SettingsFile(path, "", values, includes)


def _as_answered(name: str, value: str) -> str:
    """A value of the file as CONFIG GET answers it."""
    size = parse_redis_size(value) if name == "maxmemory" else None
    return value if size is None else str(size)
