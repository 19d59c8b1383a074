"""Hold, promote or roll back? A pure function of what was recorded and measured.

Level-triggered: it says what follows from all that is known, not from what has changed. Deciding twice on the same
input gives the same answer, and a look that was missed only delays.

What decides, in this order:

1. a person changed the flag: hold and pause, whatever was measured: that person is in charge now;
2. known harm: roll back, even where something else is not known, the flag among it;
3. the flag could not be read, or stands at no stage: hold;
4. critical but not confirmed, exposure, unknown, warning: hold;
5. healthy: hold until the stage has soaked, then promote by one stage, or be complete at the last.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from runbooks_lib import units
from runbooks_lib.facts import Flag
from runbooks_lib.facts.rollout import RolloutWindow
from runbooks_lib.judgement.rollout.baseline import against_baseline
from runbooks_lib.judgement.rollout.comparison import comparisons
from runbooks_lib.judgement.rollout.exposure import exposure
from runbooks_lib.judgement.rollout.instrument import clean, observed, served, serves
from runbooks_lib.judgement.rollout.model import Decision, Gate, Reason, StageHistory, Stand, Verb
from runbooks_lib.judgement.rollout.soak import check_order, healthy_seconds, uncounted_seconds
from runbooks_lib.judgement.rollout.thresholds import plateau, thresholds
from runbooks_lib.judgement.rollout.track import Track
from runbooks_lib.model import Unreadable
from runbooks_lib.redaction import one_line
from runbooks_lib.rollout_policy import RolloutPolicy

_ILL = frozenset({Stand.UNKNOWN, Stand.WARN, Stand.FAIL})


@dataclass(frozen=True, slots=True)
class _Standing:
    """All gates of a stage, and what follows from them.

    Attributes:
        tracks: in a fixed order.
        windows: of the stage, the newest included.
        healthy: each look: no gate was ill, and the percentage was served.
        healthy_seconds: the soak so far.
        uncounted_seconds: since the stage began, that do not count.
    """

    tracks: tuple[Track, ...]
    windows: tuple[RolloutWindow, ...]
    healthy: tuple[bool, ...]
    healthy_seconds: float
    uncounted_seconds: float

    @property
    def gates(self) -> tuple[Gate, ...]:
        return tuple(track.gate for track in self.tracks)

    def standing(self, stand: Stand) -> list[Track]:
        """The gates that stand so now."""
        return [track for track in self.tracks if track.gate.stand is stand]

    def unknown_looks(self) -> int:
        """Looks in a row, the newest included, at which something was not known."""
        for number in range(len(self.windows)):
            if not any(track.stands[-1 - number] is Stand.UNKNOWN for track in self.tracks):
                return number
        return len(self.windows)


def decide(
    flag: Flag | Unreadable,
    history: StageHistory,
    samples: RolloutWindow | None,
    now: datetime,
    policy: RolloutPolicy,
) -> Decision:
    """What does a campaign do after this look?

    Args:
        flag: as it is now.
        history: of the stage, without the newest window.
        samples: the newest window; None where none is due: then only a flag that a person changed, and harm that was
            found and is still there, lead to anything.
        now: aware UTC; a window that ends later has not been measured yet.
        policy: what was approved.

    Returns:
        The decision with all gates. PROMOTE only leads to the next stage, ROLLBACK only from known harm.

    Raises:
        ValueError: windows overlap, are out of order, or end after ``now``.
    """
    windows = history.windows if samples is None else (*history.windows, samples)
    check_order(windows)
    check_order(history.zero_windows)
    if windows and windows[-1].ended_at > now:
        raise ValueError(f"the window until {windows[-1].ended_at} has not ended at {now}")
    standing = _judge(flag, history, windows, policy)
    decision = _decide(flag, history, standing, policy)
    return decision if samples is not None else _between_looks(flag, history, decision)


def _judge(
    flag: Flag | Unreadable, history: StageHistory, raw: tuple[RolloutWindow, ...], policy: RolloutPolicy
) -> _Standing:
    if not raw:
        return _Standing((), (), (), 0.0, 0.0)
    percentage = history.percentage
    windows = tuple(clean(window, policy) for window in raw)
    zero = tuple(clean(window, policy) for window in history.zero_windows)
    warmed_from = plateau(windows, percentage, policy)
    exposed = exposure(history, windows, zero, flag, policy)
    tracks = (
        observed(windows, policy),
        served(windows, percentage),
        exposed,
        *comparisons(windows, zero, percentage, exposed.gate.stand, policy),
        *thresholds(windows, percentage, warmed_from, policy),
        *against_baseline(history, windows, zero, warmed_from, policy),
    )
    ill = [_ILL.isdisjoint(stands) for stands in zip(*(track.stands for track in tracks), strict=True)]
    healthy = tuple(well and serves(window, percentage) is True for well, window in zip(ill, windows, strict=True))
    soaked = healthy_seconds(windows, healthy)
    return _Standing(tracks, windows, healthy, soaked, uncounted_seconds(history, windows, soaked))


def _between_looks(flag: Flag | Unreadable, history: StageHistory, last: Decision) -> Decision:
    """No look is due: a person's change and known harm are acted on at once; nothing else leads to anything."""
    if last.pauses or last.verb is Verb.ROLLBACK:
        return last
    if isinstance(flag, Unreadable):
        text = f"No look is due, and the flag could not be read: {one_line(flag.reason)}."
        return replace(last, verb=Verb.HOLD, reasons=(Reason.FLAG_UNREAD, Reason.NOT_DUE), text=text)
    text = "No look is due; nothing changes."
    if history.windows:
        text = f"{text} The last one: {last.text}"
    return replace(last, verb=Verb.HOLD, reasons=(Reason.NOT_DUE,), text=text, next_percentage=None, complete=False)


