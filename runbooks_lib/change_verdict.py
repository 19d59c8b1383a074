"""The verdict of a runbook that changes something: what was done or not, and what to do about it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from runbooks_lib import catalog, units
from runbooks_lib.actions.outcome import Outcome, Result
from runbooks_lib.actions.registry import command_line
from runbooks_lib.errors import UsageError
from runbooks_lib.model import Finding, NextStep, Status, Verdict, worst
from runbooks_lib.presentation.plans import approve_line
from runbooks_lib.runbook import Runbook
from runbooks_lib.unconfirmed import check_line, with_unconfirmed

_STATUS = {
    Result.PLANNED: Status.OK,
    Result.UNCHANGED: Status.OK,
    Result.APPLIED: Status.OK,
    Result.STOPPED: Status.WARN,
    Result.REFUSED: Status.FAIL,
    Result.UNREAD: Status.UNKNOWN,
    Result.MAY_HAVE_CHANGED: Status.FAIL,
}
#: In the order in which a headline names them: what must be looked at first comes first.
_WORDS = {
    Result.MAY_HAVE_CHANGED: "something may have changed",
    Result.REFUSED: "refused",
    Result.UNREAD: "could not be planned",
    Result.STOPPED: "stopped before its end",
    Result.APPLIED: "applied",
    Result.UNCHANGED: "was so already",
    Result.PLANNED: "planned",
}
#: These two are for the operator to fill in.
REASON_TEXT = "WHY"


def judge_change(runbook: Runbook, *outcomes: Outcome, findings: Sequence[Finding] = (), headline: str = "") -> Verdict:
    """What was done or not, and what to do about it: confirm, check, undo, go on.

    Applied, unchanged and planned are OK. A plan that would be refused, or a change that was stopped before its end, is
    WARN; refused, or may have changed, is FAIL; what could not be planned is UNKNOWN.

    Args:
        runbook: the opened runbook; its parameters are filled into the commands.
        outcomes: in the order in which they came about.
        findings: what else was judged.
        headline: instead of the one that is made from the outcomes.
    """
    judged = (*(finding_of(outcome) for outcome in outcomes), *findings)
    verdict = Verdict(
        runbook=runbook.name,
        environment=runbook.environment.name,
        at=units.now(),
        status=worst(finding.status for finding in judged),
        headline=headline or headline_of(outcomes),
        findings=judged,
        next_steps=tuple(step for outcome in outcomes for step in steps_after(outcome, confirm_line(runbook, outcome))),
        time_scale=runbook.environment.time_scale,
        protected=runbook.environment.protected,
    )
    return with_unconfirmed(verdict, runbook.unconfirmed)


def finding_of(outcome: Outcome) -> Finding:
    """An outcome as a finding: what came of it, with its account."""
    plan = outcome.plan
    refusable = outcome.result is Result.PLANNED and plan is not None and bool(plan.failed_guards)
    shown = "planned, would be refused" if refusable else _WORDS[outcome.result]
    return Finding(
        id=f"change.{outcome.action}",
        title=outcome.action.replace("_", " "),
        status=Status.WARN if refusable else _STATUS[outcome.result],
        shown=f"{shown}: {plan.title}" if plan else shown,
        detail=outcome.detail,
        evidence=outcome.account or (plan.before if plan else ()),
        hint=outcome.hint,
    )


def headline_of(outcomes: Sequence[Outcome]) -> str:
    """What was done and what was not, what must be looked at first: ``applied: set X to 25 %``."""
    parts = []
    for result, words in _WORDS.items():
        titles = [o.plan.title if o.plan else o.action for o in outcomes if o.result is result]
        if titles:
            parts.append(f"{words}: {'; '.join(titles)}")
    if all(outcome.changed is False for outcome in outcomes):
        parts.insert(0, "nothing was changed")
    return ", ".join(parts)


def steps_after(outcome: Outcome, confirm: str) -> tuple[NextStep, ...]:
    """What to do after an outcome, in order.

    Args:
        outcome: what came of the action.
        confirm: the command that confirms it, where it is a plan.
    """
    if outcome.result is Result.MAY_HAVE_CHANGED:
        return (*_check(outcome), *_undo(outcome, "Put it back"))
    if outcome.result is Result.PLANNED:
        return _after_plan(outcome, confirm)
    if outcome.result in (Result.APPLIED, Result.STOPPED):
        offers = outcome.plan.offers if outcome.plan else ()
        return (*offers, *_undo(outcome, "To put it back as it was (plans first)"))
    return (NextStep(f"{outcome.action}: {outcome.hint}"),) if outcome.hint else ()


def confirm_line(runbook: Runbook, outcome: Outcome) -> str:
    """The command that applies what was planned: this runbook again, where it takes ``confirm``; else the action."""
    plan = outcome.plan
    if plan is None:
        return ""
    try:
        declared = catalog.find(runbook.configuration.root, runbook.name).parameters
    except UsageError:
        declared = ()
    names = {parameter.name: parameter.default for parameter in declared}
    reason = {"reason": outcome.reason or REASON_TEXT} if plan.protected else {}
    if "confirm" not in names:
        words = ["--reason", reason["reason"]] if reason else []
        return " ".join([command_line(plan.command, plan.environment, confirm=plan.digest), shlex.join(words)]).strip()
    given: dict[str, Any] = {**runbook.run.record["parameters"], **runbook.parameters}
    changed = {name: value for name, value in given.items() if name in names and value != names[name]}
    changed |= {"confirm": plan.digest, **(reason if "reason" in names else {})}
    changed.pop("environment", None)
    return _run_line(runbook.name, plan.environment, changed)


def _run_line(name: str, environment: str, parameters: Mapping[str, Any]) -> str:
    words = ["runbooks", "run", name, "--environment", environment]
    for key, value in parameters.items():
        words += ["-p", f"{key}={value if isinstance(value, str) else json.dumps(value)}"]
    return shlex.join(words)


def _after_plan(outcome: Outcome, confirm: str) -> tuple[NextStep, ...]:
    plan = outcome.plan
    if plan is None or plan.no_op:
        return ()
    if plan.failed_guards:
        return tuple(
            NextStep(f"{guard.name} does not hold: {guard.hint or guard.detail}") for guard in plan.failed_guards
        )
    needed = any("approval" in need for need in outcome.needs)
    first = (NextStep("Somebody other than you approves exactly this plan", approve_line(plan)),) if needed else ()
    return (*first, NextStep("Apply it (changes the site)", confirm))


def _check(outcome: Outcome) -> tuple[NextStep, ...]:
    if not outcome.action_id:
        return ()
    return (NextStep("See what it is now, and settle it", check_line(outcome.action_id, outcome.environment)),)


def _undo(outcome: Outcome, text: str) -> tuple[NextStep, ...]:
    return (NextStep(text, command_line(outcome.undo, outcome.environment)),) if outcome.undo else ()
