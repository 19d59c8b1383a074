"""The notebook rate_limiting, executed as operators execute it: looking, planning, confirmed, and with everything down."""

import re

import pytest
import redis
from workplace_fixtures import new_workplace, pointed_at

from runbooks_lib.redaction import one_line

ADDRESS, NEIGHBOUR = "203.0.113.7", "203.0.113.70"


@pytest.fixture(scope="module")
def place(sandbox, tmp_path_factory):
    """One workplace for the module; what the notebook judges here is not how the site does."""
    return pointed_at(sandbox, new_workplace(tmp_path_factory.mktemp("place")))


@pytest.fixture
def counters(sandbox):
    """Two addresses, one at its limit; both are removed afterwards."""
    client = redis.Redis(port=sandbox.stack().ports["redis"], db=1)
    keys = {address: f"django:1:throttle:anon:{address}" for address in (ADDRESS, NEIGHBOUR)}
    client.set(keys[ADDRESS], 100, ex=600)
    client.set(keys[NEIGHBOUR], 42, ex=600)
    yield lambda: {address: client.get(key) for address, key in keys.items()}
    client.delete(*keys.values())
    client.close()


@pytest.mark.any_health
@pytest.mark.timeout(180)
def test_rate_limiting_notebook_shows_who_is_throttled_plans_and_gives_one_client_its_allowance_back(place, counters):
    """Looking and planning change nothing; the digest that the plan showed removes one counter; its neighbour stays."""
    planned = place.run("run", "rate_limiting", "--environment", "sandbox", "-p", f"client={ADDRESS}")
    assert planned.returncode == 10, planned.stdout + planned.stderr
    assert re.search(r"WARN +throttled clients, anon +1 client at the limit", planned.stdout)
    assert counters() == {ADDRESS: b"100", NEIGHBOUR: b"42"}
    (digest,) = set(re.findall(r"confirm=([0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4})", planned.stdout))

    arguments = ("-p", f"client={ADDRESS}", "-p", f"confirm={digest}")
    done = place.run("run", "rate_limiting", "--environment", "sandbox", *arguments)
    assert "applied: remove the throttle counters of address 203.0.113.7" in " ".join(done.stdout.split())
    assert done.returncode in (0, 10), done.stdout + done.stderr
    assert counters() == {ADDRESS: None, NEIGHBOUR: b"42"}
    log = place.run("log").stdout
    assert "reset_throttle" in log or "remove the throttle counters" in log
    assert place.run("verify").returncode == 0


@pytest.mark.any_health
@pytest.mark.timeout(120)
def test_rate_limiting_notebook_with_a_hostile_client_refuses_and_changes_nothing(place, counters):
    """A pattern is no address; exit 40 and no traceback."""
    client = "*'; __import__('os').system('id')"
    done = place.run("run", "rate_limiting", "--environment", "sandbox", "-p", f"client={client}")
    assert done.returncode == 40, done.stdout + done.stderr
    assert "is no IP address" in one_line(done.stdout, longest=5000)
    assert "Traceback" not in done.stdout + done.stderr
    assert counters() == {ADDRESS: b"100", NEIGHBOUR: b"42"}


@pytest.mark.timeout(120)
def test_rate_limiting_notebook_with_everything_down_still_ends_with_a_verdict(nowhere):
    """UNKNOWN, with what to check; nothing was planned."""
    done = nowhere.run("run", "rate_limiting", "--environment", "sandbox", "-p", f"client={ADDRESS}")
    assert done.returncode == 30, done.stdout + done.stderr
    assert done.stdout.startswith("UNKNOWN")
    assert "Traceback" not in done.stdout + done.stderr
