"""Where the data lies, told by servers that lie, differ, hang or say nothing."""

import time

import pytest
from builders import server, situation
from redis_topology_fixtures import speaking_redis
from sources_fixtures import site_environment

from runbooks_lib.errors import SourceError
from runbooks_lib.facts import RedisNode
from runbooks_lib.judgement.checks.redis import check_memory, check_redis
from runbooks_lib.model import Kind
from runbooks_lib.policy import policy_for
from runbooks_lib.sources.redis.cache import RedisCache
from runbooks_lib.sources.redis.client import address_from
from runbooks_lib.sources.redis.nodes import Nodes
from runbooks_lib.sources.redis.topology import Topology, index_for, locate, may_have_moved

SECONDS = 0.6
WHOLE = [0, 16383, ["127.0.0.1", 7001, "id"]]
OK = "cluster_state:ok\r\n"


def cluster(*ports, seconds=SECONDS):
    """The topology that these ports tell as a cluster."""
    hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
    return locate(site_environment(redis_url=f"rediscluster://:s3cret@{hosts}"), seconds=seconds)


def node(tcp_server, slots, info=OK):
    """A server that tells this of its cluster."""
    replies = {"CLUSTER SLOTS": slots, "CLUSTER INFO": info}
    return tcp_server(speaking_redis(lambda command: replies.get(command, "OK"))).port


def sentinel(tcp_server, address, **more):
    """A Sentinel that names this address."""
    replies = {
        "SENTINEL GET-MASTER-ADDR-BY-NAME M": address,
        **{name.replace("_", " "): one for name, one in more.items()},
    }
    return tcp_server(speaking_redis(lambda command: replies.get(command, Exception("ERR unknown command")))).port


def through(*ports):
    """The topology that these Sentinels tell."""
    hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
    return locate(site_environment(redis_url=f"sentinel://{hosts}/1?service=m"), seconds=SECONDS)


def test_cluster_with_scattered_slots_has_each_primary_once(tcp_server):
    """Ranges come in any order; primaries in the order of their first slot, replicas not at all."""
    slots = [
        [9000, 16383, ["b", 2, "x", []], ["c", 3, "y"]],
        [0, 99, ["b", 2, "x"]],
        [100, 8999, ["a", 1, "z"], ["d", 4, "w"]],
    ]
    found = cluster(node(tcp_server, slots))

    assert [address.shown for address in found.primaries] == ["b:2", "a:1"]
    assert found.slots == ((0, 99, 0), (100, 8999, 1), (9000, 16383, 0))
    assert found.primaries[1].options["password"] == "s3cret"
    assert found.warnings == ()


@pytest.mark.parametrize("host", [None, "", "?"])
def test_cluster_node_that_does_not_know_its_host_is_the_one_that_was_asked(tcp_server, host):
    """A fresh node, or cluster-preferred-endpoint-type unknown-endpoint."""
    found = cluster(node(tcp_server, [[0, 16383, [host, 7001, "id"]]]))

    assert found.primaries[0].shown == "127.0.0.1:7001"


def test_cluster_with_uncovered_slots_that_still_serves_warns(tcp_server):
    """cluster-require-full-coverage no: the rest works, and a key there has nobody."""
    found = cluster(node(tcp_server, [[1, 16000, ["a", 1, "x"]]]))

    assert "no primary serves 384 of 16,384 slots (0, 16001-16383)" in found.warnings[0]
    with pytest.raises(SourceError, match="no primary of the cluster serves slot 0") as caught:
        index_for(found, b"{3560}")
    assert caught.value.kind is Kind.FAULTY


DOWN = {
    "uncovered": ([[0, 9, ["a", 1, "x"]]], "cluster_state:fail\r\n", "no primary serves 16,374"),
    "no slots": ([], "cluster_state:ok\r\n", "no primary serves 16,384"),
    "dead primary": ([WHOLE], "cluster_state:fail\r\ncluster_slots_fail:5461\r\n", "5,461 slots belong to primaries"),
    "no majority": ([WHOLE], "cluster_state:fail\r\n", "cluster_state is fail"),
    "not told": ([WHOLE], "hello\r\n", "cluster_state is not told"),
}


@pytest.mark.parametrize(("slots", "info", "message"), DOWN.values(), ids=DOWN)
def test_cluster_that_is_down_is_faulty_and_says_why(tcp_server, slots, info, message):
    """It answers, and says itself that it does not work."""
    with pytest.raises(SourceError, match=message) as caught:
        cluster(node(tcp_server, slots, info))
    assert caught.value.kind is Kind.FAULTY
    assert "--cluster check" in caught.value.hint


NONSENSE = [None, "x", 5, [5], [[]], [["0", 1, ["a", 1]]], [[0, 1, "a"]], [[0, 1, []]], [[0, 1, ["a", "p"]]], [None]]


