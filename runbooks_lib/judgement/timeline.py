"""When did it begin, and how long has it lasted? Read off a history with gaps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from runbooks_lib.facts import History
from runbooks_lib.judgement.situation import Situation
from runbooks_lib.model import Unreadable
from runbooks_lib.policy import Policy


class Rate(Enum):
    """Which of the two rates of a history."""

    HIT = "hit rate"
    PENETRATION = "penetration"


@dataclass(frozen=True, slots=True)
class Breach:
    """A value that is beyond a limit and has been so without a healthy sample in between.

    Attributes:
        since: first sample of the breach, aware UTC.
        newest: its newest sample, aware UTC.
        lasted_seconds: from ``since`` to the newest sample.
        gaps_seconds: how much of that was not observed.
        from_the_start: it was already so at the first sample, so it began earlier than ``since``.
    """

    since: datetime
    newest: datetime
    lasted_seconds: float
    gaps_seconds: float
    from_the_start: bool

    @property
    def observed_seconds(self) -> float:
        """How much of the breach was seen: gaps prove nothing and do not count."""
        return self.lasted_seconds - self.gaps_seconds


def breach(history: History, values: Sequence[float | None], limit: float, worse: str) -> Breach | None:
    """Since when has a series been beyond a limit, up to its newest sample?

    Args:
        history: gives the times (aware UTC, ascending) and the step in seconds.
        values: one value a time; None is a gap.
        limit: in the unit of the values; a value at the limit is not beyond it.
        worse: ``below`` or ``above``.

    Returns:
        The breach that is still open, or None when the newest sample is healthy or there is no sample.
    """
    start = newest = None
    gaps = 0
    pending_gaps = 0
    for index in range(len(values) - 1, -1, -1):
        value = values[index]
        if value is None:
            pending_gaps += 1
            continue
        beyond = value < limit if worse == "below" else value > limit
        if not beyond:
            break
        newest = index if newest is None else newest
        # A gap counts only when it lies inside the breach, not after its newest or before its oldest sample.
        gaps += pending_gaps if start is not None else 0
        pending_gaps, start = 0, index
    if start is None or newest is None:
        return None
    return Breach(
        since=history.times[start],
        newest=history.times[newest],
        lasted_seconds=(history.times[newest] - history.times[start]).total_seconds(),
        gaps_seconds=gaps * history.step_seconds,
        from_the_start=all(value is None for value in values[:start]),
    )


def rate_breach(situation: Situation, policy: Policy, rate: Rate, limit: float) -> Breach | None:
    """Since when has a rate been beyond ``limit`` (a ratio), and is it still?

    Points with too little traffic to mean anything count as gaps. A breach whose newest sample is older than the
    policy's window is not one of now.
    """
    history = situation.history
    if isinstance(history, Unreadable):
        return None
    ratios = history.hit_ratio if rate is Rate.HIT else history.penetration_ratio
    threshold = policy.hit_rate if rate is Rate.HIT else policy.penetration
    traffic = history.lookups_per_second
    enough = policy.min_lookups_per_second
    values = [r if t is not None and t >= enough else None for r, t in zip(ratios, traffic, strict=True)]
    found = breach(history, values, limit, threshold.worse)
    if found is None or (situation.at - found.newest).total_seconds() > policy.window_seconds:
        return None
    return found
