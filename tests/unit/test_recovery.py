"""When a hit rate counts as recovered after the cache was emptied."""

from datetime import timedelta

import pytest
from builders import NOW, history

from runbooks_lib.judgement.recovery import Course, judge_recovery

#: Ten samples a minute apart; the cache was emptied just before the first.
SINCE = NOW - timedelta(minutes=10)


@pytest.mark.parametrize(
    ("ratios", "course"),
    [
        ([0.1, 0.4, 0.6, 0.8, 0.9, 0.91, 0.92, 0.93, 0.93, 0.94], Course.RECOVERED),
        ([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.82], Course.RISING),
        ([0.1, 0.4, 0.6, 0.61, 0.6, 0.61, 0.6, 0.6, 0.61, 0.6], Course.PLATEAU),
        ([0.1, 0.4, 0.6, 0.7, 0.8, 0.85, 0.88, 0.89, 0.95, 0.95], Course.RISING),  # two good samples are not three
        ([None] * 10, Course.UNKNOWN),
        ([0.1, None, None, 0.91, None, 0.92, None, 0.93, None, None], Course.RECOVERED),
    ],
)
def test_recovery_is_told_from_the_newest_samples(ratios, course):
    """95 % of 95 % is 90.25 %."""
    assert judge_recovery(history(ratios), since=SINCE, before_ratio=0.95).course is course


def test_recovery_counts_from_the_loss_to_the_first_sample_that_held():
    """Not to the newest sample, and not to a good one before a relapse."""
    ratios = [0.1, 0.95, 0.3, 0.5, 0.7, 0.92, 0.93, 0.93, 0.94, 0.95]

    found = judge_recovery(history(ratios), since=SINCE, before_ratio=0.95)

    assert found.recovered_at == NOW - timedelta(minutes=4)
    assert found.took_seconds == 360
    assert "6 min" in found.detail


def test_recovery_without_a_rate_before_is_unknown_and_says_why():
    """Nothing to compare with is not a recovery."""
    found = judge_recovery(history([0.95] * 10), since=SINCE, before_ratio=None)

    assert found.course is Course.UNKNOWN
    assert "before" in found.detail


def test_recovery_ignores_samples_from_before_the_loss_and_those_without_traffic():
    """A full cache a minute before it was emptied proves nothing; nor do three lookups at night."""
    ratios = [0.95] * 10

    assert judge_recovery(history(ratios), since=NOW, before_ratio=0.95).course is Course.UNKNOWN
    quiet = history(ratios, rates=[0.001] * 10)
    assert judge_recovery(quiet, since=SINCE, before_ratio=0.95, min_per_second=0.03).course is Course.UNKNOWN
