"""What is due is judged, and kept: one function for an execution that goes on and for a person's promotion."""

from __future__ import annotations

from datetime import datetime, timedelta

from runbooks_lib import units
from runbooks_lib.errors import RecordError, RefusedError
from runbooks_lib.judgement.rollout.model import Reason, Verb
from runbooks_lib.operations.rollout_grid import due_windows
from runbooks_lib.operations.rollout_looks import Judged, history_of, judge_due, kept_look, without_look
from runbooks_lib.operations.rollout_status import order_line
from runbooks_lib.operations.rollout_work import Work, read_flag
from runbooks_lib.records.campaign import Campaign
from runbooks_lib.records.campaigns import policy_of
from runbooks_lib.sources.metrics.cohorts import RolloutMetrics

#: Reasons for which holding is as it should be.
EXPECTED = frozenset({Reason.SOAKING, Reason.SOAKED, Reason.NOT_DUE, Reason.COMPLETE})
#: Clocks of two machines that agree well enough.
_SKEW = timedelta(seconds=60)


def judge(work: Work, campaign: Campaign) -> tuple[Judged, ...]:
    """The looks that are due; the finding that none is, where none is.

    Raises:
        RefusedError: the campaign is in the future; see ``_require_clock``.
    """
    now, policy = work.now, policy_of(campaign, work.runbook.policy)
    _require_clock(campaign, now)
    flag, history = read_flag(work, campaign.feature), history_of(campaign)
    due = due_windows(campaign, now)
    if not due:
        return (without_look(campaign, history, flag, policy, now),)
    metrics = RolloutMetrics(work.runbook.sources.prometheus, work.environment)
    return judge_due(
        due, history, flag, policy, lambda one: metrics.window(campaign.feature, one.started_at, one.ended_at)
    )


def judge_and_keep(work: Work, campaign: Campaign) -> Campaign:
    """Judge what is due, and write each look down.

    Returns:
        The campaign with the looks; ``work.judged`` has the decisions.

    Raises:
        RefusedError: see ``judge``; or another execution was faster.
        RecordError: a look could not be kept, and nothing worse is known.
    """
    work.judged = judge(work, campaign)
    for one in work.judged:
        if one.window is None:
            continue
        kept = kept_look(campaign, one, at=work.now, run_id=work.run_id, operator=work.operator)
        try:
            campaign = work.campaigns.looked(campaign, kept)
        except RecordError as error:
            if work.judged[-1].decision.verb is not Verb.ROLLBACK:
                raise
            # Known harm does not wait for its record.
            work.notes.append(f"look {one.look} could not be kept: {error.message}")
            break
    return campaign


def _require_clock(campaign: Campaign, now: datetime) -> None:
    """No look is due before the newest one has ended: for days, where a clock was ahead when it was judged.

    Raises:
        RefusedError: the newest look or the stage itself lies in the future. Not silent, or it would hold for ever.
    """
    last = campaign.last_look
    newest = last.window.ended_at if last else campaign.stage_started_at
    if newest <= now + _SKEW:
        return
    what = f"look {last.look} of this stage ended" if last else "this stage began"
    anew = f"{order_line(campaign, 'pause')}, then resume"
    raise RefusedError(
        f"{what} at {units.timestamp(newest)}, and it is {units.timestamp(now)}: a clock is, or was, wrong",
        hint=f"set the clock; where this one is right, begin the stage anew: {anew}",
    )
