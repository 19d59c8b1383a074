"""Each check: fine, warning, critical, and what could not be measured."""

from dataclasses import replace
from datetime import timedelta

import pytest
from builders import (
    DENIED_REDIS,
    FROM,
    NO_PROMETHEUS,
    NO_REDIS,
    NO_SUCH_PAGE,
    NO_WEB,
    NOW,
    health,
    history,
    lookups,
    requests,
    server,
    situation,
    warming,
    warming_store,
)

from runbooks_lib.facts import Alert, Alerts, EndpointLookups, Flag, Flags, WarmingLock, WarmingType
from runbooks_lib.judgement import checks
from runbooks_lib.model import Kind, Status, Unreadable
from runbooks_lib.policy import Policy

POLICY = Policy()


@pytest.mark.parametrize(
    ("hit", "miss", "expected"),
    [
        (95, 5, Status.OK),
        (70, 30, Status.WARN),
        (54, 46, Status.FAIL),
    ],
)
def test_hit_rate_is_held_against_the_guides_thresholds(hit, miss, expected):
    """Both limits are shown beside the value."""
    finding = checks.check_hit_rate(lookups(EndpointLookups("a", hit=hit * 10, miss=miss * 10)), POLICY)

    assert finding.status is expected
    assert finding.limit == "warning < 80 %, critical < 60 %"
    assert finding.value == pytest.approx(hit / 100)
    assert "15 min window" in finding.detail


def test_hit_rate_counts_stale_and_null_values_as_answers_of_the_cache():
    """The contract's definition: (hit + stale + null_value) / all."""
    finding = checks.check_hit_rate(lookups(EndpointLookups("a", hit=50, stale=20, null_value=20, miss=10)), POLICY)
    assert finding.value == pytest.approx(0.9)


def test_hit_rate_is_weighted_by_traffic_and_not_averaged_over_endpoints():
    """1,000 lookups at 90 % and 10 at 20 % are 89 %, not 55 %."""
    big, small = EndpointLookups("big", hit=900, miss=100), EndpointLookups("small", hit=2, miss=8)
    assert checks.check_hit_rate(lookups(big, small), POLICY).value == pytest.approx(902 / 1010)


def test_hit_rate_on_three_requests_at_night_is_unknown():
    """Too few lookups prove nothing, in either direction."""
    finding = checks.check_hit_rate(lookups(EndpointLookups("a", miss=3)), POLICY)
    assert finding.status is Status.UNKNOWN
    assert "3 lookups" in finding.shown


def test_hit_rate_names_the_endpoints_that_cause_most_misses():
    """Evidence: the endpoint's own rate and its share of all misses."""
    bad, good = EndpointLookups("recommendations", miss=400), EndpointLookups("detail", hit=590, miss=10)
    evidence = checks.check_hit_rate(lookups(good, bad), POLICY).evidence
    assert evidence[0].name == "recommendations"
    assert "97.6 % of all misses" in evidence[0].value


def test_penetration_uses_the_attempts_counter_because_a_random_scan_leaves_no_null_values():
    """Each id is looked up once: all misses, no cached NULL, and still an attack."""
    scan = lookups(EndpointLookups("a", hit=700, miss=300), attempts=280.0)
    finding = checks.check_penetration(scan, POLICY)
    assert finding.status is Status.FAIL
    assert finding.value == pytest.approx(0.28)


def test_penetration_without_an_attempts_counter_says_what_it_rests_on():
    """A site without the counter is judged by its null_value answers, and the finding says so."""
    finding = checks.check_penetration(lookups(EndpointLookups("a", hit=850, null_value=150), attempts=None), POLICY)
    assert finding.status is Status.WARN
    assert "no attempts counter" in finding.detail


@pytest.mark.parametrize(("edge", "expected"), [(30.0, Status.OK), (60.0, Status.WARN), (120.0, Status.FAIL)])
def test_warming_duration_judges_the_slowest_task_by_its_bucket(edge, expected):
    """A task in the bucket above 60 s took longer than 60 s."""
    finding = checks.check_warming_duration(warming(slowest_over_seconds={"scheduled": edge}), POLICY)
    assert finding.status is expected


def test_warming_duration_of_startup_is_not_held_against_a_tasks_threshold():
    """The guide itself expects 3 to 5 minutes there."""
    finding = checks.check_warming_duration(warming(slowest_over_seconds={"startup": 120.0}), POLICY)
    assert finding.status is Status.OK


def test_warming_failures_leave_skipped_tasks_out():
    """A task that found the lock held neither failed nor succeeded."""
    tasks = {"scheduled": {"success": 4.0, "error": 6.0, "skipped": 90.0}}
    finding = checks.check_warming_failures(warming(tasks=tasks), warming_store(), POLICY, NOW)
    assert finding.status is Status.FAIL
    assert finding.value == pytest.approx(0.6)


