"""Two scrapes instead of Prometheus: the text format under hostile hands, growth of counters, and what is said of it."""

import math
import time
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from sources_fixtures import http_answer, site_environment

from runbooks_lib.errors import SourceError
from runbooks_lib.model import Unreadable
from runbooks_lib.sources.metrics import histogram
from runbooks_lib.sources.metrics.exposition import parse_exposition
from runbooks_lib.sources.metrics.growth import growth_between
from runbooks_lib.sources.metrics.scrapes import EarlyScrape, two_scrapes
from runbooks_lib.sources.site.web import Web

LOOKUPS = "cache_requests_total"


def parse(text, *names):
    return parse_exposition(text, frozenset(names or (LOOKUPS,)))


def lookups(endpoint, status, value):
    return f'{LOOKUPS}{{endpoint="{endpoint}",status="{status}"}} {value}\n'


def scrape(socket_server, first, second, *further, apart_seconds=0.1, **keys):
    """Two pages served one after the other, by the site and by each further pair of pages."""
    servers = []
    for pages in ((first, second), *further):
        left = list(pages)

        def handler(connection, _, left=left):
            page = left.pop(0) if len(left) > 1 else left[0]
            if page is not None:
                connection.sendall(http_answer(page, content_type="text/plain"))

        servers.append(socket_server(handler))
    urls = tuple(f"{server.url}/metrics" for server in servers[1:])
    web = Web(site_environment(site_url=servers[0].url, metrics_urls=urls), timeout_seconds=1)
    return two_scrapes(web, apart_seconds=apart_seconds, slow_above_seconds=1.0, **keys)


# --- the text format ------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(
        st.tuples(st.text(max_size=20), st.text(max_size=8)),
        st.one_of(st.floats(min_value=0, allow_nan=False), st.just(math.inf), st.integers(0, 10**15)),
        max_size=8,
    )
)
def test_parse_exposition_whatever_a_client_writes_is_read_back(counts):
    """Quotes, newlines, HTML and control characters in label values survive, as the client library escapes them."""
    registry = CollectorRegistry()
    counter = Counter("cache_requests", "text", ["endpoint", "status"], registry=registry)
    for (endpoint, status), value in counts.items():
        counter.labels(endpoint, status).inc(value)
    text = generate_latest(registry).decode("utf-8", errors="replace")
    expected = {
        (dict(sample.labels)["endpoint"], dict(sample.labels)["status"]): sample.value
        for family in text_string_to_metric_families(text.replace("\r", ""))
        for sample in family.samples
        if sample.name == LOOKUPS
    }

    read = parse(text.replace("\r", ""))

    assert {tuple(value for _, value in labels): v for labels, v in read.values.get(LOOKUPS, {}).items()} == expected
    assert read.ignored_count == 0


@pytest.mark.parametrize(
    "last",
    [
        "cache_requests_total 12",
        'cache_requests_total{endpoint="a',
        "cache_requests_total",
        'cache_requests_total{endpoint="a",status="hit"} ',
    ],
)
def test_parse_exposition_last_line_without_its_end_is_left_out(last):
    """12 may have been 1234."""
    read = parse(lookups("a", "miss", 3) + last)

    assert list(read.values[LOOKUPS].values()) == [3.0]
    assert read.truncated


@pytest.mark.parametrize(
    "line",
    [
        'cache_requests_total{endpoint="a"} 1_000',
        'cache_requests_total{endpoint="a"} 0x10',
        'cache_requests_total{endpoint="a"} one',
        'cache_requests_total{endpoint="a"}',
        'cache_requests_total{endpoint="a" 1',
        "cache_requests_total{endpoint=a} 1",
        'cache_requests_total{endpoint="a",endpoint="b"} 1',
        'cache_requests_total{endpoint="a"};DROP TABLE x 1',
        'cache_requests_total{endpoint="a"} 1 2 3',
        'cache_requests_total{"a"} 1',
        'cache_requests_total{endpoint="a"}{endpoint="b"} 1',
    ],
)
def test_parse_exposition_malformed_line_is_counted_and_the_rest_is_read(line):
    """One bad line does not take the page with it, and does not become a number."""
    read = parse(f"{line}\n{lookups('good', 'hit', 2)}")

    assert read.ignored_count == 1
    assert list(read.values[LOOKUPS].values()) == [2.0]


