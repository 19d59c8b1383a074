"""Two series of points: the size of the change between them, and which points are outliers."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from runbooks_lib.judgement.statistics.mann_whitney import ranks


def mean_ratio(canary: Sequence[float], baseline: Sequence[float]) -> float:
    """Mean of the canary / mean of the baseline; NaN where either is 0."""
    above, below = float(np.mean(canary)), float(np.mean(baseline))
    return above / below if above and below else math.nan


def cles(canary: Sequence[float], baseline: Sequence[float]) -> float:
    """Common language effect size: how probably a point of the canary is above one of the baseline, ties half."""
    m, n = len(canary), len(baseline)
    rank_sum = float(ranks(np.concatenate([np.asarray(canary, float), np.asarray(baseline, float)]))[:m].sum())
    return (2 * rank_sum - m * (m + 1)) / (2 * m * n)


def without_outliers(values: NDArray[np.float64], factor: float) -> NDArray[np.float64]:
    """The points within ``factor`` interquartile ranges of the quartiles; the middle 98 % stay in any case."""
    if not values.size:
        return values
    lowest, first, third, highest = np.percentile(values, [1, 25, 75, 99])
    reach = factor * (third - first)
    inside = (values >= min(lowest, first - reach)) & (values <= max(highest, third + reach))
    return np.asarray(values[inside])
