"""What a person orders: pause, resume, abort, promote. Each needs a reason and is recorded with who gave it.

Each raises UsageError without a reason, and RefusedError where the campaign does not stand so that it could be done.
"""

from __future__ import annotations

from runbooks_lib.errors import RefusedError, RunbookError, SourceError
from runbooks_lib.judgement.rollout.model import Decision, Stand, Verb
from runbooks_lib.model import Unreadable
from runbooks_lib.operations import rollout_steps as steps
from runbooks_lib.operations.rollout_judging import EXPECTED, judge, judge_and_keep
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
    if work.order.confirm:
        take_flag(work, campaign)
        # What happened since the newest look may be harm that nobody has judged yet.
        campaign = judge_and_keep(work, campaign)
    else:
        work.judged = judge(work, campaign)
    decision = work.judged[-1].decision
    if work.order.confirm and decision.verb is Verb.ROLLBACK:
        steps.roll_back(work, campaign, reason=decision.text)
    elif work.order.confirm and decision.pauses:
        steps.pause(work, campaign, reason=decision.text)
    else:
        _require_no_harm(decision)
        if decision.verb is Verb.HOLD and decision.reasons[0] not in EXPECTED:
            work.notes.append(f"ordered although it {decision.text[:1].lower()}{decision.text[1:]}")
        steps.promote(work, campaign, reason=reason, by_person=True)


def _require_no_harm(decision: Decision) -> None:
    """Nobody goes up from where harm was found, confirmed or not.

    Raises:
        RefusedError: it was found.
    """
    failed = [gate.id for gate in decision.gates if gate.stand is Stand.FAIL]
    if failed:
        raise RefusedError(
            f"look {decision.look} found harm at {decision.percentage} %: {', '.join(failed)}",
            hint="wait for a look that does not, or take the feature away: action=abort",
        )


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
