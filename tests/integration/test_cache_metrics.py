"""CacheMetrics against a real Prometheus: exact numbers from a written history, and a live target that goes away.

Each case is a job of one server, so that ``metrics_selector`` keeps them apart. All histories end at ``END``.
"""

import http.server
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
from servers_fixtures import openmetrics
from sources_fixtures import site_environment

from runbooks_lib.errors import SourceError
from runbooks_lib.sources.metrics.cache_metrics import CacheMetrics
from runbooks_lib.sources.metrics.prometheus import Prometheus

END = int(time.time()) // 60 * 60 - 60
BEGIN = END - 7200
AT = datetime.fromtimestamp(END, UTC)
EVERY = 15
WINDOW = 900


class History:
    """The samples of all cases, as they are written to the server."""

    def __init__(self):
        self.samples = {}

    def add(self, metric, labels, value, *, start=BEGIN, end=END, gaps=()):
        """One series: ``value(unix time)`` every 15 s from start to end, except in the gaps."""
        times = [at for at in range(start, end + 1, EVERY) if not any(a < at < b for a, b in gaps)]
        self.samples.setdefault(metric, []).extend((labels, float(value(at)), at) for at in times)

    def up(self, job, instance="a", **keys):
        """The target was scraped successfully."""
        self.add("up", f'job="{job}",instance="{instance}"', lambda _: 1, **keys)

    def lookups(self, job, status, value, instance="a", endpoint="/courses", **keys):
        """The counter of one status."""
        labels = f'job="{job}",instance="{instance}",endpoint="{endpoint}",status="{status}"'
        self.add("cache_requests_total", labels, value, **keys)


def rising(per_second, since=BEGIN):
    """A counter that began at ``since``."""
    return lambda at: per_second * (at - since)


def two_instances(h):
    """1000/s at 90 % and 10/s at 20 %, with the gauge of each: the truth is 89.3 %, the average 55 %."""
    for instance, total, ratio in (("busy", 1000, 0.9), ("idle", 10, 0.2)):
        h.up("two", instance)
        h.lookups("two", "hit", rising(total * ratio), instance)
        h.lookups("two", "miss", rising(total * (1 - ratio)), instance)
        gauge = f'job="two",instance="{instance}",endpoint="/courses"'
        h.add("cache_hit_rate", gauge, lambda _, ratio=ratio: ratio)
        h.add("cache_penetration_attempts_total", gauge, rising(total / 100))


def percent_gauge(h):
    """Two workers export the same endpoint, in percent."""
    h.up("percent")
    h.lookups("percent", "hit", rising(8))
    h.lookups("percent", "miss", rising(2))
    for worker in "12":
        labels = f'job="percent",instance="a",endpoint="/courses",pid="{worker}"'
        h.add("cache_hit_rate", labels, lambda _: 80)


def counter_reset(h):
    """The process restarts 420 s before the end and counts from zero; 10 hits and 5 misses a second throughout."""
    h.up("reset")
    for status, rate in (("hit", 10), ("miss", 5)):
        h.lookups("reset", status, lambda at, rate=rate: rate * (at - (BEGIN if at < END - 420 else END - 420)))


def replaced_instance(h):
    """A pod ends 10 min before the end and another begins at zero; 10/s throughout."""
    h.up("replaced", "old", end=END - 600)
    h.up("replaced", "new", start=END - 585)
    h.lookups("replaced", "hit", rising(10), "old", end=END - 600)
    h.lookups("replaced", "hit", rising(10, END - 600), "new", start=END - 585)


def gap_in_scraping(h):
    """Nothing was scraped for 20 min in the middle; the process went on counting."""
    gaps = [(END - 3600, END - 2400)]
    h.up("gap", gaps=gaps)
    h.lookups("gap", "hit", rising(9), gaps=gaps)
    h.lookups("gap", "miss", rising(1), gaps=gaps)


