"""What changes leave in a run: what is kept of each, the exit code, and what was never confirmed.

``apply_in_run`` is the one way from a notebook or a command to ``actions.apply``: it keeps what came of the action in
``record.json``, so that the report and the exit code tell it, however the run ends.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runbooks_lib.config import Environment
from runbooks_lib.errors import ExecutionError, MayHaveChangedError, RecordError, RefusedError
from runbooks_lib.model import Status
from runbooks_lib.records.run_record import Run
from runbooks_lib.unconfirmed import check_line, title_of

if TYPE_CHECKING:
    from runbooks_lib.actions.action import Action
    from runbooks_lib.actions.outcome import Outcome
    from runbooks_lib.actions.site import Progress
    from runbooks_lib.records.intentions import OpenIntention
    from runbooks_lib.records.leases import Lease
    from runbooks_lib.records.mandates import Mandate


def apply_in_run(  # noqa: PLR0913 - keyword-only, each with a meaning of its own
    action: Action,
    run: Run,
    environment: Environment,
    *,
    confirm: str = "",
    reason: str = "",
    allowed_signers: Path | None = None,
    approval_seconds: float | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    mandate: Mandate | None = None,
    leases: tuple[Lease, ...] = (),
    refused_code: int = RefusedError.exit_code,
) -> Outcome:
    """Apply an action in a run, and keep what came of it in the run's record.

    Args:
        action: with its parameters.
        run: that it belongs to.
        environment: the site.
        confirm: blank for a dry run, the digest that a dry run showed, or ``auto``.
        reason: why.
        allowed_signers: of approvals; None where they are not signed.
        approval_seconds: no approval counts for longer; None for as long as it says itself.
        on_progress: told how far a long write is; None to tell nobody.
        mandate: of the campaign that acts; None for a person.
        leases: locks that are held already and stay afterwards.
        refused_code: exit code of a refusal. Usually it says that nothing changed, and that is well; where harm goes on
            because of it, as when a rollback is due, it is 20.

    Raises:
        RecordError: the run's folder could not be written. The ledger holds what was done.
        KeyboardInterrupt: the operator stopped it; what was sent by then is in the ledger.
    """
    from runbooks_lib.actions.apply import Desk, apply

    desk = Desk(
        environment,
        run.ledger,
        run.id,
        run.operator,
        allowed_signers,
        leases=leases,
        approval_seconds=approval_seconds,
        mandate=mandate,
    )
    desk = desk if on_progress is None else replace(desk, on_progress=on_progress)
    outcome = apply(action, desk, confirm=confirm, reason=reason)
    code = refused_code if outcome.exit_code == RefusedError.exit_code else outcome.exit_code
    run.acted({**kept(outcome), "exit_code": code, "approved_by": _approver(run, outcome)})
    return outcome


def kept(outcome: Outcome) -> dict[str, Any]:
    """What a record keeps of an outcome: before, after, who, why, how to undo it; commands ready to paste."""
    from runbooks_lib.actions.registry import command_line

    plan = outcome.plan
    return {
        "action": outcome.action,
        "title": plan.title if plan else outcome.action,
        "environment": outcome.environment,
        "result": outcome.result.value,
        "exit_code": outcome.exit_code,
        "at": outcome.at,
        "operator": outcome.operator,
        "reason": outcome.reason,
        "digest": plan.digest if plan else "",
        "before": plan.before if plan else (),
        "after": plan.after if plan else (),
        "account": outcome.account,
        "detail": outcome.detail,
        "hint": outcome.hint,
        "needs": outcome.needs,
        "undo": command_line(outcome.undo, outcome.environment) if outcome.undo else "",
        "irreversible": plan.irreversible if plan else "",
        "action_id": outcome.action_id,
        "check": check_line(outcome.action_id, outcome.environment) if outcome.action_id else "",
        "ledger_error": outcome.ledger_error,
        "checked": {"at": outcome.check.at, "operator": outcome.check.operator} if outcome.check else None,
    }


def keep_unconfirmed(run: Run) -> None:
    """Keep the run's own changes that were begun and never confirmed: its process was killed, or interrupted."""
    from runbooks_lib.records.intentions import open_intentions

    if run.ledger_error:
        return
    try:
        left = [found for found in open_intentions(run.ledger, run.environment) if found.run_id == run.id]
    except RecordError:
        return
    known = {action["action_id"] for action in run.record.get("actions", [])}
    for intention in left:
        if intention.action_id not in known:
            run.acted(_kept_unconfirmed(intention))


def _kept_unconfirmed(intention: OpenIntention) -> dict[str, Any]:
    from runbooks_lib.actions.plan import Command
    from runbooks_lib.actions.registry import command_line

    plan = intention.plan
    undo = plan.get("undo")
    return {
        "action": intention.action,
        "title": title_of(intention),
        "environment": intention.environment,
        "result": "may have changed",
        "exit_code": MayHaveChangedError.exit_code,
        "at": intention.at,
        "operator": intention.operator,
        "reason": "",
        "approved_by": "",
        "digest": plan.get("digest", ""),
        "before": plan.get("before", ()),
        "after": plan.get("after", ()),
        "account": (),
        "detail": intention.detail or "it was begun, and the run ended before it could be confirmed",
        "hint": "",
        "needs": (),
        "undo": command_line(Command(undo["action"], undo["parameters"]), intention.environment) if undo else "",
        "irreversible": plan.get("irreversible", ""),
        "action_id": intention.action_id,
        "check": check_line(intention.action_id, intention.environment),
        "ledger_error": "",
    }


def _approver(run: Run, outcome: Outcome) -> str:
    """Who approved it; empty where nobody had to."""
    if not outcome.action_id or outcome.plan is None or not outcome.plan.protected:
        return ""
    try:
        intended = run.ledger.events(run_id=run.id, kind="action.intended")
    except RecordError:
        return ""
    payloads = [event.payload for event in intended if event.event_id == outcome.action_id]
    return str((payloads[0].get("approval") or {}).get("approver", "")) if payloads else ""


def exit_code(verdict_code: int, actions: Sequence[Mapping[str, Any]]) -> int:
    """The code of a run with changes: 50 before 40 before the verdict's; a plan that would be refused is at least 10.

    Args:
        verdict_code: of the run without its changes.
        actions: as kept in ``record.json``.
    """
    codes = {int(action["exit_code"]) for action in actions}
    for code in (MayHaveChangedError.exit_code, RefusedError.exit_code):
        if code in codes:
            return code
    if verdict_code == Status.OK.exit_code:
        return ExecutionError.exit_code if ExecutionError.exit_code in codes else max(codes, default=verdict_code)
    return verdict_code
