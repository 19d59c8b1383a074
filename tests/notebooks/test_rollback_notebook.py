"""The rollback notebook: all new features off in one plan, what it did, and back."""

import pytest
from notebook_runs import cell_text, flags_of, newest_record, undo

NEW_FEATURES = ("ENHANCED_CACHE", "CACHE_WARMING", "RATE_LIMITING")


@pytest.mark.timeout(240)
def test_rollback_notebook_plans_then_switches_all_off_shows_the_effect_and_can_be_undone(at_sandbox, healthy_sandbox):
    """The dry run changes nothing; confirmed, all three are off, and the undo that it shows puts them back."""
    before = flags_of(healthy_sandbox)
    done = at_sandbox.run("run", "rollback", "-e", "sandbox")
    assert "planned: switch off the three features that the guide lists" in done.stdout, done.stdout + done.stderr
    assert flags_of(healthy_sandbox) == before

    try:
        done = at_sandbox.run("run", "rollback", "-e", "sandbox", "-p", "confirm=auto", "-p", "reason=rehearsal")
        record = newest_record(at_sandbox)
        after = flags_of(healthy_sandbox)
        assert "applied: switch off the three features that the guide lists" in done.stdout, done.stdout + done.stderr
        assert {after[feature] for feature in NEW_FEATURES} == {("off", 0)}
        assert "How the site does" in cell_text(at_sandbox, record, "effect")
        assert "What | Before | Now" in cell_text(at_sandbox, record, "effect")
        assert "latency p95" in cell_text(at_sandbox, record, "effect")
        assert "runbooks change restore_features --environment sandbox" in done.stdout
        assert "Still on: " in record["actions"][0]["detail"]
        assert "PAGE_CACHE" in record["actions"][0]["detail"] or after["PAGE_CACHE"] == ("off", 0)
        assert record["actions"][0]["reason"] == "rehearsal"
    finally:
        undone = undo(at_sandbox, newest_record(at_sandbox))
    assert undone.returncode == 0, undone.stdout + undone.stderr
    assert {flags_of(healthy_sandbox)[feature] for feature in NEW_FEATURES} == {("on", 100)}
