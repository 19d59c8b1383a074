"""Group sequential bounds against published ones, and against simulated paths that know nothing of the integration."""

import math
import time
from statistics import NormalDist

import numpy as np
import pytest

from runbooks_lib.judgement.statistics.group_sequential import STEP_MIN, Z_MAX, bounds, information


def crossings(parts, limits, *, paths=40_000, two_sided=False, seed=1):
    """Part of random paths without any effect that have crossed a bound by each look."""
    steps = np.sqrt(np.diff(np.asarray([0.0, *parts])))
    draw = np.random.default_rng(seed)
    place, crossed = np.zeros(paths), np.zeros(paths, dtype=bool)
    found = []
    for step, part, limit in zip(steps, parts, limits, strict=True):
        place += step * draw.standard_normal(paths)
        height = place / math.sqrt(part)
        crossed |= (np.abs(height) if two_sided else height) >= limit
        found.append(float(crossed.mean()))
    return found


def test_bounds_of_a_plan_that_ran_over_are_the_published_ones():
    """Spotify's confidence, ``test_seq_bounds_run_over``: 810 of an expected 300, alpha 0.01, two-sided."""
    found = bounds(information([250, 450, 630, 810], 300), alpha=0.01, phi=2, two_sided=True)

    assert [bound.alpha for bound in found] == pytest.approx([0.00095, 0.00241, 0.00410, 0.00636], abs=1e-4)


def test_bounds_of_even_spending_are_those_of_the_textbook():
    """Lan and DeMets 1983, alpha t, five looks, one-sided 0.025: their table gives two digits."""
    found = bounds([0.2, 0.4, 0.6, 0.8, 1.0], alpha=0.025, phi=1, two_sided=False)

    assert [bound.z for bound in found] == pytest.approx([2.58, 2.49, 2.41, 2.34, 2.28], abs=0.006)


def test_bounds_of_one_look_are_those_of_a_fixed_test():
    """1.645 one-sided, 1.96 two-sided at 5 %."""
    one, two = (bounds([1.0], alpha=0.05, phi=2, two_sided=sided)[0] for sided in (False, True))

    assert (one.z, two.z) == pytest.approx((1.644854, 1.959964), abs=1e-6)
    assert (one.alpha, two.alpha) == pytest.approx((0.05, 0.05))


@pytest.mark.parametrize("phi", [pytest.param(1, id="like Pocock"), 2, pytest.param(3, id="like O'Brien and Fleming")])
@pytest.mark.parametrize("two_sided", [False, True])
def test_bounds_spend_at_each_look_what_they_should(phi, two_sided):
    """Simulated paths without effect cross by each look as often as alpha t^phi says: 40,000 paths, ten looks."""
    parts = [look / 10 for look in range(1, 11)]
    limits = [bound.z for bound in bounds(parts, alpha=0.05, phi=phi, two_sided=two_sided)]

    found = crossings(parts, limits, two_sided=two_sided)

    assert found == pytest.approx([0.05 * part**phi for part in parts], abs=0.0025)


def test_bounds_at_uneven_looks_spend_what_they_should():
    """Nights bring little traffic: looks of very different size."""
    parts = [0.01, 0.02, 0.3, 0.305, 0.32, 0.9, 1.0]
    limits = [bound.z for bound in bounds(parts, alpha=0.05, phi=2, two_sided=False)]

    assert crossings(parts, limits)[-1] == pytest.approx(0.05, abs=0.0025)


def test_bounds_of_many_looks_are_as_exact_as_those_of_few():
    """72 looks, half of a weekday campaign: alpha still is what was promised."""
    parts = [look / 72 for look in range(1, 73)]
    limits = [bound.z for bound in bounds(parts, alpha=0.05, phi=2, two_sided=False)]

    assert crossings(parts, limits, paths=40_000)[-1] == pytest.approx(0.05, abs=0.003)


def test_bounds_looked_at_with_a_fixed_test_instead_would_raise_many_false_alarms():
    """Why they are needed: five looks at 1.96 find something in 14.2 % of campaigns without any effect."""
    parts = [0.2, 0.4, 0.6, 0.8, 1.0]

    assert crossings(parts, [1.96] * 5, two_sided=True)[-1] == pytest.approx(0.142, abs=0.005)


def test_bounds_after_the_plan_has_been_spent_are_never_reached():
    """Looks over the plan get nothing: alpha is kept however long it goes on."""
    parts = [0.25, 0.5, 0.75, 1.0, 1.25, 2.0, 5.0]
    found = bounds(parts, alpha=0.05, phi=2, two_sided=False)

    assert [bound.z for bound in found[4:]] == [math.inf] * 3
    assert [bound.alpha for bound in found[4:]] == [0.0] * 3
    assert crossings(parts, [bound.z for bound in found])[-1] == pytest.approx(0.05, abs=0.0025)


