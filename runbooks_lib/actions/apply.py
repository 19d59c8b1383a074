"""The one function that carries an action out, or refuses to.

::

    blank confirmation   every guard runs on live reads; the plan is proposed; nothing is written
    the digest           under the lock: planned again on fresh reads, compared, guarded, approved; the intention goes
                         into the ledger; then it is written, read back, and its outcome goes into the ledger
    ``auto``             the same without a digest, where the environment's ``allow_auto`` says so, or a campaign's
                         mandate covers exactly this (``records.mandates``)

Killed between the two entries of the ledger, it leaves an open intention, which every later run shows with the command
that checks.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from runbooks_lib.actions.action import Action, Written
from runbooks_lib.actions.binding import planned, with_ledger_guards
from runbooks_lib.actions.call import Call, guards_text
from runbooks_lib.actions.desk import Desk, recorded
from runbooks_lib.actions.dry_run import dry_run
from runbooks_lib.actions.keeper import Keeper, locked
from runbooks_lib.actions.outcome import Outcome, ReadBack, Result
from runbooks_lib.actions.plan import Plan, differences
from runbooks_lib.actions.site import Site, WritableSite
from runbooks_lib.errors import RecordError, RefusedError, RunbookError, SourceError
from runbooks_lib.records.approvals import Approval
from runbooks_lib.records.event import plain
from runbooks_lib.records.intentions import Intentions
from runbooks_lib.records.ledger import Writing
from runbooks_lib.records.proposals import Proposal, normalized
from runbooks_lib.redaction import one_line, redact, redact_value

__all__ = ["AUTO", "Desk", "apply"]

AUTO = "auto"
_LONGEST = 600


@dataclass(frozen=True, slots=True)
class _Warrant:
    """What entitles a write."""

    plan: Plan
    proposal: Proposal | None
    approval: Approval | None
    keeper: Keeper

    def require_mandate(self, desk: Desk, writing: Writing) -> None:
        """In the transaction that writes the intention: nothing comes between this answer and it."""
        if desk.mandate is not None and self.proposal is None:
            desk.mandate.require(self.plan, writing, desk.allowed_signers)


def apply(action: Action, desk: Desk, *, confirm: str = "", reason: str = "") -> Outcome:
    """Carry the action out, or say why not. Never raises for what a site, a rule or a second operator does.

    Args:
        action: with its parameters.
        desk: who acts, and where it is written down.
        confirm: blank for a dry run, the digest that a dry run showed, or ``auto``.
        reason: why; required in a protected environment.

    Returns:
        The outcome. ``outcome.changed`` answers whether anything changed.

    Raises:
        KeyboardInterrupt: before anything was written.
    """
    call = Call(action, desk, confirm.strip(), reason.strip())
    try:
        return _confirmed(call) if call.confirm else dry_run(call)
    except RefusedError as error:
        return _refused(call, error)
    except (SourceError, RecordError) as error:
        return call.outcome(Result.UNREAD, error.message, hint=error.hint)


def _confirmed(call: Call) -> Outcome:
    """Everything that must hold before the write, under the lock; then the write."""
    action, desk = call.action, call.desk
    if call.confirm == AUTO and desk.mandate is None and not desk.environment.allow_auto:
        raise RefusedError(
            f"environment {desk.environment.name} does not allow confirm=auto",
            hint="run it without confirm and confirm with the digest that it shows; or set allow_auto in runbooks.toml",
        )
    if call.confirm != AUTO:
        # A text that never was a digest is refused before anything is locked or read.
        normalized(call.confirm)
    with locked(desk, action.resources(), action.name) as keeper:
        with contextlib.closing(Site(desk.environment)) as reading:
            plan = with_ledger_guards(planned(action, reading), action, desk.ledger)
        proposal = _require_same(plan, call)
        if plan.no_op:
            return call.outcome(Result.UNCHANGED, "It is so already; nothing was changed.", plan=plan)
        approval = _require(plan, call)
        return _write(call, _Warrant(plan, proposal, approval, keeper))


def _require_same(plan: Plan, call: Call) -> Proposal | None:
    """The digest is that of a plan that was shown, is not spent, and is the same now."""
    if call.confirm == AUTO:
        return None
    desk = call.desk
    proposal = desk.approvals.proposal(call.confirm, environment=desk.environment.name)
    if plan.full_digest == proposal.full_digest:
        # What is so already needs nothing that could be spent.
        if not plan.no_op:
            desk.approvals.require_unspent(proposal)
        return proposal
    if proposal.plan.get("action") != plan.action:
        raise RefusedError(
            f"{proposal.digest} is a plan of {proposal.plan.get('action')}, not of {plan.action}",
            hint=f"run {plan.action} without confirm to see its own digest",
        )
    desk.approvals.require_unspent(proposal)
    changed = "; ".join(differences(proposal.plan, plan)) or "what it rests on changed"
    raise RefusedError(
        f"plan {proposal.digest} no longer matches: {one_line(changed, desk.environment.secrets, longest=_LONGEST)}",
        hint=f"look why it changed; the plan as it is now is {plan.digest}: run it without confirm to see it",
    )


def _require(plan: Plan, call: Call) -> Approval | None:
    """Guards, reason and approval.

    Raises:
        RefusedError: one of them is missing.
    """
    if plan.failed_guards:
        hints = "; ".join(guard.hint for guard in plan.failed_guards if guard.hint)
        raise RefusedError(guards_text(plan), hint=hints)
    desk = call.desk
    if call.confirm == AUTO and desk.mandate is not None:
        # The only thing that entitles it, also where ``allow_auto`` would let anything pass.
        desk.mandate.require(plan, desk.ledger, desk.allowed_signers)
        return None
    if not plan.protected:
        return None
    if not call.reason:
        raise RefusedError(f"{plan.environment} is protected: a change needs a reason", hint='add reason="…"')
    return desk.approvals.find(
        plan.full_digest, environment=plan.environment, operator=desk.operator, account=desk.account
    )


def _write(call: Call, warrant: _Warrant) -> Outcome:
    """Write-ahead entry; the lock once more; then the write itself."""
    desk, plan = call.desk, warrant.plan
    action_id = (
        Intentions(desk.ledger)
        .begin(
            {
                "plan": recorded(plan, desk),
                "confirm": call.confirm,
                "reason": redact(call.reason, desk.environment.secrets),
                "fencing": warrant.keeper.fencing,
                "account": desk.account,
                **({"campaign": desk.mandate.campaign_id} if desk.mandate and warrant.proposal is None else {}),
            },
            approval=warrant.approval,
            proposal=warrant.proposal,
            run_id=desk.run_id,
            environment=desk.environment.name,
            operator=desk.operator,
            require=partial(warrant.require_mandate, desk),
        )
        .action_id
    )
    base = replace(call.outcome(Result.REFUSED, "", plan=plan), action_id=action_id)
    try:
        warrant.keeper.require()
    except RunbookError as error:
        return _ended(desk, replace(base, detail=error.message, hint=error.hint), Written())
    except BaseException:
        _ended(desk, replace(base, detail="it was interrupted before the write"), Written())
        raise
    return _sent(call, warrant, replace(base, result=Result.MAY_HAVE_CHANGED, undo=plan.undo))


def _sent(call: Call, warrant: _Warrant, base: Outcome) -> Outcome:
    """Write, read back, outcome entry. Once anything was sent, something may have changed, whatever happens."""
    desk, written = call.desk, Written()
    site = WritableSite(desk.environment, warrant.keeper.progress, warrant.keeper.allowed)
    try:
        with contextlib.closing(site):
            written = call.action.write(warrant.plan, site)
        outcome = _judged(call, warrant, base, written)
    except RefusedError as error:
        # Raised by the write it means that nothing changed; raised later it cannot.
        refused = replace(base, result=Result.REFUSED, detail=error.message, hint=error.hint, undo=None)
        outcome = refused if written == Written() else replace(base, account=written.account, **_lost(error, desk))
    except (RunbookError, KeyboardInterrupt) as error:
        lost = _lost(error, desk)
        if not site.sent and written == Written():
            detail = f"Nothing was sent that changes the site: {lost['detail']}"
            outcome = replace(base, result=Result.REFUSED, undo=None, detail=detail, hint=lost["hint"])
        else:
            outcome = replace(base, account=written.account, **lost)
    except Exception as error:  # noqa: BLE001 - answered: it becomes the outcome
        # Also a bug: what was sent was sent, and the ledger must say so before anything else happens.
        outcome = replace(base, account=written.account, **_lost(error, desk))
    except BaseException as error:
        _ended(desk, replace(base, account=written.account, **_lost(error, desk)), written)
        raise
    return _ended(desk, outcome, written)


def _judged(call: Call, warrant: _Warrant, base: Outcome, written: Written) -> Outcome:
    """The write returned: look again, and say what holds."""
    found = read_back(call.action, warrant.plan, call.desk, written.data)
    secrets = call.desk.environment.secrets
    account = (*written.account, *found.evidence)
    undo = None if written.undo_lost else warrant.plan.undo
    detail, hint = redact(found.detail, secrets), redact(written.undo_lost, secrets)
    if found.confirmed is not True:
        how = "failed" if found.confirmed is None else "found it otherwise"
        detail = f"It was written, but reading it back {how}: {detail}"
        hint = f"look how it is now before anything else: runbooks check {base.action_id}"
        return replace(base, detail=detail, hint=hint, account=account, undo=undo)
    if warrant.keeper.lost is not None:
        hint = f"The lock was lost meanwhile: {warrant.keeper.lost.message}. {hint}".strip()
    result = Result.STOPPED if written.stopped else Result.APPLIED
    early = f"Ended early: {redact(written.stopped, secrets)}"
    detail = early if written.stopped else detail or "Done, and read back."
    return replace(base, result=result, detail=detail, account=account, undo=undo, hint=hint, offers=found.offers)


def read_back(action: Action, plan: Plan, desk: Desk, written: Mapping[str, Any]) -> ReadBack:
    """Look again, on new connections; what could not be read is not confirmed."""
    try:
        with contextlib.closing(Site(desk.environment)) as site:
            return action.read_back(plan, site, written)
    except RunbookError as error:
        return ReadBack(None, detail=error.message)


def _lost(error: BaseException, desk: Desk) -> dict[str, Any]:
    """Detail and hint for a write that ended by an exception."""
    if isinstance(error, RunbookError):
        message, hint = error.message, error.hint
    elif isinstance(error, (KeyboardInterrupt, SystemExit)):
        message, hint = "it was interrupted while it was being written", ""
    else:
        message, hint = f"a bug in the library: {type(error).__name__}: {error}", ""
    secrets = desk.environment.secrets
    return {"detail": one_line(message, secrets, longest=_LONGEST), "hint": redact(hint, secrets)}


def _ended(desk: Desk, outcome: Outcome, written: Written) -> Outcome:
    """Write the outcome into the ledger; an outcome that cannot be written is one that must be checked."""
    secrets = desk.environment.secrets
    payload = {
        "result": outcome.result,
        "action": outcome.action,
        "detail": outcome.detail,
        "account": redact_value(plain(outcome.account), secrets),
        "written": redact_value(plain(written.data), secrets),
        "undo": outcome.undo,
    }
    try:
        Intentions(desk.ledger).end(
            outcome.action_id,
            payload,
            run_id=desk.run_id,
            environment=desk.environment.name,
            operator=desk.operator,
            certain=outcome.changed is not None,
        )
    except RecordError as error:
        return replace(outcome, ledger_error=error.message)
    return outcome


def _refused(call: Call, error: RefusedError) -> Outcome:
    """Refusals are kept as well: who tried what, and why it was not done."""
    outcome, desk = call.outcome(Result.REFUSED, error.message, hint=error.hint), call.desk
    payload = {
        "action": call.action.name,
        "confirm": one_line(call.confirm, desk.environment.secrets, longest=80),
        "detail": outcome.detail,
        "reason": outcome.reason,
    }
    try:
        desk.ledger.append(
            kind="action.refused",
            run_id=desk.run_id,
            environment=desk.environment.name,
            operator=desk.operator,
            payload=payload,
        )
    except RecordError as problem:
        return replace(outcome, ledger_error=problem.message)
    return outcome
