"""What the ledger costs: an append beside a bare commit, and verifying events beside hashing the same bytes."""

from __future__ import annotations

import hashlib
import sqlite3
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import timing
from runbooks_lib.records.event import fields_text
from runbooks_lib.records.ledger import Ledger
from runbooks_lib.records.schema import COLUMNS

ROUNDS = 600
EVENTS = 10_000
_TURN = 20
_VERIFIED = 15
#: What a judged run leaves behind.
PAYLOAD = {"findings": [{"id": f"cache.{number}", "shown": "54.2 %", "limit": "< 60 %"} for number in range(10)]}
APPEND_GOAL = 1.5
#: To read the rows out of the database and to write each as canonical JSON is no hashing; so long may all of it take.
VERIFY_GOAL = 10.0


def rows() -> tuple[list[timing.Row], dict[str, list[float]]]:
    """Both promises, measured on SQLite in a folder of their own, and the spread behind them."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.sqlite3"
        ledger = Ledger(f"sqlite:///{path}")
        seconds = _append_beside_bare(ledger, path)
        _fill(ledger)
        seconds |= _verify_beside_hashing(ledger)
        ledger.close()
    made = [
        timing.against("ledger append", seconds["ledger append"], "bare commit", seconds["bare commit"], APPEND_GOAL),
        timing.against(
            f"verify {EVENTS:,} events",
            seconds["verify"],
            "hashing the same bytes",
            seconds["hashing the same bytes"],
            VERIFY_GOAL,
        ),
    ]
    return made, seconds


def _append_beside_bare(ledger: Ledger, path: Path) -> dict[str, list[float]]:
    """In turns, in one process, one file and with the same settings: every commit waits for the disk.

    Twenty of each at a time: after another connection wrote, SQLite reads its pages again, and with single turns that
    would be a large part of what is measured.
    """
    event = _append(ledger)
    bare = sqlite3.connect(path, isolation_level=None)
    bare.execute("PRAGMA synchronous = FULL")
    bare.execute(f"CREATE TABLE bare ({COLUMNS.replace('seq,', 'seq BIGINT NOT NULL PRIMARY KEY,')})")
    row = [getattr(event, name) for name in event.__slots__]
    insert = f"INSERT INTO bare VALUES ({', '.join('?' * len(row))})"  # noqa: S608 - question marks

    def commit(number: int) -> None:
        bare.execute("BEGIN IMMEDIATE")
        bare.execute(insert, (number, *row[1:]))
        bare.execute("COMMIT")

    seconds: dict[str, list[float]] = {"ledger append": [], "bare commit": []}
    for start in range(0, ROUNDS, _TURN):
        seconds["ledger append"] += [_timed(lambda: _append(ledger)) for _ in range(_TURN)]
        seconds["bare commit"] += [_timed(lambda number=start + n: commit(number)) for n in range(_TURN)]
    bare.close()
    return seconds


def _fill(ledger: Ledger) -> None:
    """Up to ``EVENTS`` events, in one transaction."""
    with ledger.writing() as writing:
        while writing.next_seq <= EVENTS:
            writing.append(kind="run.judged", run_id="r", environment="sandbox", operator="anna", payload=PAYLOAD)


def _verify_beside_hashing(ledger: Ledger) -> dict[str, list[float]]:
    events = ledger.events()
    names = [name for name in events[0].__slots__ if name != "hash"]
    blobs = [fields_text(*(getattr(event, name) for name in names)) for event in events]
    del events
    seconds: dict[str, list[float]] = {"verify": [], "hashing the same bytes": []}
    for _ in range(_VERIFIED):
        seconds["verify"].append(_timed(lambda: _require_whole(ledger)))
        seconds["hashing the same bytes"].append(_timed(lambda: [hashlib.sha256(blob).hexdigest() for blob in blobs]))
    return seconds


def _append(ledger: Ledger) -> object:
    return ledger.append(kind="run.judged", run_id="r", environment="sandbox", operator="anna", payload=PAYLOAD)


def _require_whole(ledger: Ledger) -> None:
    if ledger.verify_chain():
        raise RuntimeError("the chain that was written a moment ago does not verify")


def _timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
