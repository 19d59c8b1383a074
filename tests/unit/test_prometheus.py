"""Prometheus's API against recorded answers and against servers that misbehave at the socket."""

import gzip
import json
import threading
import time
import warnings
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sources_fixtures import http_answer, site_environment

from runbooks_lib.errors import SourceError
from runbooks_lib.model import Kind
from runbooks_lib.sources.metrics import promql
from runbooks_lib.sources.metrics.prometheus import Prometheus, PrometheusWarning
from runbooks_lib.sources.metrics.prometheus_http import MAX_BODY_BYTES

DATA = Path(__file__).parents[1] / "data" / "prometheus"
TIMEOUT_SECONDS = 0.4
NOW = datetime(2026, 11, 22, 19, 45, tzinfo=UTC)


def recorded(name):
    """A recorded body."""
    return (DATA / name).read_bytes()


def prometheus(url, **keys):
    """A Prometheus with a short deadline."""
    return Prometheus(site_environment(prometheus_url=url, **keys), timeout_seconds=TIMEOUT_SECONDS)


def failure(url, call=lambda source: source.query("up")):
    """The SourceError of a question, which must come within the deadline and carry a next step."""
    source = prometheus(url)
    _ = source.client  # the first use imports requests, which is not what is timed here
    started = time.monotonic()
    with pytest.raises(SourceError) as caught:
        call(source)
    assert time.monotonic() - started < TIMEOUT_SECONDS + 0.4
    assert caught.value.source == "prometheus"
    assert caught.value.hint
    return caught.value


@pytest.fixture
def answered(socket_server):
    """Starts a server that gives one recorded body to everything that it is asked."""

    def start(name, status=200, **keys):
        return socket_server(http_answer(recorded(name), status=status, **keys))

    return start


# --- good answers ------------------------------------------------------------------------------------------------------


def test_query_with_a_recorded_vector_gives_labels_values_and_aware_times(answered):
    """One sample for each element, times in UTC."""
    samples = prometheus(answered("vector.json").url).query("x")

    assert len(samples) == 4
    assert samples[0].labels == {"endpoint": "/courses/1", "status": "hit"}
    assert samples[0].value == 2400.0
    assert samples[0].at.tzinfo is UTC


def test_query_that_matches_nothing_is_an_empty_tuple(answered):
    """Nothing is an answer; what it means is for the caller to say."""
    assert prometheus(answered("empty.json").url).query("x") == ()


def test_query_with_a_scalar_is_one_sample_without_labels(answered):
    """``time()`` and ``1`` are scalars."""
    (sample,) = prometheus(answered("scalar.json").url).query("1")

    assert (sample.labels, sample.value) == ({}, 1.0)


def test_query_with_nan_and_infinity_has_no_value(answered):
    """0/0 is not a number, so it is no value; never zero."""
    values = {s.labels["is"]: s.value for s in prometheus(answered("no-numbers.json").url).query("x")}

    assert values == {"nan": None, "inf": None, "-inf": None, "seven": 7.0}


def test_query_range_with_a_recorded_matrix_gives_series(answered):
    """Times and values of equal length."""
    (series,) = prometheus(answered("matrix.json").url).query_range("x", NOW - timedelta(minutes=2), NOW, 30)

    assert len(series.times) == len(series.values) == 5
    assert series.values[0] == 20.0
    assert series.times[1] - series.times[0] == timedelta(seconds=30)


def test_query_with_warnings_tells_them(answered):
    """A partial answer of Thanos is not passed off as a whole one."""
    with pytest.warns(PrometheusWarning) as told:
        prometheus(answered("warnings.json").url).query("x")

    assert [str(one.message) for one in told] == [
        "Prometheus: No StoreAPIs matched for this query",
        "Prometheus: one store timed out",
    ]


