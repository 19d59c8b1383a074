"""One execution of a gradual rollout: judge what is due, then hold, go one stage up, or take the feature away.

Level-triggered: what is done follows from the ledger, the flag and the metrics as they are now, never from what an
earlier execution meant to do. Executing twice changes nothing; a missed execution only delays; one that was killed is
settled by the next.
"""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from runbooks_lib import units
from runbooks_lib.actions.apply import AUTO
from runbooks_lib.actions.outcome import Outcome
from runbooks_lib.errors import RecordError, RefusedError, SourceError, UsageError
from runbooks_lib.judgement.rollout.model import Decision, Verb
from runbooks_lib.model import Unreadable
from runbooks_lib.operations import rollout_orders as orders
from runbooks_lib.operations import rollout_steps as steps
from runbooks_lib.operations.reading import attempt
from runbooks_lib.operations.rollout_judging import judge, judge_and_keep
from runbooks_lib.operations.rollout_looks import Judged
from runbooks_lib.operations.rollout_settle import settle, settle_start
from runbooks_lib.operations.rollout_tell import tell_people
from runbooks_lib.operations.rollout_work import (
    Came,
    Order,
    Work,
    alone,
    release_flag,
    take_flag,
)
from runbooks_lib.records.campaign import Campaign, CampaignState
from runbooks_lib.records.campaigns import Campaigns
from runbooks_lib.records.leases import LeaseHeldError
from runbooks_lib.records.proposals import normalized
from runbooks_lib.redaction import one_line

if TYPE_CHECKING:
    from runbooks_lib.runbook import Runbook

_ANSWERED = (RefusedError, UsageError, SourceError, RecordError)


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
            with alone(work):
                _attempt(work)
                tell_people(work)
        else:
            _only_look(work)
    except _ANSWERED as error:
        work.stop(error)
    return _finished(work)


def _attempt(work: Work) -> None:
    """Whatever ends it, people are told of what had come about by then."""
    try:
        _act(work)
    except _ANSWERED as error:
        work.stop(error)
    except Exception as error:  # noqa: BLE001 - answered: where nobody watches, a bug must not look like a hold
        at = traceback.extract_tb(error.__traceback__)[-1]
        bug = f"{type(error).__name__} at {at.name}, line {at.lineno}: {one_line(str(error))}"
        work.ends(Came.FAILED, f"it ended early by a bug in the library: {bug}")


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
    stops = {Came.UNSETTLED, Came.BEGUN, Came.PROMOTED}
    goes_on = {"abort": {Came.PAUSED, *stops}, "pause": stops, "promote": {Came.BEGUN}}
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
    elif campaign.aborting:
        work.ends(Came.JUDGED, f"would take the feature away: {campaign.state_by} aborts it: {campaign.state_reason}")
    elif campaign.state is CampaignState.PAUSED:
        _say_paused(work, campaign)
    else:
        work.judged = judge(work, campaign)
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
    hindered = _locked(work, campaign)
    campaign = judge_and_keep(work, campaign)
    _follow(work, campaign, work.judged[-1].decision, hindered)


def _locked(work: Work, campaign: Campaign) -> str:
    """Lock the flag for the campaign; who holds it, where somebody else does.

    It is looked at nevertheless: harm is harm whoever holds the lock, and a rollback that it keeps from being done is
    loud.
    """
    try:
        take_flag(work, campaign)
    except LeaseHeldError as error:
        work.notes.append(f"the flag is somebody else's now: {error.message}")
        return error.message
    return ""


def _follow(work: Work, campaign: Campaign, decision: Decision, hindered: str) -> None:
    """Do what the newest look says."""
    if decision.verb is Verb.ROLLBACK:
        steps.roll_back(work, campaign, reason=decision.text)
    elif decision.pauses:
        steps.pause(work, campaign, reason=decision.text)
    elif decision.complete:
        steps.complete(work, campaign, reason=decision.text)
    elif decision.verb is Verb.PROMOTE and hindered:
        work.ends(Came.HINDERED, f"{decision.next_percentage} % is due and waits: {hindered}")
    elif decision.verb is Verb.PROMOTE:
        steps.promote(work, campaign, reason=decision.text)
    else:
        work.ends(Came.HELD, decision.text)


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
