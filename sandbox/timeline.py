"""How busy the site is at any time, and what happened to it in the last week.

The traffic generator and the history use the same curve, so that the rates before and after `up` agree.
All times are unix seconds; days and hours are UTC.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

DAY_SECONDS = 86_400
HISTORY_SECONDS = 7 * DAY_SECONDS
PEAK_HOUR = 15
DAILY_AMPLITUDE_RATIO = 0.22
WEEKEND_RATIO = 0.85

# (from this age in seconds on, one sample every so many seconds), oldest first
RESOLUTION = ((HISTORY_SECONDS, 60), (6 * 3600, 15), (30 * 60, 2))

# hours after the deployment, percentage of users on the enhanced cache
ROLLOUT = ((0, 0.0), (1, 10.0), (9, 25.0), (18, 50.0), (24, 75.0), (30, 100.0))
COLD_CACHE_SECONDS = 900.0
MINIMUM_DEPLOYMENT_AGE_SECONDS = 60 * 3600


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


def sample_times(end: int, *, days: float = 7.0) -> list[int]:
    """Return the times of the history's samples: rising, finer steps near the end, ``end`` included."""
    times: list[int] = []
    start_age_seconds = round(days * DAY_SECONDS)
    ages = [min(age, start_age_seconds) for age, _ in RESOLUTION[1:]] + [0]
    older = start_age_seconds
    for newer, (_, step) in zip(ages, RESOLUTION, strict=True):
        times.extend(range(end - older + (older - newer) % step, end - newer, step))
        older = newer
    return [*times, end]


@dataclass(frozen=True)
class Deployment:
    """The one release of the week: every process restarted, the cache cold, the flag raised step by step."""

    at: int

    @classmethod
    def before(cls, end: int) -> Deployment:
        """Choose the last working day's 10:00 UTC that lies at least 60 hours before the end."""
        latest = datetime.fromtimestamp(end - MINIMUM_DEPLOYMENT_AGE_SECONDS, UTC)
        morning = latest.replace(hour=10, minute=0, second=0, microsecond=0)
        while morning > latest or morning.weekday() > 4:
            morning -= timedelta(days=1)
        return cls(int(morning.timestamp()))

    def rollout_percent(self, at: float) -> float:
        """Return the percentage of users on the enhanced cache at a time, 0..100."""
        if at < self.at:
            return 100.0
        hours = (at - self.at) / 3600
        return [percent for after, percent in ROLLOUT if hours >= after][-1]

    def coldness(self, at: float) -> float:
        """Return how cold the cache is at a time: 1 right after the release, fading within minutes."""
        return math.exp(-(at - self.at) / COLD_CACHE_SECONDS) if at >= self.at else 0.0
