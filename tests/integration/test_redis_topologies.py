"""Redis on every topology: a real cluster, a real Sentinel, real TLS, real ACL users; healthy, wrongly configured, failing."""

import time

import pytest
from builders import situation
from redis_topology_fixtures import SERVICE, acl_user, start_sentinel, wait_until, write_commands
from servers_fixtures import HOST, free_port
from sources_fixtures import site_environment

from runbooks_lib.errors import RefusedError, SourceError
from runbooks_lib.judgement.checks.redis import check_memory, check_redis
from runbooks_lib.model import Kind, Status
from runbooks_lib.policy import policy_for
from runbooks_lib.sources.redis.cache import RedisCache
from runbooks_lib.sources.redis.client import address_from, ask, client_for, explained
from runbooks_lib.sources.redis.needs import ALL
from runbooks_lib.sources.redis.nodes import ReadNode, open_nodes
from runbooks_lib.sources.redis.rights import acl_rules, advice, rights
from runbooks_lib.sources.redis.topology import locate

LOCK = "cache_warming_lock:startup:all"
STATISTICS = "cache_warming_stats"


def nodes_of(url):
    """The primaries that a URL leads to."""
    return open_nodes(site_environment(redis_url=url))


def failure(url):
    """The SourceError of opening a URL and asking each primary; it carries a next step and no password."""

    def every_size():
        with nodes_of(url) as nodes:
            return [node.ask("DBSIZE") for node in nodes]

    with pytest.raises(SourceError) as caught:
        every_size()
    assert caught.value.hint
    assert "pw" not in str(caught.value)
    return caught.value


# --- cluster -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def redis_cluster(start_redis_cluster):
    """A cluster of this module's own: slots are moved here, and a primary is lost."""
    return start_redis_cluster()


@pytest.fixture
def cluster(redis_cluster):
    """The shared cluster, empty."""
    redis_cluster.flush()
    return redis_cluster


def test_cluster_gives_a_node_for_each_primary_and_for_each_key(cluster):
    """What one node alone would answer with MOVED."""
    values = {f"key:{number}": str(number) for number in range(60)} | {"{tag}:a": "1", "{tag}:b": "2"}
    cluster.fill(values)
    with open_nodes(cluster.environment()) as nodes:
        assert len(nodes) == 3
        assert nodes.database == 0
        assert nodes.topology.kind == "cluster"
        assert [node.ask("DBSIZE") for node in nodes] == [client.dbsize() for client in cluster.clients()]
        assert all(nodes.for_key(key.encode()).ask("GET", key) == value.encode() for key, value in values.items())
        assert nodes.for_key(b"{tag}:a") is nodes.for_key(b"{tag}:b")
        assert nodes.shown == ",".join(f"{HOST}:{server.port}" for server in cluster.servers) + "/0"
        with pytest.raises(RefusedError):
            nodes.for_key(b"k").ask("SET", "k", "v")


@pytest.fixture(scope="module")
def tls_cluster(start_redis_cluster):
    """A cluster with TLS and a password."""
    return start_redis_cluster("--maxmemory-policy", "allkeys-lru", password="p w/@", tls=True)


