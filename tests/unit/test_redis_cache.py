"""RedisCache against servers that misbehave, and its parsers against recorded replies."""

import socket
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sources_fixtures import site_environment

from runbooks_lib.errors import SourceError
from runbooks_lib.model import Kind
from runbooks_lib.sources.redis.cache import SITE_LOCKS, RedisCache, ScanBudget
from runbooks_lib.sources.redis.client import address_of
from runbooks_lib.sources.redis.replies import Info, parse_scan, parse_warming_statistics, text_of

DATA = Path(__file__).parents[1] / "data" / "redis"
TIMEOUT_SECONDS = 0.4
READS = ("server", "warming")


def bulk(text):
    """One RESP bulk string."""
    raw = text if isinstance(text, bytes) else text.encode()
    return b"$%d\r\n%s\r\n" % (len(raw), raw)


def array(*items):
    """One RESP array of encoded items."""
    return b"*%d\r\n%s" % (len(items), b"".join(items))


INFO = bulk((DATA / "info-7.0.15.txt").read_text().replace("\n", "\r\n"))
HEALTHY = {
    "PING": b"+PONG\r\n",
    "INFO": INFO,
    "SELECT": b"+OK\r\n",
    "HLEN": b":0\r\n",
    "HGETALL": array(),
    "SCAN": array(bulk("0"), array()),
    "PTTL": b":-2\r\n",
}


def answering(replies):
    """A connection handler that answers each command by its name: bytes, or a function of how often it was asked."""
    asked = {}

    def act(connection):
        for command in commands_of(connection):
            name = command[0].decode().upper()
            asked[name] = asked.get(name, 0) + 1
            reply = replies.get(name, b"-ERR unknown command '%s'\r\n" % command[0])
            connection.sendall(reply(asked[name]) if callable(reply) else reply)

    return act


def commands_of(connection):
    """The commands that a client sends, each as a list of its parts."""
    stream = connection.makefile("rb")
    while line := stream.readline():
        parts = []
        for _ in range(int(line[1:])):
            length = int(stream.readline()[1:])
            parts.append(stream.read(length + 2)[:-2])
        yield parts


def cache(url, *, timeout_seconds=5.0, **keys):
    """A RedisCache whose deadline a busy machine keeps; failures are given a short one."""
    return RedisCache(site_environment(redis_url=url), timeout_seconds=timeout_seconds, **keys)


def failure(url, read="server"):
    """The SourceError of a read, which must come within the deadline and carry a next step."""
    started = time.monotonic()
    with pytest.raises(SourceError) as caught:
        getattr(cache(url, timeout_seconds=TIMEOUT_SECONDS), read)()
    assert time.monotonic() - started < TIMEOUT_SECONDS + 0.4
    assert caught.value.source == "redis"
    assert caught.value.hint
    return caught.value


@pytest.fixture
def fake_redis(tcp_server):
    """Starts a server that speaks Redis's protocol with the replies it is given."""

    def start(**replies):
        return tcp_server(answering(HEALTHY | {name.upper(): reply for name, reply in replies.items()}))

    return start


# --- the facts ---------------------------------------------------------------------------------------------------------


def test_server_with_recorded_info_gives_its_figures(fake_redis):
    """What INFO of a real server says arrives in the fact, in base units."""
    server = cache(f"{fake_redis().redis_url[:-1]}1").server()

    assert server.version == "7.0.15"
    assert server.role == "master"
    assert server.used_memory_bytes == 966_520
    assert server.maxmemory_bytes == 64 * 1024 * 1024
    assert server.maxmemory_policy == "allkeys-lru"
    assert server.keys_count == 3
    assert server.evicted_per_second == 0.0
    assert not server.loading
    assert 0 < server.latency_seconds < 0.5
    assert server.warnings == ()
    assert server.provenance.source == "redis"
    assert server.provenance.took_seconds >= 0.2


def test_server_with_values_that_wrapped_takes_them_as_zero_and_warns(fake_redis):
    """An unsigned counter that went below zero is shown as 1.8e19; it must not become 16 exabytes of memory."""
    wrapped = bulk((DATA / "info-wrapped.txt").read_text())
    server = cache(fake_redis(info=wrapped).redis_url).server()

    assert server.used_memory_bytes == 0
    assert server.evicted_per_second == 0.0
    assert server.loading
    text = "\n".join(server.warnings)
    assert "used_memory is 18446744073709512345" in text
    assert "evicted_keys is 'many'" in text
    assert "loading its data set" in text
    assert "MISCONF" in text


