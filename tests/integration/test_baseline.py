"""The baseline of a day against a real Prometheus: exact values by hour, hours that are missing, a Redis that is not ours.

Each case is a job of one server. A scrape a minute keeps a day small; the short day has slots of a minute.
"""

import time
import urllib.request
from datetime import UTC, datetime, timedelta

import pytest
from servers_fixtures import openmetrics
from sources_fixtures import http_answer, site_environment

from runbooks_lib.errors import SourceError
from runbooks_lib.facts.rollout import SLOTS_COUNT
from runbooks_lib.sources.metrics.baseline import read_baseline
from runbooks_lib.sources.metrics.prometheus import Prometheus

HOUR = 3600
END = int(time.time()) // HOUR * HOUR
BEGIN = END - SLOTS_COUNT * HOUR - 600
AT = datetime.fromtimestamp(END, UTC)
SHORT_BEGIN = END - SLOTS_COUNT * 60 - 60


class History:
    """The samples of all cases, as they are written to the server."""

    def __init__(self):
        self.samples = {}

    def add(self, metric, labels, value, *, start=BEGIN, end=END, gaps=(), every=60):
        """One series: ``value(unix time)`` from start to end, except in the gaps."""
        times = [at for at in range(start, end + 1, every) if not any(a < at < b for a, b in gaps)]
        self.samples.setdefault(metric, []).extend((labels, float(value(at)), at) for at in times)

    def site(self, job, **keys):
        """10 requests a second, 1 % errors, 2 % slow; 90 % hits, 3 % attempts."""
        start = keys.get("start", BEGIN)
        target = f'job="{job}",instance="a"'
        self.add("up", target, lambda _: 1, **keys)
        for code, rate in (("200", 9.9), ("500", 0.1)):
            labels = f'{target},code="{code}",cohort="legacy"'
            self.add("http_requests_total", labels, rising(rate, start), **keys)
        for edge, rate in (("0.1", 5), ("0.5", 9.5), ("1.0", 9.8), ("+Inf", 10)):
            self.add("http_request_duration_seconds_bucket", f'{target},le="{edge}"', rising(rate, start), **keys)
        for status, rate in (("hit", 8), ("stale", 1), ("miss", 1)):
            self.add("cache_requests_total", f'{target},status="{status}"', rising(rate, start), **keys)
        self.add("cache_penetration_attempts_total", target, rising(0.3, start), **keys)


def rising(per_second, since):
    """A counter that began at ``since``."""
    return lambda at: per_second * (at - since)


def outages(h):
    """Two whole hours and half of a third one without a scrape."""
    h.site("gaps", gaps=[(END - 5 * HOUR, END - 3 * HOUR + 1), (END - 2 * HOUR, END - 2 * HOUR + 1800)])


def worse_hour(h):
    """In the last hour every second lookup is a miss; nothing is known of requests."""
    h.add("up", 'job="worse",instance="a"', lambda _: 1)
    for status, before, after in (("hit", 9, 5), ("miss", 1, 5)):
        labels = f'job="worse",instance="a",status="{status}"'
        h.add(
            "cache_requests_total",
            labels,
            lambda at, before=before, after=after: (
                before * (min(at, END - HOUR) - BEGIN) + after * max(0, at - END + HOUR)
            ),
        )


def no_numbers(h):
    """Counters that are NaN."""
    h.add("up", 'job="nan",instance="a"', lambda _: 1)
    for metric, label in (("http_requests_total", 'code="200"'), ("cache_requests_total", 'status="hit"')):
        h.add(metric, f'job="nan",instance="a",{label}', lambda _: float("nan"))
    h.add("http_requests_total", 'job="nan",instance="b",code="200"', rising(1, BEGIN))


