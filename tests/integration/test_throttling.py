"""Resetting the throttle of one client, on real servers: exactly his counters, whoever he claims to be."""

import pytest
from action_scenes.throttling import CLIENT, COUNTER, OTHER, reset_throttle
from actions_fixtures import environment_of
from redis_topology_fixtures import acl_user

from runbooks_lib.actions.apply import apply
from runbooks_lib.actions.desk import Desk
from runbooks_lib.actions.outcome import Result
from runbooks_lib.actions.site import WritableSite
from runbooks_lib.actions.throttling import ResetThrottle
from runbooks_lib.errors import RefusedError
from runbooks_lib.sources.redis.cache import ScanBudget
from runbooks_lib.sources.redis.nodes import open_nodes
from runbooks_lib.sources.redis.throttle_counters import throttle_counters

#: User ids that are patterns, commands or markup to somebody; each is also the name of a counter here.
HOSTILE = [
    "*",
    "?",
    "[ab]",
    "a*",
    "a\\",
    "'; FLUSHALL",
    '"',
    "{1}",
    "__import__('os')",
    "$(id)",
    "<b>",
]


@pytest.fixture(scope="module")
def server(redis_server):
    """One server for all of these tests."""
    return redis_server()


@pytest.fixture
def scene(server):
    """One address over its limit, and another beside it."""
    return reset_throttle(server)


@pytest.fixture
def go(ledger):
    """Plans an action and confirms it with the digest that was shown."""

    def run(action, environment, *, between=lambda: None):
        desk = Desk(environment, ledger, "run-1", "anna")
        planned = apply(action, desk)
        between()
        return planned, apply(action, desk, confirm=planned.plan.digest)

    return run


def evidence(pairs):
    """Evidence as a mapping."""
    return {item.name: item.value for item in pairs}


def test_reset_throttle_removes_the_counter_of_one_client_and_of_nobody_else(scene, go):
    """203.0.113.70 begins with the same characters and keeps its count."""
    planned, done = go(scene.action, scene.environment)

    assert done.result is Result.APPLIED
    assert scene.state() == {COUNTER: None, OTHER: b"99"}
    before = evidence(planned.plan.before)["anon counter"]
    assert before.startswith("100 of 100 requests, 0 remaining; window ends ")
    assert before.endswith("in 30 min")
    assert evidence(planned.plan.spared) == {"counters of other clients": "1"}
    assert "the guide's rates are assumed" in " ".join(planned.plan.notes)
    assert planned.plan.irreversible
    assert done.undo is None


def test_reset_throttle_dry_run_changes_nothing(scene, ledger):
    """Counts and the server's own statistics say so."""
    before = scene.write_commands()
    planned = apply(scene.action, Desk(scene.environment, ledger, "run-1", "anna"))

    assert planned.result is Result.PLANNED
    assert scene.state() == {COUNTER: b"100", OTHER: b"99"}
    assert scene.write_commands() == before


def test_reset_throttle_of_a_client_without_counters_has_nothing_to_do(scene, go):
    """A client that was never throttled is not an error."""
    planned, done = go(ResetThrottle(client="198.51.100.1"), scene.environment)
    assert planned.plan.no_op
    assert done.result is Result.UNCHANGED


def test_reset_throttle_whose_counts_moved_is_applied_all_the_same(scene, go, server):
    """The count moves with each request; the plan rests on the counter being there."""
    _, done = go(scene.action, scene.environment, between=lambda: server.client().incr(COUNTER))
    assert done.result is Result.APPLIED


def test_reset_throttle_whose_window_ended_meanwhile_is_refused_as_stale(scene, go, server):
    """There is nothing left to remove, which is another plan."""
    _, done = go(scene.action, scene.environment, between=lambda: server.client().delete(COUNTER))
    assert done.result is Result.REFUSED
    assert "no longer matches" in done.detail


def test_reset_throttle_removes_rest_frameworks_own_kind_of_counter_without_reading_its_pickle(scene, go, server):
    """A pickled list of times is not a count, and is not loaded."""
    server.client().set(f"django:1:throttle_anon_{CLIENT}", b"cos\nsystem\n(S'touch /tmp/owned'\ntR.", ex=600)
    planned, done = go(scene.action, scene.environment)

    assert done.result is Result.APPLIED
    assert not server.client().exists(COUNTER, f"django:1:throttle_anon_{CLIENT}")
    shown = [item.value for item in planned.plan.before]
    assert any(value.startswith("count not readable without the site's code") for value in shown)