def test_cluster_server_is_each_primary_and_their_sum(tls_cluster, tls_files):
    """One nearly full primary is not hidden behind two empty ones."""
    environment = site_environment(redis_url=tls_cluster.url(query=f"?tls=true&ssl_ca_certs={tls_files.ca}"))
    clients = tls_cluster.clients()
    tls_cluster.fill({f"key:{number}": "x" for number in range(30)})
    for client in clients:
        client.config_set("maxmemory", 100_000_000)
    clients[1].config_set("maxmemory", int(clients[1].info("memory")["used_memory"] * 1.25))
    # A TLS connection costs its client 40 ms of CPU, which a busy machine may not have.
    cache = RedisCache(environment, timeout_seconds=10)
    server = cache.server()

    assert [node.shown for node in server.nodes] == [f"{HOST}:{port}" for port in tls_cluster.tls_ports]
    assert server.keys_count == 30 == sum(node.keys_count for node in server.nodes)
    assert server.used_memory_bytes == sum(node.used_memory_bytes for node in server.nodes)
    assert server.maxmemory_bytes == sum(node.maxmemory_bytes for node in server.nodes)
    assert server.latency_seconds == max(node.latency_seconds for node in server.nodes)
    assert (server.role, server.version.count(".")) == ("master", 2)
    assert server.evicted_per_second == sum(node.evicted_per_second for node in server.nodes)
    assert server.warnings == ()
    assert server.fullest is server.nodes[1]
    memory = check_memory(server, policy_for(1.0))
    assert memory.value == server.nodes[1].used_ratio > 0.6
    assert f"{HOST}:{tls_cluster.tls_ports[1]} is the fullest of 3 primaries" in memory.detail
    assert len(memory.evidence) == 4
    clients[2].config_set("maxmemory", 0)
    unlimited = check_memory(cache.server(), policy_for(1.0))
    assert unlimited.status is Status.UNKNOWN
    assert f"maxmemory is 0 on {HOST}:{tls_cluster.tls_ports[2]}:" in unlimited.detail
    tls_cluster.flush()


def test_cluster_warming_finds_statistics_and_locks_wherever_they_lie(cluster):
    """Each key is asked for at its own slot; found locks of all primaries are one list."""
    locks = [f"cache_warming_lock:on_demand:{number}" for number in range(12)]
    cluster.client_for(STATISTICS).hset(STATISTICS, mapping={"startup_count": "3", "startup_tasks": "212"})
    cluster.fill(dict.fromkeys([LOCK, *locks], "1"))
    cluster.client_for(LOCK).pexpire(LOCK, 60_000)
    warming = RedisCache(cluster.environment()).warming()

    assert [one.tasks_count for one in warming.types] == [212]
    assert [lock.name for lock in warming.locks] == sorted([LOCK, *locks])
    assert 50 < next(lock for lock in warming.locks if lock.name == LOCK).ttl_seconds <= 60
    assert warming.warnings == ()
    assert warming.complete


def test_cluster_whose_slot_is_being_moved_says_what_is_not_known(cluster):
    """During a resharding a key that is no longer here may be there already (ASK)."""
    here, there = cluster.client_for(LOCK), next(c for c in cluster.clients() if c is not cluster.client_for(LOCK))
    there = next(
        c for c in cluster.clients() if c.execute_command("CLUSTER MYID") != here.execute_command("CLUSTER MYID")
    )
    slot = here.execute_command("CLUSTER", "KEYSLOT", LOCK)
    here_id, there_id = (one.execute_command("CLUSTER MYID").decode() for one in (here, there))
    there.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", here_id)
    here.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", there_id)
    warming = RedisCache(cluster.environment()).warming()
    with open_nodes(cluster.environment()) as nodes, pytest.raises(SourceError, match="another node of its cluster"):
        nodes.for_key(LOCK.encode()).ask("GET", LOCK)

    assert not warming.complete
    assert LOCK in warming.warnings[0]
    for one in (here, there):
        one.execute_command("CLUSTER", "SETSLOT", slot, "STABLE")


def test_cluster_whose_slot_moved_is_followed_by_whoever_opens_it_anew(cluster):
    """Nodes that are open keep their map: the error says that slots moved, and a new opening knows the new one."""
    key = "moving"
    slot = cluster.clients()[0].execute_command("CLUSTER", "KEYSLOT", key)
    ids = [client.execute_command("CLUSTER MYID").decode() for client in cluster.clients()]
    owner = slot * 3 // 16384
    target = (owner + 1) % 3
    with open_nodes(cluster.environment()) as before:
        for client in cluster.clients():
            client.execute_command("CLUSTER", "SETSLOT", slot, "NODE", ids[target])
        with pytest.raises(SourceError, match="another node of its cluster does") as caught:
            before.for_key(key.encode()).ask("GET", key)
        assert "rediscluster://" in caught.value.hint
        assert "run this again" in caught.value.hint
        with open_nodes(cluster.environment()) as after:
            assert after.for_key(key.encode()).shown == f"{HOST}:{cluster.servers[target].port}"
            assert after.for_key(key.encode()).ask("GET", key) is None
            assert len(after) == 3
    for client in cluster.clients():
        client.execute_command("CLUSTER", "SETSLOT", slot, "NODE", ids[owner])


