"""A cache that holds everything that a site may keep in one database, on a Redis of our own."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
from actions_fixtures import environment_of
from redis_topology_fixtures import write_commands
from servers_fixtures import RunningRedis

from action_scenes.scene import Scene
from runbooks_lib.actions.keys.clearing import ClearAll, ClearPattern

ANSWERS = [b"django:1:api:CourseViewSet:%d" % number for number in range(40)]
OTHERS = {
    **{b"django:1:api:UserViewSet:%d" % number: b"x" for number in range(5)},
    b"django:1:django.contrib.sessions.cache0123456789abcdef": b"a session",
    b"django:1:throttle:anon:203.0.113.7": b"99",
    b"django:1:feature_flag:ENHANCED_CACHE": b"25",
    b"cache_warming_lock:startup:all": b"held",
    b"cache_stats:django:1:api:CourseViewSet:1": b"statistics",
    b"other:1:api:CourseViewSet:1": b"another site",
}


def fill(client, *, also: Mapping[bytes, bytes] = OTHERS) -> None:
    """Nothing but these keys."""
    client.flushdb()
    client.mset({**dict.fromkeys(ANSWERS, b"an answer"), **also})


def clear_pattern(server: RunningRedis) -> Scene:
    """A scene on this server; its database 1 is emptied."""
    return _scene(
        server, ClearPattern(pattern="api:CourseViewSet:*", max_keys=50), lambda client: client.unlink(*ANSWERS)
    )


def clear_all(server: RunningRedis) -> Scene:
    """A scene on this server; its database 1 is emptied."""
    own = [name for name in (*ANSWERS, *OTHERS) if name.startswith(b"django:1:")]
    return _scene(server, ClearAll(max_keys=60), lambda client: client.unlink(*own))


def _scene(server: RunningRedis, action: ClearPattern | ClearAll, fulfil: Callable) -> Scene:
    client = server.client()
    fill(client)
    return Scene(
        action=action,
        environment=environment_of(server.url(), key_prefix="django"),
        state=lambda: sorted(client.scan_iter(count=1000)),
        reset=lambda: fill(client),
        disturb=lambda: client.mset({f"django:1:api:CourseViewSet:new:{number}": "x" for number in range(30)}) and None,
        fulfil=lambda: fulfil(client) and None,
        write_commands=lambda: write_commands([client]),
    )


SCENES: Mapping[str, Callable[[pytest.FixtureRequest], Scene]] = {
    "clear_pattern": lambda request: clear_pattern(request.getfixturevalue("redis_server")()),
    "clear_all": lambda request: clear_all(request.getfixturevalue("redis_server")()),
}