@pytest.mark.parametrize("client", HOSTILE)
def test_reset_throttle_takes_a_hostile_user_id_as_a_name(server, go, client):
    """Patterns match nobody else; the counter that is called so goes."""
    redis = server.client()
    redis.flushdb()
    others = [f"django:1:throttle:user:{name}" for name in ("1", "a", "ab", "a1", "b", *HOSTILE) if name != client]
    for key in (*others, f"django:1:throttle:user:{client}"):
        redis.set(key, 7, ex=600)
    _, done = go(ResetThrottle(client=client, scope="user"), environment_of(server.url(), key_prefix="django"))

    assert done.result is Result.APPLIED
    assert redis.exists(f"django:1:throttle:user:{client}") == 0
    assert redis.exists(*others) == len(others)


def test_reset_throttle_finds_an_address_however_it_is_written(scene, go, server):
    """The site writes an IPv6 address in its short form."""
    key = "django:1:throttle:anon:2001:db8::1"
    server.client().set(key, 100, ex=600)
    _, done = go(ResetThrottle(client="2001:0DB8:0:0:0:0:0:1"), scene.environment)
    assert done.result is Result.APPLIED
    assert not server.client().exists(key)


def test_reset_throttle_read_back_tells_a_new_window_from_the_old_one(scene, server, ledger):
    """A client that goes on asking has a counter again at once; one that was put back is the old one."""
    desk = Desk(scene.environment, ledger, "run-1", "anna")
    plan = apply(scene.action, desk).plan
    redis, site = server.client(), WritableSite(scene.environment, print)
    written = scene.action.write(plan, site).data
    redis.set(COUNTER, 1, ex=3600)
    assert scene.action.read_back(plan, site, written).confirmed is True
    scene.reset()
    assert scene.action.read_back(plan, site, written).confirmed is False
    assert scene.action.read_back(plan, site, {}).confirmed is None
    assert scene.action.read_back(plan, site, {"removed": {COUNTER: None}}).confirmed is None
    redis.delete(COUNTER)
    assert scene.action.read_back(plan, site, {}).confirmed is True
    site.close()


def test_reset_throttle_read_back_of_a_window_whose_end_moves_with_each_request(server, ledger):
    """REST framework's own list: a request right before the reset, another right after it, both with a fresh TTL."""
    redis, key = server.client(), f"django:1:throttle_anon_{CLIENT}"
    redis.flushdb()
    redis.set(key, b"t" * 900, ex=3600)
    action = ResetThrottle(client=CLIENT)
    environment = environment_of(server.url(), key_prefix="django")
    plan = apply(action, Desk(environment, ledger, "run-1", "anna")).plan
    site = WritableSite(environment, print)
    written = action.write(plan, site).data

    redis.set(key, b"t" * 9, ex=3600)
    anew = action.read_back(plan, site, written)
    redis.set(key, b"t" * 909, ex=3660)
    put_back = action.read_back(plan, site, written)
    site.close()

    assert anew.confirmed is True, anew.detail
    assert put_back.confirmed is None
    assert "a list of 909 bytes, as many as before (a list of 900 bytes)" in put_back.detail


def test_reset_throttle_of_a_site_that_cannot_be_asked_uses_the_version_of_the_configuration(server, go):
    """The counter of version 1 is another site's, or an old one."""
    redis = server.client()
    redis.flushdb()
    redis.mset({f"django:1:throttle:anon:{CLIENT}": 100, f"django:2:throttle:anon:{CLIENT}": 100})
    planned, done = go(ResetThrottle(client=CLIENT), environment_of(server.url(), key_prefix="django", key_version=2))

    assert done.result is Result.APPLIED, done.detail
    assert redis.keys() == [COUNTER.encode()]
    assert "keys that begin with django:2: and the guide's rates are assumed" in planned.plan.notes[0]


@pytest.mark.parametrize(
    ("theirs", "holds"),
    [
        ({"KEY_PREFIX": "django", "VERSION": 1}, True),
        ({"KEY_PREFIX": "django"}, True),
        ({"KEY_PREFIX": "shop", "VERSION": 1}, False),
        ({"KEY_PREFIX": "django", "VERSION": 2}, False),
        ({"KEY_PREFIX": "django", "KEY_FUNCTION": "shop.keys.make"}, None),
    ],
)
def test_reset_throttle_of_a_site_with_other_keys_is_refused(server, fake_site, go, theirs, holds):
    """What the site says of its keys must be what runbooks.toml says."""
    redis = server.client()
    redis.flushdb()
    redis.set(COUNTER, 50)
    site = fake_site(server.port)
    site.set(caches={"default": theirs})

    planned, done = go(ResetThrottle(client=CLIENT), site.environment)

    assert planned.plan.guards[0].holds is holds
    assert done.result is (Result.APPLIED if holds else Result.REFUSED), done.detail
    assert redis.exists(COUNTER) == (0 if holds else 1)
    assert evidence(planned.plan.before)["anon counter"].startswith("50 of 50 requests")


