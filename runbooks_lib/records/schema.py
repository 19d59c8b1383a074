"""The ledger's tables, as text that SQLite and PostgreSQL both take.

To have SQLAlchemy compile it would double the time that a fresh ledger needs. ``LEASES`` came later than ``EVENTS``.
It is added to a ledger that lacks it when the first lock needs it, so that a user who may only insert events can still
do so in an older ledger.
"""

from __future__ import annotations

#: In the order of ``event.Event``.
COLUMNS = "seq, event_id, run_id, at, kind, environment, operator, payload, previous_hash, hash"

EVENTS = (
    """CREATE TABLE IF NOT EXISTS runbook_events (
    seq BIGINT NOT NULL PRIMARY KEY, event_id TEXT NOT NULL UNIQUE, run_id TEXT NOT NULL, at TEXT NOT NULL,
    kind TEXT NOT NULL, environment TEXT NOT NULL, operator TEXT NOT NULL, payload TEXT NOT NULL,
    previous_hash TEXT NOT NULL, hash TEXT NOT NULL)""",
    "CREATE INDEX IF NOT EXISTS runbook_events_run_id ON runbook_events (run_id)",
)

#: On SQLite an INTEGER primary key is the row's own number: every append writes one index less.
SQLITE_EVENTS = (EVENTS[0].replace("seq BIGINT", "seq INTEGER"), *EVENTS[1:])

#: Times are Unix seconds. The row of a lock stays when it is released. The index makes it quick to ask, at the start
#: of every run, which actions were never ended; it holds those events alone, so no other append pays for it.
LEASES = (
    """CREATE TABLE IF NOT EXISTS runbook_leases (
    environment TEXT NOT NULL, resource TEXT NOT NULL, holder TEXT NOT NULL, operator TEXT NOT NULL,
    host TEXT NOT NULL, pid BIGINT NOT NULL, started TEXT NOT NULL, fencing_number BIGINT NOT NULL,
    acquired_at DOUBLE PRECISION NOT NULL, expires_at DOUBLE PRECISION NOT NULL,
    outlives_process SMALLINT NOT NULL, purpose TEXT NOT NULL, released SMALLINT NOT NULL,
    PRIMARY KEY (environment, resource))""",
    """CREATE INDEX IF NOT EXISTS runbook_events_intended ON runbook_events (seq)
    WHERE kind = 'action.intended'""",
)

SQLITE_TRIGGERS = (
    """CREATE TRIGGER IF NOT EXISTS runbook_events_no_update BEFORE UPDATE ON runbook_events
    BEGIN SELECT RAISE(ABORT, 'runbook_events: events are only ever added'); END""",
    """CREATE TRIGGER IF NOT EXISTS runbook_events_no_delete BEFORE DELETE ON runbook_events
    BEGIN SELECT RAISE(ABORT, 'runbook_events: events are only ever added'); END""",
    # INSERT OR REPLACE deletes without firing a delete trigger, so an insert must be refused unless it appends.
    """CREATE TRIGGER IF NOT EXISTS runbook_events_append BEFORE INSERT ON runbook_events
    WHEN NEW.seq != (SELECT coalesce(max(seq), 0) + 1 FROM runbook_events)
    BEGIN SELECT RAISE(ABORT, 'runbook_events: events are only ever added at the end'); END""",
)

#: Name → statement: what is looked for, and put back with an event that says so.
SQLITE_TRIGGERS_BY_NAME = {statement.split()[5]: statement for statement in SQLITE_TRIGGERS}
POSTGRESQL_TRIGGER_NAMES = ("runbook_events_rows", "runbook_events_truncate")

POSTGRESQL_TRIGGERS = (
    """CREATE OR REPLACE FUNCTION runbook_events_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE EXCEPTION 'runbook_events: events are only ever added'; END $$""",
    """CREATE OR REPLACE TRIGGER runbook_events_rows BEFORE UPDATE OR DELETE ON runbook_events
    FOR EACH ROW EXECUTE FUNCTION runbook_events_refuse()""",
    """CREATE OR REPLACE TRIGGER runbook_events_truncate BEFORE TRUNCATE ON runbook_events
    FOR EACH STATEMENT EXECUTE FUNCTION runbook_events_refuse()""",
)
