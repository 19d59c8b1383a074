"""What a healthy day on the site looks like; the traffic and the history are both made from it.

The fractions were measured on the running sandbox over nine minutes at 35 requests per second (see README.md, "How the
history is made"). Those of chapters are what remains once the answers that startup warming loaded have expired.
"""

from __future__ import annotations

from dataclasses import dataclass

MISSING_SHARE = 0.015
WRITES_PER_SECOND = 0.07
# What staff changes: the more there are of a kind, the more often. A changed course takes the lists, and what is
# recommended in its whole topic, out of the cache.
WRITE_SHARES = {"course": 0.1, "chapter": 0.3, "problem": 0.6}
SIGNED_IN_SHARE = 0.5
ANONYMOUS_ADDRESSES = 6000
DEAD_LINKS = 10
MISSING_ID_BASE = 90_000_000


@dataclass(frozen=True)
class Endpoint:
    """One endpoint in the healthy state.

    Attributes:
        share: of all requests, 0..1; the shares add up to 1.
        path: URL path with one placeholder for the id, or none for a list.
        of: what the id belongs to: ``course``, ``chapter``, ``problem``, ``user`` or None for a list.
        miss: share of its lookups that miss, 0..1.
        stale: share of its lookups that are answered stale, 0..1.
        hit_seconds: median time of a request that hits.
        miss_seconds: median time of a request that misses.
        lookup_hit_seconds: median time of the lookup alone, when it hits.
        lookup_miss_seconds: median time of the lookup alone, loading included, when it misses.
    """

    share: float
    path: str
    of: str | None
    miss: float
    stale: float
    hit_seconds: float = 0.003
    miss_seconds: float = 0.0055
    lookup_hit_seconds: float = 0.0010
    lookup_miss_seconds: float = 0.0035


ENDPOINTS = {
    "course-list": Endpoint(0.20, "/api/courses/", None, 0.003, 0.003),
    "course-detail": Endpoint(0.33, "/api/courses/{}/", "course", 0.003, 0.009),
    "course-chapters": Endpoint(0.195, "/api/courses/{}/chapters/", "course", 0.006, 0.013),
    "chapter-detail": Endpoint(0.08, "/api/chapters/{}/", "chapter", 0.150, 0.050),
    "chapter-problems": Endpoint(0.04, "/api/chapters/{}/problems/", "chapter", 0.250, 0.080),
    "problem-detail": Endpoint(0.025, "/api/problems/{}/", "problem", 0.490, 0.022),
    "user-list": Endpoint(0.02, "/api/users/", None, 0.003, 0.005),
    "user-detail": Endpoint(0.01, "/api/users/{}/", "user", 0.290, 0.050),
    "course-recommendations": Endpoint(0.10, "/api/courses/{}/recommendations/", "course", 0.060, 0.030),
}
DETAILS = tuple(name for name, endpoint in ENDPOINTS.items() if endpoint.path.endswith("s/{}/"))
