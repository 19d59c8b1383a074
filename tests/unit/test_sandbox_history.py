"""The history: every learned series, plausible, consistent, and joined to the live data without a step."""

from __future__ import annotations

import io
import math
from itertools import pairwise, product

import numpy as np
import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from sandbox.history.exposition import WEB, WORKER, read_exposition
from sandbox.history.halves import Plan, make_lines, split_point
from sandbox.history.numbers import Week
from sandbox.history.series import Detail, Line
from sandbox.history.stats_rows import make_rows, week_of
from sandbox.history.text import points_of, write_open_metrics
from sandbox.traffic.activity import activity
from sandbox.traffic.profile import ENDPOINTS

END = 1_795_000_001
RATE = 40.0


def exposition() -> str:
    """Return what a fresh process of the site shows: every label combination, all at 0."""
    registry = CollectorRegistry()
    requests = Counter("cache_requests_total", "-", ["endpoint", "status"], registry=registry)
    missing = Counter("cache_penetration_attempts_total", "-", ["endpoint"], registry=registry)
    names = ["operation", "endpoint"]
    operations = Histogram("cache_operation_duration_seconds", "-", names, registry=registry)
    names = ["endpoint", "method", "code", "cohort"]
    http = Counter("http_requests_total", "-", names, registry=registry)
    durations = Histogram("http_request_duration_seconds", "-", ["endpoint", "cohort"], registry=registry)
    tasks = Counter("cache_warming_tasks_total", "-", ["warming_type", "status"], registry=registry)
    flags = Gauge("feature_flag_percentage", "-", ["feature"], registry=registry)
    Counter("something_new_total", "-", registry=registry)
    for endpoint in ENDPOINTS:
        missing.labels(endpoint)
        for status in ("hit", "miss", "stale", "null_value"):
            requests.labels(endpoint, status)
        for operation in ("get", "set", "delete"):
            operations.labels(operation, endpoint)
        for cohort in ("enhanced", "legacy"):
            durations.labels(endpoint, cohort)
            for method, code in product(("GET", "PATCH"), ("200", "404", "429", "500")):
                http.labels(endpoint, method, code, cohort)
    for warming_type, status in product(("startup", "scheduled", "on_demand"), ("success", "error")):
        tasks.labels(warming_type, status)
    for feature in ("ENHANCED_CACHE", "RATE_LIMITING"):
        flags.labels(feature).set(100)
    text = generate_latest(registry).decode()
    return "".join(f"{line}\n" for line in text.splitlines() if "_created" not in line)


@pytest.fixture(scope="module")
def told() -> tuple[Week, list[Line]]:
    """One week, told once for all tests."""
    return make_lines(Plan(END, RATE, 60.0), exposition(), exposition())


def values(lines: list[Line], name: str, **labels: str) -> np.ndarray:
    """Return the sum of the web's series with a name and some labels."""
    return sum(
        line.values
        for line in lines
        if line.target is WEB and line.series.name == name and labels.items() <= line.series.labels.items()
    )


def rate_over(week: Week, counter: np.ndarray, start: float, end: float) -> float:
    """Return the rate of a counter between two times."""
    first, last = np.searchsorted(week.times, [start, end])
    return float((counter[last] - counter[first]) / (week.times[last] - week.times[first]))


def test_history_counters_only_fall_at_the_deployment(told):
    """A counter rises or stays, but for the one restart of the week."""
    week, lines = told
    for line in lines:
        if line.series.kind in ("counter", "histogram"):
            falls = np.flatnonzero(np.diff(line.values) < 0) + 1
            assert set(falls) <= {week.restart}, line.series


def test_history_labels_equal_those_that_the_site_exposes(told):
    """No series is invented: all come from the exposition, but for the ratio gauges, which appear with traffic."""
    _, lines = told
    learned = {series.key for series in read_exposition(exposition())}
    for line in lines:
        assert line.series.key in learned or line.series.name in (
            "cache_hit_rate",
            "cache_penetration_rate",
            "up",
        )


def test_history_of_the_web_tells_every_counter_that_it_exposes(told):
    """Also a code that never occurs has a history, so that its rate is 0 and not unknown."""
    _, lines = told
    learned = {
        series.key
        for series in read_exposition(exposition())
        if series.family in ("http_requests", "cache_requests", "cache_penetration_attempts")
    }
    assert learned <= {line.series.key for line in lines if line.target is WEB}


def test_history_of_the_worker_leaves_out_what_it_never_counts(told):
    """The task worker exposes request counters and answers no requests; a thousand zeros are not written."""
    _, lines = told
    families = {line.series.family for line in lines if line.target is WORKER}
    assert "http_requests" not in families
    assert "cache_warming_tasks" in families


