"""Which commands only read: what is sent is what was checked."""

import pytest
from redis import exceptions

from runbooks_lib.errors import RefusedError
from runbooks_lib.sources.redis.commands import DESCRIBING, ReadingCommands, name_of, words_of

READONLY = [b"get", 2, [b"readonly", b"fast"]]


def commands(answer):
    """ReadingCommands of a server that answers COMMAND INFO so, and what it was asked."""
    asked = []

    def ask(*words):
        asked.append(words)
        if isinstance(answer, Exception):
            raise answer
        return answer(words[2]) if callable(answer) else answer

    return ReadingCommands(ask), asked


NAMES = {
    ("GET", "k"): "GET",
    ("get", b"k"): "GET",
    (b"gEt",): "GET",
    ("  GET k ",): "GET",
    ("\r\n\tget", "k"): "",
    ("CONFIG SET maxmemory 1",): "CONFIG SET",
    (b"config", b"set"): "CONFIG SET",
    ("memory usage", "k"): "MEMORY USAGE",
    ("CONFIG",): "CONFIG",
    ("CONFIG", 5): "CONFIG 5",
    ("\u017fet", "k"): "",
    (b"\xff\x00",): "",
    (b"GET\r\nSET",): "",
    ("CONFIG", "GET\r\nx"): "CONFIG GET\r\nX",
    (5,): "",
}


@pytest.mark.parametrize(("command", "name"), NAMES.items(), ids=[repr(command) for command in NAMES])
def test_name_of_a_command_however_it_is_written(command, name):
    """Case, blanks, bytes and one string for several words change nothing; no command has other characters."""
    if not name:
        with pytest.raises(RefusedError, match="no command"):
            words_of(command)
    else:
        assert name_of(words_of(command)) == name


def test_words_of_a_command_in_one_string_are_taken_apart_once():
    """redis-py would split it as well; what is checked and what is sent must not differ."""
    assert words_of(("CONFIG SET", "maxmemory", 5)) == (b"CONFIG", b"SET", b"maxmemory", 5)
    assert words_of((b"GET", "a b\n")) == (b"GET", b"a b\n")


class Sly(str):
    """Text that is something else when it is encoded."""

    __slots__ = ()

    def encode(self, *_arguments):
        return b"FLUSHALL"


@pytest.mark.parametrize("word", [memoryview(b"SET"), bytearray(b"SET"), 1.5, None, True, ["SET"], Sly("GET")])
def test_words_of_another_type_are_refused(word):
    """A memoryview would be sent as its bytes and shown as something else."""
    for command in ((word, "k"), ("GET", word)):
        with pytest.raises(RefusedError, match="no part of a command"):
            words_of(command)


@pytest.mark.parametrize("command", [(), ("",), ("  ",), (b"\r\n",)])
def test_nothing_is_refused(command):
    """There is no command, so none that reads."""
    reading, asked = commands([READONLY])
    with pytest.raises(RefusedError, match="no command"):
        reading.require(command)
    assert asked == []


def test_reading_command_is_asked_for_once():
    """The server's answer is remembered for the connection."""
    reading, asked = commands([READONLY])

    assert reading.require(("get", "k")) == (b"get", b"k")
    assert reading.require(("GET", "other")) == (b"GET", b"other")
    assert asked == [("COMMAND", "INFO", "get")]


def test_describing_commands_pass_without_a_question():
    """They carry no flag that could be asked for."""
    reading, asked = commands([None])
    for name in DESCRIBING:
        assert reading.require(tuple(name.split())) == tuple(word.encode() for word in name.split())
    assert asked == []


FLAGS = {
    "write": [b"write", b"denyoom"],
    "neither": [b"noscript", b"loading"],
    "read and replicated": [b"readonly", b"may_replicate"],
    "read and blocking": [b"readonly", b"blocking"],
    "read and write": [b"readonly", b"write"],
    "administration": [b"readonly", b"admin"],
}


@pytest.mark.parametrize("flags", FLAGS.values(), ids=FLAGS)
def test_command_with_other_flags_is_refused(flags):
    """Only what reads and does nothing else."""
    reading, _ = commands([[b"foo", 2, flags]])
    with pytest.raises(RefusedError, match="FOO is not a command that only reads; nothing was sent"):
        reading.require(("foo", "k"))


@pytest.mark.parametrize("name", ["KEYS", "EVAL_RO", "FCALL_RO", "PFCOUNT", "TOUCH", "SORT_RO"])
def test_command_that_is_flagged_as_reading_and_harms_is_refused(name):
    """KEYS holds the server, a script runs as long as it likes, TOUCH changes what is evicted."""
    reading, asked = commands([[name.lower().encode(), 2, [b"readonly"]]])
    with pytest.raises(RefusedError):
        reading.require((name, "x"))
    assert asked == []


ANSWERS = {
    "nothing": None,
    "text": b"GET",
    "number": 1,
    "empty": [],
    "short": [[b"get", 2]],
    "no flags": [[b"a", 2, b"x"]],
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_server_that_answers_nonsense_gets_no_writing_command(answer):
    """What cannot be understood is no permission."""
    reading, _ = commands(answer)
    for name in ("SET", "FLUSHALL", "CONFIG SET", "NEWCOMMAND"):
        with pytest.raises(RefusedError):
            reading.require((*name.split(), "k"))


REFUSALS = {
    "ACL": exceptions.NoPermissionError("this user has no permissions to run the 'command|info' command"),
    "renamed": exceptions.ResponseError("unknown command 'COMMAND'"),
}


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
def test_server_that_keeps_command_from_us_is_asked_once_and_known_ones_pass(refusal):
    """Every refusal is a line in the server's ACL log."""
    reading, asked = commands(refusal)

    assert reading.require(("memory", "usage", "k"))
    assert reading.require(("GET", "k"))
    for name in ("SET", "GETDEL", "MEMORY PURGE", "OBJECT FREQ", "EVAL_RO", "SORT"):
        with pytest.raises(RefusedError):
            reading.require((*name.split(), "k"))
    assert len(asked) == 1


def test_container_before_redis_7_is_not_judged_by_its_first_word():
    """Redis 6 flags MEMORY as a whole readonly, MEMORY PURGE included, and knows no ``memory|purge``."""
    reading, asked = commands([None])

    assert reading.require(("MEMORY", "USAGE", "k"))
    with pytest.raises(RefusedError):
        reading.require(("MEMORY", "PURGE"))
    assert asked == [("COMMAND", "INFO", "memory|usage"), ("COMMAND", "INFO", "memory|purge")]


def test_refusal_of_a_hostile_name_is_one_line():
    """The name is somebody's text."""
    reading, _ = commands([None])
    with pytest.raises(RefusedError) as caught:
        reading.require((b"CONFIG", b"\x1b]0;owned\x07" + b"x" * 5000 + b"\n", "k"))
    assert "\x1b" not in caught.value.message
    assert len(caught.value.message) < 200
