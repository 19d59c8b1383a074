"""The contract of ``/metrics`` held against two expositions: presence, types, labels, numbers, movement, hostile text."""

import math
import time

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from sources_fixtures import http_answer, site_environment

from runbooks_lib.errors import SourceError
from runbooks_lib.facts import SITE_METRICS
from runbooks_lib.sources.metrics.contract import contract_samples
from runbooks_lib.sources.site.web import Web

LOOKUP = 'cache_requests_total{endpoint="/",status="hit"}'
TYPE = "# TYPE cache_requests_total counter\n"


class Site:
    """Metrics as a site with the contract exports them, by the client library itself."""

    def __init__(self):
        self.registry = CollectorRegistry()
        self.parts = {one.name: self._part(one) for one in SITE_METRICS}
        self.serve()

    def _part(self, one):
        name, labels, text = one.name.removesuffix("_total"), list(one.labels), "text"
        if one.kind == "counter":
            return Counter(name, text, labels, registry=self.registry)
        if one.kind == "gauge":
            return Gauge(name, text, labels, registry=self.registry)
        return Histogram(name, text, labels, buckets=one.edges or (0.1, 1), registry=self.registry)

    def serve(self):
        """One event of every kind."""
        for one in SITE_METRICS:
            labels = {label: one.values.get(label, ("x",))[0] for label in one.labels}
            series = self.parts[one.name].labels(**labels)
            change = {"counter": "inc", "gauge": "set", "histogram": "observe"}[one.kind]
            getattr(series, change)(0.5)

    def page(self, generate=generate_latest):
        """The exposition."""
        return generate(self.registry).decode()


def look(socket_server, *processes, **keys):
    """Each process serves its pages one after the other, the last of them again and again; None is no answer."""
    servers = []
    for pages in processes:
        left = list(pages)

        def handler(connection, _, left=left):
            page = left.pop(0) if len(left) > 1 else left[0]
            if page is not None:
                connection.sendall(http_answer(page, content_type="text/plain"))

        servers.append(socket_server(handler))
    urls = tuple(f"{server.url}/metrics" for server in servers[1:])
    web = Web(site_environment(site_url=servers[0].url, metrics_urls=urls), timeout_seconds=1)
    return contract_samples(web, **{"apart_seconds": 0.1, **keys})


def two_looks(socket_server, first, second, name="cache_requests_total"):
    """The state of one metric, from two pages of one process."""
    return look(socket_server, (first, second)).of(name)


# --- a site that keeps the contract ------------------------------------------------------------------------------------


@pytest.mark.parametrize("generate", [generate_latest, generate_openmetrics])
def test_contract_samples_of_a_site_that_keeps_it_finds_nothing_wrong(socket_server, generate):
    """In both text formats of the client library."""
    site = Site()
    first = site.page(generate)
    site.serve()
    found = look(socket_server, (first, site.page(generate)))

    for state in found.metrics:
        assert (state.present, state.declared, state.other_kinds) == (True, True, ())
        assert (state.missing_labels, state.extra_labels, state.other_values) == ((), (), ())
        assert (state.not_finite_count, state.out_of_range_count, state.missing_edges) == (0, 0, ())
        assert (state.backwards_count, state.restarted_count) == (0, 0)
        assert state.moved is (None if state.expected.kind == "gauge" else True)
    assert [state.expected for state in found.metrics] == list(SITE_METRICS)
    assert (found.notes, found.unread, found.alternating) == ((), (), ())
    assert 0.1 <= found.apart_seconds < 1


def test_contract_samples_of_a_site_without_traffic_do_not_move(socket_server):
    """There, and standing still: that is a growth of 0."""
    page = Site().page()
    found = look(socket_server, (page, page))

    assert [state.growth for state in found.metrics if state.expected.kind != "gauge"] == [0] * 9
    assert found.of("feature_flag_percentage").growth is None


