"""The features that can be switched, and the ways to roll one out."""

from enum import StrEnum


class Feature(StrEnum):
    """What a flag switches. The value is the label ``feature`` of the metric ``feature_flag_percentage``."""

    # Answers come from the enhanced cache; without it from the plain one (cohort `legacy`).
    ENHANCED_CACHE = "ENHANCED_CACHE"
    # Any warming: at start, on demand, scheduled. Without it a value is fresh until it expires.
    CACHE_WARMING = "CACHE_WARMING"
    # Rows in cache_stats and the histogram of cache operations. The counters always run.
    CACHE_MONITORING = "CACHE_MONITORING"
    # Throttling.
    RATE_LIMITING = "RATE_LIMITING"
    # NULL_VALUE caching, and refusing ids that no row can have.
    PENETRATION_PROTECTION = "PENETRATION_PROTECTION"
    # TTL by access pattern; without it one TTL for all values.
    ADAPTIVE_TTL = "ADAPTIVE_TTL"
    # Files answer anonymous readers while Redis does not.
    PAGE_CACHE = "PAGE_CACHE"


class Strategy(StrEnum):
    """Who gets the feature."""

    OFF = "off"
    GRADUAL = "gradual"
    WHITELIST = "whitelist"
    ON = "on"
    BETA = "beta"


# What a flag without a row does: the healthy site.
DEFAULT_STRATEGY = {
    feature: Strategy.OFF if feature is Feature.PAGE_CACHE else Strategy.ON for feature in Feature
}
