"""What lies in a cache that traffic has filled for a long time: which answers, and how old they are.

An answer lives for its TTL. Asked for in the last part of it, it is served stale and refreshed, and a new life begins;
else it expires, and the next lookup misses. Lookups of one key come at random times (a Poisson process).
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Life:
    """The life of the answers under one key.

    Attributes:
        asked_per_second: lookups of this key, over 0.
        ttl_seconds: from storing to expiry.
        fresh_ratio: share of the TTL before its stale part begins, 0..1.
    """

    asked_per_second: float
    ttl_seconds: float
    fresh_ratio: float

    @property
    def present_ratio(self) -> float:
        """Share of the time that an answer is there, 0..1; also the share of the lookups that do not miss.

        A life lasts ``m`` on average, and is the last one in its row with the probability p that nobody asks during
        the stale part, p = exp(-rate * stale). So an answer is there for m / p, and then none for 1 / rate.
        """
        none = math.exp(-self.asked_per_second * self._stale_seconds) / self.asked_per_second
        return self._mean_seconds / (self._mean_seconds + none)

    def age_seconds(self, chance: float) -> float:
        """Return the age of an answer that is there: the quantile of a chance, 0..1."""
        lived = chance * self._mean_seconds
        if lived <= self._fresh_seconds:
            return lived
        return self._fresh_seconds - math.log1p(-self.asked_per_second * (lived - self._fresh_seconds)) / (
            self.asked_per_second
        )

    @property
    def _fresh_seconds(self) -> float:
        return self.fresh_ratio * self.ttl_seconds

    @property
    def _stale_seconds(self) -> float:
        return self.ttl_seconds - self._fresh_seconds

    @property
    def _mean_seconds(self) -> float:
        """The fresh part, and of the stale part what passes until the first lookup ends it."""
        rate = self.asked_per_second
        return self._fresh_seconds - math.expm1(-rate * self._stale_seconds) / rate
