"""Facts: what the sources read, before anybody judged it.

All are frozen and carry their provenance. A fact never holds an invented value: what was not measured is None.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

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
class WarmingType:
    """Accumulated statistics of one warming strategy, from the hash ``cache_warming_stats``.

    ``runs_count``, ``tasks_count``, ``failures_count`` and ``duration_seconds`` (a sum) grow for ever;
    ``last_run_at`` is aware UTC, None when it never ran.
    """

    name: str
    runs_count: int
    tasks_count: int
    failures_count: int
    duration_seconds: float
    last_run_at: datetime | None


@dataclass(frozen=True, slots=True)
class WarmingLock:
    """One key ``cache_warming_lock:<type>:<identifier>``. ``ttl_seconds`` is None for a lock that never expires."""

    name: str
    ttl_seconds: float | None


@dataclass(frozen=True, slots=True)
class Warming:
    """What Redis knows about warming: the statistics by strategy and the locks that are held now.

    ``warnings`` name what could not be understood, and say when the search for locks ended early; ``complete`` is
    False then.
    """

    types: tuple[WarmingType, ...]
    locks: tuple[WarmingLock, ...]
    provenance: Provenance
    warnings: tuple[str, ...] = ()
    complete: bool = True


@dataclass(frozen=True, slots=True)
class EndpointLookups:
    """Cache lookups of one endpoint over a window, by status (counts; fractions are possible from ``increase``)."""

    endpoint: str
    hit: float = 0.0
    miss: float = 0.0
    null_value: float = 0.0
    stale: float = 0.0

    @property
    def total(self) -> float:
        """All lookups."""
        return self.hit + self.miss + self.null_value + self.stale

    @property
    def hit_ratio(self) -> float | None:
        """(hit + stale + null_value) / all, 0..1; None without lookups."""
        return None if self.total <= 0 else (self.hit + self.stale + self.null_value) / self.total


@dataclass(frozen=True, slots=True)
class Lookups:
    """Cache lookups over a window, summed over all instances.

    Attributes:
        window_seconds: what the counters were compared over.
        endpoints: one entry an endpoint, most lookups first.
        penetration_attempts: lookups of resources that do not exist; None where the site has no such counter.
        instances: how many processes or targets reported; None when not known.
        ended_at: the end of the window, aware UTC, by the clock of the system that was asked; None when not known.
        degraded: why this is less than it should be (two scrapes instead of Prometheus); empty when it is not.
    """

    window_seconds: float
    endpoints: tuple[EndpointLookups, ...]
    penetration_attempts: float | None
    instances: int | None
    provenance: Provenance
    degraded: str = ""
    ended_at: datetime | None = None

    @property
    def overall(self) -> EndpointLookups:
        """All endpoints together; weighted by traffic because counts are summed before they are divided."""
        return EndpointLookups(
            "all",
            *(sum(getattr(e, name) for e in self.endpoints) for name in ("hit", "miss", "null_value", "stale")),
        )

    @property
    def total(self) -> float:
        """All lookups of all endpoints."""
        return self.overall.total

    @property
    def hit_ratio(self) -> float | None:
        """0..1, or None without lookups."""
        return self.overall.hit_ratio

    @property
    def penetration_ratio(self) -> float | None:
        """Lookups of missing resources / all, 0..1.

        From ``cache_penetration_attempts_total`` where the site has it: a scan of random ids is a *miss* at
        each first look, so the null_value share alone would show an attack as 0 %.
        """
        if self.total <= 0:
            return None
        attempts = self.overall.null_value if self.penetration_attempts is None else self.penetration_attempts
        return min(1.0, attempts / self.total)


@dataclass(frozen=True, slots=True)
class History:
    """Hit rate and penetration over time, for the figure, for "since when" and for "how long".

    All tuples have the same length. A ratio is None where there was no lookup or no sample (a gap). ``degraded`` says
    why this is less than it should be; empty when it is not.
    """

    times: tuple[datetime, ...]
    hit_ratio: tuple[float | None, ...]
    penetration_ratio: tuple[float | None, ...]
    lookups_per_second: tuple[float | None, ...]
    step_seconds: float
    provenance: Provenance
    degraded: str = ""


@dataclass(frozen=True, slots=True)
class Requests:
    """HTTP requests over a window, summed over all instances.

    Attributes:
        total: answered requests.
        errors: answers with a 5xx code; None where ``http_requests_total`` is missing.
        slow: requests over ``slow_above_seconds``; None where the histogram is missing or lacks that bucket.
        p95_seconds: from histogram buckets; None where it cannot be computed.
        throttled: scope → answers with 429; empty where none was counted, None where no request was either.
    """

    window_seconds: float
    total: float
    errors: float | None
    slow: float | None
    slow_above_seconds: float
    p95_seconds: float | None
    throttled: Mapping[str, float] | None
    provenance: Provenance
    degraded: str = ""


@dataclass(frozen=True, slots=True)
class WarmingActivity:
    """Warming by strategy over a window, from the metrics.

    Attributes:
        tasks: strategy → status (``success``, ``error``, ``skipped``) → count.
        items: strategy → items warmed.
        mean_duration_seconds: strategy → mean duration of a task; None where nothing ran.
        slowest_over_seconds: strategy → lower edge of the highest histogram bucket that a task fell into (0, 1,
            5, 10, 30, 60, 120 or 300): the slowest task took longer than this. None where nothing ran.
        degraded: why this is less than it should be; empty when it is not.
    """

    window_seconds: float
    tasks: Mapping[str, Mapping[str, float]]
    items: Mapping[str, float]
    mean_duration_seconds: Mapping[str, float | None]
    slowest_over_seconds: Mapping[str, float | None]
    provenance: Provenance
    degraded: str = ""


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of Prometheus: an element of an instant vector, or a scalar (without labels).

    ``value`` is None for NaN and ±Inf: there is no value. ``at`` is aware UTC.
    """

    labels: Mapping[str, str]
    value: float | None
    at: datetime


