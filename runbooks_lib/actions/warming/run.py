"""One warming run: may it be started, how far is it, what came of it?"""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from runbooks_lib import units
from runbooks_lib.actions.action import Written
from runbooks_lib.actions.flags.plans import scope_of
from runbooks_lib.actions.flags.writes import program
from runbooks_lib.actions.outcome import ReadBack
from runbooks_lib.actions.plan import Guard, Plan
from runbooks_lib.actions.site import Progress, Site, WritableSite
from runbooks_lib.errors import MayHaveChangedError, SourceError
from runbooks_lib.facts import Warming, WarmingPermission, WarmingType
from runbooks_lib.model import Evidence, NextStep

STRATEGIES = ("startup", "scheduled")
_ORDER_SECONDS = 30.0
_POLL_SECONDS = 0.5
#: A run that stores nothing and is over faster than this did not do what it says.
_SUSPICIOUS_SECONDS = 1.0


def plan_run(name: str, intent: Mapping[str, Any], strategy: str, site: Site) -> Plan:
    """A plan to start one run.

    Raises:
        SourceError: the site or Redis could not be read.
    """
    read_at = units.now()
    permission, warming = site.django.warming_permission(), site.redis.warming()
    last = _type(warming, strategy)
    return Plan(
        action=name,
        title=f"have the site run its {strategy} warming now",
        environment=site.environment.name,
        protected=site.environment.protected,
        scope=f"{scope_of(site)}; {site.nodes.shown}",
        intent=intent,
        rests_on={"CACHE_WARMING": permission.flag.strategy, "enabled": permission.enabled},
        resources=("warming",),
        read_at=read_at,
        before=_before(last),
        after=(Evidence("last run", "a moment ago, with one run more in the statistics"),),
        blast_radius=_cost(last),
        irreversible="nothing is lost by it: what is warmed expires by itself",
        guards=_guards(permission, warming, strategy),
        offers=(NextStep("watch the hit rate recover", "runbooks run triage"),),
        notes=warming.warnings,
    )


def start_and_watch(plan: Plan, site: WritableSite, strategy: str, wait_seconds: float) -> Written:
    """Hand the run to the task worker and wait until its statistics show it.

    Raises:
        MayHaveChangedError: the site gave no answer.
    """
    before = _type(site.redis.warming(), strategy)
    began = time.monotonic()
    try:
        site.run_in_site(program(), {"warm": strategy}, timeout_seconds=_ORDER_SECONDS)
    except SourceError as error:
        message = f"{strategy} warming was ordered {units.clock(plan.read_at)}: {error.message}"
        raise MayHaveChangedError(message, hint="look at cache_warming_stats and at the worker's queue") from error
    account = (Evidence("queued", f"{strategy} warming", "manage.py warm_cache --queue"),)
    data = {"last_run_at": _last_run(before), "items": before.runs_count if before else 0, **_sums(before)}
    try:
        over = _watch(site, strategy, before, began + wait_seconds)
    except KeyboardInterrupt:
        return Written(account, data, stopped="no longer watched, on request; the run goes on in the site's worker")
    left = "" if over else f"not over after {units.duration(wait_seconds)}; it goes on in the site's worker"
    return Written(account, data, stopped=left)


def read_run_back(plan: Plan, site: Site, strategy: str, written: Mapping[str, Any]) -> ReadBack:
    """Did the run end, without failing, and did it store anything?

    Raises:
        SourceError: Redis could not be read.
    """
    warming = site.redis.warming()
    now = _type(warming, strategy)
    since = written.get("last_run_at") or plan.read_at.timestamp()
    if now is None or now.last_run_at is None or now.last_run_at.timestamp() <= since:
        # It was asked for, and it is at work: that it is not over yet is said where the watching ended.
        return ReadBack(confirmed=_is_held(warming, strategy), detail=_not_over(warming, strategy))
    evidence = [Evidence("last run", units.timestamp(now.last_run_at), "HGETALL cache_warming_stats")]
    if "tasks" not in written:
        return ReadBack(confirmed=True, evidence=tuple(evidence), detail=f"The {strategy} run is over.")
    items = now.runs_count - int(written["items"])
    seconds = now.duration_seconds - float(written["duration"])
    evidence += [Evidence("values stored", units.count(items)), Evidence("took", units.seconds(max(0.0, seconds)))]
    if now.failures_count > int(written["failures"]):
        return ReadBack(confirmed=False, evidence=tuple(evidence), detail=f"the {strategy} run failed: see the worker")
    if items <= 0:
        return ReadBack(confirmed=False, evidence=tuple(evidence), detail=_suspicious(strategy, seconds))
    detail = f"The {strategy} run stored {units.things(items, 'value')} in {units.seconds(max(0.0, seconds))}."
    return ReadBack(confirmed=True, evidence=tuple(evidence), detail=detail)


