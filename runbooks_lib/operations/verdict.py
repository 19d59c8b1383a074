"""The verdict of a notebook that looks and may change something."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from runbooks_lib.actions.outcome import Outcome
from runbooks_lib.actions.registry import command_line
from runbooks_lib.change_verdict import judge_change
from runbooks_lib.judgement.next_steps import next_steps
from runbooks_lib.model import Finding, NextStep, Verdict
from runbooks_lib.presentation.display import Shown, show_outcome, show_text
from runbooks_lib.runbook import Runbook


def judge_operation(
    runbook: Runbook,
    outcomes: Sequence[Outcome],
    *,
    findings: Sequence[Finding],
    headline: str,
    offers: Sequence[NextStep] = (),
) -> Verdict:
    """What was found, what was done or not, and what to do about both.

    Args:
        runbook: the opened runbook.
        outcomes: what came of the change; none when it only looked.
        findings: what was judged beside it.
        headline: said when nothing was asked for but a look.
        offers: further steps, before those that the findings lead to.
    """
    verdict = judge_change(runbook, *outcomes, findings=findings, headline="" if outcomes else headline)
    steps = list(verdict.next_steps)
    tried = {command_line(o.plan.command, o.environment) for o in outcomes if o.plan is not None}
    for step in (*offers, *next_steps(None, findings, runbook.surroundings)):
        # Neither the runbook that is open now is a next step, nor what it has just planned or done.
        is_own = f"runbooks run {runbook.name} " in f"{step.command} " or step.command in tried
        if not is_own and step not in steps:
            steps.append(step)
    return replace(verdict, next_steps=tuple(steps))


def show_outcomes(outcomes: Sequence[Outcome], runbook: Runbook) -> Shown:
    """What was planned, done or refused, without the environment's secrets; says so when nothing was asked for."""
    if not outcomes:
        return show_text("No change was asked for, and nothing was changed.")
    parts = [show_outcome(outcome, secrets=runbook.environment.secrets) for outcome in outcomes]
    return Shown("\n\n".join(part.text for part in parts), "".join(part.html for part in parts))
