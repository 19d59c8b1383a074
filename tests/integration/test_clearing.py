"""Deleting many keys on real servers: exactly those that match, with an exact account, however it ends."""

import contextlib
import json
import os
import random
import signal
import threading
import time

import pytest
from action_scenes.clearing import ANSWERS, OTHERS, fill
from actions_fixtures import environment_of
from redis_topology_fixtures import acl_user, speaking_redis

from runbooks_lib.actions.keys.clearing import ClearAll, ClearPattern
from runbooks_lib.actions.keys.pattern import bounded
from runbooks_lib.actions.site import Site, WritableSite
from runbooks_lib.errors import MayHaveChangedError, RefusedError, SourceError
from runbooks_lib.records.event import plain
from runbooks_lib.sources.keyspace import glob_match
from runbooks_lib.sources.keyspace.names import KeyNames
from runbooks_lib.sources.keyspace.scan import look
from runbooks_lib.sources.redis.cache import ScanBudget
from runbooks_lib.sources.redis.nodes import open_nodes

HOSTILE = [
    *(b"a b", b"'", b'"', b"new\nline", b"carriage\r\n", b"*", b"?", b"[a-z]", b"back\\slash", b"$(id)", b";FLUSHALL"),
    *(b"\xff\xfe\x00", "é".encode(), b"{tag}1", b"{tag}2", b"{}", b"x" * 10_240, b"__import__('os')", b"<b>", b""),
]


@pytest.fixture(scope="module")
def server(redis_server):
    """One server for most of these tests; DEBUG SLEEP is allowed, to make it slow."""
    return redis_server("--enable-debug-command", "local", "--repl-diskless-sync-delay", "0")


@pytest.fixture
def client(server):
    """Its database 1, emptied; other databases too."""
    made = server.client()
    made.flushall()
    return made


def planned(action, environment):
    """The plan, made with reading rights."""
    with contextlib.closing(Site(environment)) as site:
        return action.plan(site)


def carried_out(action, environment, progress=lambda told: None):
    """What was written, and what was read back."""
    plan = planned(action, environment)
    with contextlib.closing(WritableSite(environment, progress)) as site:
        written = action.write(plan, site)
    with contextlib.closing(Site(environment)) as site:
        return written, action.read_back(plan, site, written.data)


def django(server, url="", **keys):
    """The environment of a site with the prefix ``django``."""
    return environment_of(url or server.url(), **{"key_prefix": "django", **keys})


def many(client, count, head="django:1:api:CourseViewSet:"):
    """So many answers."""
    for at in range(0, count, 5000):
        client.mset({f"{head}{number}": "x" for number in range(at, min(at + 5000, count))})


def named(found):
    """Evidence by name."""
    return {line.name: line.value for line in found}


def test_glob_match_agrees_with_redis(server, client):
    """300 random patterns over 500 random names, against SCAN MATCH itself."""
    chance = random.Random(7)
    letters = b"aab*?[]^-\\"
    names = {bytes(chance.choices(letters, k=chance.randrange(7))) for _ in range(500)}
    client.mset(dict.fromkeys(names, "x"))

    for _ in range(300):
        pattern = bytes(chance.choices(letters, k=chance.randrange(1, 8)))
        if glob_match.unfinished(pattern):
            continue
        own = glob_match.compiled(pattern)
        assert {n for n in names if own.match(n)} == set(client.scan_iter(match=pattern, count=5000)), pattern


