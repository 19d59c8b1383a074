"""Write-ahead: what is about to be changed stands in the ledger before it is changed, and what came of it after.

``action.intended`` → ``action.ended``. An intention without an end, or whose end is not certain, is open: something may
have changed. ``action.checked`` settles it. The id of each event says which intention it ends, so that the database
itself refuses a second end, and open intentions are found without reading the others.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from runbooks_lib.errors import RefusedError, UsageError
from runbooks_lib.records import origin
from runbooks_lib.records.approvals import Approval, require_unused
from runbooks_lib.records.event import Event, storable
from runbooks_lib.records.leases import all_leases, is_held
from runbooks_lib.records.ledger import Ledger, Writing, find_event
from runbooks_lib.records.proposals import Proposal, require_unspent
from runbooks_lib.records.schema import COLUMNS
from runbooks_lib.redaction import one_line

_ENDED, _UNCERTAIN, _CHECKED = ":ended", ":uncertain", ":checked"
_OF = ", ".join(f"i.{name.strip()}" for name in COLUMNS.split(","))
# ruff: noqa: S608 - every query is made of constants; values are bound
_OPEN = (
    f"SELECT {_OF} FROM runbook_events i WHERE i.kind = 'action.intended' "
    f"AND NOT EXISTS (SELECT 1 FROM runbook_events e WHERE e.event_id = i.event_id || '{_ENDED}') "
    f"AND NOT EXISTS (SELECT 1 FROM runbook_events c WHERE c.event_id = i.event_id || '{_CHECKED}')"
)


@dataclass(frozen=True, slots=True)
class Intention:
    """A change that is about to be made.

    Attributes:
        action_id: names it everywhere.
    """

    action_id: str


@dataclass(frozen=True, slots=True)
class OpenIntention:
    """A change of which it is not known whether it happened.

    Attributes:
        action_id: names it everywhere.
        action: the action's name.
        plan: as it was recorded.
        environment: its name.
        operator: who made it.
        reason: why, as given.
        at: aware UTC, when it was about to be made.
        run_id: the run it belongs to.
        process: that made it.
        running: it is being made right now, as far as can be told.
        detail: what is known of its end; empty when nothing is.
        written: what the write said that it did; empty when it said nothing.
    """

    action_id: str
    action: str
    plan: Mapping[str, Any]
    environment: str
    operator: str
    reason: str
    at: datetime
    run_id: str
    process: origin.Process | None
    running: bool
    detail: str
    written: Mapping[str, Any]


def _allowed_by(approval: Approval) -> dict[str, Any]:
    """What an intention keeps of the approval that it uses up."""
    return {
        "event": approval.event.event_id,
        "approver": approval.approver,
        "proposal_hash": approval.proposal_hash,
        "account": approval.account,
    }


class Intentions:
    """The changes in a ledger.

    Args:
        ledger: of events.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def begin(  # noqa: PLR0913 - the fields of an event, and what it uses up
        self,
        payload: Mapping[str, Any],
        *,
        approval: Approval | None,
        run_id: str,
        environment: str,
        operator: str,
        proposal: Proposal | None = None,
        require: Callable[[Writing], object] | None = None,
    ) -> Intention:
        """Write down what is about to be changed, and use up what allows it, all at once.

        Args:
            payload: ``plan`` as it was recorded, ``confirm``, ``reason``, ``fencing``.
            approval: that this change uses up; None where none is needed.
            run_id: the run it belongs to.
            environment: its name.
            operator: who makes it.
            proposal: that this change uses up; None for ``auto``.
            require: asked last, in the same transaction; what it raises leaves nothing written.

        Raises:
            RefusedError: approval or proposal was used up by somebody else meanwhile.
            RecordError: the ledger could not be written.
        """
        action_id, plan = str(uuid.uuid4()), payload["plan"]
        kept = {
            **payload,
            "action_id": action_id,
            "action": plan["action"],
            "full_digest": plan["full_digest"],
            "process": origin.this_process(),
            "approval": None if approval is None else _allowed_by(approval),
        }
        with self._ledger.with_leases().writing() as writing:
            if proposal is not None:
                require_unspent(writing, proposal)
            if approval is not None:
                require_unused(writing, approval)
            if require is not None:
                require(writing)
            who = {"run_id": run_id, "environment": environment, "operator": operator}
            writing.append(kind="action.intended", payload=kept, event_id=action_id, **who)
        return Intention(action_id)

    def end(  # noqa: PLR0913 - the fields of an event
        self,
        action_id: str,
        payload: Mapping[str, Any],
        *,
        run_id: str,
        environment: str,
        operator: str,
        certain: bool = True,
    ) -> None:
        """Write down what came of it.

        Args:
            action_id: of the intention.
            payload: result, detail, account, what was written.
            run_id: the run it belongs to.
            environment: its name.
            operator: who made it.
            certain: it is known what changed; else the intention stays open until it is checked.

        Raises:
            RecordError: the ledger could not be written; the intention stays open.
        """
        with self._ledger.writing() as writing:
            writing.append(
                kind="action.ended",
                run_id=run_id,
                environment=environment,
                operator=operator,
                payload={**payload, "action_id": action_id},
                event_id=action_id + (_ENDED if certain else _UNCERTAIN),
            )

    def find(self, action_id: str) -> OpenIntention:
        """The open intention with this id, or one that its first characters name.

        Raises:
            UsageError: there is no such intention.
            RefusedError: what came of it is known.
            RecordError: the ledger could not be read.
        """
        for found in open_intentions(self._ledger):
            if found.action_id == action_id:
                return found
        event = find_event(self._ledger, action_id)
        if event is None or event.kind != "action.intended":
            raise UsageError(
                f"there is no action {one_line(action_id, longest=80)} in the ledger",
                hint="the ids of all that must be checked: runbooks check",
            )
        raise RefusedError(f"it is known what came of action {action_id}", hint="see: runbooks log")

    def settle(
        self,
        action_id: str,
        found: Mapping[str, Any],
        *,
        run_id: str,
        environment: str,
        operator: str,
    ) -> None:
        """Write down what a check of an open intention found. It is closed, unless the check could not be read.

        Args:
            action_id: of the intention.
            found: ``confirmed`` (None when it could not be read), ``detail``, ``evidence``.
            run_id: the run that checked.
            environment: its name.
            operator: who checked.

        Raises:
            RefusedError: it is not open any more.
            RecordError: the ledger could not be written.
        """
        settled = found.get("confirmed") is not None
        with self._ledger.writing() as writing:
            if any(find_event(writing, action_id + end) for end in (_ENDED, _CHECKED)):
                raise RefusedError(f"it is known by now what came of action {action_id}", hint="see: runbooks log")
            writing.append(
                kind="action.checked",
                run_id=run_id,
                environment=environment,
                operator=operator,
                payload={**found, "action_id": action_id},
                event_id=action_id + _CHECKED if settled else None,
            )


