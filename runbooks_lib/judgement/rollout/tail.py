"""Beyond which duration do the slowest requests of the control cohort begin? The edge that latency is compared at.

Chosen before what is tested, and never from the enhanced cohort: a choice that follows the result would find one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from runbooks_lib.facts.rollout import CohortSample, RolloutWindow
from runbooks_lib.judgement.rollout.exposure import comparable
from runbooks_lib.rollout_policy import RolloutPolicy

TAIL_RATIO = 0.05

#: So many times the least number of requests of the 0 % stage choose the bucket edge.
EDGE_SAMPLES = 200

#: A tail that holds most requests says nothing about the slowest of them.
_LARGEST_TAIL = 0.5


def tail_edge(
    used: Sequence[RolloutWindow], zero_windows: Sequence[RolloutWindow], policy: RolloutPolicy
) -> tuple[float | None, Sequence[RolloutWindow]]:
    """The bucket edge (seconds) beyond which the tail is counted, and the looks that may be tested with it.

    Of the edges with at most half of the control's requests beyond it, the one whose share is nearest to 5 %, as a
    ratio. None where no histogram was read.
    """
    zero = _first_requests(zero_windows, EDGE_SAMPLES * policy.min_requests)
    if sum(sample.requests for sample in zero) >= policy.min_requests and (edge := _nearest(zero)) is not None:
        return edge, used
    for number, window in enumerate(used):
        if window.control and (edge := _nearest([window.control])) is not None:
            return edge, used[number + 1 :]
    return None, used


def _first_requests(zero_windows: Sequence[RolloutWindow], enough: float) -> list[CohortSample]:
    """The control's first looks of the 0 % stage, until they hold enough requests to place a p95."""
    found: list[CohortSample] = []
    requests = 0.0
    for window in zero_windows:
        if requests >= enough:
            break
        if window.control and comparable(window, 0):
            found.append(window.control)
            requests += window.control.requests
    return found


def _nearest(samples: Sequence[CohortSample]) -> float | None:
    pooled: dict[float, float] = {}
    for sample in samples:
        for edge, below in sample.buckets.items():
            pooled[edge] = pooled.get(edge, 0.0) + below
    total = pooled.pop(math.inf, 0.0)
    if not 0 < total < math.inf:
        return None
    tails = {edge: 1 - below / total for edge, below in pooled.items() if 0 < edge < math.inf and 0 <= below <= total}
    fitting = {edge: max(tail, 1e-6) for edge, tail in tails.items() if tail <= _LARGEST_TAIL}
    return min(fitting, key=lambda edge: (abs(math.log(fitting[edge] / TAIL_RATIO)), edge), default=None)
