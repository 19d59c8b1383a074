"""The Mann-Whitney interval against its published vector, against the test that it inverts, and on bad input."""

import math
import time
from itertools import combinations, pairwise
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runbooks_lib.judgement.statistics.mann_whitney import (
    EXACT_POINTS_COUNT,
    Shift,
    exact_p,
    normal_p,
    ranks,
    shift,
)

#: "Test zQuant" of Kayenta's MannWhitneySuite: the 1 % quantile of the normal distribution.
Z_98 = 2.326348

samples = st.lists(st.integers(-6, 6), min_size=2, max_size=12).map(lambda values: [value / 2 for value in values])


def statistic(x, y, mu, z):
    """W(mu, z) as Kayenta states it, straight from ranks and with all ties: the reference for ``shift``."""
    m, n = len(x), len(y)
    together = np.concatenate([np.asarray(x, float) - mu, np.asarray(y, float)])
    centred = ranks(together)[:m].sum() - m * (m + 1) / 2 - m * n / 2
    ties = np.unique(together, return_counts=True)[1]
    variance = m * n / 12 * ((m + n + 1) - (ties**3 - ties).sum() / ((m + n) * (m + n - 1)))
    return (centred - 0.5 * np.sign(centred)) / math.sqrt(variance) - z


def root(x, y, z):
    """Where the step function of ``statistic`` passes zero, found by trying every step."""
    steps = sorted({a - b for a in x for b in y})
    for step, following in pairwise(steps):
        if statistic(x, y, (step + following) / 2, z) <= 0:
            return step
    return steps[-1]


def test_shift_of_the_published_vector_has_its_interval_and_estimate():
    """MannWhitneySuite, "Mann-Whitney Confidence Interval & Estimate"."""
    found = shift([10, 20, 30, 40], [1, 2, 3, 4], confidence=0.95)

    assert (found.low, found.high, found.estimate) == pytest.approx((6.0, 39.0, 22.5), abs=1e-6)


def test_shift_uses_the_published_quantile():
    """MannWhitneySuite, "Test zQuant": |Phi^-1(0.01)| at a confidence of 98 %."""
    x, y = list(range(3, 30)), [value * 0.9 for value in range(25)]

    assert NormalDist().inv_cdf(0.01) == pytest.approx(-Z_98, abs=1e-6)
    assert shift(x, y, confidence=0.98).low == pytest.approx(root(x, y, Z_98))


@given(x=samples, y=samples, confidence=st.sampled_from([0.5, 0.8, 0.95, 0.98]))
@settings(max_examples=50, deadline=None)
def test_shift_ends_where_the_test_that_it_inverts_changes_its_mind(x, y, confidence):
    """With any ties, both ends are the roots of Kayenta's statistic, without its solver's tolerance."""
    z = -NormalDist().inv_cdf((1 - confidence) / 2)
    found = shift(x, y, confidence=confidence)

    assert found.low == pytest.approx(root(x, y, z))
    assert found.high == pytest.approx(-root(y, x, z))
    assert found.low <= found.estimate <= found.high


@pytest.mark.parametrize("scale", [1e-12, 1e-6, 1.0, 1e12])
def test_shift_resolves_tiny_and_huge_magnitudes_alike(scale):
    """Kayenta's absolute tolerance of 1e-4 turns intervals of error ratios inside out; here the unit does not matter."""
    draw = np.random.default_rng(7)
    x, y = draw.normal(2, 1, 30), draw.normal(1, 1, 30)
    plain, scaled = shift(x, y, confidence=0.98), shift(x * scale, y * scale, confidence=0.98)

    assert (scaled.low / scale, scaled.high / scale, scaled.estimate / scale) == pytest.approx(
        (plain.low, plain.high, plain.estimate), rel=1e-6
    )
    assert scaled.low < scaled.estimate < scaled.high


def test_shift_of_constant_series_is_their_difference():
    """Kayenta adds random noise here; no noise is needed to count."""
    assert shift([10] * 5, [1] * 5, confidence=0.95) == Shift(9.0, 9.0, 9.0)
    assert shift([4], [1], confidence=0.98) == Shift(3.0, 3.0, 3.0)


