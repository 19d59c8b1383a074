"""Tuning Redis on real servers: what it would do, what it did, and how it is put back."""

import contextlib

import pytest
from action_scenes.redis_settings import BEFORE, WANTED, tune_redis
from actions_fixtures import environment_of
from redis_topology_fixtures import acl_user

from runbooks_lib.actions.apply import apply
from runbooks_lib.actions.desk import Desk
from runbooks_lib.actions.outcome import Result
from runbooks_lib.actions.redis_settings import TuneRedis
from runbooks_lib.actions.registry import make_action
from runbooks_lib.actions.site import Site, WritableSite
from runbooks_lib.errors import RefusedError
from runbooks_lib.sources.redis.nodes import open_nodes
from runbooks_lib.sources.redis.settings import redis_settings

MIB = 1024 * 1024
ONLY_LIMIT = {"policy": "", "timeout_seconds": -1, "tcp_keepalive_seconds": -1}


@pytest.fixture(scope="module")
def server(redis_server):
    """One server for most of these tests."""
    return redis_server()


@pytest.fixture
def scene(server):
    """Its settings differ from the guide's in all four."""
    server.client().flushall()
    return tune_redis(server)


@pytest.fixture
def go(ledger):
    """Plans an action and confirms it with the digest that was shown."""

    def run(action, environment):
        desk = Desk(environment, ledger, "run-1", "anna")
        planned = apply(action, desk)
        return planned, apply(action, desk, confirm=planned.plan.digest) if planned.plan else planned

    return run


def values(client):
    """The four settings as the server has them."""
    return {name: client.config_get(name)[name] for name in WANTED}


def evidence(pairs):
    """Evidence as a mapping."""
    return {item.name: item.value for item in pairs}


def test_tune_redis_sets_all_four_and_its_undo_puts_the_exact_bytes_back(scene, server, go):
    """The undo of the outcome is an action that can be made from text."""
    planned, done = go(scene.action, scene.environment)

    assert done.result is Result.APPLIED
    assert scene.state() == WANTED
    assert evidence(planned.plan.before)["maxmemory"] == "128.0 MiB (134217728 bytes)"
    _, undone = go(make_action(done.undo.action, done.undo.parameters), scene.environment)
    assert undone.result is Result.APPLIED
    assert scene.state() == BEFORE


def test_tune_redis_says_what_each_setting_does_in_numbers(scene, server, ledger):
    """Headroom, keys without a TTL, idle connections."""
    server.client().mset({f"k{n}": "x" for n in range(50)})
    plan = apply(scene.action, Desk(scene.environment, ledger, "run-1", "anna")).plan
    effects = {name.split(" on ")[0]: value for name, value in evidence(plan.blast_radius).items()}

    assert effects["maxmemory"].startswith("evicts nothing now; ")
    assert "headroom" in effects["maxmemory"]
    assert "50 of 50 keys have no TTL" in effects["maxmemory-policy"]
    assert effects["timeout"].startswith("0 of ")
    assert effects["tcp-keepalive"].startswith("a vanished client is noticed after about 120 s")
    assert any("a restart of Redis forgets this" in note for note in plan.notes)


def test_tune_redis_to_a_limit_below_what_is_in_use_is_refused_with_the_bytes_it_would_evict(scene, server, go):
    """The guard is judged on live numbers; nothing is set."""
    client = server.client()
    client.mset({f"big{n}": "x" * MIB for n in range(8)})
    planned, done = go(
        TuneRedis(maxmemory="4mb", policy="", timeout_seconds=-1, tcp_keepalive_seconds=-1), scene.environment
    )

    assert done.result is Result.REFUSED
    assert values(client) == BEFORE
    assert client.dbsize() == 8
    guard = planned.plan.failed_guards[0]
    assert guard.name.startswith("evicts nothing on 127.0.0.1:")
    assert "would evict" in guard.detail
    assert guard.hint


def test_tune_redis_leaves_out_what_is_left_blank(scene, server, go):
    """One setting changes, three stay."""
    _, done = go(TuneRedis(maxmemory="", policy="", timeout_seconds=120, tcp_keepalive_seconds=-1), scene.environment)
    assert done.result is Result.APPLIED
    assert values(server.client()) == {**BEFORE, "timeout": "120"}


def test_tune_redis_with_everything_so_already_has_nothing_to_do(scene, go):
    """Nothing is sent, and nothing needs confirming."""
    scene.fulfil()
    planned, done = go(scene.action, scene.environment)
    assert planned.plan.no_op
    assert done.result is Result.UNCHANGED


def test_tune_redis_in_the_file_without_a_file_is_refused(scene, go):
    """A server that was started without one cannot write it; nothing is set either."""
    action = TuneRedis(maxmemory="64mb", keep="in the file")
    _, refused = go(action, scene.environment)
    assert refused.result is Result.REFUSED
    assert "was started without one" in refused.detail
    assert scene.state() == BEFORE


