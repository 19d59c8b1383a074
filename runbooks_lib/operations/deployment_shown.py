"""What the notebooks of the deployment checklist show beside each item's result."""

from __future__ import annotations

from runbooks_lib import units
from runbooks_lib.facts import Baseline
from runbooks_lib.facts.deployment import BackupProof, RouteProbes, TestRun
from runbooks_lib.facts.metrics_contract import MetricsContract
from runbooks_lib.judgement.deployment.errors import Watch
from runbooks_lib.judgement.deployment.headers import route_problems
from runbooks_lib.judgement.deployment.metrics import metric_findings
from runbooks_lib.model import Unreadable
from runbooks_lib.operations.deployment import ChecklistState, Step
from runbooks_lib.operations.deployment_after import StartupWarming
from runbooks_lib.operations.flags import FlagState, show_flag_state
from runbooks_lib.operations.verdict import show_outcomes
from runbooks_lib.presentation import baseline as day
from runbooks_lib.presentation.checklist import show_result, show_stands
from runbooks_lib.presentation.display import (
    Shown,
    ShownFigure,
    show_block,
    show_evidence,
    show_findings,
    show_table,
    show_text,
)
from runbooks_lib.runbook import Runbook

_HEADERS = ("x-cache", "cache-control", "age", "x-ratelimit-limit", "x-ratelimit-remaining")


def show_checklist(state: ChecklistState) -> Shown:
    """The whole checklist: every item with its evidence, who and when."""
    return show_stands(state.checklist, state.stands, problem=state.problem)


def show_step(step: Step[object], runbook: Runbook) -> Shown:
    """The item's result, and what was planned or done for it."""
    result = show_result(step.result, unkept=step.unkept)
    return _both(result, show_outcomes(step.outcomes, runbook)) if step.outcomes else result


def show_backup(step: Step[BackupProof | Unreadable | None], runbook: Runbook) -> Shown:
    """The backup with its proof, and the plan of a new one where it is not enough."""
    shown = show_step(step, runbook)
    if isinstance(step.fact, BackupProof) and step.fact.evidence:
        return _both(show_evidence(step.fact.evidence, caption=f"Proof of {step.fact.folder}"), shown)
    return shown


def show_flag(step: Step[FlagState], runbook: Runbook) -> Shown:
    """The flags by both accounts, the item's result, and the plan that sets it to 0 %."""
    return _both(show_flag_state(step.fact), show_step(step, runbook))


def show_day(step: Step[Baseline | Unreadable], runbook: Runbook) -> Shown:
    """The day by the hour, and whether enough of it was seen."""
    return _both(day.show_baseline(step.fact), show_step(step, runbook))


def show_day_figure(step: Step[Baseline | Unreadable], runbook: Runbook) -> Shown | ShownFigure:
    """The same as a figure."""
    return day.show_baseline_figure(step.fact, runbook.policy)


def show_tests(step: Step[TestRun | Unreadable | None], runbook: Runbook) -> Shown:
    """The result of the tests, and the last lines that they printed."""
    shown = show_step(step, runbook)
    if not isinstance(step.fact, TestRun) or not step.fact.last_lines:
        return shown
    return _both(shown, show_block("\n".join((step.fact.provenance.query, *step.fact.last_lines))))


def show_metrics(step: Step[MetricsContract | Unreadable], runbook: Runbook) -> Shown:
    """Every metric of the contract, and what is wrong with it."""
    shown = show_step(step, runbook)
    if isinstance(step.fact, Unreadable):
        return shown
    return _both(show_findings(metric_findings(step.fact)), shown)


def show_watch(step: Step[Watch], runbook: Runbook) -> Shown:
    """How much of the hour has passed and was observed, and its errors beside those of the day before."""
    watch = step.fact
    if watch.deployed_at is None or watch.requests is None or isinstance(watch.requests, Unreadable):
        return show_step(step, runbook)
    observed = "not read" if isinstance(watch.observed_ratio, Unreadable) else units.percent(watch.observed_ratio)
    rows = (
        ("deployed", units.timestamp(watch.deployed_at)),
        ("passed", f"{units.duration(watch.passed_seconds)} of {units.duration(watch.hour_seconds)}"),
        ("observed of that", observed),
        ("requests", units.count(watch.requests.total)),
        ("errors (5xx)", units.count(watch.requests.errors)),
        ("latency p95", units.seconds(watch.requests.p95_seconds)),
    )
    return _both(
        show_table(("What", "Measured"), rows, caption="The hour after the deployment"), show_step(step, runbook)
    )


def show_startup_warming(step: Step[StartupWarming], runbook: Runbook) -> Shown:
    """Startup runs since the deployment, by the metrics and by Redis."""
    activity, store = step.fact.activity, step.fact.store
    rows = []
    if isinstance(activity, Unreadable):
        rows.append(("metrics", f"not read: {activity.reason}"))
    else:
        tasks = activity.tasks.get("startup", {})
        counts = ", ".join(f"{count:.0f} {status}" for status, count in tasks.items() if count) or "none"
        mean = units.seconds(activity.mean_duration_seconds.get("startup"))
        rows.append(("startup runs, by the metrics", f"{counts}, mean {mean}"))
    if isinstance(store, Unreadable):
        rows.append(("cache_warming_stats", f"not read: {store.reason}"))
    else:
        last = next((kind.last_run_at for kind in store.types if kind.name == "startup"), None)
        rows.append(("last startup run, by Redis", units.timestamp(last)))
        rows.append(("locks held now", ", ".join(lock.name for lock in store.locks[:3]) or "none"))
    return _both(show_table(("What", "Measured"), rows, caption="Startup warming"), show_step(step, runbook))


def show_routes(step: Step[RouteProbes], runbook: Runbook) -> Shown:
    """The headers of each route's second answer."""
    probes = step.fact
    if not probes.second:
        return _both(show_text(f"Routes: {probes.chosen}."), show_step(step, runbook))
    rows = [
        (
            probe.path,
            str(probe.http_status),
            *(probe.headers.get(name, "") for name in _HEADERS),
            "; ".join(route_problems(probe)) or "none",
        )
        for probe in probes.second
    ]
    columns = ("Route", "Status", "X-Cache", "Cache-Control", "Age", "Limit", "Remaining", "Problems")
    return _both(show_table(columns, rows, caption=f"Routes, {probes.chosen}"), show_step(step, runbook))


def _both(one: Shown, other: Shown) -> Shown:
    return Shown(f"{one.text}\n\n{other.text}", f"{one.html}{other.html}")
