"""The traffic generator's plan: who asks for what, how often, and what it is told."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter

import pytest

from sandbox.errors import UsageError
from sandbox.files import read_json, write_json
from sandbox.layout import Home
from sandbox.processes.ports import choose_ports
from sandbox.traffic.control import Load, read_load, write_load
from sandbox.traffic.generator import MOST_IN_FLIGHT, Arrivals, Generator
from sandbox.traffic.plan import Content, Visitors, token
from sandbox.traffic.profile import ENDPOINTS, MISSING_ID_BASE, MISSING_SHARE
from sandbox.traffic.streams import make_request

ATTACK = {
    "kind": "missing_ids",
    "rate_per_second": 30.0,
    "addresses": 4000,
    "lowest_id": 100_000_000,
    "highest_id": 2_000_000_000,
    "asks_per_id": 5,
    "user_agent": "bot",
}
HOURLY_LIMIT = {"anonymous": 100, "signed in": 1000}


@pytest.fixture
def visitors() -> Visitors:
    """Visitors of a small site, always the same."""
    content = Content(list(range(1, 51)), list(range(1, 251)), list(range(1, 1001)), list(range(1, 501)))
    return Visitors(content, 1.0, 500, random.Random(1))


def test_profile_shares_add_up_to_one():
    """The mix is complete."""
    assert sum(endpoint.share for endpoint in ENDPOINTS.values()) == pytest.approx(1.0)


def test_visitors_reads_follow_the_mix(visitors):
    """The share of missing ids is as configured, every endpoint occurs."""
    paths = [visitors.read().path for _ in range(20_000)]
    missing = sum(str(MISSING_ID_BASE)[:3] in path for path in paths)
    assert missing / len(paths) == pytest.approx(MISSING_SHARE, abs=0.005)
    lists = sum(path.startswith("/api/courses/") and path.count("/") == 3 for path in paths)
    assert lists / len(paths) == pytest.approx(ENDPOINTS["course-list"].share, abs=0.02)
    assert any("recommendations" in path for path in paths)


def test_visitors_in_an_hour_stay_far_below_the_limits(visitors):
    """Throttling is real, and at the default rate nobody comes near it."""
    counts = {"anonymous": Counter(), "signed in": Counter()}
    for _ in range(3600 * 49):  # the busiest hour
        headers = visitors.headers()
        kind = "signed in" if "Authorization" in headers else "anonymous"
        counts[kind][headers["X-Forwarded-For"]] += 1
    for kind, limit in HOURLY_LIMIT.items():
        assert max(counts[kind].values()) < limit / 2, kind


def test_visitors_write_is_a_patch_by_staff(visitors):
    """Only staff may change content."""
    request = visitors.write()
    assert request.method == "PATCH"
    assert request.headers["Authorization"] == f"Token {token('sandbox-staff')}"
    assert "title" in request.body


def test_missing_ids_bots_ask_several_times_for_ids_of_a_huge_range(visitors):
    """Each id about five times, by different addresses, below the throttle."""
    requests = [make_request(visitors, ATTACK) for _ in range(10_000)]
    ids = Counter(request.path.rstrip("/").rpartition("/")[2] for request in requests)
    assert len(requests) / len(ids) == pytest.approx(5, rel=0.1)
    assert min(int(number) for number in ids) >= ATTACK["lowest_id"]
    assert len({request.headers["X-Forwarded-For"] for request in requests}) > 3000
    assert {request.headers["User-Agent"] for request in requests} == {"bot"}


def test_missing_ids_one_id_always_means_one_address_on_the_site(visitors):
    """The same id under two paths would be two keys, and no NULL_VALUE would ever be found."""
    paths = {make_request(visitors, ATTACK).path for _ in range(5000)}
    ids = Counter(path.rstrip("/").rpartition("/")[2] for path in paths)
    assert max(ids.values()) == 1


def test_stream_of_an_unknown_kind_is_refused(visitors):
    """The message lists the kinds."""
    with pytest.raises(UsageError, match="missing_ids"):
        make_request(visitors, {"kind": "flood"})


def test_arrivals_have_the_asked_rate():
    """A hundred seconds at forty a second."""
    arrivals = Arrivals(random.Random(1))
    arrivals.due(0.0, 40.0)
    assert sum(arrivals.due(tick / 50, 40.0) for tick in range(1, 5001)) == pytest.approx(4000, rel=0.05)


def test_arrivals_after_a_pause_do_not_make_up_for_it():
    """A suspended laptop does not wake up with an hour of requests."""
    arrivals = Arrivals(random.Random(1))
    arrivals.due(100.0, 40.0)
    assert arrivals.due(3700.0, 40.0) <= 1


def test_generator_survives_a_dead_site_and_says_so(tmp_path):
    """Nobody listens: requests fail and are counted, the generator goes on, nothing piles up."""
    home = Home(tmp_path)
    write_json(home.catalogue, {"courses": [1], "chapters": [1], "problems": [1], "users": [1]})
    write_load(home.traffic_control, Load(100.0, 1.0))

    async def run_for_a_moment() -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(Generator(home, closed_port(), 1).run(), timeout=2.5)

    asyncio.run(run_for_a_moment())
    status = read_json(home.traffic_status)
    assert status["answers_per_second"]["no_answer"] > 30
    assert status["in_flight"] <= MOST_IN_FLIGHT


def closed_port() -> int:
    """Return a port on which nobody listens."""
    return choose_ports(fixed={}, remembered={}).web


def test_load_is_read_back_as_written(tmp_path):
    """Rate, exponent and streams survive the file."""
    load = Load(12.5, 0.8, {"penetration_attack": ATTACK})
    write_load(tmp_path / "traffic.json", load)
    assert read_load(tmp_path / "traffic.json") == load


@pytest.mark.parametrize("load", [Load(-1, 1.0), Load(501, 1.0), Load(40, 3.5)])
def test_load_that_is_impossible_is_refused(tmp_path, load):
    """The generator is never asked for what it cannot do."""
    with pytest.raises(UsageError, match="is not in"):
        write_load(tmp_path / "traffic.json", load)
    assert not (tmp_path / "traffic.json").exists()
