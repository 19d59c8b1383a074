"""The ledger keeps every event, says what was done to it, and explains what is wrong with its database."""

from __future__ import annotations

import os
import sqlite3
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from runbooks_lib.errors import RecordError
from runbooks_lib.model import Status
from runbooks_lib.records.chain import find_faults
from runbooks_lib.records.database_errors import explain
from runbooks_lib.records.event import GENESIS, Event, canonical_json, event_hash
from runbooks_lib.records.ledger import Ledger
from runbooks_lib.records.run_record import start_run


def chain(count: int) -> list[Event]:
    """A chain as it is written."""
    events, previous = [], GENESIS
    for seq in range(1, count + 1):
        draft = Event(
            seq, f"id{seq}", "run", "2026-11-22T02:14:07.000000Z", "kind", "sandbox", "anna", "{}", previous, ""
        )
        events.append(replace(draft, hash=event_hash(draft)))
        previous = events[-1].hash
    return events


def rehashed(event: Event, **changes: object) -> Event:
    """An event that was changed by somebody who knows how hashes are made."""
    changed = replace(event, **changes)
    return replace(changed, hash=event_hash(changed))


def found(events: list[Event]) -> list[tuple[str, int]]:
    """Kind and number of every fault."""
    return [(fault.kind, fault.seq) for fault in find_faults(events)]


@pytest.mark.parametrize("count", [0, 1, 2, 50])
def test_chain_as_written_has_no_fault(count):
    """Whatever its length."""
    assert found(chain(count)) == []


@pytest.mark.parametrize("place", [1, 3, 5])
def test_chain_an_edited_event_is_named(place):
    """The first, one in the middle, the last."""
    events = chain(5)
    events[place - 1] = replace(events[place - 1], payload_json='{"a":1}')

    assert found(events) == [("edited", place)]


@pytest.mark.parametrize(
    "field", ["event_id", "run_id", "at", "kind", "environment", "operator", "previous_hash", "hash"]
)
def test_chain_an_edit_of_any_field_is_found(field):
    """No field is outside the hash."""
    events = chain(5)
    events[2] = replace(events[2], **{field: "0" * 63 + "1"})

    assert ("edited", 3) in found(events)


def test_chain_values_that_run_into_each_other_are_not_the_same_event():
    """Fields are separated: moving a letter from one into the next is an edit."""
    event = chain(1)[0]

    assert event_hash(replace(event, kind="kindsand", environment="box")) != event_hash(event)


def test_chain_an_edited_event_with_a_new_hash_is_named_by_the_one_after():
    """The next event still holds the old hash."""
    events = chain(5)
    events[2] = rehashed(events[2], payload_json='{"a":1}')

    assert found(events) == [("edited", 3)]


def test_chain_a_removed_event_is_named_by_its_number():
    """The gap is the event."""
    events = chain(6)
    del events[1:3]

    assert found(events) == [("removed", 2), ("removed", 3)]


def test_chain_the_first_event_removed_is_found():
    """Nothing begins at the beginning any more."""
    assert found(chain(3)[1:]) == [("removed", 1)]


def test_chain_a_removed_event_is_found_although_the_rest_was_renumbered():
    """The hash still knows the old number."""
    events = chain(6)
    del events[2]
    events[2:] = [replace(event, seq=event.seq - 1) for event in events[2:]]

    assert found(events) == [("removed", 3), ("reordered", 3)]


def test_chain_two_events_that_changed_places_are_named():
    """Both, with where they were."""
    events = chain(5)
    events[2], events[3] = replace(events[3], seq=3), replace(events[2], seq=4)
    faults = find_faults(events)

    assert [(fault.kind, fault.seq) for fault in faults] == [("reordered", 3), ("reordered", 4)]
    assert "event 4 now stands as 3" in faults[0].detail


def test_chain_an_inserted_event_is_named_although_its_hash_is_right():
    """The events behind it were moved, and none of them builds on it."""
    events = chain(5)
    forged = rehashed(replace(events[2], event_id="forged"), seq=4, previous_hash=events[2].hash)
    events[3:] = [forged, *(replace(event, seq=event.seq + 1) for event in events[3:])]

    assert found(events) == [("inserted", 4), ("reordered", 5)]


def test_canonical_json_the_same_value_gives_the_same_text():
    """Sorted, without spaces, with umlauts as they are; what JSON cannot say becomes what it can."""
    value = {"b": float("nan"), "a": [Status.OK, datetime(2026, 1, 2, tzinfo=UTC)], "ü": "\ud800\x00"}

    assert canonical_json(value) == '{"a":["OK","2026-01-02T00:00:00.000000Z"],"b":null,"ü":"\\\\ud800\\\\x00"}'


