"""Endpoint labels as people can read them: object ids folded, the tail summed up."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable

from runbooks_lib.facts import EndpointLookups

#: Longer tables are not read; what is left out is summed up in one last entry.
MAX_ENDPOINTS = 50
_LONGEST_NAME = 120
_STATUSES = ("hit", "miss", "null_value", "stale")
#: A number, a UUID or a long hexadecimal id that fills the space between two separators.
_ID = re.compile(
    r"(?<![^/:=.])"
    r"(?:\d+|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|(?=[a-f]*\d)[0-9a-f]{16,})"
    r"(?![^/:?&.])",
    re.IGNORECASE,
)


def folded(endpoint: str) -> str:
    """The endpoint without object ids: ``/courses/123/chapters/7`` → ``/courses/<id>/chapters/<id>``.

    At most 120 characters; an endpoint without a name is ``(no endpoint)``.
    """
    return _ID.sub("<id>", endpoint)[:_LONGEST_NAME] or "(no endpoint)"


def by_endpoint(counts: Iterable[tuple[str, str, float]]) -> tuple[EndpointLookups, ...]:
    """Lookups by endpoint, most first; the 51st and the following ones are summed up as ``(N others)``.

    Args:
        counts: endpoint, status, lookups. A status that is not one of the four is counted as a miss: it was a lookup,
            and it did not come from the cache.
    """
    sums: dict[str, dict[str, float]] = defaultdict(lambda: dict.fromkeys(_STATUSES, 0.0))
    for endpoint, status, lookups in counts:
        sums[folded(endpoint)][status if status in _STATUSES else "miss"] += lookups
    ordered = sorted((EndpointLookups(name, **by) for name, by in sums.items()), key=lambda e: (-e.total, e.endpoint))
    if len(ordered) <= MAX_ENDPOINTS:
        return tuple(ordered)
    tail = ordered[MAX_ENDPOINTS:]
    rest = {status: sum(getattr(one, status) for one in tail) for status in _STATUSES}
    return (*ordered[:MAX_ENDPOINTS], EndpointLookups(f"({len(tail)} others)", **rest))
