"""One running sandbox: healthy, observable, broken on purpose, and healed."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request

import pytest
from sandbox_fixtures import eventually, vitals_now

from sandbox import AlreadyRunning, FaultAlreadyActive, Sandbox
from sandbox.cli import main
from sandbox.measure import query

UP_SECONDS = 20.0
MEMORY_BYTES = 1.5 * 1024**3


def answer_of(sandbox: Sandbox, path: str) -> tuple[int, dict[str, str]]:
    """Ask the site; return status code and headers."""
    url = f"http://127.0.0.1:{sandbox.stack().ports['web']}{path}"
    request = urllib.request.Request(url, headers={"X-Forwarded-For": "100.127.0.1"})
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status, dict(answer.headers)
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers)


def asked(sandbox: Sandbox, expression: str, *, at: float | None = None) -> float:
    """Ask the sandbox's Prometheus for one number; no answer fails the test."""
    number = query(sandbox.stack().ports["prometheus"], expression, at=at)
    assert number is not None, expression
    return number


def test_sandbox_up_is_complete_and_within_its_memory(sandbox):
    """Every part runs, has a process, and together they stay under 1.5 GiB."""
    status = sandbox.status()
    assert {part.name for part in status.parts} == {
        *("supervisor", "redis", "broker", "web", "worker", "beat", "prometheus", "traffic")
    }
    assert all(part.state == "running" for part in status.parts)
    assert status.memory_bytes < MEMORY_BYTES


def test_sandbox_up_publishes_its_variables(sandbox):
    """``variables.env`` holds what runbooks.toml refers to."""
    names = {line.partition("=")[0] for line in sandbox.home.variables.read_text().splitlines()}
    assert names == {
        *("SANDBOX_HOME", "SANDBOX_PYTHON", "SANDBOX_REDIS_PORT", "SANDBOX_BROKER_PORT", "SANDBOX_WEB_PORT"),
        *("SANDBOX_PROMETHEUS_PORT", "SANDBOX_WORKER_METRICS_PORT", "SANDBOX_DATABASE"),
    }


def test_sandbox_after_up_is_healthy_within_fifteen_seconds(sandbox):
    """Over 90 % hits and under 3 % penetration over the first quarter of a minute."""
    time.sleep(max(0.0, 15 - (time.time() - sandbox.home.variables.stat().st_mtime)))
    now = vitals_now(sandbox, window_seconds=15)
    assert now.hit_ratio > 0.90
    assert now.penetration_ratio < 0.03
    assert 20 < now.requests_per_second < 60
    assert asked(sandbox, "sum(throttled_requests_total{job='site'})") == 0


def test_sandbox_up_gives_keys_the_lives_of_a_site_that_ran_for_a_day(sandbox):
    """Some keys are about to expire, some live longer than a cold key's 300 s: the cache does not go all at once."""
    with sandbox.stack().cache() as redis:
        names = list(redis.scan_iter(match="django:1:api:ChapterProblemsView:*", count=1000))
        lives = [redis.ttl(name) for name in names]
    assert len(lives) > 300
    within = [sum(life <= 330 * third for life in lives) / len(lives) for third in (1, 2, 3)]
    assert 0.2 < within[0] < 0.6
    assert within[0] + 0.15 < within[1] < within[2] - 0.15


def test_sandbox_history_covers_seven_days_with_the_labels_of_the_live_series(sandbox):
    """A series of last week and the live one are the same series."""
    weekly = asked(sandbox, "sum(rate(cache_requests_total[7d]))")
    assert weekly == pytest.approx(38, abs=8)
    assert asked(sandbox, 'count(cache_requests_total{job="site",instance="web"} offset 6d)') == 36
    assert asked(sandbox, "count(count_over_time(cache_requests_total{job='site'}[7d]))") == 36
    assert asked(sandbox, "count(http_request_duration_seconds_bucket offset 3d)") > 100


def test_sandbox_rates_across_the_seam_agree(sandbox):
    """The rate over a window that holds the end of the history is that of the live traffic."""
    live = asked(sandbox, "sum(rate(cache_requests_total[10s]))")
    across = asked(sandbox, "sum(rate(cache_requests_total[2m]))")
    before = asked(sandbox, "sum(rate(cache_requests_total[2m] offset 5m))")
    assert across == pytest.approx(before, rel=0.15)
    assert across == pytest.approx(live, rel=0.3)