def test_server_whose_eviction_counter_fell_has_no_eviction_rate(fake_redis):
    """A restart or CONFIG RESETSTAT between the samples gives no rate, never a negative one."""

    def info(asked):
        return bulk(f"redis_version:7\r\nused_memory:1\r\nmaxmemory:0\r\nevicted_keys:{900 if asked == 1 else 3}\r\n")

    assert cache(fake_redis(info=info).redis_url).server().evicted_per_second is None


def test_server_that_evicts_gives_the_rate_between_the_samples(fake_redis):
    """100 evictions in about 0.2 s are about 500 a second."""

    def info(asked):
        return bulk(f"redis_version:7\r\nused_memory:1\r\nmaxmemory:0\r\nevicted_keys:{asked * 100}\r\n")

    rate = cache(fake_redis(info=info).redis_url).server().evicted_per_second

    assert 200 < rate <= 500


def test_server_that_is_loading_is_a_fact_not_an_error(fake_redis):
    """It answers INFO while it refuses everything else, and the operator wants to know just that."""
    loading = b"-LOADING Redis is loading the dataset in memory\r\n"
    info = bulk("redis_version:7.0.15\r\nused_memory:5\r\nmaxmemory:0\r\nloading:1\r\n")
    server = cache(fake_redis(ping=loading, info=info).redis_url).server()

    assert server.loading
    assert "loading" in server.warnings[0]


def test_server_without_used_memory_in_info_is_an_error(fake_redis):
    """A proxy that answers INFO in its own way is not mistaken for an empty cache."""
    problem = failure(fake_redis(info=bulk("proxy:yes\r\n")).redis_url)

    assert "used_memory" in problem.message
    assert "proxy" in problem.hint


def test_server_never_sends_hello_or_client_commands(tcp_server):
    """Protocol 2 and no CLIENT SETINFO: it works behind proxies that know neither."""
    seen = []

    def act(connection):
        for command in commands_of(connection):
            seen.append(command[0].upper())
            connection.sendall(HEALTHY[command[0].decode().upper()])

    cache(f"{tcp_server(act).redis_url[:-1]}1").server()

    assert set(seen) == {b"SELECT", b"PING", b"INFO"}


def test_warming_statistics_that_make_no_sense_become_warnings():
    """A nonsense value is 0 or None and is named; the rest of the hash is used."""
    fields = {
        "startup_count": "3",
        "startup_tasks": "212",
        "startup_failures": "-1",
        "startup_duration": "nan",
        "startup_last_run": "1763776800.5",
        "on_demand_count": "many\x1b[31m",
        "on_demand_last_run": "1763776800000",
        "scheduled_duration": "1e300",
        "scheduled_last_run": "0",
        "version": "4",
        "_count": "5",
    }
    reply = [part.encode() for pair in fields.items() for part in pair]
    types, warnings = parse_warming_statistics(reply)

    assert [one.name for one in types] == ["on_demand", "scheduled", "startup"]
    on_demand, scheduled, startup = types
    assert (startup.runs_count, startup.tasks_count, startup.failures_count) == (3, 212, 0)
    assert startup.duration_seconds == 0
    assert startup.last_run_at == datetime(2025, 11, 22, 2, 0, 0, 500_000, tzinfo=UTC)
    assert on_demand.last_run_at is None
    assert scheduled.last_run_at is None
    assert len(warnings) == 5
    assert not any("\x1b" in text for text in warnings)


@pytest.mark.parametrize("reply", [None, b"x", 5, [b"a"], {b"a": b"b"}])
def test_warming_statistics_of_another_shape_are_an_error(reply):
    """Something that is not a hash is not understood as one."""
    with pytest.raises(SourceError, match="HGETALL"):
        parse_warming_statistics(reply)


def test_warming_statistics_under_a_key_of_another_type_are_a_warning(fake_redis):
    """Somebody else's string under that name does not hide the locks."""
    wrong = b"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"
    warming = cache(fake_redis(hlen=wrong).redis_url).warming()

    assert warming.types == ()
    assert "not a hash" in warming.warnings[0]


