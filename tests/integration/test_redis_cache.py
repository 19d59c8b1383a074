"""RedisCache against a real redis-server: healthy, guarded, frozen, full, loading, broken."""

import shutil
import threading
import time

import pytest
from sources_fixtures import site_environment

from runbooks_lib.errors import SourceError
from runbooks_lib.sources.redis.cache import RedisCache, ScanBudget

TIMEOUT_SECONDS = 1.0
READS = ("server", "warming")


def cache(url, **keys):
    """A RedisCache with a deadline of 1 s."""
    return RedisCache(site_environment(redis_url=url), **{"timeout_seconds": TIMEOUT_SECONDS, **keys})


def failure(url, read="server"):
    """The SourceError of a read, which must come within the deadline and carry a next step."""
    started = time.monotonic()
    with pytest.raises(SourceError) as caught:
        getattr(cache(url), read)()
    assert time.monotonic() - started < TIMEOUT_SECONDS + 0.5
    assert caught.value.hint
    return caught.value


@pytest.fixture(scope="module")
def plain(redis_server):
    """A server without a password, shared by the tests that only read."""
    return redis_server("--maxmemory", "64mb", "--maxmemory-policy", "allkeys-lru")


@pytest.fixture(scope="module")
def guarded(redis_server):
    """A server with a password and a user who may do little."""
    server = redis_server(password="p@ss/w:rd")
    server.client().execute_command(
        "ACL", "SETUSER", "night", "on", ">n1ght", "-@all", "+ping", "+info", "+select", "~*"
    )
    return server


def test_server_gives_what_redis_says(plain):
    """The figures of a real INFO, read over a real connection."""
    client = plain.client()
    client.mset({f"key:{number}": "x" * 100 for number in range(50)})
    server = cache(plain.url()).server()

    assert server.keys_count == client.dbsize()
    assert server.maxmemory_bytes == 64 * 1024 * 1024
    assert server.maxmemory_policy == "allkeys-lru"
    assert server.role == "master"
    assert server.used_memory_bytes == pytest.approx(client.info("memory")["used_memory"], rel=0.2)
    assert 0 < server.latency_seconds < 0.1
    assert server.evicted_per_second == 0
    assert server.warnings == ()
    assert server.provenance.took_seconds < 0.5


def test_server_that_evicts_gives_the_rate(redis_server):
    """Writes beyond maxmemory while it is measured."""
    server = redis_server("--maxmemory", "3mb", "--maxmemory-policy", "allkeys-lru")
    done = threading.Event()

    def fill():
        client, number = server.client(), 0
        while not done.is_set():
            pipeline = client.pipeline(transaction=False)
            for _ in range(20):
                pipeline.set(f"key:{number}", "x" * 10_000)
                number += 1
            pipeline.execute()
            time.sleep(0.005)

    writer = threading.Thread(target=fill)
    writer.start()
    try:
        time.sleep(0.4)
        assert cache(server.url()).server().evicted_per_second > 100
    finally:
        done.set()
        writer.join()


def test_warming_reads_statistics_and_locks(plain):
    """The hash and the locks as a site writes them, among other keys."""
    client = plain.client(2)
    client.mset({f"django:1:api:View:{number}": "x" for number in range(3000)})
    client.hset(
        "cache_warming_stats", mapping={"startup_count": 2, "startup_tasks": 9, "startup_last_run": time.time()}
    )
    client.hset("cache_warming_stats", mapping={"startup_duration": 61.5, "on_demand_failures": 1})
    client.set("cache_warming_lock:startup:all", "1", ex=600)
    client.set("cache_warming_lock:scheduled:all", "1")
    client.set(b"cache_warming_lock:on_demand:\xfe\xff", "1", px=1500)
    warming = cache(plain.url(2)).warming()

    assert [(one.name, one.tasks_count, one.duration_seconds) for one in warming.types] == [
        ("on_demand", 0, 0.0),
        ("startup", 9, 61.5),
    ]
    locks = {lock.name: lock.ttl_seconds for lock in warming.locks}
    assert set(locks) == {
        "cache_warming_lock:startup:all",
        "cache_warming_lock:scheduled:all",
        r"cache_warming_lock:on_demand:\xfe\xff",
    }
    assert locks["cache_warming_lock:scheduled:all"] is None
    assert 590 < locks["cache_warming_lock:startup:all"] <= 600
    assert warming.warnings == ()