def _decide(flag: Flag | Unreadable, history: StageHistory, standing: _Standing, policy: RolloutPolicy) -> Decision:
    harm = [track for track in standing.tracks if track.confirmed(policy.confirm_looks)]
    reasons = _holding(flag, history, standing, policy)
    escalates = standing.unknown_looks() >= policy.escalate_looks or Reason.NO_STAGE in reasons
    if isinstance(flag, Flag) and (changed := _changed(flag, history)):
        others = [_harm_reason(harm), *reasons] if harm else reasons
        # Whoever is called at night must not take it for a formality.
        changed = f"{changed} Known harm: {_tell(harm)}." if harm else changed
        return _decision(history, standing, Verb.HOLD, [Reason.FLAG_CHANGED, *others], changed, escalates=escalates)
    if harm:
        text = f"Rolls back from {history.percentage} %: {_tell(harm)}."
        return _decision(history, standing, Verb.ROLLBACK, [_harm_reason(harm), *reasons], text, escalates=escalates)
    if reasons:
        text = _holding_text(reasons[0], flag, history, standing, policy)
        return _decision(history, standing, Verb.HOLD, reasons, text, escalates=escalates)
    return _go_on(history, standing, policy)


def _changed(flag: Flag, history: StageHistory) -> str:
    """What a person changed, with both values; empty where the flag is as the campaign left it."""
    whole = flag.strategy == "on" and history.percentage == 100
    if whole or (flag.strategy == "gradual" and flag.percentage == history.percentage):
        return ""
    return (
        f"The flag is {one_line(flag.strategy)} at {flag.percentage:g} %, the campaign left it gradual at "
        f"{history.percentage} %: somebody changed it and must decide."
    )


def _holding(
    flag: Flag | Unreadable, history: StageHistory, standing: _Standing, policy: RolloutPolicy
) -> list[Reason]:
    """Why it cannot go on, the weightiest first; empty where it can."""
    warned = standing.standing(Stand.WARN)
    exposure_off = [track for track in warned if track.gate.id in {"exposure", "served"}]
    found = {
        Reason.FLAG_UNREAD: isinstance(flag, Unreadable),
        Reason.NO_STAGE: history.percentage not in policy.stages,
        Reason.NOT_CONFIRMED: any(not track.confirmed(policy.confirm_looks) for track in standing.standing(Stand.FAIL)),
        Reason.EXPOSURE: bool(exposure_off),
        Reason.UNKNOWN: bool(standing.standing(Stand.UNKNOWN)),
        Reason.WARNING: len(warned) > len(exposure_off),
    }
    return [reason for reason, holds in found.items() if holds]