def test_query_all_keeps_the_warnings_with_the_answers(answered):
    """Each warning once, however many queries it came with; nothing goes to standard error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        answers = prometheus(answered("warnings.json").url).query_all({"a": "x", "b": "y"})

    assert answers.warnings == ("No StoreAPIs matched for this query", "one store timed out")
    assert len(answers.samples["b"]) == 4


def test_alerts_of_another_site_are_left_out(socket_server):
    """In a shared Prometheus only alerts that may be ours are listed; all alerting rules are counted."""

    def act(connection, request):
        connection.sendall(http_answer(recorded("rules.json" if "/rules" in request else "alerts.json")))

    url = socket_server(act).url
    ours = prometheus(url, metrics_selector='job="site"').alerts()
    everything = prometheus(url).alerts()

    assert [alert.name for alert in ours.alerts] == ["LowHitRate"]
    assert ours.alerts[0].state == "firing"
    assert ours.alerts[0].severity == "critical"
    assert ours.alerts[0].summary == "hit rate is low"
    assert ours.alerts[0].active_at == datetime(2026, 11, 22, 19, 45, 51, 320_941, tzinfo=UTC)
    assert [alert.summary for alert in everything.alerts] == ["hit rate is low", "of another site"]
    assert ours.rules_count == 3


@pytest.mark.parametrize("status", [403, 404])
def test_alerts_without_rules_leave_the_count_unknown(socket_server, status):
    """Who may not see the rules still sees the alerts; no count is not a count of zero."""

    def act(connection, request):
        refused = http_answer("no", status=status, content_type="text/plain")
        connection.sendall(refused if "/rules" in request else http_answer(recorded("alerts.json")))

    assert prometheus(socket_server(act).url).alerts().rules_count is None


def test_alerts_that_are_refused_are_an_error(socket_server):
    """No alerts because nobody may read them is not the same as no alerts."""
    url = socket_server(http_answer("no", status=403, content_type="text/plain")).url

    assert "403" in failure(url, lambda source: source.alerts()).message


def test_ready_gives_the_seconds_of_a_query(answered):
    """Any server that can answer a query is ready."""
    assert 0 < prometheus(answered("scalar.json").url).ready() < TIMEOUT_SECONDS


def test_query_sends_credentials_of_the_url_and_never_shows_them(socket_server):
    """``user:password@`` becomes basic authentication."""
    server = socket_server(http_answer("denied for s3cret-pw", status=401, content_type="text/plain"))
    problem = failure(server.url.replace("://", "://reader:s3cret-pw@"))

    assert "authorization: basic cmvhzgvyonmzy3jldc1wdw==" in server.requests[0].lower()
    assert "s3cret-pw" not in str(problem)
    assert "401" in problem.message


def test_query_asks_the_server_to_give_up_a_little_earlier(answered):
    """So that its own words arrive instead of a bare timeout."""
    server = answered("scalar.json")
    prometheus(server.url).query("1")

    assert "timeout=3" in server.requests[0]


def test_long_query_travels_as_post(answered):
    """A URL of many kilobytes is refused by proxies."""
    server = answered("empty.json")
    prometheus(server.url).query("x" * 5000)

    assert server.requests[0].startswith("POST /api/v1/query ")


def test_compressed_answer_is_read(socket_server):
    """Prometheus compresses large answers."""
    body = gzip.compress(recorded("vector.json"))
    url = socket_server(http_answer(body, headers="Content-Encoding: gzip\r\n")).url

    assert len(prometheus(url).query("x")) == 4


def test_url_with_a_path_prefix_keeps_it(answered):
    """Mimir answers below /prometheus."""
    server = answered("scalar.json")
    prometheus(f"{server.url}/prometheus/").query("1")

    assert server.requests[0].startswith("GET /prometheus/api/v1/query?")


# --- answers that are none ---------------------------------------------------------------------------------------------

REFUSALS = {
    "bad query": ("bad-data-400.json", 400, "unclosed left parenthesis", "metrics_selector"),
    "too many points": ("too-many-points-400.json", 400, "11,000 points", ""),
    "execution": ("execution-422.json", 422, "duplicate series", "query"),
    "timeout": ("timeout-503.json", 503, "time limit", "shorter window"),
    "error with 200": ("bad-data-400.json", 200, "unclosed left parenthesis", ""),
}


@pytest.mark.parametrize(("name", "status", "message", "hint"), REFUSALS.values(), ids=REFUSALS)
def test_query_that_prometheus_refuses_has_its_own_words(answered, name, status, message, hint):
    """What Prometheus says about the query reaches the operator."""
    server = answered(name, status)
    problem = failure(server.url)

    assert message in problem.message
    assert hint in problem.hint
    assert len(server.requests) == 1, "a refused query is not repeated"


STATUSES = {
    401: "wants a login",
    403: "refuses (403)",
    404: "no such path",
    429: "how often",
    500: "answered 500",
    503: "not ready",
}


@pytest.mark.parametrize(("status", "message"), STATUSES.items())
@pytest.mark.parametrize("content_type", ["text/plain", "application/json"])
def test_query_with_an_http_error_says_what_it_means(socket_server, status, message, content_type):
    """The status is named with its meaning, and asked once only: 503 is a query that was too heavy."""
    server = socket_server(http_answer("Service error", status=status, content_type=content_type))

    assert message in failure(server.url).message
    assert len(server.requests) == 1


def test_login_page_is_named_by_its_title(answered):
    """A login page answers 200 to everything."""
    problem = failure(answered("login.html", content_type="text/html").url)

    assert "web page called 'Sign in · Example SSO'" in problem.message
    assert "login" in problem.hint


def test_redirect_to_a_login_is_not_followed(socket_server):
    """Credentials are not carried to another host, and where it leads is said."""
    location = "Location: https://sso.example.com/login?next=%2Fapi&token=abc\r\n"
    server = socket_server(http_answer(status=302, content_type="text/plain", headers=location))
    problem = failure(server.url)

    assert "redirects /api/v1/query to https://sso.example.com/login instead" in problem.message
    assert "abc" not in problem.message
    assert len(server.requests) == 1


WRONG_BODIES = {
    "truncated": '{"status":"success","data":{"resultType":"vector","resu',
    "empty": "",
    "not an object": "[1,2,3]",
    "no status": "{}",
    "data missing": '{"status":"success"}',
    "data null": '{"status":"success","data":null}',
    "result an object": '{"status":"success","data":{"resultType":"vector","result":{}}}',
    "value a number": '{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,2]}]}}',
    "value a word": '{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"x"]}]}}',
    "time a word": '{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":["a","1"]}]}}',
    "time huge": '{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1e99,"1"]}]}}',
    "label a number": '{"status":"success","data":{"resultType":"vector","result":[{"metric":{"a":1},"value":[1,"1"]}]}}',
    "deep": '{"status":"success","data":' + "[" * 100_000,
    "not UTF-8": b'{"status":"success","data":{"resultType":"\xff\xfe"}}',
    "another type": recorded("string.json").decode(),
    "a matrix": recorded("instant-matrix.json").decode(),
}


@pytest.mark.parametrize("body", WRONG_BODIES.values(), ids=WRONG_BODIES)
def test_answer_of_another_shape_is_an_error_never_a_traceback(socket_server, body):
    """Whatever a stranger sends becomes one sentence with a next step."""
    assert failure(socket_server(http_answer(body)).url).hint


def test_range_answer_of_another_shape_is_an_error(answered):
    """A vector is not a series."""
    url = answered("vector.json").url
    problem = failure(url, lambda source: source.query_range("x", NOW - timedelta(minutes=1), NOW, 15))

    assert "a vector where series were asked for" in problem.message


def test_native_histogram_is_left_out_not_taken_for_a_value(socket_server):
    """An element may hold ``histogram`` in place of ``value``."""
    element = {"metric": {}, "histogram": [1, {"count": "5"}]}
    body = json.dumps({"status": "success", "data": {"resultType": "vector", "result": [element]}})

    assert prometheus(socket_server(http_answer(body)).url).query("x") == ()


def test_answer_that_is_too_large_is_cut_off(socket_server):
    """A body without end is not collected until memory ends, compressed or not."""
    compressed = gzip.compress(b'{"status":"success","data":"' + b"x" * (MAX_BODY_BYTES + 10) + b'"}', 1)
    problem = failure(socket_server(http_answer(compressed, headers="Content-Encoding: gzip\r\n")).url)

    assert "more than 32.0 MiB" in problem.message
    assert "metrics_selector" in problem.hint


# --- servers that do not answer ----------------------------------------------------------------------------------------


def test_nothing_listens_is_refused_at_once():
    """A stopped Prometheus is known in milliseconds."""
    started = time.monotonic()

    assert "refused" in failure("http://127.0.0.1:1").message
    assert time.monotonic() - started < 0.5


def test_black_hole_times_out_while_connecting(black_hole):
    """A firewall that drops packets is told from a server that hangs."""
    assert "no connection" in failure(f"http://127.0.0.1:{black_hole}").message


def test_server_that_never_answers_is_asked_once(tcp_server):
    """A query that ran into its time limit is not run again."""
    server = tcp_server(lambda connection: connection.recv(4096) and time.sleep(2))

    assert "no complete answer" in failure(server.http_url).message
    assert server.connections_count == 1


DRIPS = {
    "in the status line": b"HTTP/1.1 200 OK" + b" " * 500,
    "in the headers": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 500,
    "in the body": b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 5000\r\n\r\n" + b" " * 500,
    "in a body to the end": b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n" + b" " * 500,
    "in chunks": b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    + b"1\r\n \r\n" * 200,
}


@pytest.mark.parametrize(("sent_at_once", "text"), [(text.find(b" " * 99), text) for text in DRIPS.values()], ids=DRIPS)
def test_server_that_drips_is_cut_off_at_the_deadline_and_its_thread_ends(tcp_server, sent_at_once, text):
    """A byte now and then resets every socket timeout; only a deadline for the whole ends it."""
    holder = []
    before = set(threading.enumerate())

    def act(connection):
        connection.recv(4096)
        connection.sendall(text[: max(0, sent_at_once)])
        holder[0].drip(connection, text[max(0, sent_at_once) :], seconds=0.05)

    holder.append(tcp_server(act))
    assert "no complete answer" in failure(holder[0].http_url).message
    time.sleep(0.3)
    assert [thread for thread in set(threading.enumerate()) - before if thread.name == "read-within"] == []


def test_server_that_hangs_up_once_is_asked_again(tcp_server):
    """A kept-alive connection may have been closed meanwhile."""

    def act(connection):
        connection.recv(4096)
        if server.connections_count > 1:
            connection.sendall(http_answer(recorded("vector.json")))

    server = tcp_server(act)
    assert len(prometheus(server.http_url).query("x")) == 4


def test_server_that_always_hangs_up_is_asked_twice_and_no_more(tcp_server):
    """One repetition."""
    server = tcp_server(lambda connection: connection.recv(4096))

    assert "broke the exchange off" in failure(server.http_url).message
    assert server.connections_count == 2


def test_post_is_never_repeated(tcp_server):
    """Only what is safe by its method is sent twice."""
    server = tcp_server(lambda connection: connection.recv(65536))
    failure(server.http_url, lambda source: source.query("x" * 5000))

    assert server.connections_count == 1


@pytest.mark.parametrize("status", [502, 504])
def test_gateway_error_is_tried_once_more(socket_server, status):
    """A gateway that found nobody behind it often finds somebody the next moment."""

    def act(connection, _request):
        good = len(server.requests) > 1
        connection.sendall(http_answer(recorded("vector.json")) if good else http_answer("", status=status))

    server = socket_server(act)
    assert len(prometheus(server.url).query("x")) == 4
    assert len(server.requests) == 2


NOT_HTTP = {"redis": b"-ERR unknown command 'GET'\r\n", "TLS": b"\x15\x03\x01\x00\x02\x02F", "nothing": b"\r\n\r\n"}


@pytest.mark.parametrize("answer", NOT_HTTP.values(), ids=NOT_HTTP)
def test_something_that_is_not_http_is_an_error(tcp_server, answer):
    """A wrong port."""

    def act(connection):
        connection.recv(4096)
        connection.sendall(answer)

    assert failure(tcp_server(act).http_url).hint


def test_https_to_a_port_without_tls_names_tls(tcp_server, socket_server):
    """The scheme in the URL is wrong, whether the server answers the handshake with plain text or waits for more."""

    def act(connection):
        connection.recv(4096)
        connection.sendall(http_answer("no", status=400))

    assert "TLS" in failure(tcp_server(act).http_url.replace("http://", "https://")).message
    assert "TLS" in failure(socket_server(b"").url.replace("http://", "https://")).hint


def test_name_that_dns_does_not_know_is_named(monkeypatch):
    """The host in the URL is wrong, or the VPN is not up."""
    import socket

    def lookup(*_arguments, **_keywords):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    assert "DNS" in failure("http://prometheus.example.invalid").message


@pytest.mark.parametrize("url", ["http://u:p@ss:w0rd@host:port", "http://[::1/x"])
def test_url_that_cannot_be_understood_is_refused_without_showing_it(url):
    """The URL may hold a password."""
    with pytest.raises(SourceError) as caught:
        prometheus(url)

    assert "w0rd" not in str(caught.value)
    assert "percent-encoded" in caught.value.hint


def test_queries_side_by_side_take_as_long_as_the_slowest(socket_server):
    """Eight questions that each take 0.3 s would take 2.4 s one after the other."""

    def act(connection, _request):
        time.sleep(0.3)
        connection.sendall(http_answer(recorded("scalar.json")))

    source = prometheus(socket_server(act).url)
    source.query("1")
    started = time.monotonic()
    source.query_all({str(number): "1" for number in range(8)})

    assert time.monotonic() - started < 1.2


def test_making_a_prometheus_sends_nothing():
    """Nothing happens before the first question; the repr shows no address."""
    source = prometheus("http://user:secret-pw@127.0.0.1:1")

    assert repr(source) == "Prometheus('test')"


# --- PromQL ------------------------------------------------------------------------------------------------------------


def test_matcher_escapes_what_would_end_the_string():
    """A label value written by a stranger cannot become a query."""
    assert promql.matcher("endpoint", 'a"} or up{x="\\\n') == r'endpoint="a\"} or up{x=\"\\\n"'


@pytest.mark.parametrize(("name", "operator"), [("a-b", "="), ("", "="), ('a="', "="), ("a", "=="), ("a", "")])
def test_matcher_refuses_names_and_operators_that_do_not_exist(name, operator):
    """A name is not escaped, so it must be one."""
    with pytest.raises(ValueError, match="is not"):
        promql.matcher(name, "x", operator)


def test_selector_adds_the_metrics_selector_of_the_environment():
    """One site out of a shared Prometheus."""
    source = prometheus("http://127.0.0.1:1", metrics_selector='job="shop", cluster="eu",')

    assert source.selector("up", promql.matcher("status", "hit")) == 'up{job="shop", cluster="eu",status="hit"}'
    assert prometheus("http://127.0.0.1:1").selector("up") == "up"


@pytest.mark.parametrize(("seconds", "expected"), [(900, "900s"), (0.25, "250ms"), (1.5, "1500ms"), (0.0001, "1ms")])
def test_duration_is_one_that_prometheus_reads(seconds, expected):
    """Fractions become milliseconds."""
    assert promql.duration(seconds) == expected


@pytest.mark.parametrize(
    ("range_seconds", "step_seconds", "expected"),
    [(3600, 15, 15), (7 * 86_400, 15, 60), (7 * 86_400, 60, 60), (86_400, 1, 10), (10_900, 1, 1), (1e10, 1, 950_400)],
)
def test_widened_step_stays_below_the_limit_of_points(range_seconds, step_seconds, expected):
    """Prometheus refuses more than 11,000 points a series."""
    step = promql.widened_step(range_seconds, step_seconds)

    assert step == expected
    assert range_seconds / step < 11_000


def test_aligned_times_are_multiples_of_the_step():
    """Two looks a few seconds apart ask for the same points."""
    start, end = NOW + timedelta(seconds=7.3), NOW + timedelta(seconds=67.9)

    assert promql.aligned(start, end, 15) == (NOW.timestamp(), NOW.timestamp() + 60)


@pytest.mark.parametrize("step", [5 / 3, 0.1, 0.0001, 7.0004, 15.8])
def test_step_with_many_digits_still_reaches_the_last_point(step):
    """Steps travel as milliseconds; start, step and end must fit together after rounding."""
    widened = promql.widened_step(10, step)
    first, last = promql.aligned(NOW - timedelta(seconds=10), NOW, widened)
    steps = (last - first) / float(f"{widened:.3f}")

    assert abs(steps - round(steps)) < 1e-6
    assert NOW.timestamp() - last < widened


@pytest.mark.parametrize(
    ("start", "end"), [(NOW.replace(tzinfo=None), NOW), (NOW, NOW.replace(tzinfo=None)), (NOW, NOW - timedelta(1))]
)
def test_times_without_a_zone_or_in_the_wrong_order_are_refused(start, end):
    """A naive time would be taken for local time."""
    with pytest.raises(ValueError, match=r"aware|before"):
        promql.aligned(start, end, 15)


def test_query_at_a_time_without_a_zone_is_refused():
    """The same for instant queries."""
    with pytest.raises(ValueError, match="aware"):
        prometheus("http://127.0.0.1:1").query("up", NOW.replace(tzinfo=None))


@pytest.mark.parametrize(
    ("status", "content_type", "kind"),
    [
        (401, "text/plain", Kind.DENIED),
        (403, "text/html", Kind.DENIED),
        (302, "text/html", Kind.DENIED),
        (200, "text/html", Kind.DENIED),
        (404, "text/html", Kind.WRONG),
        (422, "application/json", Kind.WRONG),
        (429, "text/plain", Kind.WRONG),
        (503, "text/plain", Kind.FAULTY),
        (502, "text/html", Kind.FAULTY),
        (200, "application/json", Kind.WRONG),
    ],
)
def test_query_without_an_answer_has_the_kind_for_judgement(socket_server, status, content_type, kind):
    """Not let in, not able to, or somebody else."""
    assert failure(socket_server(http_answer("no", status=status, content_type=content_type)).url).kind is kind


def test_prometheus_that_is_not_there_is_absent_and_one_that_hangs_up_is_not(black_hole, tcp_server):
    """Refused and silent are nobody."""
    assert failure("http://127.0.0.1:1").kind is Kind.ABSENT
    assert failure(f"http://127.0.0.1:{black_hole}").kind is Kind.ABSENT
    assert failure(tcp_server(lambda c: c.recv(9) and time.sleep(2)).http_url).kind is Kind.ABSENT
    assert failure(tcp_server(lambda c: c.recv(9) and None).http_url).kind is Kind.WRONG


def test_alerts_of_a_partial_answer_carry_what_is_missing_and_print_nothing(socket_server):
    """A missing store of Thanos may hold the alert that fires."""

    def act(connection, request):
        data = {"groups": []} if "/rules" in request else {"alerts": []}
        body = {"status": "success", "data": data, "warnings": ["one store timed out"]}
        connection.sendall(http_answer(json.dumps(body)))

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        alerts = prometheus(socket_server(act).url).alerts()

    assert alerts.degraded == "one store timed out"


@pytest.mark.parametrize(
    ("matchers", "contradicts"),
    [
        ('job="site"', False),
        ('job="other"', True),
        ('job!="site"', True),
        ('job!="other"', False),
        ('job=~"si.e|x"', False),
        ('job=~"si"', True),
        ('job!~"si.*"', True),
        ('job!~"other"', False),
        ('env="prod"', False),
        ("job='site', cluster=`e\\u`", False),
        ("job=~`o.+`", True),
        (r'path=~"a\\.b"', False),
        ('cluster="x=\\"y\\", job=\\"other\\""', True),
        ('job=~"["', False),
        ("", False),
    ],
)
def test_contradicts_understands_all_four_operators(matchers, contradicts):
    """A label that is missing contradicts nothing, and neither does what cannot be understood."""
    labels = {"job": "site", "cluster": r"e\u", "path": "a.b"}
    assert promql.contradicts(labels, matchers) is contradicts
