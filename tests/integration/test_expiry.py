"""Giving keys a TTL on real servers: never shortening one, never more than allowed."""

import contextlib

import pytest
from action_scenes.expiry import EXPIRING, LASTING, SHORT_SECONDS, fill
from actions_fixtures import environment_of
from redis_topology_fixtures import acl_user

from runbooks_lib.actions.keys.expiry import ExpireKeys, expiring
from runbooks_lib.actions.site import Site, WritableSite
from runbooks_lib.errors import SourceError
from runbooks_lib.model import Kind

ACTION = ExpireKeys(pattern="api:CourseViewSet:*", ttl_seconds=900)


@pytest.fixture(scope="module")
def server(redis_server):
    """One server for all of these tests."""
    return redis_server()


@pytest.fixture
def client(server):
    """30 keys that never expire, 10 that do, and a session."""
    made = server.client()
    fill(made)
    return made


def planned(action, environment):
    """The plan, made with reading rights."""
    with contextlib.closing(Site(environment)) as site:
        return action.plan(site)


def carried_out(action, environment):
    """What was written, and what was read back."""
    plan = planned(action, environment)
    with contextlib.closing(WritableSite(environment, lambda told: None)) as site:
        written = action.write(plan, site)
    with contextlib.closing(Site(environment)) as site:
        return written, action.read_back(plan, site, written.data)


def django(server):
    """The environment of a site with the prefix ``django``."""
    return environment_of(server.url(), key_prefix="django")


def test_expire_keys_plan_counts_those_without_a_ttl(server, client):
    """And says what counting cost."""
    plan = planned(ACTION, django(server))

    before = {line.name: line.value for line in plan.before}
    assert before["keys that match"] == "40 keys"
    assert before["of these without a TTL"] == "30 keys"
    assert "added 40 to keyspace_hits" in plan.notes[-1]
    assert plan.irreversible


def test_expire_keys_gives_a_ttl_with_jitter_and_shortens_none(server, client):
    """What expires already stays as it is, and so does what the pattern does not name."""
    written, found = carried_out(ACTION, django(server))

    ttls = {client.ttl(name) for name in LASTING}
    assert written.data["changed"] == 30
    assert all(805 <= ttl <= 990 for ttl in ttls)
    assert len(ttls) > 5
    assert all(SHORT_SECONDS - 60 < client.ttl(name) <= SHORT_SECONDS for name in EXPIRING)
    assert client.ttl("django:1:django.contrib.sessions.cache0123456789abcdef") == -1
    assert found.confirmed is True


def test_expire_keys_never_lengthens_or_shortens_a_longer_ttl(server, client):
    """NX: only where there is none."""
    client.expire(LASTING[0], 100_000)

    carried_out(ACTION, django(server))

    assert client.ttl(LASTING[0]) > 99_000


def test_expire_keys_where_all_have_a_ttl_has_nothing_to_do(server, client):
    """INFO says so at once, without a question for each key."""
    client.persist("x")
    client.delete("django:1:django.contrib.sessions.cache0123456789abcdef")
    for name in LASTING:
        client.expire(name, 600)

    plan = planned(ACTION, django(server))

    assert plan.no_op
    assert "added 0 to keyspace_hits" in plan.notes[-1]


def test_expire_keys_stops_at_its_bound(server, client):
    """It counts the keys that were given a TTL."""
    action = ExpireKeys(pattern="api:CourseViewSet:*", ttl_seconds=900, max_keys=7)
    with contextlib.closing(WritableSite(django(server), lambda told: None)) as site:
        written = action.write(None, site)

    assert written.data["changed"] == 7
    assert "bound of 7" in written.stopped
    assert sum(client.ttl(name) == -1 for name in LASTING) == 23


def test_expire_keys_before_redis_7_does_the_same_by_a_script(server, client):
    """The script is tried here on the real server: it changes what has no TTL, and nothing else."""
    commands = expiring(900, 0.1, knows_nx=False)([*LASTING, *EXPIRING, b"missing"])

    with contextlib.closing(WritableSite(django(server), lambda told: None)) as site:
        (node,) = site.nodes
        replies = site.writer(node).write_many(commands)

    assert replies == [1] * 30 + [0] * 11
    assert all(805 <= client.ttl(name) <= 990 for name in LASTING)
    assert all(client.ttl(name) <= SHORT_SECONDS for name in EXPIRING)


def test_expire_keys_of_which_the_ttl_is_gone_again_is_not_confirmed(server, client):
    """Something persisted them: it was written, and it is not so."""
    plan = planned(ACTION, django(server))
    with contextlib.closing(WritableSite(django(server), lambda told: None)) as site:
        written = ACTION.write(plan, site)
    for name in LASTING:
        client.persist(name)

    with contextlib.closing(Site(django(server))) as site:
        found = ACTION.read_back(plan, site, written.data)
        later = ACTION.read_back(plan, site, {})

    assert found.confirmed is False
    assert later.confirmed is False


def test_expire_keys_works_on_every_primary_of_a_cluster(redis_cluster):
    """Hash tags and hostile names included."""
    names = [b"django:1:api:{tag}:%d" % n for n in range(20)] + [b"django:1:api:\xff\n*[%d" % n for n in range(40)]
    redis_cluster.flush()
    redis_cluster.fill(dict.fromkeys(names, b"x"))

    written, found = carried_out(
        ExpireKeys(pattern="api:*", ttl_seconds=900), redis_cluster.environment(key_prefix="django")
    )

    assert (written.data["changed"], found.confirmed) == (60, True)
    assert all(redis_cluster.client_for(name).ttl(name) > 800 for name in names)


def test_expire_keys_without_the_right_to_ask_for_a_ttl_is_not_nothing_to_do(server, client):
    """An error is not "has a TTL": neither before nor after."""
    url = acl_user(server, "blind", "~*", "+@all", "-pttl").replace("/0", "/1")
    environment = environment_of(url, key_prefix="django")

    with pytest.raises(SourceError, match="which keys have a TTL is not known") as caught:
        planned(ACTION, environment)
    with contextlib.closing(Site(environment)) as site, pytest.raises(SourceError):
        ACTION.read_back(None, site, {"changed": 1, "sample": ["django:1:api:CourseViewSet:1"]})

    assert caught.value.kind is Kind.DENIED


def test_expire_keys_counts_keys_that_it_may_not_ask_for_apart(server, client):
    """The user may see half of the names only."""
    url = acl_user(server, "half", "~django:1:api:CourseViewSet:short:*", "+@all").replace("/0", "/1")

    plan = planned(ACTION, environment_of(url, key_prefix="django"))

    before = {line.name: line.value for line in plan.before}
    assert "not answered for 30" in before["of these without a TTL"]
    assert not plan.no_op


def test_expire_keys_under_a_prefix_that_is_not_the_sites_is_refused(server, client, fake_site):
    """The same guard as for a deletion; that nothing is found there is not "so already"."""
    site = fake_site(server.port)
    site.set(caches={"default": {"KEY_PREFIX": "shop"}})

    plan = planned(ExpireKeys(pattern="pages:*", ttl_seconds=900), site.environment)

    assert [guard.name for guard in plan.failed_guards] == ["key_prefix and key_version are the site's own"]
    assert not plan.no_op
