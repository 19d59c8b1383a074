"""What is shown of a plan or an outcome, without secrets.

Before it is rendered: a secret that is cut, wrapped or escaped is not recognised any more. The digest stays the plan's
own, so what it is made of (intent, the state it rests on) stays as it is; none of that is shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from runbooks_lib.actions.outcome import Outcome
from runbooks_lib.actions.plan import Command, Guard, Plan
from runbooks_lib.model import Evidence, NextStep
from runbooks_lib.redaction import redact, redact_value


def without_secrets(plan: Plan, secrets: Sequence[str]) -> Plan:
    """The plan with everything that is shown of it redacted; its digest is the same.

    Args:
        plan: as it was made.
        secrets: of the environment.
    """
    return replace(
        plan,
        title=redact(plan.title, secrets),
        before=_evidence(plan.before, secrets),
        after=_evidence(plan.after, secrets),
        blast_radius=_evidence(plan.blast_radius, secrets),
        spared=_evidence(plan.spared, secrets),
        undo=_command(plan.undo, secrets),
        irreversible=redact(plan.irreversible, secrets),
        guards=tuple(_guard(guard, secrets) for guard in plan.guards),
        offers=_steps(plan.offers, secrets),
        notes=tuple(redact(note, secrets) for note in plan.notes),
    )


def outcome_without_secrets(outcome: Outcome, secrets: Sequence[str]) -> Outcome:
    """The outcome with everything that is shown of it redacted.

    Args:
        outcome: as it came about.
        secrets: of the environment.
    """
    return replace(
        outcome,
        detail=redact(outcome.detail, secrets),
        hint=redact(outcome.hint, secrets),
        plan=None if outcome.plan is None else without_secrets(outcome.plan, secrets),
        reason=redact(outcome.reason, secrets),
        account=_evidence(outcome.account, secrets),
        undo=_command(outcome.undo, secrets),
        needs=tuple(redact(need, secrets) for need in outcome.needs),
        ledger_error=redact(outcome.ledger_error, secrets),
        offers=_steps(outcome.offers, secrets),
    )


def _evidence(items: Sequence[Evidence], secrets: Sequence[str]) -> tuple[Evidence, ...]:
    return tuple(
        replace(
            item,
            name=redact(item.name, secrets),
            value=redact(item.value, secrets),
            source=redact(item.source, secrets),
        )
        for item in items
    )


def _guard(guard: Guard, secrets: Sequence[str]) -> Guard:
    return replace(guard, detail=redact(guard.detail, secrets), hint=redact(guard.hint, secrets))


def _command(command: Command | None, secrets: Sequence[str]) -> Command | None:
    return None if command is None else replace(command, parameters=redact_value(command.parameters, secrets))


def _steps(steps: Sequence[NextStep], secrets: Sequence[str]) -> tuple[NextStep, ...]:
    return tuple(
        replace(step, text=redact(step.text, secrets), command=redact(step.command, secrets)) for step in steps
    )
