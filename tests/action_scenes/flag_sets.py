"""Scenes of the actions on several feature flags, on the fake site."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from fake_site.place import FakeSite

from action_scenes.scene import Scene
from runbooks_lib.actions.flags.feature_sets import FallBackToPageCache, RestoreFeatures, RollBackFeatures

BEFORE = {"ENHANCED_CACHE": ("gradual", 50), "CACHE_WARMING": ("on", 100), "RATE_LIMITING": ("on", 100)}
PAGES = {"ENHANCED_CACHE": ("on", 100), "PAGE_CACHE": ("off", 0)}
RESTORED = {"ENHANCED_CACHE": {"strategy": "gradual", "percentage": 50}, "RATE_LIMITING": {"strategy": "on"}}


def _set_all(site: FakeSite, flags: Mapping[str, tuple[str, int]]) -> None:
    for name, (strategy, percentage) in flags.items():
        site.set_flag(name, strategy, percentage)


def _scene(
    request: pytest.FixtureRequest,
    action: Any,
    before: Mapping[str, tuple[str, int]],
    after: Mapping[str, tuple[str, int]],
) -> Scene:
    site = request.getfixturevalue("fake_site")()
    _set_all(site, before)
    return Scene(
        action=action,
        environment=site.environment,
        state=lambda: site.flags,
        reset=lambda: _set_all(site, before),
        disturb=lambda: site.set_flag("ENHANCED_CACHE", "gradual", 33),
        fulfil=lambda: _set_all(site, after),
    )


def _roll_back(request: pytest.FixtureRequest) -> Scene:
    return _scene(request, RollBackFeatures(), BEFORE, dict.fromkeys(BEFORE, ("off", 0)))


def _fall_back(request: pytest.FixtureRequest) -> Scene:
    after = {"ENHANCED_CACHE": ("off", 0), "PAGE_CACHE": ("on", 100)}
    return _scene(request, FallBackToPageCache(), PAGES, after)


def _restore(request: pytest.FixtureRequest) -> Scene:
    before = dict.fromkeys(BEFORE, ("off", 0))
    after = {"ENHANCED_CACHE": ("gradual", 50), "RATE_LIMITING": ("on", 100)}
    return _scene(request, RestoreFeatures(states=json.dumps(RESTORED)), before, after)


SCENES: Mapping[str, Callable[[pytest.FixtureRequest], Scene]] = {
    "roll_back_features": _roll_back,
    "fall_back_to_page_cache": _fall_back,
    "restore_features": _restore,
}