def test_tune_redis_in_the_file_writes_it_and_until_restart_does_not(redis_server, go, tmp_path):
    """CONFIG REWRITE is sent only where it was asked for."""
    file = tmp_path / "redis.conf"
    file.write_text('save ""\nmaxmemory 128mb\n')
    server = redis_server(configuration=file)
    _, running = go(TuneRedis(maxmemory="64mb", **ONLY_LIMIT), environment_of(server.url()))
    assert running.result is Result.APPLIED
    assert "maxmemory 128mb" in file.read_text()
    _, kept = go(TuneRedis(maxmemory="64mb", keep="in the file", **ONLY_LIMIT), environment_of(server.url()))
    assert kept.result is Result.APPLIED
    assert "maxmemory 64mb" in file.read_text()
    assert [item.value for item in kept.account if item.source == "CONFIG REWRITE"] == ["written"]


@pytest.fixture
def filed(redis_server, tmp_path):
    """A server with a configuration file, and a plan to set its limit in that file."""
    file = tmp_path / "redis.conf"
    file.write_text('save ""\nmaxmemory 128mb\n')
    server = redis_server(configuration=file)
    action = TuneRedis(maxmemory="64mb", keep="in the file", **ONLY_LIMIT)
    with contextlib.closing(Site(environment_of(server.url()))) as site:
        return server, file, action, action.plan(site)


def read_again(action, plan, server, written):
    """What the read-back says of this server, on new connections."""
    with contextlib.closing(Site(environment_of(server.url()))) as site:
        return action.read_back(plan, site, written)


def test_tune_redis_killed_before_the_file_was_written_is_not_confirmed(filed):
    """CONFIG SET came through and CONFIG REWRITE did not: only the file tells, and where it is not seen nobody does."""
    server, file, action, plan = filed
    server.client().config_set("maxmemory", "64mb")
    untouched = read_again(action, plan, server, {})
    file.rename(file.with_name("elsewhere"))
    unseen = read_again(action, plan, server, {})
    told = read_again(action, plan, server, {"set": {}, "kept": [next(iter(plan.rests_on))]})
    file.with_name("elsewhere").rename(file)
    server.client().config_rewrite()
    written = read_again(action, plan, server, {})

    assert untouched.confirmed is False
    assert f"until its next restart: {file} holds maxmemory 128mb" in untouched.detail
    assert unseen.confirmed is None
    assert "is not known" in unseen.detail
    assert told.confirmed is True
    assert written.confirmed is True


def test_tune_redis_into_a_file_that_includes_another_says_that_it_cannot_tell(filed):
    """What stands before an include may be overruled by it."""
    server, file, action, plan = filed
    server.client().config_set("maxmemory", "64mb")
    file.write_text("MAXMEMORY 64mb\ninclude /etc/redis/more.conf\n")
    before = read_again(action, plan, server, {})
    file.write_text('include /etc/redis/more.conf\nmaxmemory "67108864"\n')
    after = read_again(action, plan, server, {})
    assert before.confirmed is None
    assert "includes other files" in before.detail
    assert after.confirmed is True


def test_tune_redis_whose_file_cannot_be_written_says_what_was_set_and_what_was_not(filed, go):
    """The rewrite is a step of its own in the account: it failed, and the setting stands until the restart."""
    server, file, action, _ = filed
    file.unlink()
    file.mkdir()
    _, done = go(action, environment_of(server.url()))
    assert done.result is Result.STOPPED
    assert [(item.name.split(" on ")[0], item.source) for item in done.account[:1]] == [("maxmemory", "CONFIG SET")]
    assert not any(item.source == "CONFIG REWRITE" for item in done.account)
    assert server.client().config_get("maxmemory")["maxmemory"] == str(64 * MIB)


def test_tune_redis_after_a_failover_is_confirmed_only_if_the_new_primary_holds_it_too(redis_server, scene, go):
    """A replica has settings of its own: a primary that was not in the plan is compared like any other."""
    planned, done = go(scene.action, scene.environment)
    written = {"set": {next(iter(planned.plan.rests_on)): WANTED}, "kept": [], "stopped": ""}
    other = redis_server()
    fresh = read_again(scene.action, planned.plan, other, written)
    for name, value in WANTED.items():
        other.client().config_set(name, value)
    alike = read_again(scene.action, planned.plan, other, written)

    assert done.result is Result.APPLIED
    assert fresh.confirmed is False
    assert "which was no primary when this was planned" in fresh.detail
    assert alike.confirmed is True
    early = read_again(scene.action, planned.plan, other, {**written, "stopped": "the second one refused"})
    assert early.confirmed is False
    assert "is no primary any more" in early.detail


def test_tune_redis_on_a_primary_that_was_not_planned_is_refused_before_anything_is_set(redis_server, scene):
    """A failover between the plan and the write: nobody has seen what it would do there."""
    with contextlib.closing(Site(scene.environment)) as site:
        plan = scene.action.plan(site)
    other = redis_server()
    before = values(other.client())
    with contextlib.closing(WritableSite(environment_of(other.url()), lambda progress: None)) as site:  # noqa: SIM117
        with pytest.raises(RefusedError, match="was no primary when this was planned"):
            scene.action.write(plan, site)
    assert values(other.client()) == before


