"""A read-only look into a SQL database: opened for one read, with a time limit, never created by opening it."""

from __future__ import annotations

import math
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote

from runbooks_lib.errors import SourceError
from runbooks_lib.model import Kind
from runbooks_lib.redaction import one_line
from runbooks_lib.sources.together import within

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection, Engine

    from runbooks_lib.config import Environment

T = TypeVar("T")
_SOURCE = "cache_stats"
#: SQLite asks every so many instructions of its machine whether it may go on: about every millisecond.
_INSTRUCTIONS = 20_000
#: Django's names for what SQLAlchemy calls otherwise, and the driver that this library brings.
_DRIVERS = {"postgres": "postgresql+psycopg", "postgresql": "postgresql+psycopg"}
#: What a database says → its kind, and what to do next. The first that is found in the message counts.
_HINTS = (
    ("password authentication failed", Kind.DENIED, "check the user and the password in database_url"),
    ("no such table", Kind.WRONG, "is it the site's database? the table is made by the site's migrations"),
    (
        "does not exist",
        Kind.WRONG,
        "is it the site's database? check its name, its tables and the search path of the user",
    ),
    ("permission denied", Kind.DENIED, "grant the user of database_url SELECT on cache_stats"),
    (
        "is locked",
        Kind.FAULTY,
        "another process holds it for writing: read again, or let the site use journal_mode=WAL",
    ),
    ("not a database", Kind.WRONG, "database_url names a file that is something else"),
    ("unable to open", Kind.WRONG, "check the path in database_url and the permissions of the file and its folder"),
    ("interrupted", Kind.WRONG, "the table is large: ask for a shorter window, and prune it"),
    ("statement timeout", Kind.WRONG, "the table is large: ask for a shorter window, and prune it"),
    ("refused", Kind.ABSENT, "is the database running, and are host and port right?"),
    ("resolve", Kind.ABSENT, "the name of the host in database_url is not known here"),
    ("no pg_hba.conf entry", Kind.DENIED, "let the machine you are on into pg_hba.conf, or go through a tunnel"),
    ("too many", Kind.FAULTY, "the database has no connection left: look who holds them"),
    ("starting up", Kind.FAULTY, "it has just been started: try again in a minute"),
    ("unreachable", Kind.ABSENT, "is a VPN or a tunnel missing?"),
    ("no route", Kind.ABSENT, "is a VPN or a tunnel missing?"),
    ("timeout", Kind.ABSENT, "does a firewall lie between, or is a VPN or a tunnel missing?"),
)