def test_shift_covers_the_true_shift_as_often_as_it_says():
    """Of 400 pairs of samples that are 0.3 apart about 95 % have it in their interval."""
    draw = np.random.default_rng(11)
    covered = 0
    for _ in range(400):
        found = shift(draw.exponential(1, 40) + 0.3, draw.exponential(1, 40), confidence=0.95)
        covered += found.low <= 0.3 <= found.high

    assert 0.92 <= covered / 400 <= 0.98


@pytest.mark.parametrize(
    ("x", "y", "p"),
    [
        pytest.param([10, 20], [1, 2], 1 / 3, id="two above two"),
        pytest.param([10, 20, 30, 40], [1, 2, 3, 4], 2 / 70, id="four above four"),
        pytest.param([1, 1, 1], [1, 1], 1.0, id="all tied"),
        pytest.param([5], [5], 1.0, id="one and one"),
    ],
)
def test_exact_p_of_small_samples_is_the_counted_one(x, y, p):
    """Where Kayenta says "98 %" of two above two, chance does so in a third of all cases."""
    assert exact_p(x, y) == pytest.approx(p)


@given(
    x=st.lists(st.integers(0, 4), min_size=1, max_size=5),
    y=st.lists(st.integers(0, 4), min_size=1, max_size=5),
)
@settings(max_examples=60, deadline=None)
def test_exact_p_equals_dealing_the_values_in_all_ways(x, y):
    """By brute force over all choices, ties included."""
    together = ranks(np.asarray([*x, *y], float))
    middle = len(x) * (len(together) + 1) / 2
    seen = abs(together[: len(x)].sum() - middle)
    deals = [abs(sum(deal) - middle) >= seen - 1e-9 for deal in combinations(together, len(x))]

    assert exact_p(x, y) == pytest.approx(sum(deals) / len(deals))


def test_normal_p_of_many_points_is_close_to_the_exact_one():
    """Up to 40 points are counted, more are approximated; where both can be had they agree."""
    draw = np.random.default_rng(3)
    x, y = draw.normal(0.5, 1, 20), draw.normal(0, 1, 20)

    assert normal_p(x, y) == pytest.approx(exact_p(x, y), abs=0.01)
    assert normal_p([1, 1], [1, 1, 1]) == 1.0


@pytest.mark.parametrize(
    ("x", "y", "named"),
    [
        pytest.param([], [1.0], "canary has no values", id="no canary"),
        pytest.param([1.0], [], "baseline has no values", id="no baseline"),
        pytest.param([1.0, math.nan], [1.0], "canary has a value that is not finite: nan", id="nan"),
        pytest.param([1.0], [math.inf], "baseline has a value that is not finite: inf", id="inf"),
    ],
)
@pytest.mark.parametrize("ask", [lambda x, y: shift(x, y, confidence=0.95), exact_p, normal_p])
def test_mann_whitney_on_bad_samples_names_the_side(ask, x, y, named):
    """Nothing is dropped in silence; cleaning is the business of ``kayenta``."""
    with pytest.raises(ValueError, match=named):
        ask(x, y)


@pytest.mark.parametrize("confidence", [0, 1, -0.5, 98, math.nan])
def test_shift_with_a_confidence_that_is_none_is_refused(confidence):
    """98 is percent, not a probability."""
    with pytest.raises(ValueError, match="confidence"):
        shift([1.0], [2.0], confidence=confidence)


def test_exact_p_of_too_many_points_is_refused():
    """It would take long; the normal approximation is good there."""
    with pytest.raises(ValueError, match="41 points are too many"):
        exact_p(range(EXACT_POINTS_COUNT), [1])


def test_shift_of_sixty_against_sixty_points_takes_less_than_three_milliseconds():
    """A simulation asks for it a hundred thousand times; the quickest of 30 is taken, other work runs beside."""
    draw = np.random.default_rng(5)
    x, y = draw.normal(size=60), draw.normal(size=60)
    seconds = []
    for _ in range(30):
        began = time.perf_counter()
        shift(x, y, confidence=0.98)
        seconds.append(time.perf_counter() - began)

    assert min(seconds) < 0.003
