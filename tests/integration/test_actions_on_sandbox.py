"""Flags and warming on the reference site: real processes, real workers, real metrics."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from runbooks_lib.actions.apply import apply
from runbooks_lib.actions.desk import Desk
from runbooks_lib.actions.flags.feature_sets import FallBackToPageCache, RestoreFeatures, RollBackFeatures
from runbooks_lib.actions.outcome import Result
from runbooks_lib.actions.registry import make_action
from runbooks_lib.actions.warming.actions import RemoveWarmingLock, TriggerWarming
from runbooks_lib.config import load
from runbooks_lib.records.ledger import Ledger

ROOT = Path(__file__).resolve().parents[2]
LOCK = "cache_warming_lock:startup:all"
ON = {"strategy": "on", "percentage": 100}
HEALTHY = dict.fromkeys(("ENHANCED_CACHE", "CACHE_WARMING", "RATE_LIMITING"), ON) | {"PAGE_CACHE": {"strategy": "off"}}


@pytest.fixture(scope="module")
def done(sandbox, tmp_path_factory):
    """Applies an action with ``auto`` at the sandbox; the flags are put back after the last test."""
    variables = {**os.environ, "SANDBOX_HOME": str(sandbox.home.path)}
    environment = load(ROOT / "runbooks.toml", variables).environment("sandbox")
    ledger = Ledger(f"sqlite:///{tmp_path_factory.mktemp('ledger') / 'ledger.sqlite3'}")

    def carry_out(action):
        return apply(action, Desk(environment, ledger, "run", "anna"), confirm="auto")

    yield carry_out
    sandbox.heal_all()
    carry_out(RestoreFeatures(states=json.dumps(HEALTHY)))
    ledger.close()


def account(outcome) -> dict[str, str]:
    """What was written and read back."""
    return {entry.name: entry.value for entry in outcome.account}


def test_roll_back_on_the_reference_site_is_served_by_its_workers_and_undone(done):
    """Stored, read twice, served by the health endpoint and in the metrics; the undo brings all three back."""
    outcome = done(RollBackFeatures())
    undone = done(make_action(outcome.undo.action, outcome.undo.parameters))

    assert outcome.result is Result.APPLIED, outcome.detail
    assert "enhanced" in {entry.name: entry.value for entry in outcome.plan.blast_radius}["requests"]
    assert "kept in SQL: common_featureflag" in outcome.plan.guards[1].detail
    off = "ENHANCED_CACHE off, CACHE_WARMING off, RATE_LIMITING off"
    assert account(outcome)["read again after 2.0 s"] == off
    served = "ENHANCED_CACHE 0 %, CACHE_WARMING 0 %, RATE_LIMITING 0 %"
    assert account(outcome)["served, says the health endpoint"] == served
    assert "ENHANCED_CACHE 0 % (process 1)" in account(outcome)["feature_flag_percentage, now"]
    assert "web ENHANCED_CACHE" in account(outcome)["feature_flag_percentage, all instances"]
    assert undone.result is Result.APPLIED, undone.detail
    assert {entry.name: entry.value for entry in undone.plan.after}["ENHANCED_CACHE"] == "on"


def test_stuck_lock_is_found_removed_and_warming_runs_again(sandbox, done):
    """The whole way: a run is refused, the workers say that nobody warms, the lock goes, the run stores values."""
    with sandbox.stack().cache() as redis:
        redis.set(LOCK, "token-of-a-killed-worker")
        # Each worker of the site that starts asks for a run; that demand is remembered for a minute.
        redis.delete("cache_warming_lock:startup:queue")

    stuck = done(TriggerWarming(strategy="startup"))
    removed = done(RemoveWarmingLock(lock=LOCK))
    warmed = done(TriggerWarming(strategy="startup", wait_seconds=60))

    assert "no other startup run holds the lock" in stuck.detail
    assert removed.result is Result.APPLIED, removed.detail
    assert "1 worker answered" in removed.plan.guards[2].detail
    assert warmed.result is Result.APPLIED, warmed.detail


@pytest.mark.breaks_site
def test_fall_back_while_redis_is_stopped_and_no_way_back_before_it_is_there_again(sandbox, done):
    """Severity 1: the flags are changed without Redis; giving features back waits until the cache is not down."""
    sandbox.inject("redis_down")

    outcome = done(FallBackToPageCache())
    refused = done(make_action(outcome.undo.action, outcome.undo.parameters))

    assert outcome.result is Result.APPLIED, outcome.detail
    assert "PAGE_CACHE 100 %" in account(outcome)["served, says the health endpoint"]
    assert refused.result is Result.REFUSED
    assert "the cache is not down: the site says down" in refused.detail
