"""A stale answer was served: have it refreshed, once."""

from common.cache.keys import CacheKey
from common.metrics.labels import WarmingType
from common.publishing import publish
from common.warming import locks

TASK = "common.tasks.refresh_answer"


def request_refresh(*, key: CacheKey) -> bool:
    """Queue the refresh of ``key``, unless it is queued already; returns whether this call did.

    The worker releases the lock. When the broker is away the lock stays for its minute: it keeps every further
    request from trying the same in vain.

    Raises:
        CacheUnavailable: nobody can know whether it is queued.
    """
    token = locks.acquire(warming_type=WarmingType.ON_DEMAND, identifier=str(key))
    if token is None:
        return False
    publish(task=TASK, arguments=(str(key), token))
    return True
