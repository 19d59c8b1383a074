"""The enhanced cache: NULL_VALUE, adaptive TTL, stale while revalidate."""

import time
from collections.abc import Set as AbstractSet

from common.cache import store
from common.cache.access_stats import AccessStats, read_access, record_access
from common.cache.answer import Answer
from common.cache.entries import NULL_VALUE, Entry
from common.cache.errors import CacheUnavailable
from common.cache.keys import CacheKey
from common.cache.resources import Payload, Resource
from common.enhanced_faults import overlooks
from common.feature_flags import Feature
from common.metrics.labels import LookupStatus
from common.warming.refresh_requests import request_refresh
from common.warming.switches import warming_is_enabled


def answer_from_enhanced_cache(
    *, resource: Resource, key: CacheKey, features: AbstractSet[Feature]
) -> Answer:
    """Answer ``key``; after a miss, store what the database said.

    Raises:
        CacheUnavailable: Redis did not answer the read. A failing write is no error: the answer is there.
    """
    found = store.read(name=str(key), endpoint=resource.endpoint)
    if overlooks():
        found = None
    if isinstance(found, Entry):
        return _answer_found(key=key, entry=found)
    if found == NULL_VALUE and Feature.PENETRATION_PROTECTION in features:
        # A NULL_VALUE does not carry its time: twelve bytes for each id that somebody makes up are enough.
        return Answer(status=LookupStatus.NULL_VALUE, data=None, age_seconds=None)
    data = resource.load(key)
    try:
        fresh_seconds = _store_loaded(resource=resource, key=key, data=data, features=features)
    except CacheUnavailable:
        fresh_seconds = 0.0
    return Answer(status=LookupStatus.MISS, data=data, fresh_seconds=fresh_seconds)


def store_answer(
    *, resource: Resource, key: CacheKey, data: Payload | None, features: AbstractSet[Feature]
) -> bool:
    """Store what warming loaded; a thing that is gone is deleted from the cache.

    Args:
        features: features in force for this process.

    Returns:
        Whether there was something to store.

    Raises:
        CacheUnavailable: nothing was stored.
    """
    if data is None:
        store.delete(names=[str(key)], endpoint=resource.endpoint)
        return False
    _write(resource=resource, key=key, data=data, access=read_access(key=str(key)), features=features)
    return True


def _answer_found(*, key: CacheKey, entry: Entry) -> Answer:
    now = time.time()
    # Stale means that a refresh is on its way. Where nobody warms, an answer is good until it expires.
    is_stale = not entry.is_fresh(now=now) and warming_is_enabled()
    try:
        record_access(key=str(key), field="hits")
        if is_stale:
            request_refresh(key=key)
    except CacheUnavailable:
        # The entry is in our hands; statistics and refresh can wait.
        pass
    return Answer(
        status=LookupStatus.STALE if is_stale else LookupStatus.HIT,
        data=entry.data,
        age_seconds=entry.age_seconds(now=now),
        fresh_seconds=max(0.0, entry.fresh_seconds - entry.age_seconds(now=now)),
    )


def _store_loaded(
    *, resource: Resource, key: CacheKey, data: Payload | None, features: AbstractSet[Feature]
) -> float:
    """Store the outcome of a miss; returns for how many seconds it is fresh."""
    if data is None:
        if Feature.PENETRATION_PROTECTION in features:
            store.write_null(name=str(key), endpoint=resource.endpoint)
        return 0.0
    access = record_access(key=str(key), field="misses")
    return _write(resource=resource, key=key, data=data, access=access, features=features).fresh_seconds


def _write(
    *, resource: Resource, key: CacheKey, data: Payload, access: AccessStats, features: AbstractSet[Feature]
) -> Entry:
    if Feature.ADAPTIVE_TTL in features:
        ttl_seconds = store.adaptive_ttl_seconds(data=data, access=access)
    else:
        ttl_seconds = store.fixed_ttl_seconds()
    return store.write(name=str(key), endpoint=resource.endpoint, data=data, ttl_seconds=ttl_seconds)
