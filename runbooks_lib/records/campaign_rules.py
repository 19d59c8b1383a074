"""What must hold before something is written about a campaign; each is asked inside the transaction that writes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from runbooks_lib import units
from runbooks_lib.errors import RecordError, RefusedError, UsageError
from runbooks_lib.facts.rollout import RolloutWindow
from runbooks_lib.records import campaign_fold as fold
from runbooks_lib.records.campaign import Campaign, KeptLook, campaign_id
from runbooks_lib.records.campaign_find import overtaking
from runbooks_lib.records.campaign_steps import START, Step, StepState, find_step, starts
from runbooks_lib.records.campaign_terms import terms_of
from runbooks_lib.records.event import canonical_json
from runbooks_lib.records.ledger import Writing
from runbooks_lib.redaction import one_line


def require_applied(step: Step | None, action_id: str) -> Step:
    """The start, which was applied and whose terms can be read.

    Raises:
        RefusedError: it is no start of a rollout, was not applied, or its terms are none.
    """
    if step is None or step.action != START:
        raise RefusedError(f"{one_line(action_id, longest=80)} is not the start of a rollout")
    if step.state is not StepState.APPLIED:
        raise RefusedError(
            f"the start {step.action_id} was not applied: {step.state}", hint=f"look: runbooks check {step.action_id}"
        )
    try:
        terms_of(step.parameters)
    except UsageError as error:
        raise RefusedError(f"the start {step.action_id} cannot be read: {error.message}", hint=error.hint) from error
    return step


def require_alone(writing: Writing, step: Step) -> None:
    """No other campaign of the feature was current since the start was begun, and it was not started again.

    Raises:
        RefusedError: there is one, or it was; it is named.
    """
    feature = str(step.parameters["feature"])
    newer = [one for one in starts(writing, step.environment, feature) if one.seq > step.seq]
    if any(one.state is StepState.APPLIED for one in newer):
        raise RefusedError(
            f"{one_line(feature, longest=100)} was started again since, by {one_line(newer[-1].operator, longest=80)}",
            hint="the newest start counts",
        )
    other = overtaking(writing, step)
    if other is not None:
        raise RefusedError(
            f"{one_line(feature, longest=100)} is being rolled out by campaign {other.id}, "
            f"opened by {one_line(other.opened_by, longest=80)} at {units.timestamp(other.opened_at)}",
            hint="start again once that one has ended",
        )


def require_same(campaign: Campaign | None, step: Step) -> Campaign:
    """The campaign that this start opened.

    Raises:
        RefusedError: another event has its name.
    """
    if campaign is None or campaign.action_id != step.action_id:
        raise RefusedError(
            f"the name {campaign_id(step.action_id)} is taken by something else", hint="see: runbooks verify"
        )
    return campaign


def require_move(writing: Writing, campaign: Campaign, payload: Mapping[str, Any]) -> None:
    """It leads from where the campaign is to another stage, and the ledger says that exactly this was applied.

    Raises:
        RefusedError: it does not, or it was not.
    """
    step = find_step(writing, payload["action_id"])
    wanted = {"feature": campaign.feature, "from_percentage": payload["from"], "to_percentage": payload["to"]}
    if not fold.is_move(campaign, payload["from"], payload["to"]):
        raise RefusedError(
            f"{payload['from']} → {payload['to']} % is no move of {campaign.id}, which is at {campaign.percentage} %",
            hint=look_again(campaign),
        )
    made = {} if step is None else {name: step.parameters.get(name) for name in wanted}
    if step is None or step.environment != campaign.environment or made != wanted:
        raise RefusedError(f"{one_line(payload['action_id'], longest=80)} is not this move")
    if step.state is not StepState.APPLIED:
        raise RefusedError(
            f"the move {step.action_id} was not applied: {step.state}", hint=f"look: runbooks check {step.action_id}"
        )


def require_readable(campaign: Campaign | None) -> Campaign:
    """The campaign.

    Raises:
        RecordError: there is none that can be read.
    """
    if campaign is None:
        raise RecordError("the campaign cannot be read: its opening was edited", hint="see: runbooks verify")
    return campaign


def shown_state(campaign: Campaign) -> str:
    """``campaign rollout-9c1f77ab is paused since 2026-11-22 02:14:07Z by ben: errors``."""
    by = f" by {one_line(campaign.state_by, longest=80)}" if campaign.state_by else ""
    since = f"{campaign.end or campaign.state} since {units.timestamp(campaign.state_at)}{by}"
    reason = one_line(campaign.state_reason)
    return f"campaign {campaign.id} is {since}{f': {reason}' if reason else ''}"


def not_next(campaign: Campaign, look: KeptLook) -> str:
    """Why a look does not follow, in words."""
    at = f"stage {campaign.stage_number} at {campaign.percentage} %"
    last = campaign.last_look
    after = f" after look {last.look} until {units.timestamp(last.window.ended_at)}" if last else ""
    return (
        f"look {look.look} of stage {look.stage_number} at {look.percentage} % from "
        f"{units.timestamp(look.window.started_at)} does not follow: {campaign.id} is in {at}{after}"
    )


def look_again(campaign: Campaign) -> str:
    """The next step for whoever comes second."""
    environment = one_line(campaign.environment, longest=80)
    return f"look how it stands: runbooks rollout status {one_line(campaign.feature, longest=100)} -e {environment}"


def window_data(window: RolloutWindow) -> Any:
    """The window as the ledger keeps it.

    Raises:
        RecordError: it would not come back exactly: it holds values that are no numbers.
    """
    data = fold.as_data(window)
    try:
        exact = fold.window_of(json.loads(canonical_json(data))) == window
    except ValueError:
        exact = False
    if not exact:
        raise RecordError("the window cannot be kept exactly: it holds values that are no numbers")
    return data