def test_warming_statistics_with_thousands_of_fields_are_not_read(fake_redis):
    """HGETALL of a huge hash would block the server for everybody."""
    warming = cache(fake_redis(hlen=b":200000\r\n", hgetall=b"-ERR must not be asked\r\n").redis_url).warming()

    assert "200,000 fields" in warming.warnings[0]


def test_warming_locks_with_names_that_are_not_text_are_listed(fake_redis):
    """A name is bytes; what is not UTF-8 is shown as an escape, and a lock without TTL has None."""
    names = array(bulk(b"cache_warming_lock:startup:a"), bulk(b"cache_warming_lock:x:\xff"), bulk(b"gone"))
    left = iter([b":-2\r\n"] * len(SITE_LOCKS) + [b":-1\r\n", b":1500\r\n", b":-2\r\n"])
    server = fake_redis(scan=array(bulk("0"), names), pttl=lambda _: next(left))
    locks = cache(server.redis_url).warming().locks

    assert [(lock.name, lock.ttl_seconds) for lock in locks] == [
        ("cache_warming_lock:startup:a", None),
        (r"cache_warming_lock:x:\xff", 1.5),
    ]


def test_warming_search_that_never_ends_stops_at_its_budget_and_says_so(fake_redis):
    """A keyspace that is too large, or a server whose cursor never comes back to 0, costs a bounded time."""
    server = fake_redis(scan=array(bulk("7"), array(bulk("cache_warming_lock:a:b"))), pttl=b":1000\r\n")
    budget = ScanBudget(keys=10_000_000, round_trips=50, seconds=5, step=100)
    warming = cache(server.redis_url, budget=budget).warming()

    # What the budget missed is still asked for by name.
    assert {lock.name for lock in warming.locks} == {"cache_warming_lock:a:b", *(name.decode() for name in SITE_LOCKS)}
    assert not warming.complete
    assert "ended after 50 round trips: about 5,000 keys" in warming.warnings[0]


@pytest.mark.parametrize(
    ("budget", "spent", "expected"),
    [
        (ScanBudget(keys=1000, step=200), {"round_trips": 5, "seconds": 0, "reply_seconds": 0}, "1,000 keys"),
        (ScanBudget(round_trips=5), {"round_trips": 5, "seconds": 0, "reply_seconds": 0}, "5 round trips"),
        (ScanBudget(seconds=0.5), {"round_trips": 1, "seconds": 0.5, "reply_seconds": 0}, "0.5 s"),
        (ScanBudget(), {"round_trips": 1, "seconds": 0.3, "reply_seconds": 0.3}, "a reply that took 0.30 s"),
        (ScanBudget(), {"round_trips": 1, "seconds": 0, "reply_seconds": 0}, ""),
    ],
)
def test_scan_budget_names_the_limit_that_was_reached(budget, spent, expected):
    """Each limit ends the search by itself."""
    assert budget.spent(**spent) == expected


@pytest.mark.parametrize("reply", [None, [b"0"], [b"x", []], [5, []], b"0", [b"0", {}], [b"0", [], []]])
def test_scan_reply_of_another_shape_is_an_error(reply):
    """A search never goes on with a cursor that it does not understand."""
    with pytest.raises(SourceError, match="SCAN"):
        parse_scan(reply)


def test_info_keys_of_a_database_that_is_not_listed_are_zero():
    """INFO lists only databases that hold keys."""
    info = Info(b"# Keyspace\r\ndb0:keys=12,expires=3,avg_ttl=0\r\ndb2:keys=x\r\n")

    assert [info.keys_count(number) for number in (0, 1, 2)] == [12, 0, 0]


def test_text_of_a_name_is_bounded():
    """A key name may be half a gigabyte long."""
    assert len(text_of(b"x" * 10_000)) == 200


# --- what goes wrong ---------------------------------------------------------------------------------------------------

