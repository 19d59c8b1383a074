"""The hours of the simulated site: how busy, how faulty, how slow, how well cached, and how well observed each one is.

Both cohorts live through the same hours. Days differ, hours differ around their day, and now and then something
falls over. Every number has its reason beside it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runbooks_lib.facts.rollout import SLOTS_COUNT

Array = NDArray[np.float64]

REQUESTS_PER_HOUR = 20 * 3600
#: A campaign of six stages takes 144 looks; one that is not over after two weeks has stalled.
HORIZON_HOURS = 14 * 24
HOURS = SLOTS_COUNT + HORIZON_HOURS

#: Between 10 and 30 requests per second over a day, least at 03 h UTC; 15 % less at the weekend.
DAILY_AMPLITUDE, PEAK_HOUR, WEEKEND_RATIO = 0.5, 15, 0.85
#: Days and hours are busier than their kind by about so much (lognormal).
DAY_TRAFFIC_SIGMA, HOUR_TRAFFIC_SIGMA = 0.10, 0.10

#: 0.5 % of the requests fail; more on some days and in some hours, for both cohorts alike.
ERROR_RATIO = 0.005
DAY_ERROR_SIGMA, HOUR_ERROR_SIGMA = 0.20, 0.25
#: Every two days something falls over for minutes: that costs 1 % of the hour's requests in the median, at times 5 %.
BURST_PROBABILITY, BURST_RATIO, BURST_SIGMA = 0.02, 0.01, 0.7

#: Lognormal; medians differ from campaign to campaign, so that p95 lies anywhere between two edges.
MEDIAN_SECONDS = (0.015, 0.060)
#: Days and hours are slower than their kind by about so much; the busiest hour by 5 % more.
DAY_LATENCY_SIGMA, HOUR_LATENCY_SIGMA, BUSY_LATENCY = 0.05, 0.08, 0.1
#: In 3 % of the hours the database hangs for a while, and 1 to 5 % of the requests wait for it.
STALL_PROBABILITY, STALL_RATIO = 0.03, (0.01, 0.05)

#: The hit rate of a healthy site, by campaign; then by day, by hour (a little memory from hour to hour), less at night
#: and at the weekend. In points.
HIT_RATIO = (0.90, 0.96)
DAY_HIT_POINTS, HOUR_HIT_POINTS, HOUR_HIT_MEMORY, NIGHT_HIT_POINTS, WEEKEND_HIT_POINTS = 0.7, 0.5, 0.6, 1.0, 0.7

#: Scrapes are missed in part in 2 % of the hours; nothing at all is seen in outages of two hours on average.
PARTIAL_PROBABILITY, OUTAGE_PROBABILITY, OUTAGE_HOURS = 0.02, 0.005, 2.0
#: An execution does not happen (3 %); now and then six in a row.
MISSED_PROBABILITY, MISSED_NIGHT_PROBABILITY, MISSED_NIGHT = 0.03, 0.002, 6


@dataclass(frozen=True, slots=True)
class Hours:
    """One value for each hour, the day before the campaign first.

    Attributes:
        first: which hour of the week the first one is; 0 is Monday, 00 h UTC.
        requests: of both cohorts, on average for such an hour.
        error_ratio: of the requests that fail anyway, 0..1.
        burst_ratio: of the requests that fail on top of it in a burst; mostly 0.
        log_median: natural logarithm of the median duration in seconds.
        stall_ratio: of the requests that wait for a hanging database; mostly 0.
        hit_ratio: without the feature, 0..1.
        observed_ratio: the part of the hour that was scraped, 0..1.
        executed: whether the campaign was executed at its end.
    """

    first: int
    requests: Array
    error_ratio: Array
    burst_ratio: Array
    log_median: Array
    stall_ratio: Array
    hit_ratio: Array
    observed_ratio: Array
    executed: NDArray[np.bool_]


def draw_hours(rng: np.random.Generator, *, drift_points: float) -> Hours:
    """One campaign's hours; ``drift_points`` is what the site's hit rate loses for good after two days."""
    first = int(rng.integers(0, 7 * 24))
    clock = np.arange(HOURS) + first
    weekend = (clock // 24) % 7 >= 5
    daily = 1 + DAILY_AMPLITUDE * np.cos(2 * np.pi * (clock - PEAK_HOUR) / 24)
    busy = _wandering(rng, clock, DAY_TRAFFIC_SIGMA, HOUR_TRAFFIC_SIGMA)
    faulty = _wandering(rng, clock, DAY_ERROR_SIGMA, HOUR_ERROR_SIGMA)
    slow = _wandering(rng, clock, DAY_LATENCY_SIGMA, HOUR_LATENCY_SIGMA) + BUSY_LATENCY * (daily - 1)
    points = _by_day(rng, clock, DAY_HIT_POINTS) + _with_memory(rng) - WEEKEND_HIT_POINTS * weekend
    points += NIGHT_HIT_POINTS * (daily - 1)
    points[SLOTS_COUNT + 48 :] -= drift_points
    return Hours(
        first,
        requests=REQUESTS_PER_HOUR * daily * np.where(weekend, WEEKEND_RATIO, 1.0) * np.exp(busy),
        error_ratio=ERROR_RATIO * np.exp(faulty),
        burst_ratio=_now_and_then(rng, BURST_PROBABILITY) * BURST_RATIO * rng.lognormal(0, BURST_SIGMA, HOURS),
        log_median=rng.uniform(*np.log(MEDIAN_SECONDS)) + slow,
        stall_ratio=_now_and_then(rng, STALL_PROBABILITY) * rng.uniform(*STALL_RATIO, HOURS),
        hit_ratio=rng.uniform(*HIT_RATIO) + points / 100,
        observed_ratio=_observed(rng),
        executed=_executed(rng),
    )


def _now_and_then(rng: np.random.Generator, probability: float) -> NDArray[np.bool_]:
    return rng.random(HOURS) < probability


def _wandering(rng: np.random.Generator, clock: NDArray[np.int64], by_day: float, by_hour: float) -> Array:
    return _by_day(rng, clock, by_day) + rng.normal(0, by_hour, HOURS)


def _by_day(rng: np.random.Generator, clock: NDArray[np.int64], sigma: float) -> Array:
    """One draw for each day, repeated for its hours."""
    days = clock // 24
    drawn: Array = rng.normal(0, sigma, int(days[-1]) + 1)[days]
    return drawn


def _with_memory(rng: np.random.Generator) -> Array:
    """The hit rate's own wandering from hour to hour, in points."""
    noise = rng.normal(0, HOUR_HIT_POINTS * math.sqrt(1 - HOUR_HIT_MEMORY**2), HOURS)
    for hour in range(1, HOURS):
        noise[hour] += HOUR_HIT_MEMORY * noise[hour - 1]
    return noise


def _observed(rng: np.random.Generator) -> Array:
    observed = np.where(_now_and_then(rng, PARTIAL_PROBABILITY), rng.uniform(0.3, 1.0, HOURS), 1.0)
    for hour in np.flatnonzero(_now_and_then(rng, OUTAGE_PROBABILITY)):
        observed[hour : hour + int(rng.geometric(1 / OUTAGE_HOURS))] = 0.0
    return observed


def _executed(rng: np.random.Generator) -> NDArray[np.bool_]:
    executed = ~_now_and_then(rng, MISSED_PROBABILITY)
    for hour in np.flatnonzero(_now_and_then(rng, MISSED_NIGHT_PROBABILITY)):
        executed[hour : hour + MISSED_NIGHT] = False
    return executed
