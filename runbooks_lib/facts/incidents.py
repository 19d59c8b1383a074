"""Facts about an incident: what the ledger keeps of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Incident:
    """One incident, as the ledger knows it.

    Attributes:
        id: short and stable, ``inc-20261122-021407-9c1f``.
        environment: where.
        severity: 1, 2 or 3.
        title: what people call it.
        opened_at: aware UTC.
        opened_by: operator.
        closed_at: aware UTC; None while it is open.
        closed_by: operator; empty while it is open.
        summary: what was found and done, as said at closing.
        opened_seq: the ledger's number of the opening event.
        closed_seq: of the closing event; None while it is open.
    """

    id: str
    environment: str
    severity: int
    title: str
    opened_at: datetime
    opened_by: str
    opened_seq: int
    closed_at: datetime | None = None
    closed_by: str = ""
    summary: str = ""
    closed_seq: int | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of an incident's timeline.

    Attributes:
        at: aware UTC.
        operator: who.
        text: what happened, in words; holds what people and sites wrote.
        run_id: the run it belongs to.
        kind: of the ledger's event.
        matters: it changed the site, may have, or was said by a person; the rest are looks at it.
    """

    at: datetime
    operator: str
    text: str
    run_id: str
    kind: str
    matters: bool
