"""The table ``cache_stats``: the guide's monitoring query, carried out by the database that holds the rows."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from runbooks_lib import units
from runbooks_lib.errors import SourceError
from runbooks_lib.facts import CacheStatistics, EndpointStatistics
from runbooks_lib.model import Provenance
from runbooks_lib.sources.database import Database

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection, Select

    from runbooks_lib.config import Environment

TABLE = "cache_stats"
REQUIRED_COLUMNS = ("view_name", "status")
OPTIONAL_COLUMNS = ("created_at", "duration_ms", "cohort")
#: Byte order of names, the same in every database, so that equal data gives equal rows.
_COLLATIONS = {"postgresql": "C", "sqlite": "BINARY"}


@dataclass(frozen=True, slots=True)
class _Answer:
    """What one connection gave: the rows of the query as the driver gives them, and what was learnt of the table."""

    rows: list[Any]
    newest: object
    missing: tuple[str, ...]
    sql: str


class CacheStats:
    """Reads ``cache_stats``; nothing is opened before it is asked.

    Args:
        environment: ``database_url`` names the database.
        timeout_seconds: for one whole read, over 0.
    """

    def __init__(self, environment: Environment, *, timeout_seconds: float = 3.0) -> None:
        self._database = Database(environment, timeout_seconds=timeout_seconds)

    def by_endpoint(self, window_seconds: float | None = None, limit: int = 50) -> CacheStatistics:
        """How do the lookups of each endpoint end?

        percentage = count / all lookups of the endpoint × 100.

        Args:
            window_seconds: only rows of the last so many seconds, over 0; None for the whole table.
            limit: how many endpoints, the busiest ones, 1..10000; each with all its statuses.

        Returns:
            Rows in the guide's order: by endpoint, most frequent status first. ``endpoints_count`` counts all
            endpoints, also those beyond ``limit``.

        Raises:
            SourceError: the table could not be read, lacks ``view_name`` or ``status``, or has no ``created_at``
                although a window was asked for.

        Source:
            The guide, Monitoring Queries: COUNT(*) by view_name and status.
        """
        if window_seconds is not None and not window_seconds > 0:
            raise ValueError(f"window_seconds must be over 0, not {window_seconds}")
        if not 1 <= limit <= 10_000:
            raise ValueError(f"limit must be 1..10000, not {limit}")
        at, began = units.now(), time.monotonic()
        since = None if window_seconds is None else at - timedelta(seconds=window_seconds)
        answer = self._database.read(lambda connection: _read(connection, since, limit))
        rows = (
            EndpointStatistics(_text(r.view_name), _text(r.status), int(r.count), float(r.percentage))
            for r in answer.rows
        )
        return CacheStatistics(
            # Sorted once more here, by code point: the order must not depend on the database.
            rows=tuple(sorted(rows, key=lambda row: (row.view_name, -row.count, row.status))),
            window_seconds=window_seconds,
            newest_at=_moment(answer.newest),
            missing_columns=answer.missing,
            provenance=Provenance("cache_stats", answer.sql, at, time.monotonic() - began),
            endpoints_count=int(answer.rows[0].endpoints) if answer.rows else 0,
        )


def _read(connection: Connection, since: datetime | None, limit: int) -> _Answer:
    from sqlalchemy import column, func, select, table

    present = _columns(connection)
    absent = [name for name in REQUIRED_COLUMNS if name not in present]
    if absent:
        raise SourceError(
            f"{TABLE} has no column {', '.join(absent)}",
            source="cache_stats",
            hint=f"the guide's query needs {' and '.join(REQUIRED_COLUMNS)}; is this table the site's?",
        )
    newest = None
    if "created_at" in present:
        newest = connection.execute(select(func.max(column("created_at"))).select_from(table(TABLE))).scalar()
    elif since is not None:
        raise SourceError(
            f"{TABLE} has no column created_at, so a window cannot be chosen",
            source="cache_stats",
            hint="ask without a window for all rows, or add created_at to the table",
        )
    statement = _statement(connection.dialect.name, _as_stored(since, newest, connection.dialect.name), limit)
    sql = " ".join(str(statement.compile(connection)).split())
    missing = tuple(name for name in OPTIONAL_COLUMNS if name not in present)
    return _Answer(list(connection.execute(statement)), newest, missing, sql)


def _columns(connection: Connection) -> frozenset[str]:
    """The columns that the table has, from an empty answer: no catalogue is read, so a view serves as well."""
    from sqlalchemy import literal_column, select, table

    empty: Select[Any] = select(literal_column("*")).select_from(table(TABLE)).limit(0)
    names = connection.execute(empty).keys()
    return frozenset(name.lower() for name in names)


def _statement(dialect: str, since: ColumnElement[Any] | None, limit: int) -> Select[Any]:
    """The guide's query with the busiest endpoints chosen. All values are bound, names come from this module."""
    from sqlalchemy import Float, Text, collate, column, func, literal, literal_column, select, table

    # Not bound: a bound value in GROUP BY would be another expression than the same one in SELECT.
    empty: ColumnElement[str] = literal_column("''")
    view_name: ColumnElement[str] = func.coalesce(column("view_name", Text), empty)
    if dialect in _COLLATIONS:
        view_name = collate(view_name, _COLLATIONS[dialect])
    status: ColumnElement[str] = func.coalesce(column("status", Text), empty)
    counted: Any = select(
        view_name.label("view_name"), status.label("status"), func.count().label("count")
    ).select_from(table(TABLE))
    if since is not None:
        counted = counted.where(column("created_at") >= since)
    groups = counted.group_by(view_name, status).cte("groups")
    of_endpoint = func.sum(groups.c.count).over(partition_by=groups.c.view_name)
    totals = select(groups, of_endpoint.label("total")).cte("totals")
    # A float from the start: the same arithmetic in every database.
    percentage = totals.c.count * literal(100.0, Float) / totals.c.total
    place = func.dense_rank().over(order_by=(totals.c.total.desc(), totals.c.view_name))
    ranked = select(totals, percentage.label("percentage"), place.label("place")).cte("ranked")
    endpoints = select(func.max(ranked.c.place)).scalar_subquery()
    chosen = select(
        ranked.c.view_name, ranked.c.status, ranked.c.count, ranked.c.percentage, endpoints.label("endpoints")
    )
    return chosen.where(ranked.c.place <= limit).order_by(ranked.c.view_name, ranked.c.count.desc())