def test_bounds_of_a_plan_that_runs_over_in_one_step_spend_the_rest_there():
    """From 80 % to 130 %: the look at 130 % is the last one of the plan."""
    short = bounds([0.8, 1.3], alpha=0.05, phi=2, two_sided=False)

    assert short == bounds([0.8, 1.0], alpha=0.05, phi=2, two_sided=False)
    assert bounds([1.5], alpha=0.05, phi=2, two_sided=False)[0].alpha == pytest.approx(0.05)


@pytest.mark.parametrize("phi", [0.2, 1, 3, 8])
@pytest.mark.parametrize("alpha", [1e-6, 0.003, 0.2])
def test_bounds_are_never_below_those_of_one_look_at_what_is_spent_by_then(phi, alpha):
    """The guard: at the end of the plan that is the fixed-horizon bound."""
    parts = [0.05, 0.06, 0.4, 0.99, 1.0]
    for part, bound in zip(parts, bounds(parts, alpha=alpha, phi=phi, two_sided=False), strict=True):
        assert min(-NormalDist().inv_cdf(alpha * part**phi), Z_MAX) - 1e-9 <= bound.z <= Z_MAX


def test_bounds_of_earlier_looks_do_not_depend_on_later_ones():
    """What was decided stays decided with the same numbers."""
    parts = [0.1, 0.25, 0.6, 0.7, 1.0]
    whole = bounds(parts, alpha=0.01, phi=2, two_sided=False)

    for looks in range(1, 6):
        assert bounds(parts[:looks], alpha=0.01, phi=2, two_sided=False) == whole[:looks]


def test_bounds_at_a_look_without_new_information_stay_as_they_were():
    """A second look at the same data is the same look."""
    once = bounds([0.5, 1.0], alpha=0.05, phi=2, two_sided=False)
    again = bounds([0.5, 0.5, 0.5 + STEP_MIN / 10, 1.0], alpha=0.05, phi=2, two_sided=False)

    assert again == (once[0], once[0], once[0], once[1])


def test_information_of_a_plan_is_a_part_of_it_until_it_runs_over():
    """Before the end of the plan earlier parts stay; over it they shrink."""
    assert information([100, 200], 400) == (0.25, 0.5)
    assert information([100, 500], 400) == (0.2, 1.0)


@pytest.mark.parametrize(
    ("parts", "named"),
    [
        pytest.param([], "at least one look", id="no looks"),
        pytest.param([0.0, 0.5], "above 0", id="nothing seen"),
        pytest.param([-0.5], "above 0", id="negative"),
        pytest.param([0.5, math.nan], "information", id="nan"),
        pytest.param([0.5, math.inf], "information", id="infinite"),
        pytest.param([0.5, 0.4], "falls", id="falling"),
    ],
)
def test_bounds_of_information_that_is_none_are_refused(parts, named):
    """Information only grows."""
    with pytest.raises(ValueError, match=named):
        bounds(parts, alpha=0.05, phi=2, two_sided=False)


@pytest.mark.parametrize(("alpha", "phi"), [(0, 2), (1, 2), (5, 2), (math.nan, 2), (0.05, 0), (0.05, math.inf)])
def test_bounds_with_an_alpha_or_a_phi_that_is_none_are_refused(alpha, phi):
    """5 is percent, not a probability."""
    with pytest.raises(ValueError, match=r"alpha|phi"):
        bounds([1.0], alpha=alpha, phi=phi, two_sided=False)


@pytest.mark.parametrize(("cumulative", "expected"), [([], 10), ([1], 0), ([1], -4), ([1], math.nan)])
def test_information_without_looks_or_plan_is_refused(cumulative, expected):
    """There is nothing to divide by."""
    with pytest.raises(ValueError, match="plan"):
        information(cumulative, expected)


def test_bounds_asked_for_again_come_at_once():
    """A simulation asks 100,000 times for the same plan: under 50 us, the quickest of 20."""
    parts = [look / 24 for look in range(1, 25)]
    bounds(parts, alpha=0.004, phi=2, two_sided=False)
    seconds = []
    for _ in range(20):
        began = time.perf_counter()
        bounds(parts, alpha=0.004, phi=2, two_sided=False)
        seconds.append(time.perf_counter() - began)

    assert min(seconds) < 50e-6