def born_with_a_value(h):
    """A process that was there all the time gets its first 50,000 misses at once, 5 min before the end."""
    h.up("born")
    h.lookups("born", "hit", rising(100))
    h.lookups("born", "miss", lambda _: 50_000, start=END - 300, endpoint="/new")


def scraped_late(h):
    """An old process with millions of lookups is scraped for the first time 5 min before the end."""
    h.up("late", start=END - 300)
    h.lookups("late", "hit", lambda at: 5_000_000 + 10 * (at - END), start=END - 300)


def gap_at_the_start(h):
    """Prometheus was away when the window began: old series look young, but they are not."""
    gaps = [(END - 1500, END - 600)]
    h.up("away", gaps=gaps)
    h.lookups("away", "hit", rising(10), gaps=gaps)


def hole_in_one_series(h):
    """An old series is missing from a few good scrapes, then goes on with its millions."""
    h.up("hole")
    h.lookups("hole", "hit", lambda at: 5_000_000 + 10 * (at - END), gaps=[(END - 400, END - 300)])


def stopped(h):
    """The target ended 10 min before the end."""
    h.up("stopped", end=END - 600)
    h.lookups("stopped", "hit", rising(10), end=END - 600)


def many_endpoints(h):
    """2,000 endpoints with object ids, and 60 without."""
    h.up("many")
    for number in range(2000):
        h.lookups("many", "hit", rising(1, END - 1200), endpoint=f"/courses/{number}", start=END - 1200)
    for number in range(60):
        name = f"/section-{'abcdefghij'[number // 10]}{'abcdefghij'[number % 10]}"
        h.lookups("many", "miss", rising(number + 1, END - 1200), endpoint=name, start=END - 1200)


def requests_of(h):
    """10/s: 96 % up to 0.5 s, 3 % up to 2.5 s, 1 % longer; 0.2/s fail, 0.1/s are throttled."""
    h.up("web")
    for code, rate in (("200", 9.7), ("500", 0.15), ("503", 0.05), ("429", 0.1)):
        h.add("http_requests_total", f'job="web",instance="a",endpoint="/",method="GET",code="{code}"', rising(rate))
    for edge, rate in (("0.1", 5), ("0.5", 9.6), ("2.5", 9.9), ("+Inf", 10)):
        h.add("http_request_duration_seconds_bucket", f'job="web",instance="a",endpoint="/",le="{edge}"', rising(rate))
    h.add("http_request_duration_seconds_count", 'job="web",instance="a",endpoint="/"', rising(10))
    h.add("throttled_requests_total", 'job="web",instance="a",scope="anon"', rising(0.1))


def warming_of(h):
    """The worker's first failure is the first value of its series; one task took between 60 and 120 s."""
    labels = 'job="worker",instance="w",warming_type="scheduled"'
    h.up("worker", "w")
    step = END - 600
    h.add("cache_warming_tasks_total", f'{labels},status="success"', lambda at: 7 + 2 * (at >= step))
    h.add("cache_warming_tasks_total", f'{labels},status="error"', lambda _: 1, start=step)
    h.add("cache_warming_items_total", labels, lambda at: 500 + 212 * (at >= step))
    for edge, before, more in (("30", 4, 1), ("60", 7, 1), ("120", 7, 2), ("+Inf", 7, 2)):
        h.add(
            "cache_warming_duration_seconds_bucket",
            f'{labels},le="{edge}"',
            lambda at, before=before, more=more: before + more * (at >= step),
        )
    h.add("cache_warming_duration_seconds_sum", labels, lambda at: 200 + 94 * (at >= step))
    h.add("cache_warming_duration_seconds_count", labels, lambda at: 7 + 2 * (at >= step))


CASES = (
    two_instances,
    percent_gauge,
    counter_reset,
    replaced_instance,
    gap_in_scraping,
    born_with_a_value,
    scraped_late,
    gap_at_the_start,
    hole_in_one_series,
    stopped,
    many_endpoints,
    requests_of,
    warming_of,
)