def test_tune_redis_for_a_user_without_config_set_is_refused_and_says_what_to_do(server, scene, go):
    """An ACL user who may look, but not set: known before anything is sent."""
    url = acl_user(server, "night", "-@all", "+info", "+ping", "+config|get", "+select", "+acl", "+command|info", "~*")
    planned, done = go(scene.action, environment_of(url))
    assert done.result is Result.REFUSED
    assert values(server.client()) == BEFORE
    assert any(guard.name.startswith("CONFIG SET is allowed") for guard in planned.plan.failed_guards)
    assert "parameter group" in done.hint


def test_tune_redis_for_a_user_who_cannot_be_asked_is_refused_by_the_server_and_nothing_changes(server, scene, go):
    """Without ACL DRYRUN the plan says that it will only show when it is tried."""
    url = acl_user(server, "dawn", "-@all", "+info", "+ping", "+config|get", "+select", "+command|info", "~*")
    planned, done = go(scene.action, environment_of(url))
    assert any("shows when it is tried" in note for note in planned.plan.notes)
    assert done.result is Result.REFUSED
    assert done.changed is False
    assert values(server.client()) == BEFORE


def test_tune_redis_of_a_managed_service_without_config_is_refused_with_the_way_round(redis_server, go):
    """CONFIG is renamed away, as managed services do; the limit is still known from INFO."""
    server = redis_server("--rename-command", "CONFIG", "", "--maxmemory", "32mb")
    planned, _ = go(TuneRedis(), environment_of(server.url()))
    assert planned.result is Result.REFUSED
    assert "does not let us read its settings" in planned.detail
    assert "parameter group" in planned.hint
    with open_nodes(environment_of(server.url())) as nodes:
        (node,) = redis_settings(nodes).nodes
    assert node.settings["maxmemory"] == str(32 * MIB)
    assert node.unread


def test_tune_redis_on_a_cluster_sets_every_primary_and_without_one_undo_says_how_each_was(redis_cluster, go):
    """Primaries that differ cannot be put back by one command, and the plan says their values."""
    clients = redis_cluster.clients()
    for number, client in enumerate(clients):
        client.config_set("timeout", number)
    action = TuneRedis(maxmemory="", policy="", timeout_seconds=300, tcp_keepalive_seconds=-1)
    planned, done = go(action, redis_cluster.environment())

    assert done.result is Result.APPLIED
    assert [client.config_get("timeout")["timeout"] for client in clients] == ["300"] * 3
    assert planned.plan.undo is None
    assert "timeout 2" in planned.plan.irreversible
    assert len(planned.plan.rests_on) == 3


def test_tune_redis_half_applied_over_a_cluster_says_exactly_what_was_set_where(redis_cluster, go):
    """The second primary refuses: the first is set, the third untouched, and the account says so."""
    clients = redis_cluster.clients()
    for client in clients:
        client.config_set("timeout", 0)
        client.execute_command("ACL", "SETUSER", "half", "reset", "on", ">pw", "+@all", "~*")
    clients[1].execute_command("ACL", "SETUSER", "half", "-config|set", "-acl")
    clients[0].execute_command("ACL", "SETUSER", "half", "-acl")
    clients[2].execute_command("ACL", "SETUSER", "half", "-acl")
    environment = environment_of(redis_cluster.url(user="half", password="pw"))
    action = TuneRedis(maxmemory="", policy="", timeout_seconds=300, tcp_keepalive_seconds=-1)
    _, done = go(action, environment)

    assert done.result is Result.STOPPED
    assert done.changed is True
    assert [client.config_get("timeout")["timeout"] for client in clients] == ["300", "0", "0"]
    assert f"timeout on 127.0.0.1:{redis_cluster.servers[0].port}" in [item.name for item in done.account]
    assert str(redis_cluster.servers[1].port) in done.detail
    assert done.undo.parameters["timeout_seconds"] == 0


def test_redis_settings_counts_the_keys_of_every_database_that_there_is(redis_server):
    """A server may have more than sixteen of them."""
    server = redis_server("--databases", "64")
    server.client(40).mset({f"k{number}": "x" for number in range(100)})
    with open_nodes(environment_of(server.url())) as nodes:
        (node,) = redis_settings(nodes).nodes
    assert (node.keys_count, node.without_ttl_count) == (100, 100)


def test_redis_settings_counts_idle_clients_and_keys_of_all_databases(server, scene):
    """What the effects are computed from."""
    for database in (0, 1):
        server.client(database).set("lasting", "x")
        server.client(database).set("passing", "x", ex=100)
    with open_nodes(scene.environment) as nodes:
        (node,) = redis_settings(nodes).nodes

    assert (node.keys_count, node.without_ttl_count) == (4, 2)
    assert node.idle_seconds is not None
    assert len(node.idle_seconds) == node.clients_count
    assert node.host_memory_bytes > 100 * MIB
    assert node.may_set is True
    assert node.settings["save"] == ""
