"""Was this look measured at all? What is nonsense, stale or of another percentage is not used."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from runbooks_lib import units
from runbooks_lib.facts.rollout import CohortSample, Gap, RolloutWindow
from runbooks_lib.judgement.rollout.model import Gate, Stand
from runbooks_lib.judgement.rollout.track import Track
from runbooks_lib.rollout_policy import RolloutPolicy

PARTS = ("cohorts", "hit rate", "penetration", "warming", "flag")

#: ``increase()`` extrapolates each series for itself: a part may be counted a little over its whole.
_EXTRAPOLATED = 1.05
_MOST = 1e12


def clean(window: RolloutWindow, policy: RolloutPolicy) -> RolloutWindow:
    """The same window without what cannot be believed.

    A number that is NaN, negative, infinite or more than its whole becomes None, with ``Gap.NONSENSE``. A window that
    was observed less than the policy asks loses everything: half an hour says little about an hour.
    """
    if not policy.min_observed_ratio <= window.observed_ratio <= _EXTRAPOLATED:
        return _blank(window)
    return window if _believable(window) else _without_nonsense(window)


def _without_nonsense(window: RolloutWindow) -> RolloutWindow:
    gaps: dict[str, Gap] = {}
    enhanced, control = _cohort(window.enhanced, gaps), _cohort(window.control, gaps)
    hit_ratio = _within(window.hit_ratio, _EXTRAPOLATED, "hit rate", gaps)
    penetration_ratio = _within(window.penetration_ratio, _EXTRAPOLATED, "penetration", gaps)
    lookups = _within(window.lookups, _MOST, "hit rate", gaps)
    warming = _within(window.warming_slowest_seconds, _MOST, "warming", gaps)
    served = window.served_percent
    if not _is_span(served):
        served = None
        gaps["flag"] = Gap.NONSENSE
    return replace(
        window,
        enhanced=enhanced,
        control=control,
        hit_ratio=hit_ratio,
        penetration_ratio=penetration_ratio,
        lookups=lookups,
        warming_slowest_seconds=warming,
        served_percent=served,
        gaps={**window.gaps, **gaps},
    )


def serves(window: RolloutWindow, percentage: int) -> bool | None:
    """Did all instances serve this percentage throughout? None where none of them says."""
    if window.served_percent is None:
        return None
    lowest, highest = window.served_percent
    return percentage - 0.5 < lowest and highest < percentage + 0.5


def gap_of(window: RolloutWindow, part: str, otherwise: Gap = Gap.NO_SERIES) -> str:
    """Why a part of a window is not known."""
    return str(window.gaps.get(part, otherwise))


def observed(windows: tuple[RolloutWindow, ...], policy: RolloutPolicy) -> Track:
    """Was the site scraped for long enough in the window?"""
    least = policy.min_observed_ratio
    stands = tuple(
        Stand.PASS if least <= window.observed_ratio <= _EXTRAPOLATED else Stand.UNKNOWN for window in windows
    )
    last = windows[-1]
    known = stands[-1] is Stand.PASS
    ratio = last.observed_ratio
    gate = Gate(
        "observed",
        stands[-1],
        now=units.percent(min(1.0, ratio)) if 0 <= ratio <= _EXTRAPOLATED else "no number",
        limit=f"≥ {units.threshold_percent(least)}",
        margin=f"{(min(1.0, ratio) - least) * 100:+.0f}" if known else "",
        evidence=f"of {units.duration(last.seconds)} until {units.clock(last.ended_at)}",
        reason="" if known else gap_of(last, "cohorts", Gap.STALE),
    )
    return Track(gate, stands)


def served(windows: tuple[RolloutWindow, ...], percentage: int) -> Track:
    """Does every instance serve the percentage that is judged?

    An instance keeps a copy of the flags for a while, so the first look of a stage may still show the one before.
    """
    stands = tuple(_served_stand(window, percentage, number) for number, window in enumerate(windows))
    last, stand = windows[-1], stands[-1]
    reason = {
        Stand.PASS: "",
        Stand.UNKNOWN: gap_of(last, "flag"),
        Stand.WAIT: "on its way",
        Stand.WARN: "served otherwise",
    }
    gate = Gate(
        "served",
        stand,
        now="not known" if last.served_percent is None else _span(*last.served_percent),
        limit=f"{percentage} %",
        evidence="feature_flag_percentage, lowest and highest of any instance",
        reason=reason[stand],
    )
    return Track(gate, stands)


def _served_stand(window: RolloutWindow, percentage: int, number: int) -> Stand:
    right = serves(window, percentage)
    if right is None:
        return Stand.UNKNOWN
    if right:
        return Stand.PASS
    return Stand.WAIT if number == 0 else Stand.WARN


def _span(lowest: float, highest: float) -> str:
    return f"{lowest:g} %" if lowest == highest else f"{lowest:g} … {highest:g} %"


def _blank(window: RolloutWindow) -> RolloutWindow:
    gaps = {part: window.gaps.get(part, Gap.STALE) for part in PARTS}
    ratio = window.observed_ratio if 0 <= window.observed_ratio <= _EXTRAPOLATED else math.nan
    return RolloutWindow(window.started_at, window.ended_at, observed_ratio=ratio, gaps=gaps, queries=window.queries)


def _believable(window: RolloutWindow) -> bool:
    """The whole window at once: nearly all are, and a simulation asks millions of times."""
    hit, penetration = window.hit_ratio, window.penetration_ratio
    lookups, warming = window.lookups, window.warming_slowest_seconds
    return (
        (hit is None or 0 <= hit <= _EXTRAPOLATED)
        and (penetration is None or 0 <= penetration <= _EXTRAPOLATED)
        and (lookups is None or 0 <= lookups <= _MOST)
        and (warming is None or 0 <= warming <= _MOST)
        and _is_span(window.served_percent)
        and _is_sample(window.enhanced)
        and _is_sample(window.control)
    )


def _is_span(served: tuple[float, float] | None) -> bool:
    return served is None or 0 <= served[0] <= served[1] <= 100


def _is_sample(sample: CohortSample | None) -> bool:
    if sample is None:
        return True
    most, errors, slow = sample.requests * _EXTRAPOLATED + 1, sample.errors, sample.slow
    return (
        0 <= sample.requests <= _MOST
        and (errors is None or 0 <= errors <= most)
        and (slow is None or 0 <= slow <= most)
    )


def _cohort(sample: CohortSample | None, gaps: dict[str, Gap]) -> CohortSample | None:
    if _is_sample(sample):
        return sample
    gaps["cohorts"] = Gap.NONSENSE
    return None


def _within(value: float | None, most: float, part: str, gaps: dict[str, Gap]) -> float | None:
    if value is None or 0 <= value <= most:
        return value
    gaps[part] = Gap.NONSENSE
    return None


def beyond(buckets: Mapping[float, float], edge: float) -> tuple[float, float] | None:
    """Requests over ``edge`` seconds, and all; None where the histogram has no such edge or makes no sense."""
    below, total = buckets.get(edge), buckets.get(math.inf)
    if below is None or total is None or not 0 <= below <= total * _EXTRAPOLATED <= _MOST:
        return None
    return max(0.0, total - below), total


def quantile(buckets: Mapping[float, float], part: float) -> float | None:
    """The quantile of a histogram in seconds, interpolated in its bucket as Prometheus does.

    In the last bucket it is that bucket's lower edge. None without requests or with a histogram that makes no sense.
    """
    total = buckets.get(math.inf)
    if total is None or not 0 < total <= _MOST:
        return None
    wanted, lower, below = part * total, 0.0, 0.0
    for edge in sorted(buckets):
        here = buckets[edge]
        if not (edge > lower and below <= here * _EXTRAPOLATED):
            return None
        if here >= wanted:
            return lower if math.isinf(edge) else lower + (edge - lower) * (wanted - below) / max(here - below, 1e-12)
        lower, below = edge, here
    return None