@dataclass(frozen=True, slots=True)
class Series:
    """One series of Prometheus over time. ``times`` and ``values`` have the same length.

    A time at which there was no sample is not listed; a NaN or ±Inf is listed as None. Times are aware UTC.
    """

    labels: Mapping[str, str]
    times: tuple[datetime, ...]
    values: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class HitRateGauge:
    """The gauge ``cache_hit_rate`` held against the counters, both since the processes started.

    The gauge is per process and endpoint; it is weighted here by each one's lookups, so that a correct gauge gives
    exactly the ratio of the counters.

    Attributes:
        gauge_ratio: 0..1, already divided by 100 where the gauge is in percent; None where the site has no such gauge.
        counters_ratio: (hit + stale + null_value) / all since the processes started; None without lookups.
        in_percent: the gauge is 0..100 instead of 0..1.
        never_set: the gauge is 0 everywhere although the counters have hits.
        note: why the gauge must not be believed; empty when it agrees to within 10 points or is missing.
    """

    gauge_ratio: float | None
    counters_ratio: float | None
    in_percent: bool
    never_set: bool
    note: str
    provenance: Provenance


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert of Prometheus: ``state`` is ``firing`` or ``pending``."""

    name: str
    state: str
    severity: str
    summary: str
    active_at: datetime | None
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Alerts:
    """The alerts that Prometheus holds now, and how many rules it evaluates (0 means nobody would be told).

    ``degraded`` says why the answer is not whole; empty when it is.
    """

    alerts: tuple[Alert, ...]
    rules_count: int | None
    provenance: Provenance
    degraded: str = ""


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
        tables: the SQL tables that it asked; empty where it asked none, so that the flags are kept elsewhere.
        methods: what it offers, by name.
        copy_seconds: how long each process keeps a copy of the flags; None where the site does not say.
        whitelisted: whether the user that was asked for is listed; None where it was not asked or cannot be told.
    """

    flags: tuple[Flag, ...]
    tables: tuple[str, ...]
    methods: tuple[str, ...]
    copy_seconds: float | None
    whitelisted: bool | None
    provenance: Provenance

    def named(self, feature: str) -> Flag | None:
        """The flag with that name; None where the site has no such feature."""
        return next((flag for flag in self.flags if flag.feature == feature), None)


@dataclass(frozen=True, slots=True)
class WarmingPermission:
    """May the site warm? By its settings (None where they do not say), by its flag, and is there a command for it?"""

    enabled: bool | None
    flag: Flag
    has_command: bool
    provenance: Provenance


@dataclass(frozen=True, slots=True)
class WorkerTask:
    """One task that a Celery worker is working on."""

    worker: str
    name: str


@dataclass(frozen=True, slots=True)
class WorkerTasks:
    """What the Celery workers that answered are working on; a worker that did not answer is not counted."""

    workers_count: int
    tasks: tuple[WorkerTask, ...]
    provenance: Provenance


@dataclass(frozen=True, slots=True)
class EndpointStatistics:
    """One row of the guide's query over ``cache_stats``; ``percent`` (0..100) is the status's part of the endpoint."""

    view_name: str
    status: str
    count: int
    percent: float


@dataclass(frozen=True, slots=True)
class CacheStatistics:
    """The guide's query over ``cache_stats``, and how fresh the table is.

    ``newest_at`` is None where the table is empty or has no ``created_at``; ``missing_columns`` names the optional
    columns that this site lacks; ``endpoints_count`` is how many endpoints there are, of which ``rows`` may hold only
    the busiest.
    """

    rows: tuple[EndpointStatistics, ...]
    window_seconds: float | None
    newest_at: datetime | None
    missing_columns: tuple[str, ...]
    provenance: Provenance
    endpoints_count: int | None = None
