"""Plans and outcomes for tests: a usual one of each kind, and one whose every text a stranger wrote."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from builders import HOSTILE

from runbooks_lib.actions.outcome import Outcome, Result
from runbooks_lib.actions.plan import Command, Guard, Plan
from runbooks_lib.model import Evidence, NextStep

AT = datetime(2026, 11, 22, 2, 20, 31, tzinfo=UTC)
HOSTILE_PATTERN = "api:*'; $(rm -rf ~) `id` \" \\ __import__('os')\n\x1b]0;x\x07 && *?[a]"


def plan_of(**changes: Any) -> Plan:
    """A plan to serve a feature to half of the users instead of a quarter."""
    usual: dict[str, Any] = {
        "action": "set_percentage",
        "title": "serve ENHANCED_CACHE to 50 % of the users",
        "environment": "production",
        "protected": True,
        "scope": "common.feature_flags through kubectl",
        "intent": {"feature": "ENHANCED_CACHE", "percentage": 50},
        "rests_on": {"strategy": "gradual", "percentage": 25},
        "resources": ("flag:ENHANCED_CACHE",),
        "read_at": AT,
        "before": (Evidence("percentage", "25 %", "manage.py shell"),),
        "after": (Evidence("percentage", "50 %"),),
        "blast_radius": (Evidence("users", "about 12,000"),),
        "spared": (Evidence("other flags", "6"),),
        "undo": Command("set_percentage", {"feature": "ENHANCED_CACHE", "percentage": 25}),
        "guards": (Guard("the site answers", holds=True), Guard("the store keeps flags", holds=True)),
        "offers": (NextStep("look at the hit rate", "runbooks triage --environment production"),),
    }
    return Plan(**{**usual, **changes})


def outcome_of(result: Result = Result.PLANNED, **changes: Any) -> Outcome:
    """What came of it."""
    usual = Outcome(
        result, "set_percentage", "production", AT, "anna", "Nothing was changed.", plan=plan_of(), reason="soaked 24 h"
    )
    return replace(usual, **changes)


def hostile_outcome(result: Result) -> Outcome:
    """Every text in it is a stranger's."""
    seen = (Evidence(HOSTILE, HOSTILE, HOSTILE), Evidence(HOSTILE, HOSTILE * 60, HOSTILE))
    plan = plan_of(
        title=HOSTILE,
        environment=HOSTILE,
        scope=HOSTILE,
        intent={"pattern": HOSTILE_PATTERN},
        before=seen,
        after=seen,
        blast_radius=seen,
        spared=seen,
        undo=Command("clear_pattern", {"pattern": HOSTILE_PATTERN}),
        guards=(Guard(HOSTILE, holds=True), Guard(HOSTILE, holds=False, detail=HOSTILE, hint=HOSTILE)),
        offers=(NextStep(HOSTILE, HOSTILE),),
        notes=(HOSTILE,),
    )
    return Outcome(
        result,
        HOSTILE,
        HOSTILE,
        AT,
        HOSTILE,
        HOSTILE,
        hint=HOSTILE,
        plan=plan,
        reason=HOSTILE,
        account=seen,
        undo=plan.undo,
        action_id=HOSTILE,
        needs=(HOSTILE, f"approval {HOSTILE}"),
        ledger_error=HOSTILE,
    )
