"""The mandate of a campaign: its start was approved once, and covers each of its steps. Nothing else.

A person who looks at a plan confirms it with its digest; a campaign goes on at night. What it may do then was shown
when it was started, and approved: one stage further, once the look before says so, and the way down at any time.
Everything is read from the ledger when it is asked, inside the transaction that writes the intention.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

from runbooks_lib.errors import RefusedError, UsageError
from runbooks_lib.records.approval import Approval, approval_of, one_account, require_signature
from runbooks_lib.records.campaign import Campaign, CampaignState
from runbooks_lib.records.campaign_find import find_campaign
from runbooks_lib.records.campaign_rules import look_again, shown_state
from runbooks_lib.records.campaign_steps import MOVE, START, Step, StepState, find_step
from runbooks_lib.records.campaign_terms import terms_of
from runbooks_lib.records.ledger import Ledger, Writing, find_event
from runbooks_lib.records.origin import account_in
from runbooks_lib.records.people import same_person
from runbooks_lib.records.proposals import SKEW_SECONDS
from runbooks_lib.redaction import one_line

#: An approval holds by the ledger's clock; an event tells the time of the machine that wrote it.
_SKEW = timedelta(seconds=SKEW_SECONDS)
#: Part of a target: where the site's own code says that it keeps what is not in the cache.
_DATABASES = "site.databases"


class Planned(Protocol):
    """What a mandate looks at in a plan (``actions.plan.Plan``)."""

    @property
    def action(self) -> str:
        """Its name."""
        ...

    @property
    def environment(self) -> str:
        """Its name."""
        ...

    @property
    def protected(self) -> bool:
        """A change needs somebody else's approval."""
        ...

    @property
    def intent(self) -> Mapping[str, Any]:
        """The parameters."""
        ...

    @property
    def target(self) -> Mapping[str, str]:
        """Where it really leads."""
        ...


@dataclass(frozen=True, slots=True)
class Mandate:
    """The right of one campaign to change its flag.

    Attributes:
        campaign_id: whose.
    """

    campaign_id: str

    def require(self, plan: Planned, reader: Ledger | Writing, allowed_signers: Path | None = None) -> Campaign:
        """The campaign, which may carry out this plan now.

        Args:
            plan: made on fresh reads, bound to its target.
            reader: of the ledger; a transaction where nothing may come between the answer and what follows.
            allowed_signers: where it is given, the approval of the start must be signed by somebody in it; for the way
                up, because a key that was taken away must not keep a feature on.

        Raises:
            RefusedError: it may not, and exactly why.
            RecordError: the ledger could not be read.
        """
        campaign = find_campaign(reader, self.campaign_id)
        if campaign is None:
            raise RefusedError(f"there is no campaign {one_line(self.campaign_id, longest=60)!r}")
        start = _require_start(reader, campaign)
        upward = _is_up(plan, campaign)
        _require_same_place(plan, campaign, start, upward=upward)
        if plan.protected:
            _require_approval(reader, start, allowed_signers if upward else None)
        _require_state(campaign, plan, upward=upward)
        if upward:
            _require_promotion(campaign, plan)
        else:
            _require_way_down(campaign, plan)
        return campaign


def _require_start(reader: Ledger | Writing, campaign: Campaign) -> Step:
    """The start was applied here, and the campaign's terms are those that it was confirmed with."""
    start = find_step(reader, campaign.action_id)
    if start is None or start.action != START or start.environment != campaign.environment:
        raise _no_mandate(campaign, "its start is not in the ledger")
    if start.state is not StepState.APPLIED:
        raise _no_mandate(campaign, f"its start was not applied: {start.state}")
    try:
        terms = terms_of(start.parameters)
    except UsageError as error:
        raise _no_mandate(campaign, f"its start cannot be read: {error.message}") from error
    same = (start.parameters.get("feature"), start.full_digest) == (campaign.feature, campaign.full_digest)
    if not same or terms != campaign.parameters:
        raise _no_mandate(campaign, "it is not what was started: feature, terms or digest differ from the start's")
    return start


def _require_same_place(plan: Planned, campaign: Campaign, start: Step, *, upward: bool) -> None:
    """Where it was started; for the way down, the same flag is enough.

    A release in the middle of a soak that adds a cache, another folder, a Redis that failed over: none of them may keep
    a feature on that does harm.
    """
    if plan.environment != campaign.environment:
        raise _no_mandate(campaign, f"it is for {campaign.environment}, not for {plan.environment}")
    target = start.plan.get("target")
    then: Mapping[str, Any] = target if isinstance(target, Mapping) else {}
    parts = {*then, *plan.target} if upward else _parts_of_flag(then, plan.target)
    moved = sorted(part for part in parts if then.get(part) != plan.target.get(part))
    if moved or not then:
        what = f"{', '.join(moved)} leads elsewhere than when it was started" if then else "its start names no place"
        raise _no_mandate(campaign, what)


def _parts_of_flag(then: Mapping[str, Any], now: Mapping[str, str]) -> frozenset[str]:
    """What makes it the same flag: the code that is called and its databases; its Redis where a side tells of none."""
    return frozenset({"manage", _DATABASES if _DATABASES in then and _DATABASES in now else "redis_url"})