def _go_on(history: StageHistory, standing: _Standing, policy: RolloutPolicy) -> Decision:
    recent = standing.healthy[-max(1, policy.pass_looks) :]
    waiting = [track for track in standing.tracks if track.blocks]
    soaked = standing.healthy_seconds >= policy.soak_seconds
    passed = len(recent) >= policy.pass_looks and all(recent) and math.isfinite(standing.healthy_seconds)
    soak = f"{units.duration(standing.healthy_seconds)} of {units.duration(policy.soak_seconds)} observed healthy"
    if not (soaked and passed) or waiting:
        # By name alone: while nearly all of them wait, their numbers would bury the soak; they stand beside each gate.
        more = f"; waits for {', '.join(track.gate.id for track in waiting)}" if waiting else ""
        return _decision(history, standing, Verb.HOLD, [Reason.SOAKING], f"{history.percentage} %: {soak}{more}.")
    following = [stage for stage in policy.stages if stage > history.percentage]
    if not following:
        text = f"Complete: {history.percentage} % has soaked, {soak}."
        return _decision(history, standing, Verb.HOLD, [Reason.COMPLETE], text, complete=True)
    text = f"Promotes from {history.percentage} to {min(following)} %: {soak}."
    return _decision(history, standing, Verb.PROMOTE, [Reason.SOAKED], text, next_percentage=min(following))


def _harm_reason(harm: Sequence[Track]) -> Reason:
    return Reason.CRITICAL if any(track.gate.reason == "critical" for track in harm) else Reason.REGRESSION


def _holding_text(
    reason: Reason, flag: Flag | Unreadable, history: StageHistory, standing: _Standing, policy: RolloutPolicy
) -> str:
    if isinstance(flag, Unreadable):
        return f"Holds at {history.percentage} %: the flag could not be read: {one_line(flag.reason)}."
    if reason is Reason.NO_STAGE:
        stages = ", ".join(str(stage) for stage in policy.stages)
        return f"Holds: {history.percentage} % is no stage of this campaign ({stages}); a person must decide."
    stand = {Reason.NOT_CONFIRMED: Stand.FAIL, Reason.UNKNOWN: Stand.UNKNOWN}.get(reason, Stand.WARN)
    confirm = f"; rolls back at {policy.confirm_looks} in a row" if stand is Stand.FAIL else ""
    since = standing.unknown_looks()
    long = f"; {units.things(since, 'look')} in a row, a person is called" if _called(since, stand, policy) else ""
    return f"Holds at {history.percentage} %, {reason}: {_tell(standing.standing(stand))}{confirm}{long}."


def _called(since: int, stand: Stand, policy: RolloutPolicy) -> bool:
    return stand is Stand.UNKNOWN and since >= policy.escalate_looks


def _tell(tracks: Sequence[Track]) -> str:
    return "; ".join(_gate_text(track.gate) for track in tracks)


def _gate_text(gate: Gate) -> str:
    if gate.stand is Stand.UNKNOWN:
        return f"{gate.id} ({gate.reason})"
    limit = f" ({gate.limit})" if gate.limit else ""
    evidence = f", {gate.evidence}" if gate.stand is Stand.FAIL and gate.evidence else ""
    return f"{gate.id} {gate.now}{limit}{evidence}"


def _decision(  # noqa: PLR0913 - the parts of one answer
    history: StageHistory,
    standing: _Standing,
    verb: Verb,
    reasons: Sequence[Reason],
    text: str,
    *,
    next_percentage: int | None = None,
    escalates: bool = False,
    complete: bool = False,
) -> Decision:
    return Decision(
        verb,
        tuple(dict.fromkeys(reasons)),
        text,
        standing.gates,
        history.percentage,
        next_percentage,
        standing.healthy_seconds,
        standing.uncounted_seconds,
        len(standing.windows),
        pauses=Reason.FLAG_CHANGED in reasons,
        escalates=escalates,
        complete=complete,
    )
