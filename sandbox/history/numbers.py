"""The numbers of one plausible week: what was asked, what was answered, how long it took.

All arrays run along the sample times of ``Week.times``; an increment is what happened since the sample before.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sandbox.history.durations import Array
from sandbox.history.timeline import Deployment
from sandbox.traffic.activity import activity
from sandbox.traffic.profile import DETAILS, ENDPOINTS, MISSING_SHARE, WRITE_SHARES, WRITES_PER_SECOND

OUTCOMES = ("hit", "stale", "miss", "missing_miss", "null_value")
NULL_SHARE_OF_MISSING = 0.55
LEGACY_MISS_FACTOR = 2.2
LEGACY_MISS_EXTRA = 0.03
COLD_MISS_SHARE = 0.75
ERROR_SHARE = 2e-5
COHORTS = ("enhanced", "legacy")


@dataclass(frozen=True)
class Week:
    """Sample times with everything that varies along them.

    Attributes:
        times: unix seconds, rising.
        rate_per_second: requests per second at the middle of the daily cycle.
        deployment: the one release of the week.
        seed: of the noise; the same seed gives the same week.
    """

    times: Array
    rate_per_second: float
    deployment: Deployment
    seed: int = 1

    @cached_property
    def seconds(self) -> Array:
        """Length of the interval that ends at each sample; the first sample has none."""
        return np.diff(self.times, prepend=self.times[0])

    @cached_property
    def level(self) -> Array:
        """How busy the site was, as a multiple of the configured rate."""
        return np.array([activity(at) for at in self.times])

    @cached_property
    def requests(self) -> Array:
        """Expected requests since the sample before."""
        return self.rate_per_second * self.level * self.seconds

    @cached_property
    def enhanced_ratio(self) -> Array:
        """Share of the requests served by the enhanced cache, 0..1."""
        return np.array([self.deployment.rollout_percent(at) / 100 for at in self.times])

    @cached_property
    def coldness(self) -> Array:
        """How cold the cache was, 0..1."""
        return np.array([self.deployment.coldness(at) for at in self.times])

    @cached_property
    def restart(self) -> int:
        """Index of the first sample after the deployment, when every counter began again at 0."""
        return int(np.searchsorted(self.times, self.deployment.at))

    def accumulate(self, increments: Array) -> Array:
        """Return counter values: the sum so far, starting again at 0 at the deployment."""
        total = np.cumsum(increments)
        if 0 < self.restart < len(total):
            total[self.restart :] -= total[self.restart - 1]
        return total

    def noise(self, *words: object) -> np.random.Generator:
        """Return a source of noise of its own for one quantity, so that the order of asking does not matter."""
        return np.random.default_rng([self.seed, *" ".join(map(str, words)).encode()])

    def happened(self, expected: Array, *words: object) -> Array:
        """Draw how often something happened that was expected so often."""
        return self.noise(*words).poisson(expected).astype(float)


@dataclass(frozen=True)
class Lookups:
    """Every lookup of one endpoint by one cohort, split by outcome; arrays of increments."""

    by_outcome: dict[str, Array]

    @property
    def all(self) -> Array:
        """All lookups."""
        return sum_of(self.by_outcome.values())

    @property
    def missing(self) -> Array:
        """Lookups of something that does not exist: answered 404."""
        return self.by_outcome["missing_miss"] + self.by_outcome["null_value"]

    def status(self, status: str) -> Array:
        """Lookups by the status under which the site counts them."""
        if status == "miss":
            return self.by_outcome["miss"] + self.by_outcome["missing_miss"]
        return self.by_outcome[status]


def sum_of(arrays: Iterable[Array]) -> Array:
    """Add arrays of the same length."""
    return np.asarray(np.sum(np.stack(list(arrays)), axis=0))


def miss_ratio(week: Week, endpoint: str, cohort: str) -> Array:
    """Return the share of misses among lookups of things that exist, along the week, 0..1.

    Fewer requests mean fewer of them before a value expires, so that the night misses a little more often.
    """
    usual = ENDPOINTS[endpoint].miss * week.level**-0.4
    if cohort == "legacy":
        usual = LEGACY_MISS_FACTOR * usual + LEGACY_MISS_EXTRA
    usual = np.minimum(usual, 0.9)
    return usual + np.maximum(0, COLD_MISS_SHARE - usual) * week.coldness


def lookups(week: Week, endpoint: str, cohort: str) -> Lookups:
    """Draw the lookups of one endpoint by one cohort."""
    profile = ENDPOINTS[endpoint]
    cohort_ratio = week.enhanced_ratio if cohort == "enhanced" else 1 - week.enhanced_ratio
    gone = MISSING_SHARE / len(DETAILS) if endpoint in DETAILS else 0.0
    found = week.requests * cohort_ratio * (1 - MISSING_SHARE) * profile.share
    missing = week.requests * cohort_ratio * gone
    miss = miss_ratio(week, endpoint, cohort)
    stale, null = (profile.stale, NULL_SHARE_OF_MISSING) if cohort == "enhanced" else (0.0, 0.0)
    expected = {
        "hit": found * np.maximum(0, 1 - miss - stale),
        "stale": found * stale,
        "miss": found * np.minimum(miss, 1 - stale),
        "missing_miss": missing * (1 - null),
        "null_value": missing * null,
    }
    return Lookups({name: week.happened(value, endpoint, cohort, name) for name, value in expected.items()})


def writes(week: Week, endpoint: str) -> Array:
    """Draw the changes that staff made to one kind of thing."""
    share = WRITE_SHARES.get(endpoint.removesuffix("-detail"), 0.0)
    return week.happened(week.seconds * week.level * WRITES_PER_SECOND * share, endpoint, "write")
