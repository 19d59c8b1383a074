"""What came of an action."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from runbooks_lib.actions.plan import Command, Plan
from runbooks_lib.errors import ExecutionError, MayHaveChangedError, RecordError, RefusedError
from runbooks_lib.model import Evidence, NextStep


class Result(StrEnum):
    """How it ended; the first question is whether anything changed."""

    PLANNED = "planned"  # a dry run: nothing changed
    UNCHANGED = "unchanged"  # it was so already: nothing changed
    APPLIED = "applied"  # changed, and read back
    STOPPED = "stopped"  # ended early, on request or by a guard, with an exact account of what was changed
    REFUSED = "refused"  # nothing changed
    UNREAD = "unread"  # it could not be planned, because a system could not be read: nothing changed
    MAY_HAVE_CHANGED = "may have changed"  # sent, and not confirmed
    OTHERWISE = "ended otherwise"  # looked at afterwards: neither as planned nor as it was before


@dataclass(frozen=True, slots=True)
class ReadBack:
    """What was found when the result was looked at again, after the write.

    Attributes:
        confirmed: it is as it should be; None when it could not be read.
        evidence: what was read, and where.
        detail: one sentence; why it is not confirmed, where it is not.
        offers: what to do with what was found; instead of the plan's, which could not know it.
    """

    confirmed: bool | None
    evidence: tuple[Evidence, ...] = ()
    detail: str = ""
    offers: tuple[NextStep, ...] = ()


@dataclass(frozen=True, slots=True)
class Check:
    """Somebody looked what had come of a change.

    Attributes:
        at: aware UTC.
        operator: who looked.
    """

    at: datetime
    operator: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one call of ``apply``, or of a check long after it.

    Attributes:
        result: how it ended.
        action: its name.
        environment: its name.
        at: aware UTC, when it ended.
        operator: who asked for it.
        detail: one or two sentences: what was done, or why it was not.
        hint: the next step; may be empty.
        plan: what was planned on the freshest reads; None when it could not be planned.
        reason: the operator's reason.
        account: what was written, in numbers, and what was read back.
        undo: the action that puts it back; None when nothing changed or nothing can.
        action_id: of the intention in the ledger; empty when none was written.
        needs: what is missing to apply a planned change: a reason, an approval; empty otherwise.
        ledger_error: why it is not, or not wholly, in the ledger; empty when all is well.
        offers: what to do with what was read back; empty where the plan's offers say it.
        check: who looked afterwards, and when; None for the outcome of ``apply`` itself.
    """

    result: Result
    action: str
    environment: str
    at: datetime
    operator: str
    detail: str
    hint: str = ""
    plan: Plan | None = None
    reason: str = ""
    account: tuple[Evidence, ...] = ()
    undo: Command | None = None
    action_id: str = ""
    needs: tuple[str, ...] = ()
    ledger_error: str = ""
    offers: tuple[NextStep, ...] = ()
    check: Check | None = None

    @property
    def exit_code(self) -> int:
        """0 planned, unchanged or applied; 10 for a plan whose guards would refuse it; 30, 40, 50 as in ``errors``.

        20 for a change that was looked at afterwards and ended otherwise than planned.

        50 also where something changed and the ledger could not be told; 30 where it could not be told of a plan, which
        nobody can confirm then.
        """
        if self.ledger_error and self.changed is not False:
            return MayHaveChangedError.exit_code
        if self.ledger_error and self.result is Result.PLANNED:
            return RecordError.exit_code
        if self.result is Result.PLANNED and self.plan is not None and self.plan.failed_guards:
            return 10
        codes = {
            Result.REFUSED: RefusedError.exit_code,
            Result.UNREAD: ExecutionError.exit_code,
            Result.MAY_HAVE_CHANGED: MayHaveChangedError.exit_code,
            Result.STOPPED: 10,
            Result.OTHERWISE: 20,
        }
        return codes.get(self.result, 0)

    @property
    def changed(self) -> bool | None:
        """Did anything change on the site? None when that is not known."""
        if self.result is Result.MAY_HAVE_CHANGED:
            return None
        return self.result in (Result.APPLIED, Result.STOPPED, Result.OTHERWISE)
