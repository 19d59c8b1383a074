"""The notebook performance_tuning, executed as operators execute it: compared, planned, confirmed, undone, everything down."""

import re
import shlex

import pytest
import redis
from notebook_runs import newest_record
from workplace_fixtures import new_workplace, pointed_at


@pytest.fixture(scope="module")
def place(sandbox, tmp_path_factory):
    """One workplace for the module; what the notebook judges here is not how the site does."""
    return pointed_at(sandbox, new_workplace(tmp_path_factory.mktemp("place")))


@pytest.fixture
def server(sandbox):
    """The sandbox's Redis; its settings are put back afterwards."""
    client = redis.Redis(port=sandbox.stack().ports["redis"], db=1)
    names = ("maxmemory", "maxmemory-policy", "timeout", "tcp-keepalive")
    before = {name: client.config_get(name)[name] for name in names}
    yield client
    for name, value in before.items():
        client.config_set(name, value)
    client.close()


def digest_of(text):
    """The digest that a dry run showed."""
    (digest,) = set(re.findall(r"confirm=([0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4})", text))
    return digest


@pytest.mark.any_health
@pytest.mark.timeout(180)
def test_performance_tuning_notebook_compares_plans_applies_and_its_undo_puts_it_back(place, server):
    """A policy that refuses writes is WARN with its effect; the confirmed plan sets the guide's; the undo is complete."""
    server.config_set("maxmemory-policy", "noeviction")
    limit = server.config_get("maxmemory")["maxmemory"]
    wanted = ("-p", f"maxmemory={limit}", "-p", "timeout_seconds=-1", "-p", "tcp_keepalive_seconds=-1")
    planned = place.run("run", "performance_tuning", "--environment", "sandbox", *wanted)
    assert planned.returncode == 10, planned.stdout + planned.stderr
    assert re.search(r"WARN +redis maxmemory-policy +noeviction", planned.stdout)
    assert "every write fails with an OOM error" in " ".join(planned.stdout.split())
    assert "1 of 17 settings need attention: redis maxmemory-policy noeviction" in " ".join(planned.stdout.split())
    assert server.config_get("maxmemory-policy")["maxmemory-policy"] == "noeviction"

    confirm = ("-p", f"confirm={digest_of(planned.stdout)}")
    done = place.run("run", "performance_tuning", "--environment", "sandbox", *wanted, *confirm)
    assert "applied: set maxmemory-policy to allkeys-lru" in " ".join(done.stdout.split()), done.stdout + done.stderr
    assert server.config_get("maxmemory-policy")["maxmemory-policy"] == "allkeys-lru"
    assert server.config_get("maxmemory")["maxmemory"] == limit
    assert done.returncode == 0, "the verdict is on the settings as they are after the change"
    assert "0 of 17 settings need attention" in " ".join(done.stdout.split())
    steps = [step["text"] for step in newest_record(place)["verdict"]["next_steps"]]
    assert steps
    assert not any("maxmemory-policy" in step for step in steps)

    (undo,) = {
        line.strip() for line in done.stdout.splitlines() if line.strip().startswith("runbooks change tune_redis")
    }
    back = place.run(*shlex.split(undo)[1:], "--confirm", "auto")
    assert back.returncode == 0, back.stdout + back.stderr
    assert server.config_get("maxmemory-policy")["maxmemory-policy"] == "noeviction"


@pytest.mark.any_health
@pytest.mark.timeout(120)
def test_performance_tuning_notebook_refuses_a_limit_that_would_evict_and_says_how_much(place, server):
    """The plan shows it; confirming it is refused with exit 40."""
    before = server.config_get("maxmemory")["maxmemory"]
    wanted = ("-p", "maxmemory=1mb", "-p", "policy=", "-p", "confirm=auto")
    done = place.run("run", "performance_tuning", "--environment", "sandbox", *wanted)
    assert done.returncode == 40, done.stdout + done.stderr
    assert re.search(r"would evict \d+\.\d [KM]iB at once", " ".join(done.stdout.split()))
    assert server.config_get("maxmemory")["maxmemory"] == before


@pytest.mark.timeout(120)
def test_performance_tuning_notebook_with_everything_down_still_ends_with_a_verdict(nowhere):
    """UNKNOWN in all 17 settings, with what to check."""
    done = nowhere.run("run", "performance_tuning", "--environment", "sandbox")
    assert done.returncode == 30, done.stdout + done.stderr
    assert "0 of 17 settings need attention, 17 could not be read" in " ".join(done.stdout.split())
    assert "Traceback" not in done.stdout + done.stderr
