"""The plain cache that the enhanced one replaces: look, load, keep for five minutes.

It stays until the rollout is done: callers without ENHANCED_CACHE are served by it, and are what the others are
compared with.
"""

import time

from common.cache import store
from common.cache.answer import Answer
from common.cache.entries import Entry
from common.cache.errors import CacheUnavailable
from common.cache.keys import LEGACY, CacheKey
from common.cache.resources import Resource
from common.metrics.labels import LookupStatus

TTL_SECONDS = 300.0


def answer_from_legacy_cache(*, resource: Resource, key: CacheKey) -> Answer:
    """Answer ``key``, stored as ``legacy:…``. What does not exist is asked of the database each time.

    Raises:
        CacheUnavailable: Redis did not answer the read.
    """
    name = key.name(namespace=LEGACY)
    found = store.read(name=name, endpoint=resource.endpoint)
    if isinstance(found, Entry):
        age_seconds = found.age_seconds(now=time.time())
        remaining = max(0.0, found.ttl_seconds - age_seconds)
        return Answer(LookupStatus.HIT, found.data, age_seconds=age_seconds, fresh_seconds=remaining)
    data = resource.load(key)
    if data is None:
        return Answer(LookupStatus.MISS, None)
    try:
        store.write(name=name, endpoint=resource.endpoint, data=data, ttl_seconds=TTL_SECONDS)
    except CacheUnavailable:
        return Answer(LookupStatus.MISS, data)
    return Answer(LookupStatus.MISS, data, fresh_seconds=TTL_SECONDS)
