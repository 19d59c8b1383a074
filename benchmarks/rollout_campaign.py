"""One simulated campaign from 0 % to its end, as the runbook would execute it, and what many of them came to."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.rollout_crowd import WHITELISTED
from benchmarks.rollout_hours import HOURS
from benchmarks.rollout_methods import Judge, Look
from benchmarks.rollout_model import Stage, Traffic
from runbooks_lib.facts.rollout import SLOTS_COUNT, Baseline, RolloutWindow
from runbooks_lib.judgement.rollout.model import StageHistory, Verb
from runbooks_lib.rollout_policy import RolloutPolicy

ROLLED_BACK, COMPLETE, STALLED = "rolled back", "complete", "stalled"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one campaign ended.

    Attributes:
        end: rolled back, complete, or stalled: neither within two weeks.
        percentage: at the end.
        exposed_hours: from the first promotion above 0 % to the end; 0 where there was none.
        hours: from the beginning to the end.
        why: of the last judgement.
    """

    end: str
    percentage: int
    exposed_hours: float
    hours: float
    why: str


def run(traffic: Traffic, judge: Judge, policy: RolloutPolicy, baseline: Baseline) -> Outcome:
    """Execute a campaign once an hour, except where an execution is missed, until it ends.

    Each execution judges every window since the last one, in order; the newest judgement counts, or the first rollback.
    """
    stage, exposed, call = Stage(policy.stages[0], policy.stages[0], SLOTS_COUNT), None, None
    windows: tuple[RolloutWindow, ...] = ()
    zero: tuple[RolloutWindow, ...] = ()
    healthy, due = 0, SLOTS_COUNT
    for now in range(SLOTS_COUNT + 1, HOURS):
        if not traffic.hours.executed[now - 1]:
            continue
        for hour in range(due, now):
            window = traffic.window(hour, stage)
            history = StageHistory(
                stage.percentage, traffic.moment(stage.started), windows, zero, baseline, WHITELISTED
            )
            call = judge(Look(traffic, hour, stage, window, history, now), policy, healthy)
            windows, healthy = (*windows, window), healthy + call.healthy
            if call.verb is Verb.ROLLBACK:
                return _ended(ROLLED_BACK, stage, exposed, now, call.why)
        due = now
        if call is not None and call.complete:
            return _ended(COMPLETE, stage, exposed, now, call.why)
        if call is not None and call.verb is Verb.PROMOTE:
            zero = windows if stage.percentage == 0 else zero
            following = policy.stages[policy.stages.index(stage.percentage) + 1]
            stage, windows, healthy = Stage(following, stage.percentage, now), (), 0
            exposed = now if exposed is None else exposed
    return _ended(STALLED, stage, exposed, HOURS, "" if call is None else call.why)


def _ended(end: str, stage: Stage, exposed: int | None, now: int, why: str) -> Outcome:
    return Outcome(end, stage.percentage, 0.0 if exposed is None else now - exposed, now - SLOTS_COUNT, why)


@dataclass(frozen=True, slots=True)
class Tally:
    """Many campaigns of one kind under one judge.

    Attributes:
        count: of campaigns.
        rolled_back: how many.
        complete: how many reached the goal and soaked there.
        at_zero: how many were rolled back at 0 %, where only the whitelist has the feature.
        percentage: median at which it was rolled back; NaN where it never was.
        hours: median from the first exposure to the rollback; NaN likewise.
        reasons: why it was rolled back or stalled, the most frequent first.
    """

    count: int
    rolled_back: int
    complete: int
    at_zero: int
    percentage: float
    hours: float
    reasons: tuple[tuple[str, int], ...]

    @property
    def share(self) -> float:
        """Rolled back, 0..1."""
        return self.rolled_back / self.count

    @property
    def interval(self) -> tuple[float, float]:
        """Of the share, 95 %."""
        return wilson(self.rolled_back, self.count)


def tally(outcomes: Sequence[Outcome]) -> Tally:
    """Sum campaigns up."""
    found = [outcome for outcome in outcomes if outcome.end == ROLLED_BACK]
    return Tally(
        len(outcomes),
        len(found),
        sum(outcome.end == COMPLETE for outcome in outcomes),
        sum(outcome.percentage == 0 for outcome in found),
        statistics.median(outcome.percentage for outcome in found) if found else math.nan,
        statistics.median(outcome.exposed_hours for outcome in found) if found else math.nan,
        tuple(Counter(f"{one.end}: {one.why}" for one in outcomes if one.end != COMPLETE).most_common()),
    )


def wilson(hits: int, count: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share."""
    z = 1.959964
    centre, scale = hits + z * z / 2, count + z * z
    half = z * math.sqrt(hits * (count - hits) / count + z * z / 4)
    return max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale)
