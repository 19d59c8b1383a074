"""Plans that were shown: by their digest, not too old, and not confirmed since."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from runbooks_lib.errors import RefusedError
from runbooks_lib.records.event import Event, storable
from runbooks_lib.records.ledger import Ledger, Writing
from runbooks_lib.records.origin import Account, account_in
from runbooks_lib.records.schema import COLUMNS
from runbooks_lib.redaction import one_line

#: A plan that was shown longer ago is planned again before it is approved or confirmed.
PROPOSAL_SECONDS = 24 * 3600.0
#: Clocks differ by a little; by more, an age means nothing.
SKEW_SECONDS = 60.0
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
        account: that it was shown to; None where the event names none.
    """

    plan: Mapping[str, Any]
    digest: str
    full_digest: str
    operator: str
    run_id: str
    environment: str
    at: datetime
    event: Event
    account: Account | None = None


def require_young(proposal: Proposal, now: float) -> None:
    """The plan was shown not too long ago, and not in the future.

    Args:
        proposal: as its event says.
        now: Unix seconds, ``ledger.now()``: no operator's clock makes a plan younger.

    Raises:
        RefusedError: how long ago it was.
    """
    age = now - proposal.at.timestamp()
    if age < -SKEW_SECONDS:
        raise RefusedError(
            f"plan {proposal.digest} was shown at {clock(proposal.at)}, {-age:.0f} s from now by the ledger's clock",
            hint="correct the clock of the machine that planned it, and plan it again",
        )
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
    used = use_of(reader, proposal)
    if used is not None:
        raise RefusedError(
            f"plan {proposal.digest} was confirmed already, by {one_line(used.operator)} at "
            f"{clock(used.happened_at)} (action {used.event_id})",
            hint="run it again without confirm to see what is left to do",
        )


def use_of(reader: Ledger | Writing, proposal: Proposal) -> Event | None:
    """The newest change that used this showing of the plan up, and with it every approval that names it; or None.

    A change counts from the showing on, not from the approval: a copy of an approval is newer, and names the same.
    """
    used = events_about(reader, "action.intended", proposal.environment, proposal.full_digest)
    return used[0] if used and used[0].seq > proposal.event.seq else None


def showing_of(reader: Ledger | Writing, full_digest: str, environment: str, event_hash: str) -> Proposal | None:
    """The very showing of a plan that an approval names by the hash of its event."""
    shown = events_about(reader, "plan.proposed", environment, full_digest)
    return next((proposal_of(event) for event in shown if event.hash == event_hash), None)


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
        account=account_in(payload),
    )


def short(full_digest: str) -> str:
    """The digest as people paste it; ``actions.plan.short_digest`` in the layer above."""
    return "-".join(full_digest[at : at + 4] for at in (0, 4, 8))


def clock(moment: datetime) -> str:
    """Date and time in UTC, for people."""
    return f"{moment:%Y-%m-%d %H:%M:%S}Z"
