"""What a site that runs for a day remembers of its keys: how often each was asked for.

The site gives a key a longer life once it was asked for a few times (adaptive TTL), and remembers that for a day. A cache
that is filled without this memory loses most of it at once after five minutes. The names of the keys are learned from
the site: one thing of each endpoint is asked for, and the name that appears is the pattern for the others.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from typing import Any

from sandbox.popularity import Zipf
from sandbox.profile import ENDPOINTS
from sandbox.traffic_plan import Content

PREFIX = "cache_stats:"
# Enough for a normal life; what is really popular passes the site's threshold of 100 within minutes by itself.
MOST_HITS = 50
LOOKUPS_PER_DAY = 40 * 86_400
DAY_SECONDS = 86_400
PLACE = "{}"


def learn_patterns(redis: Any, ask: Callable[[str], object], content: Content) -> dict[str, str]:
    """Ask for one thing of each endpoint and return the pattern of its key, by endpoint.

    Nobody else may be asking at the same time. What was stored meanwhile is removed again.

    Args:
        redis: connection to the cache.
        ask: requests a path from the site.
        content: what exists.
    """
    patterns = {}
    for name, endpoint in ENDPOINTS.items():
        if endpoint.of is None:
            continue
        number, before = content.ids(endpoint.of)[-1], _names(redis)
        ask(endpoint.path.format(number))
        new = sorted(_names(redis) - before)
        if len(new) == 1:
            patterns[name] = re.sub(rf"(?<=[:=]){number}(?=:|$)", PLACE, new[0], count=1)
            redis.delete(new[0], new[0].removeprefix(PREFIX))
    return patterns


def remember(redis: Any, patterns: Mapping[str, str], content: Content) -> int:
    """Write the memory of an ordinary day; return for how many keys."""
    pipeline, count, now = redis.pipeline(transaction=False), 0, int(time.time())
    for name, pattern in patterns.items():
        ids = content.ids(ENDPOINTS[name].of or "")
        curve = Zipf(len(ids), 1.0)
        for rank, number in enumerate(ids):
            asked = LOOKUPS_PER_DAY * ENDPOINTS[name].share * curve.share(rank)
            key = pattern.replace(PLACE, str(number))
            pipeline.hset(key, mapping={"hits": min(MOST_HITS, int(asked)), "misses": 3, "last_access": now})
            pipeline.expire(key, DAY_SECONDS)
            count += 1
    pipeline.execute()
    return count


def _names(redis: Any) -> set[str]:
    return {name.decode() for name in redis.scan_iter(match=f"{PREFIX}*", count=1000)}
