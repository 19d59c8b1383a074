"""What a killed execution left: the changes that a campaign began, and what the ledger knows of each.

::

    open_move(ledger, campaign)        begun, and not known whether it happened: ``actions.check`` looks and settles it
    unrecorded_move(ledger, campaign)  happened and was read back, but ``campaign.moved`` is missing
    applied_rollback(ledger, campaign) the feature was taken away, but ``campaign.ended`` is missing
    unopened_start(ledger, …)          the start happened, but ``campaign.opened`` is missing
    open_start(ledger, …)              the start was begun, and it is not known whether it happened
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from runbooks_lib.records.campaign import Campaign
from runbooks_lib.records.campaign_fold import opened_id
from runbooks_lib.records.event import Event, moment_of, storable
from runbooks_lib.records.intentions import OpenIntention, open_intentions
from runbooks_lib.records.ledger import Ledger, Writing, find_event
from runbooks_lib.records.schema import COLUMNS

START, MOVE = "start_rollout", "move_rollout"
ROLLBACKS = ("roll_back_features", "disable_feature")
# ruff: noqa: S608 - every query is made of constants; values are bound
_INTENDED = f"SELECT {COLUMNS} FROM runbook_events WHERE kind = 'action.intended' AND environment = ?"


class StepState(StrEnum):
    """What is known of a change."""

    OPEN = "open"  # begun; whether it happened is not known
    APPLIED = "applied"  # it happened as planned, and was read back or looked at afterwards
    NOTHING = "nothing"  # nothing changed
    OTHERWISE = "otherwise"  # looked at: neither as planned nor as before; or it ended early


@dataclass(frozen=True, slots=True)
class Step:
    """One change that was begun.

    Attributes:
        action_id: names it everywhere.
        action: ``start_rollout``, ``move_rollout`` and so on.
        parameters: of the action.
        plan: as it was recorded.
        state: what is known of it.
        at: aware UTC, when its outcome was written down; when it was begun while it is open.
        environment: its name.
        operator: who made it.
        approval: event and approver that it used up; empty where it needed none.
        full_digest: of its plan.
        began_at: aware UTC.
        payload: of the event that began it.
        seq: number of the event that began it.
    """

    action_id: str
    action: str
    parameters: Mapping[str, Any]
    plan: Mapping[str, Any]
    state: StepState
    at: datetime
    environment: str
    operator: str
    approval: Mapping[str, Any]
    full_digest: str
    began_at: datetime
    payload: Mapping[str, Any]
    seq: int


def find_step(reader: Ledger | Writing, action_id: str) -> Step | None:
    """The change with this id; None where there is none that can be read."""
    event = find_event(reader, action_id)
    return None if event is None or event.kind != "action.intended" else _step(reader, event)


def steps_of(reader: Ledger | Writing, campaign: Campaign) -> tuple[Step, ...]:
    """Every change that was begun on behalf of the campaign, in order.

    Raises:
        RecordError: the ledger could not be read.
    """
    rows = reader.rows(
        f"{_INTENDED} AND seq > ? AND payload LIKE ? ORDER BY seq",
        campaign.environment,
        campaign.opened_seq,
        f'%"campaign":"{campaign.id}"%',
    )
    events = [Event(*row) for row in rows]
    steps = [_step(reader, event) for event in events if event.payload.get("campaign") == campaign.id]
    return tuple(step for step in steps if step is not None)


def open_move(ledger: Ledger, campaign: Campaign) -> OpenIntention | None:
    """The newest change of this campaign of which it is not known whether it happened; up or down.

    Raises:
        RecordError: the ledger could not be read.
    """
    mine = {step.action_id for step in steps_of(ledger, campaign) if step.state is StepState.OPEN}
    found = [one for one in open_intentions(ledger, campaign.environment) if one.action_id in mine]
    return found[-1] if found else None


def unrecorded_move(ledger: Ledger, campaign: Campaign) -> Step | None:
    """The newest move that happened and that ``campaign.moved`` does not tell.

    Raises:
        RecordError: the ledger could not be read.
    """
    told = {move.action_id for move in campaign.moves}
    found = [
        step
        for step in steps_of(ledger, campaign)
        if step.action == MOVE and step.state is StepState.APPLIED and step.action_id not in told
    ]
    return found[-1] if found else None


def applied_rollback(ledger: Ledger, campaign: Campaign) -> Step | None:
    """The newest time that the campaign took the feature away from everybody.

    Raises:
        RecordError: the ledger could not be read.
    """
    found = [
        step
        for step in steps_of(ledger, campaign)
        if step.action in ROLLBACKS
        and step.state is StepState.APPLIED
        # The guide's rollback has no feature of its own.
        and step.parameters.get("feature", campaign.feature) == campaign.feature
    ]
    return found[-1] if found else None


def starts(reader: Ledger | Writing, environment: str, feature: str) -> tuple[Step, ...]:
    """Every ``start_rollout`` of a feature on an environment, in order."""
    rows = reader.rows(f"{_INTENDED} AND payload LIKE ? ORDER BY seq", storable(environment), f'%"action":"{START}"%')
    steps = [_step(reader, Event(*row)) for row in rows]
    return tuple(one for one in steps if one and one.action == START and one.parameters.get("feature") == feature)


def open_start(ledger: Ledger, environment: str, feature: str) -> OpenIntention | None:
    """The start of which it is not known whether it happened.

    Raises:
        RecordError: the ledger could not be read.
    """
    found = [
        one
        for one in open_intentions(ledger, environment)
        if one.action == START and _intent(one.plan).get("feature") == feature
    ]
    return found[-1] if found else None


def opened(reader: Ledger | Writing, action_id: str) -> bool:
    """Does an event say that this start opened its campaign?"""
    return find_event(reader, opened_id(action_id)) is not None


def _step(reader: Ledger | Writing, event: Event) -> Step | None:
    payload = event.payload
    plan = payload.get("plan")
    began = moment_of(event)
    if began is None or not isinstance(plan, Mapping):
        return None
    state, at = _outcome(reader, event.event_id)
    approval = payload.get("approval")
    return Step(
        action_id=event.event_id,
        action=str(plan.get("action", "")),
        parameters=_intent(plan),
        plan=plan,
        state=state,
        at=at or began,
        environment=event.environment,
        operator=event.operator,
        approval=approval if isinstance(approval, Mapping) else {},
        full_digest=str(plan.get("full_digest", "")),
        began_at=began,
        payload=payload,
        seq=event.seq,
    )


def _outcome(reader: Ledger | Writing, action_id: str) -> tuple[StepState, datetime | None]:
    """A check that was settled counts before what the change itself could say."""
    for suffix in (":checked", ":ended"):
        event = find_event(reader, action_id + suffix)
        if event is not None:
            return _state(event), moment_of(event)
    return StepState.OPEN, None


def _state(event: Event) -> StepState:
    result = event.payload.get("result")
    if result == "applied" and event.kind in ("action.ended", "action.checked"):
        return StepState.APPLIED
    return StepState.NOTHING if result in ("refused", "unchanged") else StepState.OTHERWISE


def _intent(plan: Mapping[str, Any]) -> Mapping[str, Any]:
    found = plan.get("intent")
    return found if isinstance(found, Mapping) else {}
