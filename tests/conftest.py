"""What all tests share: the folders that tests import from, and the fixtures in ``*_fixtures.py``."""

import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
sys.path[:0] = [str(TESTS), str(TESTS.parent)]

from sandbox_order import in_order  # noqa: E402 - from the folder above

pytest_plugins = sorted(path.stem for path in TESTS.glob("*_fixtures.py"))
# Some of them import others; pytest must know all before it imports the first.
pytest.register_assert_rewrite(*pytest_plugins)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what uses the session's sandbox, directly or through another fixture: ``lanes.sh`` runs it beside the rest.

    It comes after the rest, in an order in which tests wait little for the site to recover from one another.
    """
    for item in items:
        if "sandbox" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.sandbox)
    items[:] = in_order(items)
