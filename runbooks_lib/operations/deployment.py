"""What the notebooks of the deployment checklist share: the checklist itself, what a step found, and the verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from runbooks_lib import units
from runbooks_lib.actions.outcome import Outcome, Result
from runbooks_lib.change_verdict import headline_of, judge_change
from runbooks_lib.checklist import NOTEBOOKS, Checklist, ItemStatus, Phase, item_of, release_named
from runbooks_lib.errors import RecordError
from runbooks_lib.judgement.deployment.result import ItemResult
from runbooks_lib.judgement.deployment.standing import (
    Stand,
    command_for,
    counts_text,
    next_phase,
    parameters_of,
    phase_findings,
    phase_status,
    standing,
    waive_command,
)
from runbooks_lib.judgement.next_steps import run_command
from runbooks_lib.model import Finding, NextStep, Status, Verdict, worst
from runbooks_lib.records.checklists import Checklists, Who
from runbooks_lib.redaction import redact
from runbooks_lib.runbook import Runbook

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Step(Generic[T_co]):
    """What one section of a notebook found about its item.

    Attributes:
        result: judged.
        fact: what it was judged on.
        outcomes: of a change that was planned or made for it.
        unkept: why it is not in the checklist; empty when it is.
    """

    result: ItemResult
    fact: T_co
    outcomes: tuple[Outcome, ...] = ()
    unkept: str = ""


@dataclass(frozen=True, slots=True)
class ChecklistState:
    """The checklist at one moment.

    Attributes:
        checklist: everything that the ledger has.
        stands: how each item stands.
        problem: why the ledger could not be read; empty when it could.
    """

    checklist: Checklist
    stands: tuple[Stand, ...]
    problem: str = ""


def read_checklist(runbook: Runbook) -> ChecklistState:
    """How does the checklist of this release stand?

    Returns:
        The state; a ledger that cannot be read is a problem that is told.

    Raises:
        UsageError: the notebook was given no release, or what can be no release's name.
    """
    release, environment = release_of(runbook), runbook.environment
    problem = ""
    try:
        checklist = checklists_of(runbook).read(release)
    except RecordError as error:
        checklist, problem = Checklist(environment.name, release), error.message
    stands = standing(checklist, now=units.now(), time_scale=environment.time_scale)
    return ChecklistState(checklist, stands, problem)


def release_of(runbook: Runbook) -> str:
    """The release that the notebook was given.

    Raises:
        UsageError: it was given none, or what can be no release's name.
    """
    return release_named(str(runbook.parameters.get("release", "")))


def checklists_of(runbook: Runbook) -> Checklists:
    """The checklists of the runbook's environment."""
    return Checklists(runbook.run.ledger, runbook.environment.name, runbook.environment.secrets)


def who_of(runbook: Runbook) -> Who:
    """Who writes into the checklist."""
    return Who(runbook.run.operator, runbook.run.id)


def keep(runbook: Runbook, result: ItemResult, fact: T, outcomes: tuple[Outcome, ...] = ()) -> Step[T]:
    """Write a result into the checklist at once, so that a run that dies later has kept it."""
    # What a site answered may hold a secret; in a live cell it is shown as little as the record keeps it.
    secrets = runbook.environment.secrets
    shown = replace(result, text=redact(result.text, secrets), hint=redact(result.hint, secrets))
    try:
        checklists_of(runbook).measured(
            release_of(runbook),
            result.item,
            status=result.status,
            text=result.text,
            who=who_of(runbook),
            values=result.values,
        )
    except RecordError as error:
        return Step(shown, fact, outcomes, error.message)
    return Step(shown, fact, outcomes)


def judge_phase(runbook: Runbook, *steps: Step[object]) -> Verdict:
    """Is this phase done, what is still open in it, and what comes next?

    OK only when every item of the phase is done; waived and old items are WARN.

    Args:
        runbook: the opened runbook; its name says which phase.
        steps: what its sections found.
    """
    state, phase = read_checklist(runbook), _phase_of(runbook)
    outcomes = [outcome for step in steps for outcome in step.outcomes]
    findings = _findings(state, phase, steps)
    verdict = judge_change(runbook, *outcomes, findings=findings, headline=_headline(state, phase, steps, outcomes))
    offered = (_named(step, outcomes) for step in verdict.next_steps)
    return replace(verdict, next_steps=(*offered, *_steps_to_take(runbook, state, phase, steps)))


