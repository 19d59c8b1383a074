"""One call of ``apply``: what was asked for, by whom."""

from __future__ import annotations

from dataclasses import dataclass

from runbooks_lib import units
from runbooks_lib.actions.action import Action
from runbooks_lib.actions.desk import Desk
from runbooks_lib.actions.outcome import Outcome, Result
from runbooks_lib.actions.plan import Plan
from runbooks_lib.redaction import redact


@dataclass(frozen=True, slots=True)
class Call:
    """What was asked for.

    Attributes:
        action: with its parameters.
        desk: who asks.
        confirm: blank, a digest, or ``auto``.
        reason: why; may be blank.
    """

    action: Action
    desk: Desk
    confirm: str
    reason: str

    def outcome(self, result: Result, detail: str, *, hint: str = "", plan: Plan | None = None) -> Outcome:
        """What came of it, without secrets."""
        secrets = self.desk.environment.secrets
        return Outcome(
            result=result,
            action=self.action.name,
            environment=self.desk.environment.name,
            at=units.now(),
            operator=self.desk.operator,
            detail=redact(detail, secrets),
            hint=redact(hint, secrets),
            plan=plan,
            reason=redact(self.reason, secrets),
        )


def guards_text(plan: Plan) -> str:
    """The guards that do not hold, in one line."""
    return "; ".join(f"{g.name}: {g.detail}" if g.detail else f"not {g.name}" for g in plan.failed_guards)
