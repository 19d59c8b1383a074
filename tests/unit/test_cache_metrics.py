"""CacheMetrics against recorded answers: what is summed, folded, missing, stale, and said about it."""

import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sources_fixtures import http_answer, site_environment

from runbooks_lib.errors import SourceError
from runbooks_lib.sources.metrics.cache_metrics import CacheMetrics
from runbooks_lib.sources.metrics.endpoints import MAX_ENDPOINTS, by_endpoint, folded
from runbooks_lib.sources.metrics.prometheus import Prometheus

SITE = json.loads((Path(__file__).parents[1] / "data" / "prometheus" / "site.json").read_text())
NOW = 1_795_376_700
FRESH = '"what", "age"'


@pytest.fixture
def site(socket_server):
    """Makes CacheMetrics over a server with the recorded answers; others may replace or (None) remove some."""

    def make(changes=None, *, metrics_selector="", answer_warnings=()):
        answers = {
            part: found for part, found in ((changes or {}) | SITE | (changes or {})).items() if found is not None
        }

        def act(connection, request):
            query, path = _query_of(request)
            kind, shape = ("matrix", list) if "query_range" in path else ("vector", str)
            fitting = (found for part, found in answers.items() if part in query and part != "_")
            elements = [(labels, value) for labels, value in next(fitting, []) if isinstance(value, shape)]
            form = (lambda v: {"values": v}) if kind == "matrix" else (lambda v: {"value": [NOW, v]})
            result = [{"metric": labels, **form(value)} for labels, value in elements]
            body = {"status": "success", "data": {"resultType": kind, "result": result}}
            connection.sendall(http_answer(json.dumps(body | {"warnings": list(answer_warnings)})))

        server = socket_server(act)
        environment = site_environment(prometheus_url=server.url, metrics_selector=metrics_selector)
        metrics = CacheMetrics(Prometheus(environment, timeout_seconds=2), environment)
        metrics.asked = server.requests
        return metrics

    return make


def _query_of(request):
    head, _, body = request.partition("\r\n\r\n")
    target = urlsplit(head.split(" ")[1])
    return parse_qs(target.query or body)["query"][0], target.path


def fresh(age="4.2", in_1m="4", in_5m="20"):
    """The recorded freshness with other values; None leaves one out."""
    values = {"age": age, "1m": in_1m, "5m": in_5m, "now": str(NOW)}
    return {FRESH: [[{"what": name}, value] for name, value in values.items() if value is not None]}


# --- lookups -----------------------------------------------------------------------------------------------------------


def test_lookups_sum_what_was_recorded(site):
    """Ids are folded, no value is not zero lookups of anything, an unknown status is a lookup that missed."""
    lookups = site().lookups(900)

    assert [(one.endpoint, one.total) for one in lookups.endpoints] == [
        ("/courses/<id>", 950.5),
        ("/chapters/<id>/problems/<id>", 40.0),
        ("(no endpoint)", 9.5),
    ]
    assert lookups.total == 1000.0
    assert lookups.hit_ratio == pytest.approx(0.9405)
    assert lookups.penetration_ratio == pytest.approx(0.12)
    assert lookups.instances == 3
    assert lookups.degraded == ""
    assert lookups.provenance.source == "prometheus"
    assert "cache_requests_total" in lookups.provenance.query


def test_lookups_without_the_penetration_counter_have_none(site):
    """Then the share of null_value stands in, and the fact shows that it does."""
    lookups = site({"cache_penetration_attempts_total": None}).lookups(900)

    assert lookups.penetration_attempts is None
    assert lookups.penetration_ratio == pytest.approx(0.03)


def test_lookups_without_instance_labels_do_not_know_how_many(site):
    """A federated Prometheus may have dropped them."""
    assert site({"count by (instance)": None}).lookups(900).instances is None


