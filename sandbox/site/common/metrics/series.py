"""Show every series at 0 before anything happened: one that is born with a value is invisible to ``rate()``."""

from itertools import product

from common.endpoints import cached_endpoints, http_endpoints
from common.metrics import definitions as metric
from common.metrics.labels import (
    COUNTED_STATUSES,
    EXPECTED_CODES,
    ROW_OUTCOMES,
    THROTTLE_SCOPES,
    CacheOperation,
    Cohort,
    WarmingStatus,
    WarmingType,
)


def initialise_series() -> None:
    """Create all label combinations in this process. The ratio gauges stay away: without lookups there is none."""
    for endpoint in cached_endpoints():
        metric.CACHE_PENETRATION_ATTEMPTS.labels(endpoint=endpoint)
        for status in COUNTED_STATUSES:
            metric.CACHE_REQUESTS.labels(endpoint=endpoint, status=status.value)
        for operation in CacheOperation:
            metric.CACHE_OPERATION_DURATION.labels(operation=operation.value, endpoint=endpoint)
    for warming_type in WarmingType:
        metric.CACHE_WARMING_ITEMS.labels(warming_type=warming_type.value)
        metric.CACHE_WARMING_DURATION.labels(warming_type=warming_type.value)
        for status in WarmingStatus:
            metric.CACHE_WARMING_TASKS.labels(warming_type=warming_type.value, status=status.value)
    for scope in THROTTLE_SCOPES:
        metric.THROTTLED_REQUESTS.labels(scope=scope)
    for outcome in ROW_OUTCOMES:
        metric.CACHE_STATS_ROWS.labels(outcome=outcome)
    _initialise_http_series()


def _initialise_http_series() -> None:
    for endpoint, cohort in product(http_endpoints(), Cohort):
        metric.HTTP_REQUEST_DURATION.labels(endpoint=endpoint, cohort=cohort.value)
        for method, codes in EXPECTED_CODES.items():
            for code in codes:
                if method == "GET" or endpoint.endswith("-detail"):
                    metric.HTTP_REQUESTS.labels(
                        endpoint=endpoint, method=method, code=code, cohort=cohort.value
                    )
