"""How a campaign's error probability is divided over stages, tests and looks."""

from __future__ import annotations

import math
from functools import lru_cache

from runbooks_lib.judgement.statistics.group_sequential import bounds
from runbooks_lib.rollout_policy import RolloutPolicy

#: ``alpha t²``: early looks need much, the planned end still has most of it.
PHI = 2.0

#: errors, slow, latency, hit rate.
TESTS_AT_STAGE = 4

#: More looks than this gain nothing over testing at every second, third … look, and the bounds cost time.
_MOST_TESTS = 48


def alpha_per_test(policy: RolloutPolicy) -> float:
    """What each test may spend: ``alpha`` over four tests at each stage with a control and one at 100 %."""
    compared = sum(1 for stage in policy.stages if 0 < stage < 100)
    return policy.alpha / max(1, TESTS_AT_STAGE * compared + (100 in policy.stages))


def look_bound(look: int, planned: int, alpha: float) -> float:
    """How many standard errors must a test reach at this look; ``inf`` where it is not tested.

    Alpha is spent at the planned end. A stage that takes longer goes on with the last bound of a plan of twice as many
    looks at a quarter of alpha: at twice the plan a difference exactly at the tolerance raises a false alarm with 1.2
    times alpha, at four times with 1.5 times.

    Args:
        look: number of the look in its stage, from 1; 0 before any.
        planned: looks in a stage that goes well.
        alpha: of the test, one-sided.
    """
    tests = min(planned, _MOST_TESTS)
    test = look * tests // planned
    if look < 1 or test == (look - 1) * tests // planned:
        return math.inf
    if test > tests:
        return _table(2 * tests, alpha / 4)[-1]
    return _table(tests, alpha)[test - 1]


@lru_cache(maxsize=64)
def _table(tests: int, alpha: float) -> tuple[float, ...]:
    parts = [(number + 1) / tests for number in range(tests)]
    return tuple(bound.z for bound in bounds(parts, alpha=alpha, phi=PHI, two_sided=False))
