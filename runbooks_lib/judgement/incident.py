"""What the guide prescribes for an incident, as data; the message to send, and the summary for a ticket. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from runbooks_lib import units
from runbooks_lib.facts import Entry, Incident
from runbooks_lib.judgement.next_steps import change_command, run_command
from runbooks_lib.model import NextStep
from runbooks_lib.redaction import one_line

_GUIDE = "guide, Incident Response"
#: Lines of a summary: a ticket is read by people.
_MOST_LINES = 120


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a response.

    Attributes:
        what: to do, in the imperative.
        why: and where it is written.
        call: role out of ``[contacts]``; empty when nobody is to be called for it.
        action: name of the action that does it; empty when none does.
        parameters: that the action cannot do without.
        runbook: name of the runbook that does it or finds the way; empty when none does.
        prescribed: the guide asks for it; else it is this project's advice.
    """

    what: str
    why: str
    call: str = ""
    action: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)
    runbook: str = ""
    prescribed: bool = True


@dataclass(frozen=True, slots=True)
class Response:
    """What a severity means and asks for.

    Attributes:
        severity: 1, 2 or 3.
        name: critical, major or minor.
        when: the guide's conditions.
        steps: in the order to take them.
    """

    severity: int
    name: str
    when: str
    steps: tuple[Step, ...]


_LOOK = Step(
    "Find out how bad it is and since when",
    "every later step rests on it; reads only",
    runbook="triage",
    prescribed=False,
)
_CLOSE = Step(
    "Close the incident with a summary",
    "the timeline in the ledger ends there, and the ticket gets its text",
    prescribed=False,
)
RESPONSES: Mapping[int, Response] = {
    1: Response(
        1,
        "critical",
        "the cache system is down for over 5 min",
        (
            Step("Call the on-call engineer", f"{_GUIDE}: severity 1 has no time to wait", call="on_call"),
            Step(
                "Disable the enhanced cache and fall back to the page cache, at once",
                f"{_GUIDE}, severity 1: feature flag immediately disabled, page cache enabled as fallback",
                action="fall_back_to_page_cache",
            ),
            Step("Send the first message", "whoever reads it does not call you", call="devops", prescribed=False),
            _LOOK,
            Step(
                "Bring Redis back, and look whether it holds its data",
                "an empty cache sends every request to the database",
                call="devops",
                prescribed=False,
            ),
            Step(
                "Warm the cache before the flags go back",
                "else all misses come at once",
                action="trigger_warming",
                parameters={"strategy": "startup"},
                runbook="cache_warming",
                prescribed=False,
            ),
            Step("Give the features back", "as they were before", runbook="feature_flags", prescribed=False),
            _CLOSE,
        ),
    ),
    2: Response(
        2,
        "major",
        "a hit rate under 60 % for over 30 min, or more than half of the warming tasks failing",
        (
            Step("Notify the on-call engineer", f"{_GUIDE}, severity 2: on-call notification", call="on_call"),
            _LOOK,
            Step("Hit rate: find the cause", "guide, Low Hit Rate", runbook="low_hit_rate", prescribed=False),
            Step("Warming: find the cause", "guide, Slow Cache Warming", runbook="slow_warming", prescribed=False),
            Step(
                "It followed a change: take the new features back",
                "guide, Rolling Back Changes",
                action="roll_back_features",
                runbook="rollback",
                prescribed=False,
            ),
            Step(
                "Send the message",
                "who is affected, since when, what is being done",
                call="cache_team",
                prescribed=False,
            ),
            _CLOSE,
        ),
    ),
    3: Response(
        3,
        "minor",
        "degraded performance, or a fault of the alerting",
        (
            _LOOK,
            Step(
                "Write it down and schedule the repair for the maintenance window",
                f"{_GUIDE}, severity 3: schedule fix during maintenance window",
                call="cache_team",
            ),
            _CLOSE,
        ),
    ),
}


def response_for(severity: int) -> Response:
    """What does the guide ask for?

    Raises:
        ValueError: the severity is not 1, 2 or 3.
    """
    if severity not in RESPONSES:
        raise ValueError(f"a severity is 1, 2 or 3, not {severity}")
    return RESPONSES[severity]


