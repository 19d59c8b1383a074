"""Facts about Redis: its servers, their settings, what lies in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from runbooks_lib.model import Provenance


@dataclass(frozen=True, slots=True)
class RedisNode:
    """One primary of the site's Redis.

    Attributes:
        shown: host and port.
        role: ``master`` or ``slave``.
        latency_seconds: round trip of one PING, the best of three.
        used_memory_bytes: as Redis accounts it.
        maxmemory_bytes: 0 means no limit.
        keys_count: keys in the configured database.
        evicted_per_second: None when only one INFO read was possible.
        replicas_count: replicas that are connected.
        replica_lag_seconds: of the replica that is furthest behind; None without replicas, or when not told.
    """

    shown: str
    role: str
    latency_seconds: float
    used_memory_bytes: int
    maxmemory_bytes: int
    keys_count: int
    evicted_per_second: float | None
    replicas_count: int = 0
    replica_lag_seconds: float | None = None

    @property
    def used_ratio(self) -> float | None:
        """used_memory / maxmemory; None without a limit."""
        return self.used_memory_bytes / self.maxmemory_bytes if self.maxmemory_bytes > 0 else None


@dataclass(frozen=True, slots=True)
class RedisServer:
    """Does Redis answer, and how does it stand? On a cluster: all primaries together, and each in ``nodes``.

    Attributes:
        latency_seconds: round trip of one PING, the best of three; of the slowest primary.
        version: ``redis_version``.
        role: ``master`` or ``slave``.
        uptime_seconds: since the server started; counters start there too.
        used_memory_bytes: as Redis accounts it.
        maxmemory_bytes: 0 means no limit.
        maxmemory_policy: for example ``allkeys-lru``; empty when not readable.
        evicted_per_second: measured between two INFO reads; None when only one was possible.
        keys_count: keys in the configured database.
        loading: the server is loading its data set.
        warnings: what an operator should know (no password needed, a value that wrapped).
        nodes: one entry for each primary; a single server has one.
    """

    latency_seconds: float
    version: str
    role: str
    uptime_seconds: int
    used_memory_bytes: int
    maxmemory_bytes: int
    maxmemory_policy: str
    evicted_per_second: float | None
    keys_count: int
    loading: bool
    provenance: Provenance
    warnings: tuple[str, ...] = ()
    nodes: tuple[RedisNode, ...] = ()

    @property
    def fullest(self) -> RedisNode | None:
        """The primary with the least headroom; None where there is only one, or where one has no limit."""
        if len(self.nodes) < 2 or any(node.used_ratio is None for node in self.nodes):
            return None
        return max(self.nodes, key=lambda node: node.used_ratio or 0.0)

    @property
    def without_limit(self) -> tuple[RedisNode, ...]:
        """The primaries that have no maxmemory."""
        return tuple(node for node in self.nodes if node.maxmemory_bytes <= 0)


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """How one primary is set, and the numbers that tell what a setting does there.

    Attributes:
        node: host and port.
        version: ``redis_version``.
        settings: name → value, as CONFIG GET answers; only ``maxmemory`` and ``maxmemory-policy`` (from INFO) where it
            does not.
        unread: why CONFIG GET did not answer; empty when it did.
        unread_hint: what to do about that.
        used_memory_bytes: as Redis accounts it.
        not_evictable_bytes: the part of it that never counts against the limit (replica and AOF buffers).
        host_memory_bytes: RAM of the host, as Redis sees it; None where it does not say. A container may have less.
        keys_count: keys in all databases.
        without_ttl_count: those of them that never expire.
        evicted_count: keys evicted since the server started.
        uptime_seconds: since the server started.
        clients_count: connections now.
        rejected_count: connections refused for want of room (``maxclients``) since the server started.
        idle_seconds: how long each ordinary client has sent nothing; None where CLIENT LIST was not possible.
        replicas_count: connected replicas; they have settings of their own.
        config_file: of the server; empty where it was started without one.
        last_save_failed: the last save to disk failed.
        may_set: this user may use CONFIG SET; None where the server cannot be asked that.
    """

    node: str
    version: str
    settings: Mapping[str, str]
    used_memory_bytes: int
    not_evictable_bytes: int
    keys_count: int
    without_ttl_count: int
    evicted_count: int
    uptime_seconds: int
    clients_count: int
    rejected_count: int
    replicas_count: int
    config_file: str
    last_save_failed: bool
    host_memory_bytes: int | None = None
    idle_seconds: tuple[int, ...] | None = None
    may_set: bool | None = None
    unread: str = ""
    unread_hint: str = ""

    @property
    def evictable_bytes(self) -> int:
        """What is held against ``maxmemory``."""
        return max(0, self.used_memory_bytes - self.not_evictable_bytes)

    @property
    def maxmemory_bytes(self) -> int | None:
        """The limit; 0 means none, None that it is not known."""
        text = self.settings.get("maxmemory", "")
        return int(text) if text.isdecimal() else None


@dataclass(frozen=True, slots=True)
class RedisSettings:
    """The settings of every primary."""

    nodes: tuple[NodeSettings, ...]
    provenance: Provenance


@dataclass(frozen=True, slots=True)
class KeyGroup:
    """Keys that belong together by their names: ``kind`` (``answers``), ``name`` (``api:CourseViewSet``), how many."""

    kind: str
    name: str
    keys_count: int


@dataclass(frozen=True, slots=True)
class SizeEstimate:
    """Bytes of many keys, from a sample of them.

    Attributes:
        value_bytes: mean of the sample times the number of keys.
        margin_bytes: half of the 95 % confidence interval; 0 where every key was measured.
        sampled_count: keys measured.
        heavy_tail: one key holds over a tenth of the sample, so the interval is not to be trusted.
    """

    value_bytes: float
    margin_bytes: float
    sampled_count: int
    heavy_tail: bool


@dataclass(frozen=True, slots=True)
class KeyspaceLook:
    """What lies in a database, and what of it matches, as far as the budget reached.

    Attributes:
        groups: everything that was looked at, by kind, most keys first within a kind.
        matched: the part of it that matches, the same way.
        sample: names that match, at random, as bytes.
        size: of what matches; None when nothing does, or MEMORY USAGE is not allowed.
        looked_at_count: keys that were looked at.
        complete: every key was looked at; where not, all counts are lower bounds.
        ended: which limit of the budget ended the look; empty when none did.
        warnings: what limits the answer.
    """

    groups: tuple[KeyGroup, ...]
    matched: tuple[KeyGroup, ...]
    sample: tuple[bytes, ...]
    size: SizeEstimate | None
    looked_at_count: int
    complete: bool
    ended: str
    provenance: Provenance
    warnings: tuple[str, ...] = ()

    @property
    def matched_count(self) -> int:
        """Keys that match."""
        return sum(group.keys_count for group in self.matched)

    @property
    def spared(self) -> tuple[KeyGroup, ...]:
        """Keys that do not match, by group."""
        matching = {(group.kind, group.name): group.keys_count for group in self.matched}
        left = (
            KeyGroup(group.kind, group.name, group.keys_count - matching.get((group.kind, group.name), 0))
            for group in self.groups
        )
        return tuple(group for group in left if group.keys_count)
