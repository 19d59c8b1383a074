"""The site over HTTP, told by servers that misbehave at the socket."""

import gzip
import json
import threading
import time
from datetime import UTC, datetime

import pytest
from sources_fixtures import http_answer, site_environment

from runbooks_lib.errors import SourceError, UsageError
from runbooks_lib.model import Kind
from runbooks_lib.sources.site.web import Web

HEALTHY = {
    "status": "healthy",
    "redis": {"reachable": True, "latency_ms": 0.4, "used_memory_bytes": 1, "maxmemory_bytes": 0},
    "hit_rate": 0.91,
    "penetration_rate": 0.02,
    "warming": {"last_run": 1_790_000_000, "running": False},
    "features": {"ENHANCED_CACHE": 25},
    "version": "1.4.2",
}


def web_of(server, timeout_seconds=1.0, **keys):
    return Web(site_environment(site_url=server.url, **keys), timeout_seconds=timeout_seconds)


def health_of(socket_server, body, status=200):
    raw = body if isinstance(body, (str, bytes)) else json.dumps(body)
    return web_of(socket_server(http_answer(raw, status=status))).health()


def refused(call) -> SourceError:
    with pytest.raises(SourceError) as caught:
        call()
    assert caught.value.source == "web"
    assert caught.value.hint
    return caught.value


# --- health ---------------------------------------------------------------------------------------------------------


def test_health_healthy_site_gives_every_field(socket_server):
    """A complete answer becomes a complete fact with its provenance."""
    server = socket_server(http_answer(json.dumps(HEALTHY)))

    health = web_of(server).health()

    assert (health.http_status, health.status, health.redis_reachable) == (200, "healthy", True)
    assert (health.hit_ratio, health.penetration_ratio) == (0.91, 0.02)
    assert health.warming_last_run_at == datetime.fromtimestamp(1_790_000_000, UTC)
    assert health.warming_running is False
    assert health.features == {"ENHANCED_CACHE": 25.0}
    assert health.version == "1.4.2"
    assert health.redis_latency_seconds == pytest.approx(0.0004)
    assert health.notes == ()
    assert health.provenance.query == f"GET {server.url}/api/health/cache"
    assert server.requests[0].startswith("GET /api/health/cache HTTP/1.1")


def test_health_503_with_json_is_an_answer(socket_server):
    """A site that is down and says so was read."""
    health = health_of(socket_server, {"status": "down", "redis": {"reachable": False}}, status=503)

    assert (health.http_status, health.status, health.redis_reachable) == (503, "down", False)
    assert (health.hit_ratio, health.warming_last_run_at, dict(health.features)) == (None, None, {})


@pytest.mark.parametrize("value", [87.3, -0.1, "0.9", True, 1e400, [], {}])
def test_health_rate_that_is_no_ratio_is_none_with_a_note(socket_server, value):
    """A rate in percent or of a wrong type is neither guessed at nor passed on."""
    health = health_of(socket_server, {"status": "healthy", "hit_rate": value})

    assert health.hit_ratio is None
    assert any("hit_rate" in note for note in health.notes)


@pytest.mark.parametrize("value", [0, 1, 0.0, 1.0])
def test_health_rate_at_the_edges_is_a_ratio(socket_server, value):
    """0 and 1 are ratios."""
    assert health_of(socket_server, {"status": "healthy", "hit_rate": value}).hit_ratio == value


def test_health_wrong_types_below_the_status_are_notes(socket_server):
    """One broken field does not take the status of the cache with it."""
    body = {"status": "degraded", "redis": [], "warming": {"last_run": "yesterday", "running": "no"}, "features": 7}

    health = health_of(socket_server, body)

    assert health.status == "degraded"
    assert (health.redis_reachable, health.warming_last_run_at, health.warming_running) == (None, None, None)
    assert len(health.notes) == 4


@pytest.mark.parametrize(
    ("sent", "percentage"),
    [
        (25, 25.0),
        (0.5, 0.5),
        (True, 100.0),
        (False, 0.0),
        ("on", 100.0),
        ("OFF", 0.0),
        ({"percentage": 10, "enabled": True}, 10.0),
        ({"percentage": 10, "enabled": False}, 0.0),
        ({"strategy": "gradual", "percentage": 10, "enabled": False}, 10.0),
        ({"strategy": "on", "percentage": 0}, 100.0),
        ({"strategy": "off", "percentage": 50}, 0.0),
        ({"enabled": True}, 100.0),
    ],
)
def test_health_feature_in_any_form_is_a_percentage(socket_server, sent, percentage):
    """Numbers, switches, strategies and objects all say how much of the public is served."""
    assert health_of(socket_server, {"status": "healthy", "features": {"F": sent}}).features == {"F": percentage}


