"""Rights: what rules mean, what to ask for, and that the list names what the code sends."""

import ast
import re
from pathlib import Path

import pytest
import redis
from redis_topology_fixtures import speaking_redis

from runbooks_lib.errors import SourceError
from runbooks_lib.sources.redis import needs as redis_needs
from runbooks_lib.sources.redis.client import address_from
from runbooks_lib.sources.redis.nodes import ReadNode
from runbooks_lib.sources.redis.rights import HEADINGS, Rights, acl_rules, advice, rights, setuser

LIBRARY = Path(__file__).parents[2] / "runbooks_lib"
CONTAINERS = {"ACL", "CLIENT", "CLUSTER", "COMMAND", "CONFIG", "MEMORY", "OBJECT", "SLOWLOG", "LATENCY", "SCRIPT"}
#: Of a Sentinel and of a scratch server of our own; words in capitals that are no commands.
ELSEWHERE = {"SENTINEL", "SHUTDOWN"}


def need(command):
    """The entry of one command."""
    return next(one for one in redis_needs.ALL if one.command == command)


def asked(tcp_server, answer, *commands):
    """The rights that a server tells that answers so."""
    info = "redis_version:7.0.15\r\n"
    server = tcp_server(speaking_redis(lambda command: info if command.startswith("INFO") else answer(command)))
    node = ReadNode(address_from(server.redis_url), reply_seconds=0.5)
    try:
        return rights(node, [need(command) for command in commands])
    finally:
        node.close()


def names(needs):
    """Their commands."""
    return [one.command for one in needs]


RULES = {
    "-@all +get": ("allowed", "denied", "denied"),
    "+@all": ("allowed", "allowed", "allowed"),
    "+@all -config": ("allowed", "denied", "allowed"),
    "+@all -config +config|get": ("allowed", "allowed", "allowed"),
    "-@all +config|get": ("denied", "allowed", "denied"),
    "-@all +@read": ("unknown", "unknown", "unknown"),
    "+@all -@dangerous": ("unknown", "unknown", "unknown"),
    "-@all +@read -@all +unlink": ("denied", "denied", "allowed"),
    "-@all +get -@dangerous": ("unknown", "denied", "denied"),
    "+@all +@read": ("allowed", "allowed", "allowed"),
    "": ("denied", "denied", "denied"),
}


@pytest.mark.parametrize(("rules", "verdicts"), RULES.items())
def test_rights_by_the_rules_of_a_user(tcp_server, rules, verdicts):
    """Redis 6 has no DRYRUN; the last rule about a command decides, and of a category it cannot be told."""

    def answer(command):
        if "WHOAMI" in command:
            return "ops"
        if "GETUSER" in command:
            return ["flags", ["on"], "commands", rules, "keys", "~*"]
        return Exception("ERR Unknown subcommand or wrong number of arguments for 'DRYRUN'. Try ACL HELP.")

    found = asked(tcp_server, answer, "get", "config|get", "unlink")
    told = {one.command: verdict for verdict in ("allowed", "denied", "unknown") for one in getattr(found, verdict)}

    assert tuple(told[command] for command in ("get", "config|get", "unlink")) == verdicts
    assert "GETUSER" in found.note


def test_rights_by_dry_run_tell_a_refusal_from_a_command_that_is_not_offered(tcp_server):
    """No ACL rule brings back what a managed service keeps to itself."""

    def answer(command):
        if "WHOAMI" in command:
            return "ops'\n"
        if "BGSAVE" in command:
            return Exception("ERR Command 'BGSAVE' not found")
        return "This user has no permissions to run the 'unlink' command" if "UNLINK" in command else b"OK"

    found = asked(tcp_server, answer, "get", "bgsave", "unlink")

    assert (names(found.allowed), names(found.denied), names(found.missing)) == (["get"], ["unlink"], ["bgsave"])
    assert "\n" not in found.note
    assert found.rows()[0][:3] == ("BGSAVE", "backup", "not offered by this server")
    assert found.rows()[-1] == ("GET", need("get").used_for, "allowed", "")
    assert all(len(row) == len(HEADINGS) for row in found.rows())
    lines = advice(found, ("read", "act"))
    assert "does not offer BGSAVE" in lines[0]
    assert lines[1] == "the ACL refuses some: ACL SETUSER NAME +unlink"
    assert advice(found, ("read",)) == ()


def test_rights_that_no_acl_command_tells_are_tried_as_far_as_they_only_read(tcp_server):
    """Managed services block ACL as a whole; what would change something is never tried."""
    sent = []

    def answer(command):
        sent.append(command.split()[0])
        if command.startswith(("ACL", "TYPE")):
            return Exception(f"ERR unknown command '{command.split()[0]}'")
        if command.startswith("COMMAND INFO"):
            return [[command.split()[2], 2, [b"readonly"]]]
        return (
            Exception("NOPERM this user has no permissions to run the 'get' command")
            if command.startswith("GET")
            else 1
        )

    found = asked(tcp_server, answer, "get", "pttl", "type", "unlink", "config|set")

    assert (names(found.allowed), names(found.denied), names(found.missing)) == (["pttl"], ["get"], ["type"])
    assert names(found.unknown) == ["unlink", "config|set"]
    assert not {"UNLINK", "CONFIG"} & set(sent)
    assert found.user == ""