def test_clear_pattern_plan_shows_what_goes_and_what_stays(server, client):
    """By name and count; nothing is written, and not one keyspace hit is added."""
    fill(client)
    hits = client.info("stats")["keyspace_hits"]

    plan = planned(ClearPattern(pattern="api:CourseViewSet:*"), django(server))

    assert named(plan.before)["keys that match"] == "40 keys"
    assert named(plan.blast_radius)["answers"] == "40 keys: api:CourseViewSet 40"
    assert "UNKNOWN" in named(plan.blast_radius)["lookups that will miss"]
    spared = named(plan.spared)
    assert spared["answers"] == "5 keys: api:UserViewSet 5"
    assert spared["sessions"].startswith("1 key")
    assert spared["throttle counters"].startswith("1 key")
    assert spared["locks"] == "1 key: cache_warming_lock:startup 1"
    assert spared["keys of others"] == "1 key: other:1: 1"
    assert plan.failed_guards == ()
    assert client.info("stats")["keyspace_hits"] == hits
    assert client.dbsize() == len(ANSWERS) + len(OTHERS)


def test_clear_pattern_deletes_hostile_names_and_nothing_else(server, client):
    """Names are data: nothing in them ends a command, a line or a pattern."""
    client.mset({b"django:1:api:" + name: b"x" for name in HOSTILE})
    others = {b"django:1:other:" + name: b"x" for name in HOSTILE}
    client.mset(others)

    written, found = carried_out(ClearPattern(pattern="api:*"), django(server))

    assert written.data["changed"] == len(HOSTILE)
    assert found.confirmed is True
    assert set(client.scan_iter(count=1000)) == others.keys()


def test_clear_pattern_with_an_escaped_wildcard_deletes_that_name_alone(server, client):
    r"""``api:\*`` is a key, not all of them."""
    client.mset({b"django:1:api:*": b"x", b"django:1:api:a": b"x"})

    carried_out(ClearPattern(pattern="api:\\*"), django(server))

    assert list(client.scan_iter()) == [b"django:1:api:a"]


@pytest.mark.parametrize("prefix", ["", "*", "[a-z]?", "sh op", "a\\b"])
def test_clear_pattern_stays_within_a_prefix_of_any_kind(server, client, prefix):
    """Two sites share the database; the prefix of one is a pattern that would match the other's."""
    client.mset({f"{prefix}:1:api:1": "x", f"{prefix}:2:api:1": "x", "django:1:api:1": "x", "xy:1:api:1": "x"})

    carried_out(ClearPattern(pattern="api:*"), django(server, key_prefix=prefix))

    assert set(client.scan_iter()) == {f"{prefix}:2:api:1".encode(), b"django:1:api:1", b"xy:1:api:1"}


def test_clear_pattern_of_another_version_deletes_that_version(server, client):
    """django-redis VERSION is part of every key."""
    client.mset({"django:1:api:1": "x", "django:7:api:1": "x"})

    carried_out(ClearPattern(pattern="api:*"), django(server, key_version=7))

    assert list(client.scan_iter()) == [b"django:1:api:1"]


def test_clear_pattern_leaves_sessions_that_appear_after_the_plan(server, client):
    """A pattern that can reach them without naming them fails its guard; a race with one is lost by the deletion."""
    client.mset({"django:1:stats": "x"})
    action, environment = ClearPattern(pattern="s*"), django(server)
    plan = planned(action, environment)
    client.set("django:1:session:1", "a user")

    with contextlib.closing(WritableSite(environment, lambda told: None)) as site:
        written = action.write(plan, site)

    assert plan.failed_guards == ()
    assert (written.data["changed"], written.data["spared"]) == (1, 1)
    assert list(client.scan_iter()) == [b"django:1:session:1"]
    assert planned(action, environment).failed_guards != ()


def test_clear_pattern_never_deletes_more_than_its_bound(server, client):
    """Keys that appeared after the plan count as well; what was deleted is known to the last key."""
    many(client, 3000)

    written, found = carried_out(ClearPattern(pattern="api:*", max_keys=1234), django(server))

    assert written.data["changed"] == 1234
    assert client.dbsize() == 3000 - 1234
    assert "bound of 1,234" in written.stopped
    assert found.confirmed is True


def test_clear_pattern_whose_bound_is_just_enough_is_complete(server, client):
    """As many keys as allowed is not one too many."""
    many(client, 500)

    written, _ = carried_out(ClearPattern(pattern="api:*", max_keys=500), django(server))

    assert (written.stopped, client.dbsize()) == ("", 0)