ANSWERED_ERRORS = {
    "wrong password": ("WRONGPASS invalid username-password pair or user is disabled.", "refuses the user"),
    "old wrong password": ("ERR invalid password", "refuses the user"),
    "missing password": ("NOAUTH Authentication required.", "wants a password"),
    "HELLO without login": (
        "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass>",
        "wants a password",
    ),
    "HELLO unknown": ("ERR unknown command 'HELLO', with args beginning with: '3'", "does not know HELLO"),
    "no right, 7.0": ("NOPERM this user has no permissions to run the 'ping' command", "the command ping"),
    "no right to a key": ("NOPERM No permissions to access a key", "does not allow this user to read"),
    "misconf": (
        "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.",
        "refuses writes (MISCONF)",
    ),
    "read-only": ("READONLY You can't write against a read only replica.", "read-only replica"),
    "full": ("ERR max number of clients reached", "maxclients"),
    "protected": ("DENIED Redis is running in protected mode because protected mode is enabled", "protected mode"),
    "renamed": ("ERR unknown command 'PING', with args beginning with: ", "does not offer the command PING"),
    "master down": ("MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.", "replica"),
    "cluster down": ("CLUSTERDOWN The cluster is down", "is down, or nobody serves"),
    "moved": ("MOVED 3999 10.0.0.1:6379", "another node of its cluster"),
    "anything else": ("ERR the moon is full", "answered: the moon is full"),
}


@pytest.mark.parametrize(("answer", "expected"), ANSWERED_ERRORS.values(), ids=ANSWERED_ERRORS)
def test_server_that_refuses_is_explained_with_a_next_step(fake_redis, answer, expected):
    """Every refusal of Redis becomes one plain sentence and a hint."""
    assert expected in failure(fake_redis(ping=f"-{answer}\r\n".encode()).redis_url).message


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("ERR DB index is out of range", "has no database 1"),
        ("ERR SELECT is not allowed in cluster mode", "cluster node, which has no database 1"),
    ],
)
def test_server_without_this_database_is_explained(fake_redis, answer, expected):
    """The number in the URL is named."""
    assert expected in failure(f"{fake_redis(select=f'-{answer}{chr(13)}{chr(10)}'.encode()).redis_url[:-1]}1").message


def test_warming_while_loading_is_an_error_that_says_so(fake_redis):
    """No statistics are better than those of half a data set."""
    loading = b"-LOADING Redis is loading the dataset in memory\r\n"
    assert "is loading its data set" in failure(fake_redis(hlen=loading).redis_url, "warming").message


def test_warming_names_the_command_that_is_not_allowed(fake_redis):
    """An ACL user without SCAN learns which right to ask for."""
    answer = b"-NOPERM this user has no permissions to run the 'scan' command\r\n"
    problem = failure(fake_redis(scan=answer).redis_url, "warming")

    assert "the command scan" in problem.message
    assert "+scan" in problem.hint


@pytest.mark.parametrize("read", READS)
def test_nothing_listens_is_refused_at_once(read):
    """A stopped server is known in milliseconds."""
    started = time.monotonic()
    problem = failure("redis://127.0.0.1:1/1", read)

    assert "refused" in problem.message
    assert time.monotonic() - started < 0.3


@pytest.mark.parametrize("read", READS)
def test_black_hole_times_out_while_connecting(black_hole, read):
    """A firewall that drops packets is told from a server that hangs."""
    assert "no connection" in failure(f"redis://127.0.0.1:{black_hole}/1", read).message


@pytest.mark.parametrize("read", READS)
def test_server_that_never_answers_is_told_from_one_that_cannot_be_reached(tcp_server, read):
    """The connection stands, the answer does not come."""
    server = tcp_server(lambda connection: connection.recv(1) and time.sleep(2))

    assert "accepted the connection" in failure(server.redis_url, read).message
    assert server.connections_count == 1, "a timed-out read is not repeated"


def test_server_that_stops_in_the_middle_of_a_reply_times_out(tcp_server):
    """Half a bulk string is no answer."""

    def act(connection):
        for command in commands_of(connection):
            if command[0] == b"PING":
                connection.sendall(b"+PONG\r\n")
            else:
                connection.sendall(b"$4000\r\nredis_version:7.0.15\r\n")
                time.sleep(2)

    assert "did not answer" in failure(tcp_server(act).redis_url).message