@pytest.fixture(scope="module")
def server(prometheus_server):
    """One Prometheus with the histories of all cases."""
    history = History()
    for case in CASES:
        case(history)
    return prometheus_server(openmetrics(history.samples))


@pytest.fixture
def metrics(server):
    """Makes a reader of one case."""

    def make(job):
        environment = site_environment(prometheus_url=server.url, metrics_selector=f'job="{job}"')
        return CacheMetrics(Prometheus(environment), environment)

    return make


# --- lookups -----------------------------------------------------------------------------------------------------------


def test_lookups_of_two_instances_are_weighted_by_traffic(metrics):
    """89.3 %, as users see it; not 55 %, the average of the two gauges."""
    lookups = metrics("two").lookups(WINDOW, AT)

    assert lookups.hit_ratio == pytest.approx(902 / 1010, abs=1e-9)
    assert lookups.total == pytest.approx(1010 * WINDOW)
    assert lookups.penetration_ratio == pytest.approx(0.01)
    assert lookups.instances == 2
    assert lookups.degraded == ""


def test_lookups_across_a_counter_reset_are_counted_on(metrics):
    """A restart is not a negative rate; at most what happened in one scrape interval is lost."""
    lookups = metrics("reset").lookups(WINDOW, AT)

    assert lookups.hit_ratio == pytest.approx(2 / 3)
    assert 15 * (WINDOW - 2 * EVERY) <= lookups.total <= 15 * WINDOW


def test_lookups_across_a_replaced_instance_are_counted_on(metrics):
    """A rolling deploy changes the instance's name, not the traffic."""
    assert metrics("replaced").lookups(WINDOW, AT).total == pytest.approx(10 * WINDOW, rel=0.04)


def test_lookups_of_a_series_born_with_a_value_are_seen(metrics):
    """increase() alone would show 100 %: 50,000 misses of a new endpoint, all before its first scrape."""
    lookups = metrics("born").lookups(WINDOW, AT)

    assert [(one.endpoint, one.miss) for one in lookups.endpoints if one.miss] == [("/new", 50_000.0)]
    assert lookups.hit_ratio == pytest.approx(90_000 / 140_000)


@pytest.mark.parametrize("job", ["late", "away", "hole"])
def test_lookups_of_an_old_process_seen_late_do_not_count_its_whole_life(metrics, job):
    """A gap, or a target that is new to Prometheus, must not turn a life of counting into one window."""
    assert metrics(job).lookups(WINDOW, AT).total <= 10 * WINDOW


def test_lookups_of_a_target_that_ended_are_stale(metrics):
    """Its samples are still inside the window, and say nothing about now."""
    with pytest.raises(SourceError, match=r"stale: last sample 10 min ago; target down\?"):
        metrics("stopped").lookups(WINDOW, AT)


def test_lookups_of_a_target_that_ended_hours_ago_are_stale(metrics):
    """Not "has no series": the site was scraped once, and that is the thing to look at."""
    with pytest.raises(SourceError, match=r"stale: last sample 2 h"):
        metrics("two").lookups(WINDOW, AT + timedelta(hours=2))


def test_lookups_of_a_job_that_never_was_have_no_series(metrics):
    """A wrong selector, or a site that is not scraped."""
    with pytest.raises(SourceError, match="has no series of cache_requests_total"):
        metrics("nobody").lookups(WINDOW, AT)


def test_lookups_of_thousands_of_endpoints_stay_short_and_quick(metrics):
    """Object ids are folded into one entry, the tail into another, and nothing is lost."""
    source = metrics("many")
    source.lookups(WINDOW, AT)
    started = time.monotonic()
    lookups = source.lookups(WINDOW, AT)

    assert time.monotonic() - started < 1
    assert lookups.endpoints[0].endpoint == "/courses/<id>"
    assert lookups.endpoints[0].hit == pytest.approx(2000 * WINDOW)
    assert lookups.endpoints[-1].endpoint == "(11 others)"
    assert lookups.total == pytest.approx((2000 + 60 * 61 / 2) * WINDOW)


