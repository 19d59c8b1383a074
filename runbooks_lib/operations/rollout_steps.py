"""What a rollout does: begins, goes one stage up, takes the feature away, pauses, ends. Each step is written down.

Each is read back before the campaign says so: what the ledger tells of a campaign is what the site had.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbooks_lib.actions.outcome import Outcome, Result
from runbooks_lib.actions.registry import make_action
from runbooks_lib.errors import RecordError, RefusedError
from runbooks_lib.model import Status, Unreadable
from runbooks_lib.operations.rollout_work import Came, Work, own_leases, read_flag, release_flag, take_flag
from runbooks_lib.records.baselines import latest_baseline
from runbooks_lib.records.campaign import ABORTED, COMPLETE, ROLLED_BACK, Campaign
from runbooks_lib.records.campaign_steps import find_step
from runbooks_lib.records.leases import LeaseHeldError
from runbooks_lib.records.mandates import Mandate
from runbooks_lib.sources.metrics.baseline import read_baseline

if TYPE_CHECKING:
    from runbooks_lib.actions.action import Action
    from runbooks_lib.facts.rollout import Baseline

#: A baseline that was recorded longer ago than so many days is of another site.
_BASELINE_DAYS = 7
_SLOT_SECONDS = 3600.0
_DONE = (Result.APPLIED, Result.UNCHANGED)
#: Exit code of a rollback that was refused. 40 says that all is as it was, and here that is the harm.
_NOT_DONE = Status.FAIL.exit_code


def begin(work: Work) -> None:
    """Plan the start; with its digest, begin: the flag at the first stage, the campaign in the ledger."""
    order = work.order
    action = make_action("start_rollout", {"feature": order.feature, **order.terms})
    outcome = work.apply(action, reason=order.reason, confirm=order.confirm)
    if outcome.result is Result.PLANNED:
        work.ends(Came.PLANNED, "no rollout is under way; its start was planned")
    elif outcome.result is Result.APPLIED:
        open_campaign(work, outcome.action_id)


def open_campaign(work: Work, action_id: str) -> Campaign:
    """The campaign of a start that was applied, with the baseline that it is held against; its lock is taken."""
    flag = read_flag(work, work.order.feature)
    count = None if isinstance(flag, Unreadable) else flag.whitelist_count
    campaign = work.campaigns.open(
        action_id, baseline=_baseline(work), whitelist_count=count, run_id=work.run_id, operator=work.operator
    )
    work.ends(Came.BEGUN, f"begun at {campaign.percentage} %, first of {len(campaign.stages)} stages")
    try:
        take_flag(work, campaign)
    except LeaseHeldError as error:
        work.notes.append(f"the flag is not locked for it yet: {error.message}; the next execution takes the lock")
    return campaign


def promote(work: Work, campaign: Campaign, *, reason: str, by_person: bool = False) -> Campaign:
    """One stage up, if the flag still has the percentage that was judged.

    Args:
        work: of this execution.
        campaign: whose newest look promotes; or by order of a person, who confirms it as every other change.
        reason: why.
        by_person: it is not the campaign that goes on.
    """
    wanted = campaign.next_percentage
    if wanted is None:
        raise RefusedError(f"{campaign.percentage} % is the last stage of {campaign.id}", hint=_status_line(campaign))
    action = _move(campaign, wanted)
    leases = own_leases(work, campaign)
    if by_person:
        outcome = work.apply(action, reason=reason, confirm=work.order.confirm, leases=leases)
    else:
        outcome = work.apply(action, reason=reason, mandate=Mandate(campaign.id), leases=leases)
    if outcome.result is Result.PLANNED:
        work.ends(Came.JUDGED, f"would go from {campaign.percentage} to {wanted} %")
    elif outcome.result in _DONE and outcome.action_id:
        return record_move(work, campaign, outcome.action_id)
    else:
        work.ends(Came.FAILED, f"{wanted} % was due and was not set: {outcome.detail}")
    return campaign


def record_move(work: Work, campaign: Campaign, action_id: str) -> Campaign:
    """A move that was read back is one of the campaign's: the clock of the new stage begins with that moment.

    Raises:
        RefusedError: it is no move of this campaign.
        RecordError: the ledger does not know the move.
    """
    step = find_step(work.ledger, action_id)
    if step is None:
        raise RecordError(f"the ledger does not know action {action_id}", hint="see: runbooks verify")
    begins, ends = (int(step.parameters[name]) for name in ("from_percentage", "to_percentage"))
    campaign = work.campaigns.moved(
        campaign, begins, ends, at=step.at, action_id=action_id, run_id=work.run_id, operator=work.operator
    )
    work.ends(Came.PROMOTED, f"promoted from {begins} to {ends} %")
    return campaign


def roll_back(work: Work, campaign: Campaign, *, reason: str) -> Campaign:
    """Take the feature away now; the campaign ends when it was read back."""
    outcome = _take_away(work, campaign, reason)
    if outcome.result not in _DONE:
        work.ends(Came.FAILED, f"the rollback was due and is not done: {outcome.detail}")
        return campaign
    return end_rolled_back(work, campaign, reason=reason)


def end_rolled_back(work: Work, campaign: Campaign, *, reason: str) -> Campaign:
    """The feature is off and was read back: the campaign ends, by a person's order or by its own decision."""
    end = ABORTED if campaign.aborting else ROLLED_BACK
    why = reason.removeprefix(f"Rolls back from {campaign.percentage} %: ")
    # Said first: it is so, also where the ledger cannot be told.
    work.ends(Came.ABORTED if end == ABORTED else Came.ROLLED_BACK, f"{end} from {campaign.percentage} %: {why}")
    campaign = work.campaigns.ended(campaign, end, reason=reason, run_id=work.run_id, operator=work.operator)
    release_flag(work, campaign)
    return campaign


