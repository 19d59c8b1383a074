"""Redis's raw replies, understood defensively: a value that makes no sense becomes a warning, never a number."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime

from runbooks_lib.errors import SourceError
from runbooks_lib.facts import WarmingType
from runbooks_lib.redaction import one_line

#: Unsigned counters that went below zero are shown as numbers close to 2^64.
_WRAPPED = 2**63
#: A count or a sum of seconds beyond this is nonsense, not work.
_LARGEST_SUM = 1e15
_ONE_DAY_SECONDS = 86_400
_FIELDS = ("count", "tasks", "failures", "duration", "last_run")
_LONGEST_NAME = 200
_DATABASE = re.compile(r"db(\d+)")


def text_of(raw: object) -> str:
    r"""A name as text, at most 200 characters; bytes that are not UTF-8 are shown as ``\\xff``."""
    text = raw.decode("utf-8", "backslashreplace") if isinstance(raw, bytes) else str(raw)
    return text[:_LONGEST_NAME]


def unexpected(command: str, reply: object) -> SourceError:
    """The server answered a command with something that Redis never answers."""
    shown = one_line(text_of(reply), longest=60)
    return SourceError(
        f"the answer to {command} is not one that Redis gives: {shown}",
        source="redis",
        hint="correct host and port in redis_url: is it Redis that listens there?",
    )


def version_of(text: str) -> tuple[int, int]:
    """The first two numbers of ``redis_version``, to compare; (0, 0) where they cannot be told."""
    found = re.match(r"(\d{1,9})(?:\.(\d{1,9}))?", text, re.ASCII)
    return (int(found[1]), int(found[2] or 0)) if found else (0, 0)


class Info:
    """The reply to INFO.

    Args:
        reply: as received.

    Attributes:
        warnings: values that made no sense, in the order they were asked for.
    """

    def __init__(self, reply: object) -> None:
        if not isinstance(reply, bytes):
            raise unexpected("INFO", reply)
        lines = (
            line.partition(":") for line in reply.decode("utf-8", "backslashreplace").splitlines() if line[:1] != "#"
        )
        self._values = {name: value for name, separator, value in lines if separator}
        self.warnings: list[str] = []

    def text(self, name: str) -> str:
        """A value as sent; empty where it is missing."""
        return self._values.get(name, "")[:_LONGEST_NAME]

    def integer(self, name: str) -> int | None:
        """A whole number of 0 or more; None where it is missing; 0 with a warning where it wrapped or is none."""
        text = self._values.get(name)
        if text is None:
            return None
        if not text.strip().isdecimal():
            self.warnings.append(f"INFO {name} is {one_line(text, longest=40)!r}, not a number; taken as 0")
            return 0
        value = int(text)
        if value >= _WRAPPED:
            self.warnings.append(f"INFO {name} is {value}: it went below zero and wrapped; taken as 0")
            return 0
        return value

    def required(self, name: str) -> int:
        """A whole number that every Redis sends.

        Raises:
            SourceError: it is missing.
        """
        value = self.integer(name)
        if value is None:
            raise SourceError(
                f"INFO holds no {name}",
                source="redis",
                hint="a proxy may answer in place of Redis: give Redis's own address",
            )
        return value

    def databases(self) -> dict[int, dict[str, int]]:
        """Number → what INFO keyspace says of it (``keys``, ``expires``, ``avg_ttl``); empty ones are not listed."""
        found = {}
        for name, values in self._values.items():
            if match := _DATABASE.fullmatch(name):
                pairs = (part.partition("=")[::2] for part in values.split(","))
                found[int(match[1])] = {key: int(value) for key, value in pairs if value.isdecimal()}
        return found

    def keys_count(self, database: int) -> int:
        """Keys in one database; a database that INFO does not list is empty."""
        counts = dict(part.partition("=")[::2] for part in self.text(f"db{database}").split(","))
        return int(counts.get("keys", "0")) if counts.get("keys", "0").isdecimal() else 0


def parse_scan(reply: object) -> tuple[int, list[object]]:
    """The next cursor (0 at the end) and the names of one SCAN.

    Raises:
        SourceError: it is not what SCAN answers.
    """
    match reply:
        case [bytes() as cursor, list() as names] if cursor.isdigit():
            return int(cursor), names
        case _:
            raise unexpected("SCAN", reply)


def parse_warming_statistics(reply: object) -> tuple[tuple[WarmingType, ...], tuple[str, ...]]:
    """The hash ``cache_warming_stats``: one entry a strategy, by name, and what could not be understood.

    Args:
        reply: fields and values in turn, as HGETALL answers in protocol 2.

    Raises:
        SourceError: it is not what HGETALL answers.
    """
    if not isinstance(reply, list) or len(reply) % 2:
        raise unexpected("HGETALL", reply)
    types: dict[str, dict[str, object]] = {}
    for field, value in zip(reply[::2], reply[1::2], strict=True):
        name, column = _split_field(text_of(field))
        if column:
            types.setdefault(name, {})[column] = value
    warnings: list[str] = []
    found = tuple(_warming_type(name, columns, warnings) for name, columns in sorted(types.items()))
    return found, tuple(warnings)


def _split_field(field: str) -> tuple[str, str]:
    """``on_demand_last_run`` → (``on_demand``, ``last_run``); nothing for a field of another kind."""
    for column in _FIELDS:
        name = field.removesuffix(f"_{column}")
        if name != field and name:
            return name, column
    return "", ""


def _warming_type(name: str, columns: Mapping[str, object], warnings: list[str]) -> WarmingType:
    runs, tasks, failures = (int(_sum(name, column, columns, warnings)) for column in ("count", "tasks", "failures"))
    return WarmingType(
        name=name,
        runs_count=runs,
        tasks_count=tasks,
        failures_count=failures,
        duration_seconds=_sum(name, "duration", columns, warnings),
        last_run_at=_last_run(name, columns, warnings),
    )


def _sum(name: str, column: str, columns: Mapping[str, object], warnings: list[str]) -> float:
    """A sum that only grows; missing is 0, nonsense is 0 with a warning."""
    if column not in columns:
        return 0.0
    value = _number(columns[column])
    if value is None or not 0 <= value <= _LARGEST_SUM:
        warnings.append(f"{_field_shown(name, column, columns)}, not a count of 0 or more; taken as 0")
        return 0.0
    return value


def _last_run(name: str, columns: Mapping[str, object], warnings: list[str]) -> datetime | None:
    """The unix time of the last run; missing or 0 means never, nonsense means not known."""
    if "last_run" not in columns:
        return None
    value = _number(columns["last_run"])
    if value == 0:
        return None
    if value is None or not 0 < value <= time.time() + _ONE_DAY_SECONDS:
        warnings.append(f"{_field_shown(name, 'last_run', columns)}, not a unix time in seconds up to now; not used")
        return None
    return datetime.fromtimestamp(value, UTC)


def _number(raw: object) -> float | None:
    try:
        value = float(text_of(raw))
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _field_shown(name: str, column: str, columns: Mapping[str, object]) -> str:
    value = one_line(text_of(columns[column]), longest=40)
    return f"cache_warming_stats {one_line(name, longest=40)}_{column} is {value!r}"
