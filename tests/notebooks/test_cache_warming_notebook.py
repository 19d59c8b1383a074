"""The cache warming notebook: strategies, a stuck lock, its removal with proof."""

import time

import pytest
import redis
from notebook_runs import cell_text, digest_of, newest_record, variable

LOCK = "cache_warming_lock:startup:all"
REMOVE = ("-p", "operation=remove_lock", "-p", f"lock={LOCK}")


@pytest.fixture
def stuck(healthy_sandbox):
    """A client of the cache, in which a killed worker has left a lock that never expires."""
    client = redis.Redis(port=int(variable(healthy_sandbox, "SANDBOX_REDIS_PORT")), db=1)
    client.set(LOCK, b"left behind")
    # A young sandbox, or one whose Redis was stopped by the test before, has no scheduled run to tell of yet.
    ran = {"tasks": 1, "count": 20, "failures": 0, "duration": 0.1, "last_run": time.time() - 20}
    client.hset("cache_warming_stats", mapping={f"scheduled_{name}": value for name, value in ran.items()})
    yield client
    client.delete(LOCK)
    client.close()


@pytest.mark.timeout(180)
def test_cache_warming_notebook_finds_a_stuck_lock_and_removes_it_once_it_is_confirmed(at_sandbox, stuck):
    """WARN and the command while it is there; the dry run leaves it; confirmed it goes, and the verdict is OK."""
    done = at_sandbox.run("run", "cache_warming", "-e", "sandbox", *REMOVE)
    planned = newest_record(at_sandbox)
    assert done.returncode == 10, done.stdout + done.stderr
    assert f"{LOCK} | not known | never | STUCK" in cell_text(at_sandbox, planned, "locks")
    assert "scheduled |" in cell_text(at_sandbox, planned, "strategies")
    assert "warning over 60 s, critical over 2 min" in cell_text(at_sandbox, planned, "durations")
    assert "before the run" in cell_text(at_sandbox, planned, "worth")
    workers = cell_text(at_sandbox, planned, "workers")
    assert "1 worker answered" in workers or "Worker | Task" in workers
    assert stuck.exists(LOCK)

    done = at_sandbox.run("run", "cache_warming", "-e", "sandbox", *REMOVE, "-p", f"confirm={digest_of(planned)}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert not stuck.exists(LOCK)
    assert "trigger_warming" in done.stdout
