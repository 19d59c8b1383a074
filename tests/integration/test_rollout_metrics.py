"""RolloutMetrics against a real Prometheus: exact counts by cohort from a written history, and a gap for what is missing.

Each case is a job of one server, so that ``metrics_selector`` keeps them apart. All histories end at ``END``.
"""

import math
import time
from datetime import UTC, datetime, timedelta

import pytest
from servers_fixtures import openmetrics
from sources_fixtures import http_answer, site_environment

from runbooks_lib.facts import Gap
from runbooks_lib.sources.metrics.cohorts import RolloutMetrics
from runbooks_lib.sources.metrics.prometheus import Prometheus

END = int(time.time()) // 60 * 60 - 120
BEGIN = END - 3600
AT = datetime.fromtimestamp(END, UTC)
EVERY = 15
WINDOW = 900
HOSTILE = 'x"} or vector(1)\n#\\ {{<script>'
BUCKETS = (("0.5", 0.9), ("1.0", 0.97), ("2.5", 0.99), ("+Inf", 1.0))
PARTS = {"cohorts", "errors", "latency", "slow", "hit rate", "penetration", "warming", "flag"}


class History:
    """The samples of all cases, as they are written to the server."""

    def __init__(self):
        self.samples = {}

    def add(self, metric, labels, value, *, start=BEGIN, end=END, gaps=()):
        """One series: ``value(unix time)`` every 15 s from start to end, except in the gaps."""
        times = [at for at in range(start, end + 1, EVERY) if not any(a < at < b for a, b in gaps)]
        self.samples.setdefault(metric, []).extend((labels, float(value(at)), at) for at in times)

    def up(self, job, instance="a", value=lambda _: 1, **keys):
        """Scrapes of the target, successful ones by default."""
        self.add("up", f'job="{job}",instance="{instance}"', value, **keys)

    def requests(self, job, cohort, per_second, *, code="200", instance="a", since=BEGIN, **keys):
        """The counter of one cohort."""
        labels = f'job="{job}",instance="{instance}",endpoint="/",method="GET",code="{code}",cohort="{cohort}"'
        self.add("http_requests_total", labels, rising(per_second, since), **keys)

    def durations(self, job, cohort, per_second, *, buckets=BUCKETS, instance="a", since=BEGIN, **keys):
        """The histogram of one cohort."""
        labels = f'job="{job}",instance="{instance}",endpoint="/",cohort="{cohort}"'
        for edge, ratio in buckets:
            series = f'{labels},le="{edge}"'
            self.add("http_request_duration_seconds_bucket", series, rising(per_second * ratio, since), **keys)

    def lookups(self, job, rates, *, instance="a", since=BEGIN, **keys):
        """The counters of all statuses."""
        for status, rate in rates.items():
            labels = f'job="{job}",instance="{instance}",endpoint="/",status="{status}"'
            self.add("cache_requests_total", labels, rising(rate, since), **keys)

    def flag(self, job, percentage, *, feature="ENHANCED_CACHE", instance="a", **keys):
        """What one process serves."""
        shown = feature.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
        labels = f'job="{job}",instance="{instance}",feature="{shown}"'
        self.add("feature_flag_percentage", labels, percentage, **keys)

    def site(self, job, *, instance="a", **keys):
        """A whole healthy process: 9 requests a second without the feature, 1 with it."""
        self.up(job, instance, **keys)
        for cohort, rate in (("legacy", 9), ("enhanced", 1)):
            self.requests(job, cohort, rate, instance=instance, **keys)
            self.durations(job, cohort, rate, instance=instance, **keys)
        self.lookups(job, {"hit": 8, "stale": 0.5, "null_value": 0.5, "miss": 1}, instance=instance, **keys)
        self.flag(job, lambda _: 10, instance=instance, **keys)


def rising(per_second, since=BEGIN):
    """A counter that began at ``since``."""
    return lambda at: per_second * (at - since)


def healthy(h):
    """Two instances; attempts counted; a first error of the enhanced cohort that is born with the value 3."""
    for instance in "ab":
        h.site("healthy", instance=instance)
        h.requests("healthy", "legacy", 0.1, code="503", instance=instance)
        labels = f'job="healthy",instance="{instance}",endpoint="/"'
        h.add("cache_penetration_attempts_total", labels, rising(0.3))
    born = 'job="healthy",instance="a",endpoint="/",method="GET",code="500",cohort="enhanced"'
    h.add("http_requests_total", born, lambda _: 3, start=END - 300)
    h.flag("healthy", lambda _: 99, feature=HOSTILE)
    h.flag("healthy", lambda _: 77, feature="OTHER")
    for edge, more in (("30", 0), ("60", 1), ("120", 2), ("+Inf", 2)):
        labels = f'job="healthy",instance="w",warming_type="scheduled",le="{edge}"'
        h.add("cache_warming_duration_seconds_bucket", labels, lambda at, more=more: 7 + more * (at >= END - 600))
    h.add("cache_warming_duration_seconds_count", 'job="healthy",instance="w",warming_type="scheduled"', lambda _: 7)