def test_ledger_append_gives_numbers_hashes_and_times(ledger):
    """Each event holds the hash of the one before."""
    first = append(ledger, payload={"b": 1, "a": 2})
    second = append(ledger, kind="run.finished")

    assert (first.seq, second.seq) == (1, 2)
    assert (first.previous_hash, second.previous_hash) == (GENESIS, first.hash)
    assert first.payload_json == '{"a":2,"b":1}'
    assert len(first.at) == len("2026-11-22T02:14:07.123456Z")
    assert abs(first.happened_at - datetime.now(UTC)) < timedelta(seconds=10)
    assert ledger.events() == (first, second)
    assert ledger.head() == second
    assert ledger.verify_chain() == ()


def test_ledger_events_filters_and_limit(ledger):
    """A limit keeps the newest, in their order."""
    for index in range(6):
        append(ledger, run_id=f"r{index % 2}", environment=f"e{index % 3}", operator="anna" if index else "ben")
    third = ledger.events()[2]

    assert [event.seq for event in ledger.events(run_id="r1")] == [2, 4, 6]
    assert [event.seq for event in ledger.events(environment="e0")] == [1, 4]
    assert [event.seq for event in ledger.events(operator="ben")] == [1]
    assert [event.seq for event in ledger.events(kind="other")] == []
    assert [event.seq for event in ledger.events(limit=2)] == [5, 6]
    assert [event.seq for event in ledger.events(since=third.happened_at)] == [3, 4, 5, 6]
    assert [event.seq for event in ledger.events(until=third.happened_at)] == [1, 2]


def test_ledger_reading_what_was_never_written_makes_no_file(ledger, runs_folder):
    """Looking leaves no trace."""
    assert ledger.events() == ()
    assert ledger.head() is None
    assert not runs_folder.exists()


def test_ledger_odd_text_is_kept(ledger):
    """Names come from people and file systems."""
    event = append(ledger, operator="zoë \ud800 \x00", payload={"ключ": "值\n\x00"})

    assert ledger.events() == (event,)
    assert ledger.verify_chain() == ()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE runbook_events SET operator = 'x'",
        "DELETE FROM runbook_events",
        "INSERT OR REPLACE INTO runbook_events SELECT * FROM runbook_events WHERE seq = 1",
    ],
)
def test_ledger_the_database_itself_refuses_to_change_an_event(ledger, runs_folder, statement):
    """A slip of the hand with the sqlite3 shell changes nothing."""
    append(ledger)
    append(ledger)
    connection = sqlite3.connect(runs_folder / "ledger.sqlite3")

    with pytest.raises(sqlite3.IntegrityError, match="only ever added"):
        connection.execute(statement)
    connection.close()
    assert ledger.verify_chain() == ()


def test_ledger_sqlite_is_durable_and_lets_readers_in(ledger, runs_folder):
    """WAL, and synchronous FULL on our connections."""
    append(ledger)
    with ledger._database.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar_one() == 2
    other = sqlite3.connect(runs_folder / "ledger.sqlite3")
    assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    other.close()


def test_ledger_a_missing_trigger_comes_back(ledger, runs_folder):
    """Whoever drops one to edit the table does not leave the door open."""
    append(ledger)
    tamper(runs_folder, "DROP TRIGGER runbook_events_no_update")
    again = Ledger(f"sqlite:///{runs_folder / 'ledger.sqlite3'}")
    append(again)

    assert [event.kind for event in again.events()][1] == "ledger.restored"
    assert again.verify_chain() == ()
    again.close()
    with pytest.raises(sqlite3.IntegrityError):
        tamper(runs_folder, "UPDATE runbook_events SET operator = 'x'")


def test_ledger_a_file_that_is_no_database_is_named(tmp_path):
    """Somebody's text file is not overwritten."""
    path = tmp_path / "ledger.sqlite3"
    path.write_text("x" * 4096, encoding="utf-8")

    with pytest.raises(RecordError, match="not an SQLite database") as caught:
        append(Ledger(f"sqlite:///{path}"))
    assert str(path) in caught.value.message
    assert path.read_text(encoding="utf-8") == "x" * 4096


def test_ledger_a_read_only_database_says_what_to_check(ledger, runs_folder):
    """SQLite's own words stand in brackets."""
    append(ledger)
    ledger.close()

    with pytest.raises(RecordError, match="read-only") as caught:
        append(Ledger(f"sqlite:///file:{runs_folder / 'ledger.sqlite3'}?mode=ro&uri=true"))
    assert "could not be written" in caught.value.message
    assert caught.value.hint


