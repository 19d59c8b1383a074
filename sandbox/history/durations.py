"""How long things take, as a curve with a closed form: the log-logistic distribution.

F(x) = 1 / (1 + (x / median) ** -shape); its mean is median * (pi / shape) / sin(pi / shape).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Duration:
    """The distribution of one duration.

    Attributes:
        median_seconds: half take longer.
        shape: larger is narrower; must be over 1. At 2.8, one in a hundred takes 5.2 times the median.
    """

    median_seconds: float
    shape: float = 2.8

    def share_within(self, seconds: float, slowness: Array | float = 1.0) -> Array | float:
        """Return the share that takes at most so long, 0..1; ``slowness`` multiplies every duration."""
        if math.isinf(seconds):
            return np.ones_like(slowness)
        return 1 / (1 + (seconds / (self.median_seconds * np.asarray(slowness))) ** -self.shape)

    @property
    def mean_seconds(self) -> float:
        """The mean."""
        angle = math.pi / self.shape
        return self.median_seconds * angle / math.sin(angle)
