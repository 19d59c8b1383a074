"""The site's metrics in Prometheus: lookups, their history, requests, warming.

Counts come from counters and are summed over all instances before anything is divided, so ratios are weighted by
traffic. How counters that begin inside the window are counted: see ``promql.growth``. The history has plain rates.
"""

from __future__ import annotations

import math
import re
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from runbooks_lib import units
from runbooks_lib.config import Environment
from runbooks_lib.facts import History, HitRateGauge, Lookups, Requests, Sample, WarmingActivity
from runbooks_lib.model import Provenance
from runbooks_lib.sources.metrics import histogram, promql
from runbooks_lib.sources.metrics.endpoints import by_endpoint
from runbooks_lib.sources.metrics.freshness import (
    Freshness,
    freshness_of,
    freshness_query,
    not_current,
    with_age_of_last,
)
from runbooks_lib.sources.metrics.hit_history import FROM_CACHE, history_of
from runbooks_lib.sources.metrics.prometheus import Prometheus

LOOKUPS = "cache_requests_total"
ATTEMPTS = "cache_penetration_attempts_total"
GAUGE = "cache_hit_rate"
REQUESTS = "http_requests_total"
REQUEST_SECONDS = "http_request_duration_seconds"
THROTTLED = "throttled_requests_total"
WARMING_TASKS = "cache_warming_tasks_total"
WARMING_ITEMS = "cache_warming_items_total"
WARMING_SECONDS = "cache_warming_duration_seconds"

_POINTS_OF_HISTORY = 240
_SCRAPES_IN_A_RATE = 4
#: The gauge and the counters may differ by this much before it is said: 10 points.
_GAUGE_TOLERANCE = 0.10


@dataclass(frozen=True, slots=True)
class _Window:
    """The answers to all queries of one fact, and what limits them."""

    samples: Mapping[str, tuple[Sample, ...]]
    degraded: tuple[str, ...]
    provenance: Provenance
    now: datetime

    def by(self, name: str, *labels: str) -> dict[tuple[str, ...], float]:
        """Label values → value; what has no value (NaN) is left out."""
        return {
            tuple(sample.labels.get(label, "") for label in labels): sample.value
            for sample in self.samples[name]
            if sample.value is not None
        }

    def one(self, name: str) -> float | None:
        """The only value; None where there is none."""
        return next((sample.value for sample in self.samples[name]), None)