class Database:
    """Opens the database of an environment for one read at a time.

    Args:
        environment: ``database_url`` is used; a relative SQLite path starts at ``root``.
        timeout_seconds: for one read with everything in it, over 0.
    """

    def __init__(self, environment: Environment, *, timeout_seconds: float) -> None:
        self._environment = environment
        self._timeout_seconds = timeout_seconds

    def read(self, work: Callable[[Connection], T]) -> T:
        """Run ``work`` with a connection that cannot write.

        SQLite: the file is opened with ``mode=ro`` and ``query_only``, and interrupted at the deadline. PostgreSQL: a
        read-only transaction with ``statement_timeout``. Other databases: the deadline only.

        Raises:
            SourceError: (source ``cache_stats``) not configured, not there, not reachable, not allowed, too slow. The
                message holds no password.
        """
        url = self._url()
        from sqlalchemy.exc import SQLAlchemyError

        try:
            # The limits of the drivers do not cover looking up a name, or a server that accepts and stays silent.
            return within(self._timeout_seconds + 0.5, lambda: self._run(url, work))
        except TimeoutError as error:
            raise SourceError(
                f"{self._shown(url)} gave no answer within {self._timeout_seconds:g} s",
                source=_SOURCE,
                hint="is the database reachable from here? a large table: ask for a shorter window, and prune it",
                kind=Kind.ABSENT,
            ) from error
        except ModuleNotFoundError as error:
            raise SourceError(
                f"database_url needs the driver {error.name}, which is not installed",
                source=_SOURCE,
                hint="install it beside this library, or name another driver: postgresql+psycopg://…",
            ) from error
        except (SQLAlchemyError, sqlite3.Error) as error:
            raise self._trouble(url, error) from error

    def _run(self, url: URL, work: Callable[[Connection], T]) -> T:
        with self._engine(url) as engine, engine.connect() as connection:
            if engine.dialect.name == "postgresql":
                self._limit_postgresql(connection)
            return work(connection)

    @contextmanager
    def _engine(self, url: URL) -> Iterator[Engine]:
        from sqlalchemy import NullPool, create_engine

        backend = url.get_backend_name()
        if backend == "sqlite":
            path = self._sqlite_path(url)
            engine = create_engine("sqlite://", creator=lambda: self._open_sqlite(path), poolclass=NullPool)
        elif backend == "postgresql":
            # libpq counts in whole seconds and takes less than 2 for 2.
            seconds = max(2, math.ceil(self._timeout_seconds))
            engine = create_engine(url, poolclass=NullPool, connect_args={"connect_timeout": seconds})
        else:
            engine = create_engine(url, poolclass=NullPool)
        try:
            yield engine
        finally:
            engine.dispose()

    def _open_sqlite(self, path: Path) -> sqlite3.Connection:
        """Read-only, by SQLite's own word; a file that is not there stays so."""
        uri = f"file:{quote(str(path))}?mode=ro"
        # Half of the time for a lock: the other half is for the query.
        connection = sqlite3.connect(uri, uri=True, timeout=self._timeout_seconds / 2, check_same_thread=False)
        # Names are written by strangers: one that is not UTF-8 must not take the whole answer with it.
        connection.text_factory = _decode
        ends = time.monotonic() + self._timeout_seconds
        connection.set_progress_handler(lambda: int(time.monotonic() > ends), _INSTRUCTIONS)
        connection.execute("PRAGMA query_only = ON")
        return connection

    def _limit_postgresql(self, connection: Connection) -> None:
        from sqlalchemy import func, select, text

        connection.execute(text("SET TRANSACTION READ ONLY"))
        milliseconds = str(max(1, round(self._timeout_seconds * 1000)))
        # For this transaction only: behind a pooler the connection belongs to somebody else afterwards.
        connection.execute(select(func.set_config("statement_timeout", milliseconds, True)))

    def _url(self) -> URL:
        from sqlalchemy import make_url
        from sqlalchemy.exc import ArgumentError

        if not self._environment.database_url:
            raise SourceError(
                f"environment {self._environment.name!r} has no database_url",
                source=_SOURCE,
                hint="set database_url in runbooks.toml to the database that holds cache_stats",
            )
        try:
            url = make_url(self._environment.database_url)
        except (ArgumentError, ValueError) as error:
            # The message of SQLAlchemy repeats the URL with its password.
            raise SourceError(
                "database_url is not an SQLAlchemy URL",
                source=_SOURCE,
                hint="write sqlite:////path or postgresql://user:password@host/name, with special characters as %40",
            ) from error
        return url.set(drivername=_DRIVERS.get(url.drivername, url.drivername))

    def _sqlite_path(self, url: URL) -> Path:
        name = url.database or ""
        if name in {"", ":memory:"} or name.startswith("file:"):
            raise SourceError(
                f"database_url names no SQLite file: {name or 'nothing'!r}",
                source=_SOURCE,
                hint="write sqlite:////absolute/path",
            )
        path = self._environment.root / name
        if not path.is_file():
            what = "is a folder" if path.is_dir() else "does not exist"
            raise SourceError(
                f"the SQLite file {path} {what}",
                source=_SOURCE,
                hint="is the site running and migrated, and is database_url right?",
                kind=Kind.WRONG if path.is_dir() else Kind.ABSENT,
            )
        return path

    def _trouble(self, url: URL, error: Exception) -> SourceError:
        said = str(getattr(error, "orig", None) or error)
        secrets = (*self._environment.secrets, *([url.password] if url.password else []))
        message = one_line(said, secrets)
        unknown = (Kind.WRONG, "try the same database with its own client")
        kind, hint = next(((kind, hint) for sign, kind, hint in _HINTS if sign in message.lower()), unknown)
        return SourceError(f"{self._shown(url)} could not be read: {message}", source=_SOURCE, hint=hint, kind=kind)

    def _shown(self, url: URL) -> str:
        """Which database, without user and password."""
        if url.get_backend_name() == "sqlite":
            return f"SQLite file {self._environment.root / (url.database or '')}"
        port = f":{url.port}" if url.port else ""
        return one_line(f"{url.get_backend_name()} {url.host or 'local'}{port}/{url.database or ''}")


def _decode(raw: bytes) -> str:
    return raw.decode("utf-8", errors="replace")
