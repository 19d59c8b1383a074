"""Warming, without a server: what can be no lock, no duration and no statistics."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbooks_lib.actions.warming.actions import (
    RemoveWarmingLock,
    RemoveWarmingStatistics,
    RestoreWarmingStatistics,
    TriggerWarming,
)
from runbooks_lib.actions.warming.lock import require_lock_name
from runbooks_lib.actions.warming.statistics import COLUMNS, parse_fields, seconds_of
from runbooks_lib.errors import UsageError


@pytest.mark.parametrize(
    "lock",
    [
        "",
        "*",
        "cache_warming_lock:*",
        "cache_warming_lock::x",
        "cache_warming_lock:startup",
        "cache_warming_lock:startup:",
        "django:1:api:x",
        " cache_warming_lock:startup:all",
        "cache_warming_stats",
        "cache_warming_lock:startup:" + "x" * 1000,
        None,
    ],
)
def test_name_that_is_not_that_of_a_warming_lock_is_refused(lock):
    """Nothing else can be removed this way."""
    with pytest.raises(UsageError, match="is not the name of a warming lock"):
        RemoveWarmingLock(lock=lock)


@given(st.text(min_size=1, max_size=100), st.text(st.characters(exclude_characters=":"), min_size=1, max_size=50))
def test_lock_name_may_hold_anything_in_its_parts(identifier, kind):
    """They are data."""
    require_lock_name(f"cache_warming_lock:{kind}:{identifier}")
    assert RemoveWarmingLock(lock=f"cache_warming_lock:{kind}:{identifier}").resources() == ("warming",)


@pytest.mark.parametrize(("strategy", "wait"), [("on_demand", 60), ("", 60), ("startup", 0), ("startup", 3601)])
def test_trigger_warming_strategy_or_time_that_cannot_be_is_refused(strategy, wait):
    """On demand warming is the site's own; a run is not watched for ever."""
    with pytest.raises(UsageError):
        TriggerWarming(strategy=strategy, wait_seconds=wait)


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("15m", 900), ("36h", 129_600), ("7d", 604_800)])
def test_seconds_of_durations_as_operators_write_them(text, seconds):
    """The same form as in the parameters of a notebook."""
    assert seconds_of(text) == seconds
    assert RemoveWarmingStatistics(older_than=text).resources() == ("warming",)


@pytest.mark.parametrize("text", ["", "7", "d", "0d", "-1d", "1.5h", "7 d", "1w", "999999999d", "7d; id", None])
def test_seconds_of_anything_else_is_refused(text):
    """Nothing is guessed."""
    with pytest.raises(UsageError, match="is not a duration"):
        RemoveWarmingStatistics(older_than=text)


@pytest.mark.parametrize(
    "fields",
    ["", "[]", "{}", '{"x": "1"}', '{"startup_count": 1}', '{"_count": "1"}', json.dumps({"a_count": "1" * 1001})],
)
def test_fields_that_are_no_statistics_are_refused(fields):
    """Only fields of the five kinds, with texts as values, can be written back."""
    with pytest.raises(UsageError):
        RestoreWarmingStatistics(fields=fields)


@given(
    st.dictionaries(
        st.tuples(st.text(min_size=1, max_size=20), st.sampled_from(COLUMNS)), st.text(max_size=50), min_size=1
    )
)
def test_fields_that_were_removed_can_be_written_as_text_and_are_the_same(fields):
    """The undo travels through a command line."""
    chosen = {f"{name}_{column}": value for (name, column), value in list(fields.items())[:500]}

    assert parse_fields(json.dumps(chosen)) == chosen