def one_cohort_only(h):
    """At 0 % nobody is enhanced, at 100 % nobody is not."""
    for job, cohort, percentage in (("zero", "legacy", 0), ("full", "enhanced", 100)):
        h.up(job)
        h.requests(job, cohort, 10)
        h.durations(job, cohort, 10)
        h.flag(job, lambda _, percentage=percentage: percentage)


def labels_missing(h):
    """No cohort at all; a part of the traffic without it; requests without a code."""
    for job in ("unlabelled", "mixed"):
        h.up(job)
        h.add("http_requests_total", f'job="{job}",instance="a",code="200"', rising(5))
    h.requests("mixed", "legacy", 95)
    h.up("codeless")
    h.add("http_requests_total", 'job="codeless",instance="a",cohort="legacy"', rising(5))


def ended(h):
    """Everything ended half an hour ago; once with its target, once because the target does not answer any more."""
    h.site("ended", end=END - 1800)
    for cohort, rate in (("legacy", 9), ("enhanced", 1)):
        h.requests("down", cohort, rate, end=END - 1800)
    h.lookups("down", {"hit": 1}, end=END - 1800)
    h.up("down", value=lambda at: at <= END - 1800)


def hardly_scraped(h):
    """Scraped for the first time half a minute before the end."""
    h.site("new", start=END - 30)


def edges(h):
    """No bucket ends at 1 s; two processes with different edges."""
    for job, by_instance in (
        ("coarse", {"a": (("0.5", 0.9), ("2.5", 0.99), ("+Inf", 1.0))}),
        ("differing", {"a": (("1", 0.9), ("+Inf", 1.0)), "b": (("2", 0.1), ("+Inf", 1.0))}),
    ):
        for instance, buckets in by_instance.items():
            h.up(job, instance)
            h.requests(job, "legacy", 10, instance=instance)
            h.durations(job, "legacy", 10, buckets=buckets, instance=instance)


def restarted(h):
    """The process began again in the middle of the window."""
    middle = END - 450
    h.up("restarted")
    labels = 'job="restarted",instance="a",code="200",cohort="enhanced"'
    h.add("http_requests_total", labels, lambda at: 10 * (at - (BEGIN if at < middle else middle)))


def observed_in_part(h):
    """Prometheus away for half of the window; one of two targets failing for half of it; a rolling deployment."""
    h.site("away", gaps=[(END - 700, END - 250)])
    h.site("failing", instance="a")
    h.site("failing", instance="b", end=END - 450)
    h.up("failing", "b", lambda _: 0, start=END - 435)
    h.site("rolled", instance="old", end=END - 450)
    h.up("rolled", "new", start=END - 435)
    h.requests("rolled", "legacy", 9, instance="new", since=END - 450, start=END - 435)
    h.up("rolled", "dead", lambda _: 0)
    h.requests("stored only", "legacy", 10)


def stale_percentage(h):
    """One process goes on serving 25 % for a while; a counter that shows a percentage of its own."""
    h.site("late", instance="a")
    h.requests("late", "legacy", 1, instance="b")
    h.flag("late", lambda at: 25 if at < END - 300 else 10, instance="b")
    h.requests("late", "legacy", 0, instance="worker")
    h.flag("late", lambda _: 100, instance="worker")


def no_numbers(h):
    """NaN and infinity where counters should be."""
    h.up("nan")
    h.requests("nan", "legacy", math.nan)
    h.lookups("nan", {"hit": 1, "miss": math.nan})
    h.flag("nan", lambda _: 10)
    h.flag("nan", lambda _: math.nan, instance="b")
    h.up("infinite")
    h.requests("infinite", "legacy", 10)
    h.durations("infinite", "legacy", math.inf)
    h.lookups("infinite", {"hit": 1})
    h.add("cache_penetration_attempts_total", 'job="infinite",instance="a"', lambda _: math.inf)


def idle(h):
    """All counters are there and stand still; the worker has not warmed since it began again."""
    h.up("idle")
    h.add("http_requests_total", 'job="idle",instance="a",code="200",cohort="legacy"', lambda _: 5)
    h.add("cache_requests_total", 'job="idle",instance="a",status="hit"', lambda _: 5)
    h.add("cache_warming_duration_seconds_count", 'job="idle",instance="a"', lambda _: 5, end=END - 1800)


