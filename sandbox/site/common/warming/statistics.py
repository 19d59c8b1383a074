"""The hash ``cache_warming_stats``, without prefix: what warming did so far, for operators with ``redis-cli``."""

import time

from common.cache.connection import guarded, redis_client
from common.metrics.labels import WarmingType

STATISTICS_KEY = "cache_warming_stats"


def record_run(
    *, warming_type: WarmingType, items_count: int, failures_count: int, duration_seconds: float
) -> None:
    """Add one run that was not skipped.

    Fields: ``<type>_count`` (values stored), ``<type>_tasks`` (runs), ``<type>_failures`` (runs that failed),
    ``<type>_duration`` (seconds, sum), ``<type>_last_run`` (unix time of the last end).

    Raises:
        CacheUnavailable: nothing was recorded.
    """
    name = warming_type.value
    with guarded():
        pipeline = redis_client().pipeline(transaction=True)
        pipeline.hincrby(STATISTICS_KEY, f"{name}_count", items_count)
        pipeline.hincrby(STATISTICS_KEY, f"{name}_tasks", 1)
        pipeline.hincrby(STATISTICS_KEY, f"{name}_failures", failures_count)
        pipeline.hincrbyfloat(STATISTICS_KEY, f"{name}_duration", round(duration_seconds, 3))
        pipeline.hset(STATISTICS_KEY, f"{name}_last_run", round(time.time(), 3))
        pipeline.execute()
