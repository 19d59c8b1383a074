"""Processes that append at once lose nothing, on SQLite and on PostgreSQL; PostgreSQL refuses and explains."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from runbooks_lib.errors import RecordError
from runbooks_lib.records.ledger import Ledger

APPENDER = """
import sys
from runbooks_lib.records.ledger import Ledger
ledger = Ledger(sys.argv[1])
for index in range(int(sys.argv[3])):
    ledger.append(kind="test", run_id=sys.argv[2], environment="sandbox", operator="anna", payload={"index": index})
"""


def append(ledger: Ledger, **changes: object):
    """One event with usual values."""
    usual = {"kind": "run.started", "run_id": "r", "environment": "sandbox", "operator": "anna", "payload": {}}
    return ledger.append(**{**usual, **changes})


def append_at_once(url: str, *, processes: int, events: int) -> None:
    """Start the processes together; all must succeed."""
    command = [sys.executable, "-c", APPENDER, url]
    started = [
        subprocess.Popen([*command, f"run{number}", str(events)], stderr=subprocess.PIPE, text=True)
        for number in range(processes)
    ]
    for process in started:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors


def assert_nothing_was_lost(url: str, *, processes: int, events: int) -> None:
    """Every event of every process, each process's own in order, and the chain unbroken."""
    ledger = Ledger(url)
    assert ledger.verify_chain() == ()
    assert [event.seq for event in ledger.events()] == list(range(1, processes * events + 1))
    for number in range(processes):
        assert [e.payload["index"] for e in ledger.events(run_id=f"run{number}")] == list(range(events))
    ledger.close()


@pytest.mark.parametrize("attempt", range(2))
def test_ledger_sqlite_two_processes_append_200_events_each_and_nothing_is_lost(tmp_path, attempt):
    """Both also make the file and its table at the same moment."""
    url = f"sqlite:///{tmp_path / f'new{attempt}' / 'ledger.sqlite3'}"

    append_at_once(url, processes=2, events=200)

    assert_nothing_was_lost(url, processes=2, events=200)


def test_ledger_sqlite_five_processes_make_the_file_at_once(tmp_path):
    """The moment of creation is the most delicate one."""
    url = f"sqlite:///{tmp_path / 'ledger.sqlite3'}"

    append_at_once(url, processes=5, events=3)

    assert_nothing_was_lost(url, processes=5, events=3)


def test_ledger_postgresql_two_processes_append_200_events_each_and_nothing_is_lost(postgresql_url):
    """Serialised by an advisory lock."""
    append_at_once(postgresql_url, processes=2, events=200)

    assert_nothing_was_lost(postgresql_url, processes=2, events=200)


def test_ledger_postgresql_repeatable_read_by_default_loses_nothing(postgresql_url):
    """A database whose default isolation would show an old head is no trap."""
    import sqlalchemy as sa

    engine = sa.create_engine(postgresql_url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        name = sa.make_url(postgresql_url).database
        connection.exec_driver_sql(f"ALTER DATABASE {name} SET default_transaction_isolation = 'repeatable read'")
    engine.dispose()

    append_at_once(postgresql_url, processes=3, events=30)

    assert_nothing_was_lost(postgresql_url, processes=3, events=30)


@pytest.mark.parametrize(
    "statement",
    ["UPDATE runbook_events SET operator = 'x'", "DELETE FROM runbook_events", "TRUNCATE runbook_events"],
)
def test_ledger_postgresql_the_database_itself_refuses_to_change_an_event(postgresql_url, statement):
    """As on SQLite, and TRUNCATE too."""
    import psycopg

    ledger = Ledger(postgresql_url)
    append(ledger)
    with (
        psycopg.connect(postgresql_url.replace("+psycopg", "")) as connection,
        pytest.raises(psycopg.errors.RaiseException, match="only ever added"),
    ):
        connection.execute(statement)
    assert ledger.verify_chain() == ()
    ledger.close()


def test_ledger_postgresql_reading_before_the_first_event_makes_no_table(postgresql_url):
    """Looking leaves no trace."""
    ledger = Ledger(postgresql_url)

    assert ledger.events() == ()
    assert ledger.head() is None
    event = append(ledger, payload={"ü": "\x00"})
    assert ledger.events(limit=1) == (event,)
    ledger.close()


def test_ledger_postgresql_tampering_is_found(postgresql_url):
    """By somebody who owns the table and turns the triggers off."""
    import psycopg

    ledger = Ledger(postgresql_url)
    for _ in range(4):
        append(ledger)
    with psycopg.connect(postgresql_url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("ALTER TABLE runbook_events DISABLE TRIGGER USER")
        connection.execute("UPDATE runbook_events SET operator = 'ben' WHERE seq = 2")
        connection.execute("DELETE FROM runbook_events WHERE seq = 3")

    assert [(fault.kind, fault.seq) for fault in ledger.verify_chain()] == [("edited", 2), ("removed", 3)]
    ledger.close()


def test_ledger_postgresql_a_wrong_password_is_explained_and_not_shown(postgresql_url):
    """The server's words, without the secret."""
    with pytest.raises(RecordError, match="refused the user name or password") as caught:
        append(Ledger(postgresql_url.replace("hunter2", "wrong-s3cr3t")))

    assert "wrong-s3cr3t" not in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_ledger_postgresql_a_missing_database_is_explained(postgresql_url):
    """With the command that makes it."""
    with pytest.raises(RecordError, match="there is no such database") as caught:
        Ledger(postgresql_url + "x").events()

    assert "createdb" in caught.value.hint


def test_ledger_postgresql_unreachable_says_so_quickly():
    """Nobody waits long at night."""
    started = time.monotonic()
    with pytest.raises(RecordError, match="cannot be reached"):
        append(Ledger("postgresql+psycopg://u:hunter2@127.0.0.1:1/d"))

    assert time.monotonic() - started < 5


def test_ledger_postgresql_without_the_right_to_create_says_who_can_help(postgresql_url, postgresql_server):
    """A role that may only insert cannot make the table."""
    import psycopg

    with psycopg.connect(postgresql_url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS clerk")
        connection.execute("CREATE ROLE clerk LOGIN PASSWORD 'clerk-pw'")

    with pytest.raises(RecordError, match="may not do that") as caught:
        append(Ledger(postgresql_url.replace("runbooks:hunter2", "clerk:clerk-pw")))
    assert "GRANT" in caught.value.hint


def test_ledger_postgresql_a_clerk_with_insert_only_can_append(postgresql_url):
    """What the hint promises is enough."""
    import psycopg

    owner = Ledger(postgresql_url)
    append(owner)
    with psycopg.connect(postgresql_url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS clerk2")
        connection.execute("CREATE ROLE clerk2 LOGIN PASSWORD 'clerk-pw'")
        connection.execute("GRANT SELECT, INSERT ON runbook_events TO clerk2")
    clerk = Ledger(postgresql_url.replace("runbooks:hunter2", "clerk2:clerk-pw"))
    append(clerk)

    assert owner.verify_chain() == ()
    assert len(owner.events()) == 2
    clerk.close()
    owner.close()
