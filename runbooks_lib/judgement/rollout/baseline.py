"""Is the site worse than at the same hour of day before the release? A sanity check beside the control cohort.

Both cohorts share one Redis and the hit rate has no cohort, so a worse hit rate of the enhanced traffic shows in the
whole site's alone, by as much as its share: here it is looked for. The drop of a look is the baseline's hit rate at
that hour less the look's, in points, less the median drop of the 0 % stage (a difference of differences: what the
release or the weekday changed before anybody got the feature is not the feature's doing). Tested is the mean drop of
the looks after the plateau, group sequential on the planned looks. Its noise is that between the looks of the 0 %
stage, else that between the looks of the stage itself, with a floor, and a t for few looks is turned into a z. It
rolls back where the drop is significant and at least ``hit_drop_points`` on ``confirm_looks`` looks; between 0 and
100 % a little more, because two caches beside each other hit less whatever the feature does.

At 100 % errors and p95 are held against the baseline too; they warn, because one day is not like another.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from runbooks_lib import units
from runbooks_lib.facts.rollout import BaselineSlot, RolloutWindow
from runbooks_lib.judgement.rollout.comparison import fine
from runbooks_lib.judgement.rollout.instrument import gap_of, quantile, serves
from runbooks_lib.judgement.rollout.model import Gate, StageHistory, Stand
from runbooks_lib.judgement.rollout.reference import NOISE_LOOKS, Reference, drop_points, sane_ratio
from runbooks_lib.judgement.rollout.spending import alpha_per_test, look_bound
from runbooks_lib.judgement.rollout.track import Track
from runbooks_lib.judgement.statistics.counts import count_evidence
from runbooks_lib.rollout_policy import RolloutPolicy

#: Looks never scatter less than this, whatever few of them seem to say.
LEAST_NOISE_POINTS = 0.2

#: Two caches beside each other are each asked less often and hit less, most so at 50 %: so many points are no harm.
SPLIT_POINTS = 2.0

#: Errors differ from day to day by a fifth and more: at 100 % they warn once they are so many times the baseline's.
ERRORS_RATIO = 2.0

_MOST_REQUESTS = 1e12


@dataclass(frozen=True, slots=True)
class Noise:
    """How the drop scatters from look to look while nobody has the feature.

    Attributes:
        offset_points: median drop at 0 %.
        deviation_points: between its looks; None where the 0 % stage does not show it.
        looks: it was measured on.
    """

    offset_points: float = 0.0
    deviation_points: float | None = None
    looks: int = 0


def against_baseline(
    history: StageHistory,
    windows: Sequence[RolloutWindow],
    zero_windows: Sequence[RolloutWindow],
    warmed_from: int,
    policy: RolloutPolicy,
) -> tuple[Track, ...]:
    """Is the site worse than the baseline's hours?

    Args:
        history: percentage and baseline.
        windows: of the stage, cleaned, the newest included.
        zero_windows: of the 0 % stage, cleaned.
        warmed_from: index of the first look that counts.
        policy: alpha, planned looks, least drop.

    Returns:
        Gate ``baseline hit rate``; at 100 % ``baseline errors`` and ``baseline latency`` as well.
    """
    reference = Reference(history.baseline, zero_windows, policy)
    hit_rate = _hit_rate(history.percentage, windows, zero_windows, warmed_from, reference, policy)
    if history.percentage < 100:
        return (hit_rate,)
    return hit_rate, _errors(windows, reference, policy), _latency(windows, reference, policy)


def z_of_t(t: float, freedom: int) -> float:
    """The normal deviate that is as rare as a t with so many degrees of freedom.

    Source:
        Wallace 1959; within 0.1 for the tails that matter here.
    """
    if freedom < 1:
        return 0.0
    scale = (8 * freedom + 1) / (8 * freedom + 3)
    return math.copysign(scale * math.sqrt(freedom * math.log1p(t * t / freedom)), t)


def noise(zero_windows: Sequence[RolloutWindow], reference: Reference, policy: RolloutPolicy) -> Noise:
    """What the 0 % stage says about the drop: its usual size and how it scatters."""
    drops = [drop for window in zero_windows if (drop := drop_points(window, 0, reference, policy)) is not None]
    if not drops:
        return Noise()
    if len(drops) < NOISE_LOOKS:
        # Too few to show how it scatters; that it was so before anybody got the feature they do show.
        return Noise(median(drops), None, len(drops))
    mean = sum(drops) / len(drops)
    variance = sum((drop - mean) ** 2 for drop in drops) / (len(drops) - 1)
    return Noise(median(drops), max(LEAST_NOISE_POINTS, math.sqrt(variance)), len(drops))


@dataclass(slots=True)
class _Drops:
    """The drops of a stage so far, in points."""

    noise: Noise
    looks: int = 0
    sum: float = 0.0
    squares: float = 0.0

    def add(self, drop: float) -> None:
        """One more look."""
        drop -= self.noise.offset_points
        self.looks += 1
        self.sum += drop
        self.squares += drop * drop

    @property
    def mean(self) -> float:
        return self.sum / self.looks if self.looks else 0.0

    @property
    def z(self) -> float:
        """How sure is it that there is a drop?"""
        known = self.noise.deviation_points
        if known is not None:
            error = known * math.sqrt(1 / self.looks + 1 / self.noise.looks)
            return z_of_t(self.mean / error, self.noise.looks - 1)
        if self.looks < 2:
            return 0.0
        variance = (self.squares - self.sum * self.mean) / (self.looks - 1)
        offset_share = 1 / self.noise.looks if self.noise.looks else 0.0
        error = max(LEAST_NOISE_POINTS, math.sqrt(max(0.0, variance))) * math.sqrt(1 / self.looks + offset_share)
        return z_of_t(self.mean / error, self.looks - 1)


def _hit_rate(  # noqa: PLR0913, PLR0917 - the parts of one stage, taken apart once
    percentage: int,
    windows: Sequence[RolloutWindow],
    zero_windows: Sequence[RolloutWindow],
    warmed_from: int,
    reference: Reference,
    policy: RolloutPolicy,
) -> Track:
    measured = noise(zero_windows, reference, policy) if percentage else Noise()
    drops, stands = _Drops(measured), []
    alpha = alpha_per_test(policy)
    for number, window in enumerate(windows):
        drop = drop_points(window, percentage, reference, policy)
        if drop is not None and number >= warmed_from:
            drops.add(drop)
        # While another percentage was served too, nothing is compared; that it was, the gate "served" says.
        elsewhere = serves(window, percentage) is False
        stands.append(Stand.WAIT if elsewhere else _hit_stand(drop, drops, percentage, policy, alpha))
    gate = _hit_gate(windows[-1], stands[-1], drops, percentage, reference, policy)
    return Track(gate, tuple(stands), blocks=percentage > 0 and stands[-1] is Stand.WAIT)


def _hit_stand(drop: float | None, drops: _Drops, percentage: int, policy: RolloutPolicy, alpha: float) -> Stand:
    if percentage == 0:
        return Stand.WAIT
    if drop is None:
        return Stand.UNKNOWN
    if not drops.looks:
        return Stand.WAIT
    if drops.mean < _least_drop_points(percentage, policy):
        return Stand.PASS
    significant = drops.z >= look_bound(drops.looks, policy.planned_looks, alpha)
    return Stand.FAIL if significant else Stand.PASS


def _least_drop_points(percentage: int, policy: RolloutPolicy) -> float:
    """Drop in points that matters at a percentage: ``hit_drop_points``, and what the split of the cache costs."""
    part = percentage / 100
    return policy.hit_drop_points + SPLIT_POINTS * 4 * max(0.0, part * (1 - part))


def _hit_gate(  # noqa: PLR0913, PLR0917 - as above
    window: RolloutWindow,
    stand: Stand,
    drops: _Drops,
    percentage: int,
    reference: Reference,
    policy: RolloutPolicy,
) -> Gate:
    expected = reference.hit_ratio(window)
    missing = "no baseline" if expected is None else gap_of(window, "hit rate")
    cold = "on its way" if serves(window, percentage) is False else "cold"
    waits = cold if percentage else "measures the noise"
    z, least = drops.z if drops.looks else 0.0, _least_drop_points(percentage, policy)
    bound = look_bound(drops.looks, policy.planned_looks, alpha_per_test(policy))
    at = "not tested now" if math.isinf(bound) else f"rollback at {bound:.1f}"
    shown = f"drop {drops.mean:+.1f} points, z {z:.1f} ({at}), look {drops.looks} ({policy.planned_looks} planned)"
    return Gate(
        "baseline hit rate",
        stand,
        now=units.percent(window.hit_ratio) if window.hit_ratio is not None else "not known",
        limit="not known" if expected is None else f"baseline {units.percent(expected)}",
        margin=f"{least - drops.mean:+.1f}" if drops.looks else "",
        evidence=shown if drops.looks else "",
        reason={Stand.UNKNOWN: missing, Stand.WAIT: waits, Stand.FAIL: "regression"}.get(stand, ""),
    )


def _errors(windows: Sequence[RolloutWindow], reference: Reference, policy: RolloutPolicy) -> Track:
    events = requests = expected_events = expected_requests = 0.0
    looks = 0
    for window in windows:
        slot, sample = reference.slot(window), window.enhanced
        if slot is None or sample is None or sample.errors is None or not _sane(slot):
            continue
        events += sample.errors
        requests += sample.requests
        expected_requests += slot.requests or 0.0
        expected_events += (slot.error_ratio or 0.0) * (slot.requests or 0.0)
        looks += 1
    if not min(requests, expected_requests) >= max(1, policy.min_requests):
        return _no_baseline("baseline errors", len(windows))
    share = requests / (requests + expected_requests)
    evidence = count_evidence(events, expected_events, share, tolerance=ERRORS_RATIO)
    warn_at = 1 / alpha_per_test(policy)
    stand = Stand.WARN if evidence.e_value >= warn_at else Stand.PASS
    now, expected = events / requests, expected_events / expected_requests
    gate = Gate(
        "baseline errors",
        stand,
        now=fine(now),
        limit=f"baseline {fine(expected)}",
        margin=f"{(ERRORS_RATIO * expected - now) * 100:+.2f}",
        evidence=f"e-value {evidence.e_value:.3g} (warning at {warn_at:.0f}), look {looks}",
        reason="" if stand is Stand.PASS else "worse than the baseline",
    )
    return Track(gate, (Stand.PASS,) * (len(windows) - 1) + (stand,))


def _latency(windows: Sequence[RolloutWindow], reference: Reference, policy: RolloutPolicy) -> Track:
    pairs = [_p95s(window, reference) for window in windows]
    factor = policy.tail_ratio_tolerance
    stands = tuple(
        Stand.WAIT if pair is None else Stand.WARN if pair[0] > factor * pair[1] else Stand.PASS for pair in pairs
    )
    pair = pairs[-1]
    if pair is None:
        return Track(Gate("baseline latency", Stand.WAIT, "not compared", reason="no baseline"), stands)
    now, expected = pair
    gate = Gate(
        "baseline latency",
        stands[-1],
        now=f"p95 {units.seconds(now)}",
        limit=f"baseline {units.seconds(expected)}",
        margin=f"{(factor * expected - now) * 1000:+.0f} ms",
        evidence=f"warning over {factor:g} times the baseline",
        reason="" if stands[-1] is Stand.PASS else "worse than the baseline",
    )
    return Track(gate, stands)


def _p95s(window: RolloutWindow, reference: Reference) -> tuple[float, float] | None:
    slot = reference.slot(window)
    expected = slot.p95_seconds if slot else None
    now = quantile(window.enhanced.buckets, 0.95) if window.enhanced else None
    return None if now is None or expected is None or not 0 < expected < math.inf else (now, expected)


def _sane(slot: BaselineSlot) -> bool:
    requests = slot.requests
    return sane_ratio(slot.error_ratio) is not None and requests is not None and 0 <= requests <= _MOST_REQUESTS


def _no_baseline(name: str, looks: int) -> Track:
    return Track(Gate(name, Stand.WAIT, "not compared", reason="no baseline"), (Stand.WAIT,) * looks)
