"""How often was a key asked for, and found? The input of adaptive TTL and of scheduled warming.

One hash per key, ``cache_stats:<key with prefix and version>``: ``hits``, ``misses``, ``last_access`` (unix time);
it expires a day after the last lookup. Keys of things that do not exist get none: whoever scans ids could otherwise
fill Redis with statistics.
"""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from common.cache.connection import guarded, physical_key, redis_client
from common.utils.glob import glob_escape

EXPIRES_AFTER_SECONDS = 24 * 3600
KEY_PREFIX = "cache_stats:"
SCAN_BATCH = 500


@dataclass(frozen=True)
class AccessStats:
    """Lookups of one key within its day. Stale answers count as hits."""

    hits: int = 0
    misses: int = 0

    @property
    def lookups(self) -> int:
        """hits + misses."""
        return self.hits + self.misses

    @property
    def hit_ratio(self) -> float:
        """hits / lookups, 0..1; 0 without lookups."""
        return self.hits / self.lookups if self.lookups else 0.0


def stats_key(key: str) -> str:
    """The name in Redis of the statistics of ``key``."""
    return f"{KEY_PREFIX}{physical_key(key)}"


def record_access(*, key: str, field: Literal["hits", "misses"]) -> AccessStats:
    """Count one lookup, in one round trip.

    Returns:
        The counts, this lookup included.

    Raises:
        CacheUnavailable: nothing was counted.
    """
    name = stats_key(key)
    with guarded():
        # No MULTI: a count that is off by one does not matter, and four plain commands are cheaper for Redis.
        pipeline = redis_client().pipeline(transaction=False)
        pipeline.hincrby(name, field, 1)
        pipeline.hset(name, "last_access", int(time.time()))
        pipeline.expire(name, EXPIRES_AFTER_SECONDS)
        pipeline.hmget(name, "hits", "misses")
        counts = pipeline.execute()[-1]
    return _stats(counts)


def read_access(*, key: str) -> AccessStats:
    """The counts of ``key``.

    Raises:
        CacheUnavailable: they could not be read.
    """
    with guarded():
        return _stats(redis_client().hmget(stats_key(key), "hits", "misses"))


def scan_access() -> Iterator[tuple[str, AccessStats]]:
    """Walk through the statistics of this site's keys, without blocking Redis.

    Yields:
        Key (without prefix and version) and its counts; a key may come twice while Redis resizes its table.

    Raises:
        CacheUnavailable: the walk ended early.
    """
    own_prefix = stats_key("")
    cursor = 0
    while True:
        with guarded():
            cursor, names = redis_client().scan(cursor, match=f"{glob_escape(own_prefix)}*", count=SCAN_BATCH)
            pipeline = redis_client().pipeline(transaction=False)
            for name in names:
                pipeline.hmget(name, "hits", "misses")
            counts = pipeline.execute()
        for name, values in zip(names, counts, strict=True):
            yield name.decode("utf-8", "backslashreplace")[len(own_prefix) :], _stats(values)
        if cursor == 0:
            return


def _stats(values: Iterable[bytes | None]) -> AccessStats:
    hits, misses = (int(value or 0) for value in values)
    return AccessStats(hits=hits, misses=misses)
