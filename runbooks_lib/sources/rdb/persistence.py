"""How one Redis saves to disk, and how its last save went: INFO and CONFIG GET, read as facts."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from runbooks_lib.errors import SourceError
from runbooks_lib.model import Kind
from runbooks_lib.sources.redis.nodes import ReadNode
from runbooks_lib.sources.redis.replies import Info, text_of

#: redis-cli names no port of its own when it is fed; a replica does.
_FED = re.compile(rb"port=0,state=(\w+)")


@dataclass(frozen=True, slots=True)
class SaveState:
    """Where saving stands. ``LASTSAVE`` is not asked: it stands still for a second, and for ever when a save fails.

    Attributes:
        running: a save to disk, or for a replica, is going on.
        rewriting: an AOF rewrite is going on, beside which no save can start.
        last_ok: the last save ended well; True also when there was none.
        saves_count: saves since the server started, failed ones as well; None before Redis 7.
        last_saved_at_seconds: unix time of the last good save, by the server's clock; of its start when there was none.
        last_took_seconds: how long the last one took; 0 when there was none.
        last_cow_bytes: memory that the last one cost by copy on write; 0 when there was none.
        processed_count: keys that the running save has written.
        total_count: keys that it has to write.
        changes_count: changes to the data since the last good save.
        removed_count: keys that expired or were evicted, since the server started.
        databases: number → keys.
    """

    running: bool
    rewriting: bool
    last_ok: bool
    saves_count: int | None
    last_saved_at_seconds: int
    last_took_seconds: int
    last_cow_bytes: int
    processed_count: int
    total_count: int
    changes_count: int
    removed_count: int
    databases: Mapping[int, int]

    @property
    def keys_count(self) -> int:
        """Keys of all databases."""
        return sum(self.databases.values())


@dataclass(frozen=True, slots=True)
class SaveRules:
    """What the server is configured to do; every text is empty where CONFIG GET was not answered.

    Attributes:
        folder: its ``dir``.
        file_name: its ``dbfilename``.
        save_points: ``3600 1 300 100``; empty also when it never saves by itself.
        stop_writes: ``stop-writes-on-bgsave-error`` is on: a failed save makes SET, DEL and PING fail (MISCONF).
        diskless_sync: a replica is fed without a file on the server's disk.
        unread: why CONFIG GET was not answered; empty when it was.
    """

    folder: str = ""
    file_name: str = ""
    save_points: str = ""
    stop_writes: bool = True
    diskless_sync: bool = False
    unread: str = ""

    @property
    def failure_stops_writes(self) -> bool:
        """Would a save that fails take the site's writes down? Yes, too, where that could not be read."""
        return bool(self.unread) or (self.stop_writes and bool(self.save_points))


@dataclass(frozen=True, slots=True)
class Saving:
    """One server as somebody must know it who wants a backup of it. Sizes in bytes.

    Attributes:
        version: ``redis_version``.
        process_id: as the server numbers itself; 0 where it does not say.
        uptime_seconds: since it started.
        loading: it is still loading its data.
        role: ``master`` or ``slave``.
        syncing: replicas that are being fed at this moment; or itself by its primary.
        expiring_count: keys with a TTL.
        mean_ttl_seconds: of those, as INFO estimates it; None where it does not.
        used_memory_bytes: all of it.
        dataset_bytes: the data without overhead.
        rss_bytes: as the operating system counts it.
        fork_seconds: how long the last fork stopped it; 0 when there was none.
    """

    version: str
    process_id: int
    uptime_seconds: int
    loading: bool
    role: str
    syncing: int
    expiring_count: int
    mean_ttl_seconds: float | None
    used_memory_bytes: int
    dataset_bytes: int
    rss_bytes: int
    fork_seconds: float
    state: SaveState
    rules: SaveRules


@dataclass(frozen=True, slots=True)
class Feeding:
    """A server and the dump that it was asked for, at one moment.

    Attributes:
        forks: another one after each fork, whosever it is: a save, an AOF rewrite, a replica.
        waits: the dump is asked for, and its fork is still to come: no child is saving, and nothing was sent.
        begun: its fork is over, and its data is being sent.
        running: a child is saving, for whomever.
    """

    forks: tuple[str, ...]
    waits: bool
    begun: bool
    running: bool


def save_state(node: ReadNode) -> SaveState:
    """Where does saving stand at this moment?

    Raises:
        SourceError: Redis cannot be reached, or keeps INFO from this user.

    Source:
        INFO: rdb_* and aof_rewrite_in_progress, expired_keys, evicted_keys, db<n>.
    """
    return _state(_info(node))


def saving(node: ReadNode) -> Saving:
    """How does this server save, and what would a save cost it?

    Raises:
        SourceError: Redis cannot be reached, or keeps INFO from this user.

    Source:
        INFO; CONFIG GET dir, dbfilename, save, stop-writes-on-bgsave-error, repl-diskless-sync.
    """
    raw = _info(node)
    info = Info(raw)
    databases = info.databases()
    expiring = sum(values.get("expires", 0) for values in databases.values())
    weighted = sum(values.get("avg_ttl", 0) * values.get("expires", 0) for values in databases.values())
    return Saving(
        version=info.text("redis_version"),
        process_id=info.integer("process_id") or 0,
        uptime_seconds=info.integer("uptime_in_seconds") or 0,
        loading=bool(info.integer("loading")),
        role=info.text("role"),
        syncing=len(re.findall(rb"state=(?:wait_bgsave|send_bulk)", raw))
        + (info.integer("master_sync_in_progress") or 0),
        expiring_count=expiring,
        mean_ttl_seconds=weighted / expiring / 1000 if expiring and weighted else None,
        used_memory_bytes=info.required("used_memory"),
        dataset_bytes=info.integer("used_memory_dataset") or info.required("used_memory"),
        rss_bytes=info.integer("used_memory_rss") or 0,
        fork_seconds=(info.integer("latest_fork_usec") or 0) / 1e6,
        state=_state(raw),
        rules=_rules(node),
    )


