"""What was to expect at this hour of day? The baseline by hour, and the 0 % stage where it has a hole."""

from __future__ import annotations

from collections.abc import Sequence

from runbooks_lib.facts.rollout import SLOTS_COUNT, Baseline, BaselineSlot, RolloutWindow
from runbooks_lib.judgement.rollout.instrument import serves
from runbooks_lib.rollout_policy import RolloutPolicy

#: Fewer looks of the 0 % stage show neither its mean nor its noise.
NOISE_LOOKS = 6

_LEAST_SLOT_SECONDS = 0.001


class Reference:
    """What to expect of a window: the baseline's hour; of the hit rate, else the mean of the 0 % stage."""

    def __init__(self, baseline: Baseline | None, zero_windows: Sequence[RolloutWindow], policy: RolloutPolicy) -> None:
        self._slot_seconds = baseline.slot_seconds if baseline and baseline.slot_seconds >= _LEAST_SLOT_SECONDS else 1.0
        slots = baseline.slots if baseline else ()
        self._slots = {
            self._hour(slot.started_at.timestamp()): slot
            for slot in slots
            if policy.min_observed_ratio <= slot.observed_ratio
        }
        self._hits = {
            hour: hit for hour, slot in self._slots.items() if (hit := sane_ratio(slot.hit_ratio)) is not None
        }
        self._zero_hit = _mean_hit(zero_windows, policy) if len(self._hits) < SLOTS_COUNT else None

    def slot(self, window: RolloutWindow) -> BaselineSlot | None:
        """The baseline's hour of the middle of a window; None where it was not measured."""
        return self._slots.get(self._middle(window))

    def hit_ratio(self, window: RolloutWindow) -> float | None:
        """To expect in a window; None where nothing says."""
        return self._hits.get(self._middle(window), self._zero_hit)

    def _middle(self, window: RolloutWindow) -> int:
        return self._hour((window.started_at.timestamp() + window.ended_at.timestamp()) / 2)

    def _hour(self, timestamp: float) -> int:
        return int(timestamp // self._slot_seconds) % SLOTS_COUNT


def usable_hit(window: RolloutWindow, percentage: int, policy: RolloutPolicy) -> float | None:
    """The hit ratio of a window with enough lookups, in which the percentage was served; None otherwise."""
    if window.hit_ratio is None or window.lookups is None or window.lookups < max(1, policy.min_window_lookups):
        return None
    return None if serves(window, percentage) is False else window.hit_ratio


def _mean_hit(zero_windows: Sequence[RolloutWindow], policy: RolloutPolicy) -> float | None:
    hits = [hit for window in zero_windows if (hit := usable_hit(window, 0, policy)) is not None]
    return sum(hits) / len(hits) if len(hits) >= NOISE_LOOKS else None


def drop_points(window: RolloutWindow, percentage: int, reference: Reference, policy: RolloutPolicy) -> float | None:
    """How far the hit rate of a window lies below what was to expect, in points; None where either is not known."""
    hit, expected = usable_hit(window, percentage, policy), reference.hit_ratio(window)
    return None if hit is None or expected is None else (expected - hit) * 100


def sane_ratio(value: float | None) -> float | None:
    """The value where it is within 0..1; None otherwise."""
    return value if value is not None and 0 <= value <= 1 else None
