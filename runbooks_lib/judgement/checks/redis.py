"""Checks of the Redis server behind the cache."""

from __future__ import annotations

from runbooks_lib import units
from runbooks_lib.facts import Health, RedisServer
from runbooks_lib.judgement.findings import RUNBOOKS, limit, measured, unknown
from runbooks_lib.model import Evidence, Finding, Status, Unreadable, worst
from runbooks_lib.policy import Policy


def check_redis(server: RedisServer | Unreadable, health: Health | Unreadable, policy: Policy) -> Finding:
    """Does Redis answer, and at once?

    A Redis that does not answer *here* is down only if the site cannot reach it either, or cannot be asked.

    Returns:
        Finding ``redis.server``: FAIL when it is down or loading, UNKNOWN when only the path from here is broken.
    """
    if isinstance(server, Unreadable):
        return _unreachable(server, health)
    up = units.duration(server.uptime_seconds)
    detail = f"{server.version} {server.role}, up {up}, {units.count(server.keys_count)} keys"
    if server.loading:
        return Finding(
            "redis.server",
            "redis",
            Status.FAIL,
            "loading its data set",
            detail=detail,
            runbook=RUNBOOKS["redis.server"],
        )
    return measured("redis.server", "redis answers in", server.latency_seconds, policy.redis_latency, detail=detail)


def _unreachable(server: Unreadable, health: Health | Unreadable) -> Finding:
    site_reaches_it = not isinstance(health, Unreadable) and health.redis_reachable is True
    return Finding(
        "redis.server",
        "redis",
        Status.UNKNOWN if site_reaches_it else Status.FAIL,
        f"not reachable from here: {server.reason}",
        limit="reachable",
        detail="the site says that it reaches it" if site_reaches_it else "",
        reason="guide, Incident Response: a cache that is down for over 5 min is severity 1",
        hint=server.hint,
        runbook=RUNBOOKS["redis.server"],
    )


def check_memory(server: RedisServer | Unreadable, policy: Policy) -> Finding:
    """Is Redis short of memory?

    used_ratio = used_memory / maxmemory. A full LRU cache is normal as long as it evicts little; without a limit
    there is no denominator, so UNKNOWN.

    Returns:
        Finding ``redis.memory``; evidence holds evictions per second.

    Source:
        INFO memory: used_memory, maxmemory; INFO stats: evicted_keys, twice.
    """
    if isinstance(server, Unreadable):
        return unknown("redis.memory", "redis memory", server)
    evicted = server.evicted_per_second
    if server.maxmemory_bytes <= 0:
        return Finding(
            "redis.memory",
            "redis memory",
            Status.UNKNOWN,
            f"{units.size(server.used_memory_bytes)} used, no limit",
            detail="maxmemory is 0: Redis grows until the machine has no memory left",
            hint="set maxmemory and an eviction policy (the guide: 4gb, allkeys-lru)",
            reason=policy.memory.reason,
            runbook=RUNBOOKS["redis.memory"],
        )
    ratio = server.used_memory_bytes / server.maxmemory_bytes
    by_use = policy.memory.judge(ratio)
    by_eviction = policy.evictions.judge(evicted)
    evicts_by_design = server.maxmemory_policy.startswith(("allkeys-", "volatile-"))
    # At its limit an LRU cache stays there for ever: what it evicts says whether that hurts.
    status = worst((Status.WARN, by_eviction)) if by_use is Status.FAIL and evicts_by_design else by_use
    return Finding(
        "redis.memory",
        "redis memory",
        Status.WARN if status is Status.UNKNOWN else status,
        f"{units.percent(ratio)} of {units.size(server.maxmemory_bytes)}",
        limit=limit(policy.memory, status),
        detail=f"{server.maxmemory_policy or 'policy not readable'}, evicts {units.per_second(evicted)}",
        reason=policy.memory.reason,
        value=ratio,
        unit="ratio",
        evidence=(Evidence("evicted keys", units.per_second(evicted), "INFO stats, evicted_keys twice"),),
        hint="reduce TTLs, enable ADAPTIVE_TTL, clear old warming statistics",
        runbook=RUNBOOKS["redis.memory"],
    )
