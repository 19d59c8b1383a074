"""Plans that were shown: by their digest, not too old, and not confirmed since."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from runbooks_lib.errors import RefusedError
from runbooks_lib.records.event import Event, storable
from runbooks_lib.records.ledger import Ledger, Writing
from runbooks_lib.records.schema import COLUMNS
from runbooks_lib.redaction import one_line

#: A plan that was shown longer ago is planned again before it is approved or confirmed.
PROPOSAL_SECONDS = 24 * 3600.0
_FULL, _SHORT = 64, 12
_FIND = f"SELECT {COLUMNS} FROM runbook_events WHERE kind = ? AND environment = ? AND payload LIKE ? ORDER BY seq DESC"  # noqa: S608 - constants


@dataclass(frozen=True, slots=True)
class Proposal:
    """A plan that was shown to somebody.

    Attributes:
        plan: as it was recorded.
        digest: short, as people paste it.
        full_digest: SHA-256, hex.
        operator: whom it was shown to.
        run_id: the run that showed it.
        environment: its name.
        at: aware UTC, when.
        event: in the ledger.
    """

    plan: Mapping[str, Any]
    digest: str
    full_digest: str
    operator: str
    run_id: str
    environment: str
    at: datetime
    event: Event


def require_young(proposal: Proposal) -> None:
    """The plan was shown not too long ago.

    Raises:
        RefusedError: how long ago it was.
    """
    age = (datetime.now(UTC) - proposal.at).total_seconds()
    if age > PROPOSAL_SECONDS:
        raise RefusedError(
            f"plan {proposal.digest} was shown {age / 3600:.0f} h ago; it holds for {PROPOSAL_SECONDS / 3600:.0f} h",
            hint="run it again without confirm, and use the digest that it shows",
        )


def require_unspent(reader: Ledger | Writing, proposal: Proposal) -> None:
    """The plan was not confirmed since it was shown; in a transaction, nobody can use it up meanwhile.

    Raises:
        RefusedError: it was; by whom and when.
    """
    used = events_about(reader, "action.intended", proposal.environment, proposal.full_digest)
    if used and used[0].seq > proposal.event.seq:
        raise RefusedError(
            f"plan {proposal.digest} was confirmed already, by {one_line(used[0].operator)} at "
            f"{clock(used[0].happened_at)} (action {used[0].event_id})",
            hint="run it again without confirm to see what is left to do",
        )


def normalized(digest: str) -> str:
    """The hex digits of a digest as people paste it.

    Raises:
        RefusedError: that is not a digest.
    """
    digits = "".join(digest.lower().replace("-", "").split())
    if not _SHORT <= len(digits) <= _FULL or set(digits) - set("0123456789abcdef"):
        raise RefusedError(
            f"{one_line(digest, longest=80)!r} is not the digest of a plan",
            hint="run it without confirm first: the plan is shown with its digest, such as 9c1f-77ab-03de",
        )
    return digits


def events_about(reader: Ledger | Writing, kind: str, environment: str, digits: str) -> list[Event]:
    """Events of a kind that are about a plan, newest first; ``digits`` begin its digest."""
    rows = reader.rows(_FIND, kind, storable(environment), f'%"full_digest":"{digits}%')
    events = [Event(*row) for row in rows]
    return [event for event in events if str(event.payload.get("full_digest", "")).startswith(digits)]


def proposal_of(event: Event) -> Proposal:
    """What a ``plan.proposed`` event says."""
    payload = event.payload
    return Proposal(
        plan=payload.get("plan", {}),
        digest=str(payload.get("digest", "")),
        full_digest=str(payload.get("full_digest", "")),
        operator=event.operator,
        run_id=event.run_id,
        environment=event.environment,
        at=event.happened_at,
        event=event,
    )


def short(full_digest: str) -> str:
    """The digest as people paste it; ``actions.plan.short_digest`` in the layer above."""
    return "-".join(full_digest[at : at + 4] for at in (0, 4, 8))


def clock(moment: datetime) -> str:
    """Date and time in UTC, for people."""
    return f"{moment:%Y-%m-%d %H:%M:%S}Z"