def abort(work: Work, campaign: Campaign, *, reason: str) -> Campaign:
    """By order of a person: nothing but the way down from now on, and down at once."""
    if not campaign.aborting:
        campaign = work.campaigns.aborting(campaign, reason=reason, run_id=work.run_id, operator=work.operator)
    return roll_back(work, campaign, reason=reason)


def pause(work: Work, campaign: Campaign, *, reason: str) -> Campaign:
    """Nothing goes on until a person resumes it; the flag stays as it is, and is anybody's to change."""
    campaign = work.campaigns.paused(campaign, reason=reason, run_id=work.run_id, operator=work.operator)
    release_flag(work, campaign)
    work.ends(Came.PAUSED, f"paused at {campaign.percentage} %: {reason}")
    return campaign


def complete(work: Work, campaign: Campaign, *, reason: str) -> Campaign:
    """The last stage has soaked: it is over, and the flag is anybody's to change."""
    campaign = work.campaigns.ended(campaign, COMPLETE, reason=reason, run_id=work.run_id, operator=work.operator)
    release_flag(work, campaign)
    work.ends(Came.COMPLETE, f"complete: {reason.removeprefix('Complete: ')}")
    return campaign


def _take_away(work: Work, campaign: Campaign, reason: str) -> Outcome:
    """As it was approved; where that cannot be, at least the feature that does harm."""
    mandate, leases = Mandate(campaign.id), own_leases(work, campaign)
    # What falls back by itself later is still better than harm now.
    alone: dict[str, object] = {"feature": campaign.feature, "accept_volatile": True}
    parameters = {"accept_volatile": True} if campaign.rollback_action == "roll_back_features" else alone
    action = make_action(campaign.rollback_action, parameters)
    outcome = work.apply(action, reason=reason, mandate=mandate, leases=leases, refused_code=_NOT_DONE)
    if outcome.changed is not False or outcome.result in _DONE or campaign.rollback_action == "disable_feature":
        return outcome
    work.notes.append(f"{campaign.rollback_action} was not possible ({outcome.detail}): the feature alone was tried")
    alone_action = make_action("disable_feature", alone)
    return work.apply(alone_action, reason=reason, mandate=mandate, leases=leases, refused_code=_NOT_DONE)


def _move(campaign: Campaign, to_percentage: int) -> Action:
    return make_action(
        "move_rollout",
        {
            "feature": campaign.feature,
            "from_percentage": campaign.percentage,
            "to_percentage": to_percentage,
            "accept_volatile": campaign.parameters["accept_volatile"],
        },
    )


def _baseline(work: Work) -> Baseline | None:
    """The newest that was recorded before the release; where there is none, the day before now."""
    from datetime import timedelta

    from runbooks_lib import units

    scale = work.environment.time_scale
    recorded = latest_baseline(work.ledger, work.environment.name)
    oldest = units.now() - timedelta(days=_BASELINE_DAYS / scale)
    if recorded is not None and recorded.ended_at >= oldest:
        return recorded
    found = read_baseline(work.runbook.sources.prometheus, work.environment, slot_seconds=_SLOT_SECONDS / scale)
    work.notes += [f"baseline: {note}" for note in found.notes]
    if found.complete_ratio:
        return found
    work.notes.append("no baseline: nothing of the day before was measured, so only the 0 % stage can stand for it")
    return None


def _status_line(campaign: Campaign) -> str:
    return f"see: runbooks rollout status {campaign.feature} -e {campaign.environment}"