@pytest.mark.parametrize("read", READS)
def test_server_that_drips_is_cut_off_at_the_deadline(tcp_server, read):
    """A byte now and then resets every socket timeout; only a deadline for the whole ends it, and its thread."""
    before = set(threading.enumerate())
    holder = []
    text = b"$99999\r\n" + b"x" * 999
    # Bytes that come before the question would be another fault.
    holder.append(tcp_server(lambda connection: connection.recv(99) and holder[0].drip(connection, text, seconds=0.1)))

    assert "no complete answer" in failure(holder[0].redis_url, read).message
    time.sleep(0.3)
    assert [t for t in set(threading.enumerate()) - before if t.name == "read-within"] == []


def test_server_that_hangs_up_once_is_asked_again(tcp_server):
    """A read that broke is repeated on a new connection."""
    served = answering(HEALTHY)

    def act(connection):
        if server.connections_count == 1:
            connection.recv(4096)
        else:
            served(connection)

    server = tcp_server(act)
    assert cache(server.redis_url).server().version == "7.0.15"
    assert server.connections_count == 2


def test_server_that_always_hangs_up_is_asked_twice_and_no_more(tcp_server):
    """One repetition, not ten; and the hint thinks of TLS."""
    server = tcp_server(lambda connection: connection.recv(4096))
    problem = failure(server.redis_url)

    assert "closed the connection" in problem.message
    assert "rediss://" in problem.hint
    assert server.connections_count == 2


def test_wrong_password_is_sent_once(fake_redis):
    """Repeating a refused login could lock the user out."""
    server = fake_redis(auth=b"-WRONGPASS invalid username-password pair or user is disabled.\r\n")
    failure(f"redis://u:secret@127.0.0.1:{server.port}/0")

    assert server.connections_count == 1


def test_client_sends_each_command_once(tcp_server):
    """Whoever writes must never have a write repeated: the client itself never does."""
    from redis import exceptions

    from runbooks_lib.sources.redis.client import ask, client_for

    seen = []

    def act(connection):
        for command in commands_of(connection):
            seen.append(command)
            return

    address = address_of(site_environment(redis_url=tcp_server(act).redis_url))
    with pytest.raises(exceptions.ConnectionError):
        ask(client_for(address, connect_seconds=1, reply_seconds=1), "INCR", "x")
    time.sleep(0.05)
    assert seen == [[b"INCR", b"x"]]


HTTP_400 = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\n\r\n400 Bad Request"
NOT_REDIS = {
    "HTTP": HTTP_400,
    "HTML": b"<!DOCTYPE html><html><body>no</body></html>",
    "SSH": b"SSH-2.0-OpenSSH_9.2\r\n",
    "wrong type": b":5\r\n",
    "array": b"*1\r\n+PONG\r\n",
    "too deep": b"*1\r\n" * 60,
    "negative": b"$-77\r\n",
}


@pytest.mark.parametrize("answer", NOT_REDIS.values(), ids=NOT_REDIS)
def test_something_that_is_not_redis_is_named_as_such(tcp_server, answer):
    """A wrong port leads to a web server more often than to nothing."""

    def act(connection):
        connection.recv(4096)
        connection.sendall(answer)
        connection.recv(4096)

    assert "redis" in failure(tcp_server(act).redis_url).message.lower()


def test_http_server_is_named_as_not_redis(tcp_server):
    """The message says what listens there."""

    def act(connection):
        connection.recv(4096)
        connection.sendall(HTTP_400)

    assert "is not a Redis server" in failure(tcp_server(act).redis_url).message


@pytest.mark.parametrize("raised", [socket.gaierror(-2, "Name or service not known")])
def test_name_that_dns_does_not_know_is_named(monkeypatch, raised):
    """The host in the URL is wrong, or the VPN is not up."""

    def lookup(*_arguments, **_keywords):
        raise raised

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    problem = failure("redis://cache.example.invalid:6379/1")

    assert "cache.example.invalid" in problem.message
    assert "VPN" in problem.hint


def test_name_lookup_that_hangs_ends_at_the_deadline(monkeypatch):
    """No socket timeout covers a name lookup."""
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_a, **_k: time.sleep(TIMEOUT_SECONDS + 0.6) or [])

    assert "DNS" in failure("redis://cache.example.invalid:6379/1").hint