def test_warming_that_never_ran_is_unknown_with_what_to_look_at():
    """No task is neither success nor failure."""
    finding = checks.check_warming_failures(warming(tasks={}), warming_store(), POLICY, NOW)
    assert finding.status is Status.UNKNOWN
    assert "CACHE_WARMING" in finding.hint


@pytest.mark.parametrize(("hours", "expected"), [(1.5, Status.OK), (2.5, Status.WARN)])
def test_warming_without_a_task_in_the_window_is_judged_by_its_last_run(hours, expected):
    """An hourly schedule may just miss the hour; one that stopped is a warning."""
    ran = WarmingType("scheduled", 5, 50, 0, 60.0, NOW - timedelta(hours=hours))
    store = replace(warming_store(), types=(ran,))
    finding = checks.check_warming_failures(warming(tasks={}), store, POLICY, NOW)
    assert finding.status is expected
    assert "last ran" in finding.shown


def test_warming_failures_of_the_schedule_do_not_hide_behind_on_demand_refreshes():
    """Hundreds of refreshes succeed while every hourly run fails."""
    tasks = {"on_demand": {"success": 400.0}, "scheduled": {"error": 4.0}}
    finding = checks.check_warming_failures(warming(tasks=tasks), warming_store(), POLICY, NOW)
    assert finding.status is Status.FAIL
    assert "scheduled, 4 tasks" in finding.detail


def test_warming_locks_that_were_not_all_looked_for_are_unknown():
    """A bounded search that ended early has not shown that none is stuck."""
    finding = checks.check_warming_locks(replace(warming_store(), complete=False))
    assert finding.status is Status.UNKNOWN
    assert "not all keys" in finding.shown


def test_warming_lock_without_expiry_is_a_warning_that_names_it():
    """Such a lock keeps warming from ever running again."""
    stuck = WarmingLock("cache_warming_lock:startup:all", None)
    finding = checks.check_warming_locks(warming_store(stuck, WarmingLock("cache_warming_lock:scheduled:all", 40.0)))
    assert finding.status is Status.WARN
    assert "startup:all" in finding.detail
    assert "scheduled:all" not in finding.detail


def test_redis_unreachable_from_here_only_is_unknown():
    """The site reaches it: the path from the operator's machine is at fault, not the cache."""
    finding = checks.check_redis(situation(server=NO_REDIS), POLICY)
    assert finding.status is Status.UNKNOWN
    assert "the site works with it" in finding.detail


@pytest.mark.parametrize("says", [health(redis_reachable=False, status="down", http_status=503), NO_WEB])
def test_redis_unreachable_and_nobody_contradicts_is_a_failure(says):
    """The site does not reach it either, or cannot be asked, and no lookup has a hit."""
    facts = situation(server=NO_REDIS, health=says, history=history([0.95] * 100 + [None] * 20))
    finding = checks.check_redis(facts, POLICY)
    assert finding.status is Status.FAIL
    assert "connection refused" in finding.shown


def test_redis_that_refuses_the_password_is_unknown_and_never_down():
    """It answered: that is our configuration, not an outage."""
    facts = situation(server=DENIED_REDIS, health=NO_SUCH_PAGE, history=NO_PROMETHEUS, lookups=NO_PROMETHEUS)
    assert checks.check_redis(facts, POLICY).status is Status.UNKNOWN


def test_redis_that_refuses_writes_is_a_failure_and_not_called_unreachable():
    """A full disk under a save point: reads go on, everything else fails."""
    faulty = Unreadable("redis", "server", "Redis refuses writes (MISCONF)", "free the disk", Kind.FAULTY)
    finding = checks.check_redis(situation(server=faulty), POLICY)
    assert finding.status is Status.FAIL
    assert "refuses writes" in finding.shown


def test_redis_latency_is_judged_as_the_site_measures_it():
    """130 ms through a VPN are no fault of the site's; 130 ms at the site are."""
    far = situation(server=server(latency_seconds=0.13))
    assert checks.check_redis(far, POLICY).status is Status.OK
    slow = situation(health=health(redis_latency_seconds=0.13))
    assert checks.check_redis(slow, POLICY).status is Status.FAIL
    unsaid = situation(server=server(latency_seconds=0.13), health=health(redis_latency_seconds=None))
    assert checks.check_redis(unsaid, POLICY).status is Status.OK


def test_memory_without_a_limit_is_unknown_never_ok():
    """There is no denominator, and Redis will take all the machine has."""
    finding = checks.check_memory(server(maxmemory_bytes=0), POLICY)
    assert finding.status is Status.UNKNOWN
    assert "maxmemory" in finding.hint


