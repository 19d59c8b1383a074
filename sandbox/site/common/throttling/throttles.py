"""The throttles that REST framework applies: one for anonymous callers, one for signed-in ones."""

import logging
import time
from typing import TYPE_CHECKING

from rest_framework.request import Request
from rest_framework.settings import api_settings
from rest_framework.throttling import SimpleRateThrottle

from common.cache.errors import CacheUnavailable
from common.callers import caller_of, client_address
from common.feature_flags import Feature
from common.log_limits import RateLimitedLog
from common.metrics.definitions import THROTTLED_REQUESTS
from common.throttling.window import Window, count_request

if TYPE_CHECKING:  # REST framework imports this module while it defines its views
    from rest_framework.views import APIView

fail_open_log = RateLimitedLog(logger=logging.getLogger(__name__))


class WindowThrottle(SimpleRateThrottle):
    """Allows ``rate`` requests per window; rates are those of ``DEFAULT_THROTTLE_RATES``.

    After ``allow_request``, ``window`` holds the state, or None when the request was not counted: another throttle
    is responsible, RATE_LIMITING is off, or Redis is gone. In the last case every request is allowed: refusing all
    readers because a counter is away would make a small outage a large one.
    """

    window: Window | None = None

    def get_rate(self) -> str:
        """The configured rate, read now rather than at import."""
        return api_settings.DEFAULT_THROTTLE_RATES[self.scope]

    def get_cache_key(self, request: Request, view: "APIView | None") -> str | None:
        """Whose allowance this request uses; None when this throttle is not responsible."""
        return None

    def allow_request(self, request: Request, view: "APIView") -> bool:
        """Count the request, and tell whether it may pass."""
        ident = self.get_cache_key(request, view)
        if ident is None or Feature.RATE_LIMITING not in caller_of(request).features:
            return True
        try:
            self.window = count_request(scope=self.scope, ident=ident, window_seconds=self.duration)
        except CacheUnavailable as error:
            fail_open_log.warning(f"throttling fails open, requests are not limited: {error}")
            return True
        if self.window.count <= self.num_requests:
            return True
        THROTTLED_REQUESTS.labels(scope=self.scope).inc()
        return False

    def wait(self) -> float | None:
        """Seconds until the window ends, for ``Retry-After``."""
        if self.window is None or self.window.reset_at is None:
            return None
        return max(0.0, self.window.reset_at - time.time())


class AnonRateThrottle(WindowThrottle):
    """100 requests per hour and address (scope ``anon``)."""

    scope = "anon"

    def get_cache_key(self, request: Request, view: "APIView | None") -> str | None:
        """The address of an anonymous caller."""
        return (
            client_address(getattr(request, "_request", request)) if caller_of(request).is_anonymous else None
        )


class UserRateThrottle(WindowThrottle):
    """1000 requests per hour and signed-in user (scope ``user``)."""

    scope = "user"

    def get_cache_key(self, request: Request, view: "APIView | None") -> str | None:
        """The id of a signed-in user."""
        user_id = caller_of(request).user_id
        return None if user_id is None else str(user_id)