def test_contract_samples_of_several_processes_are_taken_together(socket_server):
    """The worker warms, the web process answers; neither is asked for the metrics of the other."""
    web = f"{TYPE}{LOOKUP} 1\n", f"{TYPE}{LOOKUP} 3\n"
    task = 'cache_warming_tasks_total{warming_type="startup",status="success"}'
    worker = f"# TYPE cache_warming_tasks_total counter\n{task} 1\n"
    found = look(socket_server, web, (worker, worker))

    assert len(found.processes) == 2
    assert found.of("cache_requests_total").growth == 2
    assert (found.of("cache_warming_tasks_total").present, found.of("cache_warming_tasks_total").growth) == (True, 0)
    assert not found.of("http_requests_total").present


# --- what is wrong -----------------------------------------------------------------------------------------------------


def test_contract_samples_declared_without_a_series_is_not_present(socket_server):
    """A labelled counter that has counted nothing yet: other than one that the site does not have at all."""
    state = two_looks(socket_server, TYPE, TYPE)
    absent = two_looks(socket_server, "", "")

    assert (state.present, state.declared) == (False, True)
    assert (absent.present, absent.declared, absent.growth) == (False, False, None)


def test_contract_samples_of_another_type_names_it(socket_server):
    """A gauge that goes down is no counter, and the rules of a counter do not fit it."""
    page = f"# TYPE cache_requests_total gauge\n{LOOKUP} 1\n"

    assert two_looks(socket_server, page, page).other_kinds == ("gauge",)


def test_contract_samples_with_other_labels_names_them(socket_server):
    """One label is missing, one is unknown, one has a value that the contract does not have."""
    page = 'cache_requests_total{status="HIT",pod="a"} 1\ncache_requests_total{endpoint="/",status="miss"} 1\n'
    state = two_looks(socket_server, page, page)

    assert state.missing_labels == ("endpoint",)
    assert state.extra_labels == ("pod",)
    assert state.other_values == ('status="HIT"',)
    assert state.series_count == 2


@pytest.mark.parametrize("value", ["NaN", "+Inf", "-Inf"])
def test_contract_samples_that_are_not_finite_are_counted(socket_server, value):
    """At both looks; their growth is not a number and not invented."""
    state = two_looks(socket_server, f"{LOOKUP} {value}\n", f"{LOOKUP} {value}\n")

    assert state.not_finite_count == 2
    assert state.growth is None or math.isfinite(state.growth)


@pytest.mark.parametrize(
    ("name", "labels", "value", "count"),
    [
        ("cache_hit_rate", 'endpoint="/"', 91.5, 2),
        ("cache_hit_rate", 'endpoint="/"', 1, 0),
        ("feature_flag_percentage", 'feature="F"', 100, 0),
        ("feature_flag_percentage", 'feature="F"', 101, 2),
        ("cache_requests_total", 'endpoint="/",status="hit"', -1, 2),
    ],
)
def test_contract_samples_out_of_range_are_counted(socket_server, name, labels, value, count):
    """A hit rate in percent, a counter below zero."""
    page = f"{name}{{{labels}}} {value}\n"

    assert two_looks(socket_server, page, page, name).out_of_range_count == count


def test_contract_samples_of_a_histogram_without_its_edges_names_them(socket_server):
    """Slow requests cannot be counted without a bucket at 1 s; a summary has no bucket at all."""
    name, labels = "http_request_duration_seconds", 'endpoint="/",cohort="legacy"'
    coarse = "".join(f'{name}_bucket{{{labels},le="{edge}"}} 1\n' for edge in ("0.5", "2.5", "+Inf", "x"))
    summary = f"{name}_count{{{labels}}} 1\n{name}_sum{{{labels}}} 1\n"

    assert two_looks(socket_server, coarse, coarse, name).missing_edges == (1,)
    assert two_looks(socket_server, summary, summary, name).missing_edges == (1, math.inf)


# --- backwards and restarts --------------------------------------------------------------------------------------------


def test_contract_samples_that_fall_went_backwards(socket_server):
    """One series falls while the other grows: no restart explains that; nor does one that is gone."""
    other = 'cache_requests_total{endpoint="/",status="miss"}'
    gone = 'cache_requests_total{endpoint="/old",status="miss"}'
    state = two_looks(socket_server, f"{LOOKUP} 10\n{other} 1\n{gone} 4\n", f"{LOOKUP} 7\n{other} 2\n")

    assert (state.backwards_count, state.restarted_count) == (2, 0)