def test_clear_pattern_interrupted_by_a_signal_ends_with_an_exact_account(server, client):
    """The signal waits for the end of the step; the handler is as it was afterwards."""
    many(client, 3000)
    handler = signal.getsignal(signal.SIGINT)

    written, found = carried_out(
        ClearPattern(pattern="api:*"), django(server), lambda told: os.kill(os.getpid(), signal.SIGINT)
    )

    assert "Ctrl-C" in written.stopped
    assert client.dbsize() == 3000 - written.data["changed"] > 0
    assert found.confirmed is True
    assert signal.getsignal(signal.SIGINT) is handler


def test_clear_pattern_interrupted_by_whoever_shows_progress_ends_the_same_way(server, client):
    """A notebook's display may be where Ctrl-C arrives."""
    many(client, 3000)

    def interrupt(told):
        raise KeyboardInterrupt

    written, _ = carried_out(ClearPattern(pattern="api:*"), django(server), interrupt)

    assert "Ctrl-C" in written.stopped
    assert client.dbsize() == 3000 - written.data["changed"]


def test_clear_pattern_that_loses_its_lock_says_what_it_had_deleted(server, client):
    """Somebody else may be at work on the same keys now."""
    many(client, 300)

    def lose(told):
        raise MayHaveChangedError("somebody else holds the lock redis:keys")

    with pytest.raises(MayHaveChangedError, match=r"holds the lock.*before that 0 keys deleted"):
        carried_out(ClearPattern(pattern="api:*"), django(server), lose)


def test_clear_pattern_without_the_right_to_unlink_changes_nothing(server, client):
    """The server's own words are in the refusal."""
    many(client, 300)
    url = acl_user(server, "reader", "~*", "+@all", "-unlink").replace("/0", "/1")

    with pytest.raises(RefusedError, match="unlink"):
        carried_out(ClearPattern(pattern="api:*"), django(server, url=url))

    assert client.dbsize() == 300


def test_clear_pattern_that_loses_its_rights_halfway_gives_an_exact_account(server, client):
    """An error reply changed nothing, so everything is known."""
    many(client, 60_000)
    url = acl_user(server, "writer", "~*", "+@all").replace("/0", "/1")

    def forbid(told):
        if told.done:
            server.client(0).execute_command("ACL", "SETUSER", "writer", "-unlink")

    written, found = carried_out(ClearPattern(pattern="api:*", max_keys=100_000), django(server, url=url), forbid)

    assert "unlink" in written.stopped
    assert 0 < written.data["changed"] == 60_000 - client.dbsize()
    assert found.confirmed is True


def test_clear_pattern_on_a_replica_is_refused(redis_server, server, client):
    """READONLY: nothing was changed."""
    many(client, 200)
    replica = redis_server("--replicaof", "127.0.0.1", str(server.port))
    ends = time.monotonic() + 15
    while replica.client().dbsize() < 200 and time.monotonic() < ends:
        time.sleep(0.05)

    with pytest.raises(RefusedError, match=r"(?i)read.?only|replica"):
        carried_out(ClearPattern(pattern="api:*"), django(replica))

    assert client.dbsize() == 200


def test_clear_pattern_whose_server_dies_halfway_gives_the_account_up_to_there(redis_server):
    """It froze with a step in flight and was killed: of those keys nobody knows."""
    server = redis_server()
    many(server.client(), 60_000)

    def kill(told):
        if told.done:
            server.freeze()
            threading.Timer(0.3, server.process.kill).start()

    with pytest.raises(MayHaveChangedError, match=r"before that [\d,]+ keys deleted.*not known"):
        carried_out(ClearPattern(pattern="api:*", max_keys=100_000), django(server), kill)


