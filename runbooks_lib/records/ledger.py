"""The ledger: an append-only table of events, each with the hash of the one before.

::

    ledger = Ledger(configuration.ledger_url)
    event = ledger.append(kind="run.started", run_id=…, environment="sandbox", operator="anna", payload={…})

Opening costs nothing; the database is reached at the first read or append, and made there if it does not exist.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from runbooks_lib.records.chain import ChainFault, find_faults
from runbooks_lib.records.event import GENESIS, Event, canonical_json, event_hash, storable, utc_text

if TYPE_CHECKING:
    from runbooks_lib.records.database import Database

__all__ = ["ChainFault", "Event", "Ledger"]


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
        with self._database.writing() as connection:
            last = _select_head(connection)
            draft = Event(
                seq=last[0] + 1,
                event_id=str(uuid.uuid4()),
                run_id=storable(run_id),
                at=utc_text(datetime.now(UTC)),
                kind=storable(kind),
                environment=storable(environment),
                operator=storable(operator),
                payload_json=body,
                previous_hash=last[1],
                hash="",
            )
            event = replace(draft, hash=event_hash(draft))
            _insert(connection, event)
        return event

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
        from runbooks_lib.records.database import EVENTS

        columns = EVENTS.c
        wanted = {"run_id": run_id, "environment": environment, "operator": operator, "kind": kind}
        query = EVENTS.select().order_by(columns.seq.desc() if limit is not None else columns.seq)
        for name, value in wanted.items():
            if value is not None:
                query = query.where(columns[name] == value)
        if since is not None:
            query = query.where(columns.at >= utc_text(since))
        if until is not None:
            query = query.where(columns.at < utc_text(until))
        if limit is not None:
            query = query.limit(limit)
        with self._database.reading() as connection:
            rows = [] if connection is None else connection.execute(query).all()
        events = tuple(Event(*row) for row in rows)
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
        return find_faults(self.events())

    def close(self) -> None:
        """Close the connections. A later call opens them again."""
        if "_database" in self.__dict__:
            self._database.close()


def _select_head(connection: Any) -> tuple[int, str]:
    """Number and hash of the newest event; 0 and ``GENESIS`` before the first."""
    from runbooks_lib.records.database import EVENTS

    query = EVENTS.select().with_only_columns(EVENTS.c.seq, EVENTS.c.hash).order_by(EVENTS.c.seq.desc()).limit(1)
    row = connection.execute(query).first()
    return (0, GENESIS) if row is None else (row[0], row[1])


def _insert(connection: Any, event: Event) -> None:
    from runbooks_lib.records.database import EVENTS

    names = ("seq", "event_id", "run_id", "at", "kind", "environment", "operator", "payload", "previous_hash", "hash")
    values = (event.seq, event.event_id, event.run_id, event.at, event.kind, event.environment, event.operator)
    row = dict(zip(names, (*values, event.payload_json, event.previous_hash, event.hash), strict=True))
    connection.execute(EVENTS.insert(), row)
