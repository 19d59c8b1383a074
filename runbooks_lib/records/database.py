"""The ledger's table in SQLite or PostgreSQL, behind SQLAlchemy Core.

The only module of the library that writes SQL for the ledger. Nothing is reflected: whether the table is there is asked
with one small query, so that a fresh ledger opens in a few milliseconds.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from runbooks_lib.errors import RecordError
from runbooks_lib.records import database_errors

#: How long a writer waits for another one.
BUSY_TIMEOUT_SECONDS = 10.0
CONNECT_TIMEOUT_SECONDS = 3

#: Names the lock that serialises writers on PostgreSQL; any constant will do ("runbooks" in ASCII).
_ADVISORY_LOCK = 0x72756E626F6F6B73

#: SQLite refuses to change the journal mode of a busy file at once, without waiting for it.
_WAL_ATTEMPTS = 50

_NAMES = ("seq", "event_id", "run_id", "at", "kind", "environment", "operator", "payload", "previous_hash", "hash")
EVENTS = sa.table("runbook_events", *map(sa.column, _NAMES))

#: Text that both databases take: to have SQLAlchemy compile it would double the time that a fresh ledger needs.
_TABLE = (
    """CREATE TABLE IF NOT EXISTS runbook_events (
    seq BIGINT NOT NULL PRIMARY KEY, event_id TEXT NOT NULL UNIQUE, run_id TEXT NOT NULL, at TEXT NOT NULL,
    kind TEXT NOT NULL, environment TEXT NOT NULL, operator TEXT NOT NULL, payload TEXT NOT NULL,
    previous_hash TEXT NOT NULL, hash TEXT NOT NULL UNIQUE)""",
    "CREATE INDEX IF NOT EXISTS runbook_events_run_id ON runbook_events (run_id)",
)

_SQLITE_TRIGGERS = (
    """CREATE TRIGGER IF NOT EXISTS runbook_events_no_update BEFORE UPDATE ON runbook_events
    BEGIN SELECT RAISE(ABORT, 'runbook_events: events are only ever added'); END""",
    """CREATE TRIGGER IF NOT EXISTS runbook_events_no_delete BEFORE DELETE ON runbook_events
    BEGIN SELECT RAISE(ABORT, 'runbook_events: events are only ever added'); END""",
    # INSERT OR REPLACE deletes without firing a delete trigger, so an insert must be refused unless it appends.
    """CREATE TRIGGER IF NOT EXISTS runbook_events_append BEFORE INSERT ON runbook_events
    WHEN NEW.seq != (SELECT coalesce(max(seq), 0) + 1 FROM runbook_events)
    BEGIN SELECT RAISE(ABORT, 'runbook_events: events are only ever added at the end'); END""",
)

_POSTGRESQL_TRIGGERS = (
    """CREATE OR REPLACE FUNCTION runbook_events_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE EXCEPTION 'runbook_events: events are only ever added'; END $$""",
    """CREATE OR REPLACE TRIGGER runbook_events_rows BEFORE UPDATE OR DELETE ON runbook_events
    FOR EACH ROW EXECUTE FUNCTION runbook_events_refuse()""",
    """CREATE OR REPLACE TRIGGER runbook_events_truncate BEFORE TRUNCATE ON runbook_events
    FOR EACH STATEMENT EXECUTE FUNCTION runbook_events_refuse()""",
)


class Database:
    """One place where events are kept.

    Args:
        url: SQLAlchemy URL, ``sqlite:///path`` or ``postgresql+psycopg://…``.

    Raises:
        RecordError: the URL is not one, its kind is not supported or its driver is not installed.
    """

    def __init__(self, url: str) -> None:
        try:
            self.url = sa.make_url(url)
        except sa.exc.ArgumentError as error:
            raise RecordError(
                "[ledger] url is not an SQLAlchemy URL", hint="such as sqlite:////path/to/file"
            ) from error
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        if not self.is_sqlite and self.url.get_backend_name() != "postgresql":
            raise RecordError(
                f"the ledger cannot be kept in {self.url.get_backend_name()}",
                hint="use sqlite:////path/to/file or postgresql+psycopg://user@host/database",
            )
        if self.is_sqlite and self.url.database in (None, "", ":memory:"):
            raise RecordError("a ledger in memory keeps nothing", hint="give a path: sqlite:////path/to/file")
        self._ready = False

    @cached_property
    def engine(self) -> sa.Engine:
        """The connections; the first one is made when it is needed."""
        try:
            if self.is_sqlite:
                # AUTOCOMMIT: the driver must not begin transactions by itself, ``writing`` begins them IMMEDIATE.
                arguments: dict[str, Any] = {"timeout": BUSY_TIMEOUT_SECONDS}
                engine = sa.create_engine(self.url, isolation_level="AUTOCOMMIT", connect_args=arguments)
                sa.event.listen(engine, "connect", _make_durable)
                return engine
            # READ COMMITTED: the statement after the lock must see what the holder before us committed.
            arguments = {"connect_timeout": CONNECT_TIMEOUT_SECONDS}
            return sa.create_engine(self.url, isolation_level="READ COMMITTED", connect_args=arguments)
        except (ImportError, sa.exc.NoSuchModuleError) as error:
            raise RecordError(
                f"the driver for {self.url.drivername} is not installed: {error}",
                hint="pip install 'psycopg[binary]' and write the URL as postgresql+psycopg://…",
            ) from error

    @contextmanager
    def reading(self) -> Iterator[sa.Connection | None]:
        """A connection to read with; None where nothing was ever written.

        Raises:
            RecordError: the database cannot be read; the message names the next step.
        """
        with self._translated("read"):
            if self.is_sqlite and not self._ready and not self._file_exists():
                yield None
                return
            with self.engine.connect() as connection:
                self._ready = self._ready or self._has_table(connection)
                yield connection if self._ready else None

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A transaction that no other writer shares; committed at the end, rolled back on any error.

        Raises:
            RecordError: the database cannot be written; the message names the next step.
        """
        with self._translated("write"):
            if self.is_sqlite and not self._ready and not (self.url.database or "").startswith("file:"):
                Path(self.url.database or "").parent.mkdir(parents=True, exist_ok=True)
            with self.engine.connect() as connection:
                if not self._ready:
                    self._create(connection)
                    self._ready = True
                begin = self._sqlite_transaction if self.is_sqlite else self._postgresql_transaction
                with begin(connection):
                    yield connection

    def close(self) -> None:
        """Close every connection; the database can be used again afterwards."""
        self.engine.dispose()
        self._ready = False

    @contextmanager
    def _translated(self, doing: str) -> Iterator[None]:
        try:
            yield
        except (sa.exc.SQLAlchemyError, OSError) as error:
            raise database_errors.explain(error, self.url, doing) from error

    def _file_exists(self) -> bool:
        database = self.url.database or ""
        return database.startswith("file:") or Path(database).exists()

    def _has_table(self, connection: sa.Connection) -> bool:
        if self.is_sqlite:
            # The triggers count as well: without them the table is only half made.
            query = (
                "SELECT count(*) FROM sqlite_master WHERE tbl_name = 'runbook_events' AND type IN ('table', 'trigger')"
            )
            return bool(connection.exec_driver_sql(query).scalar_one() == 1 + len(_SQLITE_TRIGGERS))
        found = connection.exec_driver_sql("SELECT to_regclass('runbook_events')").scalar_one()
        connection.rollback()
        return found is not None

    def _create(self, connection: sa.Connection) -> None:
        """Make the table and its triggers where they are missing; safe when two processes do it at once."""
        if self._has_table(connection):
            return
        if self.is_sqlite:
            _use_write_ahead_log(connection)
        with (self._sqlite_transaction if self.is_sqlite else self._postgresql_transaction)(connection):
            for statement in (*_TABLE, *(_SQLITE_TRIGGERS if self.is_sqlite else _POSTGRESQL_TRIGGERS)):
                connection.exec_driver_sql(statement)

    @contextmanager
    def _sqlite_transaction(self, connection: sa.Connection) -> Iterator[None]:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        try:
            yield
            connection.exec_driver_sql("COMMIT")
        except BaseException:
            # A failed COMMIT (full disk) leaves the transaction open or not, by its cause; only an open one is ended.
            if connection.connection.dbapi_connection.in_transaction:  # type: ignore[union-attr]
                connection.exec_driver_sql("ROLLBACK")
            raise

    @contextmanager
    def _postgresql_transaction(self, connection: sa.Connection) -> Iterator[None]:
        with connection.begin():
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{int(BUSY_TIMEOUT_SECONDS * 1000)}ms'")
            connection.exec_driver_sql("SET LOCAL synchronous_commit = on")
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})")
            yield


def _make_durable(connection: Any, _record: object) -> None:
    """A committed event survives a power cut: synchronous FULL (and the full flush that macOS needs)."""
    connection.execute("PRAGMA synchronous = FULL")
    if sys.platform == "darwin":
        connection.execute("PRAGMA fullfsync = ON")


def _use_write_ahead_log(connection: sa.Connection) -> None:
    """Let readers and the writer work at once, where the file system allows it; else SQLite's own journal stays."""
    for _ in range(_WAL_ATTEMPTS):
        try:
            connection.exec_driver_sql("PRAGMA journal_mode = WAL")
        except sa.exc.OperationalError as error:
            if "locked" not in str(error.orig):
                raise
            time.sleep(0.01)
        else:
            return