@pytest.mark.parametrize("slots", NONSENSE, ids=repr)
def test_cluster_that_answers_nonsense_is_an_error(tcp_server, slots):
    """A proxy, or something that is no Redis at all."""
    with pytest.raises(SourceError, match="CLUSTER SLOTS"):
        cluster(node(tcp_server, slots))


def test_cluster_whose_first_nodes_are_dead_hung_or_ill_is_read_from_the_next(tcp_server, black_hole):
    """Side by side: neither of them costs time."""
    ill = node(tcp_server, [WHOLE], "cluster_state:fail\r\n")
    silent = tcp_server(lambda connection: connection.recv(9) and time.sleep(2)).port
    started = time.monotonic()
    found = cluster(1, black_hole, silent, ill, node(tcp_server, [WHOLE]), seconds=3)

    assert found.primaries[0].shown == "127.0.0.1:7001"
    assert time.monotonic() - started < 1


def test_cluster_of_which_nobody_answers_leads_with_what_tells_most(tcp_server, black_hole):
    """What somebody said tells more than that somebody was silent."""
    denied = tcp_server(speaking_redis(lambda _: Exception("WRONGPASS invalid username-password pair"))).port
    with pytest.raises(SourceError) as caught:
        cluster(1, denied, black_hole)
    assert caught.value.message.startswith("Redis at 127.0.0.1")
    assert "refuses the user or the password" in caught.value.message.split(";")[0]
    assert caught.value.kind is Kind.DENIED
    with pytest.raises(SourceError, match="the other 1 in redis_url: the same") as caught:
        cluster(1, 2)
    assert caught.value.kind is Kind.ABSENT


def test_key_goes_to_the_primary_of_its_slot_by_its_hash_tag():
    """``{user1}`` decides where there is one that is not empty."""
    address = address_from("redis://h/0")
    topology = Topology("cluster", (address, address), ((0, 8191, 0), (8192, 16383, 1)))

    assert index_for(topology, b"foo") == 1  # slot 12182, as CLUSTER KEYSLOT says
    assert index_for(topology, b"bar") == 0  # slot 5061
    assert index_for(topology, b"x{bar}y{foo}") == 0
    assert index_for(topology, b"{}foo") == index_for(topology, b"{}foo")
    assert index_for(topology, b"{foo") == 1 - index_for(topology, b"{bar}{")  # 13308 and 5061
    assert index_for(Topology("standalone", (address,)), b"foo") == 0
    assert Nodes(topology).shown == "h:6379,h:6379/0"


def test_sentinel_whose_primary_says_it_is_a_replica_is_a_failover(tcp_server):
    """Sentinel knows it a moment later than Redis, or the other way round."""
    replica = tcp_server(speaking_redis(lambda command: "OK" if "SELECT" in command else "role:slave\r\n")).port
    with pytest.raises(SourceError, match="that says it is a replica") as caught:
        through(sentinel(tcp_server, ["127.0.0.1", str(replica)]))
    assert caught.value.kind is Kind.FAULTY
    assert "failover" in caught.value.hint


def test_sentinel_whose_primary_is_gone_says_what_sentinel_thinks(tcp_server):
    """No quorum means that nobody will repair it."""
    port = sentinel(
        tcp_server,
        ["127.0.0.1", "1"],
        SENTINEL_MASTER_M=["name", "m", "flags", "s_down,o_down,master"],
        SENTINEL_CKQUORUM_M=Exception("NOQUORUM 1 usable Sentinels. Not enough available Sentinels"),
    )
    with pytest.raises(SourceError, match="announced by Sentinel") as caught:
        through(port)
    assert "s_down,o_down,master" in caught.value.message
    assert "Not enough available Sentinels" in caught.value.message
    assert "announced address" in caught.value.hint
    assert caught.value.kind is Kind.ABSENT


def test_sentinel_that_does_not_know_the_service_lists_what_it_knows(tcp_server):
    """Names are somebody's text."""
    port = sentinel(tcp_server, None, SENTINEL_MASTERS=[["name", "shop"], ["name", "\x1b[31m'; DROP\n"]])
    with pytest.raises(SourceError, match="does not know the service 'm'") as caught:
        through(port)
    assert "it knows: 'shop'" in caught.value.hint
    assert "\x1b" not in str(caught.value)


SAID = {
    "password": ("NOAUTH Authentication required.", "wants a password of its own", "sentinel_password", Kind.DENIED),
    "wrong": ("WRONGPASS invalid username-password pair", "refuses its user or password", "Redis's own", Kind.DENIED),
    "right": (
        "NOPERM this user has no permissions to run the 'sentinel' command",
        "does not allow",
        "+sentinel",
        Kind.DENIED,
    ),
    "redis": ("ERR unknown command 'SENTINEL', with args", "is not a Sentinel", "26379", Kind.WRONG),
    "other": ("ERR the moon is full", "Sentinel at 127.0.0.1", "", Kind.WRONG),
}


