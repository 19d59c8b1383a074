"""A plan is bound to its digest; what moves every second is not in it."""

from datetime import UTC, datetime

import pytest

from runbooks_lib.actions.plan import Command, Guard, Plan, differences
from runbooks_lib.model import Evidence
from runbooks_lib.records.event import plain

AT = datetime(2026, 11, 22, 2, 20, tzinfo=UTC)


def plan_of(**changes):
    """A plan to set a percentage."""
    usual = {
        "action": "set_percentage",
        "title": "serve ENHANCED_CACHE to 25 % of the users",
        "environment": "production",
        "protected": True,
        "scope": "common.feature_flags through kubectl",
        "intent": {"feature": "ENHANCED_CACHE", "percentage": 25},
        "rests_on": {"strategy": "gradual", "percentage": 10},
        "resources": ("flag:ENHANCED_CACHE",),
        "read_at": AT,
        "undo": Command("set_percentage", {"feature": "ENHANCED_CACHE", "percentage": 10}),
    }
    return Plan(**{**usual, **changes})


@pytest.mark.parametrize(
    "changes",
    [
        {"environment": "staging"},
        {"action": "enable_feature"},
        {"scope": "elsewhere"},
        {"target": {"manage": "0" * 64}},
        {"protected": False},
        {"intent": {"feature": "ENHANCED_CACHE", "percentage": 50}},
        {"rests_on": {"strategy": "gradual", "percentage": 11}},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_plan_digest_changes_with_what_it_binds(changes):
    """A confirmation or an approval is for exactly this change, there, in this state."""
    assert plan_of(**changes).full_digest != plan_of().full_digest


@pytest.mark.parametrize(
    "changes",
    [
        {"read_at": AT.replace(minute=59)},
        {"before": (Evidence("requests", "38/s"),)},
        {"blast_radius": (Evidence("users", "12,000"),)},
        {"guards": (Guard("site answers", holds=False),)},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_plan_digest_stays_when_only_measurements_move(changes):
    """Else nothing could ever be confirmed on a site with traffic."""
    assert plan_of(**changes).digest == plan_of().digest


def test_plan_digest_is_twelve_hex_digits_in_groups():
    """Short enough to read over the telephone."""
    assert plan_of().digest.replace("-", "") == plan_of().full_digest[:12]


@pytest.mark.parametrize("changes", [{"undo": None}, {"irreversible": "no way back"}, {"resources": ()}])
def test_plan_without_undo_and_without_saying_so_cannot_be_made(changes):
    """Every plan answers: can it be undone, and what does it lock?"""
    with pytest.raises(ValueError, match="plan set_percentage"):
        plan_of(**changes)


def test_plan_guard_that_could_not_be_told_counts_as_failed():
    """What is not known does not hold."""
    plan = plan_of(guards=(Guard("a", holds=True), Guard("b", holds=None), Guard("c", holds=False)))

    assert [guard.name for guard in plan.failed_guards] == ["b", "c"]


def test_differences_name_what_changed_with_both_values():
    """A refusal says why the plan went stale."""
    now = plan_of(rests_on={"strategy": "gradual", "percentage": 50})

    assert differences(plain(plan_of()), now) == ("percentage: 10 when it was planned, 50 now",)


def test_differences_name_the_part_of_the_configuration_that_leads_elsewhere():
    """Its fingerprints would tell people nothing."""
    then = plain(plan_of(target={"manage": "a", "redis_url": "r"}))
    now = plan_of(target={"manage": "b", "redis_url": "r", "site.settings": "s"}, protected=False)

    assert differences(then, now) == (
        "protected: True when it was planned, False now",
        "manage leads elsewhere than when it was planned",
        "site.settings leads elsewhere than when it was planned",
    )