def test_cluster_node_given_as_a_single_server_says_how_to_give_the_cluster(cluster):
    """The usual mistake, with its two faces: a part of the data, and a database that does not exist."""
    port = cluster.servers[0].port
    server = RedisCache(site_environment(redis_url=f"redis://{HOST}:{port}/0")).server()

    assert "one node of a cluster" in server.warnings[0]
    assert "rediscluster://" in server.warnings[0]
    database = failure(f"redis://{HOST}:{port}/1")
    assert "has no database 1" in database.message
    assert f"rediscluster://{HOST}:{port}" in database.hint


def test_single_server_given_as_a_cluster_says_how_to_give_it(redis_server):
    """The other way round."""
    server = redis_server()
    problem = failure(f"rediscluster://{HOST}:{server.port}")

    assert "is not a node of a cluster" in problem.message
    assert f"redis://{HOST}:{server.port}/0" in problem.hint


# --- TLS ---------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tls_ports(redis_server, tls_files):
    """Servers with TLS, by their certificate; ``strict`` wants one of the client, too."""
    ports = {}
    for name in ("server", "named", "expired", "strict"):
        ports[name] = free_port()
        certificate, clients = ("server", "yes") if name == "strict" else (name, "no")
        redis_server(*tls_files.options(ports[name], certificate=certificate, clients=clients))
    return ports


TLS = {
    "no authority": ("server", "", "not trusted", "ssl_ca_certs"),
    "wrong authority": ("server", "?ssl_ca_certs={dir}/other.pem", "another authority", "signed the certificate"),
    "no such file": ("server", "?ssl_ca_certs=/nowhere/ca.pem", "does not exist", "ssl_ca_certs"),
    "no certificate": ("server", "?ssl_ca_certs={dir}/ca.key", "cannot be used", "PEM"),
    "another name": ("named", "?ssl_ca_certs={dir}/ca.pem", "for another name", "name in the certificate"),
    "expired": ("expired", "?ssl_ca_certs={dir}/ca.pem", "has expired", "renew"),
    "no client certificate": ("strict", "?ssl_ca_certs={dir}/ca.pem", "client certificate|closed", "ssl_certfile"),
    "wrong key": (
        "strict",
        "?ssl_ca_certs={dir}/ca.pem&ssl_certfile={dir}/client.pem&ssl_keyfile={dir}/server.key",
        "do not belong together",
        "ssl_keyfile",
    ),
    "no key": (
        "strict",
        "?ssl_ca_certs={dir}/ca.pem&ssl_certfile={dir}/client.pem&ssl_keyfile={dir}/none",
        "does not exist",
        "ssl_keyfile",
    ),
    "foreign client": (
        "strict",
        "?ssl_ca_certs={dir}/ca.pem&ssl_certfile={dir}/other.pem&ssl_keyfile={dir}/other.key",
        "refuses our client certificate|closed",
        "ssl_certfile",
    ),
}


@pytest.mark.parametrize(("port", "query", "message", "hint"), TLS.values(), ids=TLS)
def test_tls_that_fails_names_what_to_change(tls_ports, tls_files, port, query, message, hint):
    """Each of the usual mistakes has words of its own."""
    problem = failure(f"rediss://{HOST}:{tls_ports[port]}/0{query.format(dir=tls_files.folder)}")

    assert any(part in problem.message for part in message.split("|"))
    assert hint in problem.hint
    assert problem.kind in {Kind.WRONG, Kind.DENIED}


def test_tls_with_a_client_certificate_is_read(tls_ports, tls_files):
    """tls-auth-clients yes."""
    folder = tls_files.folder
    query = f"?ssl_ca_certs={tls_files.ca}&ssl_certfile={folder}/client.pem&ssl_keyfile={folder}/client.key"
    with nodes_of(f"rediss://{HOST}:{tls_ports['strict']}/0{query}") as nodes:
        assert [node.ask("DBSIZE") for node in nodes] == [0]


