"""Fills the cache as a day of traffic would have, as a program inside the site.

How often each thing is asked for decides whether its answer is in such a cache, how old it is (``steady_state``), and
what the site remembers of it: a key that was asked for a few times lives longer (adaptive TTL). Without the ages, a
cache that was filled at one moment would also expire at one moment; without the memory, after five minutes.

The answers are loaded by the site's own code, but in this process, so no metric counts them. There are two and a half
thousand, which takes a core some seconds; where the database is a copy of a template, they are kept beside it and taken
from there the next time.

Run as ``python -m sandbox.content.warm_up HOME [ANSWERS]``; without the file nothing is kept, and nothing old is taken.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox.content.steady_state import Life
from sandbox.errors import SandboxError
from sandbox.files import read_json, write_text
from sandbox.history.timeline import DAY_SECONDS
from sandbox.layout import Home
from sandbox.traffic.activity import activity
from sandbox.traffic.control import read_load
from sandbox.traffic.plan import Content, Popularity, popularity_of
from sandbox.traffic.profile import ENDPOINTS

# Enough for a normal life; what is really popular passes the site's threshold of 100 within minutes by itself.
MOST_HITS = 50
DAYS_MISSES = 3
# A cache that nobody visits is filled as if a few did.
LEAST_PER_SECOND = 1.0


@dataclass(frozen=True)
class Known:
    """One key of the site, and how often visitors ask for it."""

    key: Any
    resource: Any
    asked_per_second: float

    @property
    def asked_per_day(self) -> float:
        """Lookups in a day."""
        return self.asked_per_second * DAY_SECONDS


def known_keys(popularity: Iterable[Popularity]) -> list[Known]:
    """Name everything that visitors look at as the site's cache does."""
    from common.cache.keys import CacheKey, query_of
    from common.cache.resources import all_resources

    resources = {resource.endpoint: resource for resource in all_resources().values()}
    known = []
    for one in popularity:
        resource = resources[one.endpoint]
        if ENDPOINTS[one.endpoint].of is None:
            page = one.number if one.number > 1 else None
            key = CacheKey(resource.view, query=query_of(values={"page": page}))
        elif resource.parent is not None:
            key = CacheKey(resource.view, parent=(resource.parent, one.number))
        else:
            key = CacheKey(resource.view, pk=one.number)
        known.append(Known(key, resource, one.asked_per_second))
    return known


def remember(known: Iterable[Known]) -> int:
    """Write down how often each key was asked for in the last day; return for how many keys.

    A key that was asked for too rarely for the longer life is left out: it would be forgotten within the day.
    """
    from common.cache.access_stats import EXPIRES_AFTER_SECONDS, stats_key
    from common.cache.connection import redis_client

    pipeline, count, now = redis_client().pipeline(transaction=False), 0, int(time.time())
    for one in known:
        if one.asked_per_day >= DAYS_MISSES:
            hits = min(MOST_HITS, int(one.asked_per_day))
            name = stats_key(str(one.key))
            pipeline.hset(name, mapping={"hits": hits, "misses": DAYS_MISSES, "last_access": now})
            pipeline.expire(name, EXPIRES_AFTER_SECONDS)
            count += 1
    pipeline.execute()
    return count


def choose(known: Iterable[Known], dice: random.Random) -> dict[Known, tuple[Life, float]]:
    """Draw what is in the cache at one moment of the steady state, with its life and its age in seconds."""
    from common.cache.ttl import SOFT_EXPIRY_RATIO, Tier, jittered

    chosen = {}
    for one in known:
        tier = Tier.NORMAL if one.asked_per_day >= DAYS_MISSES else Tier.COLD
        life = Life(one.asked_per_second, jittered(tier), SOFT_EXPIRY_RATIO)
        # Two draws for every key: at another hour nearly the same ones are chosen.
        place, chance = dice.random(), dice.random()
        if place < life.present_ratio:
            chosen[one] = life, life.age_seconds(chance)
    return chosen


def load_answers(known: Iterable[Known], kept: Mapping[str, Any]) -> dict[str, Any]:
    """Return the answer to every key, by name: the kept one, else loaded from the database.

    Raises:
        SandboxError: the site has no such thing.
    """
    answers = {}
    for one in known:
        name = str(one.key)
        answers[name] = kept[name] if name in kept else one.resource.load(one.key)
        if answers[name] is None:
            raise SandboxError(f"The site has no {name}, which its catalogue names.")
    return answers


def store(chosen: Mapping[Known, tuple[Life, float]], answers: Mapping[str, Any]) -> None:
    """Store the answers as if that had happened some time ago, in one go."""
    from common.cache.connection import physical_key, redis_client
    from common.cache.entries import Entry, encode
    from django.core.cache import cache

    pipeline = redis_client().pipeline(transaction=False)
    for one, (life, age_seconds) in chosen.items():
        name, ttl_seconds = str(one.key), life.ttl_seconds
        entry = Entry(answers[name], time.time() - age_seconds, life.fresh_ratio * ttl_seconds, ttl_seconds)
        value = cache.client.encode(encode(entry))
        pipeline.set(physical_key(name), value, px=max(1, round(1000 * (ttl_seconds - age_seconds))))
    pipeline.execute()


def main(arguments: list[str]) -> int:
    """Fill the cache of one sandbox; return the exit code."""
    import django

    django.setup()
    home, began = Home(Path(arguments[0])), time.monotonic()
    keep = Path(arguments[1]) if len(arguments) > 1 else None
    load = read_load(home.traffic_control)
    rate = max(LEAST_PER_SECOND, load.rate_per_second * activity(time.time()))
    known = known_keys(popularity_of(Content(**read_json(home.catalogue)), load.exponent, rate))
    remembered = remember(known)
    noted = time.monotonic()
    chosen = choose(known, random.Random(1))
    kept = read_json(keep, {}) if keep else {}
    answers = load_answers(chosen, kept)
    loaded = time.monotonic()
    store(chosen, answers)
    if keep and answers.keys() - kept.keys():
        write_text(keep, json.dumps(kept | answers))
    print(
        f"access remembered for {remembered} keys in {noted - began:.1f} s, "
        f"{len(answers)} answers, {len(answers.keys() - kept.keys())} of them loaded in {loaded - noted:.1f} s, "
        f"stored in {time.monotonic() - loaded:.1f} s"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
