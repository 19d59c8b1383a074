"""The ledger: an append-only table of events, each with the hash of the one before.

::

    ledger = Ledger(configuration.ledger_url)
    event = ledger.append(kind="run.started", run_id=…, environment="sandbox", operator="anna", payload={…})

Opening costs nothing; the database is reached at the first read or append, and made there if it does not exist.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from runbooks_lib.records import origin
from runbooks_lib.records.chain import ChainFault, find_faults, is_whole
from runbooks_lib.records.event import Event, canonical_json, fields_hash, storable, utc_text
from runbooks_lib.records.schema import COLUMNS, LEASES

if TYPE_CHECKING:
    from runbooks_lib.records.cursor import Transaction
    from runbooks_lib.records.database import Database

__all__ = ["ChainFault", "Event", "Ledger", "Writing", "find_event"]

#: Somebody had removed tables or triggers of the ledger; this event says that they were put back.
RESTORED = "ledger.restored"
_BY_ID = f"SELECT {COLUMNS} FROM runbook_events WHERE event_id = ?"  # noqa: S608 - constants
_LOCKED = "SELECT seq FROM runbook_events WHERE kind = 'lock.acquired'"
_INSERT = f"INSERT INTO runbook_events ({COLUMNS}) VALUES ({', '.join('?' * len(COLUMNS.split()))})"  # noqa: S608 - constants


class Ledger:
    """Events, only ever added.

    Args:
        url: SQLAlchemy URL; a SQLite file (``sqlite:///path``) or PostgreSQL (``postgresql+psycopg://…``).
    """

    def __init__(self, url: str) -> None:
        self._url = url

    def __repr__(self) -> str:
        """No URL: it may hold a password."""
        return "Ledger(…)"

    @cached_property
    def _database(self) -> Database:
        # SQLAlchemy takes a tenth of a second to import; whoever never appends does not pay for it.
        from runbooks_lib.records.database import Database

        return Database(self._url)

    def prepare(self) -> None:
        """Load the database driver now, for example in a thread while something else is waited for."""
        _ = self._database.engine

    def append(
        self, *, kind: str, run_id: str, environment: str, operator: str, payload: Mapping[str, Any] | None = None
    ) -> Event:
        """Add one event at the end. When this returns, the event is on the disk.

        Writers wait for each other, in this process and in others, so every event has its own place.

        Args:
            kind: dotted, ``run.started``.
            run_id: the run it belongs to.
            environment: the configured environment.
            operator: who runs it.
            payload: anything JSON can say; secrets must have been removed.

        Raises:
            RecordError: the ledger could not be written; the event is not in it.
        """
        body = canonical_json(payload or {})
        with self.writing() as writing:
            return writing.append_text(
                kind=kind, run_id=run_id, environment=environment, operator=operator, payload_json=body
            )

    @contextmanager
    def writing(self) -> Iterator[Writing]:
        """Several events and locks in one transaction that no other writer shares: all of it, or none when it raises.

        Raises:
            RecordError: the ledger could not be written; nothing of it is in it.
        """
        with self._database.writing() as transaction:
            writing = Writing(transaction)
            if transaction.restored:
                writing.restored(transaction.restored)
            yield writing

    def with_leases(self) -> Ledger:
        """This ledger, made ready for locks where an earlier release made it; safe when two processes do it at once.

        Raises:
            RecordError: the ledger could not be written.
        """
        if not self.has_leases:
            with self.writing() as writing:
                gone = not writing.has_table("runbook_leases") and bool(writing.rows(f"{_LOCKED} LIMIT 1"))
                for statement in LEASES:
                    writing.change(statement)
                if gone:
                    writing.restored(("runbook_leases",))
        return self

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """What a reading query of ``records`` finds, values in the place of ``?``; nothing before the first event.

        Raises:
            RecordError: the ledger could not be read.
        """
        with self._database.reading() as cursor:
            return [] if cursor is None else cursor.rows(query, *values)

    @property
    def has_leases(self) -> bool:
        """Were locks ever used in this ledger?

        Raises:
            RecordError: the ledger could not be read.
        """
        return self._database.has_leases()

    @property
    def shown(self) -> str:
        """Where it is: the file, or server and database; never a password."""
        return self._database.shown

    @property
    def is_file(self) -> bool:
        """Is it a file, which only those see who share its machine or folder?"""
        return self._database.is_sqlite

    def missing_parts(self) -> tuple[str, ...]:
        """Tables and triggers that this ledger had and that somebody removed, by name.

        Raises:
            RecordError: the ledger could not be read.
        """
        tables = ("runbook_leases",) if not self.has_leases and self.rows(f"{_LOCKED} LIMIT 1") else ()
        return (*tables, *self._database.missing_triggers())

    def now(self) -> float:
        """Unix seconds by the clock that counts for locks: the server's for PostgreSQL, else this machine's.

        Raises:
            RecordError: the ledger could not be read.
        """
        if self._database.is_sqlite:
            return time.time()
        found = self.rows("SELECT extract(epoch FROM clock_timestamp())::float8")
        return float(found[0][0]) if found else time.time()

    def events(  # noqa: PLR0913 - independent filters
        self,
        *,
        run_id: str | None = None,
        environment: str | None = None,
        operator: str | None = None,
        kind: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int | None = None,
    ) -> tuple[Event, ...]:
        """Which events happened? In their order; with ``limit``, the newest that many.

        Args:
            run_id: only of this run.
            environment: only on this environment.
            operator: only by this operator.
            kind: only of this kind.
            since: aware; from this moment on.
            until: aware; before this moment.
            limit: at most this many.

        Raises:
            RecordError: the ledger could not be read.
        """
        wanted = {
            "run_id = ?": run_id,
            "environment = ?": environment,
            "operator = ?": operator,
            "kind = ?": kind,
            "at >= ?": utc_text(since) if since else None,
            "at < ?": utc_text(until) if until else None,
        }
        conditions = [condition for condition, value in wanted.items() if value is not None]
        values: list[object] = [value for value in wanted.values() if value is not None]
        query = f"SELECT {COLUMNS} FROM runbook_events"  # noqa: S608 - made of constants; values are bound
        if conditions:
            query += f" WHERE {' AND '.join(conditions)}"
        query += " ORDER BY seq"
        if limit is not None:
            query, values = f"{query} DESC LIMIT ?", [*values, limit]
        events = tuple(Event(*row) for row in self.rows(query, *values))
        return events if limit is None else events[::-1]

    def head(self) -> Event | None:
        """The newest event; None when there is none.

        Raises:
            RecordError: the ledger could not be read.
        """
        newest = self.events(limit=1)
        return newest[0] if newest else None

    def verify_chain(self) -> tuple[ChainFault, ...]:
        """What was done to the events since they were written? Empty when nothing was.

        Raises:
            RecordError: the ledger could not be read.
        """
        query = f"SELECT {COLUMNS} FROM runbook_events ORDER BY seq"  # noqa: S608 - constants
        with self._database.reading() as cursor:
            if cursor is None or is_whole(cursor.stream(query)):
                return ()
        return find_faults(self.events())

    def close(self) -> None:
        """Close the connections. A later call opens them again."""
        if "_database" in self.__dict__:
            self._database.close()


def find_event(reader: Ledger | Writing, event_id: str) -> Event | None:
    """The event with this id; None where there is none.

    Raises:
        RecordError: the ledger could not be read.
    """
    rows = reader.rows(_BY_ID, storable(event_id))
    return Event(*rows[0]) if rows else None


class Writing:
    """An open transaction of the ledger: reads what no other writer can change meanwhile, and adds to it.

    Args:
        transaction: of the database.
    """

    def __init__(self, transaction: Transaction) -> None:
        self._cursor = transaction.cursor
        self._seq, self._hash = transaction.seq, transaction.hash
        self.now = transaction.now

    def has_table(self, name: str) -> bool:
        """Is the table there by now?"""
        return self._cursor.has(name)

    def restored(self, names: Sequence[str]) -> None:
        """Note that tables or triggers had been removed by somebody and were put back now."""
        where = {"run_id": "ledger", "environment": "", "operator": origin.operator()}
        self.append(kind=RESTORED, payload={"parts": list(names)}, **where)

    @property
    def next_seq(self) -> int:
        """The number that the next event gets."""
        return self._seq + 1

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """What a query finds, values in the place of ``?``."""
        return self._cursor.rows(query, *values)

    def change(self, statement: str, *values: object) -> int:
        """How many rows a statement changed, values in the place of ``?``."""
        return self._cursor.change(statement, *values)

    def append(  # noqa: PLR0913 - the fields of an event
        self,
        *,
        kind: str,
        run_id: str,
        environment: str,
        operator: str,
        payload: Mapping[str, Any],
        event_id: str | None = None,
    ) -> Event:
        """Add one event; see ``Ledger.append``. The database refuses an ``event_id`` that another event has."""
        return self.append_text(
            kind=kind,
            run_id=run_id,
            environment=environment,
            operator=operator,
            payload_json=canonical_json(payload),
            event_id=event_id,
        )

    def append_text(  # noqa: PLR0913 - the fields of an event
        self,
        *,
        kind: str,
        run_id: str,
        environment: str,
        operator: str,
        payload_json: str,
        event_id: str | None = None,
    ) -> Event:
        """The same with a payload that is canonical JSON already."""
        fields = (
            self.next_seq,
            event_id or str(uuid.uuid4()),
            storable(run_id),
            utc_text(datetime.now(UTC)),
            storable(kind),
            storable(environment),
            storable(operator),
            payload_json,
            self._hash,
        )
        event = Event(*fields, hash=fields_hash(*fields))
        self._cursor.change(_INSERT, *fields, event.hash)
        self._seq, self._hash = event.seq, event.hash
        return event
