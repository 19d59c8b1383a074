"""Which Redis commands the runbooks send, what for, and what is left without each. Data for ``rights``.

A test holds the list to what the library's code sends.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

#: ``read``: looking. ``cluster``: looking on a cluster. ``act``: changing data. ``settings``: CONFIG SET, an
#: administrator's right. ``dump``: a backup over the network, which hands over all data.
Purpose = Literal["read", "cluster", "act", "settings", "dump"]
PROBE_KEY = "runbooks:rights-probe"
_SNAPSHOT = "a managed service saves by itself: take a snapshot with its console or API, and restore from that"
_PARAMETERS = "a managed service keeps settings in its parameter group or console: read and change them there"


@dataclass(frozen=True, slots=True)
class Need:
    """One command that the runbooks send.

    Attributes:
        command: as ACL rules name it: ``memory|usage``.
        purpose: which set of rights it belongs to.
        used_for: in the operator's words.
        instead: what to do, or what is missing, where it is not allowed or not offered.
        arguments: of a call that would be valid, behind the command itself; reading ones are harmless.
        since: the first version of Redis that knows it.
    """

    command: str
    purpose: Purpose
    used_for: str
    instead: str
    arguments: tuple[str, ...] = ()
    since: tuple[int, int] = (0, 0)

    @property
    def example(self) -> tuple[str, ...]:
        """A whole call."""
        return (*self.command.upper().split("|"), *self.arguments)


def _reading(used_for: str, instead: str, *calls: str) -> Iterable[Need]:
    for call in calls:
        command, *arguments = call.split()
        yield Need(command, "read", used_for, instead, tuple(arguments))


_K = PROBE_KEY
READING: tuple[Need, ...] = (
    *_reading("is it there, and how fast", "nothing replaces it: triage cannot tell whether Redis works", "ping"),
    *_reading("memory, evictions, hit rate, role", "nothing replaces it: Redis stays UNKNOWN", "info"),
    *_reading("databases other than 0", "only database 0 can be read", "select 0"),
    *_reading("finding keys by pattern", "look at a backup in a scratch server instead", "scan 0 count 1"),
    *_reading("counting keys", "INFO keyspace holds the count as well", "dbsize"),
    *_reading("random samples", "the backup's proof compares no values", "randomkey"),
    *_reading("TTLs and locks", "locks and keys without TTL are not told", f"pttl {_K}"),
    *_reading("kinds of keys", "flags, counters and statistics are told by their names alone", f"type {_K}"),
    *_reading("sizes of keys", "sizes stay unknown; look at a backup in a scratch server", f"memory|usage {_K}"),
    *_reading("how long a key lies unused", "a stuck lock needs another proof", f"object|idletime {_K}"),
    *_reading("warming statistics", "warming is judged by metrics alone", f"hlen {_K}", f"hgetall {_K}"),
    *_reading("throttle counters", "look at them on the site", f"exists {_K}", f"getrange {_K} 0 0", f"strlen {_K}"),
    *_reading(
        "locks, and values that prove a backup",
        "the proof of a backup ends with counts",
        *(f"get {_K}", f"smembers {_K}", f"lrange {_K} 0 0", f"zrange {_K} 0 0", f"xrange {_K} - +", f"dump {_K}"),
    ),
    *_reading("settings", _PARAMETERS, "config|get maxmemory"),
    *_reading("who is connected", "INFO clients holds the number", "client|list"),
    *_reading("the server's clock", "a save cannot be told from an earlier one", "time"),
    *_reading("which commands only read", "a list of known ones is used", "command|info get"),
    *_reading("this list", "reading commands are tried; changes are told when they are tried", "acl|whoami"),
    Need("acl|dryrun", "read", "this list", "as above", ("default", "PING"), since=(7, 0)),
    Need("client|no-touch", "read", "looking without a trace in LRU", "a look counts as use", ("on",), since=(7, 2)),
)
CLUSTER: tuple[Need, ...] = (
    Need("cluster|slots", "cluster", "where the data lies", "nothing replaces it: rediscluster:// cannot be used"),
    Need("cluster|info", "cluster", "does the cluster serve requests", "nothing replaces it"),
)
_IN_SCRIPT = "EVAL without it fails: the keys stay as they are"
CHANGING: tuple[Need, ...] = (
    Need("unlink", "act", "clearing keys", "raise KEY_PREFIX or VERSION on the site: old keys age out", (_K,)),
    Need("flushdb", "act", "clearing a whole database", "clear by pattern instead", ("async",)),
    Need("bgsave", "act", "backup", f"a backup over the network (+sync +psync +replconf); {_SNAPSHOT}"),
    Need("expire", "act", "giving keys a TTL", "let the site set TTLs; old keys stay", (_K, "60", "nx")),
    Need("eval", "act", "changing a key only while it is as planned", _IN_SCRIPT, ("return 1", "0")),
    *(
        Need(command, "act", "changing a key only while it is as planned", _IN_SCRIPT, tuple(arguments.split()))
        for command, arguments in {
            "del": _K,
            "hget": f"{_K} f",
            "hexists": f"{_K} f",
            "hset": f"{_K} f v",
            "hdel": f"{_K} f",
        }.items()
    ),
    Need("config|set", "settings", "changing settings", _PARAMETERS, ("maxmemory", "0")),
    Need("config|rewrite", "settings", "keeping settings over a restart", "write them into redis.conf"),
    Need("sync", "dump", "backup over the network", _SNAPSHOT),
    Need("psync", "dump", "backup over the network", _SNAPSHOT, ("?", "-1")),
    Need("replconf", "dump", "backup over the network", _SNAPSHOT, ("capa", "eof")),
)
ALL: tuple[Need, ...] = (*READING, *CLUSTER, *CHANGING)