def test_reset_throttle_whose_server_is_gone_before_the_first_command_is_refused(scene):
    """Nothing was sent, so nothing changed."""
    plan = scene.action.plan(WritableSite(scene.environment, print))
    gone = WritableSite(environment_of("redis://127.0.0.1:1/1", key_prefix="django"), print)

    with pytest.raises(RefusedError, match="no counter was removed"):
        scene.action.write(plan, gone)


def test_reset_throttle_says_what_its_looking_added_to_the_keyspace_hits(scene, server, ledger):
    """To the last one: the hit rate of a quiet server is read from these numbers."""
    redis = server.client()
    redis.mset({f"django:1:throttle:anon:10.0.0.{number}": 1 for number in range(7)})
    redis.config_resetstat()

    plan = apply(scene.action, Desk(scene.environment, ledger, "run-1", "anna")).plan

    stats = redis.info("stats")
    added = stats["keyspace_hits"] + stats["keyspace_misses"]
    assert f"looking at the counters added {added} to keyspace_hits and keyspace_misses" in plan.notes


def test_reset_throttle_on_a_cluster_asks_the_primary_that_holds_the_counter(redis_cluster, go):
    """Each key has its own place; the other counters are counted over all primaries."""
    redis_cluster.flush()
    addresses = [f"203.0.113.{number}" for number in range(1, 13)]
    redis_cluster.fill({f"django:1:throttle:anon:{address}": "100" for address in addresses})
    planned, done = go(ResetThrottle(client=addresses[4]), redis_cluster.environment(key_prefix="django"))

    assert done.result is Result.APPLIED
    assert evidence(planned.plan.spared) == {"counters of other clients": "11"}
    assert redis_cluster.dbsize() == 11


def test_reset_throttle_for_a_user_who_may_not_look_is_unread_and_not_taken_for_no_counter(scene, server, ledger):
    """Not allowed to look is not the same as not there."""
    rights = (
        "-@all",
        "+info",
        "+ping",
        "+select",
        "+scan",
        "+command|info",
        "+exists",
        "+getrange",
        "+pttl",
        "~shop:*",
    )
    url = acl_user(server, "night", *rights).replace("/0", "/1")
    environment = environment_of(url, key_prefix="django")
    planned = apply(scene.action, Desk(environment, ledger, "run-1", "anna"))
    assert planned.result is Result.UNREAD
    assert "does not let us look" in planned.detail
    assert "acl-pw" not in planned.detail + planned.hint


def test_throttle_counters_lists_the_fullest_and_counts_all_of_them(server):
    """Other keys, other prefixes and values that are no counts are not taken for counters."""
    redis = server.client()
    redis.flushdb()
    redis.mset({f"django:1:throttle:anon:10.0.0.{n}": n for n in range(1, 100)})
    redis.mset({"django:1:throttle:user:42": 1000, "django:1:throttle_user_43": b"\x80\x04]", "django:1:api:x": "1"})
    redis.mset({"shop:1:throttle:anon:10.0.0.1": 5, "django:1:api:throttle:anon": "3"})
    redis.hset("django:1:throttle:anon:hash", "a", "b")
    with open_nodes(environment_of(server.url())) as nodes:
        found = throttle_counters(nodes, "django")

    assert found.by_scope == {"anon": 100, "user": 2}
    assert [(one.client, one.count) for one in found.fullest[:2]] == [("10.0.0.99", 99), ("10.0.0.98", 98)]
    assert [one.count for one in found.fullest if one.scope == "user"] == [1000]
    assert found.read_count == 100
    assert not found.complete
    assert found.warnings == ("2 counters hold something that cannot be read without the site's code",)


def test_throttle_counters_says_where_its_budget_ended(server):
    """Less than all of them is said, never passed off as all."""
    redis = server.client()
    redis.flushdb()
    redis.mset({f"django:1:throttle:anon:10.0.{n // 250}.{n % 250}": n for n in range(2_000)})
    with open_nodes(environment_of(server.url())) as nodes:
        found = throttle_counters(nodes, "django", budget=ScanBudget(round_trips=2))

    assert not found.complete
    assert "not all keys were looked at" in found.warnings[0]
    assert 0 < found.by_scope["anon"] < 2_000


@pytest.mark.parametrize("prefix", ["a*b", "[x]", ""])
def test_throttle_counters_takes_the_prefix_as_text(server, prefix):
    """A prefix with the characters of a pattern, and none at all."""
    redis = server.client()
    redis.flushdb()
    redis.mset({f"{prefix}:1:throttle:anon:10.0.0.1": 3, "aXb:1:throttle:anon:10.0.0.2": 4, "x:1:throttle:anon:a": 5})
    with open_nodes(environment_of(server.url())) as nodes:
        found = throttle_counters(nodes, prefix)
    assert [one.count for one in found.fullest] == [3]
