"""How Redis is set against the guide, each difference with what it does here. Pure.

A difference is WARN or FAIL only where it hurts, or will when something else happens; else it is OK and said.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from runbooks_lib import units
from runbooks_lib.facts import NodeSettings, RedisSettings
from runbooks_lib.judgement.findings import unknown
from runbooks_lib.judgement.redis_effects import POLICIES, effects, shown_setting
from runbooks_lib.model import Evidence, Finding, Kind, Status, Unreadable, worst
from runbooks_lib.policy import GUIDE, Policy

REASON = "guide, Performance Tuning"
#: What each setting should be, as CONFIG GET says it.
GUIDE_REDIS = {
    "maxmemory": str(units.parse_redis_size(GUIDE.maxmemory)),
    "maxmemory-policy": GUIDE.maxmemory_policy,
    "timeout": str(GUIDE.timeout_seconds),
    "tcp-keepalive": str(GUIDE.tcp_keepalive_seconds),
}
_TITLES = {
    "maxmemory": "redis maxmemory",
    "maxmemory-policy": "redis maxmemory-policy",
    "timeout": "redis timeout",
    "tcp-keepalive": "redis tcp-keepalive",
    "save": "redis saving to disk",
    "maxclients": "redis connections",
}
#: Shorter than this, and pools open connections again all the time.
_SHORT_TIMEOUT_SECONDS = 60
#: Above this, connections of vanished clients pile up for a quarter of an hour.
_LONG_KEEPALIVE_SECONDS = 600
_MANY_CLIENTS_RATIO = 0.8
_TUNE = "runbooks change tune_redis (plans first)"


def judge_redis_settings(settings: RedisSettings | Unreadable, policy: Policy) -> tuple[Finding, ...]:
    """One finding for each setting, over all primaries; the worst primary decides.

    Returns:
        Findings ``tuning.redis.*``. What could not be read is UNKNOWN.

    Source:
        CONFIG GET and INFO of each primary; guide, Redis Configuration.
    """
    return tuple(_judged(name, settings, policy) for name in _TITLES)


def _judged(name: str, settings: RedisSettings | Unreadable, policy: Policy) -> Finding:
    identifier = f"tuning.redis.{name.replace('-', '_')}"
    if isinstance(settings, Unreadable):
        return unknown(identifier, _TITLES[name], settings)
    missing = [node for node in settings.nodes if name not in node.settings]
    if missing or not settings.nodes:
        return unknown(identifier, _TITLES[name], _not_told(name, missing))
    check = _CHECKS[name]
    results = [(node, *check(node, policy)) for node in settings.nodes]
    status = worst(one[1] for one in results)
    worst_node, _, effect = next(one for one in results if one[1] is status)
    values = {shown_setting(name, node.settings[name]) for node in settings.nodes}
    if len(values) > 1 and status is Status.OK:
        status, effect = Status.WARN, "the primaries are set differently, so the keys of one live by other rules"
    guide = GUIDE_REDIS.get(name)
    return Finding(
        identifier,
        _TITLES[name],
        status,
        _shown(name, settings.nodes, values),
        limit=f"guide: {shown_setting(name, guide)}" if guide else "",
        detail=f"{effect} ({worst_node.node})" if len(settings.nodes) > 1 else effect,
        reason=REASON if guide else "this project's choice: what a cache can do without",
        evidence=tuple(Evidence(node.node, shown_setting(name, node.settings[name])) for node in settings.nodes),
        hint="" if status is Status.OK else _HINTS[name],
    )


def _shown(name: str, nodes: Sequence[NodeSettings], values: set[str]) -> str:
    if name == "maxclients":
        return ", ".join(f"{units.count(node.clients_count)} of {node.settings[name]}" for node in nodes[:6])
    return " / ".join(sorted(values))


def _not_told(name: str, missing: Sequence[NodeSettings]) -> Unreadable:
    first = missing[0] if missing else None
    reason = (first.unread if first else "") or f"CONFIG GET {name} answered nothing"
    return Unreadable("redis", name, reason, first.unread_hint if first else "", Kind.DENIED)


def _limit(node: NodeSettings, policy: Policy) -> tuple[Status, str]:
    limit = node.maxmemory_bytes or 0
    if limit == 0:
        return Status.FAIL, effects(node, "maxmemory", "0")
    if node.host_memory_bytes is not None and limit >= node.host_memory_bytes:
        ram = units.size(node.host_memory_bytes)
        return Status.FAIL, f"the limit is over the RAM of the host ({ram}): Redis is killed before it evicts"
    ratio = node.evictable_bytes / limit
    hours = max(node.uptime_seconds, 1) / 3600
    evicted = (
        f"{units.count(node.evicted_count)} evicted since the start ({units.count(node.evicted_count / hours)} an hour)"
    )
    use = f"{units.percent(ratio)} in use, {evicted}"
    if ratio > policy.memory.warn and node.evicted_count:
        normal = "a full LRU cache is normal as long as the hit rate holds"
        return Status.WARN, f"{use}; {normal}: if it does not, raise the limit or shorten TTLs"
    differs = node.settings["maxmemory"] != GUIDE_REDIS["maxmemory"]
    enough = "OK as it is, because what is there fits"
    would = f"; {enough}; with the guide's: {effects(node, 'maxmemory', GUIDE_REDIS['maxmemory'])}" if differs else ""
    return Status.OK, use + would


def _policy(node: NodeSettings, policy: Policy) -> tuple[Status, str]:
    value = node.settings["maxmemory-policy"]
    limit = node.maxmemory_bytes or 0
    full = bool(limit) and node.evictable_bytes / limit > policy.memory.warn
    if value == "noeviction" and limit:
        return (Status.FAIL if full else Status.WARN), effects(node, "maxmemory-policy", value)
    if value == "noeviction":
        return Status.WARN, "nothing is ever evicted, and without a limit Redis grows until its host has no memory left"
    if value.startswith("volatile-"):
        lasting = node.without_ttl_count / max(node.keys_count, 1)
        status = Status.FAIL if full and lasting > policy.memory.warn else Status.WARN
        return status, effects(node, "maxmemory-policy", value)
    if value in POLICIES:
        return Status.OK, effects(node, "maxmemory-policy", value)
    return Status.WARN, "not a policy that this project knows"


def _timeout(node: NodeSettings, _: Policy) -> tuple[Status, str]:
    value = int(node.settings["timeout"])
    if value == 0:
        silent = [one for one in node.idle_seconds or () if one > GUIDE.timeout_seconds]
        now = f"; {units.things(len(silent), 'connection')} silent for over {GUIDE.timeout_seconds} s now"
        return (Status.WARN if silent else Status.OK), effects(node, "timeout", "0") + now
    if value < _SHORT_TIMEOUT_SECONDS:
        return Status.WARN, "pools lose their connections all the time, and requests wait while they are made again"
    return Status.OK, effects(node, "timeout", str(value))


def _keepalive(node: NodeSettings, _: Policy) -> tuple[Status, str]:
    value = int(node.settings["tcp-keepalive"])
    hurts = value == 0 or value > _LONG_KEEPALIVE_SECONDS
    return (Status.WARN if hurts else Status.OK), effects(node, "tcp-keepalive", str(value))


def _saving(node: NodeSettings, _: Policy) -> tuple[Status, str]:
    refuses = node.settings.get("stop-writes-on-bgsave-error") == "yes"
    if not node.settings["save"]:
        return Status.OK, "no save points: a failed save stops nobody, and a restart begins with an empty cache"
    if not refuses:
        return Status.OK, "save points are set, and a failed save does not stop writes"
    if node.last_save_failed:
        return (
            Status.FAIL,
            "the last save failed, so Redis refuses every write now (MISCONF): the cache cannot be filled",
        )
    return Status.WARN, "one failed save (a full disk) makes Redis refuse every write, PING too (MISCONF)"


def _connections(node: NodeSettings, _: Policy) -> tuple[Status, str]:
    room = int(node.settings["maxclients"])
    used = node.clients_count / max(room, 1)
    pools = room // GUIDE.max_connections
    text = f"room for {units.count(pools)} processes with the guide's pool of {GUIDE.max_connections} each"
    if node.rejected_count:
        refused = units.things(node.rejected_count, "connection")
        return Status.WARN, f"{refused} refused since the start: maxclients was reached; {text}"
    return (Status.WARN if used > _MANY_CLIENTS_RATIO else Status.OK), f"{units.percent(used)} in use; {text}"


_CHECKS: dict[str, Callable[[NodeSettings, Policy], tuple[Status, str]]] = {
    "maxmemory": _limit,
    "maxmemory-policy": _policy,
    "timeout": _timeout,
    "tcp-keepalive": _keepalive,
    "save": _saving,
    "maxclients": _connections,
}
_HINTS = {
    "maxmemory": f"{_TUNE} sets a limit; a cache that evicts too much needs more memory or shorter TTLs",
    "maxmemory-policy": f"{_TUNE} sets the guide's {GUIDE.maxmemory_policy}",
    "timeout": f"{_TUNE} sets the guide's {GUIDE.timeout_seconds} s",
    "tcp-keepalive": f"{_TUNE} sets the guide's {GUIDE.tcp_keepalive_seconds} s",
    "save": 'a cache needs no save points: CONFIG SET save "", or stop-writes-on-bgsave-error no, and in redis.conf',
    "maxclients": "find who holds connections (CLIENT LIST), give each pool a max_connections, or raise maxclients",
}
