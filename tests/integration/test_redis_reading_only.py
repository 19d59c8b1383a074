"""A dry run cannot write, by construction: tried with every command that a real server lists."""

import pytest
from redis_topology_fixtures import acl_user

from runbooks_lib.errors import RefusedError, SourceError
from runbooks_lib.sources.redis.client import address_from
from runbooks_lib.sources.redis.commands import DESCRIBING
from runbooks_lib.sources.redis.nodes import ReadNode


@pytest.fixture(scope="module")
def server(redis_server):
    """A server with one key."""
    started = redis_server()
    started.client(0).set("k", "v")
    return started


@pytest.fixture
def node(server):
    """A reading client of it."""
    opened = ReadNode(address_from(server.url(0)))
    yield opened
    opened.close()


def sent(server):
    """How often each command was carried out, refused or failed, but for those of this question."""
    figures = server.client(0).info("commandstats")
    asking = {"cmdstat_info", "cmdstat_select", "cmdstat_client|setinfo", "cmdstat_hello"}
    return {
        name: (one["calls"], one["rejected_calls"], one["failed_calls"])
        for name, one in figures.items()
        if name not in asking
    }


def every_command(server):
    """(name in words, flags) of all commands and second words that the server lists."""
    opened = ReadNode(address_from(server.url(0)))
    try:
        reply = opened._send("COMMAND")
    finally:
        opened.close()
    for entry in reply:
        for one in (entry, *entry[9]):
            yield one[0].decode().replace("|", " ").upper(), set(one[2])


def test_read_node_refuses_every_command_of_the_server_that_is_not_reading(server, node):
    """Alone and behind a read; nothing of it reaches the server, as the server's own counters say."""
    node.ask("PING")
    commands = list(every_command(server))
    before, tried, passed = sent(server), [], []
    for name, flags in commands:
        reading = b"readonly" in flags or name in DESCRIBING
        words = name.split()
        for hidden in (lambda w=words: node.ask(*w, "k", "v"), lambda w=words: node.ask_many([("PING",), (*w, "k")])):
            if reading:
                continue
            with pytest.raises(RefusedError, match="nothing was sent"):
                hidden()
            tried.append(name)
        if reading:
            passed.append(name)
    after = sent(server)

    assert len(set(tried)) > 200
    assert {"GET", "SCAN", "MEMORY USAGE", "CONFIG GET"} <= set(passed)
    assert not {"SET", "EVAL", "SORT", "CONFIG SET", "MEMORY PURGE"} & set(passed)
    changed = {name for name in after if after[name] != before.get(name)}
    assert changed == {"cmdstat_command|info"}
    assert server.client(0).get("k") == b"v"


def test_read_node_lets_through_only_what_leaves_the_data_and_settings_as_they_are(server, node):
    """Whatever passes is sent for real, with plausible arguments; the data, the settings and the clients stay."""
    client = server.client(0)

    def state():
        return client.dump("k"), client.dbsize(), client.pttl("k"), client.config_get("*"), len(client.client_list())

    node.ask("PING")
    before = state()
    for name, _ in every_command(server):
        for arguments in ((), ("k",), ("k", "0"), ("k", "0", "1"), ("0", "k"), ("*",), ("1", "k", "0")):
            try:
                node.ask(*name.split(), *arguments)
            except (RefusedError, SourceError):
                continue
    assert state() == before


TRICKS = {
    "lower case": ("set", "k", "x"),
    "bytes": (b"SET", b"k", b"x"),
    "one string": ("SET k x",),
    "one string of bytes": (b"SET k x",),
    "two words in one": ("CONFIG SET", "maxmemory", "1mb"),
    "all in one": ("CONFIG SET maxmemory 1mb",),
    "blanks before": ("   SET", "k", "x"),
    "newlines before": ("\r\n\r\nSET", "k", "x"),
    "protocol inside": ("GET\r\n*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nx\r\n", "k"),
    "protocol as bytes": (b"PING\r\n$3\r\nSET", "k", "x"),
    "script": ("EVAL", "return redis.call('set','k','x')", "0"),
    "reading script": ("EVAL_RO", "while true do end", "0"),
    "sort and store": ("SORT", "k", "STORE", "d"),
    "sort": ("SORT", "k"),
    "get and delete": ("GETDEL", "k"),
    "get and expire": ("GETEX", "k", "EX", "1"),
    "transaction": ("MULTI",),
    "monitor": ("MONITOR",),
    "subscribe": ("SUBSCRIBE", "x"),
    "swap": ("SWAPDB", "0", "1"),
    "another database": ("SELECT", "1"),
    "keys": ("KEYS", "*"),
    "shutdown": ("SHUTDOWN", "NOSAVE"),
    "debug": ("DEBUG", "SLEEP", "1"),
    "kill": ("CLIENT", "KILL", "TYPE", "normal"),
    "reset statistics": ("CONFIG", "RESETSTAT"),
    "acl": ("ACL", "SETUSER", "x"),
    "no such command": ("NOSUCHCOMMAND", "k"),
    "long s": ("\u017fet", "k", "x"),
    "nul": (b"SET\x00", "k", "x"),
}