def test_clear_pattern_stops_when_the_server_is_busy_with_something_else(server, client):
    """Another client keeps it busy for 60 ms at a time; the reason has both latencies in it."""
    many(client, 40_000)
    done = threading.Event()

    def busy():
        other = server.client(0)
        while not done.is_set():
            other.execute_command("DEBUG", "SLEEP", "0.06")

    worker = threading.Thread(target=busy)
    action, environment = ClearPattern(pattern="api:*"), django(server)
    plan = planned(action, environment)
    worker.start()
    with contextlib.closing(WritableSite(environment, lambda told: None)) as site:
        try:
            written = action.write(plan, site)
        finally:
            done.set()
            worker.join()

    assert "answers a PING after" in written.stopped
    assert client.dbsize() == 40_000 - written.data["changed"] > 0


def test_clear_pattern_while_keys_are_written_is_confirmed_with_their_number(server, client):
    """A site's next misses write a few keys anew."""
    many(client, 400)
    action, environment = ClearPattern(pattern="api:*"), django(server)
    plan = planned(action, environment)
    with contextlib.closing(WritableSite(environment, lambda told: None)) as site:
        written = action.write(plan, site)
    many(client, 20)

    with contextlib.closing(Site(environment)) as site:
        found = action.read_back(plan, site, written.data)

    assert found.confirmed is True
    assert "new keys written meanwhile: 20" in found.detail


def test_look_that_ends_at_its_budget_gives_lower_bounds(server, client):
    """And says which limit it was."""
    many(client, 2000)
    pattern = bounded("api:*", KeyNames(b"django:1:"))

    with open_nodes(django(server)) as nodes:
        found = look(nodes, pattern.names, glob_match.compiled(pattern.match), budget=ScanBudget(keys=400, step=200))

    assert (found.complete, found.ended) == (False, "400 keys")
    assert 0 < found.matched_count < 2000
    assert "not all" in found.warnings[-1]


def test_look_estimates_the_size_within_its_margin(server, client):
    """2,000 keys of two sizes, 1,000 of them measured: within three times the 95 % margin, which chance never leaves."""
    client.mset({f"django:1:api:X:{n}": "x" * (100 if n % 2 else 3000) for n in range(2000)})
    true = sum(client.memory_usage(f"django:1:api:X:{n}") for n in range(2000))
    pattern = bounded("api:*", KeyNames(b"django:1:"))

    with open_nodes(django(server)) as nodes:
        size = look(nodes, pattern.names, glob_match.compiled(pattern.match)).size

    assert size.sampled_count == 1000
    assert 0 < size.margin_bytes < true / 10
    assert abs(size.value_bytes - true) < 3 * size.margin_bytes


def test_look_without_the_right_to_measure_still_counts(server, client):
    """Bytes are not known then, and the plan says so."""
    fill(client)
    url = acl_user(server, "counter", "~*", "+@all", "-memory").replace("/0", "/1")

    plan = planned(ClearPattern(pattern="api:*"), django(server, url=url))

    assert "memory" not in named(plan.before)
    assert any("bytes are not known" in note for note in plan.notes)


def test_clear_all_says_whom_it_signs_out_and_leaves_others_alone(server, client):
    """By prefix: what the site keeps without a prefix, and what others keep, stays."""
    fill(client)
    action = ClearAll()
    plan = planned(action, django(server))

    carried_out(action, django(server))

    radius = named(plan.blast_radius)
    assert radius["sessions go"] == "signs out up to 1 user"
    assert "default" in radius["flags go"]
    assert any("clear_pattern" in note for note in plan.notes)
    assert "trigger_warming" in plan.offers[0].command
    assert set(client.scan_iter()) == {name for name in OTHERS if not name.startswith(b"django:1:")}


def test_clear_all_by_flush_is_refused_where_others_live(server, client):
    """It names them."""
    fill(client)

    (guard,) = planned(ClearAll(method="flush"), django(server)).failed_guards

    assert guard.detail == "1 key: other:1: 1"
    assert "method=prefix" in guard.hint


