"""The simulated site under a rollout: what Prometheus would have shown of each hour, with and without an effect.

Not the easy case on purpose: both cohorts share bad days, bad hours and bursts; errors and users come in clumps; a
promotion starts cold; counts are extrapolated; scrapes are missed. Every number has its reason beside it, here, in
``rollout_hours`` and in ``rollout_crowd``.
"""

from __future__ import annotations

import math
from bisect import bisect
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from benchmarks.rollout_crowd import Cohorts, Crowd
from benchmarks.rollout_hours import HOURS, Array, draw_hours
from runbooks_lib.facts.rollout import SLOTS_COUNT, Baseline, BaselineSlot, CohortSample, Gap, RolloutWindow

#: A Monday.
EPOCH = datetime(2026, 1, 5, tzinfo=UTC)

#: A page asks several times, and clients retry: failing requests come in clumps, geometric with this mean.
ERROR_CLUMP = 1.5
#: Who is hit by a burst is decided as if by so many people, however many requests it hits (beta).
BURST_PEOPLE = 300

#: The site's own edges (sandbox/site/common/metrics/definitions.py).
EDGES = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, math.inf)
LOG_EDGES = tuple(math.log(edge) for edge in EDGES[:-1])
SQRT_2 = math.sqrt(2)
#: Durations are lognormal: with 0.9, p95 is 4.4 times the median.
LATENCY_SIGMA = 0.9
#: Who waits for a hanging database waits so long.
STALL_SECONDS, STALL_SIGMA = 0.8, 0.5

#: Traffic that has just moved finds 20 points less in the cache that it moved to; a third of that after 1.5 hours.
COLD_POINTS, COLD_HOURS = 20.0, 1.5
#: Two caches beside each other are each asked less often; most so at 50 %.
SPLIT_POINTS = 1.0
LOOKUPS_PER_REQUEST = 0.97
#: Ids that do not exist, of all lookups; the practice site shows about 1 %.
PENETRATION_RATIO, PENETRATION_SIGMA = 0.010, 0.002
#: The slowest warming task took over 10 or 30 s; once in two hundred hours over 60 s, which is a warning.
WARMING_SECONDS, WARMING_BELOW = (10.0, 30.0, 60.0), (0.6, 0.995)

#: Prometheus extrapolates to the edges of a window: counts are no whole numbers, and worse where scrapes are missing.
EXTRAPOLATION_SIGMA, MISSING_SIGMA = 0.002, 0.05
#: After a change the first window still shows the old percentage on some instance, this often.
LATE_PROBABILITY = 0.3


@dataclass(frozen=True, slots=True)
class Effect:
    """What the feature does to those who have it, or what happens meanwhile.

    Attributes:
        name: how the table calls it.
        error_factor: their error ratio, as a multiple.
        hit_points: their hit rate falls by so many points; the metric has no cohort label, so what shows is this
            times their share of the traffic.
        latency_factor: their p95, as a multiple. In every second campaign all of their requests take so much
            longer, in the others only the tail grows and the median stays.
        drift_points: the whole site's hit rate falls by so much two days into the campaign, feature or not.
    """

    name: str
    error_factor: float = 1.0
    hit_points: float = 0.0
    latency_factor: float = 1.0
    drift_points: float = 0.0


@dataclass(frozen=True, slots=True)
class Stage:
    """Where a campaign is: percentage, the one before, and the hour in which it began."""

    percentage: int
    previous: int
    started: int


@dataclass(frozen=True, slots=True)
class Mix:
    """What one cohort's requests of one hour are drawn from.

    Attributes:
        requests: mean.
        error_ratio: 0..1, bursts apart.
        log_median: natural logarithm of seconds.
        sigma: of the lognormal.
    """

    requests: float
    error_ratio: float
    log_median: float
    sigma: float


