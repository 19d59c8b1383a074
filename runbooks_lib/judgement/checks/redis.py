"""Checks of the Redis server behind the cache."""

from __future__ import annotations

from runbooks_lib import units
from runbooks_lib.facts import RedisNode, RedisServer
from runbooks_lib.judgement.findings import RUNBOOKS, limit, measured, unknown
from runbooks_lib.judgement.outage import has_hits_now, is_down
from runbooks_lib.judgement.situation import Situation
from runbooks_lib.model import Evidence, Finding, Kind, Status, Unreadable, worst
from runbooks_lib.policy import Policy


def check_redis(situation: Situation, policy: Policy) -> Finding:
    """Does Redis answer, and at once?

    A Redis that does not answer *here* is down only if the site cannot reach it either (see ``outage``). Its latency is
    judged as the site measures it: a round trip from the operator's desk includes a VPN.

    Returns:
        Finding ``redis.server``: FAIL when it is down, loading or refuses to work; UNKNOWN when only the path from
        here is broken.
    """
    server, health = situation.server, situation.health
    if isinstance(server, Unreadable):
        return _unreadable(server, situation)
    up = units.duration(server.uptime_seconds)
    what = server.role if len(server.nodes) < 2 else f"{len(server.nodes)} primaries"
    detail = f"{server.version} {what}, up {up}, {units.count(server.keys_count)} keys"
    here = f"{units.seconds(server.latency_seconds)} from here"
    if server.loading:
        return _server_finding(Status.FAIL, "loading its data set", detail, "wait until it has loaded")
    from_site = None if isinstance(health, Unreadable) else health.redis_latency_seconds
    if from_site is None:
        return _server_finding(Status.OK, f"answers, {here}", f"not judged: includes the way from here; {detail}", "")
    return measured(
        "redis.server",
        "redis answers the site in",
        from_site,
        policy.redis_latency,
        detail=f"{here}; {detail}",
        hint="look at SLOWLOG and at the CPU of the Redis host",
    )


def _unreadable(server: Unreadable, situation: Situation) -> Finding:
    if server.kind is Kind.FAULTY:
        return _server_finding(Status.FAIL, server.reason, "it answers, and does not work", server.hint)
    if is_down(situation):
        return _server_finding(Status.FAIL, f"down: {server.reason}", "", server.hint)
    works = (not isinstance(situation.health, Unreadable)) or has_hits_now(situation)
    detail = "the site works with it" if works else "nobody else could be asked"
    return _server_finding(Status.UNKNOWN, f"could not be read: {server.reason}", detail, server.hint)


def _server_finding(status: Status, shown: str, detail: str, hint: str) -> Finding:
    return Finding(
        "redis.server",
        "redis",
        status,
        shown,
        detail=detail,
        reason="guide, Incident Response: a cache that is down for over 5 min is severity 1",
        hint=hint,
        runbook=RUNBOOKS["redis.server"],
    )


def check_memory(server: RedisServer | Unreadable, policy: Policy) -> Finding:
    """Is Redis short of memory?

    used_ratio = used_memory / maxmemory; on a cluster that of the fullest primary, because each evicts by itself. A
    full LRU cache is normal as long as it evicts little; without a limit there is no denominator, so UNKNOWN.

    Returns:
        Finding ``redis.memory``; evidence holds evictions per second.

    Source:
        INFO memory: used_memory, maxmemory; INFO stats: evicted_keys, twice.
    """
    if isinstance(server, Unreadable):
        return unknown("redis.memory", "redis memory", server)
    evicted = server.evicted_per_second
    if server.maxmemory_bytes <= 0:
        return _without_limit(server, policy)
    fullest = server.fullest
    used, maxmemory = server.used_memory_bytes, server.maxmemory_bytes
    where = ""
    if fullest is not None:
        used, maxmemory = fullest.used_memory_bytes, fullest.maxmemory_bytes
        where = f"{fullest.shown} is the fullest of {len(server.nodes)} primaries; "
    ratio = used / maxmemory
    by_use = policy.memory.judge(ratio)
    by_eviction = policy.evictions.judge(evicted)
    evicts_by_design = server.maxmemory_policy.startswith(("allkeys-", "volatile-"))
    # At its limit an LRU cache stays there for ever: what it evicts says whether that hurts.
    status = worst((Status.WARN, by_eviction)) if by_use is Status.FAIL and evicts_by_design else by_use
    return Finding(
        "redis.memory",
        "redis memory",
        Status.WARN if status is Status.UNKNOWN else status,
        f"{units.percent(ratio)} of {units.size(maxmemory)}",
        limit=limit(policy.memory),
        detail=f"{where}{server.maxmemory_policy or 'policy not readable'}, evicts {units.per_second(evicted)}",
        reason=policy.memory.reason,
        value=ratio,
        unit="ratio",
        evidence=(
            Evidence("evicted keys", units.per_second(evicted), "INFO stats, evicted_keys twice"),
            *_memory_of_nodes(server),
        ),
        hint="reduce TTLs, enable ADAPTIVE_TTL, clear old warming statistics",
        runbook=RUNBOOKS["redis.memory"],
    )


def _without_limit(server: RedisServer, policy: Policy) -> Finding:
    nodes, without = server.nodes, server.without_limit
    where = f" on {', '.join(node.shown for node in without)}" if 0 < len(without) < len(nodes) else ""
    return Finding(
        "redis.memory",
        "redis memory",
        Status.UNKNOWN,
        f"{units.size(server.used_memory_bytes)} used, no limit",
        detail=f"maxmemory is 0{where}: Redis grows until the machine has no memory left",
        hint="set maxmemory and an eviction policy (the guide: 4gb, allkeys-lru)",
        reason=policy.memory.reason,
        runbook=RUNBOOKS["redis.memory"],
        evidence=_memory_of_nodes(server),
    )


def _memory_of_nodes(server: RedisServer) -> tuple[Evidence, ...]:
    """Each primary of a cluster with its memory; nothing for a single server."""
    if len(server.nodes) < 2:
        return ()
    return tuple(Evidence(f"memory of {node.shown}", _memory_of(node), "INFO memory") for node in server.nodes)


def _memory_of(node: RedisNode) -> str:
    limit_shown = f"of {units.size(node.maxmemory_bytes)}" if node.maxmemory_bytes else "used, no limit"
    return f"{units.size(node.used_memory_bytes)} {limit_shown}"
