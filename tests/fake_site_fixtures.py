"""The fixture that makes fake sites."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from fake_site.place import FakeSite


@pytest.fixture
def fake_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., FakeSite]]:
    """Makes fake sites: ``fake_site()``, ``fake_site(redis_port)``; each in a folder of its own."""
    made: list[FakeSite] = []

    def make(redis_port: int = 0) -> FakeSite:
        made.append(FakeSite(tmp_path_factory.mktemp("fake_site"), redis_port))
        return made[-1]

    yield make
    for site in made:
        site.close()


@pytest.fixture(scope="module")
def scene_redis(redis_server):
    """One Redis for all scenes of a module; a scene empties it before it begins."""
    return redis_server()