def test_parse_exposition_repeated_line_counts_once():
    """The first one stands, as in Prometheus."""
    read = parse(lookups("a", "hit", 2) + lookups("a", "hit", 50))

    assert list(read.values[LOOKUPS].values()) == [2.0]
    assert read.ignored_count == 1


def test_parse_exposition_timestamp_exemplar_and_carriage_return_are_accepted():
    """All three occur in pages that are otherwise in order."""
    text = 'cache_requests_total{a="1"} 1 1790000000000\r\ncache_requests_total{a="2"} 2 # {trace="x"} 1 1\n'

    assert sorted(parse(text).values[LOOKUPS].values()) == [1.0, 2.0]


def test_parse_exposition_name_that_only_begins_alike_is_another_metric():
    """cache_requests_total_created is not cache_requests_total."""
    assert parse("cache_requests_total_created 5\ncache_requests_totals 5\n").values == {}


@pytest.mark.parametrize(
    "text",
    [
        'cache_requests_total{a="' + "\\" * 2_000_000 + "\n",
        "cache_requests_total{" + 'a="b",' * 300_000 + "\n",
        "cache_requests_total{" + '"' * 2_000_001 + "} 1\n",
        "cache_requests_total" + " " * 2_000_000 + "x\n",
        "\n" * 8_000_000,
        " " * 8_000_000,
        "cache_requests_total 1\n" * 600_000,
    ],
    ids=["backslashes", "labels", "quotes", "blanks", "empty lines", "one blank line", "repeated"],
)
def test_parse_exposition_hostile_page_takes_linear_time(text):
    """No page of a few megabytes can keep the operator waiting."""
    began = time.process_time()

    parse(text)

    assert time.process_time() - began < 4


def test_parse_exposition_large_page_of_other_metrics_costs_little():
    """5 MB of which nothing was asked for are skipped."""
    text = "".join(f'other_metric{{path="/x/{n}"}} {n}\n' for n in range(150_000))
    began = time.process_time()

    assert parse(text + lookups("a", "hit", 1)).values[LOOKUPS]
    assert time.process_time() - began < 1


# --- growth ---------------------------------------------------------------------------------------------------------


def test_growth_between_counter_that_fell_counts_from_zero():
    """A restarted process has counted its new value since it began."""
    growth = growth_between(parse(lookups("a", "hit", 100)), parse(lookups("a", "hit", 7)))

    assert list(growth.series[LOOKUPS].values()) == [7.0]
    assert growth.restarts_count == 1


def test_growth_between_new_series_counts_from_zero():
    """A label combination that was born in between began at zero."""
    growth = growth_between(parse(lookups("a", "hit", 5)), parse(lookups("a", "hit", 6) + lookups("a", "miss", 4)))

    assert sorted(growth.series[LOOKUPS].values()) == [1.0, 4.0]
    assert growth.restarts_count == 0


@pytest.mark.parametrize("value", ["NaN", "+Inf", "-Inf", "-3"])
def test_growth_between_value_no_counter_can_have_is_left_out(value):
    """NaN in one series must not make the sum NaN."""
    growth = growth_between(parse(lookups("a", "hit", 1)), parse(lookups("a", "hit", value) + lookups("b", "hit", 2)))

    assert list(growth.series[LOOKUPS].values()) == [2.0]
    assert growth.unusable_count == 1