def test_lookups_add_the_metrics_selector_to_every_metric(site):
    """A shared Prometheus holds other sites as well."""
    metrics = site(metrics_selector='job="shop"')
    metrics.lookups(900)
    queries = [_query_of(request)[0] for request in metrics.asked]

    assert len(queries) == 4
    for query in queries:
        for metric in ("cache_requests_total", "cache_penetration_attempts_total", " (sum_over_time(up"):
            assert f"{metric}[" not in query
            assert query.count(metric) == query.count(metric + '{job="shop"')


def test_lookups_with_a_partial_answer_say_so(site):
    """A store of Thanos that timed out makes every number too small."""
    assert "one store timed out" in site(answer_warnings=["one store timed out"]).lookups(900).degraded


def test_lookups_over_a_window_of_few_scrapes_say_so(site):
    """15 s of a site that is scraped each 15 s hold one sample, perhaps two."""
    assert "15 s holds fewer than 4 scrapes (one every 15 s)" in site().lookups(15).degraded


def test_lookups_of_a_process_that_was_scraped_once_are_empty_and_say_why(site):
    """One sample cannot be compared with anything: no rate, and not a rate of zero."""
    lookups = site({"sum by (endpoint, status)": None}).lookups(900)

    assert lookups.hit_ratio is None
    assert "fewer than two scrapes" in lookups.degraded


def test_lookups_refuse_a_window_of_nothing(site):
    """A window of 0 s is a mistake of the caller."""
    with pytest.raises(ValueError, match="window_seconds"):
        site().lookups(0)


# --- freshness ---------------------------------------------------------------------------------------------------------

LAST = "max_over_time(timestamp("


@pytest.mark.parametrize("read", ["lookups", "requests", "warming"])
def test_metrics_that_do_not_exist_are_an_error_that_asks_for_the_scrape(site, read):
    """Nothing in a day: the site is not scraped, or the selector is wrong."""
    with pytest.raises(SourceError, match="has no series of") as caught:
        getattr(site(fresh(age=None, in_1m=None, in_5m=None)), read)(900)

    assert "scraped" in caught.value.hint


@pytest.mark.parametrize("read", ["lookups", "requests", "warming"])
def test_metrics_of_a_target_that_is_gone_are_stale(site, read):
    """increase() still has values from before; they must not be taken for the present."""
    changes = {LAST: [[{}, str(NOW - 600)]], **fresh(age=None)}
    with pytest.raises(SourceError, match=r"stale: last sample 10 min ago; target down\?"):
        getattr(site(changes), read)(900)


def test_lookups_after_one_failed_scrape_are_not_stale(site):
    """A failed scrape ends every series of its target at once; the sample before it is still fresh enough."""
    assert site({LAST: [[{}, str(NOW - 20)]], **fresh(age=None)}).lookups(900).total > 0


@pytest.mark.parametrize(
    ("age", "in_1m", "in_5m", "current"),
    [
        ("44", "4", "20", True),  # scraped each 15 s: 3 scrapes are 45 s
        ("46", "4", "20", False),
        ("4.9", "30", "150", True),  # each 2 s, as in the sandbox: never under 5 s
        ("6.5", "30", "150", False),
        ("170", "1", "6", True),  # each 60 s: 3 min
        ("190", "1", "6", False),
        ("119", None, "1", True),  # not known: 2 min
        ("121", None, "1", False),
    ],
)
def test_lookups_are_stale_after_three_scrapes(site, age, in_1m, in_5m, current):
    """The limit follows the site's own scrape interval, which is learned from the samples."""
    metrics = site(fresh(age, in_1m, in_5m))
    if current:
        assert metrics.lookups(900).total > 0
    else:
        with pytest.raises(SourceError, match="stale"):
            metrics.lookups(900)


@pytest.mark.parametrize("read", ["lookups", "history", "requests", "warming"])
def test_metrics_from_a_server_without_a_clock_are_an_error(site, read):
    """Something that answers every query with nothing is not a Prometheus without data."""
    with pytest.raises(SourceError, match="what time it is"):
        getattr(site({FRESH: None}), read)(900)


