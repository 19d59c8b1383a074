"""One execution of a gradual rollout: judge what is due, then hold, go one stage up, or take the feature away.

Level-triggered: what is done follows from the ledger, the flag and the metrics as they are now, never from what an
earlier execution meant to do. Executing twice changes nothing; a missed execution only delays; one that was killed is
settled by the next.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from runbooks_lib import units
from runbooks_lib.actions.apply import AUTO
from runbooks_lib.actions.keeper import locked
from runbooks_lib.actions.outcome import Outcome
from runbooks_lib.errors import RecordError, RefusedError, SourceError, UsageError
from runbooks_lib.judgement.rollout.model import Decision, Reason, Verb
from runbooks_lib.model import Unreadable
from runbooks_lib.operations import rollout_orders as orders
from runbooks_lib.operations import rollout_steps as steps
from runbooks_lib.operations.reading import attempt
from runbooks_lib.operations.rollout_grid import due_windows
from runbooks_lib.operations.rollout_looks import (
    Judged,
    history_of,
    judge_due,
    kept_look,
    without_look,
)
from runbooks_lib.operations.rollout_settle import settle, settle_start
from runbooks_lib.operations.rollout_tell import tell_people
from runbooks_lib.operations.rollout_work import (
    Came,
    Order,
    Work,
    execution_resource,
    read_flag,
    release_flag,
    take_flag,
)
from runbooks_lib.records.campaign import Campaign, CampaignState
from runbooks_lib.records.campaigns import Campaigns, policy_of
from runbooks_lib.records.leases import LeaseHeldError
from runbooks_lib.records.proposals import normalized
from runbooks_lib.redaction import one_line
from runbooks_lib.sources.metrics.cohorts import RolloutMetrics

if TYPE_CHECKING:
    from runbooks_lib.runbook import Runbook


@dataclass(frozen=True, slots=True)
class RolloutRun:
    """What one execution of a rollout came to.

    Attributes:
        feature: that is rolled out.
        came: what it came to.
        text: one sentence on that.
        campaign: as it is in the ledger afterwards; None where there is none.
        judged: the looks of this execution, oldest first.
        outcomes: of its changes, in their order.
        notes: what people should know beside that.
        reason: the person's; blank where none was given.
    """

    feature: str
    came: Came
    text: str
    campaign: Campaign | None
    judged: tuple[Judged, ...]
    outcomes: tuple[Outcome, ...]
    notes: tuple[str, ...]
    reason: str = ""

    @property
    def decision(self) -> Decision | None:
        """The newest; None where nothing was judged."""
        return self.judged[-1].decision if self.judged else None


def read_rollout(runbook: Runbook, feature: str) -> Campaign | Unreadable | None:
    """The newest rollout of a feature, ended or not; None where there never was one."""
    campaigns = Campaigns(runbook.run.ledger)
    return attempt(runbook, "rollout", "ledger", lambda: campaigns.latest(runbook.environment.name, feature))


def execute_rollout(  # noqa: PLR0913 - keyword-only, each a parameter of the notebook
    runbook: Runbook,
    feature: str,
    *,
    action: str = "go",
    terms: Mapping[str, object] | None = None,
    confirm: str = "",
    reason: str = "",
    now: datetime | None = None,
) -> RolloutRun:
    """Judge and act, or carry out a person's order.

    Args:
        runbook: the opened runbook.
        feature: that is rolled out.
        action: ``go`` judges and acts; ``pause``, ``resume``, ``abort`` and ``promote`` are orders of a person.
        terms: parameters of ``start_rollout`` beside the feature, for a rollout that begins.
        confirm: blank changes nothing and records no look. The digest of the start begins a rollout. ``auto`` judges
            and acts within one that was begun; it begins one only where the environment's ``allow_auto`` says so.
        reason: why; required for the orders of a person.
        now: aware; what is due is what had ended by then. The present moment by default.

    Returns:
        What it came to. Refusals and systems that cannot be read are outcomes, never exceptions.
    """
    work = Work(runbook, Order(feature, action, confirm.strip(), reason.strip(), dict(terms or {})), now or units.now())
    try:
        if work.order.confirm:
            with locked(work.desk(), (execution_resource(feature),), "gradual rollout"):
                _act(work)
                tell_people(work)
        else:
            _only_look(work)
    except (RefusedError, UsageError, SourceError, RecordError) as error:
        work.stop(error)
    return _finished(work)


def _finished(work: Work) -> RolloutRun:
    return RolloutRun(
        work.order.feature,
        work.came,
        work.text,
        _latest(work),
        work.judged,
        tuple(work.outcomes),
        tuple(work.notes),
        work.order.reason,
    )


def _act(work: Work) -> None:
    campaign, action = settle_start(work), work.order.action
    if campaign is None:
        if work.came is Came.NOTHING:
            _without_campaign(work)
        return
    campaign = settle(work, campaign)
    # A person who takes the feature away is not kept from it by what an earlier execution left.
    goes_on = {"abort": {Came.PAUSED, Came.UNSETTLED, Came.BEGUN, Came.PROMOTED}, "promote": {Came.BEGUN}}
    if work.came is Came.NOTHING or work.came in goes_on.get(action, {Came.PROMOTED, Came.BEGUN}):
        _ORDERS[action](work, campaign)


def _only_look(work: Work) -> None:
    """Blank confirm: what would be done, on live reads; nothing is recorded or changed."""
    campaign = work.campaigns.current(work.environment.name, work.order.feature)
    action = work.order.action
    if campaign is None:
        _without_campaign(work)
    elif action == "promote":
        orders.promote(work, campaign)
    elif action != "go":
        work.order.require_reason()
        work.ends(Came.JUDGED, f"would {action} {campaign.id}, which is {campaign.state} at {campaign.percentage} %")
        work.notes.append('to do it: confirm = "auto"')
    elif campaign.state is CampaignState.PAUSED:
        _say_paused(work, campaign)
    else:
        work.judged = _judge(work, campaign)
        decision = work.judged[-1].decision
        work.ends(Came.JUDGED, f"would {decision.verb}: {decision.text}")


def _without_campaign(work: Work) -> None:
    """Nothing is under way: begin, or say how the last one ended."""
    order = work.order
    last = work.campaigns.latest(work.environment.name, order.feature)
    if order.action != "go":
        feature = one_line(order.feature, longest=100)
        raise RefusedError(f"no rollout of {feature} is under way", hint="the rollouts: runbooks rollout status")
    if last is not None and order.confirm:
        # Where it was killed between its end and this.
        release_flag(work, last)
    if last is not None and order.confirm == AUTO:
        # What runs unattended for an earlier rollout must not begin the next one, least of all after a rollback.
        work.ends(
            Came.OVER, f"{last.id} is over: {last.end} since {units.timestamp(last.state_at)}: {last.state_reason}"
        )
    else:
        steps.begin(work)


def _go(work: Work, campaign: Campaign) -> None:
    """Judge what is due, write it down, and act on it."""
    _require_own_digest(work, campaign)
    if campaign.state is CampaignState.PAUSED:
        _say_paused(work, campaign)
        return
    try:
        take_flag(work, campaign)
    except LeaseHeldError as error:
        work.ends(Came.HINDERED, f"held: {error.message}")
        return
    judged = _judge(work, campaign)
    for one in judged:
        if one.window is not None:
            kept = kept_look(campaign, one, at=work.now, run_id=work.run_id, operator=work.operator)
            campaign = work.campaigns.looked(campaign, kept)
    work.judged = judged
    _follow(work, campaign, judged[-1].decision)


def _follow(work: Work, campaign: Campaign, decision: Decision) -> None:
    """Do what the newest look says."""
    if decision.verb is Verb.ROLLBACK:
        steps.roll_back(work, campaign, reason=decision.text)
    elif decision.pauses:
        steps.pause(work, campaign, reason=decision.text)
    elif decision.complete:
        steps.complete(work, campaign, reason=decision.text)
    elif decision.verb is Verb.PROMOTE:
        steps.promote(work, campaign, reason=decision.text)
    else:
        work.ends(Came.HELD, decision.text)


def _judge(work: Work, campaign: Campaign) -> tuple[Judged, ...]:
    """The looks that are due; the finding that none is, where none is."""
    now, policy = work.now, policy_of(campaign, work.runbook.policy)
    flag, history = read_flag(work, campaign.feature), history_of(campaign)
    due = due_windows(campaign, now)
    if not due:
        return (without_look(campaign, history, flag, policy, now),)
    metrics = RolloutMetrics(work.runbook.sources.prometheus, work.environment)
    return judge_due(
        due, history, flag, policy, lambda one: metrics.window(campaign.feature, one.started_at, one.ended_at)
    )


def _say_paused(work: Work, campaign: Campaign) -> None:
    if work.order.confirm:
        # Where it was killed between the pause and this.
        release_flag(work, campaign)
    by = f"by {campaign.state_by} since {units.timestamp(campaign.state_at)}"
    work.ends(Came.PAUSED, f"paused {by}: {campaign.state_reason}")


def _require_own_digest(work: Work, campaign: Campaign) -> None:
    """``auto``, or the digest that this very rollout was begun with: executed again with the same parameters.

    Raises:
        RefusedError: it is another digest.
    """
    confirm = work.order.confirm
    if confirm != AUTO and not campaign.full_digest.startswith(normalized(confirm)):
        raise RefusedError(
            f"{campaign.id} is under way, and {confirm[:40]} is not its digest",
            hint='to judge and act within it: confirm = "auto"',
        )


def _latest(work: Work) -> Campaign | None:
    try:
        return work.campaigns.latest(work.environment.name, work.order.feature)
    except RecordError:
        return None  # said already, by the outcome


_ORDERS = {
    "go": _go,
    "pause": orders.pause,
    "resume": orders.resume,
    "abort": orders.abort,
    "promote": orders.promote,
}
#: Reasons for which holding is as it should be.
EXPECTED = frozenset({Reason.SOAKING, Reason.SOAKED, Reason.NOT_DUE, Reason.COMPLETE})