def _named(step: NextStep, outcomes: Sequence[Outcome]) -> NextStep:
    """A step that confirms one of several plans says which."""
    for outcome in outcomes:
        if outcome.plan is not None and step.command and outcome.plan.digest in step.command.split("confirm=")[-1]:
            return replace(step, text=f"{step.text}: {outcome.plan.title}")
    return step


def _findings(state: ChecklistState, phase: Phase, steps: Sequence[Step[object]]) -> tuple[Finding, ...]:
    """Of the checklist; of the steps alone where the ledger does not answer."""
    unkept = state.problem or next((step.unkept for step in steps if step.unkept), "")
    if not unkept:
        return phase_findings(state.stands, phase)
    hint = "what was found is in this run's report only; see why the ledger does not answer, then execute this again"
    kept = Finding("checklist.kept", "checklist", Status.UNKNOWN, f"not in the ledger: {unkept}", hint=hint)
    words = {
        ItemStatus.DONE: Status.OK,
        ItemStatus.FAILED: Status.FAIL,
        ItemStatus.OPEN: Status.WARN,
        ItemStatus.UNKNOWN: Status.UNKNOWN,
    }
    found = (
        Finding(f"checklist.{r.item}", r.item, words[r.status], f"{r.status.value}: {r.text}", item_of(r.item).title)
        for r in (step.result for step in steps)
    )
    return (kept, *found)


def _headline(state: ChecklistState, phase: Phase, steps: Sequence[Step[object]], outcomes: Sequence[Outcome]) -> str:
    own = [stand for stand in state.stands if stand.item.phase is phase]
    left = [f"{stand.item.id} {stand.word}" for stand in own if stand.word != "done"]
    parts = [f"{phase.value} of {state.checklist.release}: {counts_text(own)}"]
    if state.problem or any(step.unkept for step in steps):
        parts = [f"{phase.value} of {state.checklist.release}: the checklist could not be kept"]
    elif left:
        parts.append(f"left: {', '.join(left)}")
    if any(outcome.result is not Result.PLANNED for outcome in outcomes):
        parts.append(headline_of(outcomes))
    return "; ".join(parts)


def _steps_to_take(
    runbook: Runbook, state: ChecklistState, phase: Phase, steps: Sequence[Step[object]]
) -> tuple[NextStep, ...]:
    """What each step asks for, a person's items, then this notebook again or the next one."""
    release, around = state.checklist.release, runbook.surroundings
    found = [
        NextStep(f"{step.result.item}: {step.result.hint}", _waiving(step.result, release, around.environment))
        for step in steps
        if step.result.hint and step.result.status is not ItemStatus.DONE and not _is_planned(step)
    ]
    own = [stand for stand in state.stands if stand.item.phase is phase]
    signatures = [command_for(stand, release, around) for stand in own if not stand.item.measured]
    found += [step for step in signatures if step is not None]
    measured = worst([Status.OK, *(_as_status(stand) for stand in own if stand.item.measured)])
    following = next_phase(phase)
    if measured is not Status.OK:
        text = "When that is done, execute this again; what is done is remembered"
        found.append(NextStep(text, run_command(runbook.name, around.environment, {"release": release})))
    elif following is not None and phase_status(own, phase) is Status.OK and NOTEBOOKS[following] in around.runbooks:
        command = run_command(NOTEBOOKS[following], around.environment, parameters_of(following, release))
        found.append(NextStep(f"Go on with: {following.value}", command))
    whole = f"runbooks checklist {release} --environment {around.environment}"
    return (*found, NextStep("The whole checklist, with everything that is still open", whole))


def _waiving(result: ItemResult, release: str, environment: str) -> str:
    """The command for a hint that speaks of going on without the item; empty for every other one."""
    return waive_command(result.item, release, environment) if "waive" in result.hint else ""


def _is_planned(step: Step[object]) -> bool:
    """What is to be done is planned, and the command that confirms it stands among the steps."""
    plans = [outcome.plan for outcome in step.outcomes if outcome.result is Result.PLANNED]
    return any(plan is not None and not plan.failed_guards for plan in plans)


def _as_status(stand: Stand) -> Status:
    return Status.OK if stand.status is ItemStatus.DONE or stand.is_waived else Status.WARN


def _phase_of(runbook: Runbook) -> Phase:
    return next(phase for phase, name in NOTEBOOKS.items() if name == runbook.name)
