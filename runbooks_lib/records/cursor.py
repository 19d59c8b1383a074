"""Statements that go to the driver as they are, the same for SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


class Cursor:
    """A driver's cursor that takes ``?`` for a value on both databases."""

    def __init__(self, cursor: Any, mark: str) -> None:
        self._cursor = cursor
        self._mark = mark

    def has(self, table: str) -> bool:
        """Is the table there?"""
        sqlite = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = ?"
        return bool(self.rows(sqlite if self._mark == "?" else "SELECT count(to_regclass(?))", table)[0][0])

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """What the query finds."""
        self._cursor.execute(query.replace("?", self._mark), values)
        return list(self._cursor.fetchall())

    def stream(self, query: str) -> Iterator[tuple[Any, ...]]:
        """The same row by row, without values: a long ledger need not be in memory as a whole."""
        self._cursor.execute(query)
        yield from self._cursor

    def change(self, statement: str, *values: object) -> int:
        """How many rows the statement changed."""
        self._cursor.execute(statement.replace("?", self._mark), values)
        return int(self._cursor.rowcount)

    def run(self, statement: str) -> None:
        """A statement without values."""
        self._cursor.execute(statement)

    def last_row(self, statements: str) -> tuple[Any, ...]:
        """The row of the last of several statements that PostgreSQL takes in one message."""
        # Never prepared: PostgreSQL prepares single statements only.
        self._cursor.execute(statements, prepare=False)
        while self._cursor.nextset():
            pass
        return tuple(self._cursor.fetchone())


@dataclass(frozen=True, slots=True)
class Transaction:
    """A transaction that is open for writing.

    Attributes:
        cursor: of its connection.
        now: Unix seconds by the clock that counts for locks: the server's for PostgreSQL, else this machine's.
        seq: of the newest event; 0 before the first.
        hash: of the newest event.
        restored: triggers that somebody had removed and that this transaction puts back.
    """

    cursor: Cursor
    now: float
    seq: int
    hash: str
    restored: tuple[str, ...] = ()
