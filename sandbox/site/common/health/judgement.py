"""What do the readings mean? The thresholds are the guide's warnings."""

from enum import StrEnum

from common.health.selectors import RedisReading
from common.metrics.totals import LookupTotals

MIN_HIT_RATIO = 0.80
MAX_PENETRATION_RATIO = 0.10
MAX_LATENCY_MS = 100.0
# Fewer lookups say nothing: a cache that was just started begins with misses.
MIN_LOOKUPS = 200


class HealthStatus(StrEnum):
    """The state of the cache; ``degraded`` still serves."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    DOWN = "down"


def judge(*, redis: RedisReading | None, totals: LookupTotals) -> HealthStatus:
    """Down: Redis does not answer. Degraded: it is slow, or the recent ratios are beyond the thresholds.

    Memory is not judged: a full cache that evicts is doing its job.
    """
    if redis is None:
        return HealthStatus.DOWN
    if redis.latency_ms > MAX_LATENCY_MS:
        return HealthStatus.DEGRADED
    hit_ratio, penetration_ratio = totals.hit_ratio, totals.penetration_ratio
    if totals.count < MIN_LOOKUPS or hit_ratio is None or penetration_ratio is None:
        return HealthStatus.HEALTHY
    bad = hit_ratio < MIN_HIT_RATIO or penetration_ratio > MAX_PENETRATION_RATIO
    return HealthStatus.DEGRADED if bad else HealthStatus.HEALTHY
