"""The popularity curve: a few things are asked for all the time, most hardly ever."""

from __future__ import annotations

import bisect
import itertools
import random


class Zipf:
    """Draws ranks 0..count-1 where rank r has the weight 1 / (r + 1) ** exponent.

    Args:
        count: number of things, at least 1.
        exponent: 0 makes all alike; 1 is the classic curve; larger is steeper.
    """

    def __init__(self, count: int, exponent: float) -> None:
        """Prepare the cumulative weights."""
        if count < 1:
            raise ValueError(f"a popularity curve over {count} things")
        self.count, self.exponent = count, exponent
        self._cumulative: list[float] = list(
            itertools.accumulate(float((rank + 1) ** -exponent) for rank in range(count))
        )

    def draw(self, dice: random.Random) -> int:
        """Draw one rank."""
        return bisect.bisect_left(self._cumulative, dice.random() * self._cumulative[-1])

    def share(self, rank: int) -> float:
        """Return the share of all draws that a rank gets, 0..1."""
        before = self._cumulative[rank - 1] if rank else 0.0
        return (self._cumulative[rank] - before) / self._cumulative[-1]