@pytest.mark.parametrize("trick", TRICKS.values(), ids=TRICKS)
def test_read_node_is_not_tricked(server, node, trick):
    """However it is written, alone or behind reads: refused, and the server has seen nothing."""
    node.ask("PING")
    before = sent(server)
    with pytest.raises(RefusedError):
        node.ask(*trick)
    with pytest.raises(RefusedError):
        node.ask_many([("GET", "k"), ("PING",), trick, ("GET", "k")])
    after = sent(server)

    assert {name for name in after if after[name] != before.get(name)} <= {"cmdstat_command|info"}
    assert server.client(0).get("k") == b"v"


def test_read_node_asks_the_server_what_a_renamed_command_does(redis_server):
    """A site may hide SET behind the name of a reading command; its flags give it away."""
    server = redis_server("--rename-command", "GET", "FETCH", "--rename-command", "SET", "GET")
    node = ReadNode(address_from(server.url(0)))
    with pytest.raises(RefusedError):
        node.ask("GET", "k", "v")
    assert node.ask("FETCH", "k") is None
    assert node.ask("DBSIZE") == 0
    node.close()


def test_read_node_of_a_command_that_the_server_does_not_offer_says_that(redis_server):
    """Not allowed for anybody is not the same as a plan that wanted to write."""
    server = redis_server(
        "--rename-command", "DBSIZE", "", "--rename-command", "MEMORY", "", "--rename-command", "COMMAND", ""
    )
    node = ReadNode(address_from(server.url(0)))
    for command in (("DBSIZE",), ("MEMORY", "USAGE", "k")):
        with pytest.raises(SourceError, match=f"does not offer the command {command[0]}"):
            node.ask(*command)
    with pytest.raises(RefusedError):
        node.ask("SET", "k", "v")
    node.close()


def test_read_node_of_a_user_without_command_knows_what_reads(server):
    """COMMAND is refused once, and then a list of known reading commands holds."""
    url = acl_user(server, "blind", "~*", "+@all", "-command")
    node = ReadNode(address_from(url))
    server.client(0).execute_command("ACL LOG RESET")

    assert node.ask("GET", "k") == b"v"
    assert node.ask_many([("MEMORY", "USAGE", "k"), ("STRLEN", "k")])[1] == 1
    for trick in (
        ("SET", "k", "x"),
        ("EVAL", "return 1", "0"),
        ("UNLINK", "k"),
        ("BITFIELD", "k", "SET", "u8", "0", "1"),
    ):
        with pytest.raises(RefusedError):
            node.ask(*trick)
    node.close()
    assert len(server.client(0).acl_log()) == 1


def test_read_node_with_a_password_that_nobody_wants_is_let_in(server):
    """As the site's own client is; the cache reports it as a warning."""
    node = ReadNode(address_from(server.url(0, password="needless")))

    assert node.ask("GET", "k") == b"v"
    node.close()


def test_read_node_goes_on_after_an_error_with_the_right_replies(server, node):
    """One forbidden key in a list does not shift the replies of the others, nor those of the next question."""
    server.client(0).rpush("list", "a")
    replies = node.ask_many([("GET", "k"), ("GET", "list"), ("STRLEN", "k")])

    assert replies[0] == b"v"
    assert "WRONGTYPE" in str(replies[1])
    assert replies[2] == 1
    assert node.ask_many([]) == []
    with pytest.raises(SourceError, match="wrong kind of value"):
        node.ask("GET", "list")
    assert node.ask("GET", "k") == b"v"


def test_read_node_whose_server_hangs_or_restarts_says_so_and_works_again(redis_server):
    """A connection that broke is made anew at the next question, and no old reply is taken for a new one."""
    server = redis_server()
    node = ReadNode(address_from(server.url(0)), reply_seconds=0.3)
    node.ask("PING")
    server.freeze()
    with pytest.raises(SourceError, match=r"did not answer for 0\.3 s"):
        node.ask_many([("PING",), ("TIME",)])
    server.thaw()

    assert node.ask("PING") == b"PONG"
    server.client(0).execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    assert node.ask("PING") == b"PONG"
    server.stop()
    with pytest.raises(SourceError, match="refused"):
        node.ask("PING")
    node.close()
