"""Does the enhanced cohort do worse than the control cohort of the same hours?

Statistical plan of a campaign
------------------------------
``policy.alpha`` is the probability of a false rollback by any test in the whole campaign. It is divided evenly
(Bonferroni) over all tests that can roll back: four at each stage with a control cohort (errors, slow requests,
latency, hit rate against the baseline) and one at 100 % (hit rate); 17 for the guide's stages, so that each has
0.05 / 17 = 0.0029 and an e-value rolls back at 340. The clock of each test starts anew at each stage.

* *errors, slow*: e-value of the cumulative counts of the stage (``statistics.counts``). Always valid: it may be looked
  at at any time and any number of times, so a missing or repeated look costs nothing.
* *latency*: share of requests beyond one bucket edge near the control's p95, enhanced against control, as a z of the
  cumulative counts; group sequential on ``policy.planned_looks`` with spending ``alpha t²``. The edge is chosen from
  the control cohort alone, before what is tested: from the 0 % stage, else from the first look of the stage, which is
  then left out of the test.
* *hit rate*: see ``baseline``.

The null hypothesis of each is not "equal" but "worse by less than matters" (``*_ratio_tolerance``,
``hit_drop_points``): cohorts are made of different people, so with enough requests they always differ a little. This
also pays for stages that run over their plan. Against bursts, each test must reach its bound without the one look that
speaks most for harm, too (which can only lower its error probability, and costs a look).

Windows with an unread cohort, or in which an instance served another percentage, are left out. Nothing is compared
while the exposure is wrong, nor at 0 % (whitelisted users are no random sample) or at 100 % (there is no control).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from runbooks_lib import units
from runbooks_lib.facts.rollout import CohortSample, Gap, RolloutWindow
from runbooks_lib.judgement.rollout.exposure import comparable
from runbooks_lib.judgement.rollout.instrument import beyond, gap_of, quantile
from runbooks_lib.judgement.rollout.model import Gate, Stand
from runbooks_lib.judgement.rollout.spending import alpha_per_test, look_bound
from runbooks_lib.judgement.rollout.tail import tail_edge
from runbooks_lib.judgement.rollout.track import Track
from runbooks_lib.judgement.statistics.counts import count_evidence
from runbooks_lib.rollout_policy import RolloutPolicy


@dataclass(frozen=True, slots=True)
class Counts:
    """Events of both cohorts over the comparable looks of a stage.

    Attributes:
        enhanced_events: of the enhanced cohort.
        enhanced_requests: likewise.
        control_events: of the control cohort.
        control_requests: likewise.
        looks: how many were summed.
    """

    enhanced_events: float = 0.0
    enhanced_requests: float = 0.0
    control_events: float = 0.0
    control_requests: float = 0.0
    looks: int = 0

    @property
    def share(self) -> float:
        """Of all requests, the enhanced cohort's, 0..1; 0 without any."""
        total = self.enhanced_requests + self.control_requests
        return self.enhanced_requests / total if total else 0.0

    @property
    def enhanced_ratio(self) -> float:
        """Events per request, enhanced."""
        return self.enhanced_events / self.enhanced_requests if self.enhanced_requests else 0.0

    @property
    def control_ratio(self) -> float:
        """Events per request, control."""
        return self.control_events / self.control_requests if self.control_requests else 0.0

    def enough(self, least: int) -> bool:
        """Has each cohort so many requests?"""
        return min(self.enhanced_requests, self.control_requests) >= max(1, least)


#: (events, requests) of one cohort in one look; None where not known.
Counting = Callable[[CohortSample], tuple[float, float] | None]


@dataclass(frozen=True, slots=True)
class _Test:
    """One comparison: what it counts, and what is beyond doubt harm.

    Attributes:
        id: of the gate.
        counting: what it counts.
        tolerance: ratio of rates that does not matter.
        gap: why its part is missing where the window does not say.
        unit: appended to the enhanced value.
    """

    id: str
    counting: Counting
    tolerance: float
    gap: Gap = Gap.NO_SERIES
    unit: str = ""


