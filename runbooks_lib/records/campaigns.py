"""Campaigns in the ledger: opened by an applied ``start_rollout``, looked at, moved, paused, resumed, ended.

::

    campaigns = Campaigns(ledger)
    campaign = campaigns.open(action_id, baseline=…, whitelist_count=3, run_id=…, operator="anna")
    campaign = campaigns.looked(campaign, kept_look)
    campaign = campaigns.moved(campaign, 10, 25, at=…, action_id=…, run_id=…, operator="anna")
    campaign = campaigns.ended(campaign, "complete", reason="soaked", run_id=…, operator="anna")

Whatever is written is judged inside the transaction that writes it, on the campaign as it is in the ledger then, not as
the caller read it before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from runbooks_lib.errors import RefusedError, UsageError
from runbooks_lib.facts.rollout import Baseline, RolloutWindow
from runbooks_lib.policy import Policy
from runbooks_lib.records import campaign as words
from runbooks_lib.records import campaign_fold as fold
from runbooks_lib.records.campaign import Campaign, CampaignState, KeptLook, Move, campaign_id
from runbooks_lib.records.campaign_find import (
    all_campaigns,
    current_campaign,
    find_campaign,
    names_of,
    unopened_start,
)
from runbooks_lib.records.campaign_rules import (
    look_again,
    not_next,
    require_alone,
    require_applied,
    require_move,
    require_readable,
    require_same,
    shown_state,
    window_data,
)
from runbooks_lib.records.campaign_steps import (
    Step,
    applied_rollback,
    find_step,
    open_move,
    open_start,
    opened,
    unrecorded_move,
)
from runbooks_lib.records.campaign_terms import policy_from
from runbooks_lib.records.ledger import Ledger, Writing, find_event
from runbooks_lib.redaction import one_line, redact, redact_value
from runbooks_lib.rollout_policy import RolloutPolicy

__all__ = [
    "Campaign",
    "CampaignState",
    "Campaigns",
    "KeptLook",
    "Move",
    "Step",
    "applied_rollback",
    "find_campaign",
    "open_move",
    "open_start",
    "policy_of",
    "unopened_start",
    "unrecorded_move",
]

_LONGEST_REASON = 2_000


class Campaigns:
    """The campaigns of all environments. Whatever is written here only adds events.

    Args:
        ledger: of events.
        secrets: values to remove from reasons, decisions, notes and queries; longest first.
    """

    def __init__(self, ledger: Ledger, secrets: Sequence[str] = ()) -> None:
        self._ledger = ledger
        self._secrets = tuple(secrets)

    def open(
        self,
        action_id: str,
        *,
        baseline: Baseline | None,
        whitelist_count: int | None,
        run_id: str,
        operator: str,
    ) -> Campaign:
        """Open the campaign of an applied start, or give the one that it opened already.

        Terms, digest and approver come out of the start's own entry in the ledger; the clock of the first stage begins
        when the start was read back.

        Args:
            action_id: of ``start_rollout``.
            baseline: recorded before the release; None where there is none.
            whitelist_count: of the flag now; None when not known.
            run_id: the run that opens it.
            operator: who opens it.

        Raises:
            RefusedError: the start was not applied, or another campaign of the feature is current.
            RecordError: the ledger could not be read or written.
        """
        with self._ledger.writing() as writing:
            step = require_applied(find_step(writing, action_id), action_id)
            if opened(writing, step.action_id):
                return require_same(find_campaign(writing, campaign_id(step.action_id)), step)
            require_alone(writing, step)
            payload = {
                "campaign": campaign_id(step.action_id),
                "action_id": step.action_id,
                "feature": step.parameters["feature"],
                "parameters": step.parameters,
                "full_digest": step.full_digest,
                "approver": step.approval.get("approver", ""),
                "baseline": fold.as_data(baseline and replace(baseline, notes=self._told(baseline.notes))),
                "whitelist_count": whitelist_count,
                "stage_started_at": step.at,
            }
            who = {"run_id": run_id, "environment": step.environment, "operator": operator}
            writing.append(kind=words.OPENED, payload=payload, event_id=fold.opened_id(step.action_id), **who)
            return require_readable(find_campaign(writing, payload["campaign"]))

    def current(self, environment: str, feature: str) -> Campaign | None:
        """The campaign of a feature that has not ended; None where there is none.

        Raises:
            RecordError: the ledger could not be read.
        """
        return current_campaign(self._ledger, environment, feature)

    def latest(self, environment: str, feature: str) -> Campaign | None:
        """The newest campaign of a feature, ended or not; None where there never was one."""
        for name in names_of(self._ledger, environment, feature):
            found = find_campaign(self._ledger, name)
            if found is not None:
                return found
        return None

    def find(self, name: str) -> Campaign:
        """The campaign with this id.

        Raises:
            UsageError: there is none.
            RecordError: the ledger could not be read.
        """
        found = find_campaign(self._ledger, name)
        if found is None:
            raise UsageError(
                f"there is no campaign {one_line(name, longest=60)!r}", hint="ids look like rollout-9c1f77ab"
            )
        return found

    def all(self, environment: str | None = None) -> tuple[Campaign, ...]:
        """Every campaign, oldest first.

        Raises:
            RecordError: the ledger could not be read.
        """
        return tuple(one for one in all_campaigns(self._ledger) if environment in (None, one.environment))

    def looked(self, campaign: Campaign, look: KeptLook) -> Campaign:
        """Keep one judged window with its decision.

        Raises:
            RefusedError: another execution recorded this look, the campaign does not run, or it moved on meanwhile;
                nothing was written.
            RecordError: the ledger could not be read or written, or the window cannot be kept exactly.
        """
        payload = {
            "stage_number": look.stage_number,
            "look": look.look,
            "percentage": look.percentage,
            "at": look.at,
            "window": window_data(self._redacted(look.window)),
            "decision": redact_value(dict(look.decision), self._secrets),
        }
        with self._ledger.writing() as writing:
            now = self._require(writing, campaign, CampaignState.RUNNING)
            if now.aborting:
                raise RefusedError(f"{now.id} is being aborted by {one_line(now.state_by)}", hint=look_again(now))
            name = fold.look_id(now, look.stage_number, look.look)
            if find_event(writing, name) is not None:
                raise RefusedError(f"another execution has recorded look {look.look} already", hint=look_again(now))
            if not fold.follows(now, look):
                raise RefusedError(not_next(now, look), hint=look_again(now))
            return self._append(writing, now, words.LOOKED, name, payload, look.run_id, look.operator)

    def moved(  # noqa: PLR0913 - what a move is
        self,
        campaign: Campaign,
        from_percentage: int,
        to_percentage: int,
        *,
        at: datetime,
        action_id: str,
        run_id: str,
        operator: str,
    ) -> Campaign:
        """Record that the flag was moved and read back; the clock of the next stage begins.

        Args:
            campaign: running or paused: what happened is recorded, whatever was said meanwhile.
            from_percentage: where it was.
            to_percentage: a stage.
            at: aware UTC, when it was read back.
            action_id: of ``move_rollout``, applied.
            run_id: the run that records it.
            operator: who records it.

        Raises:
            RefusedError: it was recorded already, or is no move of this campaign; nothing was written.
            RecordError: the ledger could not be read or written.
        """
        payload = {"from": from_percentage, "to": to_percentage, "at": at, "action_id": action_id}
        with self._ledger.writing() as writing:
            now = self._require(writing, campaign, CampaignState.RUNNING, CampaignState.PAUSED)
            if any(move.action_id == action_id for move in now.moves):
                raise RefusedError(
                    f"another execution has recorded the move to {to_percentage} % already", hint=look_again(now)
                )
            require_move(writing, now, payload)
            name = fold.next_id(now, words.MOVED)
            return self._append(writing, now, words.MOVED, name, payload, run_id, operator)

    def paused(self, campaign: Campaign, *, reason: str, run_id: str, operator: str) -> Campaign:
        """Nothing is judged or changed until it is resumed.

        Raises:
            RefusedError: it is not running; nothing was written.
            UsageError: no reason is given.
            RecordError: the ledger could not be read or written.
        """
        return self._said(campaign, words.PAUSED, (CampaignState.RUNNING,), {"reason": reason}, run_id, operator)

    def resumed(
        self, campaign: Campaign, *, reason: str, run_id: str, operator: str, percentage: int | None = None
    ) -> Campaign:
        """Go on after a pause: the clock of the stage starts anew, its earlier looks do not count any more.

        Args:
            campaign: paused.
            reason: why.
            run_id: the run that resumes it.
            operator: who resumes it.
            percentage: the stage at which the flag stands now; None where it stands as the campaign left it.

        Raises:
            RefusedError: it is not paused, or is being aborted; nothing was written.
            UsageError: no reason is given, or the percentage is no stage.
            RecordError: the ledger could not be read or written.
        """
        if percentage is not None and percentage not in campaign.stages:
            raise UsageError(f"{percentage} % is no stage of {', '.join(map(str, campaign.stages))}")
        # Left out where it stays: a move may have been recorded since the caller read the campaign.
        payload = {"reason": reason, **({} if percentage is None else {"percentage": percentage})}
        return self._said(campaign, words.RESUMED, (CampaignState.PAUSED,), payload, run_id, operator)

    def aborting(self, campaign: Campaign, *, reason: str, run_id: str, operator: str) -> Campaign:
        """Say, before the feature is taken away, that it will be: from now on nothing but the way down is allowed.

        Raises:
            RefusedError: it ended, or is being aborted already; nothing was written.
            UsageError: no reason is given.
            RecordError: the ledger could not be read or written.
        """
        states = (CampaignState.RUNNING, CampaignState.PAUSED)
        return self._said(campaign, words.ABORTING, states, {"reason": reason}, run_id, operator)

    def ended(self, campaign: Campaign, end: str, *, reason: str, run_id: str, operator: str) -> Campaign:
        """It is over.

        Args:
            campaign: running or paused.
            end: ``complete``, ``rolled back`` or ``aborted``.
            reason: why.
            run_id: the run that ends it.
            operator: who ends it.

        Raises:
            RefusedError: it ended already, or cannot be complete yet; nothing was written.
            UsageError: no such end, or no reason is given.
            RecordError: the ledger could not be read or written.
        """
        if end not in words.ENDS:
            raise UsageError(f"a campaign ends {', '.join(words.ENDS)}, not {one_line(end, longest=60)!r}")
        states = (CampaignState.RUNNING, CampaignState.PAUSED)
        return self._said(campaign, words.ENDED, states, {"end": end, "reason": reason}, run_id, operator)

    def _redacted(self, window: RolloutWindow) -> RolloutWindow:
        """Its texts come from a server and out of the configuration; its numbers stay."""
        queries = {name: redact(text, self._secrets) for name, text in window.queries.items()}
        return replace(window, notes=self._told(window.notes), queries=queries)

    def _told(self, notes: Sequence[str]) -> tuple[str, ...]:
        return tuple(redact(note, self._secrets) for note in notes)

    def _said(  # noqa: PLR0913, PLR0917 - one shape for the four of them
        self,
        campaign: Campaign,
        kind: str,
        states: tuple[CampaignState, ...],
        payload: Mapping[str, Any],
        run_id: str,
        operator: str,
    ) -> Campaign:
        reason = one_line(payload["reason"], self._secrets, longest=_LONGEST_REASON)
        if not reason:
            raise UsageError(f"{kind.partition('.')[2]} needs a reason", hint='add --reason "…"')
        with self._ledger.writing() as writing:
            now = self._require(writing, campaign, *states)
            if now.aborting and kind != words.ENDED:
                raise RefusedError(f"{now.id} is being aborted by {one_line(now.state_by)}", hint=look_again(now))
            if payload.get("end") == words.COMPLETE and (now.percentage != now.stages[-1] or now.aborting):
                raise RefusedError(f"{now.id} is at {now.percentage} %, not at its goal of {now.stages[-1]} %")
            name = fold.next_id(now, kind)
            return self._append(writing, now, kind, name, {**payload, "reason": reason}, run_id, operator)

    def _require(self, writing: Writing, campaign: Campaign, *states: CampaignState) -> Campaign:
        """The campaign as it is in the ledger now, in one of these states."""
        now = require_readable(find_campaign(writing, campaign.id))
        if now.state not in states:
            raise RefusedError(shown_state(now), hint=look_again(now))
        return now

    def _append(  # noqa: PLR0913, PLR0917 - the fields of an event
        self,
        writing: Writing,
        campaign: Campaign,
        kind: str,
        name: str,
        payload: Mapping[str, Any],
        run_id: str,
        operator: str,
    ) -> Campaign:
        """Add the event, and give the campaign as anybody reads it from now on."""
        if find_event(writing, name) is not None:
            raise RefusedError(f"another execution has recorded {name} already", hint=look_again(campaign))
        writing.append(
            kind=kind,
            run_id=run_id,
            environment=campaign.environment,
            operator=operator,
            payload={**payload, "campaign": campaign.id},
            event_id=name,
        )
        return require_readable(find_campaign(writing, campaign.id))


def policy_of(campaign: Campaign, thresholds: Policy) -> RolloutPolicy:
    """How it is judged: as it was approved, with the environment's thresholds."""
    return policy_from(campaign.parameters, thresholds)
