"""What each look of a rollout that is due leads to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from runbooks_lib.facts import Flag
from runbooks_lib.facts.rollout import Gap, RolloutWindow
from runbooks_lib.judgement.rollout.decide import decide
from runbooks_lib.judgement.rollout.model import Decision, StageHistory, Verb
from runbooks_lib.model import Unreadable
from runbooks_lib.operations.rollout_grid import DueWindow
from runbooks_lib.records.campaign import Campaign, KeptLook
from runbooks_lib.rollout_policy import RolloutPolicy

#: The parts of a window that ``RolloutWindow.gaps`` names.
_PARTS = ("cohorts", "errors", "latency", "slow", "hit rate", "penetration", "warming", "flag", "scrapes")


@dataclass(frozen=True, slots=True)
class Judged:
    """One look, or the finding that none is due.

    Attributes:
        look: its number in the stage; that of the last one when none was due.
        window: what was measured; None when none was due.
        decision: what it leads to.
    """

    look: int
    window: RolloutWindow | None
    decision: Decision


def history_of(campaign: Campaign) -> StageHistory:
    """What the campaign knows before the next look."""
    zero = [
        look.window for look in campaign.looks if look.percentage == 0 and look.stage_number != campaign.stage_number
    ]
    return StageHistory(
        percentage=campaign.percentage,
        started_at=campaign.stage_started_at,
        windows=tuple(look.window for look in campaign.stage_looks),
        zero_windows=tuple(zero),
        baseline=campaign.baseline,
        whitelist_count=campaign.whitelist_count,
    )


def gap_window(due: DueWindow) -> RolloutWindow:
    """A stretch that nobody looked at in time: nothing of it is known."""
    return RolloutWindow(due.started_at, due.ended_at, observed_ratio=0.0, gaps=dict.fromkeys(_PARTS, Gap.STALE))


def judge_due(
    due: Sequence[DueWindow],
    history: StageHistory,
    flag: Flag | Unreadable,
    policy: RolloutPolicy,
    read: Callable[[DueWindow], RolloutWindow],
) -> tuple[Judged, ...]:
    """Judge each window in turn; ends at the first that rolls back, and at one at which a person must decide.

    Args:
        due: oldest first.
        history: of the stage before them.
        flag: as it stands now.
        policy: of the campaign.
        read: measures one window.
    """
    judged: list[Judged] = []
    windows = history.windows
    for one in due:
        window = gap_window(one) if one.is_gap else read(one)
        known = replace(history, windows=windows)
        # By the time of its window and not of the clock, so that it is judged the same however late it is judged.
        decision = decide(flag, known, window, one.ended_at, policy)
        judged.append(Judged(one.look, window, decision))
        windows = (*windows, window)
        # While Prometheus does not answer, what it will tell later is left for later.
        if decision.verb is Verb.ROLLBACK or decision.pauses or window.gaps.get("cohorts") is Gap.QUERY_FAILED:
            break
    return tuple(judged)


def without_look(
    campaign: Campaign, history: StageHistory, flag: Flag | Unreadable, policy: RolloutPolicy, now: datetime
) -> Judged:
    """No look is due: how the last one stood, and whether the flag is still as the campaign left it."""
    last = campaign.last_look
    # What the newest look saw has happened, also by a clock that lags a little.
    moment = max(now, last.window.ended_at) if last else now
    return Judged(last.look if last else 0, None, decide(flag, history, None, moment, policy))


def kept_look(campaign: Campaign, judged: Judged, *, at: datetime, run_id: str, operator: str) -> KeptLook:
    """The look as the ledger keeps it.

    Raises:
        ValueError: no look was taken.
    """
    import msgspec

    if judged.window is None:
        raise ValueError("no look was due")
    return KeptLook(
        stage_number=campaign.stage_number,
        look=judged.look,
        percentage=campaign.percentage,
        at=at,
        window=judged.window,
        decision=msgspec.to_builtins(judged.decision),
        run_id=run_id,
        operator=operator,
    )