def test_memory_of_a_full_lru_cache_that_evicts_little_is_a_warning_only():
    """At its limit such a cache stays for ever; no failure at night for that."""
    full = server(used_memory_bytes=int(4 * 1024**3 * 0.99), evicted_per_second=0.0)
    assert checks.check_memory(full, POLICY).status is Status.WARN


@pytest.mark.parametrize(("policy", "evicted"), [("noeviction", 0.0), ("allkeys-lru", 500.0)])
def test_memory_full_without_eviction_or_with_heavy_eviction_is_a_failure(policy, evicted):
    """Writes fail, or the cache throws away what it has just stored."""
    full = server(used_memory_bytes=4 * 1024**3, maxmemory_policy=policy, evicted_per_second=evicted)
    assert checks.check_memory(full, POLICY).status is Status.FAIL


def test_requests_without_the_histogram_are_unknown_and_name_the_metric():
    """A site may lack it; that is said, and nothing is assumed."""
    finding = checks.check_slow_requests(requests(slow=None), POLICY)
    assert finding.status is Status.UNKNOWN
    assert "http_request_duration_seconds" in finding.shown


@pytest.mark.parametrize(("slow", "expected"), [(36, Status.OK), (180, Status.WARN), (900, Status.FAIL)])
def test_slow_requests_are_judged_by_their_share(slow, expected):
    """Out of 9,000."""
    assert checks.check_slow_requests(requests(slow=slow), POLICY).status is expected


def test_throttling_sums_the_scopes():
    """Anonymous and signed-in together."""
    finding = checks.check_throttling(requests(throttled={"anon": 800.0, "user": 100.0}), POLICY)
    assert finding.status is Status.WARN
    assert "anon 800" in finding.detail


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, Status.OK),
        ({"status": "degraded"}, Status.WARN),
        ({"status": "down", "http_status": 503}, Status.FAIL),
        ({"redis_reachable": False}, Status.FAIL),
    ],
)
def test_health_is_taken_at_its_word_and_at_its_code(changes, expected):
    """503 or an unreachable Redis is down, whatever the text says."""
    assert checks.check_health(health(**changes)).status is expected


@pytest.mark.parametrize(
    ("alerts", "expected"),
    [
        (Alerts((), 12, FROM), Status.OK),
        (Alerts((), None, FROM), Status.OK),
        (Alerts((), 0, FROM), Status.WARN),
        (Alerts((), 12, FROM, degraded="a store did not answer"), Status.UNKNOWN),
        (Alerts((Alert("Watchdog", "firing", "none", "", NOW),), 12, FROM), Status.OK),
    ],
)
def test_alerts_without_one_firing_are_fine_only_if_somebody_would_be_told(alerts, expected):
    """No rules, a partial answer, and a watchdog that fires for ever on purpose."""
    assert checks.check_alerts(alerts).status is expected


def test_alerts_that_fire_are_named():
    """With pending ones counted apart."""
    alerts = Alerts(
        (Alert("LowHitRate", "firing", "warning", "", NOW), Alert("Slow", "pending", "", "", None)), 12, FROM
    )
    finding = checks.check_alerts(alerts)
    assert finding.status is Status.WARN
    assert finding.shown == "1 firing, 1 pending"
    assert "LowHitRate" in finding.detail


@pytest.mark.parametrize(
    "finding",
    [
        checks.check_hit_rate(NO_PROMETHEUS, POLICY),
        checks.check_penetration(NO_PROMETHEUS, POLICY),
        checks.check_warming_duration(NO_PROMETHEUS, POLICY),
        checks.check_warming_failures(NO_PROMETHEUS, warming_store(), POLICY, NOW),
        checks.check_warming_locks(NO_REDIS),
        checks.check_slow_requests(NO_PROMETHEUS, POLICY),
        checks.check_request_errors(NO_PROMETHEUS, POLICY),
        checks.check_throttling(NO_PROMETHEUS, POLICY),
        checks.check_memory(NO_REDIS, POLICY),
        checks.check_health(NO_WEB),
        checks.check_alerts(NO_PROMETHEUS),
        checks.check_flags(NO_WEB),
    ],
    ids=lambda finding: finding.id,
)
def test_check_without_its_fact_is_unknown_with_reason_and_hint(finding):
    """Never zero, never OK, never a traceback."""
    assert finding.status is Status.UNKNOWN
    assert finding.value is None
    assert finding.shown.startswith("could not be read: ")
    assert finding.hint


def test_flags_are_counted_in_words_that_can_be_read():
    """Not ``1 44 %, 4 on``."""
    flags = Flags(tuple(Flag(f"F{n}", "", at, None, None) for n, at in enumerate((44.0, 100.0, 100.0, 0.0))), FROM)

    assert checks.check_flags(flags).shown == "1 at 44 %, 2 on, 1 off"
