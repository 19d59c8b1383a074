"""The site's Redis: how it stands, and what it knows about warming. Reads only; one server, Sentinel or a cluster."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from runbooks_lib.config import Environment
from runbooks_lib.errors import SourceError
from runbooks_lib.facts import RedisServer, Warming
from runbooks_lib.model import Provenance
from runbooks_lib.sources.redis.client import Address, read
from runbooks_lib.sources.redis.server import read_node, together
from runbooks_lib.sources.redis.topology import Topology, index_for, locate, may_have_moved
from runbooks_lib.sources.redis.warming import (
    LOCK_PATTERN,
    SITE_LOCKS,
    STATISTICS_KEY,
    NodeWarming,
    ScanBudget,
    read_warming,
)
from runbooks_lib.sources.together import side_by_side

if TYPE_CHECKING:
    import redis

__all__ = ["LOCK_PATTERN", "SITE_LOCKS", "STATISTICS_KEY", "RedisCache", "ScanBudget"]

T = TypeVar("T")
#: Of the deadline, for Sentinel or the cluster to say where the data lies; the rest is left for asking there.
_SHARE_OF_LOCATING = 0.6
#: What is carried out on each primary: its client, its address, where all of them are, and its place among them.
Work = Callable[["redis.Redis", Address, Topology, int], T]


class RedisCache:
    """The Redis of one environment.

    Every read makes a connection of its own to each primary and closes it, so one object serves several threads and a
    notebook that stays open for days. Where the data lies is asked anew each time, and once more within a read when a
    failover or a resharding came in between.

    Args:
        environment: its ``redis_url`` is understood when a fact is asked for.
        timeout_seconds: deadline of one read, name lookup included; single waits may take half of it.
        budget: what the search for warming locks may cost on each primary.
    """

    def __init__(
        self, environment: Environment, *, timeout_seconds: float = 2.0, budget: ScanBudget | None = None
    ) -> None:
        self._environment = environment
        self._timeout_seconds = timeout_seconds
        self._budget = budget or ScanBudget()

    def __repr__(self) -> str:
        """The environment's name only."""
        return f"RedisCache({self._environment.name!r})"

    def server(self) -> RedisServer:
        """Does Redis answer, and how does it stand?

        Takes about 0.2 s, because evictions are measured between two reads; all primaries are asked side by side. While
        the server loads its data set the fact says so; a server that refuses writes (MISCONF) is an error, because the
        cache cannot be filled then, and so is a cluster of which one primary does not answer.

        Raises:
            SourceError: it cannot be reached or read.

        Source:
            PING (best of three), INFO, and 0.2 s later INFO stats; of each primary.
        """
        started, read_at = time.monotonic(), datetime.now(UTC)
        topology, reads = self._of_each_primary(read_node)
        server = together(reads, topology.warnings, read_at)
        return replace(server, provenance=replace(server.provenance, took_seconds=time.monotonic() - started))

    def warming(self) -> Warming:
        """What does Redis know about warming?

        Values that make no sense are left out and named in ``warnings``; so is a search for locks that its budget
        ended (``complete`` is False then). The locks of the whole site are asked for by name, so they are never missed.
        A lock that goes while it is looked at is not listed.

        Raises:
            SourceError: Redis cannot be reached or read.

        Source:
            HGETALL cache_warming_stats; SCAN MATCH cache_warming_lock:*; PTTL of what it found and of the
            locks of the whole site (``SITE_LOCKS``). On a cluster each key is asked for where its slot is.
        """
        started, read_at = time.monotonic(), datetime.now(UTC)

        def work(client: redis.Redis, _: Address, topology: Topology, index: int) -> NodeWarming:
            return read_warming(client, self._budget, lambda key: index_for(topology, key) == index)

        _, reads = self._of_each_primary(work)
        query = f"HGETALL {STATISTICS_KEY}; SCAN MATCH {LOCK_PATTERN}; PTTL"
        return Warming(
            types=tuple(one for part in reads for one in part.types),
            locks=tuple(sorted((one for part in reads for one in part.locks), key=lambda lock: lock.name)),
            provenance=Provenance("redis", query, read_at, time.monotonic() - started),
            warnings=tuple(text for part in reads for text in part.warnings),
            complete=all(part.complete for part in reads),
        )

    def _of_each_primary(self, work: Work[T]) -> tuple[Topology, list[T]]:
        """Carry out a read on all primaries at once; again on the new ones, where they changed meanwhile."""
        ends = time.monotonic() + self._timeout_seconds
        try:
            return self._attempt(work, self._timeout_seconds)
        except SourceError as error:
            left = ends - time.monotonic()
            if self._is_single or not may_have_moved(error) or left <= 0:
                raise
            return self._attempt(work, left)

    def _attempt(self, work: Work[T], seconds: float) -> tuple[Topology, list[T]]:
        ends = time.monotonic() + seconds
        topology = locate(self._environment, seconds=seconds * _SHARE_OF_LOCATING)

        def of_primary(index: int) -> T:
            address = topology.primaries[index]
            left = max(0.001, ends - time.monotonic())
            return read(address, lambda client: work(client, address, topology, index), seconds=left)

        return topology, side_by_side([partial(of_primary, index) for index in range(len(topology.primaries))])

    @property
    def _is_single(self) -> bool:
        """``redis_url`` names one server, so there is nowhere else to ask."""
        return self._environment.redis_url.startswith(("redis://", "rediss://", "unix://"))
