"""The settings that are asked for."""

from datetime import timedelta

import state


class _Settings:
    def __init__(self):
        found = state.read()
        seconds, as_duration = found["copy_seconds"], found["behaviour"].get("copy_as_duration")
        self.FEATURE_FLAG_CACHE_SECONDS = timedelta(seconds=seconds) if as_duration else seconds
        self.CACHES = found["caches"]
        self.REST_FRAMEWORK = {"DEFAULT_THROTTLE_RATES": {"anon": "50/hour"}}
        self.CACHES = found.get("caches", {})
        self.CACHE_WARMING = {"ENABLED": found["behaviour"].get("warming_enabled", True)}


settings = _Settings()
