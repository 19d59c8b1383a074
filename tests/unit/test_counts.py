"""Evidence from counts: right by its formula, valid however often one looks, and calm on bad input."""

import math
import time
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runbooks_lib.judgement.statistics.counts import PRIOR_EVENTS, CountEvidence, count_evidence

LOOKS = 144


def exact_evidence(x, y, expected, k):
    """The e-value in fractions: B(a + X, b + Y) / (B(a, b) r'^X (1 - r')^Y) by rising products."""
    a, b = k * expected, k * (1 - expected)

    def rising(start, steps):
        return math.prod((start + step for step in range(steps)), start=Fraction(1))

    return rising(a, x) * rising(b, y) / (rising(k, x + y) * expected**x * (1 - expected) ** y)


@pytest.mark.parametrize(("x", "y"), [(1, 0), (4, 0), (12, 20), (30, 3), (40, 41)])
@pytest.mark.parametrize("share", [Fraction(1, 10), Fraction(1, 2), Fraction(3, 4)])
@pytest.mark.parametrize("tolerance", [Fraction(1), Fraction(5, 4), Fraction(3)])
def test_count_evidence_is_the_formula_in_the_direction_of_harm(x, y, share, tolerance):
    """Held against exact fractions; where the counts are not over the tolerance it is cut at 1."""
    expected = tolerance * share / (tolerance * share + 1 - share)
    exact = float(exact_evidence(x, y, expected, Fraction(PRIOR_EVENTS)))
    harmful = x > expected * (x + y)

    found = count_evidence(x, y, float(share), tolerance=float(tolerance))

    assert found.e_value == pytest.approx(exact if harmful else min(exact, 1.0), rel=1e-9)


@pytest.mark.parametrize("total", [1, 7, 60])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_count_evidence_is_at_most_one_on_average_where_there_is_no_harm(total, share):
    """What makes it an e-value: the mean over all outcomes at the edge of the tolerance, and within it."""
    for ratio in (1.25, 1.0, 0.4):
        chance = ratio * share / (ratio * share + 1 - share)
        mean = sum(
            math.comb(total, x)
            * chance**x
            * (1 - chance) ** (total - x)
            * count_evidence(x, total - x, share, tolerance=1.25).e_value
            for x in range(total + 1)
        )
        assert mean <= 1 + 1e-9


def share_of_alarms(draw, shares, events, *, campaigns, alpha, share, tolerance):
    """Of simulated campaigns: how many reach 1 / alpha at any of the looks? ``shares``: P(event is enhanced) at each."""
    new = draw.poisson(events, size=(campaigns, len(shares)))
    enhanced = draw.binomial(new, np.broadcast_to(shares, new.shape)).cumsum(axis=1)
    control = new.cumsum(axis=1) - enhanced
    alarms = 0
    for here, there in zip(enhanced.tolist(), control.tolist(), strict=True):
        alarms += any(
            count_evidence(x, y, share, tolerance=tolerance).e_value >= 1 / alpha
            for x, y in zip(here, there, strict=True)
        )
    return alarms / campaigns


@pytest.mark.parametrize(
    ("share", "tolerance", "events"),
    [
        pytest.param(0.1, 1.25, 2.0, id="10 % and rare"),
        pytest.param(0.5, 1.0, 0.3, id="50 % and very rare"),
        pytest.param(0.75, 1.25, 20.0, id="75 % and frequent"),
    ],
)
def test_count_evidence_without_harm_raises_false_alarms_at_most_as_often_as_it_says(share, tolerance, events):
    """At the very edge of the tolerance, the worst case, over 144 looks: at most 5 % of 300 campaigns.

    Mostly it is about 1 %: only one of the two directions counts, and the looks end some day.
    """
    expected = tolerance * share / (tolerance * share + 1 - share)
    alarms = share_of_alarms(
        np.random.default_rng(2026),
        [expected] * LOOKS,
        events,
        campaigns=400,
        alpha=0.05,
        share=share,
        tolerance=tolerance,
    )

    assert 0 < alarms <= 0.05


def test_count_evidence_with_rates_that_wander_below_the_tolerance_stays_valid():
    """Night and day, incidents of both cohorts: as long as the ratio stays within the tolerance there is no harm."""
    share = 0.25
    ratios = 0.8 + 0.45 * (1 + np.sin(np.arange(LOOKS) / 6)) / 2
    events = 3 + 30 * (np.arange(LOOKS) % 24 < 3)
    alarms = share_of_alarms(
        np.random.default_rng(4),
        ratios * share / (ratios * share + 1 - share),
        events,
        campaigns=200,
        alpha=0.05,
        share=share,
        tolerance=1.25,
    )

    assert alarms <= 0.05


def test_count_evidence_of_three_times_the_errors_is_found_in_nearly_all_campaigns():
    """At 10 % of traffic and four errors an hour in all, within a day, at the alpha of one of several tests."""
    share = 0.1
    alarms = share_of_alarms(
        np.random.default_rng(5),
        [3 * share / (3 * share + 1 - share)] * 48,
        8.0,
        campaigns=100,
        alpha=0.005,
        share=share,
        tolerance=1.25,
    )

    assert alarms >= 0.9


@given(
    total=st.integers(1, 250),
    share=st.floats(0.01, 0.99),
    tolerance=st.floats(0.5, 4),
)
@settings(max_examples=25, deadline=None)
def test_count_evidence_rises_with_the_errors_of_the_enhanced_cohort_once_it_is_evidence(total, share, tolerance):
    """On this rests that cutting it at 1 on the harmless side is valid for all ratios within the tolerance."""
    values = [count_evidence(x, total - x, share, tolerance=tolerance).e_value for x in range(total + 1)]
    evidence = [value for value in values if value > 1]

    assert evidence == sorted(evidence)
    assert values[-len(evidence) :] == evidence or not evidence


