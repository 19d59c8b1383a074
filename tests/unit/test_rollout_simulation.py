"""A small version of ``benchmarks/rollout_bench.py``: the same world, stages of eight hours, few campaigns.

The seeds are fixed, so the outcome is always the same; what is asserted holds with a margin, not just for them.
"""

from __future__ import annotations

import math
from dataclasses import replace
from statistics import fmean

import pytest

from benchmarks.rollout_bench import SHIPPED
from benchmarks.rollout_campaign import COMPLETE, ROLLED_BACK, Outcome, run, wilson
from benchmarks.rollout_hours import HOURS
from benchmarks.rollout_methods import METHODS
from benchmarks.rollout_model import EDGES, Effect, Stage, Traffic, quantile
from runbooks_lib.facts.rollout import SLOTS_COUNT
from runbooks_lib.policy import policy_for
from runbooks_lib.rollout_policy import rollout_policy

#: Eight looks a stage: a campaign of 48 looks is judged in a fifth of the time.
POLICY = replace(rollout_policy(policy_for()), soak_seconds=8 * 3600.0)
NO_EFFECT = Effect("no effect")
HALF = Stage(50, 25, SLOTS_COUNT)


def campaigns(effect: Effect, count: int) -> list[Outcome]:
    """Campaigns of one effect, judged by what is shipped."""
    worlds = [Traffic(seed, effect) for seed in range(count)]
    return [run(world, METHODS[SHIPPED], POLICY, world.baseline()) for world in worlds]


def test_rollout_without_an_effect_is_not_rolled_back_and_reaches_the_goal():
    """Bad days, bursts, cold caches, gaps and missed executions are no reason to roll back."""
    ends = campaigns(NO_EFFECT, 14)
    complete = [end for end in ends if end.end == COMPLETE]

    assert sum(end.end == ROLLED_BACK for end in ends) <= 2, ends
    assert len(complete) >= 10, ends
    assert all(end.percentage == 100 and end.hours >= 6 * 8 for end in complete), "six stages of eight observed hours"


@pytest.mark.parametrize(
    ("effect", "latest"),
    [
        (Effect("errors", error_factor=2.0), 25),
        (Effect("hit rate", hit_points=10.0), 100),
        (Effect("latency", latency_factor=1.3), 25),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_rollout_with_an_effect_is_rolled_back(effect, latest):
    """Errors and latency have a control cohort and are found early; the hit rate has none and is found later."""
    ends = campaigns(effect, 12)

    assert sum(end.end == ROLLED_BACK for end in ends) >= 11, ends
    assert sorted(end.percentage for end in ends)[len(ends) // 2] <= latest
    assert all(end.percentage > 0 for end in ends), "at 0 % nobody has the feature"


def test_traffic_same_seed_is_the_same_world():
    """Every judge sees the same campaign, today and tomorrow."""
    one, other = Traffic(7, NO_EFFECT), Traffic(7, NO_EFFECT)

    assert one.window(40, HALF) == other.window(40, HALF)
    assert one.baseline() == other.baseline()
    assert Traffic(8, NO_EFFECT).window(40, HALF) != one.window(40, HALF)


def observed(world: Traffic) -> list[int]:
    """Some hours of a world in which everything was scraped."""
    return [hour for hour in range(SLOTS_COUNT, HOURS) if world.hours.observed_ratio[hour] == 1][:60]


def test_effect_changes_only_what_it_says():
    """Twice the errors, a tenth of the hit rate at full exposure, nothing of the control cohort."""
    plain, harmful = Traffic(3, NO_EFFECT), Traffic(3, Effect("x", error_factor=2.0, hit_points=10.0))
    hours = observed(plain)
    windows = [(plain.window(hour, HALF), harmful.window(hour, HALF)) for hour in hours]

    errors = [sum(pair[side].enhanced.errors for pair in windows) for side in (0, 1)]
    drop = fmean(one.hit_ratio - two.hit_ratio for one, two in windows)
    shares = [pair[0].enhanced.requests / (pair[0].enhanced.requests + pair[0].control.requests) for pair in windows]
    assert errors[1] / errors[0] > 1.5
    assert drop == pytest.approx(0.1 * fmean(shares), abs=0.002)
    assert fmean(shares) == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize("seed", [2, 3], ids=["all requests longer", "the tail alone"])
def test_latency_effect_raises_p95_by_what_it_says(seed):
    """Both kinds raise p95 by 30 %; between bucket edges that shows as more or less, never as nothing."""
    world = Traffic(seed, Effect("x", latency_factor=1.3))
    enhanced, control = world.mixes(30, world.cohorts(30, 50))
    shown = [
        quantile(window.enhanced.buckets, 0.95) / quantile(window.control.buckets, 0.95)
        for window in (world.window(hour, HALF) for hour in observed(world))
    ]

    longer = (enhanced.log_median + 1.645 * enhanced.sigma) - (control.log_median + 1.645 * control.sigma)
    assert math.exp(longer) == pytest.approx(1.3, rel=0.12)
    assert fmean(shown) > 1.05


def test_window_at_the_ends_has_one_cohort():
    """At 0 % only the whitelist is enhanced; at 100 % nobody is left as control."""
    world = Traffic(5, NO_EFFECT)
    hour = observed(world)[0]
    nobody, everybody = world.window(hour, Stage(0, 0, hour)), world.window(hour, Stage(100, 75, hour))

    assert 0 < nobody.enhanced.requests < 0.05 * nobody.control.requests
    assert everybody.control.requests == 0
    assert everybody.enhanced.buckets[math.inf] > 0
    assert tuple(everybody.enhanced.buckets) == EDGES


def test_window_of_an_outage_holds_no_numbers():
    """An hour without a scrape is a gap with a reason, not zero requests."""
    world = next(
        one for one in (Traffic(seed, NO_EFFECT) for seed in range(9)) if (one.hours.observed_ratio == 0).any()
    )
    hour = int((world.hours.observed_ratio == 0).argmax())
    window = world.window(hour, HALF)

    assert (window.enhanced, window.control, window.hit_ratio, window.observed_ratio) == (None, None, None, 0.0)
    assert window.gaps["cohorts"]


def test_quantile_is_that_of_prometheus():
    """Linear between two edges; beyond the last finite edge, that edge."""
    buckets = {0.1: 50.0, 0.25: 90.0, 1.0: 98.0, math.inf: 100.0}

    assert quantile(buckets, 0.5) == pytest.approx(0.1)
    assert quantile(buckets, 0.7) == pytest.approx(0.175)
    assert quantile(buckets, 0.99) == 1.0


@pytest.mark.parametrize(
    ("hits", "count", "low", "high"), [(0, 10, 0.0, 0.2775), (5, 10, 0.2366, 0.7634), (10, 10, 0.7225, 1.0)]
)
def test_wilson_known_values_are_met(hits, count, low, high):
    """Values of Newcombe 1998 and of every table of it."""
    assert wilson(hits, count) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


def test_every_judge_rolls_back_what_is_plainly_broken():
    """Three times the errors and half as much latency: the peers are no straw men, and one loop executes all of them."""
    world = Traffic(4, Effect("x", error_factor=3.0, latency_factor=1.5))
    ends = {name: run(world, judge, POLICY, world.baseline()) for name, judge in METHODS.items()}

    assert {name: end.end for name, end in ends.items()} == dict.fromkeys(METHODS, ROLLED_BACK)
