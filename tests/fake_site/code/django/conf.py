"""The settings that are asked for."""

import state


class _Settings:
    def __init__(self):
        found = state.read()
        self.FEATURE_FLAG_CACHE_SECONDS = found["copy_seconds"]
        self.CACHE_WARMING = {"ENABLED": found["behaviour"].get("warming_enabled", True)}


settings = _Settings()
