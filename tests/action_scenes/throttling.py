"""The counters of one throttled address on a Redis of our own; another address stands beside it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from actions_fixtures import environment_of
from redis_topology_fixtures import write_commands
from servers_fixtures import RunningRedis

from action_scenes.scene import Scene
from runbooks_lib.actions.throttling import ResetThrottle

CLIENT = "203.0.113.7"
COUNTER = f"django:1:throttle:anon:{CLIENT}"
OTHER = "django:1:throttle:anon:203.0.113.70"
#: The windows end at this moment whenever the counters are put back: it is the same window then.
_WINDOW_SECONDS = 1800


def reset_throttle(server: RunningRedis) -> Scene:
    """A scene on this server; its database 1 is emptied."""
    client = server.client()
    ends_at_ms = int((time.time() + _WINDOW_SECONDS) * 1000)

    def reset() -> None:
        client.flushdb()
        for key, count in ((COUNTER, 100), (OTHER, 99)):
            client.set(key, count, pxat=ends_at_ms)

    def state() -> dict[str, Any]:
        return {key: client.get(key) for key in (COUNTER, OTHER)}

    reset()
    return Scene(
        action=ResetThrottle(client=CLIENT),
        environment=environment_of(server.url(), key_prefix="django"),
        state=state,
        reset=reset,
        disturb=lambda: client.set(f"django:1:throttle_anon_{CLIENT}", "a list of times", ex=600) and None,
        fulfil=lambda: client.delete(COUNTER) and None,
        write_commands=lambda: write_commands([client]),
    )


def _reset_throttle(request: pytest.FixtureRequest) -> Scene:
    return reset_throttle(request.getfixturevalue("redis_server")())


SCENES: Mapping[str, Callable[[pytest.FixtureRequest], Scene]] = {"reset_throttle": _reset_throttle}
