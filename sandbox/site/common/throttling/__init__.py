"""Throttling: how many requests may a caller make in an hour?"""

from common.throttling.status import get_rate_limit_status, is_throttled
from common.throttling.throttles import AnonRateThrottle, UserRateThrottle

__all__ = ["AnonRateThrottle", "UserRateThrottle", "get_rate_limit_status", "is_throttled"]
