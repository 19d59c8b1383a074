"""The ledger's database, SQLite or PostgreSQL: connections, and transactions that no other writer shares.

SQLAlchemy keeps the connections; statements go to the driver as they are, because an append through SQLAlchemy's own
layers costs four times a bare commit. Nothing is reflected: one small query asks whether the tables are there.
"""

from __future__ import annotations

import contextlib
import selectors
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from runbooks_lib.errors import RecordError, RunbookError
from runbooks_lib.records import database_errors, schema
from runbooks_lib.records.cursor import Cursor, Transaction
from runbooks_lib.records.event import GENESIS

#: How long a writer waits for another one.
BUSY_TIMEOUT_SECONDS = 10.0
CONNECT_TIMEOUT_SECONDS = 3

#: Names the lock that serialises writers on PostgreSQL; any constant will do ("runbooks" in ASCII).
_ADVISORY_LOCK = 0x72756E626F6F6B73

#: SQLite refuses to change the journal mode of a busy file at once, without waiting for it.
_WAL_ATTEMPTS = 50

_SQLITE_HEAD = "SELECT seq, hash FROM runbook_events ORDER BY seq DESC LIMIT 1"

#: All in one message: begin, wait for the other writers, and only then (each statement sees what was committed before
#: it) read the newest event and the server's clock.
_POSTGRESQL_BEGIN = f"""BEGIN ISOLATION LEVEL READ COMMITTED;
SET LOCAL lock_timeout = '{int(BUSY_TIMEOUT_SECONDS * 1000)}ms'; SET LOCAL synchronous_commit = on;
SELECT pg_advisory_xact_lock({_ADVISORY_LOCK});
SELECT extract(epoch FROM clock_timestamp())::float8, head.seq, head.hash FROM (SELECT 1) AS always
LEFT JOIN (SELECT seq, hash FROM runbook_events ORDER BY seq DESC LIMIT 1) AS head ON true"""  # noqa: S608 - constants


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
        self._readable = self._writable = self._leases_ready = False

    @cached_property
    def engine(self) -> sa.Engine:
        """The connections; the first one is made when it is needed."""
        # AUTOCOMMIT: the driver must not begin transactions by itself, ``writing`` does.
        try:
            if self.is_sqlite:
                arguments: dict[str, Any] = {"timeout": BUSY_TIMEOUT_SECONDS}
                engine = sa.create_engine(
                    self.url, isolation_level="AUTOCOMMIT", connect_args=arguments, pool_reset_on_return=None
                )
                sa.event.listen(engine, "connect", _make_durable)
                return engine
            arguments = {"connect_timeout": CONNECT_TIMEOUT_SECONDS}
            return sa.create_engine(
                self.url, isolation_level="AUTOCOMMIT", connect_args=arguments, pool_reset_on_return=None
            )
        except (ImportError, sa.exc.NoSuchModuleError) as error:
            raise RecordError(
                f"the driver for {self.url.drivername} is not installed: {error}",
                hint="pip install 'psycopg[binary]' and write the URL as postgresql+psycopg://…",
            ) from error

    @contextmanager
    def reading(self) -> Iterator[Cursor | None]:
        """A cursor to read with; None where nothing was ever written.

        Raises:
            RecordError: the database cannot be read; the message names the next step.
        """
        with self._translated("read"):
            if self.is_sqlite and not self._readable and not self._file_exists():
                yield None
                return
            with self._cursor() as cursor:
                self._readable = self._readable or cursor.has("runbook_events")
                yield cursor if self._readable else None

    @contextmanager
    def writing(self) -> Iterator[Transaction]:
        """A transaction that no other writer shares; committed at the end, rolled back on any error.

        Raises:
            RecordError: the database cannot be written; the message names the next step.
        """
        with self._translated("write"):
            if self.is_sqlite and not self._writable and not (self.url.database or "").startswith("file:"):
                Path(self.url.database or "").parent.mkdir(parents=True, exist_ok=True)
            with self._cursor() as cursor:
                if not self._writable:
                    self._create(cursor)
                head = self._begin(cursor)
                try:
                    yield head if self._writable else self._restored(head)
                    cursor.run("COMMIT")
                    self._readable = self._writable = True
                except BaseException:
                    self._roll_back(cursor)
                    raise

    def has_leases(self) -> bool:
        """Are the tables of locks there? They are not in a ledger of an earlier release.

        Raises:
            RecordError: the database cannot be read.
        """
        if not self._leases_ready:
            with self.reading() as cursor:
                self._leases_ready = cursor is not None and cursor.has("runbook_leases")
        return self._leases_ready

    def missing_triggers(self) -> tuple[str, ...]:
        """Which triggers that keep events from being changed are not there, or are not what they were?

        Raises:
            RecordError: the database cannot be read.
        """
        with self.reading() as cursor:
            return () if cursor is None else self._missing_triggers(cursor)

    @property
    def shown(self) -> str:
        """The file, or server and database; never a password."""
        url = self.url
        return (
            (url.database or "") if self.is_sqlite else f"{url.host or 'localhost'}:{url.port or 5432}/{url.database}"
        )

    def close(self) -> None:
        """Close every connection; the database can be used again afterwards."""
        self.engine.dispose()
        self._readable = self._writable = self._leases_ready = False

    @contextmanager
    def _cursor(self) -> Iterator[Cursor]:
        """A cursor on a connection of the pool; a connection that failed is not given to anybody again."""
        connection = self._checked_out()
        cursor = connection.cursor()
        try:
            yield Cursor(cursor, "?" if self.is_sqlite else "%s")
        except Exception as error:
            if not isinstance(error, RunbookError):
                connection.invalidate()
            raise
        except BaseException:
            # An interrupt in the middle of a statement leaves nobody knows what.
            connection.invalidate()
            raise
        finally:
            connection.close()

    def _checked_out(self) -> sa.PoolProxiedConnection:
        """A connection that still stands: a server that was restarted has ended those of the pool."""
        connection = self.engine.raw_connection()
        if not self.is_sqlite and _is_broken(connection):
            connection.invalidate()
            connection = self.engine.raw_connection()
        return connection

    @contextmanager
    def _translated(self, doing: str) -> Iterator[None]:
        driver: Any = self.engine.dialect.loaded_dbapi
        try:
            yield
        except (sa.exc.SQLAlchemyError, driver.Error, OSError) as error:
            raise database_errors.explain(error, self.url, doing) from error

    def _file_exists(self) -> bool:
        database = self.url.database or ""
        return database.startswith("file:") or Path(database).exists()

    def _missing_triggers(self, cursor: Cursor) -> tuple[str, ...]:
        if not self.is_sqlite:
            query = (
                "SELECT tgname FROM pg_trigger "
                "WHERE tgrelid = to_regclass('runbook_events') AND tgenabled IN ('O', 'A')"
            )
            there = {str(row[0]) for row in cursor.rows(query)}
            return tuple(name for name in schema.POSTGRESQL_TRIGGER_NAMES if name not in there)
        query = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'runbook_events'"
        found = {str(name): "".join(str(sql).split()) for name, sql in cursor.rows(query)}
        return tuple(
            name
            for name, statement in schema.SQLITE_TRIGGERS_BY_NAME.items()
            if found.get(name) != "".join(statement.replace(" IF NOT EXISTS", "").split())
        )

    def _restored(self, transaction: Transaction) -> Transaction:
        """Put back triggers that were removed, in the transaction that says so; on PostgreSQL only the owner could."""
        missing = self._missing_triggers(transaction.cursor) if self.is_sqlite else ()
        for name in missing:
            transaction.cursor.run(f"DROP TRIGGER IF EXISTS {name}")
            transaction.cursor.run(schema.SQLITE_TRIGGERS_BY_NAME[name])
        return replace(transaction, restored=missing)

    def _create(self, cursor: Cursor) -> None:
        """Make tables and triggers where there are none; safe when two processes do it at once."""
        if cursor.has("runbook_events"):
            return
        if self.is_sqlite:
            _use_write_ahead_log(cursor)
        events, triggers = schema.EVENTS, schema.POSTGRESQL_TRIGGERS
        if self.is_sqlite:
            events, triggers = schema.SQLITE_EVENTS, schema.SQLITE_TRIGGERS
        begin = ("BEGIN IMMEDIATE",) if self.is_sqlite else ("BEGIN", f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})")
        try:
            for statement in (*begin, *events, *schema.LEASES, *triggers, "COMMIT"):
                cursor.run(statement)
        except BaseException:
            self._roll_back(cursor)
            raise

    def _begin(self, cursor: Cursor) -> Transaction:
        if not self.is_sqlite:
            now, seq, newest = cursor.last_row(_POSTGRESQL_BEGIN)
            return Transaction(cursor, now, seq or 0, newest or GENESIS)
        cursor.run("BEGIN IMMEDIATE")
        head = cursor.rows(_SQLITE_HEAD)
        return Transaction(cursor, time.time(), *(head[0] if head else (0, GENESIS)))

    def _roll_back(self, cursor: Cursor) -> None:
        """A failed COMMIT leaves the transaction open or not, by its cause; the connection is thrown away after it."""
        with contextlib.suppress(self.engine.dialect.loaded_dbapi.Error):
            cursor.run("ROLLBACK")


def _is_broken(connection: sa.PoolProxiedConnection) -> bool:
    """Has the server ended this connection? Asked of the socket, without a message to the server."""
    driver: Any = connection.driver_connection
    if driver.closed:
        return True
    with selectors.DefaultSelector() as waiting:
        waiting.register(driver.fileno(), selectors.EVENT_READ)
        return bool(waiting.select(0))


def _make_durable(connection: Any, _record: object) -> None:
    """A committed event survives a power cut: synchronous FULL (and the full flush that macOS needs)."""
    connection.execute("PRAGMA synchronous = FULL")
    if sys.platform == "darwin":
        connection.execute("PRAGMA fullfsync = ON")


def _use_write_ahead_log(cursor: Cursor) -> None:
    """Let readers and the writer work at once, where the file system allows it; else SQLite's own journal stays."""
    for _ in range(_WAL_ATTEMPTS):
        try:
            cursor.run("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):
                raise
            time.sleep(0.01)
        else:
            return
