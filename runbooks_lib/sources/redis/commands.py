"""Which Redis commands only read? The server itself says so, with its command flags.

Whoever plans a change holds a client that asks here before it sends anything. A command passes when the server flags it
``readonly`` and nothing else that could do harm, or when it describes the server and touches no key (``DESCRIBING``:
such commands carry no flag at all). What is checked is what is sent: the words are taken apart once, here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from redis import exceptions

from runbooks_lib.errors import RefusedError
from runbooks_lib.redaction import one_line

Word = str | bytes | int

#: They report on the server, its clients or its data set as a whole, change nothing there, and are flagged neither way.
#: CLIENT NO-TOUCH is a setting of our own connection alone: it keeps our reads from making keys look recently used.
#: ACL DRYRUN carries nothing out and leaves no line in the ACL log. CONFIG GET can show passwords and ACL GETUSER their
#: hashes: ask for settings by name, and keep no user's entry.
DESCRIBING = frozenset(
    {
        *("PING", "INFO", "TIME", "ROLE", "LASTSAVE"),
        *("CONFIG GET", "COMMAND INFO", "CLIENT LIST", "CLIENT ID", "CLIENT NO-TOUCH"),
        *("CLUSTER SLOTS", "CLUSTER SHARDS", "CLUSTER NODES", "CLUSTER INFO", "CLUSTER MYID"),
        *("ACL WHOAMI", "ACL GETUSER", "ACL DRYRUN", "MODULE LIST"),
        *("SLOWLOG GET", "SLOWLOG LEN", "LATENCY LATEST", "MEMORY STATS", "MEMORY DOCTOR"),
    }
)
#: What Redis flags ``readonly`` and this library asks for; used where the server does not answer COMMAND INFO.
_KNOWN_READING = frozenset(
    "GET MGET STRLEN EXISTS TYPE TTL PTTL SCAN HGET HGETALL HLEN HSCAN HMGET LLEN SCARD ZCARD ZSCORE DBSIZE RANDOMKEY "
    "GETRANGE LRANGE SSCAN DUMP SMEMBERS ZRANGE XRANGE".split()
) | {"MEMORY USAGE", "OBJECT IDLETIME", "OBJECT ENCODING"}
#: Flagged ``readonly`` as well, but: KEYS and the rest hold the server for everybody, scripts run for as long as they
#: like, TOUCH changes what is evicted next, and PFCOUNT rewrites the value that it counts.
_NOT_FOR_US = frozenset("KEYS SORT_RO LCS EVAL_RO EVALSHA_RO FCALL_RO TOUCH PFCOUNT".split())
_HARMFUL_FLAGS = frozenset({b"write", b"may_replicate", b"admin", b"blocking", b"pubsub"})
_PRINTABLE = re.compile(rb"[ -~]+")
#: Commands whose second word decides.
_CONTAINERS = frozenset(
    "ACL CLIENT CLUSTER COMMAND CONFIG FUNCTION LATENCY MEMORY MODULE OBJECT SCRIPT SLOWLOG".split()
)


def words_of(command: Sequence[object]) -> tuple[bytes | int, ...]:
    """The words as they are sent; a first one with blanks is taken apart, as redis-py would do it.

    Raises:
        RefusedError: one of them is neither text, bytes nor a whole number, or there is none.
    """
    words: list[bytes | int] = []
    for word in command:
        if type(word) is str:
            words.append(word.encode("utf-8", "surrogateescape"))
        elif type(word) is bytes or type(word) is int:
            words.append(word)
        else:
            raise RefusedError(f"a {type(word).__name__} is no part of a command; nothing was sent")
    first = words[0] if words and isinstance(words[0], bytes) else b""
    if not first.strip() or not _PRINTABLE.fullmatch(first):
        raise RefusedError("there is no command, or no command has such a name; nothing was sent")
    return (*first.split(), *words[1:])


def name_of(words: Sequence[bytes | int]) -> str:
    """What is being asked for: ``GET``, or both words of a container (``MEMORY USAGE``)."""
    first, second = (_name(word) for word in (*words[:2], b"")[:2])
    return f"{first} {second}" if first in _CONTAINERS and second else first


class ReadingCommands:
    """Remembers what one server says of its commands.

    Args:
        ask: sends one command and gives its raw reply; used for COMMAND INFO only.
    """

    def __init__(self, ask: Callable[..., object]) -> None:
        self._ask = ask
        self._reads: dict[str, bool] = {}
        self._tells = True

    def require(self, command: Sequence[object]) -> tuple[bytes | int, ...]:
        """The words of a reading command, to be sent as they are.

        Raises:
            RefusedError: anything else. Nothing was sent.
        """
        words = words_of(command)
        name = name_of(words)
        if name in DESCRIBING:
            return words
        if name not in self._reads:
            self._reads[name] = self._is_reading(name)
        if not self._reads[name]:
            raise RefusedError(
                f"{one_line(name, longest=60)} is not a command that only reads; nothing was sent",
                hint="a plan cannot write: changes are made by confirming it",
            )
        return words

    def _is_reading(self, name: str) -> bool:
        if name in _NOT_FOR_US:
            return False
        entry = self._entry(name) if self._tells else None
        if entry is None:
            # A managed service or an ACL keeps COMMAND from us; or the command is blocked, which the server shall say
            # itself; or, before Redis 7, it does not describe second words.
            return name in _KNOWN_READING
        if not isinstance(entry, list) or len(entry) < 3 or not isinstance(entry[2], list):
            return False
        return b"readonly" in entry[2] and not _HARMFUL_FLAGS.intersection(entry[2])

    def _entry(self, name: str) -> object:
        """What COMMAND INFO holds on one command; None where the server does not know it or does not tell."""
        try:
            reply = self._ask("COMMAND", "INFO", name.replace(" ", "|").lower())
        except exceptions.ResponseError:
            self._tells = False  # and is not asked again: a server notes refusals in its ACL log
            return None
        return reply[0] if isinstance(reply, list) and reply else None


def _name(word: bytes | int) -> str:
    return word.decode("ascii", "backslashreplace").upper() if isinstance(word, bytes) else str(word)