def test_growth_between_restarted_histogram_counts_from_zero_in_every_bucket():
    """A bucket that had caught up by chance is not mixed with those that had not."""
    names = ("h_bucket", "h_count", "h_sum")
    first = parse('h_bucket{le="1"} 1\nh_bucket{le="+Inf"} 50\nh_count 50\nh_sum 90\n', *names)
    second = parse('h_bucket{le="1"} 3\nh_bucket{le="+Inf"} 4\nh_count 4\nh_sum 5\n', *names)

    growth = growth_between(first, second)

    assert growth.series["h_bucket"] == {(("le", "1"),): 3.0, (("le", "+Inf"),): 4.0}
    assert growth.restarts_count == 1


# --- histograms -----------------------------------------------------------------------------------------------------


def test_quantile_lies_inside_its_bucket():
    """Linear between the edges, as Prometheus does it."""
    assert histogram.quantile({0.1: 50, 1.0: 100, math.inf: 100}, 0.95) == pytest.approx(0.91)


def test_quantile_beyond_the_last_edge_is_that_edge():
    """More cannot be said."""
    assert histogram.quantile({0.1: 1, 1.0: 2, math.inf: 100}, 0.95) == 1.0


@pytest.mark.parametrize("buckets", [{}, {math.inf: 5}, {1.0: 0, math.inf: 0}, {0.1: 1, 1.0: 2}])
def test_quantile_without_counts_or_edges_is_none(buckets):
    """Nothing measured is not zero."""
    assert histogram.quantile(buckets, 0.95) is None


def test_sum_buckets_histograms_with_other_edges_are_not_added():
    """Their sum would not be cumulative."""
    one, other = (("e", "a"), ("le", "1")), (("e", "b"), ("le", "2"))

    assert histogram.sum_buckets([(one, 3), (other, 4)]) is None


def test_over_without_that_edge_is_none():
    """Slow requests cannot be counted by a histogram that has no edge there."""
    assert histogram.over({0.5: 1, math.inf: 3}, 1.0) is None
    assert histogram.over({1.0: 1, math.inf: 3}, 1.0) == 2


# --- two scrapes ----------------------------------------------------------------------------------------------------


def registry_page(requests, slow, tasks):
    """One page of a site as the client library writes it."""
    registry = CollectorRegistry()
    http = Counter("http_requests", "x", ["endpoint", "method", "code", "cohort"], registry=registry)
    took = Histogram(
        "http_request_duration_seconds", "x", ["endpoint", "cohort"], registry=registry, buckets=(0.1, 1, 5)
    )
    warm = Counter("cache_warming_tasks", "x", ["warming_type", "status"], registry=registry)
    items = Counter("cache_warming_items", "x", ["warming_type"], registry=registry)
    lasted = Histogram(
        "cache_warming_duration_seconds", "x", ["warming_type"], registry=registry, buckets=(1, 5, 10, 30, 60, 120, 300)
    )
    throttled = Counter("throttled_requests", "x", ["scope"], registry=registry)
    for code, count in requests.items():
        http.labels("course-list", "GET", code, "enhanced").inc(count)
    for seconds in slow:
        took.labels("course-list", "enhanced").observe(seconds)
    for seconds in tasks:
        warm.labels("startup", "success").inc()
        items.labels("startup").inc(10)
        lasted.labels("startup").observe(seconds)
    throttled.labels("anon").inc(requests.get("429", 0))
    return generate_latest(registry).decode()


def test_two_scrapes_site_and_worker_give_growth_per_endpoint(socket_server):
    """Counts of both processes are added, the busiest endpoint comes first."""
    first = lookups("a", "hit", 100) + lookups("b", "miss", 5) + "cache_penetration_attempts_total 1\n"
    second = lookups("a", "hit", 109) + lookups("b", "miss", 6) + "cache_penetration_attempts_total 3\n"

    scraped = scrape(socket_server, first, second, (lookups("b", "stale", 0), lookups("b", "stale", 2)))

    facts = scraped.lookups
    assert [(e.endpoint, e.hit, e.miss, e.stale) for e in facts.endpoints] == [("a", 9, 0, 0), ("b", 0, 1, 2)]
    assert facts.hit_ratio == pytest.approx(11 / 12)
    assert (facts.penetration_attempts, facts.instances) == (2, 2)
    assert 0.1 <= facts.window_seconds < 0.5
    assert facts.degraded.startswith("two scrapes 0.")
    assert "s apart, of 2 processes; Prometheus could not be read" in facts.degraded
    assert facts.provenance.source == "web"


