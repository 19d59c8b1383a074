"""One execution of a gradual rollout: what was asked for, with which rights, and what it has done so far."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from runbooks_lib import units
from runbooks_lib.actions.action import Action
from runbooks_lib.actions.apply import AUTO, Desk
from runbooks_lib.actions.keeper import locked
from runbooks_lib.actions.outcome import Outcome, Result
from runbooks_lib.changes import apply_in_run, kept
from runbooks_lib.errors import RecordError, RefusedError, RunbookError, UsageError
from runbooks_lib.operations.reading import attempt
from runbooks_lib.operations.rollout_looks import Judged
from runbooks_lib.presentation.live import live_line
from runbooks_lib.records.campaign import Campaign
from runbooks_lib.records.campaigns import Campaigns
from runbooks_lib.records.leases import Lease, LeaseHeldError, Leases
from runbooks_lib.records.mandates import Mandate
from runbooks_lib.redaction import redact
from runbooks_lib.target import places_of

if TYPE_CHECKING:
    from runbooks_lib.facts import Flag
    from runbooks_lib.model import Unreadable
    from runbooks_lib.runbook import Runbook

#: Between two executions the flag stays locked for at least so many looks: a missed one must not free it.
_LEASE_LOOKS = 3
#: Seconds.
_WAITS = 30


class Came(StrEnum):
    """What an execution came to."""

    NOTHING = "nothing"  # it ended before there was anything to say: refused, or unread
    PLANNED = "planned"  # no rollout; its start was planned
    BEGUN = "begun"
    JUDGED = "judged"  # with blank confirm: said what it would do
    HELD = "held"
    HINDERED = "hindered"  # somebody else holds the flag
    UNSETTLED = "unsettled"  # what an earlier execution left could not be told
    PROMOTED = "promoted"
    PAUSED = "paused"
    RESUMED = "resumed"
    COMPLETE = "complete"
    ROLLED_BACK = "rolled back"
    ABORTED = "aborted"
    FAILED = "failed"  # a change was due and was not made
    OVER = "over"  # it had ended before


@dataclass(frozen=True, slots=True)
class Order:
    """What was asked for.

    Attributes:
        feature: that is rolled out.
        action: ``go``, ``pause``, ``resume``, ``abort`` or ``promote``.
        confirm: blank, a digest, or ``auto``.
        reason: why; blank where none was given.
        terms: ``stages``, ``soak``, ``look`` and so on, for a rollout that begins.
    """

    feature: str
    action: str = "go"
    confirm: str = ""
    reason: str = ""
    terms: Mapping[str, object] = field(default_factory=dict)

    def require_reason(self) -> str:
        """The reason.

        Raises:
            UsageError: none was given.
        """
        if not self.reason.strip():
            raise UsageError(f"{self.action} needs a reason", hint='add reason="…" (--reason on the command line)')
        return self.reason


class Work:
    """One execution: its run, its order, and what came of it so far.

    Attributes:
        runbook: the opened runbook.
        order: what was asked for.
        now: aware UTC; what is due is what had ended by then.
        campaigns: in the ledger.
        came: what it came to.
        judged: the looks of this execution, oldest first.
        outcomes: of its changes, in their order.
        notes: what people should know beside that.
        text: one sentence on what it came to.
    """

    def __init__(self, runbook: Runbook, order: Order, now: datetime) -> None:
        self.runbook = runbook
        self.order = order
        self.now = now
        self.ledger = runbook.run.ledger
        self.environment = runbook.environment
        self.operator = runbook.run.operator
        self.campaigns = Campaigns(self.ledger, self.environment.secrets)
        self.came = Came.NOTHING
        self.judged: tuple[Judged, ...] = ()
        self.outcomes: list[Outcome] = []
        self.notes: list[str] = []
        self.text = ""

    @property
    def run_id(self) -> str:
        """Of the run that all of it belongs to."""
        return self.runbook.run.id

    def ends(self, came: Came, text: str) -> None:
        """What it came to, in a word and in a sentence."""
        self.came, self.text = came, redact(text, self.environment.secrets)

    def apply(  # noqa: PLR0913 - keyword-only, each with a meaning of its own
        self,
        action: Action,
        *,
        reason: str,
        confirm: str = AUTO,
        mandate: Mandate | None = None,
        leases: tuple[Lease, ...] = (),
        refused_code: int = RefusedError.exit_code,
    ) -> Outcome:
        """Plan or apply an action in this run; the outcome is kept. See ``changes.apply_in_run``."""
        with live_line(action.name) as show:
            outcome = apply_in_run(
                action,
                self.runbook.run,
                self.environment,
                confirm=confirm,
                reason=reason,
                allowed_signers=self.runbook.configuration.allowed_signers,
                approval_seconds=self.runbook.configuration.approval_seconds,
                on_progress=show,
                mandate=mandate,
                leases=leases,
                refused_code=refused_code,
            )
        self.outcomes.append(outcome)
        return outcome

    def keep(self, outcome: Outcome) -> None:
        """An outcome that the engine did not make: of a check, or of an order that was refused."""
        self.runbook.run.acted({**kept(outcome), "approved_by": ""})
        self.outcomes.append(outcome)

    def stop(self, error: RunbookError) -> None:
        """It was refused, or something could not be read: recorded like every other outcome."""
        secrets = self.environment.secrets
        refused = isinstance(error, (RefusedError, UsageError))
        outcome = Outcome(
            Result.REFUSED if refused else Result.UNREAD,
            f"{self.order.action}_rollout" if self.order.action != "go" else "rollout",
            self.environment.name,
            units.now(),
            self.operator,
            redact(error.message, secrets),
            hint=redact(error.hint, secrets),
            reason=redact(self.order.reason, secrets),
        )
        self.keep(outcome)
        if isinstance(error, RecordError) and self.order.confirm and self.came is Came.NOTHING:
            # Nothing is judged then, and nothing would be rolled back: no execution may be silent about it.
            self.ends(Came.FAILED, f"it does not go on without its ledger: {error.message}")

    def desk(self, leases: tuple[Lease, ...] = ()) -> Desk:
        """Who acts, and where it is written down."""
        return Desk(
            self.environment,
            self.ledger,
            self.run_id,
            self.operator,
            self.runbook.configuration.allowed_signers,
            leases=leases,
            approval_seconds=self.runbook.configuration.approval_seconds,
        )


def flag_resource(feature: str) -> str:
    """What is locked while a flag is changed, and during the whole of its rollout."""
    return f"flag:{feature}"


def execution_resource(feature: str) -> str:
    """What is locked while a rollout is executed: two at once would judge the same looks."""
    return f"rollout:{feature}"


@contextlib.contextmanager
def alone(work: Work) -> Iterator[None]:
    """No other execution of this rollout until the block ends.

    An execution that is at work lasts some seconds: who stops a rollout at night waits for it, and is not sent away.

    Raises:
        LeaseHeldError: another one is at work; for an order to stop, after half a minute.
        RecordError: the ledger could not be written.
    """
    with contextlib.ExitStack() as stack:
        for left in reversed(range(_WAITS if work.order.action in ("abort", "pause") else 1)):
            try:
                stack.enter_context(locked(work.desk(), (execution_resource(work.order.feature),), "gradual rollout"))
                break
            except LeaseHeldError:
                if not left:
                    raise
                time.sleep(1.0)
        yield


def own_leases(work: Work, campaign: Campaign) -> tuple[Lease, ...]:
    """The lock of the flag, where the campaign holds it."""
    wanted = flag_resource(campaign.feature)
    held = Leases(work.ledger).held(work.environment.name)
    return tuple(one for one in held if (one.resource, one.holder) == (wanted, campaign.id))


def take_flag(work: Work, campaign: Campaign) -> tuple[Lease, ...]:
    """Lock the flag for the campaign until well after the next look, also when this process has ended.

    Raises:
        LeaseHeldError: somebody else holds it.
        RecordError: the ledger could not be written.
    """
    terms, leases = campaign.parameters, Leases(work.ledger)
    seconds = max(terms["soak_seconds"], _LEASE_LOOKS * terms["look_seconds"])
    if own := own_leases(work, campaign):
        return leases.renew(own, seconds=seconds)
    return leases.acquire(
        environment=work.environment.name,
        resources=(flag_resource(campaign.feature),),
        holder=campaign.id,
        operator=work.operator,
        seconds=seconds,
        purpose=f"gradual rollout {campaign.id}",
        outlives_process=True,
        places=places_of(work.environment),
    )


def release_flag(work: Work, campaign: Campaign) -> None:
    """Give the flag back, where the campaign holds it."""
    Leases(work.ledger).release(own_leases(work, campaign))


def read_flag(work: Work, feature: str) -> Flag | Unreadable:
    """How does the site's own code say the flag stands?"""
    from runbooks_lib.errors import SourceError

    django = work.runbook.sources.django

    def read() -> Flag:
        found = next((flag for flag in django.flag_service().flags if flag.feature == feature), None)
        if found is None:
            raise SourceError(
                f"the site has no feature {feature}", source="django", hint="see: runbooks run feature_flags"
            )
        return found

    try:
        return attempt(work.runbook, f"flag {feature}", "django", read)
    finally:
        django.end()
