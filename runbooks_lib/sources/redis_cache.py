"""The site's Redis: how the server stands, and what it knows about warming. Reads only."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from redis import exceptions

from runbooks_lib.config import Environment
from runbooks_lib.facts import RedisServer, Warming, WarmingLock
from runbooks_lib.model import Provenance
from runbooks_lib.sources.redis_client import Address, address_of, ask, client_for, read
from runbooks_lib.sources.redis_replies import Info, parse_scan, parse_warming_statistics, text_of, unexpected

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
#: Between the two INFO reads that ``evicted_per_second`` is measured over; it resolves 5 evictions per second.
_BETWEEN_SAMPLES_SECONDS = 0.2
#: A hash with more fields is not the statistics of a few strategies, and is not read.
_MAX_STATISTICS_FIELDS = 500
_MAX_LOCKS = 500


@dataclass(frozen=True, slots=True)
class ScanBudget:
    """How much a search through the keyspace may cost. It ends at whichever limit comes first.

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


class RedisCache:
    """The Redis of one environment.

    Every read makes a connection of its own and closes it, so one object serves several threads and a notebook that
    stays open for days.

    Args:
        environment: its ``redis_url`` is understood when a fact is asked for.
        timeout_seconds: deadline of one read, name lookup included; single waits may take half of it.
        budget: what the search for warming locks may cost.
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

        Takes about 0.2 s, because evictions are measured between two reads. While the server loads its data set the
        fact says so; a server that refuses writes (MISCONF) is an error, because the cache cannot be filled then.

        Raises:
            SourceError: it cannot be reached or read.

        Source:
            PING (best of three), INFO, and 0.2 s later INFO stats.
        """
        started, read_at = time.monotonic(), datetime.now(UTC)
        address = address_of(self._environment)
        server = read(address, lambda client: _server(client, address, read_at), seconds=self._timeout_seconds)
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
            locks of the whole site (``SITE_LOCKS``).
        """
        started, read_at = time.monotonic(), datetime.now(UTC)
        address = address_of(self._environment)
        warming = read(address, lambda client: _warming(client, self._budget, read_at), seconds=self._timeout_seconds)
        return replace(warming, provenance=replace(warming.provenance, took_seconds=time.monotonic() - started))


def _server(client: redis.Redis, address: Address, read_at: datetime) -> RedisServer:
    latency = min(_ping(client) for _ in range(3))
    first, first_at = Info(ask(client, "INFO")), time.monotonic()
    warnings = _needless_password(address)
    time.sleep(max(0.0, _BETWEEN_SAMPLES_SECONDS - (time.monotonic() - first_at)))
    second, second_at = Info(ask(client, "INFO", "stats")), time.monotonic()
    server = RedisServer(
        latency_seconds=latency,
        version=first.text("redis_version"),
        role=first.text("role"),
        uptime_seconds=first.integer("uptime_in_seconds") or 0,
        used_memory_bytes=first.required("used_memory"),
        maxmemory_bytes=first.integer("maxmemory") or 0,
        maxmemory_policy=first.text("maxmemory_policy"),
        evicted_per_second=_evicted_per_second(first, second, second_at - first_at),
        keys_count=first.keys_count(address.database),
        loading=first.text("loading") == "1",
        provenance=Provenance("redis", "PING; INFO; INFO stats", read_at),
    )
    return replace(server, warnings=(*warnings, *_server_warnings(first), *first.warnings))


def _ping(client: redis.Redis) -> float:
    """Seconds of one round trip. A server that is loading refuses PING, but it did answer."""
    started = time.perf_counter()
    try:
        reply = ask(client, "PING")
    except exceptions.BusyLoadingError:
        return time.perf_counter() - started
    if reply != b"PONG":
        raise unexpected("PING", reply)
    return time.perf_counter() - started


def _evicted_per_second(first: Info, second: Info, seconds: float) -> float | None:
    """None when a sample is missing, or when the counter fell: the server restarted or its statistics were reset."""
    before, after = first.integer("evicted_keys"), second.integer("evicted_keys")
    return None if before is None or after is None or after < before else (after - before) / seconds


def _needless_password(address: Address) -> tuple[str, ...]:
    """A warning when a password is configured and the server answers without one as well."""
    if not address.has_password:
        return ()
    client = client_for(address.without_password(), connect_seconds=0.2, reply_seconds=0.2)
    try:
        answered = ask(client, "PING") == b"PONG"
    except (exceptions.RedisError, OSError):
        return ()  # it wants the password, or this cannot be told
    finally:
        client.connection_pool.disconnect()
    return ("a password is configured, but the server answers anybody without one",) if answered else ()


def _server_warnings(info: Info) -> tuple[str, ...]:
    """What an operator should know, from INFO."""
    warnings = []
    if info.text("loading") == "1":
        warnings.append("the server is loading its data set: sizes and counts are not final")
    if info.text("maxmemory") == "":
        warnings.append("INFO holds no maxmemory: a limit, if there is one, is not known")
    if info.text("cluster_enabled") == "1":
        warnings.append("this is one node of a cluster: memory and keys are this node's only")
    if info.text("master_link_status") not in ("", "up"):
        warnings.append("this replica has lost its primary: its data stands still")
    if info.text("rdb_last_bgsave_status") == "err":
        warnings.append("the last save to disk failed: with save points set, Redis refuses writes (MISCONF)")
    return tuple(warnings)


def _warming(client: redis.Redis, budget: ScanBudget, read_at: datetime) -> Warming:
    warnings: list[str] = []
    types, unclear = parse_warming_statistics(_statistics(client, warnings))
    names, complete = _lock_names(client, budget, warnings)
    locks = _locks(client, names)
    query = f"HGETALL {STATISTICS_KEY}; SCAN MATCH {LOCK_PATTERN}; PTTL"
    return Warming(types, locks, Provenance("redis", query, read_at), (*warnings, *unclear), complete)


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


def _lock_names(client: redis.Redis, budget: ScanBudget, warnings: list[str]) -> tuple[list[bytes], bool]:
    """The names that locks may have, each once, as far as the budget reaches; and whether that was all of the keys."""
    names: dict[bytes, None] = dict.fromkeys(SITE_LOCKS)
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
    held = len(names) - len(SITE_LOCKS)
    if held > _MAX_LOCKS:
        warnings.append(f"about {held:,} warming locks are held; the first {_MAX_LOCKS} are listed")
    return list(names)[: _MAX_LOCKS + len(SITE_LOCKS)], complete


def _locks(client: redis.Redis, names: list[bytes]) -> tuple[WarmingLock, ...]:
    """The locks that still exist, by name, with the time they have left."""
    pipeline = client.pipeline(transaction=False)
    pipeline.response_callbacks.clear()
    for name in names:
        ask(pipeline, "PTTL", name)
    locks = []
    for name, left in zip(names, pipeline.execute(), strict=True):
        if not isinstance(left, int):
            raise unexpected("PTTL", left)
        if left != -2:  # -2: it went away meanwhile; -1: it never expires
            locks.append(WarmingLock(text_of(name), None if left == -1 else left / 1000))
    return tuple(sorted(locks, key=lambda lock: lock.name))