def open_intentions(ledger: Ledger, environment: str | None = None) -> tuple[OpenIntention, ...]:
    """Which changes may have happened or not, oldest first? Those that are being made now say that they are running.

    Raises:
        RecordError: the ledger could not be read.
    """
    chosen = " AND i.environment = ?" if environment is not None else ""
    values = () if environment is None else (storable(environment),)
    events = [Event(*row) for row in ledger.rows(f"{_OPEN}{chosen} ORDER BY i.seq", *values)]
    return tuple(_open(ledger, event) for event in events)


def ended_otherwise(ledger: Ledger, environment: str | None = None) -> tuple[Event, ...]:
    """The checks that found a change neither as planned nor as it was before, oldest first.

    Raises:
        RecordError: the ledger could not be read.
    """
    checks = ledger.events(kind="action.checked", environment=environment)
    return tuple(
        event
        for event in checks
        if event.payload.get("confirmed") is False and event.payload.get("result") != "unchanged"
    )


def _open(ledger: Ledger, event: Event) -> OpenIntention:
    payload = event.payload
    end = find_event(ledger, event.event_id + _UNCERTAIN)
    ended = end.payload if end else {}
    process = _process(payload)
    return OpenIntention(
        action_id=event.event_id,
        action=str(payload.get("action", "")),
        plan=payload.get("plan", {}),
        environment=event.environment,
        operator=event.operator,
        reason=str(payload.get("reason") or ""),
        at=event.happened_at,
        run_id=event.run_id,
        process=process,
        running=not end and _is_running(ledger, event, process),
        detail=str(ended.get("detail", "")),
        written=ended.get("written") or {},
    )


def _is_running(ledger: Ledger, event: Event, process: origin.Process | None) -> bool:
    """Its process is not known to be dead, and it still holds the locks that it was begun under."""
    if process is None or origin.is_alive(process) is False:
        return False
    if not ledger.has_leases:
        # Somebody removed the table of locks. What is left to go by is the process.
        return origin.is_alive(process) is True
    fencing = event.payload.get("fencing") or {}
    rows, now = all_leases(ledger, event.environment), ledger.now()
    return all(is_held(rows, str(resource), int(number), now) for resource, number in fencing.items())


def _process(payload: Mapping[str, Any]) -> origin.Process | None:
    found = payload.get("process")
    try:
        return origin.Process(str(found["host"]), int(found["pid"]), str(found["started"])) if found else None
    except (KeyError, TypeError, ValueError):
        return None
