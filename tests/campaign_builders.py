"""Campaigns in a real ledger without a site: starts and moves are written down as ``apply`` writes them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from runbooks_lib.actions.flags.rollout import MoveRollout, StartRollout
from runbooks_lib.actions.plan import Command, Plan
from runbooks_lib.facts.rollout import Baseline, BaselineSlot, CohortSample, Gap, RolloutWindow
from runbooks_lib.records.approvals import Approvals
from runbooks_lib.records.campaigns import Campaign, Campaigns, KeptLook
from runbooks_lib.records.event import plain
from runbooks_lib.records.intentions import Intentions
from runbooks_lib.records.ledger import Ledger

FEATURE, PLACE = "ENHANCED_CACHE", "production"
TARGET = {"redis_url": "a" * 64, "manage": "b" * 64}
WHO = {"run_id": "run-1", "operator": "anna"}
HOUR = timedelta(hours=1)


def plan_of(
    action: Any, environment: str = PLACE, *, protected: bool = False, target: Mapping[str, str] = TARGET
) -> Plan:
    """A plan of an action with a ``feature`` or without, as a site would give it."""
    return Plan(
        action=action.name,
        title=f"do {action.name}",
        environment=environment,
        protected=protected,
        scope="FeatureFlagService",
        intent=dataclasses.asdict(action),
        resources=action.resources(),
        read_at=datetime.now(UTC),
        undo=Command("set_percentage", {"feature": FEATURE, "percentage": 0}),
        target=target,
    )


def recorded(plan: Plan) -> dict[str, Any]:
    """As ``desk.recorded`` writes it."""
    return {**plain(plan), "digest": plan.digest, "full_digest": plan.full_digest}


def begun(ledger: Ledger, plan: Plan, *, approver: str = "", operator: str = "anna", campaign: str = "") -> str:
    """An intention; with an approver, approved by him as a team does it. Its id is returned."""
    approval = None
    if approver:
        approvals = Approvals(ledger)
        proposal = approvals.propose(recorded(plan), run_id="run-1", operator=operator)
        approvals.give(proposal, approver=approver, seconds=3600)
        approval = approvals.find(plan.full_digest, environment=plan.environment, operator=operator)
    payload = {"plan": recorded(plan), "confirm": "", "reason": "a test", "fencing": {}}
    payload |= {"campaign": campaign} if campaign else {}
    who = {"run_id": "run-1", "environment": plan.environment, "operator": operator}
    return Intentions(ledger).begin(payload, approval=approval, **who).action_id


def ended(ledger: Ledger, action_id: str, result: str = "applied", environment: str = PLACE) -> None:
    """What came of an intention."""
    Intentions(ledger).end(
        action_id, {"result": result}, environment=environment, certain=result != "may have changed", **WHO
    )


def started(
    ledger: Ledger, *, environment: str = PLACE, approver: str = "", protected: bool = False, **terms: Any
) -> str:
    """An applied ``start_rollout``; its id is returned."""
    action = StartRollout(**{"feature": FEATURE, **terms})
    action_id = begun(ledger, plan_of(action, environment, protected=protected), approver=approver)
    ended(ledger, action_id, environment=environment)
    return action_id


def opened(ledger: Ledger, action_id: str = "", **terms: Any) -> Campaign:
    """A campaign that has just begun."""
    return Campaigns(ledger).open(action_id or started(ledger, **terms), baseline=None, whitelist_count=3, **WHO)


def moved(ledger: Ledger, campaign: Campaign, to: int) -> Campaign:
    """The campaign at another stage, by an applied ``move_rollout``."""
    action = MoveRollout(feature=campaign.feature, from_percentage=campaign.percentage, to_percentage=to)
    action_id = begun(ledger, plan_of(action, campaign.environment), campaign=campaign.id)
    ended(ledger, action_id, environment=campaign.environment)
    at = datetime.now(UTC)
    return Campaigns(ledger).moved(campaign, campaign.percentage, to, at=at, action_id=action_id, **WHO)


def window_after(campaign: Campaign, **changes: Any) -> RolloutWindow:
    """The hour after the last look of the stage, measured in every detail that a window can have."""
    last = campaign.last_look
    begins = last.window.ended_at if last else campaign.stage_started_at
    usual: dict[str, Any] = {
        "started_at": begins,
        "ended_at": begins + HOUR,
        "enhanced": CohortSample(1234.5, 1.0, None, {0.1: 1000.25, 2.5: 1234.0, math.inf: 1234.5}),
        "control": CohortSample(0.0),
        "served_percent": (9.0, 10.0),
        "hit_ratio": 1 / 3,
        "lookups": 1e9,
        "observed_ratio": 0.98,
        "gaps": {"warming": Gap.NO_SERIES, 'a "b"\n;{}': Gap.STALE},
        "queries": {"hit rate": 'sum(increase(x{a="b\\n"}[1h] @ 1795316047.123))'},
    }
    return RolloutWindow(**{**usual, **changes})


def look_after(campaign: Campaign, verb: str = "hold", **changes: Any) -> KeptLook:
    """The next look of the stage."""
    last = campaign.last_look
    window = window_after(campaign)
    usual: dict[str, Any] = {
        "stage_number": campaign.stage_number,
        "look": last.look + 1 if last else 1,
        "percentage": campaign.percentage,
        "at": window.ended_at,
        "window": window,
        "decision": {"verb": verb, "reasons": ["soaking"], "text": "errors 0.2 %", "healthy_seconds": 3600.0},
        **WHO,
    }
    return KeptLook(**{**usual, **changes})


def looked(ledger: Ledger, campaign: Campaign, verb: str = "hold") -> Campaign:
    """The campaign after one more look."""
    return Campaigns(ledger).looked(campaign, look_after(campaign, verb))


def baseline() -> Baseline:
    """A day, one hour of it unmeasured."""
    ended_at = datetime(2026, 11, 22, 2, tzinfo=UTC)
    slots = tuple(
        BaselineSlot(ended_at - (24 - hour) * HOUR, 1.0, None if hour == 3 else 0.9, used_memory_bytes=2.0**31)
        for hour in range(24)
    )
    return Baseline(ended_at, 3600.0, slots)
