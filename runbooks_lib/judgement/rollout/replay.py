"""What would this policy have done? ``decide`` over the windows of a campaign that was recorded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from runbooks_lib.facts import Flag
from runbooks_lib.facts.rollout import Baseline, RolloutWindow
from runbooks_lib.judgement.rollout.decide import decide
from runbooks_lib.judgement.rollout.model import Decision, StageHistory, Verb
from runbooks_lib.rollout_policy import RolloutPolicy


@dataclass(frozen=True, slots=True)
class RecordedLook:
    """One look of a recorded campaign.

    Attributes:
        window: what was measured.
        verb: what was decided then; None where that was not recorded.
    """

    window: RolloutWindow
    verb: Verb | None = None


@dataclass(frozen=True, slots=True)
class RecordedStage:
    """One stage of a recorded campaign; a percentage that was entered twice is two stages.

    Attributes:
        percentage: that was served.
        started_at: aware UTC, when it had been read back.
        looks: in their order.
    """

    percentage: int
    started_at: datetime
    looks: tuple[RecordedLook, ...]


@dataclass(frozen=True, slots=True)
class Replayed:
    """One look, judged again.

    Attributes:
        stage_number: 0-based, in the recorded campaign.
        look: 1-based, in its stage.
        window: what was measured.
        recorded: what was decided then; None where that was not recorded.
        decision: what this policy decides.
        differs: it would have done something else.
        counterfactual: this policy had left the stage already, or ended the campaign: what was measured since is not
            what would have been measured.
    """

    stage_number: int
    look: int
    window: RolloutWindow
    recorded: Verb | None
    decision: Decision
    differs: bool
    counterfactual: bool


@dataclass(frozen=True, slots=True)
class Replay:
    """A campaign, judged again.

    Attributes:
        looks: all of them, in their order.
    """

    looks: tuple[Replayed, ...]

    @property
    def first_difference(self) -> Replayed | None:
        """Where this policy would first have done something else; what follows is another story."""
        return next((look for look in self.looks if look.differs), None)

    @property
    def rollback(self) -> Replayed | None:
        """Where it would have rolled back first; None where it never would."""
        return next((look for look in self.looks if look.decision.verb is Verb.ROLLBACK), None)


def replay(
    stages: Sequence[RecordedStage],
    policy: RolloutPolicy,
    *,
    baseline: Baseline | None = None,
    whitelist_count: int | None = None,
) -> Replay:
    """What would this policy have done at each look of a recorded campaign?

    Each look is judged with the windows of its recorded stage before it, as if the flag stood where the campaign left
    it and each execution was in time. What it would have measured elsewhere nobody knows, so every stage is judged
    from its beginning whatever this policy would have done before; ``counterfactual`` marks those looks.

    Args:
        stages: recorded, in their order.
        policy: to try.
        baseline: recorded before the release.
        whitelist_count: of the flag when the campaign began.

    Returns:
        One ``Replayed`` for each recorded look.

    Raises:
        ValueError: windows of a stage overlap or are out of order.
    """
    found: list[Replayed] = []
    zero: tuple[RolloutWindow, ...] = ()
    ended = False
    for number, stage in enumerate(stages):
        history = StageHistory(stage.percentage, stage.started_at, (), zero, baseline, whitelist_count)
        looks = _stage(number, stage, history, policy, ended=ended)
        ended = ended or any(look.decision.verb is Verb.ROLLBACK for look in looks)
        found += looks
        if stage.percentage == 0:
            zero = tuple(look.window for look in stage.looks)
    return Replay(tuple(found))


def _stage(
    number: int, stage: RecordedStage, history: StageHistory, policy: RolloutPolicy, *, ended: bool
) -> list[Replayed]:
    flag = Flag("", "gradual", stage.percentage, history.whitelist_count, enabled=None)
    found, left = [], ended
    for look, recorded in enumerate(stage.looks, start=1):
        decision = decide(flag, history, recorded.window, recorded.window.ended_at, policy)
        differs = recorded.verb is not None and decision.verb is not recorded.verb
        found.append(Replayed(number, look, recorded.window, recorded.verb, decision, differs, counterfactual=left))
        left = left or decision.verb is not Verb.HOLD
        history = replace(history, windows=(*history.windows, recorded.window))
    return found
