"""The guide's thresholds, look by look: a warning holds, critical rolls back once it is confirmed.

Errors and slow requests are judged on the enhanced cohort (at 0 %: on the control, which then is everybody but the
whitelist). Hit rate, penetration and warming are those of the whole site: the cohorts share one Redis.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from runbooks_lib import units
from runbooks_lib.facts.rollout import CohortSample, Gap, RolloutWindow
from runbooks_lib.judgement.rollout.instrument import gap_of
from runbooks_lib.judgement.rollout.model import Gate, Stand
from runbooks_lib.judgement.rollout.track import Track
from runbooks_lib.policy import Threshold
from runbooks_lib.rollout_policy import RolloutPolicy


@dataclass(frozen=True, slots=True)
class _Told:
    """What is told about the newest value: the gate's id, why it is missing where it is, what it rests on."""

    id: str
    missing: str
    evidence: str = ""


_REASONS = {Stand.WARN: "warning", Stand.FAIL: "critical"}


def thresholds(
    windows: Sequence[RolloutWindow], percentage: int, warmed_from: int, policy: RolloutPolicy
) -> tuple[Track, ...]:
    """Is anything beyond what the guide allows?

    Args:
        windows: of the stage, cleaned, the newest included.
        percentage: of the stage.
        warmed_from: index of the first look at which the new cohort has warmed the cache; see ``plateau``.
        policy: the thresholds, what is far beyond, least numbers.

    Returns:
        Gates ``errors limit``, ``slow limit``, ``hit rate``, ``penetration`` and ``warming``.
    """
    site = policy.thresholds
    judged = [window.enhanced if percentage else window.control for window in windows]
    least, last, far = max(1, policy.min_window_requests), windows[-1], policy.far_beyond_ratio
    errors = [_share(sample, sample.errors, least) if sample else None for sample in judged]
    slow = [_share(sample, sample.slow, least) if sample else None for sample in judged]
    penetration = [_of_lookups(window, window.penetration_ratio, policy) for window in windows]
    return (
        _track(_cohort_told("errors limit", last, percentage, policy), errors, site.request_errors, far),
        _track(_cohort_told("slow limit", last, percentage, policy), slow, site.slow_requests, far),
        _hit_rate(windows, percentage, warmed_from, policy),
        _track(_lookups_told("penetration", last, last.penetration_ratio), penetration, site.penetration, far),
        _warming(windows, site.warming_task, far),
    )


def plateau(windows: Sequence[RolloutWindow], percentage: int, policy: RolloutPolicy) -> int:
    """Index of the first look at which the hit rate no longer rises: the new cohort has warmed the cache.

    A cohort that gets the feature starts with none of its answers in the cache. At 0 % nobody new came. It is waited
    for ``plateau_looks`` at most, and an index beyond the newest look means that it still is.
    """
    if percentage == 0:
        return 0
    for number in range(1, min(len(windows), policy.plateau_looks + 1)):
        before, now = windows[number - 1].hit_ratio, windows[number].hit_ratio
        if before is not None and now is not None and (now - before) * 100 < policy.plateau_points:
            return number
    return policy.plateau_looks


def is_far_beyond(value: float, threshold: Threshold, far_beyond_ratio: float) -> bool:
    """Has it passed critical by this share of its way from warning to critical?"""
    sign = 1.0 if threshold.worse == "above" else -1.0
    return sign * value > sign * (threshold.fail + far_beyond_ratio * (threshold.fail - threshold.warn))


def stands_of(values: Sequence[float | None], threshold: Threshold) -> tuple[Stand, ...]:
    """How each value stands; a value at the threshold is still well."""
    sign = 1.0 if threshold.worse == "above" else -1.0
    warn, fail = sign * threshold.warn, sign * threshold.fail
    return tuple(
        Stand.UNKNOWN
        if value is None
        else Stand.FAIL
        if sign * value > fail
        else Stand.WARN
        if sign * value > warn
        else Stand.PASS
        for value in values
    )


def _track(told: _Told, values: Sequence[float | None], threshold: Threshold, far: float) -> Track:
    stands = stands_of(values, threshold)
    value = values[-1]
    gate = _gate(told, value, stands[-1], threshold)
    return Track(gate, stands, at_once=value is not None and is_far_beyond(value, threshold, far))


def _gate(told: _Told, value: float | None, stand: Stand, threshold: Threshold) -> Gate:
    sign = 1.0 if threshold.worse == "above" else -1.0
    return Gate(
        told.id,
        stand,
        now="not known" if value is None else _percent(value),
        limit=f"{'≤' if sign > 0 else '≥'} {units.threshold_percent(threshold.warn)}",
        margin="" if value is None else f"{sign * (threshold.warn - value) * 100:+.1f}",
        evidence=told.evidence,
        reason=told.missing if value is None else _REASONS.get(stand, ""),
    )


