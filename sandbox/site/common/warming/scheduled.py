"""Scheduled warming: keep what is asked for often from ever expiring."""

import heapq
from collections.abc import Iterator

from common.cache.access_stats import AccessStats, scan_access
from common.cache.key_names import parse_key
from common.cache.keys import CacheKey
from common.metrics.labels import WarmingType
from common.warming.runs import WarmingOutcome, skipped, warm_exclusively
from common.warming.switches import warming_is_enabled

MIN_HIT_RATIO = 0.30
MIN_LOOKUPS = 100
MAX_KEYS = 1000


def warm_on_schedule() -> WarmingOutcome:
    """Refresh the keys with a hit rate over 30 % and more than 100 lookups in their day."""
    if not warming_is_enabled():
        return skipped(warming_type=WarmingType.SCHEDULED, reason="warming is switched off")
    return warm_exclusively(warming_type=WarmingType.SCHEDULED, keys=_popular_keys())


def deserves_warming(access: AccessStats) -> bool:
    """Is a key asked for often enough, and found often enough, to be kept warm?"""
    return access.lookups > MIN_LOOKUPS and access.hit_ratio > MIN_HIT_RATIO


def _popular_keys() -> Iterator[CacheKey]:
    """The thousand keys with the most lookups at the most, by priority of their resource, then by lookups.

    Answers for one user are left out: they are nobody else's.

    Raises:
        CacheUnavailable: Redis stopped answering during the walk.
    """
    candidates: dict[str, AccessStats] = {
        name: access for name, access in scan_access() if deserves_warming(access)
    }
    most_asked = heapq.nlargest(MAX_KEYS, candidates.items(), key=lambda item: item[1].lookups)
    ranked = []
    for name, access in most_asked:
        parsed = parse_key(name)
        if parsed is not None and parsed[1].user_id is None:
            resource, key = parsed
            ranked.append((resource.warming_priority, -access.lookups, name, key))
    yield from (key for *_, key in sorted(ranked, key=lambda item: item[:3]))