def test_tls_connection_that_has_said_nothing_yet_is_ready(tls_ports, tls_files):
    """Without a password and in database 0 nothing is sent at first, and the server's session tickets wait unread."""
    address = address_from(f"rediss://{HOST}:{tls_ports['server']}/0?ssl_ca_certs={tls_files.ca}")
    client = client_for(address, connect_seconds=2, reply_seconds=2)
    connection = client.connection_pool.make_connection()
    connection.connect()
    time.sleep(0.05)

    assert not connection.can_read()
    connection.disconnect()


def test_tls_cluster_is_read_and_its_mistakes_are_named(tls_cluster, tls_files):
    """All nodes with one authority; a seed without TLS and one with a wrong authority."""
    cluster = tls_cluster
    cluster.flush()
    trusted = f"?tls=true&ssl_ca_certs={tls_files.ca}"
    cluster.fill({f"key:{number}": "x" for number in range(9)})
    with nodes_of(cluster.url(query=trusted)) as nodes:
        assert sum(node.ask("DBSIZE") for node in nodes) == 9
        assert [node.address.tls for node in nodes] == [True] * 3
    assert "tls=true" in failure(cluster.url()).hint
    assert "the other 2 in redis_url: the same" in failure(cluster.url(query="?tls=true")).message
    assert "another authority" in failure(cluster.url(query=f"?tls=true&ssl_ca_certs={tls_files.other_ca}")).message
    assert "refuses the user or the password" in failure(cluster.url(password="wrong", query=trusted)).message
    assert "wants a password" in failure(cluster.url(password="", query=trusted)).message


def test_tls_to_a_plain_port_of_sentinel_names_the_option(bare, tls_files):
    """A Sentinel without TLS waits for a line that never comes."""
    sentinel, trusted = bare[1], f"&ssl_ca_certs={tls_files.ca}"
    for query, who in {"tls=true": "Sentinel", "tls=true&sentinel_tls=false": "Redis"}.items():
        url = f"sentinel://{HOST}:{sentinel.port}/1?service={SERVICE}&{query}{trusted}"
        with pytest.raises(SourceError, match=f"no TLS connection with {who}") as caught:
            locate(site_environment(redis_url=url), seconds=1.2)
        assert "no tls=true" in caught.value.hint


# --- Sentinel ----------------------------------------------------------------------------------------------------------


def test_sentinel_with_tls_leads_to_a_primary_with_tls(redis_server, tls_files, tmp_path):
    """One ``tls=true`` and one authority for both; Sentinel announces the port with TLS."""
    port = free_port()
    primary = redis_server(*tls_files.options(port))
    sentinel = start_sentinel(tmp_path, primary, tls=tls_files, tls_port=port)
    url = f"sentinel://{HOST}:{sentinel.port}/2?service={SERVICE}&tls=true"
    try:
        with nodes_of(f"{url}&ssl_ca_certs={tls_files.ca}") as nodes:
            assert nodes.shown == f"{HOST}:{port}/2"
            assert nodes.for_key(b"k").ask("DBSIZE") == 0
        assert "the certificate of Sentinel at" in failure(url).message
        plain = failure(url.replace("&tls=true", ""))
        assert "tls=true" in plain.hint
    finally:
        sentinel.stop()


@pytest.fixture(scope="module")
def bare(redis_server, tmp_path_factory):
    """A primary without a replica, and a Sentinel; no passwords."""
    primary = redis_server()
    sentinel = start_sentinel(tmp_path_factory.mktemp("sentinel"), primary)
    yield primary, sentinel
    sentinel.stop()


@pytest.fixture(scope="module")
def guarded(start_redis_sentinel):
    """A Sentinel with a password of its own, before a Redis with another one."""
    return start_redis_sentinel(password="redis pw", sentinel_password="s/pw+1")


