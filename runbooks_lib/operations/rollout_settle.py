"""What an execution that was killed left behind, settled before anything else is judged or changed.

Each write-ahead point leaves another trace: a start or a move whose outcome is not known is looked at, under its lock;
one that was read back but is not the campaign's yet is recorded; harm that was found and not taken away is taken away.
"""

from __future__ import annotations

from collections.abc import Iterator

from runbooks_lib.actions.check import check
from runbooks_lib.actions.outcome import Outcome, Result
from runbooks_lib.errors import RefusedError
from runbooks_lib.judgement.rollout.model import Verb
from runbooks_lib.operations.rollout_steps import (
    end_rolled_back,
    open_campaign,
    pause,
    record_move,
    roll_back,
)
from runbooks_lib.operations.rollout_work import Came, Work, own_leases
from runbooks_lib.records.campaign import Campaign, CampaignState
from runbooks_lib.records.campaign_steps import (
    MOVE,
    Step,
    StepState,
    applied_rollback,
    find_step,
    open_move,
    open_start,
    unrecorded_move,
)
from runbooks_lib.records.campaigns import unopened_start
from runbooks_lib.records.intentions import OpenIntention, open_intentions
from runbooks_lib.unconfirmed import read_unconfirmed


def settle_start(work: Work) -> Campaign | None:
    """A start that was begun is looked at; one that was applied opens its campaign.

    Returns:
        The campaign that is current afterwards; None where there is none.
    """
    environment, feature = work.environment.name, work.order.feature
    begun = open_start(work.ledger, environment, feature)
    if begun is not None:
        _checked(work, begun, None)
        if work.came is Came.UNSETTLED:
            return None
    step = unopened_start(work.ledger, environment, feature)
    if step is not None:
        work.notes.append(f"the start of {step.operator} had been applied, and its campaign was never opened")
        return open_campaign(work, step.action_id)
    return work.campaigns.current(environment, feature)


def settle(work: Work, campaign: Campaign) -> Campaign:
    """Bring the campaign's record and the site into agreement, as far as that needs no person.

    Returns:
        The campaign; ``work.came`` says whether this execution has come to its end with it.
    """
    for begun in _open_changes(work, campaign):
        outcome = _checked(work, begun, campaign)
        if outcome.result is Result.OTHERWISE and campaign.state is CampaignState.RUNNING:
            return pause(work, campaign, reason=f"{begun.action} ended otherwise than planned: {outcome.detail}")
        if work.came is Came.UNSETTLED:
            return campaign
    moved = unrecorded_move(work.ledger, campaign) or _moved_by_person(work, campaign)
    if moved is not None and moved.parameters.get("from_percentage") == campaign.percentage:
        work.notes.append("the move had been made, and was not recorded in the campaign")
        campaign = record_move(work, campaign, moved.action_id)
    down = applied_rollback(work.ledger, campaign)
    if down is not None and not _since(campaign, down):
        work.notes.append("the feature had been taken away, and the campaign was not ended")
        return end_rolled_back(work, campaign, reason=str(_decided(campaign) or campaign.state_reason or down.action))
    if campaign.aborting:
        return roll_back(work, campaign, reason=campaign.state_reason)
    if campaign.state is CampaignState.RUNNING and _is_rollback_due(campaign):
        return roll_back(work, campaign, reason=_decided(campaign))
    return campaign


def _open_changes(work: Work, campaign: Campaign) -> Iterator[OpenIntention]:
    """Changes of this campaign, or of its flag by a person's order, of which it is not known whether they happened."""
    mine = open_move(work.ledger, campaign)
    if mine is not None:
        yield mine
    for one in open_intentions(work.ledger, campaign.environment):
        intent = one.plan.get("intent") or {}
        is_same = mine is not None and one.action_id == mine.action_id
        if one.action == MOVE and intent.get("feature") == campaign.feature and not is_same:
            yield one


def _checked(work: Work, begun: OpenIntention, campaign: Campaign | None) -> Outcome:
    """Look, under the lock, whether the change is there; the intention is settled unless it could not be read."""
    leases = own_leases(work, campaign) if campaign is not None else ()
    try:
        outcome = check(begun.action_id, work.desk(leases))
    except RefusedError as error:
        # The configuration leads elsewhere by now, or somebody else changes the same: a person can still take it away.
        work.stop(error)
        work.ends(Came.UNSETTLED, f"what came of {begun.action} cannot be told: {error.message}")
        return work.outcomes[-1]
    work.keep(outcome)
    work.runbook.unconfirmed = read_unconfirmed(work.ledger, work.environment.name)
    if outcome.result is Result.MAY_HAVE_CHANGED:
        work.ends(Came.UNSETTLED, f"what came of {begun.action} could not be read: {outcome.detail}")
    return outcome


def _moved_by_person(work: Work, campaign: Campaign) -> Step | None:
    """A move of this flag from where the campaign stands that a person ordered, and that is not recorded in it."""
    told = {move.action_id for move in campaign.moves}
    events = work.ledger.events(
        kind="action.intended", environment=campaign.environment, since=campaign.stage_started_at
    )
    steps = (find_step(work.ledger, event.event_id) for event in events if event.event_id not in told)
    wanted = (MOVE, StepState.APPLIED, campaign.feature)
    found = [one for one in steps if one and (one.action, one.state, one.parameters.get("feature")) == wanted]
    return found[-1] if found else None


def _since(campaign: Campaign, down: Step) -> bool:
    """Did the campaign go on after that rollback? Then it is not what ended it."""
    return down.at < campaign.stage_started_at


def _is_rollback_due(campaign: Campaign) -> bool:
    last = campaign.last_look
    return last is not None and last.decision.get("verb") == Verb.ROLLBACK.value


def _decided(campaign: Campaign) -> str:
    """What the newest look says."""
    last = campaign.last_look
    return "" if last is None else str(last.decision.get("text", ""))