# --- requests ----------------------------------------------------------------------------------------------------------


def test_requests_sum_what_was_recorded(site):
    """Errors are 5xx, slow are those over the edge, p95 lies inside its bucket."""
    requests = site().requests(900)

    assert (requests.total, requests.errors, requests.slow) == (1000.0, 10.0, 60.0)
    assert requests.p95_seconds == pytest.approx(1.0 + 1.5 * 10 / 50)
    assert requests.throttled == {"anon": 38.0, "user": 2.0}
    assert requests.degraded == ""


def test_requests_without_a_bucket_at_the_limit_use_the_next_edge_and_say_so(site):
    """Slow over 2 s is counted from 2.5 s: too few, so it is said."""
    requests = site().requests(900, 2.0)

    assert requests.slow == 10.0
    assert "over 2.5 s" in requests.degraded


def test_requests_slow_beyond_the_last_edge_are_not_known(site):
    """No bucket ends above the limit, so nothing is counted and nothing invented."""
    assert site().requests(900, 10.0).slow is None


def test_requests_with_a_p95_in_the_last_bucket_say_that_it_is_longer(site):
    """histogram_quantile gives the last edge for everything beyond it."""
    beyond = [[{"le": "0.1"}, "500"], [{"le": "1"}, "900"], [{"le": "+Inf"}, "1000"]]
    requests = site({"http_request_duration_seconds_bucket": beyond}).requests(900)

    assert requests.p95_seconds == 1.0
    assert "p95 is over 1 s" in requests.degraded


def test_requests_without_the_counter_have_no_errors_but_a_total(site):
    """The histogram counts requests as well, but not their codes."""
    requests = site({"sum by (code)": None}).requests(900)

    assert (requests.total, requests.errors) == (1000.0, None)
    assert "errors are not known" in requests.degraded


def test_requests_without_the_histogram_have_neither_slow_nor_p95(site):
    """Missing is None, never zero."""
    requests = site({"http_request_duration_seconds_bucket": None}).requests(900)

    assert (requests.slow, requests.p95_seconds) == (None, None)
    assert requests.total == 1000.0


def test_requests_without_the_label_code_do_not_know_errors(site):
    """A site may name the label differently."""
    requests = site({"sum by (code)": [[{}, "1000"]]}).requests(900)

    assert (requests.total, requests.errors) == (1000.0, None)
    assert "label code" in requests.degraded


# --- warming -----------------------------------------------------------------------------------------------------------


def test_warming_sums_what_was_recorded(site):
    """Mean and slowest by strategy; a strategy that did not run has none, not zero."""
    warming = site().warming(3600)

    assert warming.tasks == {"startup": {"success": 2.0, "error": 1.0}, "scheduled": {"success": 0.0}}
    assert warming.items == {"startup": 212.0}
    assert warming.mean_duration_seconds == {"startup": 68.0, "scheduled": None}
    assert warming.slowest_over_seconds == {"startup": 60.0, "scheduled": None}


def test_warming_without_durations_still_counts_tasks(site):
    """Each part stands for itself."""
    missing = {"cache_warming_duration_seconds_sum": None, "sum by (warming_type, le)": None}
    warming = site(missing).warming(3600)

    assert warming.tasks["startup"]["error"] == 1.0
    assert warming.mean_duration_seconds["startup"] is None


# --- history -----------------------------------------------------------------------------------------------------------


def points(*values, step=30, start=NOW - 120):
    """Range values with a gap where None is given."""
    return [[start + index * step, str(value)] for index, value in enumerate(values) if value is not None]


