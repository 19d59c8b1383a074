"""Has the hit rate come back after the cache was emptied? Judged on a history, with gaps."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from runbooks_lib import units
from runbooks_lib.facts import History

#: A single good sample is luck.
_HELD_POINTS = 3
#: Over this many points a plateau shows; a rise of less than this share of what is missing is none.
_PLATEAU_POINTS = 6
_PLATEAU_RISE = 0.1


class Course(StrEnum):
    """How a hit rate comes back."""

    RECOVERED = "recovered"
    RISING = "rising"
    PLATEAU = "plateau"  # it rises no more, below where it should be
    UNKNOWN = "unknown"  # no traffic, no samples, or nothing to compare with


_WORDS = {
    Course.RECOVERED: "The hit rate is back after {}",
    Course.RISING: "The hit rate comes back, {} so far",
    Course.PLATEAU: "The hit rate rises no more after {}",
}


@dataclass(frozen=True, slots=True)
class Recovery:
    """Where the hit rate stands after it was lost.

    Attributes:
        course: how it goes.
        before_ratio: 0..1, what it was before; None when not known.
        target_ratio: 0..1, from where on it counts as recovered; None when not known.
        now_ratio: 0..1, the newest value; None without one.
        recovered_at: aware UTC, the first sample from which on it held; None while it has not.
        took_seconds: from the loss to there, or to the newest sample.
        detail: one sentence.
    """

    course: Course
    before_ratio: float | None
    target_ratio: float | None
    now_ratio: float | None
    recovered_at: datetime | None
    took_seconds: float
    detail: str


def judge_recovery(
    history: History,
    *,
    since: datetime,
    before_ratio: float | None,
    share_ratio: float = 0.95,
    min_per_second: float = 0.0,
) -> Recovery:
    """Has the hit rate come back?

    Recovered: three samples in a row, the newest among them, at or above ``share_ratio * before_ratio``. A plateau:
    over the last six samples it rose by less than a tenth of what is missing.

    Args:
        history: samples up to now.
        since: aware; when the cache was emptied. Earlier samples do not count.
        before_ratio: 0..1, the hit rate before; None when not known.
        share_ratio: 0..1, how much of it is enough.
        min_per_second: samples with fewer lookups than this say nothing.
    """
    rates = zip(history.times, history.hit_ratio, history.lookups_per_second, strict=True)
    busy = [(at, hit) for at, hit, rate in rates if (rate or 0.0) >= min_per_second]
    points = [(at, hit) for at, hit in busy if at > since and hit is not None]
    target = None if before_ratio is None else before_ratio * share_ratio
    if target is None or not points:
        why = "what the hit rate was before is not known" if target is None else "there was no traffic to measure it by"
        now = points[-1][1] if points else None
        return Recovery(Course.UNKNOWN, before_ratio, target, now, None, 0.0, f"It cannot be told: {why}.")
    newest, now = points[-1]
    held = _held_since(points, target)
    course = Course.RECOVERED if held else Course.RISING
    if not held and _is_plateau([hit for _, hit in points], target):
        course = Course.PLATEAU
    took = ((held or newest) - since).total_seconds()
    shown = f"{_WORDS[course].format(units.duration(took))}: {units.percent(now)}, it was {units.percent(before_ratio)}"
    missing = "" if held else f", enough is {units.percent(target)}"
    return Recovery(course, before_ratio, target, now, held, took, f"{shown}{missing}.")


def _held_since(points: list[tuple[datetime, float]], target: float) -> datetime | None:
    """The first of the samples at the end that are all at the target; None where there are too few."""
    start = len(points)
    while start and points[start - 1][1] >= target:
        start -= 1
    return points[start][0] if len(points) - start >= _HELD_POINTS else None


def _is_plateau(ratios: list[float], target: float) -> bool:
    """The later half of the last samples is hardly above the earlier half."""
    last = ratios[-_PLATEAU_POINTS:]
    if len(last) < _PLATEAU_POINTS or last[-1] >= target:
        return False
    earlier, later = statistics.fmean(last[: len(last) // 2]), statistics.fmean(last[len(last) // 2 :])
    return later - earlier < _PLATEAU_RISE * (target - earlier)