def steps_to_take(
    severity: int, environment: str, contacts: Mapping[str, str], runbooks: Sequence[str]
) -> tuple[NextStep, ...]:
    """The steps of a response with addresses and commands filled in; no runbook is named that does not exist.

    Args:
        severity: 1, 2 or 3.
        environment: its name.
        contacts: role → address.
        runbooks: names of those that exist.
    """
    return tuple(_next(step, environment, contacts, runbooks) for step in response_for(severity).steps)


def message_text(incident: Incident, contacts: Mapping[str, str], *, now: datetime, finding: str = "") -> str:
    """The message to send: what, how bad, since when, what is done, who answers. Plain text.

    Args:
        incident: open or closed.
        contacts: role → address.
        now: aware UTC.
        finding: the headline of the newest verdict; may be empty.
    """
    response = response_for(incident.severity)
    state = "CLOSED" if incident.closed_at else "OPEN"
    doing = [step.what for step in response.steps if step.prescribed]
    lines = [
        f"{state} · severity {incident.severity} ({response.name}) · {incident.environment} · {incident.title}",
        f"Since {units.timestamp(incident.opened_at)} ({_lasted(incident, now)}); {incident.id}",
        f"Found: {finding}" if finding else "",
        f"Closed by {incident.closed_by}: {incident.summary}" if incident.closed_at else f"Doing: {'; '.join(doing)}",
        f"Questions to {contacts.get('on_call') or incident.opened_by}",
    ]
    return "\n".join(one_line(line, longest=600) for line in lines if line)


def summary_text(incident: Incident, timeline: Sequence[Entry]) -> str:
    """The incident as text to paste into a ticket: what, how long, who, the timeline, the summary.

    All of it stands in one Markdown code block, in which nothing has a meaning: names, reasons and errors that
    strangers wrote cannot mention people, link, or break out. In a plain text field it reads the same.

    Args:
        incident: open or closed.
        timeline: as ``Incidents.timeline`` gives it; looks at the site are counted, not listed, where there are many.
    """
    until = incident.closed_at or (timeline[-1].at if timeline else incident.opened_at)
    shown = list(timeline) if len(timeline) <= _MOST_LINES else [entry for entry in timeline if entry.matters]
    left_out = len(timeline) - len(shown[:_MOST_LINES])
    people = dict.fromkeys(entry.operator for entry in timeline)
    lines = [
        f"INCIDENT {incident.id} · severity {incident.severity} · {incident.environment}",
        f"Title: {incident.title}",
        f"Opened: {units.timestamp(incident.opened_at)} by {incident.opened_by}",
        f"Closed: {units.timestamp(incident.closed_at)} by {incident.closed_by}"
        if incident.closed_at
        else "Closed: not yet",
        f"Lasted: {_lasted(incident, until)}",
        f"People: {', '.join(people) or incident.opened_by}",
        *(f"Summary: {line}" for line in incident.summary.splitlines() if line.strip()),
        "",
        "Timeline (UTC)",
        *(f"{units.timestamp(entry.at)} · {entry.operator} · {entry.text}" for entry in shown[:_MOST_LINES]),
        f"and {units.things(left_out, 'further event')}: runbooks log --environment {shlex.quote(incident.environment)}"
        if left_out
        else "",
    ]
    return "\n".join(["```text", *(_harmless(line) for line in lines), "```", ""])


def _next(step: Step, environment: str, contacts: Mapping[str, str], runbooks: Sequence[str]) -> NextStep:
    address = contacts.get(step.call, "") if step.call else ""
    text = f"{step.what}{f': {address}' if address else ''} ({step.why})"
    if step.runbook in runbooks:
        return NextStep(text, run_command(step.runbook, environment))
    if step.action:
        changes = f"{text}; plans first, changes the site when confirmed"
        return NextStep(changes, change_command(step.action, environment, step.parameters))
    return NextStep(text)


def _lasted(incident: Incident, until: datetime) -> str:
    return units.duration((until - incident.opened_at).total_seconds())


def _harmless(line: str) -> str:
    """One line without anything that could end the code block, move a cursor or turn the text around."""
    return one_line(line, longest=700).replace("`", "'").replace("~~~", "---") if line else ""
