"""Several flags at once, without a site: the states that an undo is written as."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbooks_lib.actions.flags.feature_sets import FALLEN_BACK, FallBackToPageCache, RestoreFeatures, RollBackFeatures
from runbooks_lib.actions.flags.states import parse_states, restoring
from runbooks_lib.errors import UsageError
from runbooks_lib.facts import Flag

NAMES = st.text(st.characters(categories=("L", "N", "P", "S")), min_size=1, max_size=30)


@pytest.mark.parametrize(
    "states",
    [
        "",
        "[]",
        "{}",
        "null",
        '{"F": 5}',
        '{"F": {}}',
        '{"F": {"strategy": "ON"}}',
        '{"F": {"strategy": "on", "percentage": 101}}',
        '{"F": {"strategy": "gradual", "percentage": 1.5}}',
        '{"F": {"strategy": "gradual", "percentage": true}}',
        '{"": {"strategy": "on"}}',
        '{"a\\nb": {"strategy": "on"}}',
        "[" * 100_000,
        json.dumps({f"F{number}": {"strategy": "on"} for number in range(51)}),
        '__import__("os").system("id")',
    ],
    ids=range(15),
)
def test_states_that_are_none_are_refused(states):
    """Nothing, too much and nonsense; the hint says what is expected."""
    with pytest.raises(UsageError) as caught:
        RestoreFeatures(states=states)
    assert "FEATURE" in caught.value.hint or "ENHANCED_CACHE" in caught.value.hint or "everybody" in caught.value.hint


@given(st.dictionaries(NAMES, st.tuples(st.sampled_from(["on", "off", "gradual"]), st.integers(0, 100)), min_size=1))
def test_restoring_and_parsing_are_inverse_whatever_a_feature_is_called(flags):
    """The undo of a rollback is a text; it says exactly how the flags were."""
    found = {name: Flag(name, *state, None, None) for name, state in list(flags.items())[:50]}

    states = parse_states(restoring(found, accept_volatile=False).parameters["states"])

    assert {name: (state.strategy, state.percentage) for name, state in states.items()} == {
        name: flags[name] for name in found
    }


def test_sets_lock_every_flag_that_they_touch():
    """Sorted, and known without reading anything."""
    assert RollBackFeatures().resources() == ("flag:CACHE_WARMING", "flag:ENHANCED_CACHE", "flag:RATE_LIMITING")
    assert FallBackToPageCache().resources() == ("flag:ENHANCED_CACHE", "flag:PAGE_CACHE")
    assert RestoreFeatures(states='{"B":{"strategy":"on"},"A":{"strategy":"off"}}').resources() == ("flag:A", "flag:B")


def test_fall_back_switches_the_fallback_on_first():
    """Killed between the two, a site has both caches and not neither."""
    assert list(FALLEN_BACK) == ["PAGE_CACHE", "ENHANCED_CACHE"]
