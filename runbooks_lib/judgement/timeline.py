"""When did it begin, and how long has it lasted? Read off a history with gaps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from runbooks_lib.facts import History
from runbooks_lib.policy import Threshold


@dataclass(frozen=True, slots=True)
class Breach:
    """A value that is beyond a limit and has been so without a healthy sample in between.

    Attributes:
        since: first sample of the breach, aware UTC.
        lasted_seconds: from ``since`` to the newest sample.
        gaps_seconds: how much of that was not observed.
        from_the_start: it was already so at the first sample, so it began earlier than ``since``.
    """

    since: datetime
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
        lasted_seconds=(history.times[newest] - history.times[start]).total_seconds(),
        gaps_seconds=gaps * history.step_seconds,
        from_the_start=all(value is None for value in values[:start]),
    )


def hit_rate_breach(history: History, threshold: Threshold, limit: float) -> Breach | None:
    """Since when has the hit rate been under ``limit`` (a ratio)?"""
    return breach(history, history.hit_ratio, limit, threshold.worse)


def penetration_breach(history: History, threshold: Threshold, limit: float) -> Breach | None:
    """Since when has penetration been over ``limit`` (a ratio)?"""
    return breach(history, history.penetration_ratio, limit, threshold.worse)


def last_useful(history: History) -> tuple[datetime, bool] | None:
    """When did the cache last answer anything?

    A site whose Redis is gone either bypasses its cache, so that its lookup counters stand still, or counts nothing
    but misses. Both end the samples with a hit.

    Returns:
        (time of the newest sample with a hit, False), or (first sample, True) when none had one; None without samples.
    """
    for moment, ratio in zip(reversed(history.times), reversed(history.hit_ratio), strict=True):
        if ratio is not None and ratio > 0:
            return moment, False
    return (history.times[0], True) if history.times else None