def feeding(node: ReadNode) -> Feeding:
    """How far is the server with the dump that ``redis-cli --rdb`` asked for?

    Raises:
        SourceError: Redis cannot be reached, or keeps INFO from this user.

    Source:
        INFO: total_forks (Redis 6.2), latest_fork_usec, rdb_saves, rdb_bgsave_in_progress, slave<n>.
    """
    raw = _info(node)
    info = Info(raw)
    states = set(_FED.findall(raw))
    running = bool(info.required("rdb_bgsave_in_progress"))
    return Feeding(
        forks=tuple(info.text(name) for name in ("total_forks", "latest_fork_usec", "rdb_saves")),
        waits=b"wait_bgsave" in states and not running,
        begun=bool(states & {b"send_bulk", b"online"}),
        running=running,
    )


def server_seconds(node: ReadNode) -> int:
    """Unix time by the server's own clock.

    Raises:
        SourceError: Redis cannot be reached.
    """
    reply = node.ask("TIME")
    if not isinstance(reply, list) or not reply:
        raise SourceError("the answer to TIME is not one that Redis gives", source="redis")
    return int(reply[0])


def may_run(node: ReadNode, command: str) -> tuple[bool | None, str]:
    """May this user run the command here, which is not run?

    Returns:
        True, False or, where neither COMMAND nor ACL answers, None; and the reason, empty for True.

    Source:
        COMMAND INFO (a renamed or blocked command is not known), ACL WHOAMI, ACL DRYRUN (Redis 7).
    """
    known = _answer(node, "COMMAND", "INFO", command.lower())
    if isinstance(known, list) and (not known or known[0] is None):
        return False, f"{command} is not offered: renamed, or blocked by a managed service"
    user = _answer(node, "ACL", "WHOAMI")
    answer = _answer(node, "ACL", "DRYRUN", user, *_example(command)) if isinstance(user, bytes) else None
    if answer is None:
        return None, f"whether {command} is allowed could not be told beforehand"
    return (True, "") if answer == b"OK" else (False, f"the ACL does not allow {command} to this user")


def node_of_database(node: ReadNode, database: int) -> ReadNode:
    """The same server, another database, on a connection of its own: a reading client may not SELECT."""
    options = {**node.address.options, "db": database}
    return ReadNode(replace(node.address, database=database, options=options), kind=node.kind)


def _answer(node: ReadNode, *command: str | bytes) -> object:
    """The reply; None where the server refuses the question.

    Raises:
        SourceError: it cannot be reached.
    """
    try:
        return node.ask(*command)
    except SourceError as error:
        if error.kind is Kind.ABSENT:
            raise
        return None


def _example(command: str) -> tuple[str, ...]:
    """A call with as many arguments as it needs: ACL DRYRUN checks that, too."""
    arguments = {"REPLCONF": ("capa", "eof"), "CONFIG": ("GET", "dir"), "SELECT": ("0",), "SCAN": ("0",)}
    return (command, *arguments.get(command, ()))


def _info(node: ReadNode) -> bytes:
    reply = node.ask("INFO")
    Info(reply)  # raises for what is no answer to INFO
    return reply if isinstance(reply, bytes) else b""


def _state(raw: bytes) -> SaveState:
    info = Info(raw)
    return SaveState(
        running=bool(info.required("rdb_bgsave_in_progress")),
        rewriting=bool(info.integer("aof_rewrite_in_progress")),
        last_ok=info.text("rdb_last_bgsave_status") == "ok",
        saves_count=info.integer("rdb_saves"),
        last_saved_at_seconds=info.required("rdb_last_save_time"),
        last_took_seconds=info.integer("rdb_last_bgsave_time_sec") or 0,
        last_cow_bytes=info.integer("rdb_last_cow_size") or 0,
        processed_count=info.integer("current_save_keys_processed") or 0,
        total_count=info.integer("current_save_keys_total") or 0,
        changes_count=info.integer("rdb_changes_since_last_save") or 0,
        removed_count=(info.integer("expired_keys") or 0) + (info.integer("evicted_keys") or 0),
        databases={number: values.get("keys", 0) for number, values in info.databases().items()},
    )


def _rules(node: ReadNode) -> SaveRules:
    names = ("dir", "dbfilename", "save", "stop-writes-on-bgsave-error", "repl-diskless-sync")
    values: dict[str, str] = {}
    try:
        for name in names:  # one at a time: several names in one call came with Redis 7
            reply = node.ask("CONFIG", "GET", name)
            pair = reply if isinstance(reply, list) and len(reply) == 2 else [b"", b""]
            values[name] = os.fsdecode(pair[1]) if isinstance(pair[1], bytes) else text_of(pair[1])
    except SourceError as error:
        if error.kind is Kind.ABSENT:
            raise
        return SaveRules(unread=error.message)
    return SaveRules(
        folder=values["dir"],
        file_name=values["dbfilename"],
        save_points=values["save"],
        stop_writes=values["stop-writes-on-bgsave-error"] != "no",
        diskless_sync=values["repl-diskless-sync"] == "yes",
    )
