"""Plans that were shown, and who approved them.

A plan is proposed when it is shown (``plan.proposed``). Somebody else approves exactly that plan (``approval.given``),
for a limited time. Both are used up by the intention of the change that rests on them, in the same transaction.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from runbooks_lib import units
from runbooks_lib.errors import RefusedError
from runbooks_lib.records import signatures
from runbooks_lib.records.approval import Approval, approval_of, one_account, require_signature, signed_text
from runbooks_lib.records.event import storable
from runbooks_lib.records.ledger import Ledger, Writing
from runbooks_lib.records.origin import Account, this_account
from runbooks_lib.records.people import same_person, unfit
from runbooks_lib.records.proposals import (
    SKEW_SECONDS,
    Proposal,
    clock,
    events_about,
    normalized,
    proposal_of,
    require_unspent,
    require_young,
    short,
    showing_of,
    use_of,
)
from runbooks_lib.redaction import one_line

__all__ = ["APPROVAL_SECONDS", "Approval", "Approvals", "Proposal", "normalized", "signed_text"]

#: How long an approval counts, unless it is said otherwise.
APPROVAL_SECONDS = 3600.0
_OWN_ACCOUNT = "somebody else approves it from an account or a machine of his own"


class Approvals:
    """Proposals and approvals in a ledger.

    Args:
        ledger: of events.
        allowed_signers: where it is given, only approvals count that somebody in this file of ssh-keygen signed, from
            another account than the one that planned or applies.
        longest_seconds: no approval counts for longer, whatever it says itself; None for no such limit.
    """

    def __init__(
        self, ledger: Ledger, allowed_signers: Path | None = None, *, longest_seconds: float | None = None
    ) -> None:
        self._ledger = ledger
        self._allowed_signers = allowed_signers
        self._longest_seconds = math.inf if longest_seconds is None else longest_seconds

    def propose(
        self, plan: Mapping[str, Any], *, run_id: str, operator: str, account: Account | None = None
    ) -> Proposal:
        """Note that this plan was shown.

        Args:
            plan: as JSON, with ``environment``, ``digest`` and ``full_digest``, without secrets.
            run_id: the run that showed it.
            operator: whom it was shown to.
            account: under which; that of this process by default.

        Raises:
            RecordError: the ledger could not be written; the plan cannot be confirmed.
        """
        payload = {
            "plan": plan,
            "full_digest": plan["full_digest"],
            "digest": plan["digest"],
            "account": account or this_account(),
        }
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
        require_young(proposal, self._ledger.now())
        return proposal

    def require_unspent(self, proposal: Proposal) -> None:
        """The plan was not confirmed since it was shown, so that executing twice is harmless.

        Raises:
            RefusedError: it was; by whom and when.
            RecordError: the ledger could not be read.
        """
        require_unspent(self._ledger, proposal)

    def give(
        self,
        proposal: Proposal,
        *,
        approver: str,
        seconds: float = APPROVAL_SECONDS,
        key: Path | None = None,
        account: Account | None = None,
    ) -> Approval:
        """Approve exactly this plan, once.

        Args:
            proposal: the plan, after it was shown to the approver.
            approver: who approves; the principal in ``allowed_signers`` where approvals are signed.
            seconds: it counts for so long.
            key: the approver's SSH key; needed where approvals are signed.
            account: the approver's; that of this process by default.

        Raises:
            RefusedError: the approver is the proposer or has no name of his own, the plan was applied meanwhile or is
                old, it would hold for too long, or it could not be signed so that the signature holds.
            RecordError: the ledger could not be written.
        """
        now, account = self._ledger.now(), account or this_account()
        self.require_another(proposal, approver, account)
        self._require_short(seconds)
        require_young(proposal, now)
        require_unspent(self._ledger, proposal)
        expires_at = datetime.fromtimestamp(now + seconds, UTC)
        approver, environment = storable(approver), storable(proposal.environment)
        text = signed_text(proposal.full_digest, environment, approver, expires_at, proposal.event.hash, account)
        payload = {
            "full_digest": proposal.full_digest,
            "digest": proposal.digest,
            "proposal": proposal.event.event_id,
            "proposal_hash": proposal.event.hash,
            "expires_at": expires_at,
            "signature": self._signature(text, approver, proposal.operator, key),
            "account": account,
        }
        who = {"run_id": proposal.run_id, "environment": environment, "operator": approver}
        with self._ledger.writing() as writing:
            require_unspent(writing, proposal)
            event = writing.append(kind="approval.given", payload=payload, **who)
        return approval_of(event)

    def require_another(self, proposal: Proposal, approver: str, account: Account) -> None:
        """The approver is not who planned it; where approvals are signed, a name that he gives himself is not enough.

        Raises:
            RefusedError: it is the same person or account, or no name of a person.
        """
        _require_another(approver, proposal)
        reason = "" if self._allowed_signers is None else one_account(account, proposal.account, "planned it")
        if reason:
            raise RefusedError(f"{proposal.digest} cannot be approved here: {reason}", hint=_OWN_ACCOUNT)

    def _require_short(self, seconds: float) -> None:
        if seconds > self._longest_seconds:
            raise RefusedError(
                f"an approval holds for {units.duration(self._longest_seconds)} at most, not {units.duration(seconds)}",
                hint="ask for less, or set [approvals] expires in runbooks.toml",
            )

    def _signature(self, text: str, approver: str, proposer: str, key: Path | None) -> str:
        """Signed, and found to hold, so that nobody waits for an approval that will not count."""
        if key is None and self._allowed_signers is not None:
            raise RefusedError(
                f"approvals are signed here, by somebody in {self._allowed_signers}", hint="give your SSH key"
            )
        signature = signatures.sign(text, key) if key is not None else ""
        if self._allowed_signers is not None:
            require_signature(text, signature, approver, proposer, self._allowed_signers)
        return signature

    def find(self, full_digest: str, *, environment: str, operator: str, account: Account | None = None) -> Approval:
        """The approval that lets this operator apply this plan now.

        Args:
            full_digest: of the plan as it is now.
            environment: its name.
            operator: who applies it.
            account: under which; that of this process by default.

        Raises:
            RefusedError: there is none that counts, and exactly why.
            RecordError: the ledger could not be read.
        """
        given = [approval_of(event) for event in events_about(self._ledger, "approval.given", environment, full_digest)]
        if not given:
            raise self._missing(full_digest, environment)
        account = account or this_account()
        reasons = [self._reason_against(approval, operator, account) for approval in given]
        if "" in reasons:
            return given[reasons.index("")]
        raise RefusedError(
            f"the approval of {short(full_digest)} does not count: {reasons[0]}",
            hint=f"somebody other than {one_line(operator)} approves it: runbooks approve {short(full_digest)}",
        )

    def _missing(self, full_digest: str, environment: str) -> RefusedError:
        others = self._ledger.events(kind="approval.given", environment=storable(environment), limit=1)
        other = f"; the newest approval there is of {approval_of(others[0]).digest}" if others else ""
        return RefusedError(
            f"{one_line(environment)} is protected, and nobody approved {short(full_digest)}{other}",
            hint=f"somebody else approves it: runbooks approve {short(full_digest)}",
        )

    def _reason_against(self, approval: Approval, operator: str, account: Account) -> str:
        """Why this approval does not count; empty when it does."""
        if same_person(approval.approver, operator):
            return f"it was given by {one_line(approval.approver)}, who applies it"
        shown = showing_of(self._ledger, approval.full_digest, approval.environment, approval.proposal_hash)
        if shown is None:
            return "it names a showing of the plan that is not in the ledger"
        if unfit(approval.approver) or same_person(approval.approver, shown.operator):
            return f"{one_line(approval.approver, longest=80)} cannot approve it"
        used = use_of(self._ledger, shown)
        if used is not None:
            return f"it was used already by {one_line(used.operator)} at {clock(used.happened_at)}"
        return self._untimely(approval) or self._unproved(approval, shown, operator, account)

    def _untimely(self, approval: Approval) -> str:
        """By the ledger's clock, and never for longer than is configured now."""
        now, given = self._ledger.now(), approval.at.timestamp()
        if given > now + SKEW_SECONDS:
            return f"it was given at {clock(approval.at)}, which is in the future"
        ends = min(approval.expires_at.timestamp(), given + self._longest_seconds)
        return f"it expired at {clock(datetime.fromtimestamp(ends, UTC))}" if ends <= now else ""

    def _unproved(self, approval: Approval, shown: Proposal, operator: str, account: Account) -> str:
        """Where approvals are signed: from an account of his own, with a key of his own."""
        if self._allowed_signers is None:
            return ""
        text, signature = approval.signed_text, approval.signature
        try:
            require_signature(text, signature, approval.approver, operator, self._allowed_signers)
        except RefusedError as error:
            return error.message
        planned = one_account(approval.account, shown.account, "planned it")
        one = planned or one_account(approval.account, account, "applies it")
        return f"{one}; {_OWN_ACCOUNT}" if one else ""


def _require_another(approver: str, proposal: Proposal) -> None:
    """Somebody with a name, and not who planned it."""
    if reason := unfit(approver):
        raise RefusedError(reason, hint="set RUNBOOKS_OPERATOR to your name, in letters of one script")
    if same_person(approver, proposal.operator):
        raise RefusedError(
            f"{one_line(approver)} planned {proposal.digest}, and cannot approve it",
            hint=f"somebody else does: runbooks approve {proposal.digest}",
        )


def require_unused(reader: Writing, approval: Approval) -> None:
    """Nobody used the approval up; in the transaction that uses it."""
    shown = showing_of(reader, approval.full_digest, approval.environment, approval.proposal_hash)
    used = None if shown is None else use_of(reader, shown)
    if shown is None or used is not None:
        who = f"by {one_line(used.operator)} at {clock(used.happened_at)}" if used else "or never had a plan"
        raise RefusedError(
            f"the approval of {one_line(approval.approver)} was used already {who}",
            hint="plan again, and have it approved again",
        )
