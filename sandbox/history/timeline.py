"""When the history has samples, and what happened to the site in its week.

All times are unix seconds; days and hours are UTC.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

DAY_SECONDS = 86_400
HISTORY_SECONDS = 7 * DAY_SECONDS

# (from this age in seconds on, one sample every so many seconds), oldest first
RESOLUTION = ((HISTORY_SECONDS, 60), (6 * 3600, 15), (30 * 60, 2))

# hours after the deployment, percentage of users on the enhanced cache
ROLLOUT = ((0, 0.0), (1, 10.0), (9, 25.0), (18, 50.0), (24, 75.0), (30, 100.0))
COLD_CACHE_SECONDS = 900.0
MINIMUM_DEPLOYMENT_AGE_SECONDS = 60 * 3600


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