def test_sentinel_leads_to_the_primary(guarded):
    """With both passwords; the replica's lag is told with it."""
    guarded.client().set("k", "v")
    with open_nodes(guarded.environment()) as nodes:
        assert nodes.shown == f"{HOST}:{guarded.primary.port}/1"
        assert nodes.topology.kind == "sentinel"
        assert nodes.for_key(b"k").ask("GET", "k") == b"v"
    server = RedisCache(guarded.environment()).server()
    assert server.keys_count == 1
    assert server.nodes[0].replicas_count == 1
    assert 0 <= server.nodes[0].replica_lag_seconds < 20
    assert server.warnings == ()
    assert f"{server.version} master" in check_redis(situation(server=server), policy_for(1.0)).detail
    guarded.client().set(LOCK, "1", ex=60)
    assert [lock.name for lock in RedisCache(guarded.environment()).warming().locks] == [LOCK]
    guarded.flush()


SENTINEL_MISTAKES = {
    "no password of Sentinel": (
        {"sentinel_password": ""},
        "Sentinel at {s} wants a password of its own",
        "sentinel_password",
    ),
    "wrong password of Sentinel": ({"sentinel_password": "no"}, "Sentinel at {s} refuses", "sentinel_password"),
    "Redis's password for Sentinel": (
        {"sentinel_password": "redis pw"},
        "Sentinel at {s} refuses",
        "sentinel_password",
    ),
    "no password of Redis": ({"password": ""}, "Redis at {r} wants a password", "before the host"),
    "wrong password of Redis": ({"password": "no"}, "Redis at {r} refuses the user", "redis_url"),
    "unknown service": ({"service": "ma'in\n*"}, "does not know the service", f"'{SERVICE}'"),
    "database 99": ({"database": 99}, "has no database 99", "0 to 15"),
}


@pytest.mark.parametrize(("change", "message", "hint"), SENTINEL_MISTAKES.values(), ids=SENTINEL_MISTAKES)
def test_sentinel_mistake_is_told_for_what_it_is(guarded, change, message, hint):
    """redis-py says "No master found" for each of them."""
    url = guarded.url(**change)
    with pytest.raises(SourceError) as caught, nodes_of(url) as nodes:
        next(iter(nodes)).ask("DBSIZE")
    places = {"s": f"{HOST}:{guarded.sentinel.port}", "r": f"{HOST}:{guarded.primary.port}"}

    assert message.format(**places) in caught.value.message
    assert hint in caught.value.hint
    assert "redis pw" not in str(caught.value)
    assert "s/pw" not in str(caught.value)


def test_sentinel_and_redis_taken_for_each_other_are_told_apart(bare):
    """The ports are mixed up more often than anything else."""
    primary, sentinel = (one.port for one in bare)
    taken = failure(f"sentinel://{HOST}:{primary}/1?service={SERVICE}")
    given = failure(f"redis://{HOST}:{sentinel}/1")

    assert "is not a Sentinel" in taken.message
    assert f"sentinel://{HOST}:{sentinel}/1?service=" in given.hint


def test_sentinel_failover_is_followed(guarded):
    """Whoever asks anew gets the new primary; a write to a replica names the failover."""
    replica = address_from(guarded.replica.url())
    client = client_for(replica, connect_seconds=1, reply_seconds=1)
    with pytest.raises(Exception, match="read only replica") as caught:
        ask(client, "SET", "k", "v")
    client.connection_pool.disconnect()
    problem = explained(caught.value, replica, 1)
    guarded.sentinel_client().execute_command("SENTINEL", "FAILOVER", SERVICE)
    cache, place = RedisCache(guarded.environment()), f"{HOST}:{guarded.replica.port}"
    wait_until(lambda: cache.server().nodes[0].shown == place, "no failover happened")

    assert "read-only replica" in problem.message
    assert "a failover just happened" in problem.hint
    with open_nodes(guarded.environment()) as nodes:
        assert nodes.shown == f"{place}/1"
        assert nodes.for_key(b"k").ask("DBSIZE") == 0


