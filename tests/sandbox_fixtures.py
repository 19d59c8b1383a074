"""Fixtures with a running sandbox, for every test that needs real servers.

``sandbox`` is one running sandbox for the whole session, in a folder of its own; it ends with the session, also when
pytest is killed. ``healthy_sandbox`` is the same, healthy before the test and healed after it; use it wherever a test
injects a fault or changes the load.
"""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable, Iterator

import pytest

from sandbox import Sandbox
from sandbox.measure import Vitals, vitals

HEALTHY_HIT_RATIO = 0.90
HEALTHY_PENETRATION_RATIO = 0.03
WINDOW_SECONDS = 8
#: As long as the window that triage and the health endpoint judge here (15 min at time scale 60), and a scrape.
JUDGED_SECONDS = 17
SETTLE_SECONDS = 75.0


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """One running sandbox for all tests of the session."""
    with Sandbox(tmp_path_factory.mktemp("sandbox")) as running:
        yield running


@pytest.fixture
def healthy_sandbox(sandbox: Sandbox) -> Iterator[Sandbox]:
    """The session's sandbox, healthy; faults and load are put back afterwards."""
    restore_health(sandbox)
    yield sandbox
    heal(sandbox)


def heal(sandbox: Sandbox) -> None:
    """Take all faults away and ask for the default load."""
    sandbox.heal_all()
    settings = sandbox.settings
    sandbox.load(rate_per_second=settings.rate_per_second, exponent=settings.exponent)


def restore_health(sandbox: Sandbox) -> None:
    """Heal everything, warm the cache where that is needed, and wait until Prometheus sees a healthy site."""
    heal(sandbox)
    if not is_healthy(vitals_now(sandbox)):
        sandbox.warm_up()
    eventually(
        lambda: is_healthy(vitals_now(sandbox, window_seconds=JUDGED_SECONDS)) and says_healthy(sandbox),
        seconds=SETTLE_SECONDS,
    )


def says_healthy(sandbox: Sandbox) -> bool:
    """Whether the site's own health endpoint says so, which looks back as far as triage does."""
    url = f"http://127.0.0.1:{sandbox.stack().ports['web']}/api/health/cache"
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return json.load(answer)["status"] == "healthy"
    except OSError:
        return False


def vitals_now(sandbox: Sandbox, *, window_seconds: int = WINDOW_SECONDS) -> Vitals:
    """Return hit rate, penetration and traffic over the last seconds, by Prometheus."""
    return vitals(sandbox.stack().ports["prometheus"], window_seconds=window_seconds)


def is_healthy(now: Vitals) -> bool:
    """Whether the numbers are those of the healthy steady state."""
    return (now.hit_ratio or 0) > HEALTHY_HIT_RATIO and (
        now.penetration_ratio is not None and now.penetration_ratio < HEALTHY_PENETRATION_RATIO
    )


def eventually(condition: Callable[[], bool], *, seconds: float) -> None:
    """Wait until a condition holds.

    Raises:
        AssertionError: it did not in time.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"did not happen within {seconds:g} s"
        time.sleep(0.25)