@pytest.mark.parametrize("sent", ["gradual", "whitelist", 101, -1, None, [], {}, {"strategy": "beta"}, 10**400])
def test_health_feature_without_a_percentage_is_left_out_with_a_note(socket_server, sent):
    """``gradual`` alone does not say how far."""
    health = health_of(socket_server, {"status": "healthy", "features": {"F": sent}})

    assert health.features == {}
    assert "features.F" in health.notes[0]


def test_health_last_run_as_text_is_utc(socket_server):
    """ISO 8601 is read as well; without a zone it is UTC."""
    body = {"status": "healthy", "warming": {"last_run": "2026-11-22T02:14:07"}}

    assert health_of(socket_server, body).warming_last_run_at == datetime(2026, 11, 22, 2, 14, 7, tzinfo=UTC)


@pytest.mark.parametrize(
    "body",
    [
        "",
        "OK",
        "<html><body>Sign in</body></html>",
        "[]",
        '"healthy"',
        "{}",
        '{"status": 1}',
        '{"status": " "}',
        "[" * 100_000,
        b"\xff\xfe",
    ],
)
@pytest.mark.parametrize("status", [200, 503])
def test_health_anything_but_an_object_with_a_status_is_a_source_error(socket_server, body, status):
    """A login page, a wrong type or nonsense is not a healthy cache."""
    assert refused(lambda: health_of(socket_server, body, status=status)).hint


@pytest.mark.parametrize("status", [204, 400, 401, 403, 404, 418, 429, 500, 502, 504])
def test_health_other_status_is_a_source_error_that_names_it(socket_server, status):
    """The status is in the message and the hint says how to go on."""
    assert str(status) in refused(lambda: health_of(socket_server, HEALTHY, status=status)).message


def test_health_terminal_codes_in_a_page_do_not_reach_the_message(socket_server):
    """An error message cannot drive the operator's terminal."""
    error = refused(lambda: health_of(socket_server, "\x1b[2J\u202eevil\r\n" * 100, status=500))

    assert error.message.isprintable()
    assert len(error.message) < 400


def test_health_redirect_to_another_host_is_not_followed(socket_server):
    """A login page elsewhere is not the site, and it is not sent anything."""
    elsewhere = socket_server(http_answer(json.dumps(HEALTHY)))
    location = f"Location: http://localhost:{elsewhere.port}/login?next=secret\r\n"

    error = refused(web_of(socket_server(http_answer(status=302, headers=location))).health)

    assert "redirects to http://localhost" in error.message
    assert "secret" not in error.message
    assert elsewhere.requests == []


@pytest.mark.parametrize("location", ["", "http://[bad", "ftp://127.0.0.1/x", "//evil.example/x"])
def test_health_redirect_that_leads_nowhere_is_a_source_error(socket_server, location):
    """A redirect that cannot be followed is named as one."""
    assert refused(web_of(socket_server(http_answer(status=301, headers=f"Location: {location}\r\n"))).health).hint


def test_health_redirect_on_the_same_host_is_followed(socket_server):
    """A missing slash is no reason to give up."""

    def handler(connection, request):
        if request.startswith("GET /api/health/cache "):
            connection.sendall(http_answer(status=301, headers="Location: /api/health/cache/\r\n"))
        else:
            connection.sendall(http_answer(json.dumps(HEALTHY)))

    assert web_of(socket_server(handler)).health().status == "healthy"


def test_health_redirect_loop_ends(socket_server):
    """A site that redirects to itself is told so after a few rounds."""
    server = socket_server(http_answer(status=302, headers="Location: /api/health/cache\r\n"))

    assert "more than 3" in refused(web_of(server).health).message
    assert len(server.requests) == 4


def test_health_credentials_in_the_url_are_sent_and_never_shown(socket_server):
    """Basic authentication works; neither the fact nor an error repeats it."""
    server = socket_server(http_answer("no", status=500))
    environment = site_environment(site_url=f"http://ops:s3cret-word@127.0.0.1:{server.port}")

    error = refused(Web(environment, timeout_seconds=1).health)

    assert "Authorization: Basic" in server.requests[0]
    assert "s3cret-word" not in str(error)


