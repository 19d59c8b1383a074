"""What an outcome tells the shell, and what of a plan stands in the ledger."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from actions_fixtures import environment_of

from runbooks_lib.actions.desk import Desk, plan_of, recorded
from runbooks_lib.actions.outcome import Outcome, Result
from runbooks_lib.actions.plan import Command, Guard, Plan
from runbooks_lib.errors import RecordError
from runbooks_lib.model import Evidence, NextStep
from runbooks_lib.records.ledger import Ledger

AT = datetime(2026, 11, 22, 2, 20, tzinfo=UTC)


def outcome(result: Result, **changes):
    """An outcome with nothing else to it."""
    return Outcome(result, "set_percentage", "production", AT, "anna", "", **changes)


def made_plan(**changes):
    """A plan to set a percentage."""
    usual = {
        "action": "set_percentage",
        "title": "serve ENHANCED_CACHE to 25 % of the users",
        "environment": "production",
        "protected": True,
        "scope": "common.feature_flags",
        "intent": {"feature": "ENHANCED_CACHE", "percentage": 25},
        "rests_on": {"percentage": 10},
        "resources": ("flag:ENHANCED_CACHE",),
        "read_at": AT,
        "undo": Command("set_percentage", {"percentage": 10}),
    }
    return Plan(**{**usual, **changes})


@pytest.mark.parametrize(
    ("result", "ledger_error", "code", "changed"),
    [
        (Result.PLANNED, "", 0, False),
        (Result.PLANNED, "disk full", 30, False),
        (Result.UNCHANGED, "", 0, False),
        (Result.UNCHANGED, "disk full", 0, False),
        (Result.APPLIED, "", 0, True),
        (Result.APPLIED, "disk full", 50, True),
        (Result.STOPPED, "", 10, True),
        (Result.STOPPED, "disk full", 50, True),
        (Result.REFUSED, "", 40, False),
        (Result.REFUSED, "disk full", 40, False),
        (Result.UNREAD, "", 30, False),
        (Result.MAY_HAVE_CHANGED, "", 50, None),
        (Result.MAY_HAVE_CHANGED, "disk full", 50, None),
    ],
)
def test_outcome_exit_code_says_first_whether_anything_changed(result, ledger_error, code, changed):
    """What changed and is not in the ledger must be looked at, however well it went."""
    made = outcome(result, ledger_error=ledger_error)

    assert (made.exit_code, made.changed) == (code, changed)


def test_outcome_exit_code_of_a_plan_that_would_be_refused_is_10():
    """A warning: nothing was done, and it could not be."""
    plan = made_plan(guards=(Guard("a", holds=None),))

    assert outcome(Result.PLANNED, plan=plan).exit_code == 10


def test_recorded_plan_becomes_the_same_plan_again():
    """A check rebuilds it long afterwards, with its digest."""
    plan = made_plan(
        before=(Evidence("now", "10 %", "django"),),
        guards=(Guard("a", holds=True), Guard("b", holds=None, detail="?", hint="h")),
        offers=(NextStep("warm", "runbooks change"),),
        notes=("a note",),
        undo=Command("set_percentage", {"percentage": 10, "x": [1, None, {"y": 2.5}]}),
    )
    kept = recorded(plan, Desk(environment_of("redis://h/1"), Ledger("sqlite:///x"), "r", "anna"))

    assert plan_of(kept) == plan
    assert (kept["digest"], kept["full_digest"]) == (plan.digest, plan.full_digest)


def test_recorded_plan_keeps_no_secret_and_its_names():
    """Even where an unlucky secret is a part of a name."""
    desk = Desk(environment_of("redis://h/1", secrets=("percentage", "s3cr3t")), Ledger("sqlite:///x"), "r", "anna")
    kept = recorded(made_plan(title="with s3cr3t"), desk)

    assert kept["action"] == "set_percentage"
    assert kept["title"] == "with ***"


@pytest.mark.parametrize("kept", [{}, {"action": 1}, {"action": "x", "title": None}])
def test_recorded_plan_that_is_none_is_refused(kept):
    """Written by another version, or by nobody."""
    with pytest.raises(RecordError, match="the recorded plan cannot be read"):
        plan_of(kept)
