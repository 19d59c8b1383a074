"""How long has this stage been healthy, while somebody was looking?"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from runbooks_lib.facts.rollout import RolloutWindow
from runbooks_lib.judgement.rollout.model import StageHistory

#: One lost scrape of many is no gap: a window observed this far counts whole.
FULLY_OBSERVED_RATIO = 0.95


def check_order(windows: Sequence[RolloutWindow]) -> None:
    """Windows follow each other.

    Raises:
        ValueError: one ends before it begins, or begins before the one before it ended.
    """
    for window in windows:
        if window.ended_at <= window.started_at:
            raise ValueError(f"the window from {window.started_at} ends at {window.ended_at}: nothing was measured")
    for before, window in pairwise(windows):
        if window.started_at < before.ended_at:
            raise ValueError(
                f"the window from {window.started_at} begins before the one before it ended, {before.ended_at}: "
                "windows of a stage follow each other, or time would count twice"
            )


def healthy_seconds(windows: Sequence[RolloutWindow], healthy: Sequence[bool]) -> float:
    """Observed time in healthy looks: the soak. A window that was half observed counts half."""
    return sum(_observed_seconds(window) for window, well in zip(windows, healthy, strict=True) if well)


def uncounted_seconds(history: StageHistory, windows: Sequence[RolloutWindow], counted_seconds: float) -> float:
    """Time since the stage began that does not count: gaps, unhealthy and unknown looks."""
    if not windows:
        return 0.0
    return max(0.0, (windows[-1].ended_at - history.started_at).total_seconds() - counted_seconds)


def _observed_seconds(window: RolloutWindow) -> float:
    if window.observed_ratio >= FULLY_OBSERVED_RATIO:
        return window.seconds
    return window.seconds * max(0.0, window.observed_ratio)