def _require_approval(reader: Ledger | Writing, start: Step, allowed_signers: Path | None) -> None:
    """Somebody else approved the start, and that approval is in the ledger."""
    event = find_event(reader, str(start.approval.get("event", "")))
    if event is None or event.kind != "approval.given":
        raise _unapproved(start, "nobody approved it")
    try:
        approval = approval_of(event)
    except ValueError as error:
        raise _unapproved(start, "its approval cannot be read") from error
    if (approval.full_digest, approval.environment) != (start.full_digest, start.environment):
        raise _unapproved(start, f"the approval that it names is of {approval.digest}")
    if event.seq > start.seq or approval.expires_at + _SKEW < start.began_at:
        raise _unapproved(start, "its approval did not hold when it was started")
    if same_person(approval.approver, start.operator):
        raise _unapproved(start, f"{one_line(start.operator, longest=80)} started and approved it")
    if allowed_signers is not None:
        _require_signed(approval, start, allowed_signers)


def _require_signed(approval: Approval, start: Step, allowed_signers: Path) -> None:
    try:
        require_signature(approval.signed_text, approval.signature, approval.approver, start.operator, allowed_signers)
    except RefusedError as error:
        raise _unapproved(start, error.message) from error
    if reason := one_account(approval.account, account_in(start.payload), "started it"):
        raise _unapproved(start, reason)


def _is_up(plan: Planned, campaign: Campaign) -> bool:
    """Does the plan give the feature to more users than the campaign does now?"""
    to = plan.intent.get("to_percentage")
    return plan.action == MOVE and (type(to) is not int or to > campaign.percentage)


def _require_state(campaign: Campaign, plan: Planned, *, upward: bool) -> None:
    if campaign.state is CampaignState.ENDED:
        raise _refused(campaign, plan, shown_state(campaign))
    if campaign.aborting and upward:
        raise _refused(campaign, plan, f"it is being aborted by {one_line(campaign.state_by, longest=80)}")
    if campaign.state is CampaignState.PAUSED and not campaign.aborting:
        raise _refused(campaign, plan, shown_state(campaign))


def _require_promotion(campaign: Campaign, plan: Planned) -> None:
    """From where it stands to the very next stage, as the newest look of this stage decided."""
    _require_move(campaign, plan)
    to, last = plan.intent["to_percentage"], campaign.last_look
    if to != campaign.next_percentage:
        shown = "none" if campaign.next_percentage is None else f"{campaign.next_percentage} %"
        raise _refused(campaign, plan, f"the next stage after {campaign.percentage} % is {shown}, not {to} %")
    if last is None or last.decision.get("verb") != "promote":
        decided = "no look was kept at this stage" if last is None else f"look {last.look} of this stage did not"
        raise _refused(campaign, plan, f"only a look that promotes leads to the next stage, and {decided}")
    if plan.intent.get("accept_volatile", False) is not campaign.parameters["accept_volatile"]:
        raise _refused(campaign, plan, "accept_volatile is not as it was started with")


def _require_way_down(campaign: Campaign, plan: Planned) -> None:
    """Less of the feature: a lower stage, or the rollback that was shown when it was started, or the feature alone."""
    if plan.action == MOVE:
        _require_move(campaign, plan)
        to = plan.intent["to_percentage"]
        if to == campaign.percentage or to not in campaign.stages:
            raise _refused(campaign, plan, f"{to} % is no lower stage of {', '.join(map(str, campaign.stages))}")
    elif plan.action == "disable_feature" and plan.intent.get("feature") == campaign.feature:
        return
    elif plan.action != "roll_back_features" or campaign.rollback_action != plan.action:
        raise _refused(campaign, plan, f"it rolls back with {campaign.rollback_action} of {campaign.feature}")


def _require_move(campaign: Campaign, plan: Planned) -> None:
    intent = plan.intent
    if intent.get("feature") != campaign.feature:
        raise _refused(campaign, plan, f"it is for {campaign.feature}, not for {intent.get('feature')}")
    if type(intent.get("to_percentage")) is not int or intent.get("from_percentage") != campaign.percentage:
        raise _refused(campaign, plan, f"it is at {campaign.percentage} %, not at {intent.get('from_percentage')} %")


def _no_mandate(campaign: Campaign, why: str) -> RefusedError:
    return RefusedError(
        f"campaign {campaign.id} allows nothing: {one_line(why)}",
        hint=f"to stop it: runbooks rollout abort {one_line(campaign.feature, longest=100)} "
        f"-e {one_line(campaign.environment, longest=80)} --reason …",
    )


def _unapproved(start: Step, why: str) -> RefusedError:
    return RefusedError(
        f"the start of this rollout, action {start.action_id}, does not count as approved: {one_line(why)}",
        hint="start it again, and have the start approved by somebody else",
    )


def _refused(campaign: Campaign, plan: Planned, why: str) -> RefusedError:
    return RefusedError(
        f"campaign {campaign.id} is no mandate for {one_line(plan.action, longest=80)}: {one_line(why)}",
        hint=look_again(campaign),
    )
