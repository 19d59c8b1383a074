"""How does a run stand? Its events say so, and whether the process that started it still lives."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from runbooks_lib.errors import UsageError
from runbooks_lib.records import origin
from runbooks_lib.records.event import Event
from runbooks_lib.records.ledger import Ledger


class RunState(StrEnum):
    """How a run stands, by its events. ``UNKNOWN``: no closing event, and its process cannot be seen from here."""

    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    UNKNOWN = "unknown"


def run_state(ledger: Ledger, run_id: str) -> RunState:
    """How does the run stand?

    Raises:
        UsageError: the ledger has no such run.
        RecordError: the ledger could not be read.
    """
    events = ledger.events(run_id=run_id)
    if not events:
        raise UsageError(
            f"run {run_id!r} is not in the ledger", hint="check the id; all runs are checked by: runbooks verify"
        )
    return state_of(events)


def state_of(events: Sequence[Event]) -> RunState:
    """How does a run stand, by its own events? Without a closing event it runs only if its process still lives."""
    closing = next((event for event in reversed(events) if event.kind == "run.finished"), None)
    if closing is not None:
        outcome = closing.payload.get("outcome")
        known = {"finished": RunState.FINISHED, "failed": RunState.FAILED, "timed_out": RunState.FAILED}
        return known.get(str(outcome), RunState.INTERRUPTED)
    started = next((event for event in events if event.kind == "run.started"), None)
    process = started_process(started) if started else None
    if process is None:
        return RunState.INTERRUPTED
    alive = origin.is_alive(process)
    return RunState.UNKNOWN if alive is None else RunState.RUNNING if alive else RunState.INTERRUPTED


def started_process(started: Event) -> origin.Process | None:
    """The process that wrote this ``run.started`` event; None when the event does not say."""
    found = started.payload.get("process")
    try:
        return origin.Process(str(found["host"]), int(found["pid"]), str(found["started"])) if found else None
    except (KeyError, TypeError, ValueError):
        return None
