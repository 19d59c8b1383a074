"""One warming run: may it be started, how far is it, what came of it?

The statistics carry no name of a run, only when the last one ended by the site's clock, and sums. So a run is over when
they are not what they were before it was ordered; the clock here is compared with nothing.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from runbooks_lib import units
from runbooks_lib.actions.action import Written
from runbooks_lib.actions.flags.plans import scope_of
from runbooks_lib.actions.outcome import ReadBack
from runbooks_lib.actions.plan import Command, Guard, Plan
from runbooks_lib.actions.registry import command_line
from runbooks_lib.actions.site import Progress, Site, WritableSite
from runbooks_lib.actions.site_program import program
from runbooks_lib.errors import MayHaveChangedError, RefusedError, SourceError
from runbooks_lib.facts import Warming, WarmingLock, WarmingPermission, WarmingType
from runbooks_lib.judgement.next_steps import run_command
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
        guards=_guards(permission, warming, strategy, site.environment.name),
        offers=(NextStep("watch the hit rate recover", run_command("triage", site.environment.name)),),
        notes=warming.warnings,
    )


def start_and_watch(plan: Plan, site: WritableSite, strategy: str, wait_seconds: float) -> Written:
    """Hand the run to the task worker and wait until its statistics show it.

    Raises:
        RefusedError: Redis could not be read, so that the run could not be told from the last one.
        MayHaveChangedError: the site gave no answer.
    """
    try:
        before = _type(site.redis.warming(), strategy)
    except SourceError as error:
        raise RefusedError(f"{error.message}; no run was asked for", hint=error.hint) from error
    began = time.monotonic()
    try:
        site.run_in_site(program(), {"warm": strategy}, timeout_seconds=_ORDER_SECONDS)
    except SourceError as error:
        message = f"{strategy} warming was ordered {units.clock(plan.read_at)}: {error.message}"
        raise MayHaveChangedError(message, hint="look at cache_warming_stats and at the worker's queue") from error
    account = (Evidence("queued", f"{strategy} warming", "manage.py warm_cache --queue"),)
    data = {"before": _numbers(before)}
    try:
        over = _watch(site, strategy, before, began + wait_seconds)
    except KeyboardInterrupt:
        return Written(account, data, stopped="no longer watched, on request; the run goes on in the site's worker")
    left = "" if over else f"not over after {units.duration(wait_seconds)}; it goes on in the site's worker"
    return Written(account, {**data, "watched_seconds": time.monotonic() - began}, stopped=left)


def read_run_back(plan: Plan, site: Site, strategy: str, written: Mapping[str, Any]) -> ReadBack:
    """Did the run end, without failing, and what did it store?

    Raises:
        SourceError: Redis could not be read.
    """
    warming = site.redis.warming()
    now = _type(warming, strategy)
    before: Mapping[str, float | None] | None = written.get("before")
    if before is None:
        # Nobody knows whether it ran: all that is left of the moment before is what the plan shows.
        moved = now is not None and _before(now) != plan.before
    else:
        moved = now is not None and any(_numbers(now)[name] != before.get(name) for name in ("last_run_at", "runs"))
    if now is None or not moved:
        # It was asked for, and it is at work: that it is not over yet is said where the watching ended.
        return ReadBack(confirmed=_is_held(warming, strategy), detail=_not_over(warming, strategy))
    if before is None:
        detail = f"A {strategy} run ended since. Whether it is the one that was asked for is not known."
        return ReadBack(confirmed=True, evidence=_before(now), detail=detail)
    return _judged(_Difference.of(before, now), now, written, site, held=_is_held(warming, strategy))


@dataclass(frozen=True, slots=True)
class _Difference:
    """What the statistics of a strategy grew by; negative where they were removed meanwhile."""

    runs: int
    failures: int
    items: int
    seconds: float

    @classmethod
    def of(cls, before: Mapping[str, float | None], now: WarmingType) -> _Difference:
        """From the numbers before, as ``_numbers`` gives them."""
        grown = {name: (value or 0.0) - (before.get(name) or 0.0) for name, value in _numbers(now).items()}
        whole = {name: round(grown[name]) for name in ("runs", "failures", "items")}
        return cls(**whole, seconds=grown["seconds"])


def _judged(grown: _Difference, now: WarmingType, written: Mapping[str, Any], site: Site, *, held: bool) -> ReadBack:
    """A run ended: well, in vain, or with an error."""
    name, took = now.name, units.seconds(max(0.0, grown.seconds))
    evidence = [*_before(now), Evidence("values stored", units.count(grown.items)), Evidence("took", took)]
    other = _another(grown, written, held=held)
    if min(grown.runs, grown.items, grown.failures) < 0:
        detail = f"A {name} run ended, but its statistics were removed meanwhile: what it stored is not known.{other}"
        return ReadBack(confirmed=True, evidence=tuple(evidence[:1]), detail=detail)
    if grown.failures:
        return ReadBack(False, tuple(evidence), f"the {name} run failed: see the worker.{other}")
    if grown.items:
        detail = f"The {name} run stored {units.things(grown.items, 'value')} in {took}.{other}"
        return ReadBack(confirmed=True, evidence=tuple(evidence), detail=detail)
    offers = (NextStep("see why nothing was warmed", run_command("cache_warming", site.environment.name)),)
    return ReadBack(True, tuple(evidence), f"{_in_vain(name, grown.seconds)}{other}", offers)


def _another(grown: _Difference, written: Mapping[str, Any], *, held: bool) -> str:
    """What speaks for it that these are the numbers of another run than the one that was asked for."""
    watched = written.get("watched_seconds")
    if grown.runs > 1:
        return f" {grown.runs} runs ended meanwhile: these are their numbers together."
    if isinstance(watched, (int, float)) and grown.seconds > watched + _SUSPICIOUS_SECONDS:
        return " It took longer than since it was asked for: it may have been another run, and this one may follow."
    return " The lock is held again: it may have been another run, and this one may be at work now." if held else ""


def _watch(site: WritableSite, strategy: str, before: WarmingType | None, ends: float) -> bool:
    """Until the statistics show a later run, which is True, or the time is over."""
    began = time.monotonic()
    while time.monotonic() < ends:
        time.sleep(min(_POLL_SECONDS, max(0.0, ends - time.monotonic())))
        warming = site.redis.warming()
        now = _type(warming, strategy)
        if now is not None and (now.last_run_at, now.tasks_count) != _ended(before):
            return True
        state = "running" if _is_held(warming, strategy) else "waiting for a worker"
        seconds = round(time.monotonic() - began)
        site.progress(Progress(seconds, None, f"{strategy} warming: {state} for {units.duration(seconds)}"))
    return False


def _guards(permission: WarmingPermission, warming: Warming, strategy: str, environment: str) -> tuple[Guard, ...]:
    flag, held = permission.flag, [lock for lock in warming.locks if _is_of(lock.name, strategy)]
    on = flag.strategy == "on" or (flag.strategy == "gradual" and flag.percentage == 100)
    left = ", ".join(f"{lock.name} ({_ttl(lock.ttl_seconds)})" for lock in held)
    return (
        Guard(
            "the site has the command warm_cache",
            permission.has_command,
            hint="start a run the way this site does it; see the contract of the site, Warming",
        ),
        Guard(
            "warming is on for everybody",
            on,
            f"CACHE_WARMING is {flag.strategy}",
            command_line(Command("enable_feature", {"feature": "CACHE_WARMING"}), environment),
        ),
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
            _release(held, environment),
        ),
    )


def _release(held: Sequence[WarmingLock], environment: str) -> str:
    if not held:
        return ""
    command = command_line(Command("remove_warming_lock", {"lock": held[0].name}), environment)
    return f"wait for that run; a lock that nobody owns any more: {command}"


def _ttl(seconds: float | None) -> str:
    return "never expires" if seconds is None else f"{units.duration(seconds)} left"


def _is_of(name: str, strategy: str) -> bool:
    return name.startswith(f"cache_warming_lock:{strategy}:")


def _type(warming: Warming, strategy: str) -> WarmingType | None:
    return next((one for one in warming.types if one.name == strategy), None)


def _ended(last: WarmingType | None) -> tuple[datetime | None, int]:
    """What is another pair once a run has ended, whatever the site's clock says."""
    return (last.last_run_at, last.tasks_count) if last is not None else (None, 0)


def _numbers(last: WarmingType | None) -> dict[str, float | None]:
    """The statistics as JSON: what they differ by later is the run."""
    if last is None:
        return {"last_run_at": None, "runs": 0, "failures": 0, "items": 0, "seconds": 0.0}
    return {
        "last_run_at": last.last_run_at.timestamp() if last.last_run_at is not None else None,
        "runs": last.tasks_count,
        "failures": last.failures_count,
        "items": last.runs_count,
        "seconds": last.duration_seconds,
    }


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


def _in_vain(strategy: str, seconds: float) -> str:
    how = "at once" if seconds < _SUSPICIOUS_SECONDS else f"after {units.seconds(seconds)}"
    popular = (
        "On a quiet site nothing is asked for often enough, and this is right. " if strategy == "scheduled" else ""
    )
    return (
        f"NOTHING was warmed: the {strategy} run says that it succeeded, {how} and with 0 values stored. {popular}"
        f"{'Suspicious: a' if seconds < _SUSPICIOUS_SECONDS else 'A'} run also looks so when a stranded lock or an "
        "empty plan keeps it from its work."
    )
