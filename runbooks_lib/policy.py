"""Every threshold, duration and severity rule of the guide, in one place, with its unit and its reason.

Two kinds of time are kept apart on purpose:

* *Windows and hold times* (15 min, 30 min, 1 h, 24 h) say how long to look or to wait. They are divided by the
  environment's ``time_scale``, so that a sandbox can live through an incident in seconds.
* *Measured times* (a slow request is one over 1 s, a slow warming task one over 60 s) are never scaled: work takes as
  long as it takes, and the site's histogram buckets have their edges there.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace

from runbooks_lib.model import Status


@dataclass(frozen=True, slots=True)
class Threshold:
    """When a measured value is a warning and when it is critical.

    Attributes:
        warn: the value beyond which it is WARN, in ``unit``.
        fail: the value beyond which it is FAIL, in ``unit``.
        unit: ``ratio`` (0..1), ``seconds``, ``per_second``.
        worse: ``below`` when low values are bad, ``above`` when high values are.
        reason: why this value, and where it is written.
    """

    warn: float
    fail: float
    unit: str
    worse: str
    reason: str

    def judge(self, value: float | None) -> Status:
        """OK, WARN or FAIL for a value in ``unit``; UNKNOWN for None or NaN. A value at the threshold is still OK."""
        if value is None or math.isnan(value):
            return Status.UNKNOWN
        sign = 1.0 if self.worse == "above" else -1.0
        if sign * value > sign * self.fail:
            return Status.FAIL
        return Status.WARN if sign * value > sign * self.warn else Status.OK


GUIDE_METRICS = "guide, Critical Metrics to Monitor"
GUIDE_INCIDENT = "guide, Incident Response"

#: In a window: fewer lookups than this say nothing about a rate, in either direction.
MIN_LOOKUPS = 30.0

#: Fewer warming tasks than this cannot show "more than half of them fail".
MIN_WARMING_TASKS = 3.0


@dataclass(frozen=True, slots=True)
class Policy:
    """What counts as normal, and for how long something must last before it has a severity.

    Durations are seconds. ``policy_for(time_scale)`` returns the one to judge with.
    """

    time_scale: float = 1.0

    hit_rate: Threshold = Threshold(0.80, 0.60, "ratio", "below", GUIDE_METRICS)
    penetration: Threshold = Threshold(0.10, 0.20, "ratio", "above", GUIDE_METRICS)
    warming_task: Threshold = Threshold(60.0, 120.0, "seconds", "above", GUIDE_METRICS)
    warming_failures: Threshold = Threshold(
        0.10,
        0.50,
        "ratio",
        "above",
        f"{GUIDE_INCIDENT}: more than half is severity 2; a tenth is worth a look",
    )
    slow_requests: Threshold = Threshold(
        0.01,
        0.05,
        "ratio",
        "above",
        "guide, Alerting Dashboard: requests over 1 s; the share is this project's choice",
    )
    request_errors: Threshold = Threshold(
        0.01,
        0.05,
        "ratio",
        "above",
        "this project's choice: the guide asks to monitor error rates without a number",
    )
    throttled: Threshold = Threshold(
        0.05, 0.20, "ratio", "above", "this project's choice: a healthy site throttles almost nobody"
    )
    memory: Threshold = Threshold(
        0.80, 0.95, "ratio", "above", "guide, Memory Usage High; a full LRU cache is judged by what it evicts"
    )
    evictions: Threshold = Threshold(
        0.0,
        100.0,
        "per_second",
        "above",
        "evicting at all means that the limit is reached; this project's choice",
    )
    redis_latency: Threshold = Threshold(
        0.010,
        0.100,
        "seconds",
        "above",
        "a PING takes well under 1 ms in one data centre; this project's choice",
    )

    slow_request_seconds: float = 1.0

    window_seconds: float = 15 * 60
    lookback_seconds: float = 2 * 3600
    compare_window_seconds: float = 3600
    low_hit_rate_for_seconds: float = 15 * 60
    down_for_seconds: float = 5 * 60
    hit_rate_major_for_seconds: float = 30 * 60
    #: Long enough for an hourly schedule to show three runs: one failure of one would prove nothing.
    warming_window_seconds: float = 4 * 3600
    warming_interval_seconds: float = 3600
    baseline_seconds: float = 24 * 3600
    stage_soak_seconds: float = 24 * 3600

    #: Never scaled: how long an operator waits for all systems together.
    deadline_seconds: float = 6.0

    @property
    def min_lookups_per_second(self) -> float:
        """Traffic below this says nothing about a rate: 30 lookups in 15 min, scaled with the window."""
        return MIN_LOOKUPS / self.window_seconds


_SCALED = (
    "window_seconds",
    "lookback_seconds",
    "compare_window_seconds",
    "low_hit_rate_for_seconds",
    "down_for_seconds",
    "hit_rate_major_for_seconds",
    "warming_window_seconds",
    "warming_interval_seconds",
    "baseline_seconds",
    "stage_soak_seconds",
)


def policy_for(time_scale: float = 1.0) -> Policy:
    """The guide's policy with its windows and hold times divided by ``time_scale`` (> 0).

    Raises:
        ValueError: the scale is not a positive number.
    """
    if not 0 < time_scale < float("inf"):
        raise ValueError(f"time_scale must be over 0, not {time_scale}")
    base = Policy()
    return replace(base, time_scale=time_scale, **{name: getattr(base, name) / time_scale for name in _SCALED})


@dataclass(frozen=True, slots=True)
class GuideSettings:
    """The guide's settings for Redis and Django, in their own words and units. None of them is scaled."""

    maxmemory: str = "4gb"
    maxmemory_policy: str = "allkeys-lru"
    timeout_seconds: int = 300
    tcp_keepalive_seconds: int = 60

    backend: str = "django_redis.cache.RedisCache"
    client_class: str = "django_redis.client.DefaultClient"
    compressor: str = "django_redis.compressors.zlib.ZlibCompressor"
    max_connections: int = 100
    retry_on_timeout: bool = True
    key_prefix: str = "django"
    throttle_classes: tuple[str, ...] = ("common.throttling.AnonRateThrottle", "common.throttling.UserRateThrottle")
    anon_rate: str = "100/hour"
    user_rate: str = "1000/hour"
    warming_interval_seconds: int = 3600


GUIDE = GuideSettings()

_PERIOD_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_RATE = re.compile(r"\s*(\d{1,9})\s*/\s*([smhd])")


def allowance(rate: object) -> tuple[int, int] | None:
    """A rate of REST framework as (requests, seconds): ``100/hour`` → (100, 3600); None for what is none."""
    match = _RATE.match(rate) if isinstance(rate, str) else None
    return None if match is None else (int(match[1]), _PERIOD_SECONDS[match[2]])
