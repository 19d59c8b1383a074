"""What to do next: the runbook that goes on from a finding, the change that answers it, or the guide's own words."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from runbooks_lib.model import Finding, NextStep, Status

#: Where to go while the runbook that finds the cause does not exist: the one that shows and changes the thing itself.
_INSTEAD = {
    "warming.duration": "cache_warming",
    "warming.failures": "cache_warming",
    "redis.memory": "performance_tuning",
}
#: Said wherever a command begins a change: pasted as it is, it shows a plan and writes nothing.
DRY_FIRST = "first a dry run that shows the plan"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the next steps may refer to.

    Attributes:
        environment: its name, for the commands.
        runbooks: names of the runbooks that exist; no other one is ever named.
        manage: argument list of the site's ``manage.py``; empty where it is not configured, and flags cannot be
            changed from here.
        contacts: role → address.
    """

    environment: str
    runbooks: Collection[str]
    manage: Sequence[str]
    contacts: Mapping[str, str]


def next_steps(severity: int | None, findings: Sequence[Finding], around: Surroundings) -> tuple[NextStep, ...]:
    """The steps to take, in order: what the severity demands, then one step for each thing that is wrong.

    Commands are complete and ready to paste. A command that leads to a change begins with a dry run, and says so.
    """
    steps = list(_for_severity(severity, around))
    seen: set[str] = set()
    for finding in sorted(findings, key=lambda f: -f.status.rank):
        if finding.status is Status.OK:
            continue
        step = _for_finding(finding, around)
        # One cause often silences several checks; its remedy is named once.
        remedy = "" if step is None else step.command or finding.hint
        if step is not None and remedy not in seen:
            seen.add(remedy)
            steps.append(step)
    if severity == 3 and "incident_response" in around.runbooks:
        text = "Schedule the fix in a maintenance window (guide, severity 3)"
        steps.append(NextStep(text, run_command("incident_response", around.environment)))
    if severity is not None or any(finding.status is not Status.OK for finding in findings):
        steps.append(NextStep("Look again", f"runbooks triage --environment {around.environment}"))
    return tuple(steps)


def run_command(runbook: str, environment: str, parameters: Mapping[str, str | int] | None = None) -> str:
    """The command that executes a runbook, ready to paste; nothing in it can be taken for shell syntax."""
    given = [word for name, value in (parameters or {}).items() for word in ("-p", f"{name}={value}")]
    return shlex.join(["runbooks", "run", runbook, "--environment", environment, *given])


def change_command(action: str, environment: str, parameters: Mapping[str, str | int] | None = None) -> str:
    """The command that plans a change, ready to paste; nothing in it can be taken for shell syntax."""
    given = [word for name, value in (parameters or {}).items() for word in ("-p", f"{name}={value}")]
    return shlex.join(["runbooks", "change", action, "--environment", environment, *given])


def _for_severity(severity: int | None, around: Surroundings) -> list[NextStep]:
    on_call = around.contacts.get("on_call")
    if severity == 1:
        return [*([NextStep(f"Call {on_call}")] if on_call else []), _fall_back(around)]
    if severity != 2:
        return []
    told = [NextStep(f"Notify {on_call} (guide, severity 2)")] if on_call else []
    if "incident_response" not in around.runbooks:
        return told
    opened = run_command("incident_response", around.environment, {"step": "open"})
    return [*told, NextStep("Open an incident: its timeline, and the message to send", opened)]


def _fall_back(around: Surroundings) -> NextStep:
    """The first step of a severity 1: disable the enhanced cache, serve from the page cache."""
    what = "Disable the enhanced cache and fall back to the page cache (guide, severity 1)"
    if not around.manage:
        return NextStep(f"{what}: by hand on the site, because no manage command is configured for it")
    if "incident_response" in around.runbooks:
        command = run_command("incident_response", around.environment, {"step": "respond"})
    else:
        command = change_command("fall_back_to_page_cache", around.environment)
    return NextStep(f"{what}: {DRY_FIRST}", command)


def _for_finding(finding: Finding, around: Surroundings) -> NextStep | None:
    if finding.status is Status.UNKNOWN:
        return NextStep(f"{finding.title}: {finding.hint}") if finding.hint else None
    if finding.runbook in around.runbooks and finding.runbook != "incident_response":
        # That one answers a severity, which has named it already.
        return NextStep(f"{finding.title}: {_verb(finding.id)}", run_command(finding.runbook, around.environment))
    if finding.id == "cache.penetration" and around.manage:
        command = change_command("enable_feature", around.environment, {"feature": "PENETRATION_PROTECTION"})
        return NextStep(f"{finding.title}: {finding.hint}; {DRY_FIRST}", command)
    if _INSTEAD.get(finding.id) in around.runbooks:
        return NextStep(f"{finding.title}: {finding.hint}", run_command(_INSTEAD[finding.id], around.environment))
    return NextStep(f"{finding.title}: {finding.hint}") if finding.hint else None


def _verb(finding_id: str) -> str:
    return "see whose lock it is, and whether it may be removed" if finding_id == "warming.locks" else "find the cause"
