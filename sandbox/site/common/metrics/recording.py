"""Write down what happened to one cache operation or lookup."""

import threading
from collections import Counter
from time import perf_counter

from common.feature_flags import Feature, FeatureFlagService
from common.metrics import definitions as metric
from common.metrics.labels import CacheOperation, LookupStatus

SERVED_FROM_CACHE = (LookupStatus.HIT, LookupStatus.STALE, LookupStatus.NULL_VALUE)


class ProcessTotals:
    """Lookups of this process since it started, by endpoint and status; what the ratio gauges are made of."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[str, Counter[LookupStatus]] = {}

    def add(self, *, endpoint: str, status: LookupStatus) -> tuple[float, float]:
        """Count one lookup.

        Returns:
            Hit rate and penetration rate of the endpoint, both 0..1.
        """
        with self._lock:
            counts = self._counts.setdefault(endpoint, Counter())
            counts[status] += 1
            total = counts.total()
            served = sum(counts[known] for known in SERVED_FROM_CACHE)
            return served / total, counts[LookupStatus.NULL_VALUE] / total


process_totals = ProcessTotals()


def count_lookup(*, endpoint: str, status: LookupStatus) -> None:
    """Count one cache lookup. A bypass is none: there was no cache to ask."""
    if status is LookupStatus.BYPASS:
        return
    metric.CACHE_REQUESTS.labels(endpoint=endpoint, status=status.value).inc()
    hit_rate, penetration_rate = process_totals.add(endpoint=endpoint, status=status)
    metric.CACHE_HIT_RATE.labels(endpoint=endpoint).set(hit_rate)
    metric.CACHE_PENETRATION_RATE.labels(endpoint=endpoint).set(penetration_rate)


def count_penetration_attempt(*, endpoint: str) -> None:
    """Count a lookup of something that does not exist: a NULL_VALUE, or a miss that the database confirmed."""
    metric.CACHE_PENETRATION_ATTEMPTS.labels(endpoint=endpoint).inc()


def observe_operation(*, operation: CacheOperation, endpoint: str, started: float) -> None:
    """Record how long an operation took since ``started`` (``perf_counter``), if CACHE_MONITORING is on."""
    if FeatureFlagService.is_enabled(Feature.CACHE_MONITORING):
        metric.CACHE_OPERATION_DURATION.labels(operation=operation.value, endpoint=endpoint).observe(
            perf_counter() - started
        )
