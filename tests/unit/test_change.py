"""Which endpoints explain a change: exact parts that sum to it."""

import pytest
from builders import lookups
from hypothesis import given
from hypothesis import strategies as st

from runbooks_lib.facts import EndpointLookups
from runbooks_lib.judgement.change import contributions


def test_contributions_charge_a_new_uncached_endpoint_with_the_whole_fall():
    """Everything else stayed as it was."""
    before = lookups(EndpointLookups("detail", hit=950, miss=50))
    now = lookups(EndpointLookups("detail", hit=950, miss=50), EndpointLookups("new", miss=800))
    parts = contributions(before, now)

    assert parts[0].endpoint == "new"
    assert parts[0].share_before == 0
    assert parts[0].hit_before is None
    assert parts[0].points_ratio == pytest.approx(0.95 - 950 / 1800)


def test_contributions_without_lookups_are_empty():
    """A window without traffic explains nothing."""
    nothing = lookups(EndpointLookups("a"))
    assert contributions(nothing, lookups()) == ()
    assert contributions(lookups(), nothing) == ()


counts = st.integers(0, 5000)
endpoints = st.lists(st.tuples(st.sampled_from("abcdef"), counts, counts), min_size=1, unique_by=lambda e: e[0])


@given(endpoints, endpoints)
def test_contributions_sum_exactly_to_the_change(old, new):
    """Property: nothing is left over and nothing is counted twice."""
    before = lookups(*(EndpointLookups(name, hit=h, miss=m) for name, h, m in old))
    now = lookups(*(EndpointLookups(name, hit=h, miss=m) for name, h, m in new))
    parts = contributions(before, now)
    if before.hit_ratio is None or now.hit_ratio is None:
        assert parts == ()
    else:
        assert sum(part.points_ratio for part in parts) == pytest.approx(before.hit_ratio - now.hit_ratio, abs=1e-9)
