"""What one primary knows of warming: statistics and locks, as far as their slots are its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from redis import exceptions

from runbooks_lib.facts import WarmingLock, WarmingType
from runbooks_lib.sources.redis.client import ask
from runbooks_lib.sources.redis.replies import parse_scan, parse_warming_statistics, text_of, unexpected

if TYPE_CHECKING:
    import redis

STATISTICS_KEY = "cache_warming_stats"
LOCK_PATTERN = "cache_warming_lock:*"
#: The locks of a whole site have names that are known, so they are found however many keys there are.
SITE_LOCKS = (
    b"cache_warming_lock:startup:all",
    b"cache_warming_lock:startup:queue",
    b"cache_warming_lock:scheduled:all",
)
#: A hash with more fields is not the statistics of a few strategies, and is not read.
_MAX_STATISTICS_FIELDS = 500
_MAX_LOCKS = 500


@dataclass(frozen=True, slots=True)
class ScanBudget:
    """How much a search through the keyspace of one primary may cost. It ends at whichever limit comes first.

    Attributes:
        keys: keys that Redis may look at.
        round_trips: SCAN commands.
        seconds: wall time of the search.
        slowest_reply_seconds: one reply slower than this ends the search: the server has other things to do.
        step: keys for one SCAN (COUNT). Other clients do not notice 200; 10,000 would cost them 27 ms at p99.
    """

    keys: int = 1_000_000
    round_trips: int = 5_000
    seconds: float = 0.5
    slowest_reply_seconds: float = 0.25
    step: int = 200

    def spent(self, *, round_trips: int, seconds: float, reply_seconds: float) -> str:
        """Which limit is reached, as people say it; empty while something is left."""
        if round_trips * self.step >= self.keys:
            return f"{self.keys:,} keys"
        if round_trips >= self.round_trips:
            return f"{self.round_trips:,} round trips"
        if seconds >= self.seconds:
            return f"{self.seconds:g} s"
        return f"a reply that took {reply_seconds:.2f} s" if reply_seconds > self.slowest_reply_seconds else ""


@dataclass(frozen=True, slots=True)
class NodeWarming:
    """What one primary knows of warming; ``complete`` is False when its keys were not all looked at."""

    types: tuple[WarmingType, ...]
    locks: tuple[WarmingLock, ...]
    warnings: tuple[str, ...]
    complete: bool


def read_warming(client: redis.Redis, budget: ScanBudget, holds: Callable[[bytes], bool]) -> NodeWarming:
    """Ask one primary what it knows of warming.

    Args:
        client: connected to it.
        budget: for the search through its keys.
        holds: does it serve the slot of this key? Always True outside of a cluster.
    """
    warnings: list[str] = []
    statistics = _statistics(client, warnings) if holds(STATISTICS_KEY.encode()) else []
    types, unclear = parse_warming_statistics(statistics)
    names, complete = _lock_names(client, budget, [name for name in SITE_LOCKS if holds(name)], warnings)
    locks, moving = _locks(client, names)
    if moving:
        warnings.append(f"slots are being moved: not known whether these locks are held: {', '.join(moving)}")
    return NodeWarming(types, locks, (*warnings, *unclear), complete and not moving)


def _statistics(client: redis.Redis, warnings: list[str]) -> object:
    """Fields and values in turn; none, with a warning, when the key is something else than a small hash."""
    try:
        fields = ask(client, "HLEN", STATISTICS_KEY)
    except exceptions.ResponseError as error:
        if "WRONGTYPE" not in str(error):
            raise
        warnings.append(f"the key {STATISTICS_KEY} is not a hash: no statistics of warming")
        return []
    if not isinstance(fields, int):
        raise unexpected("HLEN", fields)
    if fields > _MAX_STATISTICS_FIELDS:
        warnings.append(f"{STATISTICS_KEY} has {fields:,} fields, so it is not the statistics of warming: not read")
        return []
    return ask(client, "HGETALL", STATISTICS_KEY)


def _lock_names(
    client: redis.Redis, budget: ScanBudget, known: Sequence[bytes], warnings: list[str]
) -> tuple[list[bytes], bool]:
    """The names that locks may have, each once, as far as the budget reaches; and whether that was all of the keys."""
    names: dict[bytes, None] = dict.fromkeys(known)
    complete = True
    cursor, round_trips, started = 0, 0, time.monotonic()
    while True:
        asked = time.monotonic()
        cursor, found = parse_scan(ask(client, "SCAN", cursor, "MATCH", LOCK_PATTERN, "COUNT", budget.step))
        now, round_trips = time.monotonic(), round_trips + 1
        names.update((name, None) for name in found if isinstance(name, bytes))
        if cursor == 0:
            break
        limit = budget.spent(round_trips=round_trips, seconds=now - started, reply_seconds=now - asked)
        if limit:
            looked_at = f"{round_trips * budget.step:,}"
            warnings.append(f"the search for locks ended after {limit}: about {looked_at} keys were looked at, not all")
            complete = False
            break
    held = len(names) - len(known)
    if held > _MAX_LOCKS:
        warnings.append(f"about {held:,} warming locks are held; the first {_MAX_LOCKS} are listed")
    return list(names)[: _MAX_LOCKS + len(known)], complete


def _locks(client: redis.Redis, names: Sequence[bytes]) -> tuple[tuple[WarmingLock, ...], list[str]]:
    """The locks that still exist with the time they have left, and the names that cannot be asked for just now."""
    if not names:
        return (), []
    pipeline = client.pipeline(transaction=False)
    pipeline.response_callbacks.clear()
    for name in names:
        ask(pipeline, "PTTL", name)
    locks, moving = [], []
    for name, left in zip(names, pipeline.execute(raise_on_error=False), strict=True):
        if isinstance(left, (exceptions.AskError, exceptions.TryAgainError)):
            moving.append(text_of(name))
        elif isinstance(left, exceptions.RedisError):
            raise left
        elif not isinstance(left, int):
            raise unexpected("PTTL", left)
        elif left != -2:  # -2: it went away meanwhile; -1: it never expires
            locks.append(WarmingLock(text_of(name), None if left == -1 else left / 1000))
    return tuple(locks), moving
