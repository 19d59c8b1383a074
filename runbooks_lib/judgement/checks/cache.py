"""Checks of the cache itself: hit rate, penetration, warming."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from runbooks_lib import units
from runbooks_lib.facts import Lookups, Warming, WarmingActivity
from runbooks_lib.judgement.findings import RUNBOOKS, degraded, limit, measured, unknown
from runbooks_lib.model import Evidence, Finding, Status, Unreadable
from runbooks_lib.policy import MIN_LOOKUPS, MIN_WARMING_TASKS, Policy


def check_hit_rate(lookups: Lookups | Unreadable, policy: Policy) -> Finding:
    """Do requests find their answer in the cache?

    hit_ratio = (hit + stale + null_value) / all lookups, from counters, summed over instances and endpoints.

    Returns:
        Finding ``cache.hit_rate``; UNKNOWN under 30 lookups, because three requests at night prove nothing.
    """
    if isinstance(lookups, Unreadable):
        return unknown("cache.hit_rate", "hit rate", lookups)
    if lookups.total < MIN_LOOKUPS:
        return _too_few("cache.hit_rate", "hit rate", lookups)
    return measured(
        "cache.hit_rate",
        "hit rate",
        lookups.hit_ratio,
        policy.hit_rate,
        detail=_lookups_detail(lookups),
        evidence=_worst_endpoints(lookups),
        hint="look for an endpoint that does not use the cache, for changed keys, for frequent data changes",
    )


def check_penetration(lookups: Lookups | Unreadable, policy: Policy) -> Finding:
    """Do requests ask for things that do not exist?

    penetration_ratio = lookups of missing resources / all lookups. The attempts counter is used where the site has
    one; the share of null_value answers alone shows a scan of random ids as zero.

    Returns:
        Finding ``cache.penetration``.
    """
    if isinstance(lookups, Unreadable):
        return unknown("cache.penetration", "penetration", lookups)
    if lookups.total < MIN_LOOKUPS:
        return _too_few("cache.penetration", "penetration", lookups)
    null_ratio = lookups.overall.null_value / lookups.total
    basis = "null_value answers only: the site has no attempts counter" if lookups.penetration_attempts is None else ""
    attempts = lookups.overall.null_value if lookups.penetration_attempts is None else lookups.penetration_attempts
    return measured(
        "cache.penetration",
        "penetration",
        lookups.penetration_ratio,
        policy.penetration,
        detail=", ".join(
            part
            for part in (
                f"{units.count(attempts)} of {units.count(lookups.total)} lookups",
                basis,
                degraded(lookups),
            )
            if part
        ),
        evidence=(Evidence("answered by a cached NULL_VALUE", units.percent(null_ratio)),),
        hint="enable PENETRATION_PROTECTION, look for bots asking for resources that do not exist",
    )


def check_warming_duration(warming: WarmingActivity | Unreadable, policy: Policy) -> Finding:
    """Do warming tasks finish in time?

    The value is the lower edge of the highest histogram bucket that a task fell into, so that a few slow tasks do not
    hide behind a mean. Startup warming is shown but not judged by it: the guide expects 3-5 minutes there.

    Returns:
        Finding ``warming.duration``; OK with the reason when nothing was warmed in the window.
    """
    title = "warming, slowest task"
    if isinstance(warming, Unreadable):
        return unknown("warming.duration", title, warming)
    judged = {k: v for k, v in warming.slowest_over_seconds.items() if v is not None and k != "startup"}
    if not judged:
        return Finding(
            "warming.duration",
            title,
            Status.OK,
            "no task",
            limit=limit(policy.warming_task),
            detail=f"no scheduled or on-demand warming in {units.duration(warming.window_seconds)}",
            reason=policy.warming_task.reason,
            runbook=RUNBOOKS["warming.duration"],
        )
    name, edge = max(judged.items(), key=lambda item: item[1])
    # A bucket says "longer than its lower edge": at the edge itself it is already beyond the threshold.
    status = (
        Status.FAIL
        if edge >= policy.warming_task.fail
        else Status.WARN
        if edge >= policy.warming_task.warn
        else Status.OK
    )
    mean = warming.mean_duration_seconds.get(name)
    return Finding(
        "warming.duration",
        title,
        status,
        f"over {units.seconds(edge)}" if edge else "under 1 s",
        limit=limit(policy.warming_task),
        detail=f"{name}, mean {units.seconds(mean)}, {units.count(warming.items.get(name))} items "
        f"in {units.duration(warming.window_seconds)}",
        reason=policy.warming_task.reason,
        value=edge,
        unit="seconds",
        hint="check the database, then reduce concurrent warming tasks, then raise their timeout",
        runbook=RUNBOOKS["warming.duration"],
    )


@dataclass(frozen=True, slots=True)
class WarmingFailures:
    """One strategy's failures: error / (success + error), 0..1, over that many attempts."""

    name: str
    ratio: float
    attempts: float


