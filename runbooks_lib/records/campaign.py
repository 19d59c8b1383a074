"""One campaign: a gradual rollout of one feature on one environment, as the ledger tells it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from runbooks_lib.facts.rollout import Baseline, RolloutWindow
from runbooks_lib.records.campaign_terms import rollback_action

OPENED, LOOKED, MOVED = "campaign.opened", "campaign.looked", "campaign.moved"
PAUSED, RESUMED = "campaign.paused", "campaign.resumed"
ABORTING, ENDED = "campaign.aborting", "campaign.ended"
KINDS = (OPENED, LOOKED, MOVED, PAUSED, RESUMED, ABORTING, ENDED)

COMPLETE, ROLLED_BACK, ABORTED = "complete", "rolled back", "aborted"
ENDS = (COMPLETE, ROLLED_BACK, ABORTED)

_ID = re.compile(r"rollout-[0-9a-f]{8}")


class CampaignState(StrEnum):
    """May it go on?"""

    RUNNING = "running"
    PAUSED = "paused"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class KeptLook:
    """One judged window.

    Attributes:
        stage_number: of the campaign at that time, 0-based.
        look: 1-based, in its stage.
        percentage: that was judged, 0..100.
        at: aware UTC, when it was judged.
        window: what was measured.
        decision: as data: ``verb``, ``reasons``, ``text``, ``gates``, ``healthy_seconds`` and so on.
        run_id: the run that judged.
        operator: who ran it.
    """

    stage_number: int
    look: int
    percentage: int
    at: datetime
    window: RolloutWindow
    decision: Mapping[str, Any]
    run_id: str
    operator: str


@dataclass(frozen=True, slots=True)
class Move:
    """One change of the percentage that was read back.

    Attributes:
        from_percentage: 0..100.
        to_percentage: 0..100; a stage.
        at: aware UTC, when it had been read back.
        action_id: of the intention that made it.
        run_id: the run that recorded it.
        operator: who ran it.
    """

    from_percentage: int
    to_percentage: int
    at: datetime
    action_id: str
    run_id: str
    operator: str


@dataclass(frozen=True, slots=True)
class Campaign:
    """A gradual rollout of one feature on one environment.

    Attributes:
        id: ``rollout-<first 8 digits of the start's action>``.
        environment: its name.
        feature: such as ENHANCED_CACHE.
        parameters: the terms that were approved, as ``campaign_terms.terms_of`` gives them.
        opened_at: aware UTC.
        opened_by: who started it.
        action_id: of ``start_rollout``.
        full_digest: of the plan that was confirmed.
        approver: who approved it; empty where nobody had to.
        baseline: recorded before the release; None where there is none.
        whitelist_count: of the flag when the campaign began; None when not known.
        state: running, paused or ended.
        state_reason: why it is paused or ended, or was resumed; empty while it was never anything but running.
        state_by: who said so; empty likewise.
        state_at: aware UTC, since when it is so.
        end: ``complete``, ``rolled back`` or ``aborted``; empty before.
        aborting: somebody takes the feature away and ends it: nothing but the way down is allowed from then on.
        percentage: that it set last.
        stage_started_at: aware UTC, when that had been read back, or when somebody resumed it.
        stage_number: 0-based; counts the moves and resumptions: a stage that begins anew has another number.
        looks: of all stages, in their order.
        moves: in their order.
        pauses_count: how often it was paused.
        opened_seq: number of the event that opened it.
        ended_seq: of the one that ended it; 0 before.
    """

    id: str
    environment: str
    feature: str
    parameters: Mapping[str, Any]
    opened_at: datetime
    opened_by: str
    action_id: str
    full_digest: str
    approver: str
    baseline: Baseline | None
    whitelist_count: int | None
    state: CampaignState
    state_reason: str
    state_by: str
    state_at: datetime
    end: str
    aborting: bool
    percentage: int
    stage_started_at: datetime
    stage_number: int
    looks: tuple[KeptLook, ...]
    moves: tuple[Move, ...]
    pauses_count: int
    opened_seq: int
    ended_seq: int

    @property
    def stages(self) -> tuple[int, ...]:
        """Percentages, rising."""
        return tuple(self.parameters["stages"])

    @property
    def next_percentage(self) -> int | None:
        """The stage after the present one; None at the last, and where the percentage is no stage."""
        stages = self.stages
        at = stages.index(self.percentage) + 1 if self.percentage in stages else len(stages)
        return stages[at] if at < len(stages) else None

    @property
    def stage_looks(self) -> tuple[KeptLook, ...]:
        """The looks of the present stage."""
        return tuple(look for look in self.looks if look.stage_number == self.stage_number)

    @property
    def last_look(self) -> KeptLook | None:
        """The newest look of the present stage; None before the first."""
        looks = self.stage_looks
        return looks[-1] if looks else None

    @property
    def rollback_action(self) -> str:
        """``roll_back_features`` or ``disable_feature``, as it was approved."""
        return rollback_action(self.parameters, self.feature)


def campaign_id(action_id: str) -> str:
    """The name of the campaign that this start opens."""
    return f"rollout-{action_id[:8]}"


def is_campaign_id(text: str) -> bool:
    """Does it look like the name of a campaign?"""
    return _ID.fullmatch(text) is not None
