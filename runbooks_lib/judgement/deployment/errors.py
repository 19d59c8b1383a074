"""After a deployment: the error rate for one hour, against the same hours of the day before."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

from runbooks_lib import units
from runbooks_lib.checklist import ItemStatus
from runbooks_lib.facts import Baseline, Requests
from runbooks_lib.judgement.deployment.result import ItemResult, not_known
from runbooks_lib.model import Unreadable
from runbooks_lib.policy import Policy

ERRORS = "post.errors"
#: Of the hour that must have been observed.
OBSERVED_RATIO = 0.90
#: More errors than the baseline explains: as many as that only once in a thousand hours.
_SURPRISE = 0.001
#: Up to a quarter more errors than before do not matter, nor does a tenth of the warning threshold.
_TOLERANCE_RATIO, _FLOOR_SHARE = 1.25, 0.1
_MIN_REQUESTS = 50.0


@dataclass(frozen=True, slots=True)
class Watch:
    """The hour after a deployment, as far as it has passed.

    Attributes:
        deployed_at: aware UTC; None where nobody said when it was.
        now: aware UTC.
        hour_seconds: the guide's hour, scaled for the environment.
        requests: in the part of the hour that has passed; None where that is too short to ask for.
        observed_ratio: the part of that in which the site was scraped, 0..1.
        baseline: of the day before; None where none was recorded.
    """

    deployed_at: datetime | None
    now: datetime
    hour_seconds: float
    requests: Requests | Unreadable | None
    observed_ratio: float | Unreadable
    baseline: Baseline | None

    @property
    def passed_seconds(self) -> float:
        """Of the hour, as far as it has passed; 0 before it began."""
        if self.deployed_at is None:
            return 0.0
        return min(self.hour_seconds, max(0.0, (self.now - self.deployed_at).total_seconds()))

    @property
    def ends_at(self) -> datetime | None:
        """The end of the hour, aware UTC."""
        return None if self.deployed_at is None else self.deployed_at + timedelta(seconds=self.hour_seconds)


def judge_errors(watch: Watch, policy: Policy) -> ItemResult:
    """Are there more errors in the hour after the deployment than in the same hours of the day before?

    error_ratio = 5xx / requests. Too many are: over the critical threshold; or over what the baseline's ratio explains
    but once in a thousand times (a quarter more than it is tolerated, and so is a tenth of the warning threshold).

    Returns:
        Failed as soon as there are too many; open until the hour has passed; unknown where less than 90 % of it was
        observed, there were too few requests, or there is no baseline; else done.
    """
    if watch.deployed_at is None:
        hint = "sign off deploy.staging, or say how long ago it was: -p deployed=90m"
        return ItemResult(ERRORS, ItemStatus.OPEN, "nobody said when it was deployed", hint=hint)
    requests = watch.requests
    if isinstance(requests, Unreadable):
        return not_known(ERRORS, requests)
    passed = f"{units.duration(watch.passed_seconds)} of {units.duration(watch.hour_seconds)} have passed"
    if requests is None:
        return ItemResult(ERRORS, ItemStatus.OPEN, f"too early for a number: {passed}", hint=_come_back(watch))
    return _judged(watch, requests, passed, policy)


def _judged(watch: Watch, requests: Requests, passed: str, policy: Policy) -> ItemResult:
    """Too many, or not yet, or the whole hour."""
    before = _ratio_before(watch)
    values = _values(watch, requests, before)
    if requests.errors is None:
        return ItemResult(ERRORS, ItemStatus.UNKNOWN, "errors are not known", values, requests.degraded)
    shown = _shown(requests, before)
    if _too_many(requests, before, policy):
        hint = "roll back if it goes on: runbooks run rollback; see what fails: runbooks triage"
        return ItemResult(ERRORS, ItemStatus.FAILED, f"{shown}: more than before explains; {passed}", values, hint)
    if watch.passed_seconds < watch.hour_seconds:
        return ItemResult(ERRORS, ItemStatus.OPEN, f"{shown} so far; {passed}", values, _come_back(watch))
    return _whole_hour(watch, requests, shown, values)


def _come_back(watch: Watch) -> str:
    return f"come back at {units.timestamp(watch.ends_at)}"


def _whole_hour(watch: Watch, requests: Requests, shown: str, values: dict[str, object]) -> ItemResult:
    """The hour has passed without too many errors: was enough of it seen, and is there something to compare with?"""
    if isinstance(watch.observed_ratio, Unreadable):
        return not_known(ERRORS, watch.observed_ratio)
    observed = f"{units.percent(watch.observed_ratio)} of the hour observed"
    if watch.observed_ratio < OBSERVED_RATIO:
        hint = "say a later moment with -p deployed=…, and watch a whole hour from there"
        return ItemResult(ERRORS, ItemStatus.UNKNOWN, f"only {observed}; {shown}", values, hint)
    if requests.total < _MIN_REQUESTS:
        hint = f"under {_MIN_REQUESTS:g} requests tell nothing: watch an hour with traffic"
        return ItemResult(ERRORS, ItemStatus.UNKNOWN, f"{shown}; {observed}", values, hint)
    if values["error_ratio_before"] is None:
        hint = "record one before the next deployment: runbooks run pre_deployment; to go on without it, waive this"
        return ItemResult(ERRORS, ItemStatus.UNKNOWN, f"{shown}: nothing to compare with; {observed}", values, hint)
    return ItemResult(ERRORS, ItemStatus.DONE, f"{shown}; {observed}", values)


def _values(watch: Watch, requests: Requests, before: float | None) -> dict[str, object]:
    return {
        "deployed_at": units.timestamp(watch.deployed_at),
        "passed_seconds": round(watch.passed_seconds),
        "hour_seconds": watch.hour_seconds,
        "requests": round(requests.total),
        "errors": None if requests.errors is None else round(requests.errors),
        "error_ratio_before": before,
        "observed_ratio": None if isinstance(watch.observed_ratio, Unreadable) else round(watch.observed_ratio, 4),
    }


def _shown(requests: Requests, before: float | None) -> str:
    ratio = (requests.errors or 0.0) / requests.total if requests.total > 0 else None
    then = "no baseline of these hours" if before is None else f"{units.percent(before)} in the same hours before"
    return f"{units.percent(ratio)} of {units.things(requests.total, 'request')} failed ({then})"


def _ratio_before(watch: Watch) -> float | None:
    """The error ratio of the same hours of day in the baseline, weighted by their requests; None where unmeasured."""
    if watch.baseline is None or watch.deployed_at is None or watch.ends_at is None:
        return None
    slots = {watch.baseline.at(moment) for moment in (watch.deployed_at, watch.ends_at)}
    known = [slot for slot in slots if slot is not None and slot.error_ratio is not None]
    weights = [slot.requests or 0.0 for slot in known]
    if not known or sum(weights) <= 0:
        return None
    return sum((slot.error_ratio or 0.0) * weight for slot, weight in zip(known, weights, strict=True)) / sum(weights)


def _too_many(requests: Requests, before: float | None, policy: Policy) -> bool:
    if requests.errors is None or requests.total < _MIN_REQUESTS:
        return False
    threshold = policy.request_errors
    if requests.errors / requests.total > threshold.fail:
        return True
    if before is None:
        return requests.errors / requests.total > threshold.warn
    explained = max(before * _TOLERANCE_RATIO, threshold.warn * _FLOOR_SHARE) * requests.total
    return poisson_tail(math.floor(requests.errors), explained) < _SURPRISE


def poisson_tail(count: int, expected: float) -> float:
    """The probability of at least ``count`` events where ``expected`` (over 0) are expected; 1 for a count of 0.

    Summed upwards from ``count``, so that a tiny tail is not the difference of two numbers near 1.
    """
    if count <= 0:
        return 1.0
    if count <= expected:
        return 1.0 - sum(_poisson(number, expected) for number in range(count))
    total, number, term = 0.0, count, _poisson(count, expected)
    while term > total * 1e-12 and term > 0:
        total += term
        number += 1
        term *= expected / number
    return total


def _poisson(count: int, expected: float) -> float:
    return math.exp(count * math.log(expected) - expected - math.lgamma(count + 1))
