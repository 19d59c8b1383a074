"""The command that checks: what came of a change whose outcome is not in the ledger?"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from runbooks_lib import units
from runbooks_lib.actions.action import Action
from runbooks_lib.actions.apply import read_back
from runbooks_lib.actions.desk import Desk, plan_of
from runbooks_lib.actions.keeper import locked
from runbooks_lib.actions.outcome import Outcome, ReadBack, Result
from runbooks_lib.actions.plan import Plan
from runbooks_lib.actions.registry import command_line, make_action
from runbooks_lib.actions.site import Site
from runbooks_lib.errors import RefusedError, RunbookError, UsageError
from runbooks_lib.records.event import plain
from runbooks_lib.records.intentions import Intentions, OpenIntention
from runbooks_lib.redaction import redact, redact_value


def check(action_id: str, desk: Desk, make: Callable[[str, Mapping[str, Any]], Action] = make_action) -> Outcome:
    """Look now, under the lock, whether the change is there, and settle the intention.

    Args:
        action_id: of an intention that is open.
        desk: who checks, and where it is written down.
        make: an action by name and parameters.

    Returns:
        ``applied`` when it is as the plan said, ``unchanged`` when it is as it was before, else ``may have changed``.
        It is settled unless it could not be read.

    Raises:
        UsageError: there is no such action, or it was of another environment.
        RefusedError: it is being made right now, its outcome is known, or somebody else changes the same now.
        RecordError: the ledger could not be read or written, or does not hold a plan that this version knows.
    """
    intentions = Intentions(desk.ledger)
    found = intentions.find(action_id)
    _require_checkable(found, desk)
    plan = plan_of(found.plan)
    action = make(plan.action, plan.intent)
    with locked(desk, plan.resources, f"check {plan.action}"):
        seen = read_back(action, plan, desk, found.written)
        outcome = _outcome(found, action, plan, desk, seen)
        intentions.settle(
            found.action_id,
            {
                "confirmed": seen.confirmed,
                "result": outcome.result,
                "detail": outcome.detail,
                "evidence": redact_value(plain(seen.evidence), desk.environment.secrets),
            },
            run_id=desk.run_id,
            environment=desk.environment.name,
            operator=desk.operator,
        )
    return outcome


def _require_checkable(found: OpenIntention, desk: Desk) -> None:
    """It was here, and nobody is at it now."""
    if found.environment != desk.environment.name:
        raise UsageError(
            f"action {found.action_id} was on {found.environment}, not on {desk.environment.name}",
            hint=f"add --environment {found.environment}",
        )
    if found.running:
        process = f"process {found.process.pid} on {found.process.host}" if found.process else "a process"
        raise RefusedError(
            f"action {found.action_id} is being carried out by {process} now", hint="wait until it has ended"
        )


def _outcome(found: OpenIntention, action: Action, plan: Plan, desk: Desk, seen: ReadBack) -> Outcome:
    again = command_line(plan.command, plan.environment)
    if seen.confirmed:
        result, detail, hint = Result.APPLIED, f"It is as the plan said. {seen.detail}", ""
    elif seen.confirmed is None:
        result, detail = Result.MAY_HAVE_CHANGED, f"It could not be read: {seen.detail}"
        hint = f"check again: runbooks check {found.action_id}"
    elif _is_as_before(action, plan, desk):
        result, detail, hint = (
            Result.UNCHANGED,
            f"It is as it was before. {seen.detail}",
            f"to do it after all: {again}",
        )
    else:
        result, detail = Result.MAY_HAVE_CHANGED, f"It is not as the plan said. {seen.detail}"
        hint = f"see what is left to do: {again}"
    secrets = desk.environment.secrets
    made = Outcome(
        result=result,
        action=plan.action,
        environment=plan.environment,
        at=units.now(),
        operator=desk.operator,
        detail=redact(detail, secrets).strip(),
        hint=redact(hint, secrets),
        plan=plan,
        account=seen.evidence,
        action_id=found.action_id,
    )
    return made if result is Result.UNCHANGED else replace(made, undo=plan.undo)


def _is_as_before(action: Action, plan: Plan, desk: Desk) -> bool:
    """Is what the plan rests on the same now? A plan that rests on nothing cannot say."""
    if not plan.rests_on:
        return False
    try:
        with contextlib.closing(Site(desk.environment)) as site:
            return action.plan(site).full_digest == plan.full_digest
    except RunbookError:
        return False