@pytest.mark.parametrize("started", [("process_start_time_seconds 1\n", None), ("", "")])
def test_contract_samples_of_a_restarted_process_did_not_go_backwards(socket_server, started):
    """It says when it started, or all of its counters begin again."""
    after = f"process_start_time_seconds {time.time() + 1}\n" if started[1] is None else started[1]
    found = look(socket_server, (f"{started[0]}{LOOKUP} 10\n", f"{after}{LOOKUP} 2\n"))
    state = found.of("cache_requests_total")

    assert (state.backwards_count, state.restarted_count, state.growth) == (0, 1, 2)
    assert any("restarted between" in note for note in found.notes)


def test_contract_samples_of_workers_that_answer_in_turn_are_not_compared(socket_server):
    """Several workers without multiprocess mode: each answer shows one of them."""
    pages = tuple(f"process_start_time_seconds {start}\n{LOOKUP} {count}\n" for start, count in ((100, 10), (90, 7)))
    found = look(socket_server, pages)

    assert len(found.alternating) == 1
    assert (found.of("cache_requests_total").moved, found.of("cache_requests_total").backwards_count) == (None, 0)


# --- hostile and broken pages ------------------------------------------------------------------------------------------


def test_contract_samples_keep_little_of_a_strangers_text(socket_server):
    """Thousands of unknown values, long ones, line breaks and terminal escapes."""
    lines = "".join(
        f'cache_requests_total{{endpoint="/",status="\x1b[31m{number}\\n{"y" * 500}"}} 1\n' for number in range(2000)
    )
    state = two_looks(socket_server, lines, lines)

    assert len(state.other_values) == 5
    assert all(len(text) <= 80 and text.isprintable() for text in state.other_values)
    assert state.series_count == 2000


def test_contract_samples_of_a_page_that_was_cut_off_say_so(socket_server):
    """Its last line counts for nothing."""
    found = look(socket_server, (f"{LOOKUP} 1\n", f"{LOOKUP} 1\n{LOOKUP.replace('hit', 'miss')} 12"))

    assert found.of("cache_requests_total").series_count == 1
    assert any("cut off" in note for note in found.notes)


@pytest.mark.parametrize("page", ["", "\x00\xff" * 100, "cache_requests_total", f"{LOOKUP} 1_000\n"])
def test_contract_samples_of_nonsense_have_no_series(socket_server, page):
    """Nothing is raised, and nothing is there."""
    assert not any(state.present for state in look(socket_server, (page, page)).metrics)


def test_contract_samples_of_a_process_that_stops_answering_are_used_without_growth(socket_server):
    """What it exported is known; the reason stands beside it."""
    found = look(
        socket_server, (f"{LOOKUP} 1\n", f"{LOOKUP} 2\n"), ('throttled_requests_total{scope="anon"} 1\n', None)
    )

    assert found.of("throttled_requests_total").present
    assert found.of("throttled_requests_total").growth is None
    assert len(found.unread) == 1
    assert any("only once" in note for note in found.notes)


def test_contract_samples_without_any_process_is_an_error():
    """There is nothing to hold against the contract."""
    web = Web(site_environment(), timeout_seconds=1)

    with pytest.raises(SourceError):
        contract_samples(web, apart_seconds=0.1)


def test_contract_samples_of_a_login_page_is_an_error(socket_server):
    """It names what answered, not twelve missing metrics."""
    with pytest.raises(SourceError, match="HTML page"):
        look(socket_server, ("<html>login</html>",))


@pytest.mark.parametrize("apart_seconds", [0, -1, 61, math.nan])
def test_contract_samples_an_impossible_time_apart_is_refused(apart_seconds):
    """Before anything is read."""
    with pytest.raises(ValueError, match="apart_seconds must be"):
        contract_samples(Web(site_environment()), apart_seconds=apart_seconds)