CASES = (
    healthy,
    one_cohort_only,
    labels_missing,
    ended,
    hardly_scraped,
    edges,
    restarted,
    observed_in_part,
    stale_percentage,
    no_numbers,
    idle,
)


@pytest.fixture(scope="module")
def server(prometheus_server):
    """One Prometheus with the histories of all cases."""
    history = History()
    for case in CASES:
        case(history)
    return prometheus_server(openmetrics(history.samples))


@pytest.fixture
def window(server):
    """Reads the window of one case."""

    def read(job, feature="ENHANCED_CACHE", *, ended_at=AT, seconds=WINDOW):
        return metrics_of(server.url, job).window(feature, ended_at - timedelta(seconds=seconds), ended_at)

    return read


def metrics_of(url, job, **keys):
    environment = site_environment(prometheus_url=url, metrics_selector=f'job="{job}"')
    return RolloutMetrics(Prometheus(environment, **keys), environment)


# --- what is there -----------------------------------------------------------------------------------------------------


def test_window_of_a_healthy_site_has_exact_counts_by_cohort(window):
    """Over both instances, and with the errors that a series was born with."""
    found = window("healthy")

    assert found.gaps == {}
    assert found.notes == ()
    assert found.seconds == WINDOW
    assert found.enhanced.requests == pytest.approx(2 * WINDOW + 3)
    assert found.enhanced.errors == pytest.approx(3)
    assert found.control.requests == pytest.approx(2 * 9.1 * WINDOW)
    assert found.control.errors == pytest.approx(0.2 * WINDOW)
    assert found.control.slow == pytest.approx(0.03 * 18 * WINDOW)
    assert list(found.control.buckets) == [0.5, 1.0, 2.5, math.inf]
    assert found.control.buckets[0.5] == pytest.approx(0.9 * 18 * WINDOW)
    assert found.observed_ratio == pytest.approx(1)


def test_window_of_a_healthy_site_has_the_cache_of_both_cohorts(window):
    """They share one Redis; warming by the lower edge of the highest bucket that a task fell into."""
    found = window("healthy")

    assert found.lookups == pytest.approx(20 * WINDOW)
    assert found.hit_ratio == pytest.approx(0.9)
    assert found.penetration_ratio == pytest.approx(0.03)
    assert found.warming_slowest_seconds == 60.0
    assert found.served_percent == (10, 10)


def test_window_is_exactly_its_own_time(window):
    """Two windows that follow each other share nothing: together they are the whole."""
    first, second = (window("healthy", ended_at=AT - timedelta(seconds=back), seconds=450) for back in (450, 0))

    assert first.enhanced.requests + second.enhanced.requests == pytest.approx(window("healthy").enhanced.requests)
    assert first.enhanced.errors == 0
    assert second.enhanced.errors == pytest.approx(3)


def test_window_keeps_its_queries_for_the_record(window):
    """Every number can be asked for again."""
    queries = window("healthy").queries

    assert {"requests", "latency", "lookups", "penetration", "warming", "flag lowest", "covered"} <= queries.keys()
    assert "[900s]" in queries["requests"]


@pytest.mark.parametrize(("job", "percentage"), [("zero", 0), ("full", 100)])
def test_window_with_one_cohort_only_has_no_requests_of_the_other(window, job, percentage):
    """Nobody is enhanced at 0 %: that is a count of 0, known, and no gap."""
    found = window(job)
    busy, other = (found.control, found.enhanced) if percentage == 0 else (found.enhanced, found.control)

    assert busy.requests == pytest.approx(10 * WINDOW)
    assert (other.requests, other.errors, other.slow) == (0, 0, 0)
    assert other.buckets.keys() == busy.buckets.keys()
    assert not {"cohorts", "errors", "latency", "slow"} & found.gaps.keys()
    assert found.served_percent == (percentage, percentage)


def test_window_with_a_restart_counts_on(window):
    """At most what happened in one scrape interval is lost."""
    assert 10 * (WINDOW - 2 * EVERY) <= window("restarted").enhanced.requests <= 10 * WINDOW


def test_window_of_an_idle_site_counts_nothing_and_has_no_rate(window):
    """No lookup has no hit rate; a worker that answers and shows no task has not warmed."""
    found = window("idle")

    assert found.control.requests == 0
    assert (found.lookups, found.hit_ratio, found.penetration_ratio) == (0, None, None)
    assert found.gaps["hit rate"] == found.gaps["penetration"] == Gap.TOO_FEW
    assert found.warming_slowest_seconds is None
    assert "warming" not in found.gaps