def test_clear_all_by_flush_empties_this_database_only(server, client):
    """Asynchronously; the account is the size at that moment."""
    fill(client, also={})
    server.client(2).set("elsewhere", "x")

    written, found = carried_out(ClearAll(method="flush"), django(server))

    assert (written.data["changed"], client.dbsize(), server.client(2).dbsize()) == (40, 0, 1)
    assert found.confirmed is True
    assert client.info("commandstats")["cmdstat_flushdb"]["calls"] >= 1


@pytest.mark.parametrize(
    "action", [ClearPattern(pattern="api:*"), ClearAll(), ClearAll(method="flush")], ids=lambda a: f"{a}"[:22]
)
def test_clearing_works_on_every_primary_of_a_cluster(redis_cluster, action):
    """A command reaches one slot there; the plan is the sum."""
    redis_cluster.flush()
    redis_cluster.fill({b"django:1:api:" + name + b":%d" % n: b"x" for n, name in enumerate(HOSTILE * 5)})
    environment = redis_cluster.environment(key_prefix="django")

    plan = planned(action, environment)
    written, found = carried_out(action, environment)

    assert named(plan.before)["keys that match"] == "100 keys"
    assert plan.failed_guards == ()
    assert (written.data["changed"], redis_cluster.dbsize(), found.confirmed) == (100, 0, True)


def test_clear_pattern_works_behind_a_sentinel(redis_sentinel):
    """It finds the primary by its service."""
    many(redis_sentinel.client(), 250)

    written, found = carried_out(ClearPattern(pattern="api:*"), redis_sentinel.environment(key_prefix="django"))

    assert (written.data["changed"], redis_sentinel.dbsize(), found.confirmed) == (250, 0, True)


def test_clearing_on_a_node_of_a_cluster_is_refused_with_the_right_url(redis_cluster):
    """It answers like a single server, and a third of the keys would be taken for all of them."""
    redis_cluster.flush()
    redis_cluster.fill({f"django:1:api:{number}": "x" for number in range(30)})
    server = redis_cluster.servers[0]
    environment = environment_of(server.url(0), key_prefix="django")

    for action in (ClearPattern(pattern="api:*"), ClearAll(), ClearAll(method="flush")):
        with pytest.raises(SourceError, match="only a part of the keys") as caught:
            planned(action, environment)
        assert f"rediscluster://127.0.0.1:{server.port}" in caught.value.hint
    with contextlib.closing(WritableSite(environment, lambda told: None)) as site, pytest.raises(RefusedError):
        ClearPattern(pattern="api:*").write(None, site)

    assert redis_cluster.dbsize() == 30


def test_clear_pattern_plan_on_a_replica_names_the_primary(redis_server, server, client):
    """Also where nothing matches: that is no reason to say that all is well."""
    replica = redis_server("--replicaof", "127.0.0.1", str(server.port))
    ends = time.monotonic() + 15
    while replica.client().info("replication")["master_link_status"] != "up" and time.monotonic() < ends:
        time.sleep(0.05)

    plan = planned(ClearPattern(pattern="api:*"), django(replica))

    (guard,) = plan.failed_guards
    assert f"127.0.0.1:{replica.port} is a replica of 127.0.0.1:{server.port}" in guard.detail
    assert not plan.no_op
    assert all(guard.holds for guard in planned(ClearPattern(pattern="api:*"), django(server)).guards)


COOKIES = [f"k3y{number}session2abcdef456789abcdef" for number in range(30)]


