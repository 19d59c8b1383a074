"""Read, write and delete what is stored under a key. Every way into and out of the cache ends here."""

import time
from collections.abc import Sequence
from time import perf_counter
from typing import Literal

from django.conf import settings
from django.core.cache import cache
from django_redis.exceptions import CompressorError

from common.cache.access_stats import AccessStats
from common.cache.connection import guarded
from common.cache.entries import NULL_VALUE, Entry, decode, encode
from common.cache.resources import Payload
from common.cache.ttl import SOFT_EXPIRY_RATIO, Tier, adaptive_tier, jittered, null_ttl_seconds
from common.faults import Fault, fault_parameters
from common.metrics.labels import CacheOperation
from common.metrics.recording import observe_operation


def read(*, name: str, endpoint: str) -> Entry | Literal["NULL_VALUE"] | None:
    """What is stored under ``name``; None for nothing, or for a value that another program wrote.

    Raises:
        CacheUnavailable: Redis did not answer.
    """
    started = perf_counter()
    with guarded():
        try:
            value = cache.get(name)
        except (CompressorError, ValueError):
            # Not ours. It counts as a miss, and is overwritten.
            value = None
    observe_operation(operation=CacheOperation.GET, endpoint=endpoint, started=started)
    found = decode(value)
    if found is not None and never_stores(endpoint):
        delete(names=[name], endpoint=endpoint)
        return None
    return found


def write(*, name: str, endpoint: str, data: Payload, ttl_seconds: float) -> Entry:
    """Store ``data`` for ``ttl_seconds``, to the millisecond.

    Returns:
        The entry, also when the endpoint never stores.

    Raises:
        CacheUnavailable: nothing was stored.
    """
    entry = Entry(data, time.time(), ttl_seconds * SOFT_EXPIRY_RATIO, ttl_seconds)
    if not never_stores(endpoint):
        _set(name=name, endpoint=endpoint, value=encode(entry), ttl_seconds=ttl_seconds)
    return entry


def write_null(*, name: str, endpoint: str) -> None:
    """Note that there is nothing behind ``name``, so that the database is not asked again.

    Raises:
        CacheUnavailable: nothing was stored.
    """
    if not never_stores(endpoint):
        ttl_seconds = null_ttl_seconds(configured=settings.CACHE_NULL_TTL_SECONDS)
        _set(name=name, endpoint=endpoint, value=NULL_VALUE, ttl_seconds=ttl_seconds)


def delete(*, names: Sequence[str], endpoint: str) -> int:
    """Delete ``names``; returns how many there were.

    Raises:
        CacheUnavailable: some of them may still be there.
    """
    started = perf_counter()
    with guarded():
        deleted = int(cache.delete_many(names) or 0)
    observe_operation(operation=CacheOperation.DELETE, endpoint=endpoint, started=started)
    return deleted


def adaptive_ttl_seconds(*, data: Payload, access: AccessStats) -> float:
    """TTL of ``data`` by its access pattern, with jitter."""
    return jittered(adaptive_tier(access=access, is_empty_list=data.get("results") == []))


def fixed_ttl_seconds() -> float:
    """TTL of everything while ADAPTIVE_TTL is off, with jitter."""
    return jittered(Tier.NORMAL)


def never_stores(endpoint: str) -> bool:
    """Is this the endpoint that somebody forgot to cache (fault ``uncached_endpoint``)?"""
    parameters = fault_parameters(Fault.UNCACHED_ENDPOINT)
    return parameters is not None and endpoint == parameters.get("endpoint", "course-recommendations")


def _set(*, name: str, endpoint: str, value: object, ttl_seconds: float) -> None:
    started = perf_counter()
    with guarded():
        cache.set(name, value, timeout=ttl_seconds)
    observe_operation(operation=CacheOperation.SET, endpoint=endpoint, started=started)
