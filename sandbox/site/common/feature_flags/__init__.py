"""Feature flags: which caller gets which feature.

The store is the SQL database, so that a flag can be read and changed while Redis is down. Each process keeps a copy
for ``FEATURE_FLAG_CACHE_SECONDS``; a change is in force everywhere after that time.
"""

from common.feature_flags.names import Feature, Strategy
from common.feature_flags.service import (
    FeatureFlagService,
    disable_cache_feature,
    enable_cache_feature,
    is_cache_feature_enabled,
)

__all__ = [
    "Feature",
    "FeatureFlagService",
    "Strategy",
    "disable_cache_feature",
    "enable_cache_feature",
    "is_cache_feature_enabled",
]
