"""The one function that carries an action out, or refuses to.

::

    blank confirmation   every guard runs on live reads; the plan is proposed; nothing is written
    the digest           under the lock: planned again on fresh reads, compared, guarded, approved; the intention goes
                         into the ledger; then it is written, read back, and its outcome goes into the ledger
    ``auto``             the same without a digest, where the environment's ``allow_auto`` says so

Killed between the two entries of the ledger, it leaves an open intention, which every later run shows with the command
that checks.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from runbooks_lib import units
from runbooks_lib.actions.action import Action, Written
from runbooks_lib.actions.outcome import Outcome, ReadBack, Result
from runbooks_lib.actions.plan import Plan, differences
from runbooks_lib.actions.site import Progress, Site, WritableSite
from runbooks_lib.config import Environment
from runbooks_lib.errors import MayHaveChangedError, RecordError, RefusedError, RunbookError, SourceError
from runbooks_lib.model import Evidence
from runbooks_lib.records.approvals import Approval, Approvals
from runbooks_lib.records.intentions import Intentions
from runbooks_lib.records.leases import Lease, Leases
from runbooks_lib.records.ledger import Ledger
from runbooks_lib.redaction import one_line, redact

AUTO = "auto"
#: A lock is taken for so long, and taken again for as long whenever this much of it is left to run.
LEASE_SECONDS = 120.0
_RENEW_BELOW_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Desk:
    """Who acts, on what, and where it is written down.

    Attributes:
        environment: the site.
        ledger: of events.
        run_id: the run that this belongs to.
        operator: who is responsible.
        allowed_signers: the ``allowed_signers`` file of ssh-keygen; None where approvals are not signed.
        on_progress: told how far a long write is.
    """

    environment: Environment
    ledger: Ledger
    run_id: str
    operator: str
    allowed_signers: Path | None = None
    on_progress: Callable[[Progress], None] = lambda progress: None

    @property
    def approvals(self) -> Approvals:
        """Proposals and approvals in the ledger."""
        return Approvals(self.ledger, self.allowed_signers)


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
    confirm, reason = confirm.strip(), reason.strip()
    try:
        if not confirm:
            return _dry_run(action, desk, reason)
        return _confirmed(action, desk, confirm, reason)
    except RefusedError as error:
        return _refused(action, desk, error, reason)
    except (SourceError, RecordError) as error:
        return _outcome(Result.UNREAD, action, desk, error.message, hint=error.hint, reason=reason)


def _dry_run(action: Action, desk: Desk, reason: str) -> Outcome:
    with contextlib.closing(Site(desk.environment)) as site:
        plan = action.plan(site)
    ledger_error = ""
    try:
        desk.approvals.propose(_recorded(plan, desk), run_id=desk.run_id, operator=desk.operator)
    except RecordError as error:
        ledger_error = error.message
    needs = _needs(plan, desk, reason)
    if plan.no_op:
        detail = "It is so already; there is nothing to change."
    elif plan.failed_guards:
        detail = f"Nothing was changed. It would be refused: {_guards_text(plan)}."
    else:
        detail = "Nothing was changed."
    made = _outcome(Result.PLANNED, action, desk, detail, plan=plan, reason=reason)
    return replace(made, needs=needs, ledger_error=ledger_error)


def _confirmed(action: Action, desk: Desk, confirm: str, reason: str) -> Outcome:
    """Everything that must hold before the write, under the lock; then the write."""
    if confirm == AUTO and not desk.environment.allow_auto:
        raise RefusedError(
            f"environment {desk.environment.name} does not allow confirm=auto",
            hint="run it without confirm and confirm with the digest that it shows; or set allow_auto in runbooks.toml",
        )
    leases = Leases(desk.ledger)
    held = leases.acquire(
        environment=desk.environment.name,
        resources=action.resources(),
        holder=desk.run_id,
        operator=desk.operator,
        seconds=LEASE_SECONDS,
        purpose=action.name,
    )
    keeper = _Keeper(leases, held, desk.on_progress)
    try:
        with contextlib.closing(WritableSite(desk.environment, keeper.progress)) as site:
            with contextlib.closing(Site(desk.environment)) as reading:
                plan = action.plan(reading)
            _require_same(plan, desk, confirm)
            if plan.no_op:
                detail = "It is so already; nothing was changed."
                return _outcome(Result.UNCHANGED, action, desk, detail, plan=plan, reason=reason)
            approval = _require(plan, desk, reason)
            return _write(action, plan, desk, site, _Warrant(confirm, reason, approval, keeper))
    finally:
        keeper.release()


@dataclass(frozen=True, slots=True)
class _Warrant:
    """What entitles a write."""

    confirm: str
    reason: str
    approval: Approval | None
    keeper: _Keeper


def _require_same(plan: Plan, desk: Desk, confirm: str) -> None:
    """The digest is that of a plan that was shown, is not spent, and is the same now."""
    if confirm == AUTO:
        return
    # Looked for first, so that a text that never was a digest is told from a plan that went stale.
    proposal = desk.approvals.proposal(confirm, environment=desk.environment.name)
    if plan.digest == confirm or plan.full_digest == confirm:
        desk.approvals.require_unspent(proposal)
        return
    changed = "; ".join(differences(proposal.plan, plan)) or "it is a plan of another action"
    raise RefusedError(
        f"plan {confirm} no longer matches: {one_line(changed, desk.environment.secrets, longest=600)}",
        hint=f"look why it changed; the plan as it is now is {plan.digest}: run it without confirm to see it",
    )


def _require(plan: Plan, desk: Desk, reason: str) -> Approval | None:
    """Guards, reason and approval.

    Raises:
        RefusedError: one of them is missing.
    """
    if plan.failed_guards:
        hints = "; ".join(guard.hint for guard in plan.failed_guards if guard.hint)
        raise RefusedError(_guards_text(plan), hint=hints)
    if not plan.protected:
        return None
    if not reason:
        raise RefusedError(f"{plan.environment} is protected: a change needs a reason", hint='add reason="…"')
    return desk.approvals.find(plan.full_digest, environment=plan.environment, operator=desk.operator)


def _write(action: Action, plan: Plan, desk: Desk, site: WritableSite, warrant: _Warrant) -> Outcome:
    """Write-ahead entry, write, read back, outcome entry."""
    intentions = Intentions(desk.ledger)
    intention = intentions.begin(
        {
            "plan": _recorded(plan, desk),
            "confirm": warrant.confirm,
            "reason": redact(warrant.reason, desk.environment.secrets),
            "fencing": {lease.resource: lease.fencing_number for lease in warrant.keeper.held},
        },
        approval=warrant.approval,
        run_id=desk.run_id,
        environment=desk.environment.name,
        operator=desk.operator,
    )
    base = _outcome(Result.MAY_HAVE_CHANGED, action, desk, "", plan=plan, reason=warrant.reason)
    base = replace(base, action_id=intention.action_id, undo=plan.undo)
    written = Written()
    try:
        warrant.keeper.require()
        written = action.write(plan, site)
        outcome = _judged(action, plan, desk, base, written)
    except RefusedError as error:
        outcome = replace(base, result=Result.REFUSED, detail=error.message, hint=error.hint, undo=None)
    except BaseException as error:
        # Also an interrupt and a bug: what was sent was sent, and the ledger must say so before anything else happens.
        outcome = replace(base, account=written.account, **_lost(error, desk))
        _ended(intentions, intention.action_id, desk, outcome, written)
        if isinstance(error, Exception):
            return outcome
        raise
    return _ended(intentions, intention.action_id, desk, outcome, written)


def _judged(action: Action, plan: Plan, desk: Desk, base: Outcome, written: Written) -> Outcome:
    """The write returned: look again, and say what holds."""
    found = _read_back(action, plan, desk, written)
    account = (*written.account, *found.evidence)
    undo = None if written.undo_lost else plan.undo
    if found.confirmed is not True:
        detail = (
            f"It was written, but reading it back {'failed' if found.confirmed is None else 'found it otherwise'}: "
        )
        hint = "look how it is now before anything else; the command that checks is below"
        return replace(base, detail=detail + found.detail, hint=hint, account=account, undo=undo)
    result = Result.STOPPED if written.stopped else Result.APPLIED
    detail = f"Ended early: {written.stopped}" if written.stopped else found.detail or "Done, and read back."
    return replace(base, result=result, detail=detail, account=account, undo=undo, hint=written.undo_lost)


def _read_back(action: Action, plan: Plan, desk: Desk, written: Written) -> ReadBack:
    try:
        with contextlib.closing(Site(desk.environment)) as site:
            return action.read_back(plan, site, written.data)
    except RunbookError as error:
        return ReadBack(None, detail=error.message)


def _lost(error: BaseException, desk: Desk) -> dict[str, Any]:
    """Detail and hint for a write that ended by an exception."""
    if isinstance(error, RunbookError):
        message, hint = error.message, error.hint
    elif isinstance(error, KeyboardInterrupt):
        message, hint = "it was interrupted while it was being written", ""
    else:
        message, hint = f"a bug in the library: {type(error).__name__}: {error}", ""
    return {"detail": one_line(message, desk.environment.secrets, longest=600), "hint": hint}


def _ended(intentions: Intentions, action_id: str, desk: Desk, outcome: Outcome, written: Written) -> Outcome:
    """Write the outcome into the ledger; an outcome that cannot be written is one that must be checked."""
    try:
        intentions.end(
            action_id,
            {"result": outcome.result, "detail": outcome.detail, "account": outcome.account, "written": written.data},
            run_id=desk.run_id,
            environment=desk.environment.name,
            operator=desk.operator,
        )
    except RecordError as error:
        return replace(outcome, ledger_error=error.message)
    return outcome


def _refused(action: Action, desk: Desk, error: RefusedError, reason: str) -> Outcome:
    """Refusals are kept as well: who tried what, and why it was not done."""
    outcome = _outcome(Result.REFUSED, action, desk, error.message, hint=error.hint, reason=reason)
    try:
        desk.ledger.append(
            kind="action.refused",
            run_id=desk.run_id,
            environment=desk.environment.name,
            operator=desk.operator,
            payload={"action": action.name, "detail": outcome.detail, "reason": outcome.reason},
        )
    except RecordError as problem:
        return replace(outcome, ledger_error=problem.message)
    return outcome


def _needs(plan: Plan, desk: Desk, reason: str) -> tuple[str, ...]:
    """What is still missing in a protected environment."""
    if not plan.protected or plan.no_op:
        return ()
    needs = [] if reason else ["a reason"]
    try:
        desk.approvals.find(plan.full_digest, environment=plan.environment, operator=desk.operator)
    except (RefusedError, RecordError):
        needs.append(f"approval of {plan.digest} by somebody other than you (runbooks approve {plan.digest})")
    return tuple(needs)


def _recorded(plan: Plan, desk: Desk) -> Mapping[str, Any]:
    """The plan as the ledger keeps it: all of it, with its digests, without secrets."""
    from runbooks_lib.records.event import plain
    from runbooks_lib.redaction import redact_value

    kept = {**plain(plan), "digest": plan.digest, "full_digest": plan.full_digest}
    return {
        **dict(redact_value(kept, desk.environment.secrets)),
        "digest": plan.digest,
        "full_digest": plan.full_digest,
    }


def _guards_text(plan: Plan) -> str:
    return "; ".join(f"{g.name}: {g.detail}" if g.detail else f"not {g.name}" for g in plan.failed_guards)


def _outcome(  # noqa: PLR0913 - the parts of an outcome
    result: Result,
    action: Action,
    desk: Desk,
    detail: str,
    *,
    hint: str = "",
    plan: Plan | None = None,
    reason: str = "",
) -> Outcome:
    secrets = desk.environment.secrets
    return Outcome(
        result=result,
        action=action.name,
        environment=desk.environment.name,
        at=units.now(),
        operator=desk.operator,
        detail=redact(detail, secrets),
        hint=redact(hint, secrets),
        plan=plan,
        reason=redact(reason, secrets),
    )


class _Keeper:
    """Holds the locks during a write: renews them between its steps, and stops it when they are lost."""

    def __init__(self, leases: Leases, held: tuple[Lease, ...], on_progress: Callable[[Progress], None]) -> None:
        self.held = held
        self._leases = leases
        self._on_progress = on_progress
        self._renewed_at = time.monotonic()

    def progress(self, progress: Progress) -> None:
        """Between two steps of a write."""
        if time.monotonic() - self._renewed_at > LEASE_SECONDS - _RENEW_BELOW_SECONDS:
            self.require()
        self._on_progress(progress)

    def require(self) -> None:
        """Renew; the fencing numbers must still be ours.

        Raises:
            MayHaveChangedError: somebody else holds a lock by now.
        """
        try:
            self.held = self._leases.renew(self.held, seconds=LEASE_SECONDS)
        except RefusedError as error:
            raise MayHaveChangedError(error.message, hint=error.hint) from error
        self._renewed_at = time.monotonic()

    def release(self) -> None:
        """Give the locks back; where the ledger cannot be written they run out by themselves."""
        with contextlib.suppress(RecordError):
            self._leases.release(self.held)
