"""The way to Redis: every command goes through ``guarded()``."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from django.core.cache import cache
from django_redis import get_redis_connection
from django_redis.exceptions import ConnectionInterrupted
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import MaxConnectionsError, RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from common.cache.breaker import CircuitBreaker
from common.cache.errors import CacheUnavailable
from common.log_limits import RateLimitedLog

logger = logging.getLogger(__name__)
refused_log = RateLimitedLog(logger=logger)

breaker = CircuitBreaker(recovery_seconds=1.0)


@contextmanager
def guarded() -> Iterator[None]:
    """Run Redis commands, or learn at once that there is no Redis.

    Raises:
        CacheUnavailable: no connection, no answer in time, an error as the answer, or the breaker is open.
    """
    if not breaker.allows():
        raise CacheUnavailable("Redis failed within the last second")
    with probing():
        yield


@contextmanager
def probing() -> Iterator[None]:
    """Like ``guarded()``, and ask Redis even if it failed a moment ago; the outcome counts for everybody.

    Raises:
        CacheUnavailable: no connection, no answer in time, or an error as the answer.
    """
    try:
        yield
    except (RedisError, ConnectionInterrupted, OSError) as error:
        cause = error.__cause__ if isinstance(error, ConnectionInterrupted) and error.__cause__ else error
        _note_failure(cause)
        raise CacheUnavailable(str(cause)) from error
    if breaker.succeeded():
        logger.info("Redis answers again")


def redis_client() -> Redis:
    """The client of the default cache, for commands that the cache interface lacks; use it inside ``guarded()``."""
    client: Redis = get_redis_connection("default")
    return client


def physical_key(key: str) -> str:
    """The name of ``key`` in Redis: prefix, version and key."""
    name: str = cache.make_key(key)
    return name


def _note_failure(cause: BaseException) -> None:
    """Open the breaker if Redis is away. A refusal (OOM, READONLY, WRONGTYPE) is an answer: reads may still work."""
    if isinstance(cause, MaxConnectionsError) or not isinstance(
        cause, (RedisConnectionError, RedisTimeoutError, OSError)
    ):
        refused_log.warning(f"Redis refused a command: {cause}")
        return
    if breaker.failed():
        logger.warning("Redis does not answer, serving from the database: %s", cause)