@pytest.mark.parametrize(("answer", "message", "hint", "kind"), SAID.values(), ids=SAID)
def test_sentinel_that_refuses_is_told_apart_from_redis(tcp_server, answer, message, hint, kind):
    """Its password is another one, and stands elsewhere in the URL."""
    with pytest.raises(SourceError, match=message) as caught:
        through(tcp_server(speaking_redis(lambda _: Exception(answer))).port)
    assert hint in caught.value.hint
    assert caught.value.kind is kind


@pytest.mark.parametrize("address", [5, "x", [], ["h"], ["h", "port"], [None, None], ["h", 1]])
def test_sentinel_that_answers_nonsense_is_an_error(tcp_server, address):
    """It is not understood as an address."""
    with pytest.raises(SourceError, match="GET-MASTER-ADDR-BY-NAME"):
        through(sentinel(tcp_server, address))


def test_sentinel_that_is_dead_costs_no_time_beside_one_that_answers(tcp_server, black_hole):
    """The first that can name a primary counts."""
    primary = tcp_server(speaking_redis(lambda command: "OK" if "SELECT" in command else "role:master\r\n")).port
    found = through(black_hole, 1, sentinel(tcp_server, ["127.0.0.1", str(primary)]))

    assert found.kind == "sentinel"
    assert found.primaries[0].shown == f"127.0.0.1:{primary}"
    assert found.primaries[0].database == 1


def info_of(shown_keys):
    """A primary that holds so many keys."""
    info = f"redis_version:7.0.15\r\nrole:master\r\nused_memory:5\r\nmaxmemory:9\r\ndb0:keys={shown_keys},expires=0\r\n"
    return lambda command: "PONG" if command == "PING" else info


def test_cache_whose_primary_went_during_the_read_is_read_from_the_new_one(tcp_server):
    """A failover between asking where the data lies and asking there: once more, within the same deadline."""
    new, asked = tcp_server(speaking_redis(info_of(7))).port, []

    def answer(command):
        if command == "CLUSTER SLOTS":
            asked.append(command)
            return [[0, 16383, ["127.0.0.1", 1 if len(asked) == 1 else new, "id"]]]
        return OK

    url = f"rediscluster://127.0.0.1:{tcp_server(speaking_redis(answer)).port}"
    server = RedisCache(site_environment(redis_url=url)).server()

    assert len(asked) == 2
    assert server.keys_count == 7
    assert server.nodes[0].shown == f"127.0.0.1:{new}"


def test_cache_whose_primary_stays_away_is_an_error_after_the_second_attempt(tcp_server):
    """Not a third one, and never a sum without it."""
    asked = []

    def answer(command):
        asked.append(command)
        alive = ["127.0.0.1", tcp_server(speaking_redis(info_of(7))).port, "a"]
        return [[0, 8000, alive], [8001, 16383, ["127.0.0.1", 1, "b"]]] if command == "CLUSTER SLOTS" else OK

    url = f"rediscluster://127.0.0.1:{tcp_server(speaking_redis(answer)).port}"
    with pytest.raises(SourceError, match=r"nothing listens at 127\.0\.0\.1:1") as caught:
        RedisCache(site_environment(redis_url=url)).server()
    assert asked.count("CLUSTER SLOTS") == 2
    assert caught.value.kind is Kind.ABSENT
    assert "announced by cluster node" in caught.value.message


def test_redis_finding_of_a_cluster_says_how_many_primaries():
    """And the memory is judged by the fullest of them."""
    nodes = tuple(RedisNode(f"10.0.0.{n}:6379", "master", 0.001, 10 * n, 100, 5, 0.0) for n in (1, 9, 2))
    three = server(nodes=nodes, used_memory_bytes=120, maxmemory_bytes=300, keys_count=15)
    policy = policy_for(1.0)

    assert "3 primaries" in check_redis(situation(server=three), policy).detail
    memory = check_memory(three, policy)
    assert memory.value == 0.9
    assert memory.detail.startswith("10.0.0.9:6379 is the fullest of 3 primaries; ")
    assert [one.value for one in memory.evidence[1:]] == ["10 B of 100 B", "90 B of 100 B", "20 B of 100 B"]
    alone = check_memory(server(nodes=nodes[:1]), policy)
    assert "fullest" not in alone.detail
    assert len(alone.evidence) == 1


def test_asking_again_helps_only_where_the_data_may_have_moved():
    """A wrong password is not a failover."""
    from redis import exceptions

    def error(cause, kind):
        made = SourceError("x", source="redis", kind=kind)
        made.__cause__ = cause
        return made

    assert may_have_moved(error(exceptions.MovedError("1 127.0.0.1:1"), Kind.WRONG))
    assert may_have_moved(error(ConnectionResetError(), Kind.WRONG))
    assert not may_have_moved(error(exceptions.AuthenticationError("x"), Kind.DENIED))
    assert not may_have_moved(error(exceptions.ResponseError("x"), Kind.WRONG))
    assert not may_have_moved(error(None, Kind.FAULTY))
