"""Plans that were shown, and who approved them.

A plan is proposed when it is shown (``plan.proposed``). Somebody else approves exactly that plan (``approval.given``),
for a limited time. Both are used up by the intention of the change that rests on them, in the same transaction.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from runbooks_lib.errors import RefusedError
from runbooks_lib.records import signatures
from runbooks_lib.records.event import Event, canonical_json, storable, utc_text
from runbooks_lib.records.ledger import Ledger, Writing
from runbooks_lib.records.people import is_named, same_person
from runbooks_lib.records.proposals import (
    Proposal,
    clock,
    events_about,
    normalized,
    proposal_of,
    require_unspent,
    require_young,
    short,
)
from runbooks_lib.redaction import one_line

__all__ = ["APPROVAL_SECONDS", "Approval", "Approvals", "Proposal", "normalized", "signed_text"]

#: How long an approval counts, unless it is said otherwise.
APPROVAL_SECONDS = 3600.0
_SIGNED_VERSION = "runbooks-approval-1"


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
    """

    full_digest: str
    environment: str
    approver: str
    at: datetime
    expires_at: datetime
    signature: str
    proposal_hash: str
    event: Event

    @property
    def digest(self) -> str:
        """Short, as people paste it."""
        return short(self.full_digest)

    @property
    def signed_text(self) -> str:
        """What its signature is over."""
        return signed_text(self.full_digest, self.environment, self.approver, self.expires_at, self.proposal_hash)


class Approvals:
    """Proposals and approvals in a ledger.

    Args:
        ledger: of events.
        allowed_signers: where it is given, only approvals count that somebody in this file of ssh-keygen signed.
    """

    def __init__(self, ledger: Ledger, allowed_signers: Path | None = None) -> None:
        self._ledger = ledger
        self._allowed_signers = allowed_signers

    def propose(self, plan: Mapping[str, Any], *, run_id: str, operator: str) -> Proposal:
        """Note that this plan was shown.

        Args:
            plan: as JSON, with ``environment``, ``digest`` and ``full_digest``, without secrets.
            run_id: the run that showed it.
            operator: whom it was shown to.

        Raises:
            RecordError: the ledger could not be written; the plan cannot be confirmed.
        """
        payload = {"plan": plan, "full_digest": plan["full_digest"], "digest": plan["digest"]}
        event = self._ledger.append(
            kind="plan.proposed", run_id=run_id, environment=plan["environment"], operator=operator, payload=payload
        )
        return proposal_of(event)

    def proposal(self, digest: str, *, environment: str) -> Proposal:
        """The newest showing of this plan.

        Args:
            digest: short or full, as it was shown.
            environment: the configured environment.

        Raises:
            RefusedError: that is not a digest, no such plan was ever shown there, or it was shown too long ago.
            RecordError: the ledger could not be read.
        """
        found = events_about(self._ledger, "plan.proposed", environment, normalized(digest))
        if not found:
            raise RefusedError(
                f"no plan {one_line(digest, longest=80)} was ever shown on {environment}",
                hint="run it without confirm first: the plan is shown with its digest",
            )
        proposal = proposal_of(found[0])
        require_young(proposal)
        return proposal

    def require_unspent(self, proposal: Proposal) -> None:
        """The plan was not confirmed since it was shown, so that executing twice is harmless.

        Raises:
            RefusedError: it was; by whom and when.
            RecordError: the ledger could not be read.
        """
        require_unspent(self._ledger, proposal)

    def give(
        self, proposal: Proposal, *, approver: str, seconds: float = APPROVAL_SECONDS, key: Path | None = None
    ) -> Approval:
        """Approve exactly this plan, once.

        Args:
            proposal: the plan, after it was shown to the approver.
            approver: who approves; the principal in ``allowed_signers`` where approvals are signed.
            seconds: it counts for so long.
            key: the approver's SSH key; needed where approvals are signed.

        Raises:
            RefusedError: the approver is the proposer or has no name, the plan was applied meanwhile or is old, or it
                could not be signed so that the signature holds.
            RecordError: the ledger could not be written.
        """
        _require_another(approver, proposal)
        require_young(proposal)
        require_unspent(self._ledger, proposal)
        expires_at = datetime.now(UTC) + timedelta(seconds=seconds)
        approver, environment = storable(approver), storable(proposal.environment)
        text = signed_text(proposal.full_digest, environment, approver, expires_at, proposal.event.hash)
        payload = {
            "full_digest": proposal.full_digest,
            "digest": proposal.digest,
            "proposal": proposal.event.event_id,
            "proposal_hash": proposal.event.hash,
            "expires_at": expires_at,
            "signature": self._signature(text, approver, proposal.operator, key),
        }
        who = {"run_id": proposal.run_id, "environment": environment, "operator": approver}
        with self._ledger.writing() as writing:
            require_unspent(writing, proposal)
            event = writing.append(kind="approval.given", payload=payload, **who)
        return _approval(event)

    def _signature(self, text: str, approver: str, proposer: str, key: Path | None) -> str:
        """Signed, and found to hold, so that nobody waits for an approval that will not count."""
        if key is None and self._allowed_signers is not None:
            raise RefusedError(
                f"approvals are signed here, by somebody in {self._allowed_signers}", hint="give your SSH key"
            )
        signature = signatures.sign(text, key) if key is not None else ""
        if self._allowed_signers is not None:
            _require_signature(text, signature, approver, proposer, self._allowed_signers)
        return signature

    def find(self, full_digest: str, *, environment: str, operator: str) -> Approval:
        """The approval that lets this operator apply this plan now.

        Raises:
            RefusedError: there is none that counts, and exactly why.
            RecordError: the ledger could not be read.
        """
        given = [_approval(event) for event in events_about(self._ledger, "approval.given", environment, full_digest)]
        if not given:
            raise self._missing(full_digest, environment)
        reasons = [self._reason_against(approval, operator) for approval in given]
        if "" in reasons:
            return given[reasons.index("")]
        raise RefusedError(
            f"the approval of {short(full_digest)} does not count: {reasons[0]}",
            hint=f"somebody other than {one_line(operator)} approves it: runbooks approve {short(full_digest)}",
        )

    def _missing(self, full_digest: str, environment: str) -> RefusedError:
        others = self._ledger.events(kind="approval.given", environment=storable(environment), limit=1)
        other = f"; the newest approval there is of {_approval(others[0]).digest}" if others else ""
        return RefusedError(
            f"{one_line(environment)} is protected, and nobody approved {short(full_digest)}{other}",
            hint=f"somebody else approves it: runbooks approve {short(full_digest)}",
        )

    def _reason_against(self, approval: Approval, operator: str) -> str:
        """Why this approval does not count; empty when it does."""
        if same_person(approval.approver, operator):
            return f"it was given by {one_line(approval.approver)}, who applies it"
        used = events_about(self._ledger, "action.intended", approval.environment, approval.full_digest)
        if used and used[0].seq > approval.event.seq:
            return f"it was used already by {one_line(used[0].operator)} at {clock(used[0].happened_at)}"
        if approval.expires_at <= datetime.now(UTC):
            return f"it expired at {clock(approval.expires_at)}"
        if self._allowed_signers is None:
            return ""
        text, signature = approval.signed_text, approval.signature
        try:
            _require_signature(text, signature, approval.approver, operator, self._allowed_signers)
        except RefusedError as error:
            return error.message
        return ""