def test_sentinel_whose_primary_is_dead_and_cannot_be_replaced_says_so(bare):
    """No replica: Sentinel knows that it is down, and there is nobody to take over."""
    primary, sentinel = bare
    primary.stop()
    url = f"sentinel://{HOST}:{sentinel.port},{HOST}:1/1?service={SERVICE}"

    assert "announced by Sentinel" in failure(url).message
    wait_until(lambda: "o_down" in failure(url).message, "Sentinel did not notice")
    assert failure(url).kind is Kind.ABSENT
    assert "Sentinel says" in failure(url).message


# --- rights ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def rich(redis_server):
    """A server with a key of each kind."""
    server = redis_server()
    client = server.client(0)
    client.set("s", "v")
    client.hset(STATISTICS, "startup_count", "1")
    client.set(LOCK, "1")
    return server


def rights_of(url):
    """The rights of the URL's user."""
    node = ReadNode(address_from(url))
    try:
        return rights(node)
    finally:
        node.close()


def test_rights_of_everybody_are_all(rich):
    """The default user of a server without ACL; commands for clusters are not asked for, newer ones are not offered."""
    found = rights_of(rich.url(0))

    assert found.denied == found.unknown == ()
    assert found.missing == ()
    version = tuple(int(part) for part in found.version.split(".")[:2])
    assert set(found.allowed) == {need for need in ALL if need.purpose != "cluster" and need.since <= version}
    assert advice(found, ("read", "act", "settings", "dump")) == ()
    assert "DRYRUN" in found.note


def test_rules_for_reading_are_enough_for_every_read_and_for_nothing_else(rich):
    """The exact rule set, on a real server: what reads works, what changes anything is refused."""
    url = acl_user(rich, "reader", *acl_rules(("read",), version="7.0.15"))
    cache = RedisCache(site_environment(redis_url=url))
    before = write_commands([rich.client(0)])
    found = rights_of(url)

    assert cache.server().keys_count == 3
    assert [lock.name for lock in cache.warming().locks] == [LOCK]
    assert found.lacks("read") == ()
    assert {need.command for need in found.denied} == {
        need.command for need in ALL if need.purpose in {"act", "settings", "dump"}
    }
    node = ReadNode(address_from(url))
    for need in (one for one in found.allowed if one.command != "select"):
        replies = node.ask_many([need.example])
        assert "permissions" not in str(replies[0]), need.command
    node.close()
    client = client_for(address_from(url), connect_seconds=1, reply_seconds=1)
    for command in (
        "SET s x",
        "UNLINK s",
        "FLUSHDB",
        "CONFIG SET maxmemory 1",
        "CLIENT KILL ID 1",
        "CLIENT PAUSE 1",
        "KEYS *",
    ):
        with pytest.raises(Exception, match="no permissions"):
            ask(client, *command.split())
    client.connection_pool.disconnect()
    assert write_commands([rich.client(0)]) == before


def test_rules_for_actions_let_every_write_of_the_library_through(redis_server):
    """Everything in the list with its example, and EVAL with what the scripts call."""
    server = redis_server()
    url = acl_user(server, "actor", *acl_rules(("read", "act"), version="7.0.15"))
    found = rights_of(url)
    client = client_for(address_from(url), connect_seconds=1, reply_seconds=5)

    assert found.lacks("read") == found.lacks("act") == ()
    for need in (one for one in ALL if one.purpose == "act"):
        ask(client, *need.example)
    script = "redis.call('HSET', KEYS[1], 'f', 'v') redis.call('PTTL', KEYS[1]) redis.call('EXPIRE', KEYS[1], 60) "
    script += (
        "redis.call('OBJECT', 'IDLETIME', KEYS[1]) redis.call('HDEL', KEYS[1], 'f') return redis.call('DEL', KEYS[1])"
    )
    assert ask(client, "EVAL", script, 1, "k") == 0
    with pytest.raises(Exception, match="no permissions"):
        ask(client, "CONFIG", "SET", "maxmemory", "1")
    client.connection_pool.disconnect()


