"""The values of every learned series along one week.

Each family has one function that draws its series; what no function knows keeps its value (gauges) or stays at 0
(counters), which is true for codes and cohorts that do not occur.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from sandbox.history.durations import Duration
from sandbox.history.exposition import WEB, WORKER, Series, Target
from sandbox.history.numbers import COHORTS, Array, Week, miss_ratio, sum_of
from sandbox.history.story import Spread, Story
from sandbox.traffic.profile import ENDPOINTS

GET_SECONDS, SET_SECONDS, DELETE_SECONDS = (
    Duration(0.00032, 1.8),
    Duration(0.00035, 2.2),
    Duration(0.0003, 2.2),
)
REFRESH_SECONDS, SCHEDULED_SECONDS, STARTUP_SECONDS = Duration(0.005), Duration(0.07), Duration(2.5)
SCHEDULED_ITEMS = 25.0
STARTUP_ITEMS = 805.0
RARE_PER_SECOND = 0.1


class Detail(IntEnum):
    """How closely a series is sampled (see ``text.THINNING``)."""

    FINE = 0  # lookups, answers and warming: what the thresholds are about
    MIDDLE = 1  # counters that move now and then
    COARSE = 2  # histograms: many series each
    RARE = 3  # histograms of what hardly ever happens
    CONSTANT = 4  # never moved


@dataclass(frozen=True)
class Line:
    """One series of the history: where it came from, its labels and its values."""

    target: Target
    series: Series
    values: Array
    detail: Detail


def _requests(story: Story, labels: Mapping[str, str], target: Target) -> Array | None:
    if target is WORKER or labels["endpoint"] not in ENDPOINTS:
        return None
    return story.status(labels["endpoint"], labels["status"])


def _penetration(story: Story, labels: Mapping[str, str], target: Target) -> Array | None:
    if target is WORKER or labels["endpoint"] not in ENDPOINTS:
        return None
    return sum_of(story.lookups[labels["endpoint"], cohort].missing for cohort in COHORTS)


def _http(story: Story, labels: Mapping[str, str], target: Target) -> Array | None:
    if target is WORKER:
        return None
    return story.answers(labels["endpoint"], labels["method"], labels["code"], labels["cohort"])


def _throttled(story: Story, labels: Mapping[str, str], target: Target) -> Array | None:
    if target is WORKER or labels["scope"] != "anon":
        return None
    return sum_of(story.answers(name, "GET", "429", cohort) for name in ENDPOINTS for cohort in COHORTS)


def _warming_tasks(story: Story, labels: Mapping[str, str], target: Target) -> Array | None:
    if target is WEB or labels["status"] != "success":
        return None
    return story.warming_runs(labels["warming_type"])


def _warming_items(story: Story, labels: Mapping[str, str], target: Target) -> Array | None:
    if target is WEB:
        return None
    each = {"scheduled": SCHEDULED_ITEMS, "startup": STARTUP_ITEMS}.get(labels["warming_type"], 1.0)
    return story.warming_runs(labels["warming_type"]) * each


def _rows(story: Story, labels: Mapping[str, str], target: Target) -> Array | None:
    if target is WORKER or labels["outcome"] != "written":
        return None
    return sum_of(story.all_lookups(name) for name in ENDPOINTS)


COUNTERS: Mapping[str, Callable[[Story, Mapping[str, str], Target], Array | None]] = {
    "cache_requests": _requests,
    "cache_penetration_attempts": _penetration,
    "http_requests": _http,
    "throttled_requests": _throttled,
    "cache_warming_tasks": _warming_tasks,
    "cache_warming_items": _warming_items,
    "cache_stats_rows": _rows,
}


def _operations(story: Story, labels: Mapping[str, str], target: Target) -> Spread:
    endpoint = labels["endpoint"]
    if endpoint not in ENDPOINTS:
        return []
    if target is WORKER:
        return [(story.refreshes(endpoint), SET_SECONDS)] if labels["operation"] == "set" else []
    match labels["operation"]:
        case "get":
            return [(story.all_lookups(endpoint), GET_SECONDS)]
        case "set":
            return [(story.status(endpoint, "miss"), SET_SECONDS)]
    return [(story.writes[endpoint], DELETE_SECONDS)]


def _http_durations(story: Story, labels: Mapping[str, str], target: Target) -> Spread:
    endpoint, cohort = labels["endpoint"], labels["cohort"]
    if target is WORKER or endpoint not in ENDPOINTS:
        return []
    profile = ENDPOINTS[endpoint]
    codes = [("GET", code) for code in ("200", "404", "429", "500")] + [("PATCH", "200")]
    count = sum_of(story.answers(endpoint, method, code, cohort) for method, code in codes)
    missing = miss_ratio(story.week, endpoint, cohort)
    return [
        (count * (1 - missing), Duration(profile.hit_seconds)),
        (count * missing, Duration(profile.miss_seconds)),
    ]


def _warming_durations(story: Story, labels: Mapping[str, str], target: Target) -> Spread:
    if target is WEB:
        return []
    durations = {"scheduled": SCHEDULED_SECONDS, "startup": STARTUP_SECONDS}
    warming_type = labels["warming_type"]
    return [(story.warming_runs(warming_type), durations.get(warming_type, REFRESH_SECONDS))]


HISTOGRAMS: Mapping[str, Callable[[Story, Mapping[str, str], Target], Spread]] = {
    "cache_operation_duration_seconds": _operations,
    "http_request_duration_seconds": _http_durations,
    "cache_warming_duration_seconds": _warming_durations,
}


def _gauge(story: Story, series: Series, target: Target) -> Array:
    endpoint = series.labels.get("endpoint", "")
    if series.labels.get("feature") == "ENHANCED_CACHE" and series.family == "feature_flag_percentage":
        return story.week.enhanced_ratio * 100
    if target is WEB and endpoint in ENDPOINTS and series.family in ("cache_hit_rate", "cache_penetration_rate"):
        counted = {
            status: story.week.accumulate(story.status(endpoint, status))
            for status in ("hit", "stale", "null_value", "miss")
        }
        wanted = ("hit", "stale", "null_value") if series.family == "cache_hit_rate" else ("null_value",)
        everything = np.maximum(1, sum_of(counted.values()))
        return np.round(sum_of(counted[status] for status in wanted) / everything, 4)
    return np.full_like(story.week.times, series.value)


def _spread(story: Story, series: Series, target: Target) -> Spread:
    labels = {name: value for name, value in series.labels.items() if name != "le"}
    key = (target, series.family, *sorted(labels.items()))
    return story.remembered(key, lambda: HISTOGRAMS[series.family](story, labels, target))


def _histogram(story: Story, series: Series, target: Target) -> Array:
    """Values of one bucket, count or sum; buckets rise with ``le``, and the last one is the count."""
    spread = _spread(story, series, target)
    if not spread:
        return story.nothing
    if series.name.endswith("_sum"):
        total = sum_of(count * duration.mean_seconds for count, duration in spread)
        return np.round(story.week.accumulate(total), 3)
    limit = float(series.labels.get("le", "inf"))
    within = sum_of(count * duration.share_within(limit) for count, duration in spread)
    return np.floor(story.week.accumulate(within) + 1e-6)


def values_of(story: Story, series: Series, target: Target) -> Array:
    """Return the values of one learned series along the week."""
    if series.family in HISTOGRAMS and series.kind == "histogram":
        return _histogram(story, series, target)
    if series.kind == "counter":
        draw = COUNTERS.get(series.family)
        increments = draw(story, series.labels, target) if draw else None
        return story.nothing if increments is None else story.week.accumulate(increments)
    return _gauge(story, series, target)


def lines_of(story: Story, learned: Iterable[tuple[Target, Series]]) -> list[Line]:
    """Return the history of every learned series of which one of its family moved at the same target.

    The others (the task worker answers no requests) stay at 0 for ever: there is nothing to tell, and there are
    hundreds of them. A histogram that never moved is left out, too.
    """
    lines = [
        Line(target, series, values, _detail(story, target, series, values))
        for target, series in learned
        for values in [values_of(story, series, target)]
    ]
    moving = {(line.target, line.series.family) for line in lines if line.detail is not Detail.CONSTANT}
    return [line for line in lines if _is_told(line, moving)]


def _is_told(line: Line, moving: set[tuple[Target, str]]) -> bool:
    if line.series.kind == "histogram":
        return line.detail is not Detail.CONSTANT
    return line.series.kind != "counter" or (line.target, line.series.family) in moving


def _detail(story: Story, target: Target, series: Series, values: Array) -> Detail:
    if series.kind == "histogram" and series.family in HISTOGRAMS:
        return _histogram_detail(_spread(story, series, target), story.week)
    if not np.any(values != values[0]):
        return Detail.CONSTANT
    rarely = np.count_nonzero(np.diff(values)) < len(values) / 3
    return Detail.MIDDLE if rarely else Detail.FINE


def _histogram_detail(spread: Spread, week: Week) -> Detail:
    """All buckets of one histogram are sampled alike: quantiles compare them at the same times."""
    events = sum(float(count.sum()) for count, _ in spread)
    if events == 0:
        return Detail.CONSTANT
    return Detail.COARSE if events / (week.times[-1] - week.times[0]) > RARE_PER_SECOND else Detail.RARE
