"""Scenes of the actions over warming: the fake site, and a Redis of our own."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from action_scenes.scene import Scene
from runbooks_lib.actions.warming.actions import (
    RemoveWarmingLock,
    RemoveWarmingStatistics,
    RestoreWarmingStatistics,
    TriggerWarming,
)

KEY, LOCK = "cache_warming_stats", "cache_warming_lock:startup:all"
OLD_RUN = 1_700_000_000
#: Commands that change keys; those of ``redis-py``'s own housekeeping are not among them.
WRITING = ("set", "del", "unlink", "hset", "hdel", "hsetnx", "hincrby", "hincrbyfloat", "eval", "expire")


def statistics(strategy: str, *, last_run: float, count: int = 100) -> dict[str, str]:
    """The fields of one strategy as a site writes them."""
    values = {"count": count, "tasks": 2, "failures": 0, "duration": 12.5, "last_run": last_run}
    return {f"{strategy}_{name}": str(value) for name, value in values.items()}


def writes(client: Any) -> int:
    """How many writing commands the server has carried out."""
    stats = client.info("commandstats")
    return sum(int(stats.get(f"cmdstat_{name}", {}).get("calls", 0)) for name in WRITING)


def _scene(request: pytest.FixtureRequest, action: Any, **acts: Callable[[Any], Any]) -> Scene:
    """Each act gets a client of the Redis, which is empty but for what ``reset`` puts there."""
    server = request.getfixturevalue("scene_redis")
    client = server.client()
    site = request.getfixturevalue("fake_site")(server.port)

    def reset() -> None:
        client.flushdb()
        acts["reset"](client)

    reset()
    return Scene(
        action=action,
        environment=site.environment,
        state=lambda: (client.hgetall(KEY), {name: client.get(name) for name in client.keys("cache_warming_lock:*")}),
        reset=reset,
        disturb=lambda: acts["disturb"](client),
        fulfil=(lambda: acts["fulfil"](client)) if "fulfil" in acts else None,
        write_commands=lambda: writes(client),
    )


def _trigger(request: pytest.FixtureRequest) -> Scene:
    before = statistics("startup", last_run=OLD_RUN)
    return _scene(
        request,
        TriggerWarming(strategy="startup", wait_seconds=5),
        reset=lambda client: client.hset(KEY, mapping=before),
        disturb=lambda client: client.set(LOCK, "somebody", ex=600),
    )


def _remove_lock(request: pytest.FixtureRequest) -> Scene:
    return _scene(
        request,
        RemoveWarmingLock(lock=LOCK),
        reset=lambda client: client.set(LOCK, "token-of-the-dead"),
        disturb=lambda client: client.set(LOCK, "token-of-the-living"),
        fulfil=lambda client: client.delete(LOCK),
    )


def _remove_statistics(request: pytest.FixtureRequest) -> Scene:
    old, new = statistics("startup", last_run=OLD_RUN), statistics("scheduled", last_run=time.time())
    return _scene(
        request,
        RemoveWarmingStatistics(),
        reset=lambda client: client.hset(KEY, mapping={**old, **new}),
        disturb=lambda client: client.hset(KEY, mapping=statistics("startup", last_run=OLD_RUN + 60)),
        fulfil=lambda client: client.hdel(KEY, *old),
    )


def _restore_statistics(request: pytest.FixtureRequest) -> Scene:
    fields = {**statistics("startup", last_run=OLD_RUN), **statistics("on_demand", last_run=OLD_RUN)}
    return _scene(
        request,
        RestoreWarmingStatistics(fields=json.dumps(fields)),
        reset=lambda client: client.hset(KEY, mapping=statistics("scheduled", last_run=time.time())),
        disturb=lambda client: client.hset(KEY, mapping=statistics("on_demand", last_run=time.time())),
        fulfil=lambda client: client.hset(KEY, mapping=fields),
    )


SCENES: Mapping[str, Callable[[pytest.FixtureRequest], Scene]] = {
    "trigger_warming": _trigger,
    "remove_warming_lock": _remove_lock,
    "remove_warming_statistics": _remove_statistics,
    "restore_warming_statistics": _restore_statistics,
}
