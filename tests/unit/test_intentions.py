"""What is about to be changed stands in the ledger first; what is not known to have ended stays open."""

from __future__ import annotations

import sqlite3
import time

import pytest

from runbooks_lib.errors import RecordError, RefusedError, UsageError
from runbooks_lib.records.intentions import Intentions, open_intentions
from runbooks_lib.records.leases import Leases

FULL = "a" * 64
WHO = {"run_id": "r", "environment": "sandbox", "operator": "anna"}


@pytest.fixture
def intentions(ledger) -> Intentions:
    """Of a fresh ledger."""
    return Intentions(ledger)


def begin(intentions: Intentions, fencing=None, **changes):
    """The id of an intention."""
    plan = {"action": "set_percentage", "full_digest": FULL, "digest": "aaaa-aaaa-aaaa", "resources": ["flag:X"]}
    payload = {"plan": plan, "confirm": "auto", "reason": "", "fencing": fencing or {}}
    return intentions.begin(payload, approval=None, **{**WHO, **changes}).action_id


def make_dead(ledger, runs_folder) -> None:
    """As if another process had written the intentions; the chain does not matter here."""
    ledger.close()
    with sqlite3.connect(runs_folder / "ledger.sqlite3") as connection:
        connection.execute("DROP TRIGGER runbook_events_no_update")
        connection.execute("UPDATE runbook_events SET payload = replace(payload, '\"pid\":', '\"pid\":4194305')")


def test_intentions_begun_is_open_and_running(intentions, ledger):
    """With all that a check needs."""
    action_id = begin(intentions)

    (found,) = open_intentions(ledger)
    assert (found.action_id, found.action, found.operator, found.run_id) == (action_id, "set_percentage", "anna", "r")
    assert found.running
    assert found.plan["full_digest"] == FULL
    assert found.process is not None


def test_intentions_ended_is_not_open(intentions, ledger):
    """Others still are."""
    ended, open_one = begin(intentions), begin(intentions)
    intentions.end(ended, {"result": "applied"}, **WHO)

    assert [found.action_id for found in open_intentions(ledger)] == [open_one]
    with pytest.raises(RefusedError, match="it is known what came of"):
        intentions.find(ended)


def test_intentions_ended_without_certainty_stays_open_and_does_not_run(intentions, ledger):
    """It was written and could not be read back."""
    action_id = begin(intentions)
    intentions.end(action_id, {"detail": "timed out", "written": {"keys": 2}}, **WHO, certain=False)

    (found,) = open_intentions(ledger)
    assert (found.running, found.detail, found.written) == (False, "timed out", {"keys": 2})


def test_intentions_second_end_is_refused_by_the_database(intentions, ledger):
    """Whatever a program believes."""
    action_id = begin(intentions)
    intentions.end(action_id, {}, **WHO)

    with pytest.raises(RecordError):
        intentions.end(action_id, {}, **WHO)
    assert len(ledger.events(kind="action.ended")) == 1


def test_intentions_of_a_dead_process_do_not_run(intentions, ledger, runs_folder):
    """It was killed between the two entries."""
    begin(intentions)
    make_dead(ledger, runs_folder)

    assert [found.running for found in open_intentions(ledger)] == [False]


@pytest.mark.parametrize("ending", ["released", "ran out", "taken over"])
def test_intentions_whose_lock_is_gone_do_not_run(intentions, ledger, runs_folder, ending):
    """Of a process on another machine nothing else is known."""
    leases = Leases(ledger)
    usual = {"environment": "sandbox", "resources": ["flag:X"], "operator": "anna", "seconds": 60, "purpose": "p"}
    held = leases.acquire(holder="r", **usual)
    begin(intentions, {"flag:X": held[0].fencing_number})
    assert [found.running for found in open_intentions(ledger)] == [True]

    if ending == "released":
        leases.release(held)
    elif ending == "taken over":
        leases.acquire(holder="r", **usual)
    else:
        with sqlite3.connect(runs_folder / "ledger.sqlite3") as connection:
            connection.execute("UPDATE runbook_leases SET expires_at = ?", (time.time() - 1,))

    assert [found.running for found in open_intentions(ledger)] == [False]


@pytest.mark.parametrize("confirmed", [True, False])
def test_intentions_settled_are_closed(intentions, ledger, confirmed):
    """It is known now, whatever it is; by whom, too."""
    action_id = begin(intentions)
    intentions.settle(action_id, {"confirmed": confirmed, "detail": "looked"}, **{**WHO, "operator": "ben"})

    assert open_intentions(ledger) == ()
    assert ledger.events(kind="action.checked")[0].operator == "ben"
    with pytest.raises(RefusedError, match="it is known by now"):
        intentions.settle(action_id, {"confirmed": True}, **WHO)


def test_intentions_settled_without_reading_stay_open(intentions, ledger):
    """Every attempt is kept."""
    action_id = begin(intentions)
    for _ in range(2):
        intentions.settle(action_id, {"confirmed": None, "detail": "redis is down"}, **WHO)

    assert [found.action_id for found in open_intentions(ledger)] == [action_id]
    assert len(ledger.events(kind="action.checked")) == 2


def test_intentions_of_one_environment(intentions, ledger):
    """Oldest first."""
    first = begin(intentions, environment="production")
    begin(intentions)
    second = begin(intentions, environment="production")

    assert [found.action_id for found in open_intentions(ledger, "production")] == [first, second]
    assert len(open_intentions(ledger)) == 3


@pytest.mark.parametrize("action_id", ["", "x", "'; DROP TABLE runbook_events; --", "%", "\x00", "\ud800"])
def test_intentions_that_nobody_began_are_not_found(intentions, action_id):
    """Nor is an event of another kind."""
    begin(intentions)

    with pytest.raises(UsageError, match="there is no action"):
        intentions.find(action_id)


def test_intentions_before_the_first_event_there_are_none(ledger, runs_folder):
    """Looking makes no file."""
    assert open_intentions(ledger) == ()
    assert not runs_folder.exists()


def test_intentions_stay_open_when_somebody_drops_the_table_of_locks(intentions, ledger, runs_folder):
    """The events are enough to say what is open; and its process lives, so it runs."""
    action_id = begin(intentions)
    ledger.close()
    with sqlite3.connect(runs_folder / "ledger.sqlite3") as connection:
        connection.execute("DROP TABLE runbook_leases")

    assert [(found.action_id, found.running) for found in open_intentions(ledger)] == [(action_id, True)]
    make_dead(ledger, runs_folder)
    assert [(found.action_id, found.running) for found in open_intentions(ledger)] == [(action_id, False)]


def test_intentions_are_found_without_reading_the_other_events(intentions, ledger):
    """Every run asks this at its start: through the index, however long the ledger is."""
    begin(intentions)
    plan = ledger.rows("EXPLAIN QUERY PLAN SELECT seq FROM runbook_events i WHERE i.kind = 'action.intended'")

    assert "runbook_events_intended" in str(plan)