def _percent(ratio: float) -> str:
    return f"{ratio * 100:.2f} %" if ratio < 0.02 else units.percent(ratio)


def _share(sample: CohortSample, events: float | None, least: int) -> float | None:
    return None if events is None or sample.requests < least else events / sample.requests


def _of_lookups(window: RolloutWindow, ratio: float | None, policy: RolloutPolicy) -> float | None:
    lookups = window.lookups
    return None if lookups is None or lookups < max(1, policy.min_window_lookups) else ratio


def _cohort_told(name: str, window: RolloutWindow, percentage: int, policy: RolloutPolicy) -> _Told:
    sample = window.enhanced if percentage else window.control
    if sample is None:
        return _Told(name, gap_of(window, "cohorts"))
    evidence = f"{units.count(sample.requests)} requests, {'enhanced' if percentage else 'control'}"
    if sample.requests < max(1, policy.min_window_requests):
        return _Told(name, str(Gap.TOO_FEW), evidence)
    return _Told(name, gap_of(window, "cohorts", Gap.NO_SERIES if name == "errors limit" else Gap.NO_BUCKET), evidence)


def _lookups_told(part: str, window: RolloutWindow, ratio: float | None) -> _Told:
    if ratio is None or window.lookups is None:
        return _Told(part, gap_of(window, part))
    return _Told(part, str(Gap.TOO_FEW), f"{units.count(window.lookups)} lookups")


def _hit_rate(windows: Sequence[RolloutWindow], percentage: int, warmed_from: int, policy: RolloutPolicy) -> Track:
    threshold = policy.thresholds.hit_rate
    values = [_of_lookups(window, window.hit_ratio, policy) for window in windows]
    sure = [_beside(value, percentage) if i < warmed_from else value for i, value in enumerate(values)]
    stands = stands_of(sure, threshold)
    stands = tuple(_while_cold(stand) for stand in stands[:warmed_from]) + stands[warmed_from:]
    known = sure[-1]
    at_once = known is not None and is_far_beyond(known, threshold, policy.far_beyond_ratio)
    gate = _gate(_lookups_told("hit rate", windows[-1], windows[-1].hit_ratio), values[-1], stands[-1], threshold)
    if stands[-1] is Stand.WAIT:
        evidence = f"{gate.evidence}, new cohort warming, look {len(windows)} of at most {policy.plateau_looks}"
        gate = replace(gate, evidence=evidence, reason="cold")
    return Track(gate, stands, at_once=at_once, blocks=stands[-1] is Stand.WAIT)


def _beside(hit_ratio: float | None, percentage: int) -> float | None:
    """The hit rate of everybody else, were every lookup of the new cohort a miss: more it cannot explain."""
    if hit_ratio is None:
        return None
    return 1.0 if percentage >= 100 else min(1.0, hit_ratio / (1 - percentage / 100))


def _while_cold(stand: Stand) -> Stand:
    return Stand.WAIT if stand in {Stand.PASS, Stand.WARN} else stand


def _warming(windows: Sequence[RolloutWindow], threshold: Threshold, far: float) -> Track:
    stands = tuple(_warming_stand(window, threshold) for window in windows)
    last, stand = windows[-1], stands[-1]
    edge = last.warming_slowest_seconds
    gate = Gate(
        "warming",
        stand,
        now=_slowest(edge) if edge is not None else "not known" if stand is Stand.UNKNOWN else "no task",
        limit=f"≤ {units.seconds(threshold.warn)}",
        evidence="slowest task" if edge is not None else "",
        reason=gap_of(last, "warming") if stand is Stand.UNKNOWN else _REASONS.get(stand, ""),
    )
    return Track(gate, stands, at_once=edge is not None and is_far_beyond(edge, threshold, far))


def _warming_stand(window: RolloutWindow, threshold: Threshold) -> Stand:
    """A bucket says "longer than its lower edge": at the edge itself it is already beyond the threshold."""
    edge = window.warming_slowest_seconds
    if edge is None:
        return Stand.UNKNOWN if "warming" in window.gaps else Stand.WAIT
    return Stand.FAIL if edge >= threshold.fail else Stand.WARN if edge >= threshold.warn else Stand.PASS


def _slowest(edge_seconds: float) -> str:
    """Where the histogram has the slowest task: above that edge; in the lowest bucket there is none to name."""
    return f"over {units.seconds(edge_seconds)}" if edge_seconds else "in the lowest bucket"
