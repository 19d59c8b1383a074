"""The command that checks: what came of a change whose outcome is not in the ledger?"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from runbooks_lib import units
from runbooks_lib.actions.action import Action
from runbooks_lib.actions.apply import read_back
from runbooks_lib.actions.binding import planned
from runbooks_lib.actions.desk import Desk, plan_of
from runbooks_lib.actions.keeper import locked
from runbooks_lib.actions.outcome import Check, Outcome, ReadBack, Result
from runbooks_lib.actions.plan import Plan
from runbooks_lib.actions.registry import command_line, make_action
from runbooks_lib.actions.site import Site
from runbooks_lib.errors import RefusedError, RunbookError, UsageError
from runbooks_lib.records.event import plain
from runbooks_lib.records.intentions import Intentions, OpenIntention
from runbooks_lib.redaction import redact, redact_value
from runbooks_lib.target import target_of


def check(action_id: str, desk: Desk, make: Callable[[str, Mapping[str, Any]], Action] = make_action) -> Outcome:
    """Look now, under the lock, whether the change is there, and settle the intention.

    Args:
        action_id: of an intention that is open.
        desk: who checks, and where it is written down.
        make: an action by name and parameters.

    Returns:
        ``applied`` when it is as the plan said, ``unchanged`` when it is as it was before, ``ended otherwise`` when it
        is neither. All of these are settled. ``may have changed`` when it could not be read: it stays open.

    Raises:
        UsageError: there is no such action, or it was of another environment.
        RefusedError: it is being made right now, its outcome is known, or somebody else changes the same now.
        RecordError: the ledger could not be read or written, or does not hold a plan that this version knows.
    """
    intentions = Intentions(desk.ledger)
    found = intentions.find(action_id)
    _require_checkable(found, desk)
    plan = plan_of(found.plan)
    _require_same_target(plan, desk)
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


def _require_same_target(plan: Plan, desk: Desk) -> None:
    """The configuration leads where it led when the change was made; to look elsewhere would settle it wrongly."""
    target = target_of(desk.environment)
    moved = [part for part in sorted(target) if part in plan.target and plan.target[part] != target[part]]
    if moved:
        raise RefusedError(
            f"{', '.join(moved)} of {desk.environment.name} leads elsewhere than when the change was made",
            hint="check it with the runbooks.toml and the variables of that time, in the same folder",
        )


def _outcome(found: OpenIntention, action: Action, plan: Plan, desk: Desk, seen: ReadBack) -> Outcome:
    """What was found, told of the change as it was made: by whom, and when."""
    again = command_line(plan.command, plan.environment)
    now = None if seen.confirmed is not False else _planned_now(action, desk)
    if seen.confirmed:
        result, detail, hint = Result.APPLIED, f"It is as the plan said. {seen.detail}", ""
    elif seen.confirmed is None:
        result, detail = Result.MAY_HAVE_CHANGED, f"It could not be read: {seen.detail}"
        hint = f"check again: runbooks check {found.action_id}"
    elif now is not None and _is_as_before(plan, now):
        result, detail, hint = (
            Result.UNCHANGED,
            f"It is as it was before. {seen.detail}",
            f"to do it after all: {again}",
        )
    else:
        left = "; ".join(_left(plan, now)) or seen.detail
        result, detail = Result.OTHERWISE, f"It ended otherwise than planned; what is left: {left}"
        hint = f"to do what is left (plans first): {again}"
    secrets = desk.environment.secrets
    made = Outcome(
        result=result,
        action=plan.action,
        environment=plan.environment,
        at=found.at,
        operator=found.operator,
        detail=redact(detail, secrets).strip(),
        hint=redact(hint, secrets),
        plan=plan,
        reason=found.reason,
        account=seen.evidence,
        action_id=found.action_id,
        offers=seen.offers,
        check=Check(units.now(), desk.operator),
    )
    return made if result is Result.UNCHANGED else replace(made, undo=plan.undo)


def _is_as_before(plan: Plan, now: Plan) -> bool:
    """Is what the plan rests on the same now? A plan that rests on nothing cannot say."""
    # An earlier release did not record the target.
    same_place = now if plan.target else replace(now, target={})
    return bool(plan.rests_on) and same_place.full_digest == plan.full_digest


def _planned_now(action: Action, desk: Desk) -> Plan | None:
    """The same plan made now; None where it cannot be made."""
    try:
        with contextlib.closing(Site(desk.environment)) as site:
            return planned(action, site)
    except RunbookError:
        return None


def _left(plan: Plan, now: Plan | None) -> list[str]:
    """Each value of which the plan named a before and an after, as it is now, in words.

    A value that is neither was changed by somebody else since, or was made in part: to put it back overwrites that.
    """
    before = {item.name: item.value for item in plan.before}
    after = {item.name: item.value for item in plan.after}
    lines = []
    for item in now.before if now else ():
        name, was, meant = item.name or "it", before.get(item.name), after.get(item.name)
        if meant is None or was is None:
            continue
        if item.value == meant:
            lines.append(f"{name} is as planned ({meant})")
        elif item.value == was:
            lines.append(f"{name} is as it was before ({was})")
        else:
            lines.append(
                f"{name} is {item.value}, neither as before ({was}) nor as planned ({meant}): made in part, or changed "
                "by somebody since, and putting it back overwrites that"
            )
    return lines
