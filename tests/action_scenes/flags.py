"""Scenes of the actions on one feature flag, on the fake site."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from action_scenes.scene import Scene
from runbooks_lib.actions.flags.feature import (
    AddToWhitelist,
    DisableFeature,
    EnableFeature,
    RemoveFromWhitelist,
    SetPercentage,
)
from runbooks_lib.actions.flags.rollout import MoveRollout, StartRollout

FEATURE, USER = "ENHANCED_CACHE", 12345
HALF = ("gradual", 50, (7, USER))


def _scene(request: pytest.FixtureRequest, action: Any, before: tuple[Any, ...], after: tuple[Any, ...]) -> Scene:
    """The flag goes from one state to another; somebody else setting 33 % disturbs it."""
    site = request.getfixturevalue("fake_site")()
    site.set_flag(FEATURE, *before)
    return Scene(
        action=action,
        environment=site.environment,
        state=lambda: site.flags,
        reset=lambda: site.set_flag(FEATURE, *before),
        disturb=lambda: site.set_flag(FEATURE, "gradual", 33, (7,)),
        fulfil=lambda: site.set_flag(FEATURE, *after),
    )


def _enable(request: pytest.FixtureRequest) -> Scene:
    return _scene(request, EnableFeature(feature=FEATURE), ("gradual", 25), ("on", 100))


def _disable(request: pytest.FixtureRequest) -> Scene:
    return _scene(request, DisableFeature(feature=FEATURE), HALF, ("off", 0, (7, USER)))


def _set_percentage(request: pytest.FixtureRequest) -> Scene:
    return _scene(request, SetPercentage(feature=FEATURE, percentage=50), ("gradual", 25), ("gradual", 50))


def _start_rollout(request: pytest.FixtureRequest) -> Scene:
    scene = _scene(request, StartRollout(feature=FEATURE, stages="10,50"), ("gradual", 25), ("gradual", 10))
    return dataclasses.replace(scene, fulfil=None)


def _move_rollout(request: pytest.FixtureRequest) -> Scene:
    action = MoveRollout(feature=FEATURE, from_percentage=25, to_percentage=50)
    return _scene(request, action, ("gradual", 25), ("gradual", 50))


def _add(request: pytest.FixtureRequest) -> Scene:
    return _scene(request, AddToWhitelist(feature=FEATURE, user_id=USER), ("gradual", 50, (7,)), HALF)


def _remove(request: pytest.FixtureRequest) -> Scene:
    return _scene(request, RemoveFromWhitelist(feature=FEATURE, user_id=USER), HALF, ("gradual", 50, (7,)))


#: Name of the action → makes its scene; the request gives it servers and sites.
SCENES: Mapping[str, Callable[[pytest.FixtureRequest], Scene]] = {
    "enable_feature": _enable,
    "disable_feature": _disable,
    "set_percentage": _set_percentage,
    "start_rollout": _start_rollout,
    "move_rollout": _move_rollout,
    "add_to_whitelist": _add,
    "remove_from_whitelist": _remove,
}