def memory(h):
    """Two exporters; one says that it belongs to a site."""
    h.add("redis_memory_used_bytes", 'job="redis",site="shop"', lambda at: 1000 + (at - BEGIN) // HOUR)
    h.add("redis_memory_used_bytes", 'job="redis",site="other"', lambda _: 5)


def short_day(h):
    """A day of 24 minutes, scraped every two seconds."""
    h.site("short", start=SHORT_BEGIN, every=2, gaps=[(END - 180, END - 119)])


@pytest.fixture(scope="module")
def server(prometheus_server):
    """One Prometheus with the histories of all cases."""
    history = History()
    history.site("whole")
    for case in (outages, worse_hour, no_numbers, memory, short_day):
        case(history)
    return prometheus_server(openmetrics(history.samples))


@pytest.fixture
def baseline(server):
    """Reads the baseline of one case."""

    def read(selector, **keys):
        environment = site_environment(prometheus_url=server.url, metrics_selector=selector)
        return read_baseline(Prometheus(environment), environment, **{"ended_at": AT, **keys})

    return read


def test_baseline_of_a_whole_day_has_exact_values_in_every_hour(baseline):
    """Each hour on its own: counts of exactly that hour."""
    found = baseline('job="whole"')

    assert len(found.slots) == SLOTS_COUNT
    assert (found.ended_at, found.slot_seconds, found.complete_ratio) == (AT, HOUR, pytest.approx(1))
    for number, slot in enumerate(found.slots):
        assert slot.started_at == AT - timedelta(hours=SLOTS_COUNT - number)
        assert slot.observed_ratio == pytest.approx(1)
        assert slot.requests == pytest.approx(10 * HOUR)
        assert slot.error_ratio == pytest.approx(0.01)
        assert slot.slow_ratio == pytest.approx(0.02)
        assert slot.p95_seconds == pytest.approx(0.5)
        assert slot.hit_ratio == pytest.approx(0.9)
        assert slot.penetration_ratio == pytest.approx(0.03)


def test_baseline_of_a_day_with_outages_has_empty_hours(baseline):
    """Two are unknown in every value; one of which half was seen has the values of that half."""
    found = baseline('job="gaps"')
    by_age = {round((AT - slot.started_at).total_seconds() / HOUR): slot for slot in found.slots}

    for age in (4, 5):
        slot = by_age[age]
        assert slot.observed_ratio == 0
        assert {slot.hit_ratio, slot.penetration_ratio, slot.p95_seconds, slot.error_ratio, slot.requests} == {None}
    assert by_age[2].observed_ratio == pytest.approx(0.5, abs=0.1)
    assert by_age[2].hit_ratio == pytest.approx(0.9)
    assert by_age[3].observed_ratio == pytest.approx(1)
    assert found.complete_ratio == pytest.approx((SLOTS_COUNT - 2.5) / SLOTS_COUNT, abs=0.01)


def test_baseline_of_a_site_without_requests_says_what_is_missing(baseline):
    """The hit rate of each hour is there; ``null_value`` stands for attempts that nobody counts."""
    found = baseline('job="worse"')

    assert [round(slot.hit_ratio, 6) for slot in found.slots] == [0.9] * 23 + [0.5]
    assert {slot.penetration_ratio for slot in found.slots} == {0.0}
    assert {(slot.requests, slot.error_ratio, slot.p95_seconds) for slot in found.slots} == {(None, None, None)}
    assert "no requests and errors: Prometheus has no http_requests_total in this time" in found.notes
    assert any("http_request_duration_seconds" in note for note in found.notes)


def test_baseline_of_nan_counters_has_no_values(baseline):
    """A sum with one NaN in it is not the sum of the others."""
    found = baseline('job="nan"')

    assert {(slot.requests, slot.error_ratio, slot.hit_ratio) for slot in found.slots} == {(None, None, None)}
    assert found.complete_ratio == pytest.approx(1)


def test_baseline_of_a_site_that_is_not_scraped_is_empty(baseline):
    """Nothing observed, nothing invented."""
    found = baseline('job="nobody"')

    assert found.complete_ratio == 0
    assert len(found.slots) == SLOTS_COUNT
    assert all(slot.hit_ratio is None and slot.used_memory_bytes is None for slot in found.slots)


def test_baseline_takes_the_memory_of_the_redis_that_the_selector_does_not_exclude(baseline):
    """At the end of each hour."""
    found = baseline('site="shop"')

    assert found.notes[0].startswith("no requests")
    assert {slot.used_memory_bytes for slot in found.slots} == {None}, "nothing was observed of this site"
    seen = baseline('job=~"whole|redis",site=~"|shop"')
    assert [slot.used_memory_bytes for slot in seen.slots][-2:] == [1023, 1024]


def test_baseline_of_several_redis_servers_takes_none(baseline):
    """Nothing tells which one belongs to the site: a wrong one is worse than none."""
    found = baseline('job="whole"')

    assert {slot.used_memory_bytes for slot in found.slots} == {None}
    assert [note for note in found.notes if "memory" in note] == [
        "no Redis memory: redis_memory_used_bytes of 2 servers, and nothing tells which is the site's"
    ]


def test_baseline_of_a_short_day_sees_the_same(baseline):
    """Where time runs sixty times faster an hour is a minute, and a minute without a scrape is a missing hour."""
    found = baseline('job="short"', slot_seconds=60)

    observed = [round(slot.observed_ratio, 1) for slot in found.slots]
    assert observed == [1.0] * 21 + [0.0] + [1.0] * 2
    assert found.slots[-1].requests == pytest.approx(600)
    assert found.slots[-1].p95_seconds == pytest.approx(0.5)
    assert found.at(AT + timedelta(minutes=SLOTS_COUNT - 1)) == found.slots[-1]


@pytest.mark.parametrize("ended_at", [AT, AT + timedelta(seconds=1), AT + timedelta(seconds=HOUR - 1)])
def test_baseline_ends_with_the_newest_full_hour(baseline, ended_at):
    """Whatever the minute."""
    assert baseline('job="whole"', ended_at=ended_at).ended_at == AT


def test_baseline_ends_now_by_default(baseline):
    """With the newest hour that is over."""
    before = int(time.time()) // HOUR * HOUR
    found = baseline('job="whole"', ended_at=None)

    assert before <= found.ended_at.timestamp() <= time.time()
    assert found.at(found.ended_at - timedelta(seconds=1)) == found.slots[-1]


def test_baseline_asks_few_questions(server, socket_server):
    """At most twelve, however large the site is."""
    empty = http_answer('{"status":"success","data":{"resultType":"matrix","result":[]}}')
    asked = socket_server(empty)
    environment = site_environment(prometheus_url=asked.url)
    read_baseline(Prometheus(environment), environment, ended_at=AT)

    assert 1 <= len(asked.requests) <= 12


def test_baseline_of_an_unreachable_prometheus_is_an_error():
    """There is nothing to record."""
    environment = site_environment()

    with pytest.raises(SourceError, match="nothing listens"):
        read_baseline(Prometheus(environment), environment)


def test_baseline_with_one_query_refused_has_the_others(server, socket_server):
    """The heaviest query runs into a limit: p95 is missing, with the reason; the rest is there."""

    def answer(connection, request):
        if "seconds_bucket" in request:
            refused = (
                '{"status":"error","errorType":"execution","error":"query processing would load too many samples"}'
            )
            connection.sendall(http_answer(refused, status=422))
            return
        connection.sendall(http_answer(fetched(server.url, request)))

    environment = site_environment(prometheus_url=socket_server(answer).url, metrics_selector='job="whole"')
    found = read_baseline(Prometheus(environment), environment, ended_at=AT)

    assert found.slots[-1].hit_ratio == pytest.approx(0.9)
    assert found.slots[-1].p95_seconds is None
    assert any(note.startswith("p95 and slow requests could not be read") for note in found.notes)


def fetched(url, request):
    """The answer of the real server to the same request."""
    path = request.split(" ")[1]
    with urllib.request.urlopen(url + path, timeout=5) as reply:
        return reply.read()


@pytest.mark.parametrize("keys", [{"slot_seconds": 0.5}, {"slot_seconds": float("nan")}, {"slot_seconds": 1e6}])
def test_baseline_of_an_impossible_slot_is_refused(baseline, keys):
    """Before anything is asked."""
    with pytest.raises(ValueError, match="slot_seconds must be 1"):
        baseline("", **keys)


def test_baseline_of_a_moment_without_a_time_zone_is_refused(baseline):
    """An hour of day needs one."""
    with pytest.raises(ValueError, match="aware"):
        baseline("", ended_at=AT.replace(tzinfo=None))
