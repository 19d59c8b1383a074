"""Processes that take locks at once, on SQLite and on PostgreSQL; and one clock for all where there is a server."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from runbooks_lib.records.leases import LeaseHeldError, Leases
from runbooks_lib.records.ledger import Ledger

TAKER = """
import sys
from runbooks_lib.errors import RefusedError
from runbooks_lib.records.leases import Leases
from runbooks_lib.records.ledger import Ledger
ledger, name, turns = Ledger(sys.argv[1]), sys.argv[2], int(sys.argv[3])
leases, got = Leases(ledger), 0
while got < turns:
    try:
        held = leases.acquire(
            environment="sandbox", resources=["a", "b"], holder=name, operator=name, seconds=60, purpose="test"
        )
    except RefusedError:
        continue
    assert [lease.holder for lease in leases.held()] == [name, name]
    leases.renew(held, seconds=60)
    print(held[0].fencing_number, held[1].fencing_number)
    got += 1
    leases.release(held)
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path) -> str:
    """Of an empty ledger."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'new' / 'ledger.sqlite3'}"
    return str(request.getfixturevalue("postgresql_url"))


def take(ledger: Ledger, holder: str, **changes: object):
    """One lock with usual values."""
    usual = {"environment": "sandbox", "resources": ["a"], "operator": holder, "seconds": 60.0, "purpose": "test"}
    return Leases(ledger).acquire(**{**usual, **changes}, holder=holder)


def test_leases_two_processes_never_hold_one_at_once(url):
    """They also make the tables at the same moment; every number was given once."""
    started = [
        subprocess.Popen(
            [sys.executable, "-c", TAKER, url, name, "15"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for name in ("anna", "ben")
    ]
    answers = [process.communicate(timeout=60) for process in started]
    assert [process.returncode for process in started] == [0, 0], answers

    numbers = [line.split()[0] for out, _ in answers for line in out.splitlines()]
    ledger = Ledger(url)
    assert len(set(numbers)) == 30
    assert ledger.verify_chain() == ()
    assert len(ledger.events(kind="lock.acquired")) == 30
    assert len(ledger.events(kind="lock.released")) == 30
    assert Leases(ledger).held() == ()
    ledger.close()


def test_leases_of_a_killed_process_come_free_at_once(url):
    """It held them a moment ago."""
    code = "import os; " + TAKER.replace("    leases.release(held)", "    os.kill(os.getpid(), 9)")
    killed = subprocess.run([sys.executable, "-c", code, url, "anna", "1"], capture_output=True, check=False)
    assert killed.returncode == -9, killed.stderr

    ledger = Ledger(url)
    assert Leases(ledger).held() == ()
    assert take(ledger, "ben")
    assert [e.payload["previous"]["operator"] for e in ledger.events(kind="lock.taken_over")] == ["anna"]
    ledger.close()


def test_leases_on_postgresql_go_by_the_servers_clock(postgresql_url, monkeypatch):
    """A machine whose clock is a day ahead takes nobody's lock away."""
    ledger = Ledger(postgresql_url)
    take(ledger, "anna", outlives_process=True)
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 86_400)

    with pytest.raises(LeaseHeldError):
        take(ledger, "ben")
    assert len(Leases(ledger).held()) == 1
    ledger.close()


def test_leases_run_out_by_themselves(url):
    """A short one is free after its time, although its process lives."""
    ledger = Ledger(url)
    held = take(ledger, "anna", seconds=0.2)
    time.sleep(0.3)

    assert Leases(ledger).held() == ()
    assert take(ledger, "ben")[0].fencing_number > held[0].fencing_number
    ledger.close()


def test_leases_need_a_right_that_the_hint_names(postgresql_url):
    """A clerk who may insert events only cannot lock, and is told what to ask for; with it he can."""
    import psycopg

    from runbooks_lib.errors import RecordError

    owner = Ledger(postgresql_url)
    take(owner, "anna")
    clerk = Ledger(postgresql_url.replace("runbooks:hunter2", "clerk3:clerk-pw"))
    with psycopg.connect(postgresql_url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS clerk3")
        connection.execute("CREATE ROLE clerk3 LOGIN PASSWORD 'clerk-pw'")
        connection.execute("GRANT SELECT, INSERT ON runbook_events, runbook_leases TO clerk3")
        with pytest.raises(RecordError, match="may not do that") as caught:
            take(clerk, "clerk3", resources=["b"])
        assert "GRANT UPDATE ON runbook_leases" in caught.value.hint
        connection.execute("GRANT UPDATE ON runbook_leases TO clerk3")
    assert take(clerk, "clerk3", resources=["b"])
    owner.close()
    clerk.close()


def test_ledger_after_the_server_ended_its_connections_goes_on(postgresql_url):
    """A database server that was restarted between two events costs no event."""
    import psycopg

    ledger = Ledger(postgresql_url)
    take(ledger, "anna")
    with psycopg.connect(postgresql_url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    time.sleep(0.2)

    assert take(ledger, "anna", resources=["b"])
    assert ledger.verify_chain() == ()
    ledger.close()