def test_count_evidence_of_a_cohort_that_does_better_is_none():
    """Fewer errors than the control cohort are no reason to roll back, however certain they are."""
    assert count_evidence(10, 2000, 0.5, tolerance=1.25).e_value <= 1
    assert count_evidence(10, 2000, 0.5, tolerance=1.25).p == 1.0


def test_count_evidence_within_the_tolerance_is_none_though_the_rates_differ():
    """20 % more errors, surely so, with a tolerance of 25 %: nothing that matters."""
    found = count_evidence(120_000, 100_000, 0.5, tolerance=1.25)

    assert found.low > 1.15
    assert found.e_value <= 1
    assert count_evidence(120_000, 100_000, 0.5, tolerance=1.0).e_value > 1e6


@pytest.mark.parametrize(
    ("x", "y", "share", "ratio"),
    [(50, 50, 0.5, 1.0), (10, 90, 0.1, 1.0), (20, 90, 0.1, 2.0), (1.5, 4.5, 0.25, 1.0), (0, 7, 0.5, 0.0)],
)
def test_count_evidence_shows_the_ratio_of_rates_within_its_interval(x, y, share, ratio):
    """Events per request, enhanced over control; fractions as ``increase()`` gives them."""
    found = count_evidence(x, y, share, tolerance=1.0)

    assert found.ratio == pytest.approx(ratio)
    assert found.low <= found.ratio <= found.high


def test_count_evidence_interval_covers_the_true_ratio_as_often_as_it_says():
    """About 95 % of 600 single looks; a little more or less, counts are whole."""
    draw = np.random.default_rng(8)
    share, ratio = 0.25, 2.0
    expected = ratio * share / (ratio * share + 1 - share)
    covered = 0
    for x in draw.binomial(80, expected, size=600).tolist():
        found = count_evidence(x, 80 - x, share, tolerance=1.0)
        covered += found.low <= ratio <= found.high

    assert 0.92 <= covered / 600 <= 0.98


@pytest.mark.parametrize(
    ("x", "y", "share", "expected"),
    [
        pytest.param(0, 0, 0.5, CountEvidence(1.0, math.nan, 0.0, math.inf), id="no events"),
        pytest.param(7, 3, 0.0, CountEvidence(1.0, math.nan, 0.0, math.inf), id="no enhanced traffic"),
        pytest.param(7, 0, 1.0, CountEvidence(1.0, math.nan, 0.0, math.inf), id="no control traffic"),
    ],
)
def test_count_evidence_of_nothing_to_compare_is_no_evidence(x, y, share, expected):
    """Nothing seen says nothing, in either direction."""
    found = count_evidence(x, y, share, tolerance=1.25)

    assert (found.e_value, found.low, found.high, found.p) == (expected.e_value, expected.low, expected.high, 1.0)
    assert math.isnan(found.ratio)


def test_count_evidence_without_control_events_has_an_infinite_ratio():
    """The lower end of the interval still says something."""
    found = count_evidence(40, 0, 0.5, tolerance=1.25)

    assert (found.ratio, found.high) == (math.inf, math.inf)
    assert found.low > 5
    assert found.e_value > 1000


@pytest.mark.parametrize("size", [1e6, 1e9, 1e15])
def test_count_evidence_of_huge_counts_does_not_overflow(size):
    """Equal rates stay no evidence and twice the rate is as certain as a number can say."""
    equal = count_evidence(size, size, 0.5, tolerance=1.0)
    twice = count_evidence(2 * size, size, 0.5, tolerance=1.25)

    assert equal.e_value <= 1
    assert 1e300 < twice.e_value < math.inf
    assert twice.ratio == pytest.approx(2.0)


@pytest.mark.parametrize("share", [1e-300, 1e-12, 1 - 1e-12])
def test_count_evidence_at_extreme_shares_is_a_number(share):
    """A cohort of one request in a million million."""
    found = count_evidence(3, 5, share, tolerance=1.25)

    assert 0 <= found.e_value < math.inf


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        pytest.param((-1, 0, 0.5, 1.25), "enhanced_events is -1", id="negative"),
        pytest.param((0, -0.5, 0.5, 1.25), "control_events is -0.5", id="negative control"),
        pytest.param((math.nan, 0, 0.5, 1.25), "enhanced_events is nan", id="nan"),
        pytest.param((0, math.inf, 0.5, 1.25), "control_events is inf", id="infinite"),
        pytest.param((1, 1, -0.1, 1.25), "share is -0.1", id="negative share"),
        pytest.param((1, 1, 25, 1.25), "share is 25", id="share in percent"),
        pytest.param((1, 1, math.nan, 1.25), "share is nan", id="nan share"),
        pytest.param((1, 1, 0.5, 0), "tolerance is 0", id="no tolerance"),
        pytest.param((1, 1, 0.5, math.nan), "tolerance is nan", id="nan tolerance"),
    ],
)
def test_count_evidence_of_bad_input_names_the_argument_and_its_value(arguments, named):
    """A counter that ran backwards is a fault of the measurement, and no evidence."""
    x, y, share, tolerance = arguments
    with pytest.raises(ValueError, match=named):
        count_evidence(x, y, share, tolerance=tolerance)


def test_count_evidence_takes_less_than_twenty_microseconds():
    """A simulation asks for it a million times; the quickest of 30 rounds of 100, other work runs beside."""
    seconds = []
    for _ in range(30):
        began = time.perf_counter()
        for _ in range(100):
            count_evidence(12, 30, 0.1, tolerance=1.25)
        seconds.append((time.perf_counter() - began) / 100)

    assert min(seconds) < 20e-6
