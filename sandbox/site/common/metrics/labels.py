"""The values that the labels of the metrics can take."""

from enum import StrEnum


class LookupStatus(StrEnum):
    """How one cache lookup ended. ``bypass`` means that there was none, because Redis did not answer."""

    HIT = "hit"
    MISS = "miss"
    NULL_VALUE = "null_value"
    STALE = "stale"
    BYPASS = "bypass"


COUNTED_STATUSES = (LookupStatus.HIT, LookupStatus.MISS, LookupStatus.NULL_VALUE, LookupStatus.STALE)


class CacheOperation(StrEnum):
    """What was asked of Redis."""

    GET = "get"
    SET = "set"
    DELETE = "delete"


class WarmingType(StrEnum):
    """Why a value was warmed."""

    STARTUP = "startup"
    ON_DEMAND = "on_demand"
    SCHEDULED = "scheduled"


class WarmingStatus(StrEnum):
    """How a warming run ended."""

    SUCCESS = "success"
    ERROR = "error"
    SKIPPED = "skipped"


class Cohort(StrEnum):
    """Which cache served a caller."""

    ENHANCED = "enhanced"
    LEGACY = "legacy"


THROTTLE_SCOPES = ("anon", "user")
ROW_OUTCOMES = ("written", "dropped")

# What a request can plausibly end in: these series exist from the start.
EXPECTED_CODES = {
    "GET": ("200", "400", "401", "404", "429", "500"),
    "PATCH": ("200", "400", "401", "403", "404", "429", "500"),
}
