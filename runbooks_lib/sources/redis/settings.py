"""How is each primary of Redis set, and what do the settings do there? Reads only."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from redis import exceptions

from runbooks_lib import units
from runbooks_lib.errors import RefusedError, SourceError
from runbooks_lib.facts import NodeSettings, RedisSettings
from runbooks_lib.model import Kind, Provenance
from runbooks_lib.redaction import one_line
from runbooks_lib.sources.redis.replies import Info, text_of

if TYPE_CHECKING:
    from runbooks_lib.sources.redis.nodes import Nodes, ReadNode

#: The guide's four, and those that decide what they do.
NAMES = (
    "maxmemory",
    "maxmemory-policy",
    "timeout",
    "tcp-keepalive",
    "save",
    "stop-writes-on-bgsave-error",
    "maxclients",
)
NO_CONFIG_HINT = (
    "a managed service (ElastiCache, Memorystore, Azure) keeps CONFIG to itself: use its parameter group or console; "
    "on a server of your own let the user have +config|get +config|set (ACL SETUSER), or edit redis.conf"
)
#: CLIENT LIST costs the server about a microsecond and 300 bytes for each client.
_MOST_CLIENTS_LISTED = 2_000
_FLAGS = re.compile(r" flags=(\S+)")
_IDLE = re.compile(r" idle=(\d+)")
#: Replicas, primaries, subscribers and MONITOR are never closed for being idle.
_NEVER_IDLE = frozenset("SMPO")


def redis_settings(nodes: Nodes) -> RedisSettings:
    """How is each primary set?

    A server that keeps CONFIG from us is not an error: its limit and policy come from INFO, and ``unread`` says why the
    rest is missing.

    Args:
        nodes: all primaries, for reading.

    Returns:
        One entry for each primary.

    Raises:
        SourceError: a primary could not be reached, or INFO could not be read.

    Source:
        INFO; CONFIG GET of each of ``NAMES``; CLIENT LIST up to 2,000 clients; ACL WHOAMI, ACL DRYRUN … CONFIG SET.
    """
    started, read_at = time.monotonic(), units.now()
    found = tuple(node_settings(node) for node in nodes)
    query = f"INFO; CONFIG GET {' '.join(NAMES)}; CLIENT LIST; ACL DRYRUN"
    return RedisSettings(found, Provenance("redis", query, read_at, time.monotonic() - started))


def node_settings(node: ReadNode) -> NodeSettings:
    """The settings of one primary; see ``redis_settings``."""
    info = Info(node.ask("INFO"))
    settings, problem = _config(node)
    if problem is not None:
        settings = {"maxmemory": info.text("maxmemory"), "maxmemory-policy": info.text("maxmemory_policy")}
    keys, expiring = _keys(info)
    return NodeSettings(
        node=node.shown,
        version=info.text("redis_version"),
        settings={name: value for name, value in settings.items() if value or name == "save"},
        unread="" if problem is None else problem.message,
        unread_hint="" if problem is None else problem.hint,
        used_memory_bytes=info.required("used_memory"),
        not_evictable_bytes=info.integer("mem_not_counted_for_evict") or 0,
        host_memory_bytes=info.integer("total_system_memory") or None,
        keys_count=keys,
        without_ttl_count=keys - expiring,
        evicted_count=info.integer("evicted_keys") or 0,
        uptime_seconds=info.integer("uptime_in_seconds") or 0,
        clients_count=info.integer("connected_clients") or 0,
        rejected_count=info.integer("rejected_connections") or 0,
        replicas_count=info.integer("connected_slaves") or 0,
        config_file=info.text("config_file"),
        last_save_failed=info.text("rdb_last_bgsave_status") == "err",
        idle_seconds=_idle_seconds(node, info.integer("connected_clients") or 0),
        may_set=_may_set(node),
    )


def _config(node: ReadNode) -> tuple[dict[str, str], SourceError | None]:
    """Every setting by name; or why there is none."""
    # One name at a time: several in one CONFIG GET need Redis 7.
    replies = node.ask_many([("CONFIG", "GET", name) for name in NAMES])
    settings: dict[str, str] = {}
    for reply in replies:
        if isinstance(reply, exceptions.ResponseError):
            return {}, _refusal(node, reply)
        if isinstance(reply, list) and len(reply) == 2:
            settings[text_of(reply[0])] = text_of(reply[1])
    if "maxmemory" in settings:
        return settings, None
    return {}, SourceError(
        f"Redis at {node.shown} answers CONFIG GET with nothing", source="redis", hint=NO_CONFIG_HINT
    )


def _refusal(node: ReadNode, error: exceptions.ResponseError) -> SourceError:
    said = one_line(str(error), node.address.secrets, longest=160)
    message = f"Redis at {node.shown} does not let us read its settings (CONFIG GET): {said}"
    return SourceError(message, source="redis", hint=NO_CONFIG_HINT, kind=Kind.DENIED)


def _keys(info: Info) -> tuple[int, int]:
    """Keys in all databases, and those of them that expire."""
    found = info.databases().values()
    return sum(one.get("keys", 0) for one in found), sum(one.get("expires", 0) for one in found)


def _idle_seconds(node: ReadNode, clients: int) -> tuple[int, ...] | None:
    """How long each ordinary client has been silent; None where that is too much to ask or not allowed."""
    if clients > _MOST_CLIENTS_LISTED:
        return None
    try:
        reply = node.ask("CLIENT", "LIST")
    except SourceError:
        return None
    if not isinstance(reply, bytes):
        return None
    return tuple(_idle_of(reply.decode("utf-8", "replace").splitlines()))


def _idle_of(lines: list[str]) -> list[int]:
    found = []
    for line in lines:
        flags, idle = _FLAGS.search(line), _IDLE.search(line)
        if flags and idle and not _NEVER_IDLE & set(flags[1]):
            found.append(int(idle[1]))
    return found


def _may_set(node: ReadNode) -> bool | None:
    """May this user change settings? The server is asked without trying (Redis 7 and later)."""
    try:
        user = node.ask("ACL", "WHOAMI")
        if not isinstance(user, bytes):
            return None
        return node.ask("ACL", "DRYRUN", user, "CONFIG", "SET", "maxmemory", "1") == b"OK"
    except (SourceError, RefusedError):
        return None
