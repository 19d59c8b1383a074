"""The guide's numbers, and the two kinds of time."""

import math
import re
from pathlib import Path

import pytest

from runbooks_lib.model import Status
from runbooks_lib.policy import Policy, policy_for


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("hit_rate", 0.80, Status.OK),
        ("hit_rate", 0.7999, Status.WARN),
        ("hit_rate", 0.60, Status.WARN),
        ("hit_rate", 0.5999, Status.FAIL),
        ("penetration", 0.10, Status.OK),
        ("penetration", 0.1001, Status.WARN),
        ("penetration", 0.2001, Status.FAIL),
        ("warming_task", 60.0, Status.OK),
        ("warming_task", 60.1, Status.WARN),
        ("warming_task", 120.1, Status.FAIL),
    ],
)
def test_threshold_at_and_beyond_the_guides_values_judges_as_the_guide_says(name, value, expected):
    """A value at a threshold is not yet beyond it."""
    assert getattr(Policy(), name).judge(value) is expected


@pytest.mark.parametrize("value", [None, math.nan])
def test_threshold_without_a_value_is_unknown_never_ok(value):
    """NaN and nothing compare false with everything, so they would otherwise pass."""
    assert Policy().hit_rate.judge(value) is Status.UNKNOWN


def test_policy_scaled_divides_windows_and_hold_times_but_no_measured_time():
    """A sandbox lives through 30 minutes in 30 seconds, but a slow request is still one over 1 s."""
    scaled = policy_for(60)

    assert scaled.window_seconds == 15
    assert scaled.hit_rate_major_for_seconds == 30
    assert scaled.down_for_seconds == 5
    assert scaled.slow_request_seconds == 1.0
    assert scaled.warming_task == Policy().warming_task
    assert scaled.deadline_seconds == Policy().deadline_seconds


@pytest.mark.parametrize("scale", [0, -1, math.nan, math.inf])
def test_policy_with_an_impossible_scale_is_refused(scale):
    """Nothing may divide a duration by zero or by infinity."""
    with pytest.raises(ValueError, match="time_scale"):
        policy_for(scale)


def test_policy_thresholds_stand_nowhere_else_in_the_library():
    """A threshold in one place: no other module of the library compares with 0.8 or 0.6."""
    root = Path(__file__).parents[2] / "runbooks_lib"
    offenders = [
        path.name
        for path in root.rglob("*.py")
        if path.name != "policy.py" and re.search(r"[<>]=?\s*0\.(8|6)0?\b", path.read_text(encoding="utf-8"))
    ]
    assert offenders == []
