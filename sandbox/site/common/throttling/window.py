"""Count requests in a window of time, in Redis, atomically.

The window is fixed: it starts with a caller's first request. Around its end a caller can make up to twice the limit
in a short time; in exchange each request costs one small command, where a list of time stamps would cost more with
each request. The counters share the cache with the answers, as ``throttle:<scope>:<ident>``: ``cache.clear()``
gives everybody a new allowance, ``delete_cache_pattern("api:*")`` does not.
"""

import time
from dataclasses import dataclass

from common.cache.connection import guarded, physical_key, redis_client

# One script instead of INCR and EXPIRE: a process that dies in between would leave a counter that never ends.
COUNT_SCRIPT = """
local count = redis.call('INCR', KEYS[1])
local remaining_ms = redis.call('PTTL', KEYS[1])
if remaining_ms < 0 then
    redis.call('PEXPIRE', KEYS[1], ARGV[1])
    remaining_ms = tonumber(ARGV[1])
end
return {count, remaining_ms}
"""


@dataclass(frozen=True)
class Window:
    """The state of one caller's window.

    Attributes:
        count: requests counted so far.
        reset_at: unix time at which the window ends; None before its first request.
    """

    count: int
    reset_at: float | None


def window_key(*, scope: str, ident: str) -> str:
    """The name in Redis of a caller's counter."""
    return physical_key(f"throttle:{scope}:{ident}")


def count_request(*, scope: str, ident: str, window_seconds: float) -> Window:
    """Count one request.

    Raises:
        CacheUnavailable: it was probably not counted.
    """
    with guarded():
        client = redis_client()
        script = client.register_script(COUNT_SCRIPT)
        count, remaining_ms = script(
            keys=[window_key(scope=scope, ident=ident)], args=[int(window_seconds * 1000)], client=client
        )
    return Window(count=int(count), reset_at=time.time() + int(remaining_ms) / 1000)


def read_window(*, scope: str, ident: str) -> Window:
    """The window as it is; nothing is counted.

    Raises:
        CacheUnavailable: it could not be read.
    """
    name = window_key(scope=scope, ident=ident)
    with guarded():
        pipeline = redis_client().pipeline(transaction=False)
        pipeline.get(name)
        pipeline.pttl(name)
        count, remaining_ms = pipeline.execute()
    reset_at = time.time() + int(remaining_ms) / 1000 if int(remaining_ms) > 0 else None
    return Window(count=int(count or 0), reset_at=reset_at)
