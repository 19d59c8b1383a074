"""The path of one lookup: choose the cache, count what happened, write it down."""

import time
from time import perf_counter

from common.cache.answer import Answer
from common.cache.bypass import answer_without_redis
from common.cache.enhanced import answer_from_enhanced_cache
from common.cache.errors import CacheUnavailable
from common.cache.keys import CacheKey
from common.cache.legacy import answer_from_legacy_cache
from common.cache.resources import Resource
from common.cache_log.rows import record_row
from common.callers import Caller
from common.feature_flags import Feature
from common.metrics.labels import Cohort, LookupStatus
from common.metrics.recording import count_lookup, count_penetration_attempt

MAX_ID = 2**31 - 1


def look_up(*, resource: Resource, key: CacheKey, caller: Caller) -> Answer:
    """Answer ``key`` from the cache that serves ``caller``, or from the database when Redis is gone.

    Returns:
        The answer; its ``data`` is None when there is no such thing.
    """
    started = perf_counter()
    try:
        if caller.cohort is Cohort.ENHANCED:
            answer = answer_from_enhanced_cache(resource=resource, key=key, features=caller.features)
        else:
            answer = answer_from_legacy_cache(resource=resource, key=key)
    except CacheUnavailable:
        answer = answer_without_redis(resource=resource, key=key, caller=caller)
    count_lookup(endpoint=resource.endpoint, status=answer.status)
    if answer.data is None and answer.status is not LookupStatus.BYPASS:
        count_penetration_attempt(endpoint=resource.endpoint)
    record_row(
        view_name=resource.endpoint,
        status=answer.status,
        duration_ms=(perf_counter() - started) * 1000,
        cohort=caller.cohort,
        created_at=time.time(),
    )
    return answer


def is_refused(*, key: CacheKey, caller: Caller) -> bool:
    """Can no row have these ids? Then neither cache nor database is asked (PENETRATION_PROTECTION).

    Ids are 1..2147483647: the largest table is far below it, and a scan with longer numbers costs nothing.
    """
    if Feature.PENETRATION_PROTECTION not in caller.features:
        return False
    return any(not 1 <= value <= MAX_ID for value in key.ids)