class Traffic:
    """One campaign's world; the same seed gives the same world, whatever is decided in it."""

    def __init__(self, seed: int, effect: Effect) -> None:
        """Draw the hours and the users."""
        rng = np.random.default_rng(seed)
        self.seed, self.effect = seed, effect
        self.hours = draw_hours(rng, drift_points=effect.drift_points)
        self._crowd = Crowd(rng, HOURS)
        self._windows: dict[tuple[int, Stage], RolloutWindow] = {}

    def moment(self, hour: int) -> datetime:
        """When an hour begins."""
        return EPOCH + timedelta(hours=hour + self.hours.first)

    def cohorts(self, hour: int, percentage: int) -> Cohorts:
        """How the traffic of an hour is split."""
        return self._crowd.at(hour, percentage)

    def mixes(self, hour: int, split: Cohorts) -> tuple[Mix, Mix]:
        """What the cohorts' requests are drawn from: enhanced, control."""
        requests, errors = float(self.hours.requests[hour]), float(self.hours.error_ratio[hour])
        median, longer = float(self.hours.log_median[hour]), math.log(self.effect.latency_factor)
        in_the_tail = self.seed % 2
        return (
            Mix(
                requests * split.enhanced,
                errors * split.enhanced_errors * self.effect.error_factor,
                median + split.enhanced_slowness + (0.0 if in_the_tail else longer),
                LATENCY_SIGMA + (longer / 1.645 if in_the_tail else 0.0),
            ),
            Mix(
                requests * split.control,
                errors * split.control_errors,
                median + split.control_slowness,
                LATENCY_SIGMA,
            ),
        )

    def window(self, hour: int, stage: Stage) -> RolloutWindow:
        """What one look measures of one hour; always the same, so judges that go the same way share it."""
        if (hour, stage) not in self._windows:
            self._windows[hour, stage] = self._measured(hour, stage)
        return self._windows[hour, stage]

    def _measured(self, hour: int, stage: Stage) -> RolloutWindow:
        started, ended = self.moment(hour), self.moment(hour + 1)
        observed = float(self.hours.observed_ratio[hour])
        if observed == 0:
            gaps = dict.fromkeys(("cohorts", "hit rate", "penetration", "warming", "flag"), Gap.TARGET_DOWN)
            return RolloutWindow(started, ended, observed_ratio=0.0, gaps=gaps)
        rng = np.random.default_rng([self.seed, hour, stage.percentage, stage.started])
        split = self.cohorts(hour, stage.percentage)
        enhanced, control = self._samples(rng, hour, split, blur=EXTRAPOLATION_SIGMA + MISSING_SIGMA * (1 - observed))
        lookups = LOOKUPS_PER_REQUEST * (enhanced.requests + control.requests)
        late = hour == stage.started and rng.random() < LATE_PROBABILITY
        return RolloutWindow(
            started,
            ended,
            enhanced,
            control,
            served_percent=(float(stage.previous if late else stage.percentage), float(stage.percentage)),
            hit_ratio=self._hit_ratio(hour, stage, split.share) + rng.normal(0.0, 0.22 / math.sqrt(max(lookups, 1))),
            lookups=lookups,
            penetration_ratio=max(0.0, rng.normal(PENETRATION_RATIO, PENETRATION_SIGMA)),
            warming_slowest_seconds=WARMING_SECONDS[bisect(WARMING_BELOW, rng.random())],
            observed_ratio=observed,
        )

    def _samples(
        self, rng: np.random.Generator, hour: int, split: Cohorts, *, blur: float
    ) -> tuple[CohortSample, CohortSample]:
        """Both cohorts as Prometheus counts them: enhanced, control."""
        mixes = self.mixes(hour, split)
        counts = [int(rng.poisson(mix.requests)) for mix in mixes]
        bursts = clustered(rng, sum(counts) * float(self.hours.burst_ratio[hour]), split.share)
        stalls = clustered(rng, sum(counts) * float(self.hours.stall_ratio[hour]), split.share)
        samples = []
        for count, mix, burst, stall in zip(counts, mixes, bursts, stalls, strict=True):
            errors = min(count, int(clumped(rng, count * mix.error_ratio)) + burst)
            waiting = min(count, stall)
            binned = _binned(rng, count - waiting, mix.log_median, mix.sigma)
            if waiting:
                binned = binned + _binned(rng, waiting, math.log(STALL_SECONDS), STALL_SIGMA)
            factor, other = (float(value) for value in np.exp(rng.normal(0.0, blur, 2)))
            buckets = dict(zip(EDGES, (np.cumsum(binned) * other).tolist(), strict=True))
            slow = buckets[math.inf] - buckets[1.0]
            samples.append(CohortSample(count * factor, errors * factor, slow, buckets))
        return samples[0], samples[1]

    def _hit_ratio(self, hour: int, stage: Stage, share: float) -> float:
        """Of both cohorts together: they share one Redis, and the metric has no cohort."""
        since = hour - stage.started
        warmth = COLD_HOURS * (math.exp(-since / COLD_HOURS) - math.exp(-(since + 1) / COLD_HOURS))
        moved = max(0, stage.percentage - stage.previous) / 100
        part = stage.percentage / 100
        points = COLD_POINTS * moved * warmth + SPLIT_POINTS * 4 * part * (1 - part) + self.effect.hit_points * share
        return float(self.hours.hit_ratio[hour]) - points / 100

    def baseline(self) -> Baseline:
        """The day before the campaign, at 0 %."""
        stage = Stage(0, 0, SLOTS_COUNT)
        windows = [self.window(hour, stage) for hour in range(SLOTS_COUNT)]
        return Baseline(windows[-1].ended_at, 3600.0, tuple(_slot(window) for window in windows))


