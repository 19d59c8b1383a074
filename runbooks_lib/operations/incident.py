"""The guide's response to a severity: measured first, then recorded, answered, told and summed up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from runbooks_lib import units
from runbooks_lib.actions.outcome import Outcome, Result
from runbooks_lib.actions.plan import Command
from runbooks_lib.change_verdict import judge_change
from runbooks_lib.errors import RecordError, RunbookError
from runbooks_lib.facts import Entry, Incident
from runbooks_lib.judgement.incident import RESPONSES, message_text, steps_to_take, summary_text
from runbooks_lib.judgement.next_steps import run_command
from runbooks_lib.judgement.triage import judge_triage
from runbooks_lib.model import Finding, NextStep, Status, Verdict
from runbooks_lib.presentation.display import Shown, show_block, show_steps, show_table, show_text
from runbooks_lib.records.incidents import NOTED, Incidents
from runbooks_lib.runbook import Runbook
from runbooks_lib.triage import read_triage
from runbooks_lib.view import View

_FALL_BACK = Command("fall_back_to_page_cache")
_MOST_ENTRIES = 60


@dataclass(frozen=True, slots=True)
class IncidentState:
    """How bad it is.

    Attributes:
        verdict: triage's, measured a moment ago.
        severity: the one to respond to: the operator's, else triage's; None when there is none.
    """

    verdict: Verdict
    severity: int | None


@dataclass(frozen=True, slots=True)
class IncidentRecord:
    """What the ledger has of it.

    Attributes:
        incident: the one that is open, or that was closed just now; None where there is none.
        timeline: what happened since it was opened.
        done: what this run wrote, in words; empty when it wrote nothing.
        problem: why it could not be written or read; empty when all is well.
        hint: what to do about that.
        step: that was asked for.
    """

    incident: Incident | None = None
    timeline: tuple[Entry, ...] = ()
    done: str = ""
    problem: str = ""
    hint: str = ""
    step: str = ""


@dataclass(frozen=True, slots=True)
class _Asked:
    """The notebook's parameters about the incident."""

    step: str
    title: str
    note: str


def read_incident(view: View, severity: str) -> IncidentState:
    """How bad is it? By triage's rules and within its deadline; a severity that is given is taken.

    Args:
        view: of the environment.
        severity: ``auto``, ``1``, ``2`` or ``3``.
    """
    situation = read_triage(view.sources, view.policy)
    verdict = judge_triage(situation, view.policy, view.surroundings, protected=view.environment.protected)
    return IncidentState(verdict, verdict.severity if severity == "auto" else int(severity))


def record_step(runbook: Runbook, state: IncidentState, step: str, *, title: str, note: str) -> IncidentRecord:
    """Write into the ledger what the step asks for; doing so twice writes it once.

    Args:
        runbook: the opened runbook.
        state: as measured.
        step: ``look``, ``open``, ``respond``, ``note`` or ``close``.
        title: of a new incident; ``auto`` takes the one that is open, else names it after the worst finding.
        note: the sentence to add, or the summary to close with.

    Returns:
        The record. A ledger that cannot be written is a problem that is told, and keeps nobody from responding.
    """
    incidents = Incidents(runbook.run.ledger, runbook.environment.secrets)
    try:
        return replace(_stepped(runbook, state, _Asked(step, title, note), incidents), step=step)
    except RunbookError as error:
        what = "the ledger does not answer" if isinstance(error, RecordError) else f"step {step} was refused"
        return IncidentRecord(problem=f"{what}: {error.message}", hint=error.hint, step=step)


def with_timeline(runbook: Runbook, record: IncidentRecord) -> IncidentRecord:
    """The record with everything that has happened by now, what this run changed included."""
    if record.incident is None:
        return record
    try:
        incidents = Incidents(runbook.run.ledger, runbook.environment.secrets)
        return replace(record, timeline=incidents.timeline(record.incident))
    except RecordError as error:
        return replace(record, problem=error.message, hint=error.hint)


def _stepped(runbook: Runbook, state: IncidentState, asked: _Asked, incidents: Incidents) -> IncidentRecord:
    found = _current(incidents, runbook.environment.name, asked.title)
    if asked.step in ("open", "respond"):
        return _opened(runbook, state, asked, incidents, found)
    if asked.step == "look":
        return IncidentRecord(found)
    if found is None:
        undone = {"close": "nothing was closed", "note": "nothing was noted"}.get(asked.step, "nothing was done")
        return IncidentRecord(problem=f"{undone}: no incident is open here", hint="open one with step=open")
    who = {"run_id": runbook.run.id, "operator": runbook.run.operator}
    if asked.step == "close":
        closed = incidents.close(found, asked.note or state.verdict.headline, **who)
        return IncidentRecord(closed, done=f"closed {closed.id}")
    if _noted_already(incidents.timeline(found), asked.note, runbook.run.operator):
        return IncidentRecord(found, done="the note stands there already")
    incidents.note(found, asked.note, **who)
    return IncidentRecord(found, done="noted")