# --- history -----------------------------------------------------------------------------------------------------------


def test_history_is_weighted_by_traffic_and_has_every_point(metrics):
    """Two hours, a point each 30 s, by default."""
    history = metrics("two").history(7200 - 60, at=AT)

    assert history.step_seconds == 30
    assert len(history.times) == 239
    assert history.times[-1] == AT
    assert history.hit_ratio[-1] == pytest.approx(902 / 1010)
    assert history.penetration_ratio[-1] == pytest.approx(0.01)
    assert history.lookups_per_second[-1] == pytest.approx(1010)


def test_history_of_a_gap_has_none_there_and_values_around_it(metrics):
    """Twenty minutes without scrapes are not twenty minutes without traffic."""
    history = metrics("gap").history(7200 - 60, 60, at=AT)
    by_time = dict(zip(history.times, zip(history.hit_ratio, history.lookups_per_second, strict=True), strict=True))
    in_gap = [by_time[AT - timedelta(seconds=seconds)] for seconds in range(2460, 3540, 60)]

    assert set(in_gap) == {(None, None)}
    for seconds in (0, 1800, 4800):
        ratio, rate = by_time[AT - timedelta(seconds=seconds)]
        assert (ratio, rate) == (pytest.approx(0.9), pytest.approx(10))


def test_history_across_a_counter_reset_has_no_dip_below_zero(metrics):
    """rate() sees the restart."""
    history = metrics("reset").history(1800, 30, at=AT)

    assert all(ratio == pytest.approx(2 / 3) for ratio in history.hit_ratio if ratio is not None)
    assert all(0 < rate <= 15.001 for rate in history.lookups_per_second if rate is not None)


def test_history_of_a_target_that_ended_shows_its_end(metrics):
    """Since when is the question; the figure must still be drawn."""
    history = metrics("stopped").history(3600, 60, at=AT)

    assert history.hit_ratio[-1] is None
    assert history.hit_ratio[0] == 1.0


# --- requests, warming, gauge ------------------------------------------------------------------------------------------


def test_requests_give_exact_counts_and_the_p95_of_prometheus(metrics, server):
    """The p95 is the one that histogram_quantile gives."""
    requests = metrics("web").requests(WINDOW, 2.5, AT)

    assert requests.total == pytest.approx(10 * WINDOW)
    assert requests.errors == pytest.approx(0.2 * WINDOW)
    assert requests.slow == pytest.approx(0.1 * WINDOW)
    assert requests.throttled == {"anon": pytest.approx(0.1 * WINDOW)}
    query = 'histogram_quantile(0.95, sum by (le) (rate(http_request_duration_seconds_bucket{job="web"}[15m])))'
    (expected,) = Prometheus(site_environment(prometheus_url=server.url)).query(query, AT)
    assert requests.p95_seconds == pytest.approx(expected.value, rel=1e-6)
    assert requests.degraded == ""


def test_requests_slow_at_an_edge_that_does_not_exist_say_which_one_was_used(metrics):
    """1 s lies inside a bucket of this site."""
    requests = metrics("web").requests(WINDOW, 1.0, AT)

    assert requests.slow == pytest.approx(0.1 * WINDOW)
    assert "over 2.5 s" in requests.degraded


def test_requests_of_a_site_without_http_metrics_are_an_error(metrics):
    """The rest of triage still works."""
    with pytest.raises(SourceError, match="has no series of http_requests_total"):
        metrics("two").requests(WINDOW, at=AT)


