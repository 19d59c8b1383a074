"""How long is an answer kept? Pure functions; the numbers are the site's contract."""

import random
from enum import IntEnum

from common.cache.access_stats import AccessStats

JITTER_RATIO = 0.10
MAX_NULL_TTL_SECONDS = 300
# Between this share of the TTL and its end, an answer is stale: served, and refreshed in the background.
SOFT_EXPIRY_RATIO = 0.8
COLD_BELOW_LOOKUPS = 3
HOT_ABOVE_HITS = 100
HOT_ABOVE_HIT_RATIO = 0.5


class Tier(IntEnum):
    """The TTLs in seconds, by access pattern."""

    EMPTY_LIST = 60
    COLD = 300
    NORMAL = 900
    HOT = 1800


def adaptive_tier(*, access: AccessStats, is_empty_list: bool) -> Tier:
    """Which TTL does an answer deserve?

    An empty list may fill soon. Cold: fewer than three lookups in a day. Hot: hit rate over 50 % and over 100 hits.
    """
    if is_empty_list:
        return Tier.EMPTY_LIST
    if access.hits > HOT_ABOVE_HITS and access.hit_ratio > HOT_ABOVE_HIT_RATIO:
        return Tier.HOT
    if access.lookups < COLD_BELOW_LOOKUPS:
        return Tier.COLD
    return Tier.NORMAL


def jittered(seconds: float) -> float:
    """``seconds`` ±10 %, so that what was stored together does not expire together."""
    return seconds * random.uniform(1 - JITTER_RATIO, 1 + JITTER_RATIO)


def null_ttl_seconds(*, configured: float) -> float:
    """TTL of a NULL_VALUE: as configured, with jitter, and never over 300 s, lest a new object stay invisible."""
    return min(jittered(configured), MAX_NULL_TTL_SECONDS)
