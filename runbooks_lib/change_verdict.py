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
    Result.OTHERWISE: Status.FAIL,
}
#: In the order in which a headline names them: what must be looked at first comes first.
_WORDS = {
    Result.MAY_HAVE_CHANGED: "something may have changed",
    Result.OTHERWISE: "ended otherwise than planned",
    Result.REFUSED: "refused",
    Result.UNREAD: "could not be planned",
    Result.STOPPED: "stopped before its end",
    Result.APPLIED: "applied",
    Result.UNCHANGED: "was so already",
    Result.PLANNED: "planned",
}
_SO_ALREADY = "is so already"
#: For the operator to fill in.
REASON_TEXT = "WHY"


def judge_change(runbook: Runbook, *outcomes: Outcome, findings: Sequence[Finding] = (), headline: str = "") -> Verdict:
    """What was done or not, and what to do about it: confirm, check, undo, go on.

    Applied, unchanged and planned are OK. A plan that would be refused, or a change that was stopped before its end, is
    WARN; refused, or may have changed, is FAIL; what could not be planned is UNKNOWN.

    Args:
        runbook: the opened runbook; its parameters are filled into the commands.
        outcomes: in the order in which they came about.
        findings: what else was judged.
        headline: instead of the one that is made from the outcomes and the worst of the findings.
    """
    judged = (*(finding_of(outcome) for outcome in outcomes), *findings)
    verdict = Verdict(
        runbook=runbook.name,
        environment=runbook.environment.name,
        at=units.now(),
        status=worst(finding.status for finding in judged),
        headline=headline or "; ".join(part for part in (headline_of(outcomes), _others(findings)) if part),
        findings=judged,
        next_steps=tuple(step for outcome in outcomes for step in steps_after(outcome, confirm_line(runbook, outcome))),
        time_scale=runbook.environment.time_scale,
        protected=runbook.environment.protected,
    )
    return with_unconfirmed(verdict, runbook.unconfirmed)


def finding_of(outcome: Outcome) -> Finding:
    """An outcome as a finding: what came of it. Its account stands where the change is shown."""
    plan = outcome.plan
    refusable = outcome.result is Result.PLANNED and plan is not None and not plan.no_op and bool(plan.failed_guards)
    shown = "planned, would be refused" if refusable else _words(outcome)
    return Finding(
        id=f"change.{outcome.action}",
        title=outcome.action.replace("_", " "),
        status=Status.WARN if refusable else _STATUS[outcome.result],
        shown=f"{shown}: {plan.title}" if plan else shown,
        detail=outcome.detail,
        hint=outcome.hint,
    )


def headline_of(outcomes: Sequence[Outcome]) -> str:
    """What was done and what was not, what must be looked at first: ``applied: set X to 25 %``."""
    parts = []
    for words in (*_WORDS.values(), _SO_ALREADY):
        titles = [o.plan.title if o.plan else o.action for o in outcomes if _words(o) == words]
        if titles:
            parts.append(f"{words}: {'; '.join(titles)}")
    if all(outcome.changed is False and _words(outcome) != _SO_ALREADY for outcome in outcomes):
        parts.insert(0, "nothing was changed")
    return ", ".join(parts)


def _words(outcome: Outcome) -> str:
    """What came of it, in the words of a headline."""
    is_so = outcome.result is Result.PLANNED and outcome.plan is not None and outcome.plan.no_op
    return _SO_ALREADY if is_so else _WORDS[outcome.result]


def _others(findings: Sequence[Finding]) -> str:
    """What is wrong beside the change: ``WARN hit rate 75.1 %``; empty when nothing is."""
    bad = [finding for finding in findings if finding.status in (Status.WARN, Status.FAIL)]
    bad.sort(key=lambda finding: -finding.status.rank)
    more = f" and {len(bad) - 1} more" if len(bad) > 1 else ""
    return f"{bad[0].status.value} {bad[0].title} {bad[0].shown}{more}" if bad else ""


def steps_after(outcome: Outcome, confirm: str) -> tuple[NextStep, ...]:
    """What to do after an outcome, in order.

    Args:
        outcome: what came of the action.
        confirm: the command that confirms it, where it is a plan.
    """
    if outcome.result is Result.MAY_HAVE_CHANGED:
        return (*_check(outcome), *_undo(outcome, "Put it back"))
    if outcome.result is Result.OTHERWISE:
        left = (NextStep(outcome.hint),) if outcome.hint else ()
        return (*left, *_undo(outcome, "Or put it back as it was (plans first)"))
    if outcome.result is Result.PLANNED:
        return _after_plan(outcome, confirm)
    if outcome.result in (Result.APPLIED, Result.STOPPED):
        offers = outcome.offers or (outcome.plan.offers if outcome.plan else ())
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
