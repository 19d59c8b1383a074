"""Is a caller being throttled? Asking does not use up the allowance."""

import datetime as dt
from typing import Any

from django.http import HttpRequest
from rest_framework.request import Request

from common.cache.errors import CacheUnavailable
from common.callers import caller_of
from common.feature_flags import Feature
from common.throttling.throttles import AnonRateThrottle, UserRateThrottle
from common.throttling.window import read_window


def get_rate_limit_status(request: Request | HttpRequest) -> dict[str, Any]:
    """How much of the allowance is left for the caller of ``request``?

    Returns:
        ``scope`` (``anon`` or ``user``), ``limit`` (requests per window), ``remaining``, ``reset_at`` (aware UTC;
        None before the first request), ``throttled``. While Redis is gone, or RATE_LIMITING is off, nothing is
        limited: ``throttled`` is False; ``remaining`` and ``reset_at`` are None, because nobody counts.
    """
    caller = caller_of(request)
    throttle = AnonRateThrottle() if caller.is_anonymous else UserRateThrottle()
    status: dict[str, Any] = {
        "scope": throttle.scope,
        "limit": throttle.num_requests,
        "remaining": None,
        "reset_at": None,
        "throttled": False,
    }
    if Feature.RATE_LIMITING not in caller.features:
        return status
    try:
        window = read_window(scope=throttle.scope, ident=str(throttle.get_cache_key(request, None)))
    except CacheUnavailable:
        return status
    status["remaining"] = max(0, throttle.num_requests - window.count)
    status["throttled"] = window.count >= throttle.num_requests
    if window.reset_at is not None:
        status["reset_at"] = dt.datetime.fromtimestamp(window.reset_at, tz=dt.UTC)
    return status


def is_throttled(request: Request | HttpRequest) -> tuple[bool, str | None]:
    """Would the next request of this caller be refused?

    Returns:
        Whether, and the reason in words, or None.
    """
    status = get_rate_limit_status(request)
    if not status["throttled"]:
        return False, None
    return (
        True,
        f"{status['limit']} requests of scope {status['scope']} used up until {status['reset_at']:%H:%M:%S} UTC",
    )
