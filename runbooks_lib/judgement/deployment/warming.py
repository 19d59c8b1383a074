"""After a deployment: did startup warming run, and how long did it take?"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from runbooks_lib import units
from runbooks_lib.checklist import ItemStatus
from runbooks_lib.facts import Warming, WarmingActivity, WarmingType
from runbooks_lib.judgement.deployment.result import ItemResult, not_known
from runbooks_lib.model import Unreadable
from runbooks_lib.policy import Policy

WARMING = "post.warming"
#: Guide, Startup Warming: "Duration: ~3-5 minutes". Measured time, never scaled.
STARTUP_SECONDS = 300.0


def judge_startup_warming(
    activity: WarmingActivity | Unreadable,
    store: Warming | Unreadable,
    policy: Policy,
    *,
    deployed_at: datetime | None,
    now: datetime,
) -> ItemResult:
    """Did startup warming run after the deployment, and how long did it take?

    The guide wants warming tasks under 60 s (critical: 120 s), and says that startup warming takes 3 to 5 minutes:
    up to five minutes are done, and what is beyond the other two is said.

    Args:
        activity: since the deployment, from the metrics.
        store: statistics and locks, from Redis.
        policy: gives the guide's 60 s and 120 s.
        deployed_at: aware UTC; None where nobody said when it was.
        now: aware UTC.
    """
    if deployed_at is None:
        hint = "sign off deploy.staging, or say how long ago it was: -p deployed=90m"
        return ItemResult(WARMING, ItemStatus.OPEN, "nobody said when it was deployed", hint=hint)
    ran = _ran(activity, store, deployed_at)
    if ran.failed_count and not ran.succeeded_count:
        text = f"{units.exactly(ran.failed_count, 'startup run')} failed, none succeeded"
        return ItemResult(WARMING, ItemStatus.FAILED, text, ran.values, "read the log of the task worker")
    if not ran.is_after and not ran.succeeded_count:
        return _not_run(activity, store, (now - deployed_at).total_seconds(), ran.values)
    if ran.mean_seconds is None or ran.over_seconds is None:
        return _by_statistics(ran)
    return _took(ran, ran.mean_seconds, ran.over_seconds, policy)


@dataclass(frozen=True, slots=True)
class _Ran:
    """What is known of startup warming since the deployment."""

    ended_at: datetime | None
    is_after: bool
    succeeded_count: int
    failed_count: int
    mean_seconds: float | None
    over_seconds: float | None
    all_seconds: float | None

    @property
    def values(self) -> dict[str, object]:
        """For the ledger."""
        return {
            "last_run_at": None if self.ended_at is None else units.timestamp(self.ended_at),
            "succeeded": self.succeeded_count,
            "failed": self.failed_count,
            "mean_seconds": None if self.mean_seconds is None else round(self.mean_seconds, 2),
            "slowest_over_seconds": self.over_seconds,
            "all_runs_seconds": self.all_seconds,
        }


def _ran(activity: WarmingActivity | Unreadable, store: Warming | Unreadable, deployed_at: datetime) -> _Ran:
    kind = _startup(store)
    ended_at, seconds = (None, None) if kind is None else (kind.last_run_at, kind.duration_seconds)
    after = ended_at is not None and ended_at >= deployed_at
    if isinstance(activity, Unreadable):
        return _Ran(ended_at, after, 0, 0, None, None, seconds)
    tasks = activity.tasks.get("startup", {})
    mean, over = activity.mean_duration_seconds.get("startup"), activity.slowest_over_seconds.get("startup")
    # increase() extrapolates: one run may arrive as 0.98.
    succeeded, failed = round(tasks.get("success", 0.0)), round(tasks.get("error", 0.0))
    return _Ran(ended_at, after, succeeded, failed, mean, over, seconds)


def _by_statistics(ran: _Ran) -> ItemResult:
    """The metrics do not have it (a worker that is not scraped); no run is longer than all of them together."""
    if ran.is_after and ran.all_seconds is not None and 0 < ran.all_seconds <= STARTUP_SECONDS:
        text = f"startup warming took at most {units.seconds(ran.all_seconds)}: all its runs in cache_warming_stats"
        return ItemResult(WARMING, ItemStatus.DONE, text, ran.values)
    ended = f"startup warming ended {units.timestamp(ran.ended_at)}" if ran.is_after else "startup warming ran"
    hint = "does Prometheus scrape the task worker, and does it export cache_warming_duration_seconds?"
    return ItemResult(WARMING, ItemStatus.UNKNOWN, f"{ended}; how long it took is not known", ran.values, hint)


def _took(ran: _Ran, mean: float, over: float, policy: Policy) -> ItemResult:
    lost = f", {units.exactly(ran.failed_count, 'run')} failed" if ran.failed_count else ""
    slowest = f"the slowest over {units.seconds(over)}" if over else "the slowest under 1 s"
    text = f"startup warming took {units.seconds(mean)} on average, {slowest}{lost}"
    if mean > STARTUP_SECONDS or over >= STARTUP_SECONDS:
        hint = "the guide says 3 to 5 minutes: look at the database, then warm less: runbooks run cache_warming"
        text = f"{text}: over {units.duration(STARTUP_SECONDS)}"
        return ItemResult(WARMING, ItemStatus.FAILED, text, ran.values, hint)
    for limit, word in ((policy.warming_task.fail, "critical"), (policy.warming_task.warn, "warning")):
        if over >= limit:
            said = f"{word} for other warming over {units.seconds(limit)}, within 3 to 5 minutes for startup"
            return ItemResult(WARMING, ItemStatus.DONE, f"{text}; {said} (guide)", ran.values)
    return ItemResult(WARMING, ItemStatus.DONE, text, ran.values)


def _not_run(
    activity: WarmingActivity | Unreadable, store: Warming | Unreadable, passed: float, values: dict[str, object]
) -> ItemResult:
    for fact in (activity, store):
        if isinstance(fact, Unreadable):
            return not_known(WARMING, fact)
    locks = () if isinstance(store, Unreadable) else store.locks
    running = [lock.name for lock in locks if lock.name.startswith("cache_warming_lock:startup:")]
    if running or passed < STARTUP_SECONDS:
        doing = f"is running ({running[0]})" if running else f"has not ended yet, {units.duration(passed)} after"
        hint = f"come back in {units.duration(STARTUP_SECONDS)}"
        return ItemResult(WARMING, ItemStatus.OPEN, f"startup warming {doing}", values, hint)
    text = f"startup warming did not run in the {units.duration(passed)} since the deployment"
    hint = "is CACHE_WARMING on, does a lock block it? See: runbooks run cache_warming"
    return ItemResult(WARMING, ItemStatus.FAILED, text, values, hint)


def _startup(store: Warming | Unreadable) -> WarmingType | None:
    if isinstance(store, Unreadable):
        return None
    return next((kind for kind in store.types if kind.name == "startup"), None)
