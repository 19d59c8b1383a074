"""Facts that operations rest on: how Redis is set, the throttle counters, incidents; frozen, like ``facts``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from runbooks_lib.model import Provenance


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
class ThrottleCounter:
    """One client's counter.

    Attributes:
        key: its full name in Redis; holds what a stranger sent.
        scope: ``anon`` or ``user``.
        client: address or user id.
        count: requests in the present window; None where the value cannot be read without the site's code.
        ttl_seconds: until the window ends; None for a counter that never ends.
    """

    key: str
    scope: str
    client: str
    count: int | None
    ttl_seconds: float | None


@dataclass(frozen=True, slots=True)
class ThrottleCounters:
    """The counters of all clients, as far as a bounded search found them.

    Attributes:
        by_scope: scope → number of counters.
        fullest: of each scope the counters with the highest counts, highest first, at most some dozens.
        read_count: counters whose value was read.
        complete: the search saw every key and read every counter.
        warnings: why it did not.
    """

    by_scope: Mapping[str, int]
    fullest: tuple[ThrottleCounter, ...]
    read_count: int
    provenance: Provenance
    complete: bool = True
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Incident:
    """One incident, as the ledger knows it.

    Attributes:
        id: short and stable, ``inc-20261122-021407-9c1f``.
        environment: where.
        severity: 1, 2 or 3.
        title: what people call it.
        opened_at: aware UTC.
        opened_by: operator.
        closed_at: aware UTC; None while it is open.
        closed_by: operator; empty while it is open.
        summary: what was found and done, as said at closing.
        opened_seq: the ledger's number of the opening event.
        closed_seq: of the closing event; None while it is open.
    """

    id: str
    environment: str
    severity: int
    title: str
    opened_at: datetime
    opened_by: str
    opened_seq: int
    closed_at: datetime | None = None
    closed_by: str = ""
    summary: str = ""
    closed_seq: int | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of an incident's timeline.

    Attributes:
        at: aware UTC.
        operator: who.
        text: what happened, in words; holds what people and sites wrote.
        run_id: the run it belongs to.
        kind: of the ledger's event.
        matters: it changed the site, may have, or was said by a person; the rest are looks at it.
    """

    at: datetime
    operator: str
    text: str
    run_id: str
    kind: str
    matters: bool


@dataclass(frozen=True, slots=True)
class KeyGroup:
    """Keys that belong together by their names: ``kind`` (``answers``), ``name`` (``api:CourseViewSet``) and how many."""

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
