"""What a change would do: the plan, judged, shown and noted. It is given reading rights only."""

from __future__ import annotations

import contextlib
from dataclasses import replace

from runbooks_lib.actions.binding import planned, with_ledger_guards
from runbooks_lib.actions.call import Call, guards_text
from runbooks_lib.actions.desk import Desk, recorded
from runbooks_lib.actions.outcome import Outcome, Result
from runbooks_lib.actions.plan import Guard, Plan
from runbooks_lib.actions.site import Site
from runbooks_lib.errors import RecordError, RefusedError
from runbooks_lib.records.intentions import open_intentions
from runbooks_lib.records.leases import LeaseHeldError, Leases
from runbooks_lib.redaction import one_line
from runbooks_lib.target import places_of

_ONE_FILE = (
    "locks and approvals hold only for those who share this ledger's file; a team names one PostgreSQL server in "
    "runbooks.toml: [ledger] url"
)


def dry_run(call: Call) -> Outcome:
    """Plan on live reads, run every guard, and show the plan with its digest. Nothing on the site can be written.

    Raises:
        RefusedError: what was asked for is never done.
        SourceError: something that the plan needs could not be read.
    """
    desk = call.desk
    with contextlib.closing(Site(desk.environment)) as site:
        plan = _with_surroundings(with_ledger_guards(planned(call.action, site), call.action, desk.ledger), desk)
    ledger_error = ""
    try:
        desk.approvals.propose(recorded(plan, desk), run_id=desk.run_id, operator=desk.operator, account=desk.account)
    except RecordError as error:
        ledger_error = error.message
    needs = _needs(plan, call)
    if plan.no_op:
        detail = "It is so already; there is nothing to change."
    elif plan.failed_guards:
        detail = f"Nothing was changed. It would be refused: {guards_text(plan)}."
    else:
        detail = "Nothing was changed."
    return replace(call.outcome(Result.PLANNED, detail, plan=plan), needs=needs, ledger_error=ledger_error)


def _with_surroundings(plan: Plan, desk: Desk) -> Plan:
    """The plan with what the ledger knows: who holds its locks, and which earlier change of the same is in doubt."""
    mine = {desk.run_id, *(lease.holder for lease in desk.leases)}
    name = "nobody else holds the lock"
    try:
        held = [
            lease
            for lease in Leases(desk.ledger).held(plan.environment, places_of(desk.environment))
            if lease.resource in plan.resources
        ]
        doubtful = open_intentions(desk.ledger, plan.environment)
    except RecordError as error:
        guard = Guard(name, holds=None, detail=one_line(error.message), hint=error.hint)
        return replace(plan, guards=(*plan.guards, guard))
    others = [LeaseHeldError(lease, plan.environment) for lease in held if lease.holder not in mine]
    told = "; ".join(error.message for error in others)
    guard = Guard(name, holds=not others, detail=told, hint=others[0].hint if others else "")
    notes = tuple(
        f"{one_line(found.action)} by {one_line(found.operator)} at {found.at:%Y-%m-%d %H:%M:%S}Z may have changed the "
        f"same; check: runbooks check {found.action_id}"
        for found in doubtful
        if set(found.plan.get("resources", ())) & set(plan.resources) and not found.running
    )
    if plan.protected and desk.ledger.is_file:
        notes = (*notes, _ONE_FILE)
    return replace(plan, guards=(*plan.guards, guard), notes=(*plan.notes, *notes))


def _needs(plan: Plan, call: Call) -> tuple[str, ...]:
    """What is still missing in a protected environment."""
    if not plan.protected or plan.no_op or _is_mandated(plan, call.desk):
        return ()
    needs = [] if call.reason else ["a reason"]
    desk = call.desk
    try:
        desk.approvals.find(
            plan.full_digest, environment=plan.environment, operator=desk.operator, account=desk.account
        )
    except (RefusedError, RecordError):
        needs.append(f"approval of {plan.digest} by somebody other than you")
    return tuple(needs)


def _is_mandated(plan: Plan, desk: Desk) -> bool:
    """Does a campaign's mandate cover it?"""
    if desk.mandate is None:
        return False
    try:
        desk.mandate.require(plan, desk.ledger, desk.allowed_signers)
    except (RefusedError, RecordError):
        return False
    return True