def clumped(rng: np.random.Generator, mean: float | Array) -> NDArray[np.int64]:
    """Numbers of failing requests, which come in clumps."""
    clumps = rng.poisson(np.asarray(mean) / ERROR_CLUMP)
    more = rng.negative_binomial(np.maximum(clumps, 1), 1 / ERROR_CLUMP)
    counts: NDArray[np.int64] = clumps + np.where(clumps > 0, more, 0)
    return counts


def clustered(rng: np.random.Generator, total: float, share: float) -> tuple[int, int]:
    """Split what hits both cohorts at once by who happens to be there: enhanced, control."""
    hit = round(total)
    if not 1e-6 < share < 1 - 1e-6:
        return (hit, 0) if share > 0.5 else (0, hit)
    enhanced = int(rng.binomial(hit, rng.beta(share * BURST_PEOPLE, (1 - share) * BURST_PEOPLE)))
    return enhanced, hit - enhanced


def quantile(buckets: Mapping[float, float], part: float) -> float:
    """What ``histogram_quantile`` says: linear between two edges, and never beyond the last finite one."""
    wanted = part * buckets[math.inf]
    low_edge = low_count = 0.0
    for edge, count in buckets.items():
        if math.isinf(edge):
            break
        if count >= wanted:
            return low_edge + (edge - low_edge) * (wanted - low_count) / max(count - low_count, 1e-9)
        low_edge, low_count = edge, count
    return low_edge


def _binned(rng: np.random.Generator, count: int, log_median: float, sigma: float) -> Array:
    """Requests between the edges, of a lognormal."""
    below = [0.5 * math.erfc((log_median - log_edge) / (sigma * SQRT_2)) for log_edge in LOG_EDGES]
    return rng.multinomial(count, [high - low for low, high in pairwise([0.0, *below, 1.0])]).astype(float)


def _slot(window: RolloutWindow) -> BaselineSlot:
    enhanced, control = window.enhanced, window.control
    if enhanced is None or control is None:
        return BaselineSlot(window.started_at, window.observed_ratio)
    requests = enhanced.requests + control.requests
    return BaselineSlot(
        window.started_at,
        window.observed_ratio,
        window.hit_ratio,
        window.penetration_ratio,
        quantile({edge: enhanced.buckets[edge] + control.buckets[edge] for edge in EDGES}, 0.95),
        ((enhanced.errors or 0) + (control.errors or 0)) / requests,
        ((enhanced.slow or 0) + (control.slow or 0)) / requests,
        requests,
    )