def test_warming_without_anything_is_empty(plain):
    """A site that never warmed."""
    warming = cache(plain.url(3)).warming()

    assert (warming.types, warming.locks, warming.warnings) == ((), (), ())


def test_warming_in_a_large_keyspace_ends_with_its_budget(redis_server):
    """Half a million keys: the whole is seen with the usual budget, and a smaller one says that it was not."""
    server = redis_server("--enable-debug-command", "yes")
    client = server.client(0)
    client.execute_command("DEBUG", "POPULATE", "400000")
    client.set("cache_warming_lock:startup:all", "1")
    calls = client.info("commandstats").get("cmdstat_keys")
    found = cache(server.url(0), budget=ScanBudget(seconds=5), timeout_seconds=8.0).warming()
    hurried = cache(server.url(0), budget=ScanBudget(round_trips=10)).warming()

    assert len(found.locks) == 1
    assert found.warnings == ()
    assert "10 round trips: about 2,000 keys" in hurried.warnings[0]
    assert client.info("commandstats").get("cmdstat_keys") is calls is None


def test_server_read_leaves_nothing_behind(plain):
    """No connection stays open, and nothing was written."""
    client = plain.client()
    before, connections = client.info("commandstats"), len(client.client_list())
    cache(plain.url()).server()
    cache(plain.url()).warming()
    time.sleep(0.1)

    assert len(client.client_list()) == connections
    used = {name for name in client.info("commandstats") if name not in before}
    assert not {name for name in used if name.split("_")[1] in ("set", "del", "unlink", "hset", "expire", "flushdb")}


@pytest.mark.parametrize("read", READS)
def test_password_is_accepted(guarded, read):
    """Special characters travel percent-encoded."""
    assert getattr(cache(guarded.url()), read)().provenance.source == "redis"


def test_password_that_is_wanted_raises_no_warning(guarded):
    """The server does refuse who has none."""
    assert cache(guarded.url()).server().warnings == ()


@pytest.mark.parametrize("user", ["", "default"])
def test_password_that_is_not_needed_is_a_warning(plain, user):
    """A server that answers anybody is not protected by the password in our configuration."""
    url = plain.url(password="needless-pw", user=user)

    assert "without one" in cache(url).server().warnings[0]
    cache(url).warming()


@pytest.mark.parametrize("read", READS)
def test_wrong_password_is_named_without_showing_it(guarded, read):
    """The operator reads which setting is wrong."""
    problem = failure(guarded.url(password="wr0ng-secret"), read)

    assert "refuses the user or the password" in problem.message
    assert "wr0ng-secret" not in str(problem)


@pytest.mark.parametrize("read", READS)
def test_missing_password_is_named(guarded, read):
    """The URL has none and the server wants one."""
    problem = failure(guarded.url(password=""), read)

    assert "wants a password" in problem.message
    assert "${NAME}" in problem.hint


def test_user_without_a_right_learns_which_command(guarded):
    """An ACL user who may not HLEN."""
    url = guarded.url(user="night", password="n1ght")

    assert cache(url).server().version
    assert "does not allow the command hlen" in failure(url, "warming").message


def test_rights_of_the_hint_are_enough(guarded):
    """What the hint asks for is what is needed, and no more."""
    from runbooks_lib.sources.redis.errors import NEEDED_RIGHTS

    rights = NEEDED_RIGHTS.split()
    patterns = ["~cache_warming_stats", "~cache_warming_lock:*"]
    client = guarded.client()
    client.execute_command("ACL", "SETUSER", "reader", "on", ">r3ader", "-@all", *rights, *patterns)
    client.set("cache_warming_lock:startup:x", "1")
    url = guarded.url(user="reader", password="r3ader")

    assert cache(url).server().version
    assert len(cache(url).warming().locks) == 1
    client.execute_command("ACL", "SETUSER", "reader", "resetkeys", "~other:*")
    assert "ask for the key patterns" in failure(url, "warming").hint