def test_sandbox_second_up_says_that_it_is_running(sandbox, capsys):
    """Nothing is changed, and the exit code is 0: it is up, as asked."""
    before = sandbox.status().parts[0].pid
    with pytest.raises(AlreadyRunning, match="running already"):
        Sandbox(sandbox.home.path).up()
    assert main(["--home", str(sandbox.home.path), "up"]) == 0
    assert "running already" in capsys.readouterr().out
    assert sandbox.status().parts[0].pid == before


def test_sandbox_status_as_json_can_be_read_by_programs(sandbox, capsys):
    """Parts, vitals and addresses are there."""
    assert main(["--home", str(sandbox.home.path), "status", "--json"]) == 0
    status = json.loads(capsys.readouterr().out)
    assert status["phase"] == "running"
    assert status["vitals"]["hit_ratio"] > 0.5
    assert {"site", "prometheus", "redis"} <= set(status["urls"])


def test_load_rate_changes_the_running_traffic(healthy_sandbox):
    """The generator follows without a restart."""
    rate = "sum(rate(http_requests_total[6s]))"
    prometheus = healthy_sandbox.stack().ports["prometheus"]
    # Just after the start there are not yet two samples to take a rate of.
    eventually(lambda: query(prometheus, rate) is not None, seconds=15)
    before = asked(healthy_sandbox, rate)
    assert before > 0
    healthy_sandbox.load(rate_per_second=80)
    # In the seam between history and live samples there are for a moment not two to take a rate of.
    eventually(lambda: (query(prometheus, rate) or 0) > 1.5 * before, seconds=20)


@pytest.mark.breaks_site
def test_fault_penetration_attack_shows_and_heals(healthy_sandbox):
    """Penetration over 20 % while the hit rate stays high; back under 3 % afterwards."""
    healthy_sandbox.inject("penetration_attack")
    with pytest.raises(FaultAlreadyActive, match="active already"):
        healthy_sandbox.inject("penetration_attack")
    assert set(healthy_sandbox.status().faults) == {"penetration_attack"}
    eventually(lambda: (vitals_now(healthy_sandbox).penetration_ratio or 0) > 0.20, seconds=30)
    # The first look at each of the strange ids is a miss; from then on its absence is what the cache holds.
    eventually(lambda: (vitals_now(healthy_sandbox).hit_ratio or 0) > 0.8, seconds=30)
    assert healthy_sandbox.heal("penetration_attack") is True
    assert healthy_sandbox.heal("penetration_attack") is False
    eventually(lambda: vitals_now(healthy_sandbox).penetration_ratio < 0.03, seconds=30)


@pytest.mark.breaks_site
def test_fault_uncached_endpoint_shows_and_heals(healthy_sandbox):
    """The hit rate falls under 60 %, carried by one endpoint that only misses; it recovers."""
    misses = 'cache_requests_total{endpoint="course-recommendations",status="miss"}'
    everything = 'cache_requests_total{endpoint="course-recommendations"}'
    healthy_sandbox.inject("uncached_endpoint")
    eventually(lambda: (vitals_now(healthy_sandbox).hit_ratio or 1) < 0.60, seconds=30)
    share = f"sum(rate({misses}[6s])) / sum(rate({everything}[6s]))"
    eventually(lambda: asked(healthy_sandbox, share) > 0.95, seconds=10)  # the window may begin before the fault
    assert "uncached_endpoint" in healthy_sandbox.active_faults()
    healthy_sandbox.heal("uncached_endpoint")
    eventually(lambda: vitals_now(healthy_sandbox).hit_ratio > 0.85, seconds=30)
    assert healthy_sandbox.active_faults() == {}


@pytest.mark.breaks_site
def test_fault_redis_down_shows_and_heals(healthy_sandbox):
    """Down by intention: the site bypasses the cache, the sandbox lives on, Redis comes back on the same port."""
    port = healthy_sandbox.stack().ports["redis"]
    healthy_sandbox.inject("redis_down")
    status = healthy_sandbox.status()
    assert status.is_running
    assert {part.name: part.state for part in status.parts}["redis"] == "stopped"
    eventually(lambda: answer_of(healthy_sandbox, "/api/health/cache")[0] == 503, seconds=10)
    code, headers = answer_of(healthy_sandbox, "/api/courses/")
    assert (code, headers["X-Cache"]) == (200, "BYPASS")
    eventually(lambda: vitals_now(healthy_sandbox).hit_ratio is None, seconds=20)
    healthy_sandbox.heal("redis_down")
    eventually(lambda: answer_of(healthy_sandbox, "/api/health/cache")[0] == 200, seconds=15)
    with healthy_sandbox.stack().cache() as redis:
        assert redis.ping()
    assert healthy_sandbox.stack().ports["redis"] == port
