"""How does each primary stand, and all of them together?"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from redis import exceptions

from runbooks_lib.facts import RedisNode, RedisServer
from runbooks_lib.model import Provenance
from runbooks_lib.sources.redis.client import Address, ask, client_for
from runbooks_lib.sources.redis.replies import Info, unexpected
from runbooks_lib.sources.redis.topology import Topology

if TYPE_CHECKING:
    import redis

#: Between the two INFO reads that ``evicted_per_second`` is measured over; it resolves 5 evictions per second.
_BETWEEN_SAMPLES_SECONDS = 0.2
#: ``slave0:ip=10.0.0.7,port=6379,state=online,offset=14,lag=1``; -1 while nothing has been heard.
_LAG = re.compile(r"lag=(\d+)")
_MAX_REPLICAS = 100


@dataclass(frozen=True, slots=True)
class NodeRead:
    """What one primary said.

    Attributes:
        node: its figures.
        version: ``redis_version``.
        policy: ``maxmemory_policy``; empty when not readable.
        uptime_seconds: since it started.
        loading: it is loading its data set.
        warnings: what an operator should know.
    """

    node: RedisNode
    version: str
    policy: str
    uptime_seconds: int
    loading: bool
    warnings: tuple[str, ...]


def read_node(client: redis.Redis, address: Address, topology: Topology, index: int) -> NodeRead:
    """Ask one primary how it stands.

    Args:
        client: connected to it.
        address: the same, for messages.
        topology: that it is a part of.
        index: its place there. The first one is also asked whether it wants the password.

    Raises:
        SourceError: something answers that is not a Redis with data.
    """
    latency = min(_ping(client) for _ in range(3))
    first, first_at = Info(ask(client, "INFO")), time.monotonic()
    warnings = _needless_password(address) if index == 0 else ()
    time.sleep(max(0.0, _BETWEEN_SAMPLES_SECONDS - (time.monotonic() - first_at)))
    second, second_at = Info(ask(client, "INFO", "stats")), time.monotonic()
    node = RedisNode(
        shown=address.shown,
        role=first.text("role"),
        latency_seconds=latency,
        used_memory_bytes=first.required("used_memory"),
        maxmemory_bytes=first.integer("maxmemory") or 0,
        keys_count=first.keys_count(address.database),
        evicted_per_second=_evicted_per_second(first, second, second_at - first_at),
        replicas_count=first.integer("connected_slaves") or 0,
        replica_lag_seconds=_replica_lag(first),
    )
    made = NodeRead(
        node=node,
        version=first.text("redis_version"),
        policy=first.text("maxmemory_policy"),
        uptime_seconds=first.integer("uptime_in_seconds") or 0,
        loading=first.text("loading") == "1",
        warnings=(*warnings, *_warnings(first, topology)),
    )
    return replace(made, warnings=(*made.warnings, *first.warnings))


def together(reads: Sequence[NodeRead], warnings: Sequence[str], read_at: datetime) -> RedisServer:
    """All primaries as one: sums of sizes, counts and evictions, the slowest latency, the latest start.

    Args:
        reads: one for each primary, at least one.
        warnings: on the topology.
        read_at: aware UTC.

    Returns:
        ``maxmemory_bytes`` is 0 (no limit) as soon as one primary has none; ``evicted_per_second`` is None as soon as
        one is not known.
    """
    nodes = tuple(one.node for one in reads)
    evicted = [node.evicted_per_second for node in nodes]
    limits = [node.maxmemory_bytes for node in nodes]
    return RedisServer(
        latency_seconds=max(node.latency_seconds for node in nodes),
        version=_all_of([one.version for one in reads]),
        role=_all_of([node.role for node in nodes]),
        uptime_seconds=min(one.uptime_seconds for one in reads),
        used_memory_bytes=sum(node.used_memory_bytes for node in nodes),
        maxmemory_bytes=sum(limits) if all(limits) else 0,
        maxmemory_policy=_all_of([one.policy for one in reads]),
        evicted_per_second=None if None in evicted else sum(one for one in evicted if one is not None),
        keys_count=sum(node.keys_count for node in nodes),
        loading=any(one.loading for one in reads),
        provenance=Provenance("redis", "PING; INFO; INFO stats", read_at),
        warnings=(*warnings, *_node_warnings(reads)),
        nodes=nodes,
    )


def _all_of(values: Sequence[str]) -> str:
    """The value that all have, or all the different ones."""
    return ", ".join(dict.fromkeys(values))


def _node_warnings(reads: Sequence[NodeRead]) -> tuple[str, ...]:
    """Each warning once; of several primaries with those that it is about."""
    if len(reads) == 1:
        return reads[0].warnings
    about: dict[str, list[str]] = {}
    for one in reads:
        for text in one.warnings:
            about.setdefault(text, []).append(one.node.shown)
    return tuple(f"{', '.join(shown)}: {text}" for text, shown in about.items())


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


def _replica_lag(info: Info) -> float | None:
    """Seconds since the slowest replica was heard; None without replicas or where that is not told."""
    lines = (info.text(f"slave{number}") for number in range(min(info.integer("connected_slaves") or 0, _MAX_REPLICAS)))
    lags = [float(match[1]) for line in lines if (match := _LAG.search(line))]
    return max(lags, default=None)


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


def _warnings(info: Info, topology: Topology) -> tuple[str, ...]:
    """What an operator should know, from INFO."""
    warnings = []
    if info.text("loading") == "1":
        warnings.append("the server is loading its data set: sizes and counts are not final")
    if info.text("maxmemory") == "":
        warnings.append("INFO holds no maxmemory: a limit, if there is one, is not known")
    if info.text("cluster_enabled") == "1" and topology.kind != "cluster":
        warnings.append(
            "this is one node of a cluster: memory and keys are this node's only; "
            "give the whole cluster as rediscluster://host:port in redis_url"
        )
    if info.text("master_link_status") not in ("", "up"):
        warnings.append("this replica has lost its primary: its data stands still")
    if info.text("rdb_last_bgsave_status") == "err":
        warnings.append("the last save to disk failed: with save points set, Redis refuses writes (MISCONF)")
    return tuple(warnings)
