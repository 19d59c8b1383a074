"""Which Redis commands only read? The server itself says so, with its command flags.

Whoever plans a change holds a client that asks here before it sends anything. A command passes when the server flags it
``readonly``, or when it describes the server and touches no key (``DESCRIBING``: such commands carry no flag at all).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from redis import exceptions

from runbooks_lib.errors import RefusedError

#: They report on the server, its clients or its data set as a whole, change nothing, and are flagged neither way.
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
    "GET MGET STRLEN EXISTS TYPE TTL PTTL SCAN HGET HGETALL HLEN HSCAN HMGET LLEN SCARD ZCARD DBSIZE RANDOMKEY DUMP".split()
) | {"MEMORY USAGE", "OBJECT IDLETIME", "OBJECT ENCODING"}
#: Commands whose second word decides.
_CONTAINERS = frozenset(
    "ACL CLIENT CLUSTER COMMAND CONFIG FUNCTION LATENCY MEMORY MODULE OBJECT SCRIPT SLOWLOG".split()
)


def name_of(command: Sequence[str | bytes | int]) -> str:
    """What is being asked for: ``GET``, or both words of a container (``MEMORY USAGE``)."""
    words = [_text(word) for word in command]
    # redis-py splits a first argument that holds blanks, so it is split here as well.
    words = [*words[0].split(), *words[1:]] if words else [""]
    first = (words or [""])[0].upper()
    return f"{first} {words[1].upper()}" if first in _CONTAINERS and len(words) > 1 else first


class ReadingCommands:
    """Remembers what one server says of its commands.

    Args:
        ask: sends one command and gives its raw reply; used for COMMAND INFO only.
    """

    def __init__(self, ask: Callable[..., object]) -> None:
        self._ask = ask
        self._reads: dict[str, bool] = {}

    def require(self, command: Sequence[str | bytes | int]) -> None:
        """Do nothing for a reading command.

        Raises:
            RefusedError: anything else. Nothing was sent.
        """
        name = name_of(command)
        if name in DESCRIBING:
            return
        if name not in self._reads:
            self._reads[name] = self._is_reading(name)
        if not self._reads[name]:
            raise RefusedError(
                f"{name} is not a command that only reads; nothing was sent",
                hint="a plan cannot write: changes are made by confirming it",
            )

    def _is_reading(self, name: str) -> bool:
        try:
            reply = self._ask("COMMAND", "INFO", name.replace(" ", "|").lower())
            if not isinstance(reply, list) or not reply or reply[0] is None:
                # Before Redis 7 a container has one entry for all its words.
                reply = self._ask("COMMAND", "INFO", name.split()[0].lower())
        except exceptions.ResponseError:
            return name in _KNOWN_READING  # a managed service or an ACL keeps COMMAND from us
        if not isinstance(reply, list) or not reply or not isinstance(reply[0], list) or len(reply[0]) < 3:
            return False
        return b"readonly" in reply[0][2]


def _text(word: str | bytes | int) -> str:
    return word.decode("utf-8", "backslashreplace") if isinstance(word, bytes) else str(word)
