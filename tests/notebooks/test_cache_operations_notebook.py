"""The cache operations notebook: what lives there, a clearing that is planned, applied and watched."""

import pytest
import redis
from notebook_runs import cell_text, digest_of, newest_record, variable

CLEAR = ("-p", "operation=clear_pattern", "-p", "pattern=api:PractisedView:*")
KEYS = [f"django:1:api:PractisedView:{number}" for number in range(40)]


@pytest.fixture
def cache(healthy_sandbox):
    """The sandbox's cache with forty answers of a view that the site does not have."""
    client = redis.Redis(port=int(variable(healthy_sandbox, "SANDBOX_REDIS_PORT")), db=1)
    client.mset(dict.fromkeys(KEYS, b"1"))
    client.set("django:1:other", b"1", ex=300)
    yield client
    client.delete(*KEYS, "django:1:other")
    client.close()


@pytest.mark.timeout(180)
def test_cache_operations_notebook_clears_what_was_planned_and_nothing_else(at_sandbox, cache):
    """The dry run names and counts; a foreign digest is refused; confirmed, those keys go, others stay, and it is watched."""
    done = at_sandbox.run("run", "cache_operations", "-e", "sandbox", *CLEAR)
    planned = newest_record(at_sandbox)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "planned: delete 40 keys matching django:1:api:PractisedView:*" in done.stdout
    assert "answers | api:PractisedView | 40" in cell_text(at_sandbox, planned, "contents")
    assert "throttle counters" in cell_text(at_sandbox, planned, "contents")
    assert "Nothing was cleared" in cell_text(at_sandbox, planned, "recovery")
    foreign = at_sandbox.run("run", "cache_operations", "-e", "sandbox", *CLEAR, "-p", "confirm=0000-0000-0000")
    assert foreign.returncode == 40, foreign.stdout + foreign.stderr
    assert cache.exists(*KEYS) == 40

    done = at_sandbox.run("run", "cache_operations", "-e", "sandbox", *CLEAR, "-p", f"confirm={digest_of(planned)}")
    applied = newest_record(at_sandbox)
    assert done.returncode == 0, done.stdout + done.stderr
    assert cache.exists(*KEYS) == 0
    assert cache.exists("django:1:other") == 1
    assert "in words | " in cell_text(at_sandbox, applied, "recovery")
    assert "before | " in cell_text(at_sandbox, applied, "recovery")
    assert "trigger_warming" in done.stdout
