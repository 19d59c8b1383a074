"""One approval: what it says, what its signature is over, and whether two accounts are two people's."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from runbooks_lib.errors import RefusedError
from runbooks_lib.records import signatures
from runbooks_lib.records.event import Event, canonical_json, utc_text
from runbooks_lib.records.origin import Account, account_in
from runbooks_lib.records.proposals import short
from runbooks_lib.redaction import one_line

_SIGNED_VERSION = "runbooks-approval-2"


@dataclass(frozen=True, slots=True)
class Approval:
    """Somebody's consent to one plan.

    Attributes:
        full_digest: of the plan.
        environment: its name.
        approver: who gave it.
        at: aware UTC, when.
        expires_at: aware UTC; it does not count from then on.
        signature: armored; empty where approvals are not signed.
        proposal_hash: of the event that showed the plan.
        event: in the ledger.
        account: that gave it; None where the event names none.
    """

    full_digest: str
    environment: str
    approver: str
    at: datetime
    expires_at: datetime
    signature: str
    proposal_hash: str
    event: Event
    account: Account | None = None

    @property
    def digest(self) -> str:
        """Short, as people paste it."""
        return short(self.full_digest)

    @property
    def signed_text(self) -> str:
        """What its signature is over."""
        return signed_text(
            self.full_digest, self.environment, self.approver, self.expires_at, self.proposal_hash, self.account
        )


def one_account(approver: Account | None, other: Account | None, does: str) -> str:
    """Why two accounts cannot be told to be two people's; empty when they can."""
    if approver is None or other is None:
        return "it is not recorded from which account it was planned and approved"
    return f"it was given from the account that {does}, {approver.shown}" if approver.is_same(other) else ""


def require_signature(text: str, signature: str, approver: str, operator: str, allowed_signers: Path) -> None:
    """Signed by the approver, and not with a key that also stands for the operator."""
    signatures.verify(text, signature, principal=approver, allowed_signers=allowed_signers)
    if signatures.also_signs_for(text, signature, principal=operator, allowed_signers=allowed_signers):
        raise RefusedError(
            f"it was signed with a key that {allowed_signers} has for {one_line(operator)} as well",
            hint="somebody with a key of his own approves it",
        )


def signed_text(  # noqa: PLR0913, PLR0917 - everything that a signature binds
    full_digest: str,
    environment: str,
    approver: str,
    expires_at: datetime,
    proposal_hash: str,
    account: Account | None,
) -> str:
    """What an approver signs: which plan, where, who, until when, the very showing of it, and from which account."""
    parts = [_SIGNED_VERSION, full_digest, environment, approver, utc_text(expires_at), proposal_hash, account]
    return canonical_json(parts) + "\n"


def approval_of(event: Event) -> Approval:
    """What an ``approval.given`` event says."""
    payload = event.payload
    return Approval(
        full_digest=str(payload.get("full_digest", "")),
        environment=event.environment,
        approver=event.operator,
        at=event.happened_at,
        expires_at=datetime.fromisoformat(str(payload.get("expires_at", event.at))),
        signature=str(payload.get("signature", "")),
        proposal_hash=str(payload.get("proposal_hash", "")),
        event=event,
        account=account_in(payload),
    )