def worst_warming(warming: WarmingActivity) -> WarmingFailures | None:
    """Which strategy fails most, among those with enough attempts to tell?

    Judged one by one: hundreds of on-demand refreshes would hide that the hourly run fails every time.

    Returns:
        None when no task ran. With too few attempts everywhere, the strategy with the most.
    """
    found = []
    for name, statuses in warming.tasks.items():
        errors, attempts = statuses.get("error", 0.0), statuses.get("error", 0.0) + statuses.get("success", 0.0)
        if attempts > 0:
            found.append(WarmingFailures(name, errors / attempts, attempts))
    # increase() extrapolates: three tasks may arrive as 2.98.
    enough = [failures for failures in found if round(failures.attempts) >= MIN_WARMING_TASKS]
    if enough:
        return max(enough, key=lambda failures: failures.ratio)
    return max(found, key=lambda failures: failures.attempts, default=None)


def check_warming_failures(
    warming: WarmingActivity | Unreadable, store: Warming | Unreadable, policy: Policy, now: datetime
) -> Finding:
    """Do warming tasks run, and succeed?

    failures = error / (success + error) over the window, for the strategy that fails most; skipped tasks (lock held)
    are neither. A window without a task is judged by when warming ran last, as Redis keeps it.

    Returns:
        Finding ``warming.failures``.
    """
    title = "warming failures"
    if isinstance(warming, Unreadable):
        return unknown("warming.failures", title, warming)
    worst = worst_warming(warming)
    if worst is None:
        return _no_warming(warming, store, policy, now)
    return measured(
        "warming.failures",
        title,
        worst.ratio,
        policy.warming_failures,
        detail=f"{worst.name}, {units.things(worst.attempts, 'task')} in {units.duration(warming.window_seconds)}",
        hint="read the task worker's log; check the database and CACHE_WARMING",
    )


def _no_warming(warming: WarmingActivity, store: Warming | Unreadable, policy: Policy, now: datetime) -> Finding:
    """No task in the window: fine when it ran within two intervals, a warning when it did not, else unknown."""
    runs = [] if isinstance(store, Unreadable) else [t.last_run_at for t in store.types if t.last_run_at is not None]
    age = None if not runs else (now - max(runs)).total_seconds()
    limit_seconds = 2 * policy.warming_interval_seconds
    status = Status.UNKNOWN if age is None else Status.OK if age <= limit_seconds else Status.WARN
    stopped = "is the task worker running, is CACHE_WARMING on, is a warming lock stuck?"
    return Finding(
        "warming.failures",
        "warming failures",
        status,
        "no task ran" if age is None else f"last ran {units.duration(max(age, 0))} ago",
        limit=f"{'warning' if status is Status.WARN else 'ok'} within {units.duration(limit_seconds)}",
        detail=f"no task in {units.duration(warming.window_seconds)}",
        reason="guide, Scheduled Warming: every hour",
        hint="too short a time to see warming: look again when Prometheus is back" if warming.degraded else stopped,
        runbook=RUNBOOKS["warming.failures"],
    )


def _too_few(identifier: str, title: str, lookups: Lookups) -> Finding:
    return Finding(
        identifier,
        title,
        Status.UNKNOWN,
        f"only {units.things(lookups.total, 'lookup')}",
        limit=f"needs {MIN_LOOKUPS:g} lookups",
        detail=_lookups_detail(lookups),
        hint="no traffic, or the site bypasses its cache: see redis and the health endpoint; else widen the window",
        runbook=RUNBOOKS[identifier],
    )


def _lookups_detail(lookups: Lookups) -> str:
    instances = "" if lookups.instances is None else f"{lookups.instances} instance{'s' * (lookups.instances != 1)}"
    window = f"{units.duration(lookups.window_seconds)} window"
    return ", ".join(p for p in (window, units.things(lookups.total, "lookup"), instances, degraded(lookups)) if p)


def _worst_endpoints(lookups: Lookups) -> tuple[Evidence, ...]:
    """The endpoints that cause most misses: their own hit rate and their share of all misses."""
    misses = lookups.overall.miss
    if misses <= 0:
        return ()
    worst = sorted(lookups.endpoints, key=lambda e: e.miss, reverse=True)[:3]
    return tuple(
        Evidence(e.endpoint, f"{units.percent(e.hit_ratio)} hit, {units.percent(e.miss / misses)} of all misses")
        for e in worst
        if e.miss > 0
    )


def check_warming_locks(store: Warming | Unreadable) -> Finding:
    """Is a warming lock stuck?

    A lock without an expiry, left by a killed worker, keeps warming from ever running again.

    Returns:
        Finding ``warming.locks``: WARN for each lock that never expires.
    """
    title = "warming locks"
    if isinstance(store, Unreadable):
        return unknown("warming.locks", title, store)
    stuck = [lock for lock in store.locks if lock.ttl_seconds is None]
    held = f"{len(store.locks)} held" if store.complete else f"{len(store.locks)} found, not all keys were looked at"
    return Finding(
        "warming.locks",
        title,
        Status.WARN if stuck else Status.OK if store.complete else Status.UNKNOWN,
        f"{len(stuck)} without expiry" if stuck else held,
        limit="all expire",
        detail=", ".join(lock.name for lock in (stuck or store.locks)[:3]),
        reason="site contract: a lock is set with an expiry; one without blocks warming for ever",
        value=float(len(stuck)),
        unit="count",
        hint="remove it only with proof that its owner is gone" if stuck else "look again when Redis is less busy",
        runbook=RUNBOOKS["warming.locks"],
    )