def test_two_scrapes_requests_and_warming_come_from_histograms(socket_server):
    """Errors, slow requests, p95, throttling and the longest warming task are all differences."""
    first = registry_page({"200": 10, "500": 1, "429": 0}, [0.05] * 10, [2])
    second = registry_page({"200": 28, "500": 3, "429": 4}, [0.05] * 20 + [2, 9], [2, 70, 20])

    scraped = scrape(socket_server, first, second)

    requests, warming = scraped.requests, scraped.warming
    assert (requests.total, requests.errors, requests.slow, requests.throttled) == (24, 2, 2, {"anon": 4})
    assert requests.p95_seconds == 5.0
    assert warming.tasks == {"startup": {"success": 2}}
    assert warming.items == {"startup": 20}
    assert warming.mean_duration_seconds == {"startup": 45}
    assert warming.slowest_over_seconds == {"startup": 60}
    assert "two scrapes" in warming.degraded
    assert isinstance(scraped.lookups, Unreadable)


def test_two_scrapes_site_without_http_and_warming_metrics_says_so(socket_server):
    """What is not exported is unreadable with the reason, never zero."""
    scraped = scrape(socket_server, lookups("a", "hit", 1), lookups("a", "hit", 2))

    assert "http_requests_total" in scraped.requests.reason
    assert "metrics_urls" in scraped.warming.hint
    assert scraped.lookups.penetration_attempts is None


def test_two_scrapes_restart_in_between_is_said(socket_server):
    """The numbers are used, and the reader knows."""
    scraped = scrape(socket_server, lookups("a", "hit", 100), lookups("a", "hit", 3))

    assert scraped.lookups.total == 3
    assert "restarted in between" in scraped.lookups.degraded


def test_two_scrapes_worker_lost_in_between_is_said(socket_server):
    """A process that answered only once cannot be compared."""
    scraped = scrape(socket_server, lookups("a", "hit", 1), lookups("a", "hit", 2), (lookups("w", "hit", 1), None))

    assert scraped.lookups.instances == 1
    assert "of 1 process;" in scraped.lookups.degraded
    assert "could not be read" in scraped.lookups.degraded.split(";", 2)[2]


def test_two_scrapes_another_worker_at_each_scrape_is_not_compared(socket_server):
    """Without multiprocess mode each scrape shows one worker: the difference of two workers means nothing."""
    old = datetime.now(UTC).timestamp() - 5000

    with pytest.raises(SourceError, match="different process") as caught:
        scrape(
            socket_server,
            f"process_start_time_seconds {old}\n" + lookups("a", "hit", 10),
            f"process_start_time_seconds {old + 3}\n" + lookups("a", "hit", 90_000),
        )

    assert "PROMETHEUS_MULTIPROC_DIR" in caught.value.hint


def test_two_scrapes_process_that_began_in_between_is_a_restart(socket_server):
    """A start time after the first scrape is a restart, and its counters count from zero."""
    now = datetime.now(UTC).timestamp()

    scraped = scrape(
        socket_server,
        f"process_start_time_seconds {now - 5000}\n" + lookups("a", "hit", 10),
        f"process_start_time_seconds {now}\n" + lookups("a", "hit", 4),
    )

    assert scraped.lookups.total == 4


def test_two_scrapes_hostile_labels_come_through_as_data(socket_server):
    """Escaping is the business of whoever shows them."""
    name = '<script>alert(1)</script>\\n\\"; DROP'

    scraped = scrape(
        socket_server,
        lookups(name, "hit", 1),
        lookups(name, "hit", 3) + lookups("a", "hit", "NaN") + "cache_requests_total 9",
    )

    assert [e.endpoint for e in scraped.lookups.endpoints] == ['<script>alert(1)</script>\n"; DROP']
    assert "was cut off" in scraped.lookups.degraded
    assert "2 unreadable" in scraped.lookups.degraded


