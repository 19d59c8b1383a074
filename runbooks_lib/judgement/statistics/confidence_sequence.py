"""An interval for a difference of means that holds at all looks together: asymptotic confidence sequences.

For means whose number of looks is not planned. With a plan, ``group_sequential`` finds the same sooner; for counts
there is ``counts``. Source of all: Waudby-Smith et al., arXiv 2103.06476, as GrowthBook and PostHog use it.
"""

from __future__ import annotations

import math

#: Sample size at which the interval is narrowest, unless told otherwise.
TUNED_FOR_COUNT = 5000


def two_sided_half_width(
    standard_error: float, count: float, *, alpha: float, tuned_for: float = TUNED_FOR_COUNT
) -> float:
    """How far, at any of all looks, may the difference of two means be from the true one?

    sqrt(s2) sqrt(2 (n rho2 + 1) ln(sqrt(n rho2 + 1) / alpha)) / (n rho), s2 = n SE²

    Args:
        standard_error: SE of the difference at this look, in its unit, at least 0.
        count: n, sample size of both sides at this look, above 0.
        alpha: probability of ever being further away, 0..1, both excluded.
        tuned_for: sample size at which the interval is narrowest, above 0.

    Returns:
        In the unit of the difference.

    Raises:
        ValueError: an argument outside its range.
    """
    _require(standard_error, count, alpha, tuned_for)
    growth = count * _rho_squared(alpha, tuned_for)
    return standard_error * math.sqrt(2 * (growth + 1) / growth * math.log(math.sqrt(growth + 1) / alpha))


def one_sided_half_width(
    standard_error: float, count: float, *, alpha: float, tuned_for: float = TUNED_FOR_COUNT
) -> float:
    """How far, at any of all looks, may the difference of two means be from the true one in one given direction?

    sqrt(s2 2 (n rho2 + 1) / (n rho)² ln(1 + sqrt(n rho2 + 1) / (2 alpha))), s2 = n SE², rho2 tuned for 2 alpha

    Args:
        standard_error: SE of the difference at this look, in its unit, at least 0.
        count: n, sample size of both sides at this look, above 0.
        alpha: probability of ever being further away, above 0 and below 0.5.
        tuned_for: sample size at which the interval is narrowest, above 0.

    Returns:
        In the unit of the difference.

    Raises:
        ValueError: an argument outside its range.
    """
    _require(standard_error, count, alpha, tuned_for)
    if alpha >= 0.5:
        raise ValueError(f"alpha is {alpha!r}: one-sided it is below 0.5")
    growth = count * _rho_squared(2 * alpha, tuned_for)
    return standard_error * math.sqrt(2 * (growth + 1) / growth * math.log1p(math.sqrt(growth + 1) / (2 * alpha)))


def always_valid_p(
    difference: float,
    standard_error: float,
    count: float,
    *,
    alpha: float,
    tuned_for: float = TUNED_FOR_COUNT,
) -> float:
    """How well do all looks so far agree with no difference? At most alpha just where 0 is outside.

    Two-sided: min(1, 1 / E), E = exp(rho2 d² n / SE² / (2 (n rho2 + 1))) / sqrt(n rho2 + 1)

    Args:
        difference: d, of the means at this look, finite.
        standard_error: SE of it, at least 0; with 0 any difference is certain.
        count: n, sample size of both sides at this look, above 0.
        alpha: that the interval was made for: it sets rho.
        tuned_for: likewise.

    Raises:
        ValueError: an argument outside its range.
    """
    _require(standard_error, count, alpha, tuned_for)
    if not math.isfinite(difference):
        raise ValueError(f"difference is {difference!r}, not finite")
    if standard_error == 0:
        return 1.0 if difference == 0 else 0.0
    growth = count * _rho_squared(alpha, tuned_for)
    log_e = growth / (2 * (growth + 1)) * (difference / standard_error) ** 2 - math.log(growth + 1) / 2
    return math.exp(-max(log_e, 0.0))


def _rho_squared(alpha: float, tuned_for: float) -> float:
    spent = -2 * math.log(alpha)
    return (spent + math.log(spent + 1)) / tuned_for


def _require(standard_error: float, count: float, alpha: float, tuned_for: float) -> None:
    if not 0 <= standard_error < math.inf:
        raise ValueError(f"standard_error is {standard_error!r}: 0 or more, and finite")
    for name, value in (("count", count), ("tuned_for", tuned_for)):
        if not 0 < value < math.inf:
            raise ValueError(f"{name} is {value!r}: above 0, and finite")
    if not 0 < alpha < 1:
        raise ValueError(f"alpha is {alpha!r}, not between 0 and 1")
