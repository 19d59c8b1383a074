"""Facts from the metrics and from ``cache_stats``: lookups, requests, alerts, over a window or over time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from runbooks_lib.model import Provenance


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