def _opened(
    runbook: Runbook, state: IncidentState, asked: _Asked, incidents: Incidents, found: Incident | None
) -> IncidentRecord:
    """Opened, or the one that is open; a second execution opens no second one."""
    if state.severity is None:
        problem = f"triage finds no severity, so there is nothing to {asked.step}"
        return IncidentRecord(found, problem=problem, hint="you know better? give severity=1, 2 or 3")
    title = asked.title
    if title == "auto":
        title = found.title if found else _title(state)
    run, environment = runbook.run, runbook.environment.name
    opened = incidents.open(environment, state.severity, title, run_id=run.id, operator=run.operator)
    return IncidentRecord(opened, done="" if found and found.id == opened.id else f"opened {opened.id}")


def _current(incidents: Incidents, environment: str, title: str) -> Incident | None:
    """The newest incident that is open here, or the open one with that title."""
    titled = [
        one for one in incidents.open_ones(environment) if title == "auto" or one.title.casefold() == title.casefold()
    ]
    return titled[-1] if titled else None


def _title(state: IncidentState) -> str:
    """Without numbers, so that a second look does not make a second incident."""
    bad = sorted(state.verdict.findings, key=lambda finding: -finding.status.rank)
    worst = next((finding for finding in bad if finding.status in (Status.FAIL, Status.WARN)), None)
    if worst is not None and worst.id in ("redis.server", "site.health"):
        return "cache down" if state.severity == 1 else "cache degraded"
    return state.verdict.rule or "opened by hand" if worst is None else worst.title


def _noted_already(timeline: Sequence[Entry], note: str, operator: str) -> bool:
    wanted = " ".join(note.split())
    return any(
        entry.kind == NOTED and entry.operator == operator and bool(wanted) and wanted in entry.text
        for entry in timeline
    )


def choose_response(state: IncidentState, step: str) -> Command | None:
    """What the guide changes at once: at severity 1 the flags, else nothing."""
    return _FALL_BACK if step == "respond" and state.severity == 1 else None


def show_guide_steps(runbook: Runbook, state: IncidentState) -> Shown:
    """What the guide and this project want done, in order, with addresses and commands."""
    if state.severity is None:
        return show_text("There is no severity, so the guide asks for nothing. Close what is open, with step=close.")
    response = RESPONSES[state.severity]
    measured = "" if state.verdict.severity == state.severity else f" Triage measures {_measured(state)}."
    first = show_text(f"Severity {response.severity} ({response.name}): {response.when}.{measured}")
    steps = show_steps(_steps(runbook, state.severity))
    return Shown(f"{first.text}\n{steps.text}", f"{first.html}{steps.html}")


def _measured(state: IncidentState) -> str:
    return "no severity" if state.verdict.severity is None else f"severity {state.verdict.severity}"


def _steps(runbook: Runbook, severity: int) -> tuple[NextStep, ...]:
    around = runbook.surroundings
    return steps_to_take(severity, around.environment, around.contacts, tuple(around.runbooks))


def show_message(runbook: Runbook, state: IncidentState, record: IncidentRecord) -> Shown:
    """The message to paste, and to whom."""
    incident = record.incident or _provisional(runbook, state)
    if incident is None:
        return show_text("There is nothing to tell: no severity and no open incident.")
    contacts = runbook.configuration.contacts
    role = {1: "on_call", 2: "on_call"}.get(incident.severity, "cache_team")
    to = show_text(f"To {contacts.get(role, f'nobody: [contacts] names no {role}')}:")
    text = message_text(incident, contacts, now=units.now(), finding=state.verdict.headline)
    block = show_block(text)
    return Shown(f"{to.text}\n{block.text}", f"{to.html}{block.html}")


def _provisional(runbook: Runbook, state: IncidentState) -> Incident | None:
    """What an incident would say if it were opened now."""
    if state.severity is None:
        return None
    began = state.verdict.since or state.verdict.at
    environment, operator = runbook.environment.name, runbook.run.operator
    return Incident("not opened yet", environment, state.severity, _title(state), began, operator, 0)


