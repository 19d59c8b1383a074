"""Numbers as people read them."""

from datetime import UTC, datetime

import pytest

from runbooks_lib import units


@pytest.mark.parametrize(
    ("ratio", "expected"),
    [
        (0.542, "54.2 %"),
        (0.0, "0.0 %"),
        (1.0, "100.0 %"),
        (0.0001, "< 0.1 %"),
        (0.99999, "> 99.9 %"),
        (None, "no value"),
    ],
)
def test_percent_never_rounds_something_to_nothing_or_to_all(ratio, expected):
    """0.01 % of errors is not 0 %, and 99.999 % is not 100 %."""
    assert units.percent(ratio) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0.5, "0.5 s"),
        (30, "30 s"),
        (119, "119 s"),
        (150, "2 min 30 s"),
        (2460, "41 min"),
        (3600, "1 h"),
        (62_400, "17 h 20 min"),
        (7 * 86_400, "7 d"),
        (None, "no value"),
    ],
)
def test_duration_uses_the_two_units_that_matter(seconds, expected):
    """What people say: 41 min, 17 h 20 min."""
    assert units.duration(seconds) == expected


@pytest.mark.parametrize(
    ("value", "expected"), [(0.0004, "0.4 ms"), (0.182, "182 ms"), (1.0, "1.0 s"), (74, "74 s"), (None, "no value")]
)
def test_seconds_shows_a_measured_time_with_its_unit(value, expected):
    """A latency in ms, a task in s."""
    assert units.seconds(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"), [(0, "0 B"), (1536, "1.5 KiB"), (4 * 1024**3, "4.0 GiB"), (5 * 1024**5, "5120.0 TiB")]
)
def test_size_uses_binary_units(value, expected):
    """Redis counts in powers of 1024."""
    assert units.size(value) == expected


@pytest.mark.parametrize(("value", "expected"), [(1_240_000, "1.24 M"), (41_212, "41,212"), (2.5, "2.5"), (0, "0")])
def test_count_is_short_and_grouped(value, expected):
    """Fractions appear only where increase() makes small counts fractional."""
    assert units.count(value) == expected


def test_clock_is_utc_and_says_so():
    """Z stands for UTC; an unknown moment says that it is not known."""
    assert units.clock(datetime(2026, 11, 22, 2, 14, 7, tzinfo=UTC)) == "02:14:07Z"
    assert units.clock(None) == "not known"
