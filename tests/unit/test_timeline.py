"""When it began and how long it has lasted, with gaps."""

from datetime import timedelta

import pytest
from builders import NOW, history, situation
from hypothesis import given
from hypothesis import strategies as st

from runbooks_lib.judgement.outage import last_hit
from runbooks_lib.judgement.timeline import Rate, breach, rate_breach
from runbooks_lib.policy import Policy


def test_breach_begins_at_the_first_sample_beyond_the_limit():
    """Ten samples at 50 % after a healthy one: nine steps of a minute."""
    past = history([0.9] * 50 + [0.5] * 10)
    found = breach(past, past.hit_ratio, 0.6, "below")
    assert found is not None
    assert found.since == NOW - timedelta(minutes=9)
    assert found.lasted_seconds == 540
    assert not found.from_the_start


def test_breach_that_recovered_is_none():
    """It is over: the newest sample is healthy."""
    past = history([0.9, 0.5, 0.5, 0.9])
    assert breach(past, past.hit_ratio, 0.6, "below") is None


def test_breach_counts_gaps_but_not_as_observed():
    """Four of ten minutes were not seen: they prove nothing."""
    past = history([0.9] + [0.5] * 3 + [None] * 4 + [0.5] * 3)
    found = breach(past, past.hit_ratio, 0.6, "below")
    assert found is not None
    assert found.lasted_seconds == 540
    assert found.gaps_seconds == 240
    assert found.observed_seconds == 300


def test_breach_from_the_first_sample_says_that_it_is_older():
    """The window shows no beginning."""
    past = history([None, 0.5, 0.5])
    found = breach(past, past.hit_ratio, 0.6, "below")
    assert found is not None
    assert found.from_the_start


@pytest.mark.parametrize("values", [[], [None, None]])
def test_breach_without_samples_is_none(values):
    """Nothing measured, nothing said."""
    past = history(values)
    assert breach(past, past.hit_ratio, 0.6, "below") is None


@given(st.lists(st.one_of(st.none(), st.floats(0, 1)), max_size=60))
def test_breach_never_reaches_past_a_healthy_sample(values):
    """Property: between its beginning and now no sample is healthy, and the one before it is."""
    past = history(values)
    found = breach(past, past.hit_ratio, 0.6, "below")
    if found is None:
        newest = next((v for v in reversed(values) if v is not None), None)
        assert newest is None or newest >= 0.6
        return
    start = past.times.index(found.since)
    assert all(v is None or v < 0.6 for v in values[start:])
    before = [v for v in values[:start] if v is not None]
    assert found.from_the_start == (not before)
    assert not before or before[-1] >= 0.6
    assert 0 <= found.gaps_seconds <= found.lasted_seconds


def test_last_hit_is_the_newest_sample_with_one():
    """A site whose Redis is gone counts no lookups, or only misses."""
    assert last_hit(history([0.9, 0.9, None, None])) == NOW - timedelta(minutes=2)
    assert last_hit(history([0.9, 0.0, 0.0])) == NOW - timedelta(minutes=2)
    assert last_hit(history([0.0, None])) is None
    assert last_hit(history([])) is None


def test_rate_breach_on_trickling_traffic_is_none():
    """One lookup a minute, all misses: nothing can be said, in either direction."""
    night = history([0.0] * 60, rates=[1 / 60] * 60)
    assert rate_breach(situation(history=night), Policy(), Rate.HIT, 0.6) is None


def test_rate_breach_whose_newest_sample_is_old_is_not_one_of_now():
    """An hour without samples: what was low then says nothing of this moment."""
    old = history([0.5] * 60 + [None] * 60)
    assert rate_breach(situation(history=old), Policy(), Rate.HIT, 0.6) is None


def test_rate_breach_of_penetration_is_dated_too():
    """The other rate, the other direction."""
    attack = history([0.9] * 20, penetration=[0.01] * 10 + [0.4] * 10)
    found = rate_breach(situation(history=attack), Policy(), Rate.PENETRATION, 0.1)
    assert found is not None
    assert found.since == NOW - timedelta(minutes=9)
