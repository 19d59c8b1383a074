"""Where a campaign stands, from the ledger alone: nothing is contacted, nothing is judged again."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec

from runbooks_lib import units
from runbooks_lib.judgement.rollout.model import Gate, Verb
from runbooks_lib.model import NextStep, Status
from runbooks_lib.operations.rollout_grid import next_look_at
from runbooks_lib.presentation.rollout import RolloutStatus
from runbooks_lib.records.campaign import COMPLETE, Campaign, CampaignState, KeptLook

_BY_STAND = {"fail": Status.FAIL, "warn": Status.WARN, "unknown": Status.UNKNOWN}


def status_of(campaign: Campaign, now: datetime) -> RolloutStatus:
    """The screen of a campaign at this moment.

    Args:
        campaign: as it is in the ledger.
        now: aware; what is due is said for it.
    """
    last, terms = campaign.last_look, campaign.parameters
    decision: Mapping[str, Any] = last.decision if last else {}
    word, status, text = _heading(campaign, last)
    soak, running = terms["soak_seconds"], campaign.state is CampaignState.RUNNING
    healthy = float(decision.get("healthy_seconds", 0.0))
    return RolloutStatus(
        feature=campaign.feature,
        environment=campaign.environment,
        campaign_id=campaign.id,
        state=campaign.state.value,
        word=word,
        status=status,
        text=text,
        stages=campaign.stages,
        percentage=campaign.percentage,
        stage_started_at=campaign.stage_started_at,
        healthy_seconds=healthy,
        soak_seconds=soak,
        uncounted_seconds=float(decision.get("uncounted_seconds", 0.0)),
        uncounted_looks=_uncounted_looks(campaign),
        gates=gates_of(last),
        looks=last.look if last else 0,
        planned_looks=max(1, round(soak / terms["look_seconds"])),
        next_look_at=next_look_at(campaign) if running else None,
        began_at=campaign.opened_at,
        operator=campaign.opened_by,
        at=now,
        ends_at_earliest=_ends_at_earliest(campaign, healthy, now) if running else None,
        steps=_steps(campaign),
        notes=_notes(campaign),
    )


def gates_of(look: KeptLook | None) -> tuple[Gate, ...]:
    """The gates of a look as they were kept; those that cannot be read any more are left out."""
    found = []
    for data in look.decision.get("gates", ()) if look else ():
        try:
            found.append(msgspec.convert(data, Gate))
        except msgspec.ValidationError:
            continue  # an earlier release wrote it otherwise, or somebody edited it, which ``verify`` tells
    return tuple(found)


def order_line(campaign: Campaign, action: str, reason: str = "WHY") -> str:
    """The command by which a person orders something."""
    words = ["runbooks", "rollout", action, campaign.feature, "--environment", campaign.environment, "--reason", reason]
    return shlex.join(words)


def _heading(campaign: Campaign, last: KeptLook | None) -> tuple[str, Status, str]:
    """The word, its colour, and the sentence below it."""
    if campaign.state is CampaignState.ENDED:
        status = Status.OK if campaign.end == COMPLETE else Status.FAIL
        return campaign.end.upper(), status, _said(campaign)
    if campaign.aborting:
        return "BEING ABORTED", Status.WARN, _said(campaign)
    if campaign.state is CampaignState.PAUSED:
        return "PAUSED", Status.WARN, _said(campaign)
    if last is None:
        return "HOLD, no look yet", Status.OK, f"The stage began {units.timestamp(campaign.stage_started_at)}."
    verb, reasons = str(last.decision.get("verb", "")), last.decision.get("reasons") or [""]
    # A promotion is followed by a move, a rollback by an end; where they stand here, that did not come about yet.
    word = verb.upper() if verb == Verb.HOLD else f"{verb.upper()} DUE"
    return f"{word}, {reasons[0]}", _worst(verb, gates_of(last)), str(last.decision.get("text", ""))


def _worst(verb: str, gates: tuple[Gate, ...]) -> Status:
    stands = {gate.stand.value for gate in gates}
    if verb == Verb.ROLLBACK:
        return Status.FAIL
    return next((status for stand, status in _BY_STAND.items() if stand in stands), Status.OK)


def _said(campaign: Campaign) -> str:
    return f"By {campaign.state_by}, {units.timestamp(campaign.state_at)}: {campaign.state_reason}"


def _uncounted_looks(campaign: Campaign) -> int:
    """Looks that added nothing to the healthy time."""
    healthy = [float(look.decision.get("healthy_seconds", 0.0)) for look in campaign.stage_looks]
    return sum(later <= earlier for earlier, later in zip([0.0, *healthy], healthy, strict=False))


def _ends_at_earliest(campaign: Campaign, healthy_seconds: float, now: datetime) -> datetime:
    soak = campaign.parameters["soak_seconds"]
    left = sum(stage > campaign.percentage for stage in campaign.stages) * soak + max(0.0, soak - healthy_seconds)
    return max(now, campaign.stage_started_at) + timedelta(seconds=left)


def _steps(campaign: Campaign) -> tuple[NextStep, ...]:
    """What a person may order now."""
    if campaign.state is CampaignState.ENDED:
        return ()
    takes_away = NextStep("To take the feature away from everybody now:", order_line(campaign, "abort"))
    if campaign.aborting:
        return (takes_away,)
    if campaign.state is CampaignState.PAUSED:
        return (NextStep("To go on (the stage begins anew):", order_line(campaign, "resume")), takes_away)
    return (NextStep("To stop it at this percentage:", order_line(campaign, "pause")), takes_away)


def _notes(campaign: Campaign) -> tuple[str, ...]:
    approved = f", approved by {campaign.approver}" if campaign.approver else ""
    began = f"Begun {units.timestamp(campaign.opened_at)} by {campaign.opened_by}{approved}".rstrip(".") + "."
    if campaign.baseline is None:
        return (began, "No baseline was recorded: nothing is compared with the day before.")
    complete = units.percent(campaign.baseline.complete_ratio)
    return (began, f"Baseline until {units.timestamp(campaign.baseline.ended_at)}, {complete} observed.")