def test_history_buckets_rise_with_le_and_end_in_the_count(told):
    """A histogram is consistent at every sample."""
    _, lines = told
    name, labels = "http_request_duration_seconds", {"endpoint": "course-detail", "cohort": "enhanced"}
    buckets = sorted(
        (
            line
            for line in lines
            if line.series.name == f"{name}_bucket" and labels.items() <= line.series.labels.items()
        ),
        key=lambda line: float(line.series.labels["le"]),
    )
    assert math.isinf(float(buckets[-1].series.labels["le"]))
    for lower, upper in pairwise(buckets):
        assert np.all(lower.values <= upper.values)
    assert np.array_equal(buckets[-1].values, values(lines, f"{name}_count", **labels))


def test_history_requests_agree_with_lookups(told):
    """What counts the same thing counts the same: one answered GET for every lookup, apart from errors."""
    _, lines = told
    lookups = values(lines, "cache_requests_total", endpoint="course-detail")
    good = values(lines, "http_requests_total", endpoint="course-detail", method="GET", code="200")
    missing = values(lines, "http_requests_total", endpoint="course-detail", method="GET", code="404")
    assert np.array_equal(lookups, good + missing)


def test_history_hit_rate_is_healthy_now_and_lower_after_the_deployment(told):
    """Over 90 % in the last hour, a dip in the half hour after the release."""
    week, lines = told
    everything, misses = (
        values(lines, "cache_requests_total"),
        values(lines, "cache_requests_total", status="miss"),
    )

    def hit_ratio(start: float, end: float) -> float:
        return 1 - rate_over(week, misses, start, end) / rate_over(week, everything, start, end)

    released = week.deployment.at
    assert hit_ratio(END - 3600, END) > 0.9
    assert hit_ratio(released + 60, released + 900) < 0.75
    assert hit_ratio(released - 3600, released - 60) > 0.9


def test_history_penetration_is_under_three_percent(told):
    """The healthy share of NULL_VALUE answers."""
    week, lines = told
    null = rate_over(week, values(lines, "cache_requests_total", status="null_value"), END - 3600, END)
    assert 0 < null / rate_over(week, values(lines, "cache_requests_total"), END - 3600, END) < 0.03


def test_history_ends_with_the_rate_at_which_live_traffic_begins(told):
    """The last ten minutes have the rate that the generator uses now: no step at the seam."""
    week, lines = told
    rate = rate_over(week, values(lines, "cache_requests_total"), END - 600, END)
    assert rate == pytest.approx(RATE * activity(END - 300), rel=0.05)


def test_history_samples_end_at_the_same_time_for_every_detail(told):
    """However thinly a series is sampled, its last sample is the end of the history."""
    week, _ = told
    for detail in Detail:
        points = points_of(week.times, detail)
        assert points[-1] == len(week.times) - 1
        assert np.diff(week.times[points]).max() <= 720


def test_history_halves_share_the_work(told):
    """Two processes write about as many samples each."""
    week, lines = told
    middle = split_point(week, lines)
    counts = [
        write_open_metrics(io.StringIO(), lines, week.times, part)
        for part in (slice(0, middle), slice(middle, len(week.times)))
    ]
    assert counts[0] == pytest.approx(counts[1], rel=0.02)


def test_history_text_groups_families_and_ends_with_eof(told):
    """promtool wants each family once, counters without _total in TYPE, and a last line."""
    week, lines = told
    stream = io.StringIO()
    write_open_metrics(stream, lines, week.times, slice(len(week.times) - 3, len(week.times)))
    written = stream.getvalue().splitlines()
    types = [line for line in written if line.startswith("# TYPE")]
    assert len(types) == len(set(types))
    assert "# TYPE cache_requests counter" in types
    assert written[-1] == "# EOF"
    assert any(line.startswith("cache_requests_total{") and 'job="site"' in line for line in written)


def test_stats_history_rows_are_ordered_thinned_and_healthy():
    """At most 400,000 rows, oldest first, dense in the last half hour, with a healthy hit rate there."""
    rows = make_rows(week_of(END, RATE))
    stamps = [row[0] for row in rows]
    assert stamps == sorted(stamps)
    assert 250_000 < len(rows) < 400_000
    recent = rows[-30_000:]
    assert sum(row[2] != "miss" for row in recent) / len(recent) > 0.9
    assert {row[1] for row in rows} == set(ENDPOINTS)
    assert {row[4] for row in rows} == {"enhanced", "legacy"}
