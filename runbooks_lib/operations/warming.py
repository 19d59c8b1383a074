"""What is known of cache warming: statistics by strategy, locks, and what the last run was worth."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from runbooks_lib import units
from runbooks_lib.actions.plan import Command
from runbooks_lib.facts import Lookups, Warming, WarmingActivity, WarmingLock, WarmingType, WorkerTasks
from runbooks_lib.judgement import checks
from runbooks_lib.judgement.agreement import age_seconds, check_warming_schedule
from runbooks_lib.judgement.next_steps import DRY_FIRST, change_command
from runbooks_lib.model import Finding, Kind, NextStep, Unreadable
from runbooks_lib.operations.choice import choose
from runbooks_lib.operations.reading import attempt, side_by_side
from runbooks_lib.presentation.display import Shown, show_table, show_text
from runbooks_lib.sources.together import Read
from runbooks_lib.view import View

#: How long a lock lives from the start, by strategy: what is missing from that is its age.
LOCK_SECONDS = {"startup": 600.0, "scheduled": 600.0, "on_demand": 60.0}
_LOCK_PREFIX = "cache_warming_lock:"
#: How much before and after the last run is compared: an interval's quarter, and some scrapes at least.
_WORTH_SHARE = 4
_SHORTEST_WINDOW_SECONDS = 15.0
_MOST_LOCKS = 30
_MOST_OFFERS = 3
#: The site's shell takes a second to start, and asks the workers for another one.
_SHELL_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class WarmingState:
    """Warming at one moment.

    Attributes:
        at: aware UTC.
        store: statistics and locks, from Redis.
        activity: tasks and durations over the policy's warming window, from the metrics.
        workers: what the task workers are doing; that is who holds a lock.
    """

    at: datetime
    store: Warming | Unreadable
    activity: WarmingActivity | Unreadable
    workers: WorkerTasks | Unreadable


def read_warming(view: View) -> WarmingState:
    """What do Redis and the metrics know of warming?"""
    sources, window = view.sources, view.policy.warming_window_seconds
    try:
        found = side_by_side(
            view,
            {
                "store": Read("warming statistics and locks", "redis", sources.redis.warming),
                "activity": Read("warming metrics", "prometheus", lambda: sources.metrics.warming(window)),
                "workers": Read("running tasks", "django", sources.django.running_tasks),
            },
            deadline_seconds=_SHELL_SECONDS,
        )
    finally:
        # Also when the operator interrupts: a shell of the site that nobody waits for must not live on.
        sources.django.end()
    return WarmingState(units.now(), found["store"], found["activity"], found["workers"])


def choose_warming_operation(operation: str, *, strategy: str, lock: str) -> Command | None:
    """What the notebook's parameters ask for; None for ``look``.

    Raises:
        UsageError: the operation is none of these.
    """
    return choose(
        operation,
        {
            "trigger": Command("trigger_warming", {"strategy": strategy}),
            "remove_lock": Command("remove_warming_lock", {"lock": lock}),
            "remove_statistics": Command("remove_warming_statistics"),
        },
    )


def offers_for_locks(state: WarmingState, view: View) -> tuple[NextStep, ...]:
    """The command that plans the removal of each lock that never expires."""
    if isinstance(state.store, Unreadable):
        return ()
    stuck = [lock.name for lock in state.store.locks if lock.ttl_seconds is None]
    return tuple(
        NextStep(
            f"Remove the stuck lock {name}, with proof that its owner is gone: {DRY_FIRST}",
            change_command("remove_warming_lock", view.environment.name, {"lock": name}),
        )
        for name in stuck[:_MOST_OFFERS]
    )


def judge_warming(state: WarmingState, view: View) -> tuple[Finding, ...]:
    """Schedule, durations, failures and locks against the guide."""
    policy = view.policy
    return (
        check_warming_schedule(state.store, policy, state.at),
        checks.check_warming_duration(state.activity, policy),
        checks.check_warming_failures(state.activity, state.store, policy, state.at),
        checks.check_warming_locks(state.store),
    )


def show_strategies(state: WarmingState, view: View) -> Shown:
    """One line for each strategy: runs, failures, mean duration, last run against the schedule."""
    if isinstance(state.store, Unreadable):
        return show_text(f"Statistics could not be read ({state.store.reason}). {state.store.hint}")
    rows = [_strategy_row(kind, state, view) for kind in state.store.types]
    columns = ("Strategy", "Runs (_tasks)", "Failed", "Values (_count)", "Mean of a run", "Last run", "Schedule")
    notes = "".join(f". {warning}" for warning in state.store.warnings)
    return show_table(columns, rows, caption=f"cache_warming_stats, since it was last removed{notes}")


def _strategy_row(kind: WarmingType, state: WarmingState, view: View) -> tuple[str, ...]:
    age, interval = age_seconds(kind, state.at), view.policy.warming_interval_seconds
    mean = kind.duration_seconds / kind.tasks_count if kind.tasks_count else None
    late = "" if age is None or age <= 2 * interval else ", LATE"
    schedule = f"every {units.duration(interval)}{late}" if kind.name == "scheduled" else "no schedule"
    last = "never" if age is None else f"{units.duration(age)} ago"
    # The reference site counts stored values in _count and runs in _tasks; the columns keep both names apart.
    counts = (kind.tasks_count, kind.failures_count, kind.runs_count)
    return (kind.name, *(units.count(count) for count in counts), units.seconds(mean), last, schedule)


def show_locks(state: WarmingState) -> Shown:
    """The locks that are held: age, time left, and what that says of the owner."""
    if isinstance(state.store, Unreadable):
        return show_text(f"Locks could not be read ({state.store.reason}). {state.store.hint}")
    if not state.store.locks:
        searched = "No warming lock is held." if state.store.complete else "No warming lock was found so far."
        return show_text(" ".join((searched, *state.store.warnings)))
    rows = [_lock_row(lock) for lock in state.store.locks[:_MOST_LOCKS]]
    caption = f"Warming locks, {len(rows)} of {len(state.store.locks)}"
    return show_table(("Lock", "Held for", "Expires in", "What that says"), rows, caption=caption)


def _lock_row(lock: WarmingLock) -> tuple[str, str, str, str]:
    if lock.ttl_seconds is None:
        return lock.name, "not known", "never", "STUCK: no live worker sets a lock without an expiry"
    whole = LOCK_SECONDS.get(lock.name.removeprefix(_LOCK_PREFIX).partition(":")[0])
    age = None if whole is None else max(0.0, whole - lock.ttl_seconds)
    says = "a worker holds it, or was killed a moment ago; it ends by itself"
    return lock.name, units.duration(age) if age is not None else "not known", units.duration(lock.ttl_seconds), says


def show_workers(state: WarmingState) -> Shown:
    """What the task workers are doing now: a lock whose owner is none of them has no owner."""
    workers = state.workers
    if isinstance(workers, Unreadable):
        return show_text(f"The task workers could not be asked ({workers.reason}). {workers.hint}")
    answered = units.things(workers.workers_count, "worker")
    if not workers.tasks:
        return show_text(f"{answered} answered; none is working on anything.")
    rows = [(task.worker, task.name) for task in workers.tasks[:_MOST_LOCKS]]
    return show_table(("Worker", "Task"), rows, caption=f"Running tasks; {answered} answered")


def show_worth(state: WarmingState, view: View) -> Shown:
    """What the last scheduled run was worth: the hit rate just before it and just after it."""
    last = _last_scheduled(state)
    if last is None:
        return show_text("No scheduled run is known, so there is no before and after.")
    window = max(view.policy.warming_interval_seconds / _WORTH_SHARE, _SHORTEST_WINDOW_SECONDS)
    before, after = _around(view, last, window, state.at)
    rows = [
        (name, _hit_rate(fact), _misses(fact)) for name, fact in (("before the run", before), ("after the run", after))
    ]
    caption = f"{units.duration(window)} on either side of the last scheduled run at {units.clock(last)}"
    return show_table(("When", "Hit rate", "Misses"), rows, caption=caption)


def _last_scheduled(state: WarmingState) -> datetime | None:
    if isinstance(state.store, Unreadable):
        return None
    return next((kind.last_run_at for kind in state.store.types if kind.name == "scheduled"), None)


def _around(
    view: View, last: datetime, window: float, now: datetime
) -> tuple[Lookups | Unreadable, Lookups | Unreadable]:
    metrics, after_end = view.sources.metrics, last + timedelta(seconds=window)
    before = attempt(view, "lookups before the run", "prometheus", lambda: metrics.lookups(window, at=last))
    if after_end > now:
        left = units.duration((after_end - now).total_seconds())
        return before, Unreadable(
            "prometheus", "lookups after the run", f"it is too recent: {left} to go", kind=Kind.WRONG
        )
    return before, attempt(view, "lookups after the run", "prometheus", lambda: metrics.lookups(window, at=after_end))


def _hit_rate(lookups: Lookups | Unreadable) -> str:
    return f"not read: {lookups.reason}" if isinstance(lookups, Unreadable) else units.percent(lookups.hit_ratio)


def _misses(lookups: Lookups | Unreadable) -> str:
    return "" if isinstance(lookups, Unreadable) else units.per_second(lookups.overall.miss / lookups.window_seconds)