def comparisons(
    windows: Sequence[RolloutWindow],
    zero_windows: Sequence[RolloutWindow],
    percentage: int,
    exposed: Stand,
    policy: RolloutPolicy,
) -> tuple[Track, ...]:
    """Is the enhanced cohort worse in errors, slow requests or latency?

    Args:
        windows: of the stage, cleaned, the newest included.
        zero_windows: of the 0 % stage, cleaned.
        percentage: of the stage.
        exposed: how the exposure gate stands; a mismatch makes all comparisons wait.
        policy: tolerances, alpha, planned looks, least number of requests.

    Returns:
        Gates ``errors``, ``slow`` and ``latency``.
    """
    if percentage in {0, 100}:
        why = "no control" if percentage else "whitelist only"
        return tuple(_waiting(name, why, len(windows)) for name in ("errors", "slow", "latency"))
    if exposed is Stand.WARN:
        return tuple(_waiting(name, "exposure", len(windows)) for name in ("errors", "slow", "latency"))
    used = [window for window in windows if comparable(window, percentage)]
    tolerance = policy.error_ratio_tolerance
    return (
        _by_evidence(_Test("errors", _errors, tolerance), windows, used, policy),
        _by_evidence(_Test("slow", _slow, tolerance, Gap.NO_BUCKET), windows, used, policy),
        _latency(windows, used, zero_windows, policy),
    )


def count(used: Sequence[RolloutWindow], counting: Counting, tolerance: float) -> tuple[Counts, Counts]:
    """Sum both cohorts over the looks in which both are known; and the same without the look that speaks most for harm.

    A database that hangs for a minute, or a stampede, hits some people with all their requests: one look can then
    show what no count of independent events would. What is no burst shows without that look as well.
    """
    e_events = e_requests = c_events = c_requests = 0.0
    looks, worst_excess, worst = 0, -math.inf, (0.0, 0.0, 0.0, 0.0)
    for window in used:
        enhanced = counting(window.enhanced) if window.enhanced else None
        control = counting(window.control) if window.control else None
        if enhanced is None or control is None:
            continue
        events, requests = enhanced
        others, other_requests = control
        e_events += events
        e_requests += requests
        c_events += others
        c_requests += other_requests
        looks += 1
        excess = events - tolerance * others * requests / other_requests if other_requests else events
        if excess > worst_excess:
            worst_excess, worst = excess, (events, requests, others, other_requests)
    whole = Counts(e_events, e_requests, c_events, c_requests, looks)
    if looks < 2:
        return whole, Counts()
    return whole, Counts(
        max(0.0, e_events - worst[0]),
        max(0.0, e_requests - worst[1]),
        max(0.0, c_events - worst[2]),
        max(0.0, c_requests - worst[3]),
        looks - 1,
    )


def tail_z(counts: Counts, tolerance: float) -> float:
    """How far the enhanced cohort's events are over what ``tolerance`` allows, in standard errors.

    Given all N events, those of the enhanced cohort are Binomial(N, r') with r' = q r / (q r + 1 - r). For shares that
    are not small it overstates the error, which is the safe side.
    """
    allowed = tolerance * counts.share / (tolerance * counts.share + 1 - counts.share)
    total = counts.enhanced_events + counts.control_events
    variance = total * allowed * (1 - allowed)
    return (counts.enhanced_events - total * allowed) / math.sqrt(variance) if variance > 0 else 0.0


def _errors(sample: CohortSample) -> tuple[float, float] | None:
    return None if sample.errors is None else (sample.errors, sample.requests)


def _slow(sample: CohortSample) -> tuple[float, float] | None:
    return None if sample.slow is None else (sample.slow, sample.requests)


def _by_evidence(
    test: _Test, windows: Sequence[RolloutWindow], used: Sequence[RolloutWindow], policy: RolloutPolicy
) -> Track:
    counts, rest = count(used, test.counting, test.tolerance)
    rollback_at = 1 / alpha_per_test(policy)
    e_value = min(
        count_evidence(each.enhanced_events, each.control_events, each.share, tolerance=test.tolerance).e_value
        for each in (counts, rest)
    )
    shown = f"e-value {_short(e_value)} (rollback at {rollback_at:.0f}), look {counts.looks}"
    return _judged(test, windows, counts, policy, harm=e_value >= rollback_at, shown=shown)


