"""Read everything that the health answer needs, in a bounded time."""

from dataclasses import dataclass
from time import perf_counter

from common.cache.connection import probing, redis_client
from common.cache.errors import CacheUnavailable
from common.metrics.labels import WarmingType
from common.warming.locks import lock_key
from common.warming.runs import WHOLE_SITE
from common.warming.statistics import STATISTICS_KEY


@dataclass(frozen=True)
class RedisReading:
    """One look at Redis.

    Attributes:
        latency_ms: duration of one PING.
        used_memory_bytes: what Redis has allocated.
        maxmemory_bytes: its limit; 0 means none.
        last_warming_at: unix time at which the last startup or scheduled run ended; None before the first.
        warming_running: does a startup or scheduled run hold its lock?
    """

    latency_ms: float
    used_memory_bytes: int
    maxmemory_bytes: int
    last_warming_at: float | None
    warming_running: bool


def read_redis() -> RedisReading | None:
    """Ask Redis, in two round trips; None when it does not answer.

    The circuit breaker is not consulted: a health check that repeats what was true a second ago would be late, and
    the socket timeouts bound it to less than a second.
    """
    runs = (WarmingType.STARTUP, WarmingType.SCHEDULED)
    try:
        with probing():
            client = redis_client()
            started = perf_counter()
            client.ping()
            latency_ms = (perf_counter() - started) * 1000
            pipeline = client.pipeline(transaction=False)
            pipeline.info("memory")
            pipeline.hmget(STATISTICS_KEY, [f"{run}_last_run" for run in runs])
            pipeline.exists(*(lock_key(warming_type=run, identifier=WHOLE_SITE) for run in runs))
            memory, last_runs, locks = pipeline.execute()
    except CacheUnavailable:
        return None
    ended_at = [float(value) for value in last_runs if value is not None]
    return RedisReading(
        latency_ms=round(latency_ms, 3),
        used_memory_bytes=memory["used_memory"],
        maxmemory_bytes=memory["maxmemory"],
        last_warming_at=max(ended_at, default=None),
        warming_running=locks > 0,
    )