def test_warming_sees_a_failure_that_is_the_first_value_of_its_series(metrics):
    """Failures are rare: most of them are born with the value 1, which increase() never shows."""
    warming = metrics("worker").warming(3600, AT)

    assert warming.tasks["scheduled"]["error"] == 1.0
    assert warming.tasks["scheduled"]["success"] == pytest.approx(2, rel=0.02)
    assert warming.items["scheduled"] == pytest.approx(212, rel=0.02)
    assert warming.mean_duration_seconds["scheduled"] == pytest.approx(47)
    assert warming.slowest_over_seconds == {"scheduled": 60.0}


def test_warming_in_a_window_without_a_task_has_no_duration(metrics):
    """Nothing ran, so nothing took long."""
    warming = metrics("worker").warming(300, AT)

    assert warming.tasks["scheduled"]["success"] == 0
    assert warming.mean_duration_seconds == {"scheduled": None}
    assert warming.slowest_over_seconds == {"scheduled": None}


def test_gauge_that_is_right_agrees_with_the_counters(metrics):
    """Weighted by lookups, even though its plain average is 55 %."""
    gauge = metrics("two").hit_rate_gauge(AT)

    assert gauge.gauge_ratio == pytest.approx(902 / 1010)
    assert gauge.counters_ratio == pytest.approx(902 / 1010)
    assert gauge.note == ""


def test_gauge_in_percent_is_recognised(metrics):
    """And divided by 100; several workers of one instance are averaged."""
    gauge = metrics("percent").hit_rate_gauge(AT)

    assert gauge.gauge_ratio == pytest.approx(0.8)
    assert gauge.in_percent
    assert "in percent" in gauge.note


def test_gauge_that_does_not_exist_is_none(metrics):
    """Many sites have only the counters."""
    assert metrics("reset").hit_rate_gauge(AT).gauge_ratio is None


# --- live --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", autouse=True)
def live(prometheus_server):
    """A site that counts 40 hits and 10 misses a second, scraped each second by a Prometheus of its own.

    It starts before all tests of this module, because Prometheus waits 5 s before its first scrape.
    """
    began = time.monotonic()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            passed = time.monotonic() - began
            counts = (f'{{endpoint="/x",status="{status}"}} {n * passed}' for status, n in (("hit", 40), ("miss", 10)))
            text = "".join(f"cache_requests_total{count}\n" for count in counts)
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(f"# TYPE cache_requests_total counter\n{text}".encode())

        def log_message(self, *_arguments):
            pass

    site = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=site.serve_forever, daemon=True).start()
    server = prometheus_server(scrape=[f"127.0.0.1:{site.server_port}"])
    yield site, Prometheus(site_environment(prometheus_url=server.url))
    site.server_close()


def test_live_site_is_read_within_seconds_and_stale_soon_after_it_ends(live):
    """As in the sandbox: scraped each second, windows of seconds, the server's own present."""
    site, prometheus = live
    metrics = CacheMetrics(prometheus, site_environment())
    ends = time.monotonic() + 30
    while time.monotonic() < ends:
        counts = prometheus.query('count_over_time(cache_requests_total{status="hit"}[5m])')
        if counts and counts[0].value >= 7:
            break
        time.sleep(0.2)
    lookups, history = metrics.lookups(5), metrics.history(10)
    site.shutdown()
    site.server_close()
    ended = time.monotonic()
    time.sleep(2.2)
    after_one_failed_scrape = metrics.lookups(5)

    assert lookups.hit_ratio == pytest.approx(0.8)
    assert lookups.total == pytest.approx(250, rel=0.2)
    assert lookups.instances == 1
    assert 1 <= history.step_seconds <= 2  # a second, once it has been scraped for long enough to know
    assert history.hit_ratio[-1] == pytest.approx(0.8)
    assert after_one_failed_scrape.hit_ratio == pytest.approx(0.8)
    time.sleep(max(0.0, 7.5 - (time.monotonic() - ended)))
    with pytest.raises(SourceError, match=r"stale: last sample \d(\.\d)? s ago; target down\?"):
        metrics.lookups(5)