@pytest.mark.parametrize("read", READS)
def test_frozen_server_ends_within_the_deadline(redis_server, read):
    """A stopped process keeps its connections and accepts new ones; only a timeout tells."""
    server = redis_server()
    server.freeze()

    assert "did not answer" in failure(server.url(), read).message
    server.thaw()
    getattr(cache(server.url()), read)()


def test_server_frozen_in_the_middle_of_a_read_ends_within_the_deadline(redis_server):
    """Between the two INFO reads."""
    server = redis_server()
    threading.Timer(0.1, server.freeze).start()

    message = failure(server.url()).message
    assert "did not answer" in message or "no complete answer" in message


@pytest.mark.parametrize("read", READS)
def test_stopped_server_is_refused(redis_server, read):
    """Nothing listens any more."""
    server = redis_server()
    server.stop()

    assert "refused" in failure(server.url(), read).message


def test_database_that_does_not_exist_is_named(plain):
    """A server has 16 unless configured otherwise."""
    assert "has no database 99" in failure(plain.url(99)).message


def test_tls_with_a_trusted_certificate_is_read(redis_server, monkeypatch):
    """rediss:// with the authority given in the URL."""
    server = redis_server(tls=True)
    trusted = f"{server.url()}?ssl_ca_certs={server.folder / 'cert.pem'}"

    assert cache(trusted).server().version
    assert "not trusted" in failure(server.url()).message
    assert "ssl_ca_certs" in failure(server.url()).hint
    wrong_name = trusted.replace("127.0.0.1", "localhost")
    assert "another name" in failure(wrong_name).message
    plain_to_tls = failure(server.url().replace("rediss://", "redis://"))
    assert "closed the connection" in plain_to_tls.message
    assert "rediss://" in plain_to_tls.hint


def test_tls_to_a_port_without_it_names_the_scheme(plain):
    """The server waits for a line that never comes."""
    problem = failure(plain.url().replace("redis://", "rediss://"))

    assert "TLS" in problem.message
    assert "redis://" in problem.hint


def test_server_that_cannot_save_and_refuses_writes_is_an_error(redis_server):
    """With save points and a failed save, the cache cannot be filled: that must not look healthy."""
    server = redis_server("--save", "3600 1")
    client = server.client()
    client.set("a", "1")
    shutil.rmtree(server.folder)
    with pytest.raises(Exception, match=r".*"):
        client.save()
    client.execute_command("BGSAVE")
    time.sleep(0.3)
    problem = failure(server.url())

    assert "MISCONF" in problem.message
    assert cache(server.url()).warming().locks == ()


def test_server_that_loads_says_so(redis_server):
    """A restart with a large file: INFO answers, everything else waits."""
    first = redis_server("--enable-debug-command", "yes")
    client = first.client(0)
    client.execute_command("DEBUG", "POPULATE", "20000")
    client.save()
    first.stop()
    slow = ["--key-load-delay", "500", "--loading-process-events-interval-bytes", "1024"]
    second = redis_server("--dir", str(first.folder), *slow)
    server = cache(second.url(0)).server()

    assert server.loading
    assert any("loading" in text for text in server.warnings)
    assert "is loading its data set" in failure(second.url(0), "warming").message


def test_replica_that_lost_its_primary_warns(redis_server):
    """It still answers, with data that stands still."""
    replica = redis_server("--replicaof", "127.0.0.1", "1")
    server = cache(replica.url()).server()

    assert server.role == "slave"
    assert any("lost its primary" in text for text in server.warnings)


def test_several_threads_share_one_object(plain):
    """Triage reads both facts at once."""
    source, failures = cache(plain.url()), []

    def read():
        try:
            source.server()
            source.warming()
        except SourceError as error:
            failures.append(error)

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
