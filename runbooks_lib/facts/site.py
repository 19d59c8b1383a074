"""Facts from the site itself: its health, pages, flags and throttle counters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from runbooks_lib.model import Provenance


@dataclass(frozen=True, slots=True)
class Health:
    """What the site says of itself at ``/api/health/cache``.

    Attributes:
        http_status: 200 healthy or degraded, 503 down.
        status: ``healthy``, ``degraded`` or ``down``, as sent.
        redis_reachable: as the site sees it; None when not sent.
        features: feature → what it is now, as sent (percentage 0..100); empty when not sent.
        version: of the site; empty when not sent.
        latency_seconds: how long the answer took.
        notes: fields that did not hold what they should (a rate in percent) and are None for that reason.
        redis_latency_seconds: a round trip to Redis, as the site measures it; None when not sent.
    """

    http_status: int
    status: str
    redis_reachable: bool | None
    hit_ratio: float | None
    penetration_ratio: float | None
    warming_last_run_at: datetime | None
    warming_running: bool | None
    features: Mapping[str, float]
    version: str
    latency_seconds: float
    provenance: Provenance
    notes: tuple[str, ...] = ()
    redis_latency_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Probe:
    """The cache headers of one answer of the site.

    Attributes:
        path: that was asked for.
        headers: name in lower case → value; only those about caching and throttling, as a stranger wrote them.
        latency_seconds: until the headers were there.
    """

    path: str
    http_status: int
    headers: Mapping[str, str]
    latency_seconds: float
    provenance: Provenance


@dataclass(frozen=True, slots=True)
class Flag:
    """One feature flag as the site's own code states it; ``percentage`` is 0..100."""

    feature: str
    strategy: str
    percentage: float
    whitelist_count: int | None
    enabled: bool | None


@dataclass(frozen=True, slots=True)
class Flags:
    """All feature flags at one moment."""

    flags: tuple[Flag, ...]
    provenance: Provenance


@dataclass(frozen=True, slots=True)
class FlagService:
    """A site's flag service, asked in a fresh process.

    Attributes:
        flags: all of them.
        tables: the SQL tables that it asked, for whatever reason; caches are not among them.
        methods: what it offers, by name.
        copy_seconds: how long each process keeps a copy of the flags; None where the site does not say.
        whitelisted: whether the user that was asked for is listed; None where it was not asked or cannot be told.
        cache_tables: the tables of Django's DatabaseCache that it asked.
    """

    flags: tuple[Flag, ...]
    tables: tuple[str, ...]
    methods: tuple[str, ...]
    copy_seconds: float | None
    whitelisted: bool | None
    provenance: Provenance
    cache_tables: tuple[str, ...] = ()

    def named(self, feature: str) -> Flag | None:
        """The flag with that name; None where the site has no such feature."""
        return next((flag for flag in self.flags if flag.feature == feature), None)


@dataclass(frozen=True, slots=True)
class ThrottleCounter:
    """One client's counter.

    Attributes:
        key: its full name in Redis; holds what a stranger sent.
        scope: ``anon`` or ``user``.
        client: address or user id.
        count: requests in the present window; None where the value cannot be read without the site's code.
        ttl_seconds: until the window ends; None for a counter that never ends.
        size_bytes: of its value; None where it was not asked for.
    """

    key: str
    scope: str
    client: str
    count: int | None
    ttl_seconds: float | None
    size_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class ThrottleCounters:
    """The counters of all clients, as far as a bounded search found them.

    Attributes:
        by_scope: scope → number of counters.
        fullest: of each scope the counters with the highest counts, highest first, at most some dozens.
        read_count: counters whose value was read.
        complete: the search saw every key and read every counter.
        warnings: why it did not.
        lookups_count: what the reading added to the server's ``keyspace_hits`` and ``keyspace_misses``.
    """

    by_scope: Mapping[str, int]
    fullest: tuple[ThrottleCounter, ...]
    read_count: int
    provenance: Provenance
    complete: bool = True
    warnings: tuple[str, ...] = ()
    lookups_count: int = 0
