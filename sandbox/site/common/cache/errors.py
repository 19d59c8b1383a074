"""The one error that callers of the cache have to answer."""


class CacheUnavailable(Exception):
    """Redis did not answer, or was not asked because it did not answer a moment ago; carry on without it."""