def test_ledger_a_full_disk_loses_no_event(ledger, runs_folder):
    """What was there stays, and the next append works again."""
    append(ledger)
    limit_pages(ledger, 1)
    with pytest.raises(RecordError, match="disk is full"):
        append(ledger, payload={"a": "x" * 100_000})
    limit_pages(ledger, 1_000_000)
    append(ledger)

    assert [event.seq for event in ledger.events()] == [1, 2]
    assert ledger.verify_chain() == ()


def test_ledger_held_by_another_process_says_so(ledger, runs_folder, monkeypatch):
    """After the time that a writer waits."""
    append(ledger)
    monkeypatch.setattr("runbooks_lib.records.database.BUSY_TIMEOUT_SECONDS", 0.1)
    other = sqlite3.connect(runs_folder / "ledger.sqlite3", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    with pytest.raises(RecordError, match="another process"):
        append(Ledger(f"sqlite:///{runs_folder / 'ledger.sqlite3'}"))
    other.execute("ROLLBACK")
    other.close()


def test_ledger_a_folder_that_cannot_be_made_is_named(tmp_path):
    """A file stands where the folder should be."""
    (tmp_path / "runs").write_text("", encoding="utf-8")

    with pytest.raises(RecordError, match="a part of the path is a file"):
        append(Ledger(f"sqlite:///{tmp_path / 'runs' / 'ledger.sqlite3'}"))


@pytest.mark.skipif(os.geteuid() == 0, reason="permissions do not hold root back")
def test_ledger_a_folder_without_permission_is_named(tmp_path):
    """The folder is readable only."""
    (tmp_path / "runs").mkdir(mode=0o500)

    with pytest.raises(RecordError, match="could not be written"):
        append(Ledger(f"sqlite:///{tmp_path / 'runs' / 'ledger.sqlite3'}"))


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("nonsense", "not an SQLAlchemy URL"),
        ("mysql://u:hunter2@h/d", "cannot be kept in mysql"),
        ("sqlite://", "in memory keeps nothing"),
        ("postgresql+nodriver://u:hunter2@h/d", "driver for postgresql"),
    ],
)
def test_ledger_a_url_that_cannot_be_one_is_refused_without_its_password(url, words):
    """Before anything is opened."""
    with pytest.raises(RecordError, match=words) as caught:
        append(Ledger(url))

    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in repr(Ledger(url))


def append(ledger: Ledger, **changes: object) -> Event:
    """One event with usual values."""
    usual = {"kind": "run.started", "run_id": "r", "environment": "sandbox", "operator": "anna", "payload": {}}
    return ledger.append(**{**usual, **changes})


def limit_pages(ledger: Ledger, count: int) -> None:
    """As if the disk were that small, on the one connection that the pool holds."""
    with ledger._database.engine.connect() as connection:
        connection.exec_driver_sql(f"PRAGMA max_page_count = {count}")


def tamper(runs_folder, statement: str) -> None:
    """What somebody with the sqlite3 shell does."""
    connection = sqlite3.connect(runs_folder / "ledger.sqlite3", isolation_level=None)
    try:
        connection.execute(statement)
    finally:
        connection.close()


def test_ledger_whose_user_may_not_read_is_not_said_to_be_unwritable():
    """To write an event, the one before it is read: PostgreSQL's words do not say which was refused."""
    url = sa.make_url("postgresql+psycopg://u:hunter22@db/ledger")
    error = explain(PermissionError("permission denied for table runbook_events"), url, "write")
    refused = explain(Exception("permission denied for table runbook_events"), url, "write")

    assert "could not be used: the user may not do that" in refused.message
    assert "hunter22" not in refused.message + error.message


@pytest.mark.parametrize("blocked", ["runs", "runs/2026-11-22"])
def test_run_whose_folder_is_a_file_names_the_file_and_not_the_disk(tmp_path, blocked):
    """A full disk has a command of its own."""
    path = tmp_path / blocked
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("in the way")
    with pytest.raises(RecordError, match="could not be made") as raised:
        start_run(
            ledger=Ledger(f"sqlite:///{tmp_path}/ledger.sqlite3"),
            runs_folder=tmp_path / "runs",
            runbook="triage",
            environment="sandbox",
            parameters={},
            started_at=datetime(2026, 11, 22, 2, 14, tzinfo=UTC),
        )
    assert raised.value.hint == f"move the file that stands where a folder should be: ls -ld {tmp_path / 'runs'}"