def test_rights_of_a_server_that_is_gone_or_shuts_us_out_are_an_error(tcp_server):
    """That is not the same as a user who may do nothing."""
    with pytest.raises(SourceError, match="refused"):
        rights(ReadNode(address_from("redis://127.0.0.1:1/0")))
    with pytest.raises(SourceError, match="wants a password"):
        asked(tcp_server, lambda _: Exception("NOAUTH Authentication required."), "get")


def test_rights_of_a_user_who_may_not_even_ask_for_info(tcp_server):
    """Then nothing is left out, and the version is not known."""

    def answer(command):
        if command.startswith("ACL DRYRUN"):
            return "no"
        return (
            "ops" if "WHOAMI" in command else Exception("NOPERM this user has no permissions to run the 'info' command")
        )

    node = ReadNode(address_from(tcp_server(speaking_redis(answer)).redis_url), reply_seconds=0.5)
    found = rights(node)
    node.close()

    assert found.version == ""
    assert len(found.denied) == len(redis_needs.ALL)


def test_rules_hold_nothing_that_a_purpose_does_not_need():
    """Reading never brings a right to write; +@connection would allow CLIENT KILL."""
    reading, acting = (acl_rules(purposes, version="7.0.15") for purposes in (("read",), ("read", "act")))

    assert reading[:2] == ("~*", "-@all")
    assert not {"+unlink", "+flushdb", "+eval", "+bgsave", "+config|set", "+cluster|slots"} & set(reading)
    assert set(reading) < set(acting)
    assert not any("@" in rule for rule in acting[2:])
    assert not {"+config|set", "+sync", "+client"} & set(acting)
    assert len(acting) == len(set(acting))


@pytest.mark.parametrize(
    ("version", "known"),
    [("7.2.0", True), ("8.0.1", True), ("7.0.15", False), ("6.2.14", False), ("", False), ("x.y", False)],
)
def test_rules_leave_out_what_an_older_server_does_not_know(version, known):
    """It would refuse the whole rule set."""
    assert ("+client|no-touch" in acl_rules(("read",), version=version)) is known


def test_advice_names_a_user_only_where_the_name_is_plain():
    """It is to be pasted into a shell."""
    denied = (need("get"),)
    for user, shown in {"ops": "ops", "x; FLUSHALL": "NAME", "a\nb": "NAME", "": "NAME"}.items():
        lines = advice(Rights(user, "7.0.15", (), denied, (), (), ""), ("read",))
        assert lines[0] == f"the ACL refuses some: ACL SETUSER {shown} +get"
        assert lines[1].endswith(setuser("runbooks", ("read",), version="7.0.15"))


def sent_by_the_library():
    """Every command in the library's code: the words of calls and of tuples that begin with one, and of its scripts."""
    for path in sorted(LIBRARY.rglob("*.py")):
        if path.parent.name == "redis" and path.name in {"commands.py", "needs.py", "rights.py"}:
            continue
        text = path.read_text(encoding="utf-8")
        if "redis" not in text.lower():
            continue
        for word, second in re.findall(r"redis\.p?call\('([A-Z]+)'(?:, '([A-Z]+)')?", text):
            yield path.name, word, second
        for found in ast.walk(ast.parse(text)):
            if isinstance(found, ast.Call):
                name = getattr(found.func, "attr", getattr(found.func, "id", ""))
                words = found.args if name in {"ask", "write", "_of_each"} else ()
            else:
                words = found.elts if isinstance(found, ast.Tuple) and isinstance(found.ctx, ast.Load) else ()
            plain = [one.value for one in words if isinstance(one, ast.Constant) and isinstance(one.value, str)]
            if plain and re.fullmatch("[A-Z]{3,}", plain[0]) and is_command(plain[0]):
                yield path.name, plain[0], plain[1] if len(plain) > 1 else ""


def is_command(word):
    """A word in capitals that redis-py knows as a command; others are texts."""
    return word in CONTAINERS or hasattr(redis.Redis, word.lower())


def test_list_of_needs_names_every_command_that_the_library_sends():
    """Who follows our ACL must not meet a refusal."""
    listed = {one.command for one in redis_needs.ALL}
    sent = {
        (name, f"{word}|{second}".lower() if word in CONTAINERS else word.lower())
        for name, word, second in sent_by_the_library()
        if word not in ELSEWHERE
    }
    assert len(sent) > 30
    assert {(name, command) for name, command in sent if command not in listed} == set()


@pytest.mark.parametrize("one", redis_needs.ALL, ids=lambda one: one.command)
def test_need_says_what_for_and_what_instead(one):
    """Both are read by an operator at night."""
    assert one.used_for
    assert one.instead
    assert one.example[0].isupper()