def test_history_has_a_point_for_every_time_and_none_in_a_gap(site):
    """A gap is not a rate of zero, and no traffic is not a hit rate of zero."""
    metrics = site(
        {
            "sum by (status) (rate": [
                [{"status": "hit"}, points(8, 8, None, 0, "NaN")],
                [{"status": "miss"}, points(2, 1, None, 0, "NaN")],
                [{"status": "null_value"}, points(None, 1, None, 0, None)],
            ],
            "sum (rate(cache_penetration": [[{}, points(None, 5, None, 0, None)]],
        }
    )
    history = metrics.history(120, 30, at=datetime.fromtimestamp(NOW, UTC))

    assert history.hit_ratio == (0.8, 0.9, None, None, None)
    assert history.penetration_ratio == (0.0, 0.5, None, None, None)
    assert history.lookups_per_second == (10.0, 10.0, None, 0.0, None)
    assert history.times[0] == datetime.fromtimestamp(NOW, UTC) - timedelta(seconds=120)
    assert history.step_seconds == 30


def test_history_without_the_penetration_counter_uses_null_values(site):
    """The same rule as for lookups."""
    lookups = [[{"status": "hit"}, points(8)], [{"status": "null_value"}, points(2)]]
    changes = {"sum by (status) (rate": lookups, "sum (rate(cache_penetration": None}
    changes["cache_penetration_attempts_total"] = None

    assert site(changes).history(120, 30).penetration_ratio[0] == 0.2


@pytest.mark.parametrize(
    ("in_1m", "lookback", "step", "expected_rate", "expected_step"),
    [
        ("5", 7200, None, "[60s]", 30),  # a real site: 4 scrapes of 15 s
        ("30", 120, None, "[8s]", 2),  # the sandbox: 4 scrapes of 2 s, and no step shorter than a scrape
        ("4", 7 * 86_400, None, "[3600s]", 3600),  # a step longer than 4 scrapes leaves no traffic out
        ("4", 7 * 86_400, 15, "[60s]", 60),  # widened below 11,000 points
    ],
)
def test_history_rates_span_four_scrapes_or_one_step(site, in_1m, lookback, step, expected_rate, expected_step):
    """The window of the rates follows the scrape interval of the site."""
    metrics = site({"sum by (status) (rate": [[{"status": "hit"}, points(1)]], **fresh(in_1m=in_1m)})
    history = metrics.history(lookback, step)

    assert history.step_seconds == expected_step
    assert any(expected_rate in _query_of(request)[0] for request in metrics.asked)


def test_history_without_a_single_sample_is_an_error(site):
    """An empty figure would look like a quiet night."""
    with pytest.raises(SourceError, match="has no series"):
        site({"sum by (status) (rate": None, **fresh(age=None)}).history(7200)


def test_history_of_a_process_that_was_scraped_once_is_empty_and_says_why(site):
    """It is there and current; it only cannot be compared with anything yet."""
    history = site({"sum by (status) (rate": None}).history(120, 30)

    assert set(history.hit_ratio) == {None}
    assert "fewer than two scrapes" in history.degraded


# --- the gauge ---------------------------------------------------------------------------------------------------------

GAUGES = {
    "right": ({}, 0.893, False, False, ""),
    "percent": ({"sum(avg by (job": "89.3", "max(cache_hit_rate": "98"}, 0.893, True, False, "in percent"),
    "never set": ({"sum(avg by (job": "0", "max(cache_hit_rate": "0"}, 0.0, False, True, "never set"),
    "wrong": ({"sum(avg by (job": "0.55"}, 0.55, False, False, "says 55.0 %, the counters 89.3 %"),
    "nearly": ({"sum(avg by (job": "0.80"}, 0.80, False, False, ""),
    "no traffic": ({"or vector(0)) / sum": "NaN"}, 0.893, False, False, ""),
}