def test_health_echoed_secret_is_redacted(socket_server):
    """A debug page that prints a configured secret does not put it into the record."""
    server = socket_server(http_answer("token=abcdef123456", status=500))

    assert "abcdef123456" not in str(refused(web_of(server, secrets=("abcdef123456",)).health))


def test_health_nobody_listens_is_a_source_error():
    """A closed port is answered at once, with what to check."""
    began = time.monotonic()

    assert "refused" in refused(Web(site_environment(), timeout_seconds=2).health).message
    assert time.monotonic() - began < 1.5


def _never(connection, _):
    threading.Event().wait(8)


def _drip_head(connection, _):
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    for number in range(200):
        connection.sendall(f"X-{number}: ".encode())
        time.sleep(0.05)


def _drip_body(connection, _):
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n")
    for _ in range(200):
        connection.sendall(b" ")
        time.sleep(0.05)


def _drip_chunks(connection, _):
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(200):
        connection.sendall(b"1\r\n \r\n")
        time.sleep(0.05)


@pytest.mark.parametrize("handler", [_never, _drip_head, _drip_body, _drip_chunks])
def test_health_server_that_is_silent_or_drips_ends_at_the_deadline(socket_server, handler):
    """A timeout of a socket is not a deadline: a byte now and then must not keep the operator."""
    began = time.monotonic()

    error = refused(web_of(socket_server(handler), timeout_seconds=0.4).health)

    assert time.monotonic() - began < 1.2
    assert "within 0.4 s" in error.message


def test_health_dripping_body_does_not_leave_a_thread_behind(socket_server):
    """The read is cut off, not only abandoned."""
    before = set(threading.enumerate())
    refused(web_of(socket_server(_drip_body), timeout_seconds=0.3).health)
    time.sleep(0.5)

    assert [thread for thread in set(threading.enumerate()) - before if thread.name == "read-within"] == []


@pytest.mark.parametrize("declared", [True, False])
def test_health_gigantic_answer_is_cut_off(socket_server, declared):
    """An endless answer ends at the limit, whether or not it says how long it is."""

    def endless(connection, _):
        length = "Content-Length: 99999999999\r\n" if declared else ""
        connection.sendall(f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{length}\r\n".encode())
        while True:
            connection.sendall(b" " * 65536)

    assert "more than 256.0 KiB" in refused(web_of(socket_server(endless)).health).message


def test_health_compressed_bomb_is_cut_off(socket_server):
    """The limit counts what comes out of the decompression."""
    bomb = gzip.compress(b" " * 50_000_000)

    error = refused(web_of(socket_server(http_answer(bomb, headers="Content-Encoding: gzip\r\n"))).health)

    assert "more than 256.0 KiB" in error.message


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"SSH-2.0-OpenSSH_9\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{}",
        b"HTTP/1.1 999999 X\r\n\r\n",
        b"\x00" * 70_000,
        http_answer(b"not gzip", headers="Content-Encoding: gzip\r\n"),
    ],
)
def test_health_broken_http_is_a_source_error(socket_server, raw):
    """Whatever listens there, it becomes one readable line."""
    assert refused(web_of(socket_server(raw)).health).message.isprintable()


# --- exposition -----------------------------------------------------------------------------------------------------


def test_exposition_site_and_worker_are_read_in_order(socket_server):
    """The site comes first, then every further process."""
    site = socket_server(http_answer("a 1\n", content_type="text/plain"))
    worker = socket_server(http_answer("b 2", content_type="text/plain"))

    expositions = web_of(site, metrics_urls=(f"{worker.url}/metrics",)).exposition()

    assert [page.url for page in expositions.pages] == [f"{site.url}/metrics", f"{worker.url}/metrics"]
    assert expositions.text == "a 1\nb 2\n"
    assert expositions.unread == ()


def test_exposition_worker_that_does_not_answer_is_named(socket_server):
    """What is left is used, and what is missing is said."""
    site = socket_server(http_answer("a 1\n", content_type="text/plain"))

    expositions = web_of(site, metrics_urls=("http://127.0.0.1:1/metrics",)).exposition()

    assert len(expositions.pages) == 1
    assert "127.0.0.1:1" in expositions.unread[0].reason