def show_timeline(record: IncidentRecord) -> Shown:
    """What happened since the incident was opened, in words."""
    if record.incident is None:
        return show_text(record.problem or "No incident is open here, so there is no timeline.")
    shown = [entry for entry in record.timeline if entry.matters]
    rows = [(units.timestamp(entry.at), entry.operator, entry.text) for entry in shown[-_MOST_ENTRIES:]]
    looks = len(record.timeline) - len(shown)
    caption = f"{record.incident.id}: {record.incident.title}; {units.things(looks, 'look')} left out"
    return show_table(("UTC", "Who", "What"), rows, caption=caption)


def show_summary(record: IncidentRecord) -> Shown:
    """The text for a ticket."""
    if record.incident is None:
        return show_text("No incident is open here, so there is nothing to paste.")
    return show_block(summary_text(record.incident, record.timeline))


def judge_incident(
    runbook: Runbook, state: IncidentState, record: IncidentRecord, outcomes: Sequence[Outcome]
) -> Verdict:
    """How the site is, what was done, and what comes next.

    Returns:
        Triage's findings and the incident's; the severity that is responded to; the steps of the guide.
    """
    findings = (_finding(record), *state.verdict.findings)
    headline = "" if outcomes else _headline(state, record)
    verdict = judge_change(runbook, *outcomes, findings=findings, headline=headline)
    calls, others = _still_to_do(runbook, state.severity, outcomes)
    return replace(
        verdict,
        severity=state.severity,
        rule=state.verdict.rule if state.severity == state.verdict.severity else "given by the operator",
        since=state.verdict.since,
        began_earlier=state.verdict.began_earlier,
        likely=state.verdict.likely,
        unread=state.verdict.unread,
        next_steps=(*calls, *verdict.next_steps, *others, *_own_steps(runbook, state, record, outcomes)),
    )


def _headline(state: IncidentState, record: IncidentRecord) -> str:
    """What came of the step that was asked for, then how the site is."""
    parts = [record.problem, record.done]
    if record.step == "respond" and state.severity in (2, 3):
        parts.append(f"severity {state.severity}: the guide changes nothing at once, so there was nothing to do")
    if record.problem and state.severity is None:
        # Else a step that could not be taken would read like a success.
        return "; ".join(part for part in parts if part)
    return "; ".join(part for part in (*parts, state.verdict.headline) if part)


def _still_to_do(
    runbook: Runbook, severity: int | None, outcomes: Sequence[Outcome]
) -> tuple[list[NextStep], list[NextStep]]:
    """The calls that the guide prescribes, which come first; and what else it prescribes or has a command.

    What this run has planned or done already is left out.
    """
    if severity is None:
        return [], []
    settled = {o.action for o in outcomes if o.result not in (Result.REFUSED, Result.UNREAD)}
    both = list(zip(RESPONSES[severity].steps, _steps(runbook, severity), strict=True))
    calls = [step for known, step in both if known.prescribed and known.call]
    others = [step for known, step in both if (known.prescribed or step.command) and known.action not in settled]
    return calls, [step for step in others if step not in calls]


def _own_steps(
    runbook: Runbook, state: IncidentState, record: IncidentRecord, outcomes: Sequence[Outcome]
) -> list[NextStep]:
    environment, name = runbook.environment.name, runbook.name
    steps = []
    if state.severity == 1 and not outcomes:
        respond = run_command(name, environment, {"step": "respond", "severity": "1"})
        steps.append(NextStep("Respond: the plan of the fallback, nothing is changed yet", respond))
    if record.incident is None and state.severity is not None:
        steps.append(NextStep("Open the incident", run_command(name, environment, {"step": "open"})))
    if record.incident is not None and record.incident.closed_at is None:
        steps.append(
            NextStep("Add to the timeline", run_command(name, environment, {"step": "note", "note": "WHAT HAPPENED"}))
        )
        steps.append(NextStep("Close it", run_command(name, environment, {"step": "close", "note": "WHAT IT WAS"})))
    return steps


def _finding(record: IncidentRecord) -> Finding:
    """What the ledger has of the incident; WARN where it could not be written."""
    if record.problem:
        return Finding("incident.record", "incident", Status.WARN, record.problem, hint=record.hint)
    incident = record.incident
    if incident is None:
        return Finding("incident.record", "incident", Status.OK, "none is open")
    state = "closed" if incident.closed_at else "open"
    shown = f"{incident.id} {state}, severity {incident.severity}"
    events = units.things(len(record.timeline), "event")
    detail = "; ".join(part for part in (record.done, incident.title, events) if part)
    return Finding("incident.record", "incident", Status.OK, shown, detail=detail)
