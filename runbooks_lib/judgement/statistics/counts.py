"""Do errors fall on the enhanced cohort more often than on the control? A test that may be looked at at any time.

Why it may be: where an event is one of the enhanced cohort with probability r', the e-value is a martingale that starts
at 1, so it ever reaches 1 / alpha with probability alpha at most (Ville). It grows in both directions, and only harm is
to count: where X <= r' N it is cut at 1. That stays valid, also for every probability below r', steady or not: cutting
only lowers it; it is convex in X and, by Jensen, at most 1 at X = r' N, so that the counts that reach 1 / alpha are
those from some count upwards; and a smaller probability reaches those less often. It is not doubled for looking in one
direction only: that would not be valid.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

#: k, of the prior, in events. Of 5 to 100, the one that finds two to ten times the errors, at shares of 10 to 75 %,
#: with at most a seventh more events than the best would need in each case. Larger ones find small differences sooner
#: and large ones later: 40 needs half as many events again for five times the errors.
PRIOR_EVENTS = 10.0
#: Of the shown interval: 95 % at one look.
_Z = 1.959964
#: exp(700) is about the largest number; more evidence than that says no more.
_LARGEST_LOG = 700.0


@dataclass(frozen=True, slots=True)
class CountEvidence:
    """What counts say about the enhanced cohort's rate against the control's.

    Attributes:
        e_value: evidence that the ratio of rates is above the tolerance; 1 is none. At or over 1 / alpha at any look
            it is, with a false alarm in at most alpha of all campaigns, however often was looked.
        ratio: enhanced rate / control rate; NaN without events or with one cohort only, inf without control events.
        low: of the ratio's 95 % interval at this look alone; to be shown, not to be decided by.
        high: likewise; inf where the control has no events.
    """

    e_value: float
    ratio: float
    low: float
    high: float

    @property
    def p(self) -> float:
        """Always-valid p: 1 / e, at most 1."""
        return min(1.0, 1.0 / self.e_value) if self.e_value > 0 else 1.0


def count_evidence(enhanced_events: float, control_events: float, share: float, *, tolerance: float) -> CountEvidence:
    """Does the enhanced cohort have more than ``tolerance`` times the events per request of the control cohort?

    Given N = X + Y events of both cohorts, X of them of the enhanced one, and equal rates up to the tolerance q, an
    event is one of the enhanced cohort with probability at most r' = q r / (q r + 1 - r), r being its share of
    requests. Against that stands a Beta(a, b) mixture of all other probabilities, a = k r', b = k (1 - r'):

        e = B(a + X, b + N - X) / (B(a, b) r'^X (1 - r')^(N - X))

    cut at 1 where X <= r' N: doing better than allowed is no evidence of harm, however certain.

    Events that come in bursts (a stampede) are fewer than they look: let a least size of effect, the tolerance, and a
    confirmation stand beside this. Counts may be fractions: ``increase()`` extrapolates.

    Args:
        enhanced_events: X, cumulative over the stage, at least 0.
        control_events: Y, likewise.
        share: r, the enhanced cohort's part of all requests of the same windows, 0..1; the observed one will do, of
            windows that all had the same percentage. At 0 and 1 there is nothing to compare with, and no evidence.
        tolerance: q, ratio of rates that does not matter yet; above 0. 1 for equal rates.

    Raises:
        ValueError: a count that is negative or not finite, a share outside 0..1, a tolerance that is not above 0.

    Source:
        Lindon and Malek, Anytime-Valid Inference for Multinomial Count Data, arXiv 2011.03567.
    """
    _require(enhanced_events, control_events, share, tolerance)
    if not 0 < share < 1:
        return CountEvidence(1.0, math.nan, 0.0, math.inf)
    ratio, low, high = _rate_ratio(enhanced_events, control_events, share)
    expected = tolerance * share / (tolerance * share + 1 - share)
    if not 0 < expected < 1:
        return CountEvidence(1.0, ratio, low, high)
    log_e = _log_evidence(enhanced_events, control_events, expected)
    harmful = enhanced_events > expected * (enhanced_events + control_events)
    largest = _LARGEST_LOG if harmful else 0.0
    return CountEvidence(math.exp(max(min(log_e, largest), -_LARGEST_LOG)), ratio, low, high)


def _log_evidence(enhanced: float, control: float, expected: float) -> float:
    a, b = PRIOR_EVENTS * expected, PRIOR_EVENTS * (1 - expected)
    mixture = math.lgamma(a + enhanced) + math.lgamma(b + control) - math.lgamma(PRIOR_EVENTS + enhanced + control)
    prior = math.lgamma(a) + math.lgamma(b) - math.lgamma(PRIOR_EVENTS)
    return mixture - prior - enhanced * math.log(expected) - control * math.log1p(-expected)


def _rate_ratio(enhanced: float, control: float, share: float) -> tuple[float, float, float]:
    """Ratio of rates and its interval: Wilson's for the enhanced part of all events, as odds over those of requests."""
    total = enhanced + control
    if total == 0:
        return math.nan, 0.0, math.inf
    requests = share / (1 - share)
    scale = total + _Z * _Z
    centre = enhanced + _Z * _Z / 2
    half = _Z * math.sqrt(enhanced * control / total + _Z * _Z / 4)
    low, high = max(centre - half, 0.0), min(centre + half, scale)
    return (
        enhanced / control / requests if control else math.inf,
        low / (scale - low) / requests if enhanced else 0.0,
        high / (scale - high) / requests if control and high < scale else math.inf,
    )


def _require(enhanced: float, control: float, share: float, tolerance: float) -> None:
    for name, value in (("enhanced_events", enhanced), ("control_events", control)):
        if not 0 <= value < math.inf:
            raise ValueError(f"{name} is {value!r}: a count is 0 or more, and finite")
    if not 0 <= share <= 1:
        raise ValueError(f"share is {share!r}, not within 0 to 1")
    if not 0 < tolerance < math.inf:
        raise ValueError(f"tolerance is {tolerance!r}: a ratio above 0")