def _watch(site: WritableSite, strategy: str, before: WarmingType | None, ends: float) -> bool:
    """Until the statistics show a later run, which is True, or the time is over."""
    began = time.monotonic()
    while time.monotonic() < ends:
        time.sleep(min(_POLL_SECONDS, max(0.0, ends - time.monotonic())))
        warming = site.redis.warming()
        now = _type(warming, strategy)
        if now is not None and now.last_run_at is not None and (_last_run(now) or 0.0) > (_last_run(before) or 0.0):
            return True
        state = "running" if _is_held(warming, strategy) else "waiting for a worker"
        seconds = round(time.monotonic() - began)
        site.progress(Progress(seconds, None, f"{strategy} warming: {state} for {units.duration(seconds)}"))
    return False


def _guards(permission: WarmingPermission, warming: Warming, strategy: str) -> tuple[Guard, ...]:
    flag, held = permission.flag, [lock for lock in warming.locks if _is_of(lock.name, strategy)]
    on = flag.strategy == "on" or (flag.strategy == "gradual" and flag.percentage == 100)
    left = ", ".join(f"{lock.name} ({_ttl(lock.ttl_seconds)})" for lock in held)
    return (
        Guard(
            "the site has the command warm_cache",
            permission.has_command,
            hint="start a run the way this site does it; see the contract of the site, Warming",
        ),
        Guard("warming is on for everybody", on, f"CACHE_WARMING is {flag.strategy}", "enable_feature CACHE_WARMING"),
        Guard(
            "warming is enabled in the settings",
            permission.enabled is not False,
            "CACHE_WARMING['ENABLED'] is not set" if permission.enabled is None else "",
            "set CACHE_WARMING['ENABLED'] and restart",
        ),
        Guard(
            f"no other {strategy} run holds the lock",
            not held if warming.complete or held else None,
            left or ("" if warming.complete else "the search for locks was not complete"),
            "wait for that run; a lock that nobody owns any more: remove_warming_lock",
        ),
    )


def _ttl(seconds: float | None) -> str:
    return "never expires" if seconds is None else f"{units.duration(seconds)} left"


def _is_of(name: str, strategy: str) -> bool:
    return name.startswith(f"cache_warming_lock:{strategy}:")


def _type(warming: Warming, strategy: str) -> WarmingType | None:
    return next((one for one in warming.types if one.name == strategy), None)


def _last_run(last: WarmingType | None) -> float | None:
    return last.last_run_at.timestamp() if last is not None and last.last_run_at is not None else None


def _sums(last: WarmingType | None) -> dict[str, float]:
    """What had been done before, so that the difference is the run."""
    if last is None:
        return {"tasks": 0, "failures": 0, "duration": 0.0}
    return {"tasks": last.tasks_count, "failures": last.failures_count, "duration": last.duration_seconds}


def _before(last: WarmingType | None) -> tuple[Evidence, ...]:
    at: datetime | None = last.last_run_at if last else None
    shown = "never" if at is None else units.timestamp(at)
    return (Evidence("last run", shown, "HGETALL cache_warming_stats"),)


def _cost(last: WarmingType | None) -> tuple[Evidence, ...]:
    """What a run of this strategy usually costs."""
    if last is None or not last.tasks_count:
        return (Evidence("values of a usual run", "unknown: it never ran"),)
    return (
        Evidence("values of a usual run", units.count(last.runs_count / last.tasks_count), "mean of all runs"),
        Evidence("duration of a usual run", units.seconds(last.duration_seconds / last.tasks_count), "mean"),
    )


def _is_held(warming: Warming, strategy: str) -> bool:
    return any(_is_of(lock.name, strategy) for lock in warming.locks)


def _not_over(warming: Warming, strategy: str) -> str:
    if _is_held(warming, strategy):
        return f"the {strategy} run is not over: its lock is held"
    return f"the statistics show no new {strategy} run: does a task worker run, and does its broker answer?"


def _suspicious(strategy: str, seconds: float) -> str:
    how = "at once" if seconds < _SUSPICIOUS_SECONDS else f"after {units.seconds(seconds)}"
    popular = "; or nothing is asked for often enough" if strategy == "scheduled" else ""
    return (
        f"suspicious: the {strategy} run says that it succeeded, {how} and with 0 values stored; that is how a run "
        f"looks that a stranded lock or an empty plan keeps from its work{popular}"
    )
