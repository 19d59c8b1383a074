"""What a campaign says about the checklist's rollout items: it is measured there, so nothing is written twice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import partial

from runbooks_lib import units
from runbooks_lib.checklist import Entry, How, ItemStatus
from runbooks_lib.records.campaign import COMPLETE, Campaign, CampaignState

FIRST, STAGES = "rollout.first", "rollout.stages"


def rollout_entries(campaigns: Sequence[Campaign], *, since: datetime, until: datetime | None) -> tuple[Entry, ...]:
    """How far did the rollouts of a release come? Oldest first.

    Args:
        campaigns: of the environment.
        since: aware; the release was deployed then.
        until: aware; the next release was deployed then; None where there is none yet.
    """
    own = [one for one in campaigns if one.opened_at >= since and (until is None or one.opened_at < until)]
    return tuple(sorted((entry for one in own for entry in _entries(one)), key=lambda entry: entry.at))


def _entries(campaign: Campaign) -> Iterator[Entry]:
    """The first stage with users is done once the next began; all of them, once the campaign is complete."""
    made = partial(Entry, how=How.MEASURED, run_id=campaign.id, values={"campaign": campaign.id})
    shown = f"{campaign.feature}, {campaign.id}"
    first = next((move for move in campaign.moves if 0 < move.from_percentage < move.to_percentage), None)
    if first is not None:
        text = f"{shown}: {first.from_percentage} % soaked, then {first.to_percentage} %"
        yield made(FIRST, ItemStatus.DONE, text, by=first.operator, at=first.at)
    if campaign.state is not CampaignState.ENDED or campaign.state_at is None:
        since = campaign.stage_started_at
        text = f"{shown}: {campaign.state.value} at {campaign.percentage} % since {units.timestamp(since)}"
        status, by, at = ItemStatus.OPEN, campaign.opened_by, since
    else:
        status = ItemStatus.DONE if campaign.end == COMPLETE else ItemStatus.FAILED
        text = f"{shown}: {campaign.end}, {campaign.state_reason}"
        by, at = campaign.state_by, campaign.state_at
    # A campaign of one stage is complete without a move: then that stage was the first.
    for item in (STAGES,) if first is not None else (FIRST, STAGES):
        yield made(item, status, text, by=by, at=at)