@pytest.mark.parametrize(
    "action",
    [
        ClearAll(method="flush"),
        ClearAll(),
        ClearPattern(pattern="django.contrib.sessions.cache*"),
        ClearPattern(pattern="session*"),
    ],
    ids=str,
)
def test_clearing_keeps_no_name_that_lets_somebody_in(server, client, action):
    """Whoever reads a plan, an account or the ledger must not be able to take over a session."""
    heads = ["django:1:django.contrib.sessions.cache", "django:1:django.contrib.sessions.cached_db"]
    heads += ["django:1:sessionid_", "django:1:api:X:session_id=", "cache_stats:django:1:session:"]
    if action == ClearAll():
        heads += ["shop:1:django.contrib.sessions.cache", "django:2:session:", "session:", "sessionid_", ""]
    client.mset({f"{head}{cookie}": "a user" for head in heads for cookie in COOKIES})

    plan = planned(action, django(server))
    with contextlib.closing(WritableSite(django(server), lambda told: None)) as site:
        written = action.write(plan, site)

    kept = json.dumps([plain(plan), plain(written)])
    assert written.data["changed"] >= 30
    assert not [cookie for cookie in COOKIES if cookie[3:] in kept]
    assert "session2abcdef" not in kept


def prefixed(fake_site, server, **cache):
    """The environment of a site that says this of its cache, with ``django`` as prefix in runbooks.toml."""
    site = fake_site(server.port)
    site.set(caches={"default": {"BACKEND": "django_redis.cache.RedisCache", **cache}})
    return site.environment


def test_clearing_under_a_prefix_that_is_not_the_sites_is_refused(server, client, fake_site):
    """Whether nothing is found under it, or the keys of somebody else."""
    client.mset({"shop:1:api:1": "x"})
    environment = prefixed(fake_site, server, KEY_PREFIX="shop")

    for action in (ClearPattern(pattern="api:*"), ClearAll()):
        plan = planned(action, environment)
        (guard,) = plan.failed_guards
        assert guard.detail == "the site's keys begin with shop:1:, those of runbooks.toml with django:1:"
        assert not plan.no_op
        assert any("others have keys there: 1 key (shop:1: 1)" in note for note in plan.notes)


def test_clearing_under_the_sites_own_prefix_holds_and_says_nothing(server, client, fake_site):
    """Its settings were read and agree."""
    client.set("django:1:api:1", "x")

    plan = planned(ClearPattern(pattern="api:*"), prefixed(fake_site, server, KEY_PREFIX="django", VERSION=1))

    assert plan.failed_guards == ()
    assert plan.guards[0].detail == "the site's keys begin with django:1:, those of runbooks.toml with django:1:"
    assert plan.notes == ()


def test_clearing_while_the_site_cannot_be_asked_says_so_and_goes_on(server, client, fake_site):
    """Its shell is as dead as its cache: the prefix in runbooks.toml was written down for that."""
    client.set("django:1:api:1", "x")
    site = fake_site(server.port)
    site.misbehave(broken="no settings")

    plan = planned(ClearPattern(pattern="api:*"), site.environment)

    assert plan.failed_guards == ()
    assert any(note.startswith("NOT COMPARED with the site") for note in plan.notes)
    assert any("manage is not configured" in note for note in planned(ClearAll(), django(server)).notes)


def test_clearing_spares_another_site_whose_prefix_begins_with_ours(server, client):
    """KEY_PREFIX ``django:1`` beside ``django``: every key of it begins with ours."""
    others = {b"django:1:1:api:CourseViewSet:1", b"django:1:shop:3:api:X", b"django:1:1:django.contrib.sessions.cachea"}
    client.mset({**dict.fromkeys(others, "x"), "django:1:api:CourseViewSet:1": "x", "django:1:report:9:x": "x"})

    plan = planned(ClearAll(), django(server))
    written, found = carried_out(ClearAll(), django(server))

    assert named(plan.before)["keys that match"] == "2 keys"
    assert named(plan.spared)["keys of others"] == "3 keys: django:1:1: 2, django:1:shop:3: 1"
    assert any("left alone, because they look like another site's: 3 keys" in note for note in plan.notes)
    assert (written.data["changed"], written.data["spared"], found.confirmed) == (2, 3, True)
    assert set(client.scan_iter()) == others


