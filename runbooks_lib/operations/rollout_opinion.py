"""What Kayenta would say of the stage, shown beside what was decided."""

from __future__ import annotations

from runbooks_lib.judgement.rollout.second_opinion import second_opinions
from runbooks_lib.operations.rollout import RolloutRun
from runbooks_lib.operations.rollout_looks import history_of
from runbooks_lib.presentation.display import Shown, show_text
from runbooks_lib.presentation.rollout import show_gates
from runbooks_lib.records.campaigns import policy_of
from runbooks_lib.runbook import Runbook


def show_second_opinion(rollout: RolloutRun, runbook: Runbook) -> Shown:
    """Kayenta's judgement of errors, slow requests and p95 over the looks of the stage. It decides nothing."""
    campaign = rollout.campaign
    if campaign is None or not campaign.stage_looks:
        return show_text("No look was kept at this stage yet.")
    opinions = second_opinions(history_of(campaign), None, policy_of(campaign, runbook.policy))
    if not opinions:
        return show_text(f"At {campaign.percentage} % there are no two cohorts to compare.")
    return show_gates(opinions)
