"""Locks that keep two processes from warming the same thing.

``cache_warming_lock:<type>:<identifier>``, without prefix. A lock always ends by itself: a worker that is killed
cannot release it.
"""

import secrets

from common.cache.connection import guarded, redis_client
from common.metrics.labels import WarmingType

# Longer than the longest run: tasks are stopped after 330 s.
LOCK_SECONDS = {WarmingType.STARTUP: 600, WarmingType.SCHEDULED: 600, WarmingType.ON_DEMAND: 60}

# Only the owner may release: after an expiry the lock may belong to somebody else.
RELEASE_SCRIPT = """
if redis.call('GET', KEYS[1]) == ARGV[1] then
    return redis.call('DEL', KEYS[1])
end
return 0
"""


def lock_key(*, warming_type: WarmingType, identifier: str) -> str:
    """The name of the lock in Redis."""
    return f"cache_warming_lock:{warming_type.value}:{identifier}"


def acquire(*, warming_type: WarmingType, identifier: str, seconds: int | None = None) -> str | None:
    """Take the lock; returns the token that releases it, or None when somebody else holds it.

    Raises:
        CacheUnavailable: nobody can know who holds it.
    """
    token = secrets.token_hex(8)
    with guarded():
        taken = redis_client().set(
            lock_key(warming_type=warming_type, identifier=identifier),
            token,
            nx=True,
            ex=seconds or LOCK_SECONDS[warming_type],
        )
    return token if taken else None


def release(*, warming_type: WarmingType, identifier: str, token: str) -> bool:
    """Give the lock back; returns whether it still was ours.

    Raises:
        CacheUnavailable: it ends by itself.
    """
    with guarded():
        client = redis_client()
        script = client.register_script(RELEASE_SCRIPT)
        key = lock_key(warming_type=warming_type, identifier=identifier)
        return bool(script(keys=[key], args=[token], client=client))