# --- the flag ----------------------------------------------------------------------------------------------------------


def test_window_shows_the_stale_percentage_of_one_process(window):
    """It served 25 % for a part of the window, however briefly; a worker that serves nobody does not count."""
    assert window("late").served_percent == (10, 25)


def test_window_of_a_hostile_feature_name_asks_for_that_feature(window):
    """Quotes, braces and line breaks are part of the name, not of the query."""
    assert window("healthy", HOSTILE).served_percent == (99, 99)


@pytest.mark.parametrize("feature", ["", ".*", 'ENHANCED_CACHE"} or up{job="healthy', "ENHANCED_CACHE\x00"])
def test_window_of_a_feature_that_nobody_shows_has_no_percentage(window, feature):
    """A name is compared, never interpreted."""
    found = window("healthy", feature)

    assert found.served_percent is None
    assert found.gaps == {"flag": Gap.NO_SERIES}


# --- what is missing ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("job", ["unlabelled", "mixed"])
def test_window_of_requests_outside_both_cohorts_is_not_labelled(window, job):
    """Also when that is a twentieth of the traffic: the cohorts' shares would not be those of the users."""
    found = window(job)

    assert (found.enhanced, found.control) == (None, None)
    assert {found.gaps[part] for part in ("cohorts", "errors", "latency", "slow")} == {Gap.NOT_LABELLED}


def test_window_of_requests_without_a_code_has_no_errors(window):
    """The requests themselves are known; there is no histogram either."""
    found = window("codeless")

    assert found.control.requests == pytest.approx(5 * WINDOW)
    assert found.control.errors is None
    assert found.gaps["errors"] == Gap.NOT_LABELLED
    assert found.gaps["latency"] == found.gaps["slow"] == Gap.NO_SERIES


def test_window_after_everything_ended_is_stale(window):
    """Not "no series": it was there once, and that is the thing to look at."""
    found = window("ended")

    assert {found.gaps[part] for part in ("cohorts", "hit rate", "penetration", "flag")} == {Gap.STALE}
    assert found.gaps["warming"] == Gap.NO_SERIES
    assert (found.enhanced, found.hit_ratio, found.served_percent) == (None, None, None)
    assert found.observed_ratio == 0


def test_window_of_a_target_that_does_not_answer_is_target_down(window):
    """Prometheus tried, and says so."""
    found = window("down")

    assert {found.gaps[part] for part in PARTS} == {Gap.TARGET_DOWN}
    assert found.observed_ratio == 0


def test_window_of_a_site_that_was_hardly_scraped_has_too_few_samples(window):
    """Three samples are no window; how many bins they fall into depends on where the bins begin."""
    found = window("new")

    assert found.gaps["cohorts"] == found.gaps["hit rate"] == Gap.TOO_FEW
    assert (found.enhanced, found.hit_ratio) == (None, None)
    assert found.observed_ratio < 0.75


def test_window_of_a_job_that_never_was_has_no_series(window):
    """A wrong selector, or a site that is not scraped."""
    found = window("nobody")

    assert found.gaps == dict.fromkeys(PARTS, Gap.NO_SERIES)
    assert found.observed_ratio == 0


def test_window_without_a_bucket_at_one_second_has_no_slow_requests(window):
    """The next edge would count too few; latency is still known."""
    found = window("coarse")

    assert found.control.slow is None
    assert found.control.buckets[2.5] == pytest.approx(0.99 * 10 * WINDOW)
    assert {part: gap for part, gap in found.gaps.items() if part in ("latency", "slow")} == {"slow": Gap.NO_BUCKET}


def test_window_of_processes_with_different_edges_has_no_latency(window):
    """Their sums are not cumulative, so no quantile of them is one."""
    found = window("differing")

    assert (found.control.slow, found.control.buckets) == (None, {})
    assert found.gaps["latency"] == found.gaps["slow"] == Gap.NO_BUCKET


def test_window_of_nan_counters_has_gaps_and_no_number(window):
    """Neither in the cohorts, nor in the cache, nor in the flag of one process."""
    found = window("nan")

    assert (found.enhanced, found.control, found.hit_ratio, found.lookups) == (None, None, None, None)
    assert found.served_percent is None
    assert {found.gaps[part] for part in ("cohorts", "hit rate", "penetration", "flag")} == {Gap.NONSENSE}


