"""The words of a judgement: status, finding, verdict, next step.

All objects are frozen. Units stand in names; a ratio is 0..1, a percentage 0..100, a time is aware UTC.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Status(StrEnum):
    """How one thing, or a whole site, stands.

    ``UNKNOWN`` is never OK: a thing that could not be measured may hide a failure. What is known to be wrong ranks
    above it, so that a verdict says the worst that is certain and lists beside it what could not be read.
    """

    OK = "OK"
    UNKNOWN = "UNKNOWN"
    WARN = "WARN"
    FAIL = "FAIL"

    @property
    def exit_code(self) -> int:
        """The process exit code that cron, CI and people rely on: 0, 10, 20 or 30."""
        return {Status.OK: 0, Status.WARN: 10, Status.FAIL: 20, Status.UNKNOWN: 30}[self]

    @property
    def rank(self) -> int:
        """0 (best) .. 3 (worst), for sorting and for ``worst``."""
        return list(Status).index(self)


def worst(statuses: Iterable[Status]) -> Status:
    """Which status stands for all of them? Nothing at all is UNKNOWN, never OK."""
    return max(statuses, key=lambda status: status.rank, default=Status.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a fact came from, so that it can be asked again.

    Attributes:
        source: the system: ``redis``, ``prometheus``, ``web``, ``cache_stats``, ``django`` or ``ledger``.
        query: the command, PromQL, SQL or path that was sent; never holds a secret.
        read_at: aware UTC.
        took_seconds: wall time of the read.
    """

    source: str
    query: str
    read_at: datetime
    took_seconds: float = 0.0


class Kind(StrEnum):
    """Why a system could not be read; only a system that is not there may be down."""

    ABSENT = "absent"  # refused, no route, no such name, no answer in time: nobody is there
    DENIED = "denied"  # it answered, and did not let us in: password, permission, login page
    FAULTY = "faulty"  # it answered, and says itself that it cannot work: writes refused, no connection left
    WRONG = "wrong"  # it answered with something else than was asked for, or lacks it
    BUG = "bug"  # our own fault


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A read that gave no fact. It stands where the fact would have stood.

    Attributes:
        source: the system that could not be read.
        what: what was asked for, as people say it (``alerts``, ``health endpoint``).
        reason: what came back instead, in one line.
        hint: what to check or change; may be empty.
        kind: why, for judgement.
    """

    source: str
    what: str
    reason: str
    hint: str = ""
    kind: Kind = Kind.ABSENT


@dataclass(frozen=True, slots=True)
class Evidence:
    """One measured value behind a finding: its name, the value as people read it, and where it came from."""

    name: str
    value: str
    source: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """One judged thing.

    Attributes:
        id: stable and dotted (``cache.hit_rate``); machines may rely on it.
        title: what people call it.
        status: OK, WARN, FAIL or UNKNOWN.
        shown: the value with its unit (``54.2 %``), or the reason when it is unknown.
        limit: the threshold that decided (``< 60 %``) or, when OK, the one that would (``>= 80 %``).
        detail: window, sample size, instances: how far the value can be trusted.
        reason: why this threshold, and where it is written.
        value: the number behind ``shown`` in base units; None when unknown.
        unit: ``ratio``, ``seconds``, ``bytes``, ``count``, ``per_second`` or empty.
        evidence: supporting values.
        hint: what to do or to check.
        runbook: name of the runbook to go to next, or empty.
    """

    id: str
    title: str
    status: Status
    shown: str
    limit: str = ""
    detail: str = ""
    reason: str = ""
    value: float | None = None
    unit: str = ""
    evidence: tuple[Evidence, ...] = ()
    hint: str = ""
    runbook: str = ""


@dataclass(frozen=True, slots=True)
class NextStep:
    """What to do next: a sentence, and the command ready to paste where there is one."""

    text: str
    command: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer of one run.

    Attributes:
        runbook: which runbook judged.
        environment: the configured environment that was judged.
        at: aware UTC; the moment of judgement.
        status: the worst of the findings.
        severity: 1, 2 or 3 by the guide's rules; None when nothing calls for one.
        headline: the one thing to know, with its numbers.
        rule: the severity rule that applied and its numbers; empty without a severity.
        findings: everything that was judged, worst first where shown.
        unread: what could not be read, so could not be judged.
        since: when it began, aware UTC; None when nothing began or it is not known.
        began_earlier: ``since`` is only the first sample that was read; it began before that.
        likely: the most likely cause with its evidence; empty when there is none to name.
        next_steps: in the order to take them.
        time_scale: what the guide's durations were divided by (1 on a real site).
        protected: the environment is protected.
        notes: anything that limits the verdict (a degraded source, a scale other than 1).
    """

    runbook: str
    environment: str
    at: datetime
    status: Status
    headline: str
    severity: int | None = None
    rule: str = ""
    findings: tuple[Finding, ...] = ()
    unread: tuple[Unreadable, ...] = ()
    since: datetime | None = None
    began_earlier: bool = False
    likely: str = ""
    next_steps: tuple[NextStep, ...] = ()
    time_scale: float = 1.0
    protected: bool = False
    notes: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """0 OK, 10 WARN, 20 FAIL, 30 UNKNOWN."""
        return self.status.exit_code
