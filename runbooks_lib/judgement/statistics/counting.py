"""From measurements one after another to a phase: Argo Rollouts' counters, made to fail safe.

Limits are passed strictly above them, and the worst phase of several metrics counts, as in Argo Rollouts. What differs,
on purpose:

* nothing measured, or ended before it was decided, is Inconclusive and never Successful;
* neither condition given is Inconclusive, as Argo's documentation says, and not Successful, as its code has it;
* a metric is Successful only if a measurement was;
* too many errors hold and do not abort: a Prometheus that is down must not roll back;
* what has failed stays Failed, whatever else could not be measured.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from runbooks_lib.judgement.rollout.model import Verb

#: After an error it is measured again soon, whatever the interval is.
ERROR_RETRY_SECONDS = 10.0


class Phase(StrEnum):
    """Of a measurement, a metric or all metrics."""

    PENDING = "Pending"
    RUNNING = "Running"
    SUCCESSFUL = "Successful"
    INCONCLUSIVE = "Inconclusive"
    ERROR = "Error"
    FAILED = "Failed"

    @property
    def complete(self) -> bool:
        """It will not change any more."""
        return self not in {Phase.PENDING, Phase.RUNNING}


#: From best to worst.
_ORDER = (Phase.SUCCESSFUL, Phase.RUNNING, Phase.PENDING, Phase.INCONCLUSIVE, Phase.ERROR, Phase.FAILED)


@dataclass(frozen=True, slots=True)
class Tally:
    """Measurements of one metric, counted.

    Attributes:
        count: with an answer: successful, failed or inconclusive. Errors are measured again and do not count.
        successful: of those.
        failed: of those.
        inconclusive: of those.
        errors: without an answer.
        consecutive_errors: the newest in a row.
        consecutive_successes: the newest in a row.
        last: phase of the newest; None before the first.
    """

    count: int = 0
    successful: int = 0
    failed: int = 0
    inconclusive: int = 0
    errors: int = 0
    consecutive_errors: int = 0
    consecutive_successes: int = 0
    last: Phase | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """How often a metric may do what before it is decided; passed strictly above. The defaults are Argo's.

    Attributes:
        failures: in all; None: any number.
        inconclusive: in all.
        consecutive_errors: in a row.
        consecutive_successes: so many in a row are enough; None: they do not decide.
        count: measurements to take; None: one, or with an interval until it is ended.
        interval_seconds: from one measurement to the next; None: there is only one.

    Raises:
        ValueError: limits that cannot be reached, or that decide nothing.
    """

    failures: int | None = 0
    inconclusive: int = 0
    consecutive_errors: int = 4
    consecutive_successes: int | None = None
    count: int | None = None
    interval_seconds: float | None = None

    def __post_init__(self) -> None:
        _require_sense(self)

    @property
    def effective_count(self) -> int | None:
        """Measurements after which it is decided; None: no number."""
        if self.count is None and self.interval_seconds is None:
            return 1
        return self.count


def outcome(success: bool | None, failure: bool | None) -> Phase:  # noqa: FBT001 - answers of conditions, not switches
    """What does a measurement say, given what its success and failure conditions evaluate to?

    Args:
        success: None where there is no such condition; then it is the opposite of the other.
        failure: likewise.

    Returns:
        Both: Failed. Neither, or no condition at all: Inconclusive.
    """
    if success is None and failure is None:
        return Phase.INCONCLUSIVE
    if failure or (failure is None and not success):
        return Phase.FAILED
    return Phase.SUCCESSFUL if success or success is None else Phase.INCONCLUSIVE


def counted(tally: Tally, measured: Phase) -> Tally:
    """The tally after one more measurement; one in flight only becomes the last."""
    if not measured.complete:
        return replace(tally, last=measured)
    if measured is Phase.ERROR:
        return replace(
            tally,
            errors=tally.errors + 1,
            consecutive_errors=tally.consecutive_errors + 1,
            consecutive_successes=0,
            last=measured,
        )
    succeeded = measured is Phase.SUCCESSFUL
    return replace(
        tally,
        count=tally.count + 1,
        successful=tally.successful + succeeded,
        failed=tally.failed + (measured is Phase.FAILED),
        inconclusive=tally.inconclusive + (measured is Phase.INCONCLUSIVE),
        consecutive_errors=0,
        consecutive_successes=tally.consecutive_successes + 1 if succeeded else 0,
        last=measured,
    )


def metric_phase(tally: Tally, limits: Limits) -> Phase:
    """How does one metric stand while it is being measured?"""
    if tally.last is None:
        return Phase.PENDING
    if not tally.last.complete:
        return Phase.RUNNING
    passed = exceeded(tally, limits)
    if passed:
        return passed[0]
    enough = limits.consecutive_successes
    if enough is not None and tally.consecutive_successes >= enough:
        return Phase.SUCCESSFUL
    if limits.effective_count is None or tally.count < limits.effective_count:
        return Phase.RUNNING
    return _counted_out(tally, limits)


def ended_phase(tally: Tally, limits: Limits) -> Phase:
    """How does one metric stand when it is ended before it was decided? Never Successful for want of an answer."""
    phase = metric_phase(tally, limits)
    in_flight = tally.last is not None and not tally.last.complete
    return phase if phase.complete or in_flight else Phase.INCONCLUSIVE


def exceeded(tally: Tally, limits: Limits) -> tuple[Phase, str] | tuple[()]:
    """The worst limit that has been passed, and in words by how much; empty where none was."""
    if limits.failures is not None and tally.failed > limits.failures:
        return Phase.FAILED, f"failed ({tally.failed}) > limit ({limits.failures})"
    if tally.consecutive_errors > limits.consecutive_errors:
        return Phase.ERROR, f"consecutive errors ({tally.consecutive_errors}) > limit ({limits.consecutive_errors})"
    if tally.inconclusive > limits.inconclusive:
        return Phase.INCONCLUSIVE, f"inconclusive ({tally.inconclusive}) > limit ({limits.inconclusive})"
    return ()


def worst(phases: Iterable[Phase]) -> Phase:
    """How do all metrics stand together?

    Running while one of them is not decided; then the worst. Without any, Inconclusive. Metrics that are only shown
    (a dry run) are left out by the caller.
    """
    together = tuple(phases)
    if not together:
        return Phase.INCONCLUSIVE
    if not all(phase.complete for phase in together):
        return Phase.RUNNING
    return max(together, key=_ORDER.index)


def is_worse(phase: Phase, than: Phase) -> bool:
    """Strictly worse, in the order Successful, Running, Pending, Inconclusive, Error, Failed."""
    return _ORDER.index(phase) > _ORDER.index(than)


def reaction(phase: Phase) -> Verb:
    """What does a rollout do? Only Successful promotes, only Failed rolls back."""
    if phase is Phase.SUCCESSFUL:
        return Verb.PROMOTE
    return Verb.ROLLBACK if phase is Phase.FAILED else Verb.HOLD


def first_due_seconds(initial_delay_seconds: float, since_start_seconds: float | None) -> float | None:
    """In how many seconds is the first measurement due? None as long as nothing has started; 0 when it is due.

    Raises:
        ValueError: a delay that is none.
    """
    if not 0 <= initial_delay_seconds < math.inf:
        raise ValueError(f"initial delay is {initial_delay_seconds!r}: seconds, 0 or more")
    return None if since_start_seconds is None else max(0.0, initial_delay_seconds - since_start_seconds)


def next_due_seconds(tally: Tally, limits: Limits, since_last_seconds: float) -> float | None:
    """In how many seconds is the next measurement due? None when there is none to come; 0 when it is due.

    Args:
        tally: with a measurement that has ended.
        limits: of the metric.
        since_last_seconds: since that one ended.
    """
    if tally.last is None or metric_phase(tally, limits).complete:
        return None
    wait = ERROR_RETRY_SECONDS if tally.last is Phase.ERROR else limits.interval_seconds
    return None if wait is None else max(0.0, wait - since_last_seconds)


def _counted_out(tally: Tally, limits: Limits) -> Phase:
    if limits.consecutive_successes is not None:
        return Phase.FAILED if limits.failures is None else Phase.INCONCLUSIVE
    return Phase.SUCCESSFUL if tally.successful else Phase.INCONCLUSIVE


def _require_sense(limits: Limits) -> None:
    for name in ("failures", "inconclusive", "consecutive_errors", "consecutive_successes", "count"):
        value = getattr(limits, name)
        if value is not None and value < (1 if name in {"consecutive_successes", "count"} else 0):
            raise ValueError(f"{name} is {value}")
    if limits.failures is None and limits.consecutive_successes is None:
        raise ValueError("without a limit of failures and of successes in a row nothing can be decided")
    if limits.count is None:
        return
    if limits.count > 1 and limits.interval_seconds is None:
        raise ValueError(f"{limits.count} measurements need an interval")
    if limits.count < max((limits.failures or 0) + (limits.consecutive_successes or 0), limits.inconclusive):
        raise ValueError(f"count {limits.count} is below the limits: they could never be passed")