def test_clear_pattern_read_back_without_the_right_to_look_counts_nothing_as_gone(server, client):
    """MEMORY is refused: that is not "0 exist again"."""
    many(client, 60)
    url = acl_user(server, "blind", "~*", "+@all", "-memory").replace("/0", "/1")
    action, environment = ClearPattern(pattern="api:*"), django(server, url=url)
    plan = planned(action, environment)
    with contextlib.closing(WritableSite(environment, lambda told: None)) as site:
        written = action.write(plan, site)
    with contextlib.closing(Site(environment)) as site:
        gone = action.read_back(plan, site, written.data)
        stopped = action.read_back(plan, site, {**written.data, "complete": False})
        many(client, 60)
        back = action.read_back(plan, site, written.data)

    assert "0 of 0 looked at; not answered for 60" in named(gone.evidence)["deleted names that exist again"]
    assert (gone.confirmed, stopped.confirmed, back.confirmed) == (True, None, False)


def test_clear_pattern_whose_keys_visitors_bring_back_at_once_is_confirmed(server, client):
    """Each of them after a lookup that found nothing, as a site does it; as many put back without one are not."""
    many(client, 60)
    action, environment = ClearPattern(pattern="api:*"), django(server)
    plan = planned(action, environment)
    with contextlib.closing(WritableSite(environment, lambda told: None)) as site:
        written = action.write(plan, site)

    with contextlib.closing(Site(environment)) as site:
        many(client, 60)
        copied = action.read_back(plan, site, written.data)
        client.flushdb()
        for number in range(60):
            client.get(f"django:1:api:CourseViewSet:{number}")
        many(client, 60)
        visited = action.read_back(plan, site, written.data)

    assert (copied.confirmed, visited.confirmed) == (False, True)
    assert "only 0 lookups missed" in copied.detail
    assert "60 are there again, written anew: 60 lookups have missed" in visited.detail


def test_clear_pattern_of_one_popular_key_that_is_back_at_once_is_confirmed(server, client):
    """Too few to tell, and the sentence says so."""
    client.set("django:1:api:Popular:1", "x")
    action, environment = ClearPattern(pattern="api:Popular:*"), django(server)
    plan = planned(action, environment)
    with contextlib.closing(WritableSite(environment, lambda told: None)) as site:
        written = action.write(plan, site)
    client.set("django:1:api:Popular:1", "x")

    with contextlib.closing(Site(environment)) as site:
        found = action.read_back(plan, site, written.data)

    assert found.confirmed is True
    assert "1 there again: too few to tell" in found.detail


def test_look_counts_a_name_that_the_server_gives_twice_once(tcp_server):
    """SCAN does that while it resizes its table."""
    pages = {
        "SCAN 0": ["7", ["django:1:api:a", "django:1:api:b", "django:1:api:a"]],
        "SCAN 7": ["0", ["django:1:api:b"]],
    }

    def answer(command):
        if command.startswith("MEMORY USAGE"):
            return 50
        return pages.get(command[:6], "OK")

    pattern = bounded("api:*", KeyNames(b"django:1:"))
    environment = environment_of(f"redis://127.0.0.1:{tcp_server(speaking_redis(answer)).port}/0")
    with open_nodes(environment) as nodes:
        found = look(nodes, pattern.names, glob_match.compiled(pattern.match))

    assert (found.matched_count, found.looked_at_count, sorted(found.sample)) == (
        2,
        2,
        [b"django:1:api:a", b"django:1:api:b"],
    )


def test_flush_whose_size_is_not_told_does_not_say_that_it_was_nothing(server, client):
    """DBSIZE is refused: that is neither "0 keys flushed" nor "none is left"."""
    many(client, 20)
    url = acl_user(server, "sizeless", "~*", "+@all", "-dbsize").replace("/0", "/1")
    environment = django(server, url=url)
    with contextlib.closing(WritableSite(environment, lambda told: None)) as site:
        written = ClearAll(method="flush").write(None, site)

    with contextlib.closing(Site(environment)) as site, pytest.raises(SourceError):
        ClearAll(method="flush").read_back(None, site, written.data)

    assert written.account[0].value == "how many keys it held was not told"
    assert client.dbsize() == 0