def _latency(
    windows: Sequence[RolloutWindow],
    used: Sequence[RolloutWindow],
    zero_windows: Sequence[RolloutWindow],
    policy: RolloutPolicy,
) -> Track:
    edge, tested = tail_edge(used, zero_windows, policy)
    chosen = math.nan if edge is None else edge
    test = _Test(
        "latency",
        lambda sample: beyond(sample.buckets, chosen),
        policy.tail_ratio_tolerance,
        Gap.NO_BUCKET,
        "" if edge is None else f" over {units.seconds(edge)}",
    )
    counts, rest = count(tested, test.counting, test.tolerance)
    bound = look_bound(counts.looks, policy.planned_looks, alpha_per_test(policy))
    z = min(tail_z(counts, test.tolerance), tail_z(rest, test.tolerance)) if counts.looks > 1 else 0.0
    at = "not tested now" if math.isinf(bound) else f"rollback at {bound:.1f}"
    shown = f"z {z:.1f} ({at}), look {counts.looks} ({policy.planned_looks} planned){_p95s(windows[-1])}"
    return _judged(test, windows, counts, policy, harm=z >= bound, shown=shown)


def _judged(  # noqa: PLR0913 - one test, its counts and its answer
    test: _Test,
    windows: Sequence[RolloutWindow],
    counts: Counts,
    policy: RolloutPolicy,
    *,
    harm: bool,
    shown: str,
) -> Track:
    stand, reason = Stand.PASS, ""
    if counts.enough(policy.min_requests) and harm:
        stand, reason = Stand.FAIL, "regression"
    elif not _measured(windows[-1], test):
        stand, reason = Stand.UNKNOWN, gap_of(windows[-1], "cohorts", test.gap)
    elif not counts.enough(policy.min_requests):
        stand, reason = Stand.WAIT, str(Gap.TOO_FEW)
    allowed = test.tolerance * counts.control_ratio
    gate = Gate(
        test.id,
        stand,
        now=f"{fine(counts.enhanced_ratio)}{test.unit}" if counts.looks else "not compared yet",
        limit=f"control {fine(counts.control_ratio)}" if counts.looks else "",
        margin=f"{(allowed - counts.enhanced_ratio) * 100:+.2f}" if counts.looks else "",
        evidence=f"{shown}, {_requests(counts)}",
        reason=reason,
    )
    # An earlier FAIL would have ended the stage.
    return Track(gate, (Stand.PASS,) * (len(windows) - 1) + (stand,), at_once=True, blocks=stand is Stand.WAIT)


def _measured(window: RolloutWindow, test: _Test) -> bool:
    if window.enhanced is None or window.control is None:
        return False
    if not window.enhanced.requests or not window.control.requests:
        return True
    if test.id == "latency":
        return bool(window.enhanced.buckets and window.control.buckets)
    return test.counting(window.enhanced) is not None and test.counting(window.control) is not None


def _waiting(name: str, why: str, looks: int) -> Track:
    return Track(Gate(name, Stand.WAIT, now="not compared", reason=why), (Stand.WAIT,) * looks)


def _requests(counts: Counts) -> str:
    return f"{units.count(counts.enhanced_requests)} | {units.count(counts.control_requests)} requests"


def _p95s(window: RolloutWindow) -> str:
    enhanced = quantile(window.enhanced.buckets, 0.95) if window.enhanced else None
    control = quantile(window.control.buckets, 0.95) if window.control else None
    if enhanced is None or control is None:
        return ""
    return f", p95 {units.seconds(enhanced)} | {units.seconds(control)}"


def fine(ratio: float) -> str:
    """A small ratio with two digits: ``0.0042`` → ``0.42 %``."""
    return f"{ratio * 100:.2f} %"


def _short(value: float) -> str:
    return f"{value:.2g}" if value < 10 else f"{value:,.0f}" if value < 1e6 else f"{value:.0e}"