def test_exposition_without_any_process_is_a_source_error():
    """Nothing at all is not an empty exposition."""
    assert refused(Web(site_environment(), timeout_seconds=1).exposition).hint


def test_exposition_html_page_is_a_source_error(socket_server):
    """A login page has no metrics."""
    server = socket_server(http_answer("<!DOCTYPE html><p>Sign in", content_type="text/html; charset=utf-8"))

    assert "HTML" in refused(web_of(server).exposition).message


# --- probe ----------------------------------------------------------------------------------------------------------


def test_probe_keeps_cache_headers_and_no_cookies(socket_server):
    """A session cookie has no place in a record."""
    headers = "X-Cache: HIT\r\nAge: 12\r\nX-RateLimit-Remaining: 99\r\nSet-Cookie: sessionid=abc\r\n"

    probe = web_of(socket_server(http_answer("{}", headers=headers))).probe("/api/courses/?page=2")

    assert probe.http_status == 200
    assert probe.headers["x-cache"] == "HIT"
    assert probe.headers["x-ratelimit-remaining"] == "99"
    assert "set-cookie" not in probe.headers


def test_probe_redirect_is_reported_not_followed(socket_server):
    """The headers asked for are those of this page."""
    server = socket_server(http_answer(status=301, headers="Location: /elsewhere\r\n"))

    assert web_of(server).probe("/api/courses").http_status == 301
    assert len(server.requests) == 1


def test_probe_does_not_wait_for_the_body(socket_server):
    """The headers are enough."""
    began = time.monotonic()

    assert web_of(socket_server(_drip_body), timeout_seconds=3).probe("/").http_status == 200
    assert time.monotonic() - began < 1


@pytest.mark.parametrize("path", ["", "api", "//evil.example/", "/\\evil", "/a\r\nX: y", "http://evil.example/"])
def test_probe_path_of_another_host_is_refused(path):
    """Nothing but a page of this site is asked for."""
    with pytest.raises(UsageError):
        Web(site_environment()).probe(path)


@pytest.mark.parametrize("value", [-1, "0.4", True, [], 1e400])
def test_health_latency_that_is_no_duration_is_none_with_a_note(socket_server, value):
    """Nor is one that is missing a zero."""
    health = health_of(socket_server, {"status": "healthy", "redis": {"latency_ms": value}})

    assert health.redis_latency_seconds is None
    assert any("redis.latency_ms" in note for note in health.notes)
    assert health_of(socket_server, {"status": "healthy", "redis": {"latency_ms": None}}).notes == ()


@pytest.mark.parametrize(
    ("status", "content_type", "kind"),
    [
        (401, "text/plain", Kind.DENIED),
        (403, "text/html", Kind.DENIED),
        (404, "text/html", Kind.WRONG),
        (429, "text/plain", Kind.WRONG),
        (500, "text/html", Kind.FAULTY),
        (502, "text/html", Kind.FAULTY),
        (503, "text/html", Kind.FAULTY),
        (200, "text/html", Kind.DENIED),
        (200, "application/json", Kind.WRONG),
    ],
)
def test_health_that_is_no_answer_has_the_kind_for_judgement(socket_server, status, content_type, kind):
    """A login page is not an outage."""
    server = socket_server(http_answer("no", status=status, content_type=content_type))
    assert refused(web_of(server).health).kind is kind


def test_health_site_that_is_not_there_is_absent_and_one_that_hangs_up_is_not(socket_server, black_hole):
    """Refused and silent are nobody; a redirect to a login elsewhere is denied."""
    assert refused(Web(site_environment(), timeout_seconds=1).health).kind is Kind.ABSENT
    dark = site_environment(site_url=f"http://127.0.0.1:{black_hole}")
    assert refused(Web(dark, timeout_seconds=0.3).health).kind is Kind.ABSENT
    assert refused(web_of(socket_server(lambda connection, _: connection.close())).health).kind is Kind.WRONG
    login = http_answer(status=302, headers="Location: https://login.example/\r\n")
    assert refused(web_of(socket_server(login)).health).kind is Kind.DENIED


def test_exposition_that_cannot_be_read_keeps_the_kind(socket_server):
    """Through the reads side by side."""
    assert refused(web_of(socket_server(http_answer("no", status=403))).exposition).kind is Kind.DENIED
    assert refused(Web(site_environment(), timeout_seconds=1).exposition).kind is Kind.ABSENT
