"""What a person orders: pause, resume, abort, promote. Each needs a reason and is recorded with who gave it.

Each raises UsageError without a reason, and RefusedError where the campaign does not stand so that it could be done.
"""

from __future__ import annotations

from runbooks_lib.errors import RefusedError, RunbookError, SourceError
from runbooks_lib.model import Unreadable
from runbooks_lib.operations import rollout_steps as steps
from runbooks_lib.operations.rollout_work import Came, Work, read_flag, release_flag, take_flag
from runbooks_lib.records.campaign import Campaign, CampaignState


def pause(work: Work, campaign: Campaign) -> None:
    """Stop at this percentage until somebody resumes it."""
    steps.pause(work, campaign, reason=work.order.require_reason())


def abort(work: Work, campaign: Campaign) -> None:
    """Take the feature away from everybody now, and end it."""
    steps.abort(work, campaign, reason=work.order.require_reason())


def promote(work: Work, campaign: Campaign) -> None:
    """The next stage now, by order of a person; never after a look that found harm, and never more than one."""
    reason = work.order.require_reason()
    if campaign.state is not CampaignState.RUNNING:
        raise RefusedError(f"{campaign.id} is {campaign.state}: {campaign.state_reason}", hint="resume it first")
    last = campaign.last_look
    failed = [gate["id"] for gate in last.decision.get("gates", ()) if gate.get("stand") == "fail"] if last else []
    if failed:
        raise RefusedError(
            f"look {last.look if last else 0} found harm at {campaign.percentage} %: {', '.join(failed)}",
            hint="wait for a look that does not, or take the feature away: action=abort",
        )
    if work.order.confirm:
        take_flag(work, campaign)
    steps.promote(work, campaign, reason=reason, by_person=True)


def resume(work: Work, campaign: Campaign) -> None:
    """Go on, where the flag stands at one of the stages; the clock of the stage starts anew."""
    reason = work.order.require_reason()
    if campaign.state is not CampaignState.PAUSED:
        raise RefusedError(f"{campaign.id} is {campaign.state}, not paused", hint="see: runbooks rollout status")
    flag = read_flag(work, campaign.feature)
    if isinstance(flag, Unreadable):
        raise SourceError(f"the flag could not be read: {flag.reason}", source=flag.source, hint=flag.hint)
    if flag.strategy != "gradual" or flag.percentage not in campaign.stages:
        raise RefusedError(
            f"{campaign.feature} is {flag.strategy} at {flag.percentage:g} %, which is no stage of {campaign.id}",
            hint=f"set it to one of {', '.join(map(str, campaign.stages))} % first, or abort the rollout",
        )
    take_flag(work, campaign)
    try:
        campaign = work.campaigns.resumed(
            campaign, reason=reason, run_id=work.run_id, operator=work.operator, percentage=int(flag.percentage)
        )
    except RunbookError:
        release_flag(work, campaign)
        raise
    work.ends(Came.RESUMED, f"resumed at {campaign.percentage} %; the stage begins anew")
