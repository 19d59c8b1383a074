"""Fills the cache as a week of traffic would have, as a program inside the site.

Startup warming loads courses, chapters and the first problems; visitors also look at what it does not load. The
requests go through the site's own views, in this process: they count in no metric that Prometheus scrapes, and its
database is a copy, so that they leave no rows in ``cache_stats``.

Run as ``python -m sandbox.warm_up HOME visited|everything``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from itertools import count, product
from pathlib import Path

from sandbox.access_memory import learn_patterns, remember
from sandbox.files import read_json, write_json
from sandbox.layout import Home
from sandbox.profile import ENDPOINTS
from sandbox.traffic_plan import LIST_PAGES, Content, anonymous_address

# The most popular things of each endpoint. Startup warming loads the courses with their chapters, and problems.
VISITED = {
    "course-recommendations": slice(0, None),
    "chapter-problems": slice(0, 160),
    "user-detail": slice(0, 80),
    "problem-detail": slice(100, 260),
}
BY_STARTUP = {
    "course-detail": slice(0, None),
    "course-chapters": slice(0, None),
    "chapter-detail": slice(0, None),
    "problem-detail": slice(0, 260),
}
DEPTHS = {"visited": VISITED, "everything": VISITED | BY_STARTUP}
FIRST_ADDRESS = 20_000


def paths(content: Content, depths: Mapping[str, slice]) -> Iterator[str]:
    """Yield the paths to ask for."""
    for name, page in product(("user-list", "course-list"), range(1, LIST_PAGES + 1)):
        yield ENDPOINTS[name].path + (f"?page={page}" if page > 1 else "")
    for name, depth in depths.items():
        endpoint = ENDPOINTS[name]
        for number in content.ids(endpoint.of or "")[depth]:
            yield endpoint.path.format(number)


def main(arguments: list[str]) -> int:
    """Ask for everything once; return the exit code."""
    import django

    django.setup()
    from django.test import Client
    from django_redis import get_redis_connection

    home = Home(Path(arguments[0]))
    content, visitors = Content(**read_json(home.catalogue)), count(FIRST_ADDRESS * 20)
    client, redis = Client(SERVER_NAME="127.0.0.1"), get_redis_connection("default")

    def ask(path: str) -> int:
        address = anonymous_address(next(visitors) // 20)
        return int(client.get(path, headers={"X-Forwarded-For": address}).status_code)

    if not home.key_patterns.exists():
        write_json(home.key_patterns, learn_patterns(redis, ask, content))
    keys = remember(redis, read_json(home.key_patterns), content)
    codes = [ask(path) for path in paths(content, DEPTHS[arguments[1]])]
    print(f"{len(codes)} answers, {codes.count(200)} of them 200; access remembered for {keys} keys")
    return 0 if codes.count(200) == len(codes) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
