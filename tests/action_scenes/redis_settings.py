"""The settings of a Redis of our own, all four different from the guide's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from actions_fixtures import environment_of
from redis_topology_fixtures import write_commands
from servers_fixtures import RunningRedis

from action_scenes.scene import Scene
from runbooks_lib.actions.redis_settings import TuneRedis

#: Not the guide's 4gb: a limit over the RAM of a small machine would rightly be refused.
WANTED = {"maxmemory": "67108864", "maxmemory-policy": "allkeys-lru", "timeout": "300", "tcp-keepalive": "60"}
BEFORE = {"maxmemory": "134217728", "maxmemory-policy": "noeviction", "timeout": "0", "tcp-keepalive": "300"}


def tune_redis(server: RunningRedis) -> Scene:
    """A scene on this server."""
    client = server.client()

    def put(values: dict[str, str]) -> None:
        for name, value in values.items():
            client.config_set(name, value)

    def state() -> dict[str, Any]:
        return {name: client.config_get(name)[name] for name in WANTED}

    put(BEFORE)
    return Scene(
        action=TuneRedis(maxmemory="64mb"),
        environment=environment_of(server.url()),
        state=state,
        reset=lambda: put(BEFORE),
        disturb=lambda: client.config_set("timeout", 17) and None,
        fulfil=lambda: put(WANTED),
        write_commands=lambda: write_commands([client]),
    )


def _tune_redis(request: pytest.FixtureRequest) -> Scene:
    return tune_redis(request.getfixturevalue("redis_server")())


SCENES: Mapping[str, Callable[[pytest.FixtureRequest], Scene]] = {"tune_redis": _tune_redis}
