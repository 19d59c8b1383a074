"""Manual cache operations, for ``manage.py shell``."""

from collections.abc import Iterator

from common.cache.connection import guarded, physical_key, redis_client
from common.utils.glob import glob_escape

SCAN_BATCH = 1000
UNLINK_BATCH = 500


def delete_cache_pattern(pattern: str) -> int:
    """Delete the keys of this cache that match ``pattern``, a Redis glob such as ``api:*``.

    Only keys of this cache's prefix and version can match: these come first in every key and are escaped, so they
    are taken literally. Statistics, locks and other sites in the same database stay. SCAN and UNLINK in small
    batches leave Redis free to answer others; KEYS or one big transaction would not.

    Args:
        pattern: glob over the part of the key that follows prefix and version.

    Returns:
        How many keys were deleted.

    Raises:
        ValueError: the pattern is empty; nothing was deleted.
        CacheUnavailable: Redis stopped answering; some keys may be deleted already.
    """
    if not pattern.strip():
        raise ValueError(
            "An empty pattern matches nothing; to delete all answers, say api:*. Nothing was deleted."
        )
    return sum(_unlink(names) for names in _matching_names(f"{glob_escape(physical_key(''))}{pattern}"))


def _matching_names(pattern: str) -> Iterator[list[bytes]]:
    """Names that match, in batches; a name may come twice, which UNLINK does not count twice."""
    cursor = 0
    while True:
        with guarded():
            cursor, names = redis_client().scan(cursor, match=pattern, count=SCAN_BATCH)
        for start in range(0, len(names), UNLINK_BATCH):
            yield names[start : start + UNLINK_BATCH]
        if cursor == 0:
            return


def _unlink(names: list[bytes]) -> int:
    with guarded():
        return int(redis_client().unlink(*names))
