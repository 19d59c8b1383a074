"""The popularity curve: a few things are asked for all the time, most hardly ever."""

from __future__ import annotations

import bisect
import itertools
import math
import random
from collections.abc import Sequence

# Readers drop out of a course: of those who open chapter 1, this leaves 35 % for chapter 2 and 3 % for chapter 10,
# which is what open online courses see (Reich and Ruiperez-Valiente, Science 363, 2019: 3 to 6 % complete).
FALL_OFF = 1.5


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


class Nested:
    """Draws places 0..count-1 in a tree whose leaves are numbered in a row: a course, a chapter in it, a problem there.

    Args:
        curves: one for each level, outermost first; a place is drawn level by level.
    """

    def __init__(self, curves: Sequence[Zipf]) -> None:
        """Take the levels."""
        self._curves = tuple(curves)
        self.count = math.prod(curve.count for curve in self._curves)

    def draw(self, dice: random.Random) -> int:
        """Draw one place."""
        place = 0
        for curve in self._curves:
            place = place * curve.count + curve.draw(dice)
        return place

    def share(self, place: int) -> float:
        """Return the share of all draws that a place gets, 0..1."""
        share = 1.0
        for curve in reversed(self._curves):
            place, rank = divmod(place, curve.count)
            share *= curve.share(rank)
        return share
