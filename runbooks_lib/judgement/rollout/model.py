"""The words of a rollout's judgement: gate, history of a stage, decision."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from runbooks_lib.facts.rollout import Baseline, RolloutWindow


class Verb(StrEnum):
    """What a campaign does after a look."""

    HOLD = "hold"
    PROMOTE = "promote"
    ROLLBACK = "rollback"


class Stand(StrEnum):
    """How one gate stands."""

    PASS = "pass"  # noqa: S105 - no password
    WAIT = "wait"  # not due yet (a cold cohort, too early for a test), or there is nothing to compare with by design
    UNKNOWN = "unknown"  # it should be known and is not
    WARN = "warn"  # holds
    FAIL = "fail"  # rolls back, once it is confirmed as the policy says


class Reason(StrEnum):
    """Why it was decided so; the values stand in the ledger and in the exit of ``runbooks rollout status --json``."""

    SOAKING = "soaking"
    SOAKED = "soaked"
    NOT_DUE = "no look is due"
    COMPLETE = "complete"
    NOT_CONFIRMED = "critical, not confirmed yet"
    WARNING = "warning"
    EXPOSURE = "exposure"
    UNKNOWN = "unknown"
    FLAG_CHANGED = "flag changed"
    FLAG_UNREAD = "flag unread"
    NO_STAGE = "percentage is no stage"
    CRITICAL = "critical"
    REGRESSION = "regression"


@dataclass(frozen=True, slots=True)
class Gate:
    """One gate at one look.

    Attributes:
        id: ``exposure``, ``errors``, ``latency``, ``slow``, ``hit rate``, ``penetration``, ``warming``,
            ``baseline hit rate`` and so on; stable.
        stand: how it stands.
        now: the value as people read it; or why there is none.
        limit: what it is held against.
        margin: how far it is from the limit, signed, good is +; empty where there is no number.
        evidence: sample size, e-value, look of how many, what it was compared with.
        reason: for a stand that is not PASS: a code (``too few``, ``critical`` …).
    """

    id: str
    stand: Stand
    now: str
    limit: str = ""
    margin: str = ""
    evidence: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class StageHistory:
    """What a campaign knows before a look.

    Attributes:
        percentage: that the campaign set last, and that is judged.
        started_at: aware UTC, when that had been read back; the statistical clock of the stage.
        windows: of this stage, judged already, oldest first.
        zero_windows: of the 0 % stage: whitelisted traffic and noise; empty where it was skipped or is the present one.
        baseline: recorded before the release; None where there is none.
        whitelist_count: of the flag when the campaign began; None when not known.
    """

    percentage: int
    started_at: datetime
    windows: tuple[RolloutWindow, ...] = ()
    zero_windows: tuple[RolloutWindow, ...] = ()
    baseline: Baseline | None = None
    whitelist_count: int | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """What a look leads to.

    Attributes:
        verb: hold, promote or rollback.
        reasons: codes, the deciding one first.
        text: one sentence with the deciding numbers.
        gates: all of them, in a fixed order.
        percentage: that was judged.
        next_percentage: where ``promote`` leads; None at the last stage and for the other verbs.
        healthy_seconds: healthy, observed time at this stage.
        uncounted_seconds: time at this stage that does not count: gaps, unhealthy or unknown looks.
        look: number of this look in its stage, from 1; the number of the last one when none was due.
        pauses: a person must decide: the flag is not as the campaign left it.
        escalates: unknown for too long: a person is called.
        complete: the last stage has soaked.
    """

    verb: Verb
    reasons: tuple[Reason, ...]
    text: str
    gates: tuple[Gate, ...]
    percentage: int
    next_percentage: int | None
    healthy_seconds: float
    uncounted_seconds: float
    look: int
    pauses: bool = False
    escalates: bool = False
    complete: bool = False
