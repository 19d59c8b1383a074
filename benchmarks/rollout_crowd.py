"""Who asks the simulated site: a few hundred heavy users, thousands of light ones, and a whitelist.

A rollout admits *users*, so requests are no independent draws: whoever is in brings all of their requests, their own
habits and their own bad luck. Every number has its reason beside it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.rollout_hours import Array

#: As in the practice site: 500 signed-in users make half of the requests, 6,000 addresses the other half.
HEAVY_USERS = 500
LIGHT_USERS = 6000
HEAVY_SHARE = 0.5
#: Lognormal: a tenth of the users make a third of the requests.
ACTIVITY_SIGMA = 0.8
#: Lognormal: some read content that breaks more often, or is slower to build, and stay with it.
ERROR_SIGMA = 0.5
SLOWNESS_SIGMA = 0.2
#: Staff who try the feature first; some of the heavy users, so about 1 % of the traffic.
WHITELISTED = 6


@dataclass(frozen=True, slots=True)
class Cohorts:
    """The traffic of one hour, split by who has the feature.

    Attributes:
        enhanced: relative to the mean traffic of the whole site, 0..1 and a little beyond.
        control: likewise.
        enhanced_errors: how much likelier a request of this cohort fails than the average one.
        control_errors: likewise.
        enhanced_slowness: mean logarithm of how much longer its requests take.
        control_slowness: likewise.
    """

    enhanced: float
    control: float
    enhanced_errors: float
    control_errors: float
    enhanced_slowness: float
    control_slowness: float

    @property
    def share(self) -> float:
        """The enhanced share of the traffic."""
        return self.enhanced / (self.enhanced + self.control)


class Crowd:
    """The users of one campaign: buckets, habits, and who is active in which hour."""

    def __init__(self, rng: np.random.Generator, hours: int) -> None:
        """Draw them.

        Args:
            rng: of this campaign.
            hours: how many are drawn.
        """
        buckets = rng.integers(0, 100, HEAVY_USERS)
        buckets[rng.choice(HEAVY_USERS, WHITELISTED, replace=False)] = -1
        order = np.argsort(buckets, kind="stable")
        weight = _weights(rng, HEAVY_USERS)[order] * HEAVY_SHARE
        # A squared normal: mostly absent, then busy; the variance is twice the squared mean.
        active = weight * np.square(rng.standard_normal((hours, HEAVY_USERS)))
        errors = rng.lognormal(-(ERROR_SIGMA**2) / 2, ERROR_SIGMA, HEAVY_USERS)
        slowness = rng.normal(0.0, SLOWNESS_SIGMA, HEAVY_USERS)
        self._buckets = buckets[order]
        self._heavy = [_running(values) for values in (active, active * errors, active * slowness)]
        light = rng.integers(0, 100, LIGHT_USERS)
        by_bucket = np.bincount(light, weights=_weights(rng, LIGHT_USERS), minlength=100)
        self._light = np.concatenate([[0.0], np.cumsum(by_bucket)]) * (1 - HEAVY_SHARE)

    def at(self, hour: int, percentage: int) -> Cohorts:
        """How the traffic of an hour is split at a percentage."""
        members = int(np.searchsorted(self._buckets, percentage))
        light = float(self._light[percentage])
        inside = [float(values[hour, members]) for values in self._heavy]
        every = [float(values[hour, -1]) for values in self._heavy]
        outside = [whole - part for whole, part in zip(every, inside, strict=True)]
        others = max(0.0, 1 - HEAVY_SHARE - light)
        enhanced, control = inside[0] + light, max(0.0, outside[0]) + others
        if percentage == 100:  # sums of fractions leave a trace of nobody
            control = 0.0
        return Cohorts(
            enhanced,
            control,
            (inside[1] + light) / max(enhanced, 1e-9),
            (outside[1] + others) / control if control else 1.0,
            inside[2] / max(enhanced, 1e-9),
            outside[2] / control if control else 0.0,
        )


def _weights(rng: np.random.Generator, count: int) -> Array:
    """How much of the traffic each user makes; adds up to 1."""
    drawn: Array = rng.lognormal(0.0, ACTIVITY_SIGMA, count)
    shares: Array = drawn / drawn.sum()
    return shares


def _running(values: Array) -> Array:
    """Sums over the first n users, n from 0 to all, by hour."""
    sums: Array = np.concatenate([np.zeros((values.shape[0], 1)), np.cumsum(values, axis=1)], axis=1)
    return sums
