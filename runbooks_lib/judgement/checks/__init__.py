"""Each check holds one fact against the policy and returns one finding.

A fact that could not be read arrives as ``Unreadable`` and leaves as an UNKNOWN finding with its reason and hint.
"""

from runbooks_lib.judgement.checks.cache import (
    check_hit_rate,
    check_penetration,
    check_warming_duration,
    check_warming_failures,
    check_warming_locks,
    worst_warming,
)
from runbooks_lib.judgement.checks.redis import check_memory, check_redis
from runbooks_lib.judgement.checks.site import (
    check_alerts,
    check_flags,
    check_health,
    check_request_errors,
    check_slow_requests,
    check_throttling,
)

__all__ = [
    "check_alerts",
    "check_flags",
    "check_health",
    "check_hit_rate",
    "check_memory",
    "check_penetration",
    "check_redis",
    "check_request_errors",
    "check_slow_requests",
    "check_throttling",
    "check_warming_duration",
    "check_warming_failures",
    "check_warming_locks",
    "worst_warming",
]
