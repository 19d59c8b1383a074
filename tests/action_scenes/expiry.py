"""Cached answers that never expire, beside some that do, on a Redis of our own."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
from actions_fixtures import environment_of
from redis_topology_fixtures import write_commands
from servers_fixtures import RunningRedis

from action_scenes.scene import Scene
from runbooks_lib.actions.keys.expiry import ExpireKeys

LASTING = [b"django:1:api:CourseViewSet:%d" % number for number in range(30)]
EXPIRING = [b"django:1:api:CourseViewSet:short:%d" % number for number in range(10)]
SHORT_SECONDS = 300


def fill(client) -> None:
    """Nothing but these keys."""
    client.flushdb()
    for name in LASTING:
        client.set(name, "an answer")
    for name in EXPIRING:
        client.set(name, "an answer", ex=SHORT_SECONDS)
    client.set("django:1:django.contrib.sessions.cache0123456789abcdef", "a session")


def expire_keys(server: RunningRedis) -> Scene:
    """A scene on this server; its database 1 is emptied."""
    client = server.client()
    fill(client)

    def fulfil() -> None:
        for name in LASTING:
            client.expire(name, 600)

    def disturb() -> None:
        client.mset({f"django:1:api:CourseViewSet:new:{number}": "x" for number in range(30)})

    return Scene(
        action=ExpireKeys(pattern="api:CourseViewSet:*", ttl_seconds=900, max_keys=50),
        environment=environment_of(server.url(), key_prefix="django"),
        state=lambda: {name: client.ttl(name) == -1 for name in sorted(client.scan_iter(count=1000))},
        reset=lambda: fill(client),
        disturb=disturb,
        fulfil=fulfil,
        write_commands=lambda: write_commands([client]),
    )


SCENES: Mapping[str, Callable[[pytest.FixtureRequest], Scene]] = {
    "expire_keys": lambda request: expire_keys(request.getfixturevalue("redis_server")()),
}