def test_window_of_infinite_counters_has_gaps_and_no_number(window):
    """What does not depend on them is there."""
    found = window("infinite")

    assert found.control.requests == pytest.approx(10 * WINDOW)
    assert (found.control.slow, found.control.buckets, found.penetration_ratio) == (None, {}, None)
    assert (found.hit_ratio, found.gaps["latency"], found.gaps["penetration"]) == (
        1.0,
        Gap.NONSENSE,
        Gap.NONSENSE,
    )


# --- how much was observed ---------------------------------------------------------------------------------------------


def test_window_of_a_prometheus_that_was_away_is_observed_in_part(window):
    """Half of it; the counters went on, and their growth is known all the same."""
    found = window("away")

    assert found.observed_ratio == pytest.approx(0.5, abs=0.07)
    assert found.control.requests == pytest.approx(9 * WINDOW, rel=0.01)


def test_window_of_a_target_that_failed_for_a_while_is_observed_in_part(window):
    """One of two, for half of the time."""
    assert window("failing").observed_ratio == pytest.approx(0.75, abs=0.04)


def test_window_of_a_rolling_deployment_is_observed(window):
    """The old process ends, the new one begins; a target that never served traffic does not count."""
    assert window("rolled").observed_ratio == pytest.approx(1, abs=0.06)


def test_window_where_nobody_stores_up_is_observed_by_its_samples(window):
    """Some servers hold only what an agent sent them."""
    assert window("stored only").observed_ratio == pytest.approx(1)


def test_window_that_is_not_over_yet_is_observed_in_part(window):
    """A third of it lies beyond the last sample."""
    assert window("healthy", ended_at=AT + timedelta(seconds=300)).observed_ratio == pytest.approx(0.67, abs=0.06)


# --- Prometheus itself -------------------------------------------------------------------------------------------------


def assert_nothing_is_known(found):
    assert found.gaps == dict.fromkeys({*PARTS, "scrapes"}, Gap.QUERY_FAILED)
    assert (found.enhanced, found.control, found.served_percent, found.hit_ratio) == (None, None, None, None)
    assert (found.lookups, found.penetration_ratio, found.warming_slowest_seconds) == (None, None, None)
    assert found.observed_ratio == 0


def test_window_of_an_unreachable_prometheus_is_a_gap_in_every_part():
    """Nothing is raised, and the reason stands in the notes."""
    found = metrics_of("http://127.0.0.1:1", "x").window("F", AT - timedelta(seconds=60), AT)

    assert_nothing_is_known(found)
    assert found.notes == ("nothing listens at http://127.0.0.1:1: the connection was refused",)


def test_window_of_a_prometheus_that_hangs_ends_in_time(black_hole):
    """It takes one deadline, not one for each part."""
    metrics = metrics_of(f"http://127.0.0.1:{black_hole}", "x", timeout_seconds=0.5)
    started = time.monotonic()

    assert_nothing_is_known(metrics.window("F", AT - timedelta(seconds=60), AT))
    assert time.monotonic() - started < 2.5


@pytest.mark.parametrize(
    "answer",
    [
        http_answer("<html>login</html>", content_type="text/html"),
        http_answer('{"status":"error","errorType":"timeout","error":"query timed out"}', status=503),
        http_answer('{"status":"success","data":{"resultType":"vector","result":[{"value":[1,"x"]}]}}'),
        b"",
    ],
)
def test_window_of_a_server_that_lies_is_a_gap_in_every_part(socket_server, answer):
    """A login page, a query that ran into its limit, a value that is none, a closed connection."""
    metrics = metrics_of(socket_server(answer).url, "x", timeout_seconds=1)

    assert_nothing_is_known(metrics.window("F", AT - timedelta(seconds=60), AT))


def test_window_notes_what_prometheus_says_is_missing(socket_server):
    """A partial answer of Thanos is an answer; that it is partial is written down."""
    body = '{"status":"success","warnings":["store a\\nis down"],"data":{"resultType":"vector","result":[]}}'
    found = metrics_of(socket_server(http_answer(body)).url, "x").window("F", AT - timedelta(seconds=60), AT)

    assert found.notes == ("store a is down",)
    assert found.gaps["cohorts"] == Gap.NO_SERIES


@pytest.mark.parametrize(
    ("started_at", "ended_at", "says"),
    [
        (AT, AT, "not 0 s later"),
        (AT, AT - timedelta(seconds=5), "not -5 s later"),
        (AT.replace(tzinfo=None), AT, "aware"),
    ],
)
def test_window_without_a_length_or_a_time_zone_is_refused(started_at, ended_at, says):
    """A mistake of the caller is not a gap."""
    with pytest.raises(ValueError, match=says):
        metrics_of("http://127.0.0.1:1", "x").window("F", started_at, ended_at)