class CacheMetrics:
    """What the site's processes export, as Prometheus holds it. Serves several threads.

    Args:
        prometheus: of this environment.
        environment: whose ``metrics_selector`` narrows every query.
    """

    def __init__(self, prometheus: Prometheus, environment: Environment) -> None:
        self._prometheus = prometheus
        self._environment = environment

    def __repr__(self) -> str:
        """The environment's name only."""
        return f"CacheMetrics({self._environment.name!r})"

    def lookups(self, window_seconds: float, at: datetime | None = None) -> Lookups:
        """How were the lookups of the window answered, by endpoint?

        Object ids in endpoints are folded; after 50 endpoints the rest is one entry ``(N others)``.

        Args:
            window_seconds: at least 4 scrapes, or ``degraded`` says that it is too short.
            at: aware; the server's present moment by default.

        Raises:
            SourceError: Prometheus cannot be read, has no such series, or only stale ones.

        Source:
            sum by (endpoint, status) (increase(cache_requests_total[window])), and the same of
            cache_penetration_attempts_total; count(count by (instance) (cache_requests_total)).
        """
        reporting = self._prometheus.selector(LOOKUPS, 'instance!=""')
        queries = {
            "counts": self._growth(LOOKUPS, window_seconds, "endpoint", "status"),
            "attempts": self._growth(ATTEMPTS, window_seconds),
            "instances": f"count(count by (instance) ({reporting}))",
        }
        window = self._ask(queries, (LOOKUPS,), window_seconds, at)
        counts = window.by("counts", "endpoint", "status")
        instances = window.one("instances")
        return Lookups(
            window_seconds=window_seconds,
            endpoints=by_endpoint((endpoint, status, count) for (endpoint, status), count in counts.items()),
            penetration_attempts=window.one("attempts"),
            instances=None if instances is None else int(instances),
            provenance=window.provenance,
            degraded="; ".join(window.degraded if counts else (*window.degraded, _TOO_FEW_SCRAPES)),
            ended_at=window.now,
        )

    def history(
        self, lookback_seconds: float, step_seconds: float | None = None, at: datetime | None = None
    ) -> History:
        """How did hit rate, penetration and traffic move?

        Each point is a rate over 4 scrapes, or over one step where that is longer, so that no traffic falls between
        two points. A point without samples is None. The last point lies up to one step in the past. What a counter is
        born with is not seen here: a burst of the very first misses of an endpoint is missing from the line.

        Args:
            lookback_seconds: how far back.
            step_seconds: between two points; by default about 240 points, none shorter than a scrape.
            at: aware; the end. The server's present moment by default.

        Raises:
            SourceError: Prometheus cannot be read, or has no rate in all this time and no current sample.

        Source:
            sum by (status) (rate(cache_requests_total[4 scrapes])), sum(rate(cache_penetration_attempts_total[…]))
        """
        started, read_at = time.monotonic(), datetime.now(UTC)
        series = self._prometheus.selector(LOOKUPS)
        freshness = freshness_of(self._prometheus.query_all({"fresh": freshness_query([series])}, at).samples["fresh"])
        usual = max(promql.round_step(lookback_seconds / _POINTS_OF_HISTORY), freshness.scrape_seconds)
        step = promql.widened_step(lookback_seconds, step_seconds or usual)
        over = promql.duration(max(_SCRAPES_IN_A_RATE * freshness.scrape_seconds, step))
        queries = {
            "lookups": f"sum by (status) (rate({series}[{over}]))",
            "attempts": f"sum (rate({self._prometheus.selector(ATTEMPTS)}[{over}]))",
        }
        start = freshness.now - timedelta(seconds=lookback_seconds)
        answers = self._prometheus.query_range_all(queries, start, freshness.now, step)
        if not answers.series["lookups"]:
            freshness = with_age_of_last(self._prometheus, [series], freshness, window_seconds=lookback_seconds)
            if not freshness.is_current:
                raise not_current(LOOKUPS, freshness)
        took = time.monotonic() - started
        found = history_of(answers, Provenance("prometheus", queries["lookups"], read_at, took))
        notes = (*answers.warnings, *(() if answers.series["lookups"] else (_TOO_FEW_SCRAPES,)))
        return replace(found, degraded="; ".join(notes))

    def requests(self, window_seconds: float, slow_above_seconds: float = 1.0, at: datetime | None = None) -> Requests:
        """How many requests were answered in the window, how many failed, were slow or were throttled?

        Where the histogram has no bucket that ends at ``slow_above_seconds``, the next higher edge is used and
        ``degraded`` says so: the count is too low then.

        Args:
            window_seconds: at least 4 scrapes.
            slow_above_seconds: a request that takes longer is slow.
            at: aware; the server's present moment by default.

        Raises:
            SourceError: Prometheus cannot be read, or has neither http_requests_total nor the histogram.

        Source:
            increase() of http_requests_total by code, of http_request_duration_seconds_bucket by le (p95 as
            histogram_quantile() computes it), and of throttled_requests_total by scope.
        """
        queries = {
            "codes": self._growth(REQUESTS, window_seconds, "code"),
            "buckets": self._growth(f"{REQUEST_SECONDS}_bucket", window_seconds, "le"),
            "throttled": self._growth(THROTTLED, window_seconds, "scope"),
        }
        window = self._ask(queries, (REQUESTS, f"{REQUEST_SECONDS}_count"), window_seconds, at)
        codes = {code: count for (code,), count in window.by("codes", "code").items()}
        buckets = _buckets(window.by("buckets", "le"))
        throttled = {scope: count for (scope,), count in window.by("throttled", "scope").items()}
        (slow, slow_note), (p95, p95_note) = histogram.slow(buckets, slow_above_seconds), histogram.p95(buckets)
        notes = [*window.degraded, *_missing_codes(codes, buckets), slow_note, p95_note]
        return Requests(
            window_seconds=window_seconds,
            total=sum(codes.values()) if codes else buckets.get(math.inf, 0.0),
            errors=sum(count for code, count in codes.items() if code.startswith("5")) if any(codes) else None,
            slow=slow,
            slow_above_seconds=slow_above_seconds,
            p95_seconds=p95,
            # A counter with a label has no series before its first 429: where there are requests, none means none.
            throttled=throttled if throttled or codes or buckets else None,
            provenance=window.provenance,
            degraded="; ".join(note for note in notes if note),
        )

    def warming(self, window_seconds: float, at: datetime | None = None) -> WarmingActivity:
        """What did warming do in the window, by strategy?

        Tasks are rare, so their counters are often born with the task that they count: see ``promql.growth``.

        Args:
            window_seconds: at least 4 scrapes.
            at: aware; the server's present moment by default.

        Raises:
            SourceError: Prometheus cannot be read, or has neither cache_warming_tasks_total nor the histogram.

        Source:
            increase() of cache_warming_tasks_total by warming_type and status, of cache_warming_items_total, and of
            cache_warming_duration_seconds (_sum, _bucket) by warming_type.
        """
        queries = {
            "tasks": self._growth(WARMING_TASKS, window_seconds, "warming_type", "status"),
            "items": self._growth(WARMING_ITEMS, window_seconds, "warming_type"),
            "seconds": self._growth(f"{WARMING_SECONDS}_sum", window_seconds, "warming_type"),
            "buckets": self._growth(f"{WARMING_SECONDS}_bucket", window_seconds, "warming_type", "le"),
        }
        window = self._ask(queries, (WARMING_TASKS, f"{WARMING_SECONDS}_count"), window_seconds, at)
        tasks: dict[str, dict[str, float]] = defaultdict(dict)
        for (name, status), count in window.by("tasks", "warming_type", "status").items():
            tasks[name][status] = count
        buckets = _buckets_by_type(window.by("buckets", "warming_type", "le"))
        seconds = {name: total for (name,), total in window.by("seconds", "warming_type").items()}
        names = sorted({*tasks, *buckets})
        return WarmingActivity(
            window_seconds=window_seconds,
            tasks=dict(tasks),
            items={name: count for (name,), count in window.by("items", "warming_type").items()},
            mean_duration_seconds={
                name: _ratio(seconds.get(name), buckets.get(name, {}).get(math.inf)) for name in names
            },
            slowest_over_seconds={name: histogram.highest_lower_edge(buckets.get(name, {})) for name in names},
            provenance=window.provenance,
            degraded="; ".join(window.degraded),
        )

    def hit_rate_gauge(self, at: datetime | None = None) -> HitRateGauge:
        """May the gauge ``cache_hit_rate`` be believed?

        It is held against the counters since the processes started, as the gauge is defined; not against a window.
        Several series of one endpoint and instance (one a worker process) are averaged: no other way is better.

        Args:
            at: aware; the server's present moment by default.

        Raises:
            SourceError: Prometheus cannot be read.

        Source:
            cache_hit_rate by job, instance and endpoint, weighted with cache_requests_total.
        """
        started, read_at = time.monotonic(), datetime.now(UTC)
        counters, gauge = self._prometheus.selector(LOOKUPS), self._prometheus.selector(GAUGE)
        from_cache = self._prometheus.selector(LOOKUPS, promql.matcher("status", "|".join(FROM_CACHE), "=~"))
        weights, means = (
            f"{function} by (job, instance, endpoint) ({series})"
            for function, series in (("sum", counters), ("avg", gauge))
        )
        queries = {
            "gauge": f"sum({means} * {weights}) / sum({weights} and {means})",
            "largest": f"max({gauge})",
            "counters": f"(sum({from_cache}) or vector(0)) / sum({counters})",
        }
        answers = self._prometheus.query_all(queries, at)
        value, largest, expected = (_only(answers.samples[name]) for name in ("gauge", "largest", "counters"))
        in_percent = largest is not None and largest > 1
        ratio = value / 100 if value is not None and in_percent else value
        never_set = largest == 0 and bool(expected)
        return HitRateGauge(
            gauge_ratio=ratio,
            counters_ratio=expected,
            in_percent=in_percent,
            never_set=never_set,
            note=_gauge_note(ratio, expected, in_percent=in_percent, never_set=never_set),
            provenance=Provenance("prometheus", queries["gauge"], read_at, time.monotonic() - started),
        )

    def _growth(self, metric: str, window_seconds: float, *labels: str) -> str:
        """The growth of a counter over the window, summed by these labels."""
        series, up = self._prometheus.selector(metric), self._prometheus.selector("up")
        by = f" by ({', '.join(labels)})" if labels else ""
        return f"sum{by} ({promql.growth(series, up, window_seconds)})"

    def _ask(
        self, queries: Mapping[str, str], metrics: Sequence[str], window_seconds: float, at: datetime | None
    ) -> _Window:
        """All queries side by side, and the freshness of the metrics that must be there."""
        if not window_seconds > 0:
            raise ValueError(f"window_seconds must be over 0, not {window_seconds}")
        started, read_at = time.monotonic(), datetime.now(UTC)
        series = [self._prometheus.selector(metric) for metric in metrics]
        answers = self._prometheus.query_all({**queries, "fresh": freshness_query(series)}, at)
        freshness = with_age_of_last(
            self._prometheus, series, freshness_of(answers.samples["fresh"]), window_seconds=window_seconds
        )
        if not freshness.is_current:
            raise not_current(metrics[0], freshness)
        main = next(iter(queries.values()))
        took = time.monotonic() - started
        notes = (*answers.warnings, *_short_window(freshness, window_seconds))
        return _Window(answers.samples, notes, Provenance("prometheus", main, read_at, took), freshness.now)