def _require_another(approver: str, proposal: Proposal) -> None:
    """Somebody with a name, and not who planned it."""
    if not is_named(approver):
        raise RefusedError("an approval needs the approver's name", hint="set RUNBOOKS_OPERATOR to your name")
    if same_person(approver, proposal.operator):
        raise RefusedError(
            f"{one_line(approver)} planned {proposal.digest}, and cannot approve it",
            hint=f"somebody else does: runbooks approve {proposal.digest}",
        )


def _require_signature(text: str, signature: str, approver: str, operator: str, allowed_signers: Path) -> None:
    """Signed by the approver, and not with a key that also stands for the operator."""
    signatures.verify(text, signature, principal=approver, allowed_signers=allowed_signers)
    if signatures.also_signs_for(text, signature, principal=operator, allowed_signers=allowed_signers):
        raise RefusedError(
            f"it was signed with a key that {allowed_signers} has for {one_line(operator)} as well",
            hint="somebody with a key of his own approves it",
        )


def require_unused(reader: Writing, approval: Approval) -> None:
    """Nobody used the approval up; in the transaction that uses it."""
    used = events_about(reader, "action.intended", approval.environment, approval.full_digest)
    if used and used[0].seq > approval.event.seq:
        raise RefusedError(
            f"the approval of {one_line(approval.approver)} was used already by {one_line(used[0].operator)} at "
            f"{clock(used[0].happened_at)}",
            hint="plan again, and have it approved again",
        )


def signed_text(full_digest: str, environment: str, approver: str, expires_at: datetime, proposal_hash: str) -> str:
    """What an approver signs: which plan, where, who, until when, and the very showing of it."""
    parts = [_SIGNED_VERSION, full_digest, environment, approver, utc_text(expires_at), proposal_hash]
    return canonical_json(parts) + "\n"


def _approval(event: Event) -> Approval:
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
    )