@pytest.mark.parametrize(("changes", "ratio", "in_percent", "never_set", "note"), GAUGES.values(), ids=GAUGES)
def test_gauge_is_held_against_the_counters(site, changes, ratio, in_percent, never_set, note):
    """Percent, never set and plainly wrong are told apart; a small difference is not worth a word."""
    gauge = site({part: [[{}, value]] for part, value in changes.items()}).hit_rate_gauge()

    assert gauge.gauge_ratio == pytest.approx(ratio)
    assert (gauge.in_percent, gauge.never_set) == (in_percent, never_set)
    assert note in gauge.note
    assert bool(gauge.note) == bool(note)


def test_gauge_that_a_site_does_not_have_is_none(site):
    """Nothing to compare is no complaint."""
    gauge = site({"sum(avg by (job": None, "max(cache_hit_rate": None}).hit_rate_gauge()

    assert (gauge.gauge_ratio, gauge.note) == (None, "")


# --- endpoints ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [
        ("/courses/123", "/courses/<id>"),
        ("/courses/123/", "/courses/<id>/"),
        ("/courses/123/chapters/7?page=2", "/courses/<id>/chapters/<id>?page=<id>"),
        ("/users/550E8400-e29b-41d4-a716-446655440000/x", "/users/<id>/x"),
        ("/objects/507f1f77bcf86cd799439011", "/objects/<id>"),
        ("CourseViewSet:42", "CourseViewSet:<id>"),
        ("api:Chapter:course=5:9", "api:Chapter:course=<id>:<id>"),
        ("/api/v2/courses", "/api/v2/courses"),
        ("course-detail", "course-detail"),
        ("/pages/deadbeefdeadbeefdead", "/pages/deadbeefdeadbeefdead"),
        ("/top10", "/top10"),
        ("17", "<id>"),
        ("", "(no endpoint)"),
        ("x" * 500, "x" * 120),
    ],
)
def test_endpoint_with_object_ids_is_folded(endpoint, expected):
    """Ids go, versions and names stay."""
    assert folded(endpoint) == expected


def test_endpoints_beyond_fifty_are_one_entry():
    """Thousands of labels stay readable, and nothing is lost from the total."""
    counts = [(f"/e{chr(97 + number // 26)}{chr(97 + number % 26)}", "hit", float(number)) for number in range(600)]
    endpoints = by_endpoint(counts)

    assert len(endpoints) == MAX_ENDPOINTS + 1
    assert endpoints[0].hit == 599.0
    assert endpoints[-1].endpoint == "(550 others)"
    assert sum(one.total for one in endpoints) == sum(range(600))


@given(
    st.lists(
        st.tuples(
            st.text(max_size=30), st.sampled_from(["hit", "miss", "null_value", "stale", "?"]), st.floats(0, 1e9)
        ),
        max_size=200,
    )
)
def test_endpoints_keep_the_total_whatever_their_names(counts):
    """Folding moves lookups between entries, it never drops or invents any."""
    endpoints = by_endpoint(counts)

    assert sum(one.total for one in endpoints) == pytest.approx(sum(count for _, _, count in counts))
    assert len(endpoints) <= MAX_ENDPOINTS + 1


def test_folding_a_long_hostile_label_takes_no_time():
    """A label is written by a stranger; the pattern must not backtrack."""
    started = time.monotonic()
    for text in ("/" + "a" * 200_000, "0" * 200_000 + "g", "/a" * 100_000, "-".join(["0a1b"] * 50_000)):
        folded(text)

    assert time.monotonic() - started < 2


def test_requests_without_a_single_429_have_none_throttled_but_not_unknown(site):
    """A counter with a label has no series before it first counts."""
    assert site({"throttled_requests_total": None}).requests(900).throttled == {}


def test_requests_that_cannot_be_compared_yet_do_not_know_who_was_throttled(site):
    """Fewer than two scrapes show nothing at all."""
    gone = ("http_requests_total", "http_request_duration_seconds_bucket", "throttled_requests_total")
    assert site(dict.fromkeys((f"increase({name}" for name in gone), ())).requests(900).throttled is None
