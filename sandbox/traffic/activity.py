"""How busy the site is at any time.

The traffic generator and the history use the same curve, so that the rates before and after `up` agree.
All times are unix seconds; days and hours are UTC.
"""

from __future__ import annotations

import math

PEAK_HOUR = 15
DAILY_AMPLITUDE_RATIO = 0.22
WEEKEND_RATIO = 0.85


def activity(at: float) -> float:
    """Return how busy the site is, as a multiple of the configured rate (0.66 in a weekend's night to 1.22).

    level = 1 + 0.22 cos(2 pi (hour - 15) / 24), times 0.85 at the weekend; the weekend fades in and out over
    two hours, so that the curve has no step.
    """
    hours = at / 3600
    daily = 1 + DAILY_AMPLITUDE_RATIO * math.cos(2 * math.pi * (hours - PEAK_HOUR) / 24)
    return daily * (1 - (1 - WEEKEND_RATIO) * _weekendness(at))


def _weekendness(at: float) -> float:
    """0 on working days, 1 at the weekend, a ramp of two hours between; 1 January 1970 was a Thursday."""
    since_saturday = (at / 3600 - 48) % 168
    return min(1.0, max(0.0, min(since_saturday / 2, (48 - since_saturday) / 2)))