def test_two_scrapes_unknown_status_counts_as_a_miss_and_ids_are_folded_as_in_prometheus(socket_server):
    """The same counters must not give another hit rate because they came another way."""
    before = lookups("/a/1", "hit", 1) + lookups("/a/2", "hit", 1)
    after = lookups("/a/1", "hit", 2) + lookups("/a/2", "hit", 2) + lookups("/a/3", "bypass", 50)
    scraped = scrape(socket_server, before, after)

    (endpoint,) = scraped.lookups.endpoints
    assert (endpoint.endpoint, endpoint.hit, endpoint.miss) == ("/a/<id>", 2, 50)


def test_two_scrapes_without_a_bucket_at_the_limit_use_the_next_edge_and_say_so(socket_server):
    """As with Prometheus; and a 429 that never was is none, not unknown."""
    name = "http_request_duration_seconds"

    def page(n):
        buckets = "".join(
            f'{name}_bucket{{le="{edge}"}} {count * n}\n' for edge, count in (("0.5", 8), ("2.5", 9), ("+Inf", 10))
        )
        return f'{buckets}{name}_count {10 * n}\nhttp_requests_total{{code="200"}} {10 * n}\n'

    requests = scrape(socket_server, page(1), page(2)).requests

    assert (requests.slow, requests.p95_seconds, requests.throttled) == (1, 2.5, {})
    assert "slow counts requests over 2.5 s" in requests.degraded
    assert "p95 is over 2.5 s" in requests.degraded


def test_two_scrapes_with_an_earlier_first_one_wait_only_for_the_rest(socket_server):
    """The first was read while Prometheus was being asked."""
    left = [lookups("a", "hit", 1), lookups("a", "hit", 3)]
    server = socket_server(lambda c, _: c.sendall(http_answer(left.pop(0), content_type="text/plain")))
    web = Web(site_environment(site_url=server.url), timeout_seconds=1)
    first = web.exposition()
    time.sleep(0.4)
    began = time.monotonic()
    scraped = two_scrapes(web, apart_seconds=0.5, slow_above_seconds=1.0, first=first)

    assert time.monotonic() - began < 0.4
    assert scraped.lookups.total == 2
    assert scraped.lookups.window_seconds >= 0.5


@pytest.mark.parametrize(("seconds", "fails", "begun"), [(0.0, False, 0), (0.3, False, 1), (0.0, True, 1)])
def test_early_scrape_is_begun_only_where_prometheus_is_slow_or_fails(seconds, fails, begun):
    """A healthy site pays nothing for the fallback."""

    class Site:
        asked = 0

        def exposition(self):
            self.asked += 1
            return "page"

    def ask():
        time.sleep(seconds)
        if fails:
            raise SourceError("refused", source="prometheus")
        return "answer"

    site = Site()
    early = EarlyScrape(site, patience_seconds=0.1)
    try:
        assert early.beside(ask) == "answer"
    except SourceError:
        assert fails
    time.sleep(0.15)
    assert site.asked == begun
    assert early.exposition(1) == "page"
    assert site.asked == 1


def test_two_scrapes_without_any_process_is_a_source_error():
    """Nothing read is not nothing happened."""
    with pytest.raises(SourceError):
        two_scrapes(Web(site_environment(), timeout_seconds=1), apart_seconds=0.1, slow_above_seconds=1)


@pytest.mark.parametrize("apart", [0, -1, 61, float("nan")])
def test_two_scrapes_impossible_distance_is_a_mistake_of_the_caller(apart):
    """Too short says nothing, too long is not an answer."""
    with pytest.raises(ValueError, match="apart_seconds"):
        two_scrapes(Web(site_environment()), apart_seconds=apart, slow_above_seconds=1)
