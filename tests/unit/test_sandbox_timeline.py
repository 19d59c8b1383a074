"""The curve of the day, the week's deployment, and the popularity curve."""

from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, datetime
from itertools import pairwise

import pytest

from sandbox.history.timeline import HISTORY_SECONDS, Deployment, sample_times
from sandbox.traffic.activity import activity
from sandbox.traffic.popularity import Zipf

SUNDAY = int(datetime(2026, 11, 22, 19, 0, tzinfo=UTC).timestamp())


def test_activity_peaks_in_the_afternoon_and_drops_at_the_weekend():
    """More at 15:00 than at 03:00, more on Wednesday than on Sunday."""
    wednesday = datetime(2026, 11, 18, tzinfo=UTC).timestamp()
    assert activity(wednesday + 15 * 3600) > activity(wednesday + 3 * 3600) + 0.3
    assert activity(SUNDAY) < activity(SUNDAY - 4 * 86_400)


def test_activity_has_no_step():
    """A week in minutes: neighbours differ by less than one percent."""
    week = [activity(SUNDAY + minute * 60) for minute in range(7 * 24 * 60)]
    assert max(abs(after - before) for before, after in pairwise(week)) < 0.01
    assert 0.6 < min(week) < max(week) < 1.3


def test_sample_times_rise_cover_seven_days_and_end_now():
    """Steps of 60, 15 and 2 seconds, without a double or a hole."""
    times = sample_times(SUNDAY)
    steps = Counter(after - before for before, after in pairwise(times))
    assert times[0] == SUNDAY - HISTORY_SECONDS
    assert times[-1] == SUNDAY
    assert set(steps) == {60, 15, 2}


def test_deployment_is_on_a_working_morning_long_enough_ago():
    """For every day of the week there is one within the history, and its rollout is over."""
    for day in range(7):
        end = SUNDAY + day * 86_400
        deployment = Deployment.before(end)
        when = datetime.fromtimestamp(deployment.at, UTC)
        assert when.weekday() < 5
        assert when.hour == 10
        assert 60 * 3600 <= end - deployment.at < HISTORY_SECONDS - 3600
        assert deployment.rollout_percent(end) == 100.0


def test_deployment_raises_the_flag_step_by_step():
    """0 % at the release, then 10, 25, 50, 75, 100."""
    deployment = Deployment.before(SUNDAY)
    seen = [deployment.rollout_percent(deployment.at + hour * 3600) for hour in range(-1, 40)]
    assert list(dict.fromkeys(seen[1:])) == [0.0, 10.0, 25.0, 50.0, 75.0, 100.0]
    assert seen[0] == 100.0


def test_zipf_draws_follow_the_shares():
    """The first rank is drawn as often as its weight says."""
    curve, dice = Zipf(100, 1.0), random.Random(1)
    draws = Counter(curve.draw(dice) for _ in range(20_000))
    assert draws[0] / 20_000 == pytest.approx(curve.share(0), abs=0.01)
    assert draws[0] > draws[1] > draws[9] > draws[99]


def test_zipf_with_exponent_zero_makes_all_alike():
    """Every rank has the same share."""
    assert {round(Zipf(4, 0.0).share(rank), 9) for rank in range(4)} == {0.25}


def test_zipf_shares_add_up_to_one():
    """Nothing is lost."""
    curve = Zipf(37, 1.3)
    assert sum(curve.share(rank) for rank in range(37)) == pytest.approx(1.0)


def test_zipf_over_nothing_is_refused():
    """A site without content has no popularity."""
    with pytest.raises(ValueError, match="0 things"):
        Zipf(0, 1.0)