def test_name_that_cannot_be_one_is_an_error_with_a_hint():
    """An empty label between two dots never reaches DNS."""
    assert "cannot be the name of a host" in failure("redis://cache..example/1").message


BAD_URLS = {
    "sentinel": ("sentinel://host/mymaster", "?service=<name>"),
    "cluster": ("rediscluster://host/1", "end redis_url in /0"),
    "scheme": ("memcached://host", "redis://"),
    "no number": ("redis://host/cache", "/0"),
    "port": ("redis://:p@ss:w0rd@host:port/1", "percent-encoded"),
    "bracket": ("redis://[::1/1", "percent-encoded"),
}


@pytest.mark.parametrize(("url", "hint"), BAD_URLS.values(), ids=BAD_URLS)
def test_url_that_cannot_be_used_is_refused_without_showing_it(url, hint):
    """The URL holds the password, so it is never shown; the next step is."""
    problem = failure(url)

    assert hint in problem.hint
    assert "p@ss" not in str(problem)
    assert problem.__cause__ is None or "sentinel" in url


def test_url_options_do_not_override_timeouts_and_protocol():
    """``?socket_timeout=600&protocol=3`` in a URL would undo every promise made here."""
    address = address_of(
        site_environment(redis_url="rediss://h/2?socket_timeout=600&protocol=3&decode_responses=1&ssl_ca_certs=/ca.pem")
    )

    assert address.database == 2
    assert address.tls
    assert set(address.options) == {"host", "db", "connection_class", "ssl_ca_certs"}


@pytest.mark.parametrize("read", READS)
def test_password_is_never_in_a_message_or_repr(fake_redis, read):
    """Not even when the server itself repeats it."""
    secret = "s3cret-value"
    server = fake_redis(auth=f"-ERR bad credentials {secret}\r\n".encode())
    url = f"redis://user:{secret}@127.0.0.1:{server.port}/1"
    problem = failure(url, read)

    assert secret not in str(problem)
    assert secret not in repr(address_of(site_environment(redis_url=url)))
    assert secret not in repr(cache(url))


KINDS = {
    "WRONGPASS invalid username-password pair or user is disabled.": Kind.DENIED,
    "NOAUTH Authentication required.": Kind.DENIED,
    "NOPERM this user has no permissions to run the 'ping' command": Kind.DENIED,
    "NOPERM No permissions to access a key": Kind.DENIED,
    "MISCONF Redis is configured to save RDB snapshots": Kind.FAULTY,
    "ERR max number of clients reached": Kind.FAULTY,
    "DENIED Redis is running in protected mode": Kind.FAULTY,
    "MASTERDOWN Link with MASTER is down": Kind.FAULTY,
    "CLUSTERDOWN The cluster is down": Kind.FAULTY,
    "MOVED 3999 10.0.0.1:6379": Kind.WRONG,
    "READONLY You can't write against a read only replica.": Kind.WRONG,
    "ERR unknown command 'PING'": Kind.WRONG,
    "ERR the moon is full": Kind.WRONG,
}


@pytest.mark.parametrize(("answer", "kind"), KINDS.items())
def test_server_that_refuses_has_the_kind_for_judgement(fake_redis, answer, kind):
    """A wrong password is not an outage."""
    assert failure(fake_redis(ping=f"-{answer}\r\n".encode()).redis_url).kind is kind


def test_warming_while_loading_is_faulty(fake_redis):
    """It answers, and says itself that it cannot work yet."""
    url = fake_redis(hlen=b"-LOADING Redis is loading the dataset in memory\r\n").redis_url
    assert failure(url, "warming").kind is Kind.FAULTY


def test_server_that_is_not_there_is_absent_and_another_service_is_wrong(black_hole, tcp_server):
    """Refused and silent are nobody; a web server is somebody else."""
    assert failure("redis://127.0.0.1:1/1").kind is Kind.ABSENT
    assert failure(f"redis://127.0.0.1:{black_hole}/1").kind is Kind.ABSENT
    assert failure(tcp_server(lambda c: c.recv(9) and time.sleep(2)).redis_url).kind is Kind.ABSENT
    assert failure(tcp_server(lambda c: c.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")).redis_url).kind is Kind.WRONG
    assert failure("sentinel://127.0.0.1:1/1").kind is Kind.WRONG
