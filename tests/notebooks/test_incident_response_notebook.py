"""The incident response notebook: severity 1 with Redis dead, from the plan to the closed incident."""

import time

import pytest
from notebook_runs import cell_text, digest_of, flags_of, newest_record, undo

RESPOND = ("run", "incident_response", "-e", "sandbox", "-p", "step=respond", "-p", "severity=1")
PATIENCE_SECONDS = 40


@pytest.mark.breaks_site
@pytest.mark.timeout(300)
def test_incident_response_notebook_with_redis_dead_falls_back_records_and_closes(at_sandbox, healthy_sandbox):
    """Plan, confirmation, timeline, ticket text and closing, while Redis does not answer; the undo once it does."""
    before = flags_of(healthy_sandbox)
    healthy_sandbox.inject("redis_down")
    try:
        done = at_sandbox.run(*RESPOND)
        planned = newest_record(at_sandbox)
        assert done.returncode == 20, done.stdout + done.stderr
        assert done.stdout.startswith("FAIL · severity 1 · sandbox · ")
        assert "1. Call the on-call engineer: on-call@example.com" in done.stdout
        assert "planned: fall back to the page cache" in done.stdout
        assert "OPEN · severity 1 (critical) · sandbox · cache down" in cell_text(at_sandbox, planned, "message")
        assert flags_of(healthy_sandbox) == before

        done = at_sandbox.run(*RESPOND, "-p", f"confirm={digest_of(planned)}")
        applied = newest_record(at_sandbox)
        assert "applied: fall back to the page cache" in done.stdout, done.stdout + done.stderr
        assert flags_of(healthy_sandbox)["PAGE_CACHE"] == ("on", 100)
        assert flags_of(healthy_sandbox)["ENHANCED_CACHE"] == ("off", 0)
        timeline = cell_text(at_sandbox, applied, "timeline")
        assert timeline.count("incident opened, severity 1: cache down") == 1
        assert "ENHANCED_CACHE is off" in timeline
    finally:
        healthy_sandbox.heal_all()
        undone = undone_once_the_site_is_back(at_sandbox)
    assert undone.returncode == 0, undone.stdout + undone.stderr
    assert flags_of(healthy_sandbox)["ENHANCED_CACHE"] == ("on", 100)

    note = "-p", "note=the host lost its disk; @everyone `x`"
    closed = at_sandbox.run("run", "incident_response", "-e", "sandbox", "-p", "step=close", *note)
    assert "closed inc-" in closed.stdout, closed.stdout + closed.stderr
    summary = cell_text(at_sandbox, newest_record(at_sandbox), "summary")
    assert "Title: cache down" in summary
    assert "Summary: the host lost its disk; @everyone 'x'" in summary
    assert summary.count("```") == 2


def undone_once_the_site_is_back(place):
    """The undo is refused while the cache is down, so it is tried until the site has its Redis again."""
    (applied,) = [r for r in place.records() if any(action["result"] == "applied" for action in r["actions"])]
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (done := undo(place, applied)).returncode and time.monotonic() < deadline:
        time.sleep(1)
    return done


def test_incident_response_notebook_with_everything_down_tells_what_it_could_not_do(nowhere):
    """No Redis, no site, no shell: the incident is opened, the message is there, and the plan says why there is none."""
    done = nowhere.run(*RESPOND)
    record = newest_record(nowhere)
    assert done.returncode in (20, 30), done.stdout + done.stderr
    assert "could not be planned" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert "Questions to on-call@example.com" in cell_text(nowhere, record, "message")