def test_rights_without_dryrun_come_from_the_rules_and_without_any_acl_from_trying(rich):
    """Three depths; the last tells changes only when they are tried."""
    by_rules = rights_of(acl_user(rich, "nodry", "~*", "+@all", "-acl|dryrun", "-bgsave"))
    tried = rights_of(acl_user(rich, "noacl", "~*", "+@all", "-acl", "-memory|usage", "-select"))

    assert "GETUSER" in by_rules.note
    assert {need.command for need in by_rules.denied} == {"acl|dryrun", "bgsave"}
    assert "tried" in tried.note
    assert {need.command for need in tried.denied} == {"acl|whoami", "acl|dryrun", "memory|usage"}
    assert {"unlink", "bgsave", "config|set", "select"} <= {need.command for need in tried.unknown}
    assert "info" in {need.command for need in tried.allowed}


def test_rights_on_a_managed_service_name_what_is_kept_back(redis_server):
    """BGSAVE, CONFIG and, on one of them, ACL itself: no ACL rule helps, something else does."""
    blocked = ("--rename-command", "BGSAVE", "", "--rename-command", "CONFIG", "")
    some = rights_of(redis_server(*blocked).url(0))
    most = rights_of(redis_server(*blocked, "--rename-command", "ACL", "", "--rename-command", "COMMAND", "").url(0))
    lines = advice(some, ("read", "act"))

    assert {"bgsave", "config|get", "config|set"} <= {need.command for need in some.missing}
    assert "does not offer CONFIG GET, BGSAVE" in lines[0]
    assert len(lines) == 1
    instead = {row[0]: row[3] for row in some.rows()}
    assert "snapshot" in instead["BGSAVE"]
    assert "parameter group" in instead["CONFIG GET"]
    assert {"config|get", "acl|whoami", "command|info"} <= {need.command for need in most.missing}
    assert "bgsave" in {need.command for need in most.unknown}


def test_rights_in_a_key_space_that_is_not_ours_are_denied(rich):
    """DRYRUN knows keys as well."""
    found = rights_of(acl_user(rich, "narrow", "~other:*", "+@all"))

    assert "get" in {need.command for need in found.denied}
    assert "info" in {need.command for need in found.allowed}


def test_rules_for_a_cluster_are_enough_for_it(redis_cluster):
    """Two commands more."""
    for server in redis_cluster.servers:
        acl_user(server, "reader", *acl_rules(("read", "cluster"), version="7.0.15"), password="r")
        acl_user(server, "narrow", *acl_rules(("read",), version="7.0.15"), password="r")
    url = redis_cluster.url(user="reader", password="r")

    assert len(RedisCache(site_environment(redis_url=url)).server().nodes) == 3
    with nodes_of(url) as nodes:
        assert all(rights(node).lacks("cluster") == () for node in nodes)
    problem = failure(redis_cluster.url(user="narrow", password="r"))
    assert "does not allow the command cluster|slots" in problem.message
    assert "+cluster|slots +cluster|info" in problem.hint


# --- the end of the shared cluster -------------------------------------------------------------------------------------


def test_cluster_that_loses_a_primary_says_which_and_then_that_it_is_down(redis_cluster):
    """At once its address; a moment later, when the others agree, that the cluster serves nothing."""
    with open_nodes(redis_cluster.environment()) as nodes:
        lost = redis_cluster.servers[2]
        lost.stop()
        with pytest.raises(SourceError, match=f"nothing listens at {HOST}:{lost.port}") as caught:
            list(nodes)[2].ask("DBSIZE")
        assert "announced by cluster node" in caught.value.message
        assert next(iter(nodes)).ask("DBSIZE") >= 0
    started = time.monotonic()
    with pytest.raises(SourceError) as caught:
        RedisCache(redis_cluster.environment()).server()
    assert str(lost.port) in caught.value.message
    assert time.monotonic() - started < 2.5

    def down():
        with pytest.raises(SourceError) as caught:
            RedisCache(redis_cluster.environment()).server()
        return caught.value.kind is Kind.FAULTY and "serves no requests" in caught.value.message

    wait_until(down, "the cluster went on without a third of its slots")