_EDGE = re.compile(r"\+?Inf|[0-9.]+(?:e[-+]?[0-9]+)?", re.IGNORECASE)
_TOO_FEW_SCRAPES = "fewer than two scrapes in the window: nothing can be compared yet"


def _short_window(freshness: Freshness, window_seconds: float) -> tuple[str, ...]:
    interval = freshness.interval_seconds
    if interval is None or window_seconds >= _SCRAPES_IN_A_RATE * interval:
        return ()
    window, scrapes = units.duration(window_seconds), f"one every {units.seconds(interval)}"
    return (f"the window of {window} holds fewer than {_SCRAPES_IN_A_RATE} scrapes ({scrapes})",)


def _buckets(counts: Mapping[tuple[str, ...], float]) -> dict[float, float]:
    """Upper edge → count at or below it. Rounded: sums of fractions differ in the last digits from edge to edge."""
    return dict(sorted((float(edge), round(count, 6)) for (edge,), count in counts.items() if _EDGE.fullmatch(edge)))


def _buckets_by_type(counts: Mapping[tuple[str, ...], float]) -> dict[str, dict[float, float]]:
    """Strategy → its buckets."""
    edges: dict[str, dict[tuple[str, ...], float]] = defaultdict(dict)
    for (name, edge), count in counts.items():
        edges[name][edge,] = count
    return {name: _buckets(found) for name, found in edges.items()}


def _missing_codes(codes: Mapping[str, float], buckets: Mapping[float, float]) -> tuple[str, ...]:
    if not codes and not buckets:
        return (_TOO_FEW_SCRAPES,)
    return () if any(codes) else (f"{REQUESTS} has no label code: errors are not known",)


def _gauge_note(ratio: float | None, expected: float | None, *, in_percent: bool, never_set: bool) -> str:
    if ratio is None or expected is None:
        return ""
    said = f"the gauge {GAUGE} says {units.percent(ratio)}, the counters {units.percent(expected)}"
    if never_set:
        return f"the gauge {GAUGE} is never set: it is 0 everywhere, while the counters say {units.percent(expected)}"
    if abs(ratio - expected) > _GAUGE_TOLERANCE:
        return f"{said} since the processes started: believe the counters"
    return (
        f"the gauge {GAUGE} is in percent (0..100): rules that compare it with a ratio are wrong" if in_percent else ""
    )


def _ratio(numerator: float | None, denominator: float | None) -> float | None:
    return numerator / denominator if numerator is not None and denominator else None


def _only(samples: Sequence[Sample]) -> float | None:
    return samples[0].value if samples else None