def _as_stored(since: datetime | None, newest: object, dialect: str) -> ColumnElement[Any] | None:
    """The beginning of the window, bound in the form in which the table holds times, as its newest row shows it.

    Django stores text in SQLite (``2026-11-22 02:14:07.123456``, UTC); comparing text with another form would be
    wrong without an error.
    """
    from sqlalchemy import DateTime, Float, String, bindparam

    if since is None:
        return None
    naive = since.astimezone(UTC).replace(tzinfo=None)
    if isinstance(newest, int | float):
        return bindparam("since", since.timestamp(), Float)
    if isinstance(newest, str) or (newest is None and dialect == "sqlite"):
        iso = isinstance(newest, str) and newest[10:11] == "T"
        return bindparam("since", naive.isoformat() if iso else str(naive), String)
    aware = not isinstance(newest, datetime) or newest.tzinfo is not None
    return bindparam("since", since if aware else naive, DateTime(timezone=aware))


def _moment(newest: object) -> datetime | None:
    """Aware UTC from what the database gives: a time, text as Django writes it, or a unix time."""
    try:
        if isinstance(newest, str):
            newest = datetime.fromisoformat(newest.strip())
        if isinstance(newest, int | float):
            newest = datetime.fromtimestamp(newest, UTC)
    except (ValueError, OverflowError, OSError):
        return None
    if not isinstance(newest, datetime):
        return None
    return newest.replace(tzinfo=UTC) if newest.tzinfo is None else newest.astimezone(UTC)


def _text(value: object) -> str:
    """SQLite stores whatever it is given in a text column."""
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace")
    return "" if value is None else str(value)
