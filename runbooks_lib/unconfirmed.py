"""Earlier changes of which it is not known whether they happened: shown first, whatever is opened next.

A process that dies between the two entries of the ledger leaves one, and so does a write that could not be read back.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from runbooks_lib import units
from runbooks_lib.errors import RecordError
from runbooks_lib.model import Finding, NextStep, Status, Verdict, worst

if TYPE_CHECKING:
    from runbooks_lib.records.intentions import OpenIntention
    from runbooks_lib.records.ledger import Ledger

#: Stable id of the finding.
FINDING_ID = "changes.unconfirmed"
#: So many are shown one by one.
_MOST = 5


@dataclass(frozen=True, slots=True)
class Unconfirmed:
    """What is to be shown first.

    Attributes:
        findings: one for each change that may have been made; the hint is the command that checks.
        notes: changes that are being made right now, or why it could not be read.
    """

    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def steps(self) -> tuple[NextStep, ...]:
        """What to do about them, before anything else."""
        return tuple(
            NextStep(f"Before any other change, check this one: {finding.shown}", finding.hint)
            for finding in self.findings
        )


def read_unconfirmed(ledger: Ledger, environment: str) -> Unconfirmed:
    """Which changes of this environment may have happened or not? A ledger that cannot be read is a note."""
    from runbooks_lib.records.intentions import open_intentions

    try:
        found = open_intentions(ledger, environment)
    except RecordError as error:
        return unread(error.message)
    left = [intention for intention in found if not intention.running]
    notes = [f"being made right now: {_what(intention)}" for intention in found if intention.running]
    if len(left) > _MOST:
        notes.append(
            f"{len(left) - _MOST} more changes were never confirmed: runbooks check --environment {environment}"
        )
    return Unconfirmed(tuple(_finding(intention) for intention in left[-_MOST:]), tuple(notes))


def unread(reason: str) -> Unconfirmed:
    """It could not be read whether there are any."""
    return Unconfirmed(notes=(f"whether earlier changes were all confirmed could not be read: {reason}",))


def with_unconfirmed(verdict: Verdict, unconfirmed: Unconfirmed) -> Verdict:
    """The verdict with what must be checked first: at least WARN then. Adding it twice changes nothing."""
    if any(finding.id == FINDING_ID for finding in verdict.findings):
        return verdict
    notes = (*verdict.notes, *(note for note in unconfirmed.notes if note not in verdict.notes))
    if not unconfirmed.findings:
        return replace(verdict, notes=notes)
    headline = verdict.headline
    if verdict.status.rank < Status.WARN.rank:
        # What was asked for comes first; that is not so only where something is worse than a warning.
        headline = f"{headline}; an earlier change may have been made and was never checked"
    return replace(
        verdict,
        status=worst((verdict.status, *(finding.status for finding in unconfirmed.findings))),
        headline=headline,
        findings=(*unconfirmed.findings, *verdict.findings),
        next_steps=(*unconfirmed.steps, *verdict.next_steps),
        notes=notes,
    )


def check_line(action_id: str, environment: str) -> str:
    """The command that looks whether an action was done, and settles it."""
    return shlex.join(["runbooks", "check", action_id, "--environment", environment])


def title_of(intention: OpenIntention) -> str:
    """What was to be done, as its plan says it."""
    return str(intention.plan.get("title") or intention.action)


def _finding(intention: OpenIntention) -> Finding:
    return Finding(
        id=FINDING_ID,
        title="may have changed, check",
        status=Status.WARN,
        shown=_what(intention),
        detail=intention.detail
        or "what came of it is not in the ledger: its process ended, or the ledger could not be written, before that",
        hint=check_line(intention.action_id, intention.environment),
    )


def _what(intention: OpenIntention) -> str:
    return f"{title_of(intention)}, by {intention.operator} at {units.timestamp(intention.at)}"
