"""The steady state of a cache, and the popularity from which it follows."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from sandbox.content.steady_state import Life
from sandbox.settings import Catalogue
from sandbox.traffic.plan import Content, popularity_of
from sandbox.traffic.popularity import Nested, Zipf

TTL_SECONDS, FRESH_RATIO = 900.0, 0.8


def simulated(rate: float, seconds: float, dice: random.Random) -> tuple[float, list[float]]:
    """Live through the life of one key; return the share of lookups that hit, and the age at each hit."""
    now = stored_at = hits = lookups = 0.0
    ages = []
    while now < seconds:
        now += dice.expovariate(rate)
        lookups += 1
        age = now - stored_at
        if age < TTL_SECONDS:
            hits += 1
            ages.append(age)
        if age >= FRESH_RATIO * TTL_SECONDS:
            stored_at = now
    return hits / lookups, ages


@pytest.fixture(scope="module")
def content() -> Content:
    """The ids of the default catalogue."""
    sizes = Catalogue()
    chapters = sizes.courses * sizes.chapters
    counts = (sizes.courses, chapters, chapters * sizes.problems, sizes.users)
    return Content(*(range(1, count + 1) for count in counts))


def test_catalogue_default_is_that_of_a_whole_platform(content):
    """200 courses of 10 chapters of 10 problems, and 500 users."""
    assert [len(content.ids(of)) for of in ("course", "chapter", "problem", "user")] == [200, 2000, 20_000, 500]


@pytest.mark.parametrize("rate", [0.0005, 0.002, 0.01])
def test_life_present_ratio_and_ages_are_those_of_a_simulated_key(rate):
    """The formulas say what living through it says, for rare keys and for popular ones."""
    life = Life(rate, TTL_SECONDS, FRESH_RATIO)
    hit_ratio, ages = simulated(rate, 20_000 / rate, random.Random(1))
    assert life.present_ratio == pytest.approx(hit_ratio, abs=0.015)
    assert life.age_seconds(0.5) == pytest.approx(sorted(ages)[len(ages) // 2], rel=0.05)


def test_life_ages_rise_with_the_chance_and_never_pass_the_ttl():
    """A quantile function, from a new answer to one that is about to expire."""
    life = Life(0.003, TTL_SECONDS, FRESH_RATIO)
    ages = [life.age_seconds(chance / 100) for chance in range(101)]
    assert ages[0] == 0
    assert ages[-1] == pytest.approx(TTL_SECONDS)
    assert all(before < after for before, after in pairwise(ages))


def test_nested_draws_follow_the_shares_and_these_add_up_to_one():
    """A place in a tree is as likely as its branches are."""
    curve, dice = Nested([Zipf(4, 1.0), Zipf(3, 1.5)]), random.Random(1)
    draws = [curve.draw(dice) for _ in range(20_000)]
    assert curve.count == 12
    assert sum(curve.share(place) for place in range(12)) == pytest.approx(1.0)
    for place in (0, 3, 11):
        assert draws.count(place) / len(draws) == pytest.approx(curve.share(place), abs=0.01)


def test_content_courses_follow_the_curve_and_readers_drop_out_inside(content):
    """Between courses the Zipf curve of the configured exponent; the first chapter is read most."""
    courses, chapters = content.curve("course", 1.0), content.curve("chapter", 1.0)
    assert courses.share(0) / courses.share(9) == pytest.approx(10)
    assert sum(chapters.share(place) for place in range(10)) == pytest.approx(courses.share(0))
    assert chapters.share(0) > 2 * chapters.share(1) > 10 * chapters.share(9)


@pytest.mark.parametrize("rate_per_second", [26.0, 38.0])
def test_popularity_of_a_weekend_night_and_of_a_working_day_gives_over_90_percent_hits(content, rate_per_second):
    """By the formulas, with the site's 900 s for every key; what is missing and what staff changes comes on top."""
    popularity = list(popularity_of(content, 1.0, rate_per_second))
    hits = sum(one.asked_per_second * Life(one.asked_per_second, 900, 0.8).present_ratio for one in popularity)
    assert hits / rate_per_second > 0.915
