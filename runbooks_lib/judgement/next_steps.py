"""What to do next: the runbook that goes on from a finding, or the guide's own words where there is none yet."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from runbooks_lib.model import Finding, NextStep, Status

_DISABLE = (
    "from common.feature_flags import Feature, FeatureFlagService, disable_cache_feature; "
    "disable_cache_feature(); FeatureFlagService.enable_feature(Feature.PAGE_CACHE)"
)
_PROTECT = (
    "from common.feature_flags import Feature, FeatureFlagService; "
    "FeatureFlagService.enable_feature(Feature.PENETRATION_PROTECTION)"
)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the next steps may refer to.

    Attributes:
        environment: its name, for the commands.
        runbooks: names of the runbooks that exist; no other one is ever named.
        manage: argument list of the site's ``manage.py``; empty where it is not configured.
        contacts: role → address.
    """

    environment: str
    runbooks: Collection[str]
    manage: Sequence[str]
    contacts: Mapping[str, str]


def next_steps(severity: int | None, findings: Sequence[Finding], around: Surroundings) -> tuple[NextStep, ...]:
    """The steps to take, in order: what the severity demands, then one step for each thing that is wrong.

    Commands are complete and ready to paste. A command that changes the site is said to be one.
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
    if severity is not None or any(finding.status is not Status.OK for finding in findings):
        steps.append(NextStep("Look again", f"runbooks triage --environment {around.environment}"))
    return tuple(steps)


def _for_severity(severity: int | None, around: Surroundings) -> list[NextStep]:
    if severity == 1:
        steps = [] if not around.contacts.get("on_call") else [NextStep(f"Call {around.contacts['on_call']}")]
        if "incident_response" in around.runbooks:
            return [*steps, _run("Respond as the guide says", "incident_response", around)]
        text = "Disable the enhanced cache and fall back to the page cache (changes the site; guide, severity 1)"
        return [*steps, NextStep(text, _shell(_DISABLE, around))]
    if severity == 2 and around.contacts.get("on_call"):
        return [NextStep(f"Notify {around.contacts['on_call']} (guide, severity 2)")]
    return []


def _for_finding(finding: Finding, around: Surroundings) -> NextStep | None:
    if finding.status is Status.UNKNOWN:
        return NextStep(f"{finding.title}: {finding.hint}") if finding.hint else None
    if finding.runbook in around.runbooks:
        return _run(f"{finding.title}: find the cause", finding.runbook, around)
    if finding.id == "cache.penetration":
        text = f"{finding.title}: {finding.hint} (the command changes the site)"
        return NextStep(text, _shell(_PROTECT, around))
    return NextStep(f"{finding.title}: {finding.hint}") if finding.hint else None


def _run(text: str, runbook: str, around: Surroundings) -> NextStep:
    return NextStep(text, f"runbooks run {runbook} --environment {around.environment}")


def _shell(code: str, around: Surroundings) -> str:
    """The site's shell with code on standard input: the one form that survives ssh, kubectl and docker unchanged."""
    if not around.manage:
        return ""
    return f"echo {shlex.quote(code)} | {shlex.join([*around.manage, 'shell'])}"
