"""Who acts, on what, and where it is written down."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from runbooks_lib.actions.plan import Plan
from runbooks_lib.actions.site import Progress
from runbooks_lib.config import Environment
from runbooks_lib.errors import RecordError
from runbooks_lib.records.approvals import Approvals
from runbooks_lib.records.event import plain
from runbooks_lib.records.leases import Lease
from runbooks_lib.records.ledger import Ledger
from runbooks_lib.records.mandates import Mandate
from runbooks_lib.records.origin import Account, this_account
from runbooks_lib.redaction import redact_value

#: A lock is taken for so long, and renewed long before that for as long as its process lives.
LEASE_SECONDS = 120.0


def _untold(_: Progress) -> None:
    """Nobody is told how far a write is."""


@dataclass(frozen=True, slots=True)
class Desk:
    """Who acts, on what, and where it is written down.

    Attributes:
        environment: the site.
        ledger: of events.
        run_id: the run that this belongs to.
        operator: who is responsible.
        allowed_signers: the ``allowed_signers`` file of ssh-keygen; None where approvals are not signed.
        on_progress: told how far a long write is.
        leases: locks that the caller holds already and keeps afterwards (a campaign's, between its steps).
        lease_seconds: a dead process on another machine keeps others out for so long.
        approval_seconds: no approval counts for longer; None for as long as it says itself.
        account: that acts, beside the name that it gives itself.
        mandate: of the campaign that acts; what it covers needs no digest and no approval of its own.
    """

    environment: Environment
    ledger: Ledger
    run_id: str
    operator: str
    allowed_signers: Path | None = None
    on_progress: Callable[[Progress], None] = _untold
    leases: tuple[Lease, ...] = ()
    lease_seconds: float = LEASE_SECONDS
    approval_seconds: float | None = None
    account: Account = field(default_factory=this_account)
    mandate: Mandate | None = None

    @property
    def approvals(self) -> Approvals:
        """Proposals and approvals in the ledger."""
        return Approvals(self.ledger, self.allowed_signers, longest_seconds=self.approval_seconds)


def recorded(plan: Plan, desk: Desk) -> Mapping[str, Any]:
    """The plan as the ledger keeps it: all of it, with its digests, without secrets."""
    kept = redact_value(plain(plan), desk.environment.secrets)
    # Names that programs rely on stay, even where an unlucky secret is a part of one.
    names: dict[str, Any] = {"action": plan.action, "environment": plan.environment, "resources": list(plan.resources)}
    names["target"] = dict(plan.target)
    return {**kept, **names, "digest": plan.digest, "full_digest": plan.full_digest}


def plan_of(kept: Mapping[str, Any]) -> Plan:
    """The plan that ``recorded`` wrote.

    Raises:
        RecordError: it is not one that this version can read.
    """
    try:
        return msgspec.convert(dict(kept), Plan)
    except (msgspec.ValidationError, ValueError) as error:
        raise RecordError(f"the recorded plan cannot be read: {error}", hint="use the version that wrote it") from error
