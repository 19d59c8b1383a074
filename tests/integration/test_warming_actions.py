"""Warming runs, stuck locks and old statistics, on the fake site and a Redis of our own."""

from __future__ import annotations

import json
import threading
import time

import msgspec
import pytest
from action_scenes.warming import KEY, LOCK, OLD_RUN, statistics
from redis_topology_fixtures import acl_user

from runbooks_lib.actions.apply import apply
from runbooks_lib.actions.desk import Desk
from runbooks_lib.actions.outcome import Result
from runbooks_lib.actions.registry import make_action
from runbooks_lib.actions.site import Site, WritableSite
from runbooks_lib.actions.warming.actions import (
    RemoveWarmingLock,
    RemoveWarmingStatistics,
    RestoreWarmingStatistics,
    TriggerWarming,
)
from runbooks_lib.errors import RefusedError

BUSY = {"celery@one": [{"name": "common.tasks.run_startup_warming", "time_start": 1.0}]}
ELSEWHERE = {"celery@one": [{"name": "common.tasks.prune_cache_stats", "time_start": 1.0}]}


@pytest.fixture
def redis(scene_redis):
    """A client of an empty Redis."""
    client = scene_redis.client()
    client.flushdb()
    return client


@pytest.fixture
def site(fake_site, scene_redis):
    """A fake site on that Redis."""
    return fake_site(scene_redis.port)


@pytest.fixture
def done(ledger, site):
    """Applies an action with ``auto``."""

    def carry_out(action):
        return apply(action, Desk(site.environment, ledger, "run", "anna"), confirm="auto")

    return carry_out


def idle(client, name: str, seconds: int) -> None:
    """Make the key one that nobody touched for so long."""
    left = client.pttl(name)
    client.execute_command("RESTORE", name, max(left, 0), client.dump(name), "REPLACE", "IDLETIME", seconds)


def failed(plan) -> str:
    """The guards that do not hold, as text."""
    return "; ".join(f"{guard.name}: {guard.detail} ({guard.hint})" for guard in plan.failed_guards)


# --- a run ----------------------------------------------------------------------------------------------------------


def test_trigger_warming_hands_it_to_the_worker_and_tells_what_it_stored(redis, site, done):
    """Read back from the statistics, as the difference to those before."""
    redis.hset(KEY, mapping=statistics("startup", last_run=OLD_RUN))

    outcome = done(TriggerWarming(strategy="startup", wait_seconds=5))

    assert outcome.result is Result.APPLIED, outcome.detail
    assert "stored 12 values in 400 ms" in outcome.detail
    assert site.read()["queued"] == [["warm_cache", "startup", "--queue"]]
    assert {entry.name: entry.value for entry in outcome.plan.blast_radius}["values of a usual run"] == "50"


@pytest.mark.parametrize(
    ("run", "said"),
    [
        ({"items": 3, "seconds": 2.0, "failures": 1}, "the startup run failed"),
        (None, "no new startup run: does a task worker run"),
    ],
    ids=["failed", "no worker"],
)
def test_trigger_warming_run_that_did_no_work_is_not_called_done(redis, site, done, run, said):
    """A run that failed, and a queue without a worker, which says nothing at all."""
    site.set(warming_run=run)

    outcome = done(TriggerWarming(strategy="startup", wait_seconds=1))

    assert outcome.result is Result.MAY_HAVE_CHANGED
    assert said in outcome.detail
    assert redis.hget(KEY, "startup_tasks") == (b"1" if run else None)


@pytest.mark.parametrize(
    ("strategy", "seconds", "said", "unsaid"),
    [
        ("scheduled", 0.012, "at once and with 0 values stored. On a quiet site nothing is asked for", "\0"),
        ("startup", 0.012, "Suspicious: a run also looks so when a stranded lock", "quiet"),
        ("scheduled", 1.2, "after 1.2 s and with 0 values stored", "Suspicious"),
    ],
)
@pytest.mark.usefixtures("redis")
def test_trigger_warming_run_that_stored_nothing_is_done_and_said_loudly(site, done, strategy, seconds, said, unsaid):
    """A scheduled run on a quiet site warms nothing; a stranded lock turns every run into a success of 20 ms."""
    site.set(warming_run={"items": 0, "seconds": seconds})

    outcome = done(TriggerWarming(strategy=strategy, wait_seconds=1))

    assert (outcome.result, outcome.exit_code) == (Result.APPLIED, 0), outcome.detail
    assert outcome.detail.startswith("NOTHING was warmed")
    assert said in outcome.detail
    assert unsaid not in outcome.detail
    assert [step.command for step in outcome.offers] == ["runbooks run cache_warming --environment test"]


@pytest.mark.parametrize("earlier", [None, time.time() + 20], ids=["the first run ever", "before the clock was set"])
def test_trigger_warming_on_a_site_whose_clock_is_behind_is_found(redis, site, done, earlier):
    """What the site wrote before and after is compared; our clock, and which of them is later, do not matter."""
    if earlier is not None:
        redis.hset(KEY, mapping=statistics("startup", last_run=earlier))
    site.set(warming_run={"items": 12, "seconds": 0.4, "clock_behind": 30})

    outcome = done(TriggerWarming(strategy="startup", wait_seconds=1))

    assert outcome.result is Result.APPLIED, outcome.detail
    assert "stored 12 values" in outcome.detail


@pytest.mark.parametrize(
    ("run", "lock", "said"),
    [
        ({"items": 24, "seconds": 0.8, "runs": 2}, False, "2 runs ended meanwhile: these are their numbers together"),
        ({"items": 12, "seconds": 90.0}, False, "It took longer than since it was asked for: it may have been another"),
        ({"items": 12, "seconds": 0.4}, True, "The lock is held again: it may have been another run"),
        ({"items": 12, "seconds": 0.4}, False, ""),
    ],
    ids=["two", "begun before", "another at work", "ours"],
)
def test_trigger_warming_says_when_another_run_may_have_been_taken_for_it(redis, site, run, lock, said):
    """The statistics carry no name of a run."""
    site.set(warming_run=run)
    action = TriggerWarming(strategy="startup", wait_seconds=1)
    plan = action.plan(Site(site.environment))

    written = action.write(plan, WritableSite(site.environment, lambda _: None))
    if lock:
        redis.set(LOCK, "the scheduler's", ex=600)
    found = action.read_back(plan, Site(site.environment), written.data)

    assert found.confirmed
    assert said in found.detail
    assert ("another" in found.detail or "together" in found.detail) == bool(said)


def test_trigger_warming_whose_outcome_was_never_written_is_looked_for_in_the_statistics(redis, site):
    """Long afterwards nothing is left but the plan: a run since, or none."""
    redis.hset(KEY, mapping=statistics("startup", last_run=OLD_RUN))
    action = TriggerWarming(strategy="startup")
    plan = action.plan(Site(site.environment))

    none = action.read_back(plan, Site(site.environment), {})
    redis.hset(KEY, mapping=statistics("startup", last_run=OLD_RUN - 60))
    some = action.read_back(plan, Site(site.environment), {})

    assert (none.confirmed, some.confirmed) == (False, True)
    assert "Whether it is the one that was asked for is not known" in some.detail


def test_trigger_warming_run_that_lasts_longer_is_left_to_itself(redis, site, done):
    """The lock shows that it is at work; the account says that it goes on."""
    site.set(warming_run=None)
    begun = threading.Timer(0.6, lambda: redis.set(LOCK, "at work", ex=600))
    begun.start()

    outcome = done(TriggerWarming(strategy="startup", wait_seconds=2))
    begun.join()

    assert outcome.result is Result.STOPPED, outcome.detail
    assert "not over after 2 s; it goes on in the site's worker" in outcome.detail


@pytest.mark.parametrize(
    ("hindrance", "said"),
    [
        ("lock", "no other startup run holds the lock: cache_warming_lock:startup:all (never expires)"),
        ("flag", "warming is on for everybody: CACHE_WARMING is gradual"),
        ("setting", "warming is enabled in the settings"),
        ("command", "the site has the command warm_cache"),
    ],
)
def test_trigger_warming_that_could_not_work_is_refused(redis, site, hindrance, said):
    """Each of these would make the run a skipped one."""
    if hindrance == "lock":
        redis.set(LOCK, "t")
    if hindrance == "flag":
        site.set_flag("CACHE_WARMING", "gradual", 50)
    site.misbehave(warming_enabled=hindrance != "setting", no_warm_cache=hindrance == "command")

    plan = TriggerWarming(strategy="startup").plan(Site(site.environment))

    assert [said in failed(plan), len(plan.failed_guards)] == [True, 1]
    assert hindrance != "lock" or f"runbooks change remove_warming_lock --environment test -p lock={LOCK}" in failed(
        plan
    )
    assert hindrance != "flag" or "runbooks change enable_feature --environment test -p feature=CACHE" in failed(plan)
    assert plan.offers[0].command == "runbooks run triage --environment test"


# --- a lock ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ttl_seconds", "idle_seconds", "workers", "said"),
    [
        (None, 0, ELSEWHERE, ""),
        (90_000, 0, ELSEWHERE, ""),
        (None, 700, None, ""),
        (None, 700, {}, ""),
        (None, 0, BUSY, "no task worker is warming: common.tasks.run_startup_warming on celery@one"),
        (None, 700, BUSY, "no task worker is warming: common.tasks.run_startup_warming on celery@one"),
        (None, 0, {}, "no worker answered within a second (ask on the site: celery inspect active"),
        (None, 0, None, "could not be asked"),
        (500, 0, ELSEWHERE, "(it ends by itself: wait)"),
        (500, 599, ELSEWHERE, "(it ends by itself: wait)"),
    ],
)
def test_lock_is_removed_only_with_proof_that_its_owner_is_gone(redis, site, ttl_seconds, idle_seconds, workers, said):
    """Untouched for longer than a lock may live; or not an ordinary lock while the workers that answer do not warm."""
    redis.set(LOCK, "token", ex=ttl_seconds)
    idle(redis, LOCK, idle_seconds)
    site.set(workers=workers)

    plan = RemoveWarmingLock(lock=LOCK).plan(Site(site.environment))

    assert said in failed(plan)
    assert bool(plan.failed_guards) == bool(said), failed(plan)
    assert redis.exists(LOCK)


def test_lock_that_is_old_enough_is_planned_again_and_removed_without_being_touched(redis, site, done):
    """Reading its token would make it young: the proof of the dry run must still hold when it is confirmed."""
    redis.set(LOCK, "token")
    idle(redis, LOCK, 700)
    site.set(workers=None)
    action = RemoveWarmingLock(lock=LOCK)

    digests = {action.plan(Site(site.environment)).digest for _ in range(2)}
    idle_seconds = redis.object("IDLETIME", LOCK)
    outcome = done(action)

    assert len(digests) == 1
    assert idle_seconds >= 700
    assert outcome.result is Result.APPLIED, outcome.detail
    assert not redis.exists(LOCK)


def test_lock_whose_plan_cannot_be_confirmed_anyway_stays_as_old_as_it_is(redis, site):
    """Looking at it every few minutes must not keep it young: its age is the proof that will do."""
    redis.set(LOCK, "token")
    redis.set("cache_warming_lock:on_demand:a", "token", ex=50)
    idle(redis, LOCK, 300)
    idle(redis, "cache_warming_lock:on_demand:a", 40)
    plans = []
    for workers in (None, {}, BUSY):
        site.set(workers=workers)
        plans.append(RemoveWarmingLock(lock=LOCK).plan(Site(site.environment)))
    site.set(workers=ELSEWHERE)
    plans.append(RemoveWarmingLock(lock="cache_warming_lock:on_demand:a").plan(Site(site.environment)))

    assert all(plan.failed_guards and not plan.notes for plan in plans)
    assert redis.object("IDLETIME", LOCK) >= 300
    assert redis.object("IDLETIME", "cache_warming_lock:on_demand:a") >= 40


def test_lock_whose_token_is_read_says_that_this_counted_as_a_use(redis, site):
    """Where the workers answered the token is needed; before Redis 7.2 reading it touches the key."""
    redis.set(LOCK, "token")
    idle(redis, LOCK, 300)
    site.set(workers=ELSEWHERE)

    plan = RemoveWarmingLock(lock=LOCK).plan(Site(site.environment))

    assert not plan.failed_guards
    touched = redis.object("IDLETIME", LOCK) < 300
    assert any("it was untouched for 5 min before" in note for note in plan.notes) == touched


@pytest.mark.parametrize("seconds", [0, 700], ids=["by its token", "by its age"])
def test_lock_taken_again_between_plan_and_write_stays(redis, site, seconds):
    """Compared and deleted in one step of the server."""
    action = RemoveWarmingLock(lock=LOCK)
    redis.set(LOCK, "dead")
    idle(redis, LOCK, seconds)
    plan = action.plan(Site(site.environment))
    redis.set(LOCK, "living")

    with pytest.raises(RefusedError, match="not the lock of the plan any more"):
        action.write(plan, WritableSite(site.environment, print))

    assert redis.get(LOCK) == b"living"


def test_lock_of_a_new_run_is_told_from_the_one_that_was_removed(redis, site):
    """Read back: the next run may take its own at once."""
    action = RemoveWarmingLock(lock=LOCK)
    redis.set(LOCK, "dead")
    plan = action.plan(Site(site.environment))
    written = action.write(plan, WritableSite(site.environment, print))

    redis.set(LOCK, "living", ex=600)
    new = action.read_back(plan, Site(site.environment), written.data)
    redis.set(LOCK, "dead")
    same = action.read_back(plan, Site(site.environment), written.data)

    assert (new.confirmed, same.confirmed) == (True, False)


@pytest.mark.parametrize(
    "identifier", ["*", "\"; redis.call('FLUSHALL') --", "a b\r\nFLUSHALL\r\n", "$(id)`id`", "[a-z]?\\", "ü\u202e"]
)
def test_lock_with_a_hostile_name_is_that_key_and_no_other(redis, done, identifier):
    """Globs, quotes, Lua and line ends are part of a name."""
    name = f"cache_warming_lock:startup:{identifier}"
    redis.mset({name: "token", LOCK: "another", "cache_warming_lock:startup:a": "another"})

    outcome = done(RemoveWarmingLock(lock=name))

    assert outcome.result is Result.APPLIED, outcome.detail
    assert sorted(redis.scan_iter()) == [b"cache_warming_lock:startup:a", LOCK.encode()]


def test_lock_under_an_lfu_policy_has_no_age_and_other_kinds_are_no_locks(redis, site):
    """What the server does not keep is not known; a hash is not a lock."""
    redis.set(LOCK, "token")
    redis.config_set("maxmemory-policy", "allkeys-lfu")
    try:
        plan = RemoveWarmingLock(lock=LOCK).plan(Site(site.environment))
    finally:
        redis.config_set("maxmemory-policy", "noeviction")
    redis.delete(LOCK)
    redis.hset(LOCK, "a", "b")

    assert "untouched for not known" in " ".join(guard.detail for guard in plan.guards)
    assert "it is a lock: a hash" in failed(RemoveWarmingLock(lock=LOCK).plan(Site(site.environment)))


@pytest.mark.parametrize("action", [RemoveWarmingLock(lock=LOCK), TriggerWarming(strategy="startup")])
def test_write_whose_redis_is_gone_before_anything_was_sent_is_refused(redis, site, action):
    """Nothing was sent, so nothing changed."""
    if action.name == "remove_warming_lock":
        redis.set(LOCK, "token")
    plan = action.plan(Site(site.environment))
    gone = msgspec.structs.replace(site.environment, redis_url="redis://127.0.0.1:1/1")

    with pytest.raises(RefusedError, match=r"the lock was not touched|no run was asked for"):
        action.write(plan, WritableSite(gone, print))

    assert site.read()["queued"] == []


# --- statistics -----------------------------------------------------------------------------------------------------


def test_old_statistics_removed_and_written_back(redis, done):
    """Only what is old goes; the undo is exact."""
    before = {**statistics("startup", last_run=OLD_RUN), **statistics("scheduled", last_run=time.time())}
    redis.hset(KEY, mapping=before)
    redis.mset({"cache_stats:django:1:api:a": 1, "cache_stats:django:1:api:b": 1})

    outcome = done(RemoveWarmingStatistics())
    left = redis.hgetall(KEY)
    undone = done(make_action(outcome.undo.action, outcome.undo.parameters))

    assert outcome.result is Result.APPLIED, outcome.detail
    assert {field.decode().rpartition("_")[0].partition("_")[0] for field in left} == {"scheduled"}
    assert outcome.plan.spared[0].value.startswith("2; ")
    assert undone.result is Result.APPLIED, undone.detail
    assert redis.hgetall(KEY) == {field.encode(): value.encode() for field, value in before.items()}


def test_statistics_of_a_run_that_ends_meanwhile_are_kept(redis, site):
    """One of two strategies ran between plan and write: it is kept, and said."""
    redis.hset(KEY, mapping=statistics("startup", last_run=OLD_RUN) | statistics("on_demand", last_run=OLD_RUN))
    action = RemoveWarmingStatistics(older_than="36h")
    plan = action.plan(Site(site.environment))
    redis.hset(KEY, mapping={"on_demand_last_run": "1800000000.5", "on_demand_tasks": "3"})

    written = action.write(plan, WritableSite(site.environment, print))
    found = action.read_back(plan, Site(site.environment), written.data)
    with pytest.raises(RefusedError, match="ran meanwhile"):
        action.write(plan, WritableSite(site.environment, print))

    assert written.stopped == "on_demand ran meanwhile and was kept"
    assert found.confirmed
    assert len(redis.hgetall(KEY)) == 5


def test_statistics_of_several_strategies_go_and_come_back_in_one_step_of_the_server(redis, site):
    """One EVAL: whatever the server refuses, it refuses before the first field or not at all."""
    strategies = ("startup", "scheduled", "on_demand")
    before = {field: value for name in strategies for field, value in statistics(name, last_run=OLD_RUN).items()}
    redis.hset(KEY, mapping=before)
    removal, restoring = RemoveWarmingStatistics(), RestoreWarmingStatistics(fields=json.dumps(before))
    plan, writable = removal.plan(Site(site.environment)), WritableSite(site.environment, print)

    redis.config_set("min-replicas-to-write", 1)
    try:
        with pytest.raises(RefusedError):
            removal.write(plan, writable)
    finally:
        redis.config_set("min-replicas-to-write", 0)
    kept = redis.hlen(KEY)
    redis.config_resetstat()
    removal.write(plan, writable)
    gone = redis.exists(KEY) == 0
    restoring.write(restoring.plan(Site(site.environment)), writable)

    assert (kept, gone, redis.hlen(KEY)) == (15, True, 15)
    assert redis.info("commandstats")["cmdstat_eval"]["calls"] == 2


def test_statistics_of_a_run_that_ends_before_they_are_written_back_are_left(redis, site):
    """One of two strategies ran between plan and write: what it wrote stays, and the account says so."""
    fields = {**statistics("startup", last_run=OLD_RUN), **statistics("on_demand", last_run=OLD_RUN)}
    action = RestoreWarmingStatistics(fields=json.dumps(fields))
    plan = action.plan(Site(site.environment))
    redis.hset(KEY, mapping={"on_demand_tasks": "1"})

    written = action.write(plan, WritableSite(site.environment, print))

    assert written.stopped == "on_demand ran meanwhile and was left as it is"
    assert redis.hget(KEY, "on_demand_tasks") == b"1"
    assert action.read_back(plan, Site(site.environment), written.data).confirmed


def test_statistics_that_are_none_are_refused_and_an_unknown_age_is_kept(redis, site):
    """A string under that name, a million fields, a last run that is nonsense."""
    action = RemoveWarmingStatistics()
    redis.hset(KEY, mapping=statistics("startup", last_run=OLD_RUN) | {"startup_last_run": "yesterday", "x": "1"})
    kept = action.plan(Site(site.environment))
    redis.hset(KEY, mapping={f"f{number}_count": 1 for number in range(600)})
    with pytest.raises(RefusedError, match="has 606 fields"):
        action.plan(Site(site.environment))
    redis.delete(KEY)
    empty = action.plan(Site(site.environment))
    redis.set(KEY, "x")
    with pytest.raises(RefusedError, match="is not a hash"):
        action.plan(Site(site.environment))

    assert kept.no_op
    assert any("startup: its last run is not known" in note for note in kept.notes)
    assert empty.no_op


def test_statistics_are_written_back_only_where_there_are_none(redis, site, done):
    """Old sums must not stand beside the first run after them."""
    redis.hset(KEY, mapping=statistics("startup", last_run=time.time(), count=1))
    fields = {**statistics("startup", last_run=OLD_RUN), **statistics("scheduled", last_run=OLD_RUN)}

    outcome = done(RestoreWarmingStatistics(fields=json.dumps(fields)))

    assert outcome.result is Result.APPLIED, outcome.detail
    assert redis.hget(KEY, "startup_count") == b"1"
    assert redis.hget(KEY, "scheduled_count") == b"100"
    assert outcome.plan.notes == ("startup has statistics of its own by now: left as it is",)


# --- other shapes of Redis ------------------------------------------------------------------------------------------


def test_lock_and_statistics_on_a_cluster_are_found_on_the_primary_that_holds_them(redis_cluster, site, ledger):
    """Each key on its own primary; ``cache_stats:*`` summed over all of them."""
    redis_cluster.flush()
    redis_cluster.client_for(LOCK).set(LOCK, "dead")
    redis_cluster.client_for(KEY).hset(KEY, mapping=statistics("startup", last_run=OLD_RUN))
    redis_cluster.fill({f"cache_stats:{number}": "1" for number in range(30)})
    desk = Desk(redis_cluster.environment(manage=site.environment.manage, allow_auto=True), ledger, "run", "anna")

    removed, old = (
        apply(action, desk, confirm="auto") for action in (RemoveWarmingLock(lock=LOCK), RemoveWarmingStatistics())
    )

    assert [removed.result, old.result] == [Result.APPLIED, Result.APPLIED], (removed.detail, old.detail)
    assert old.plan.spared[0].value.startswith("30; ")
    assert redis_cluster.dbsize() == 30


def test_lock_whose_removal_the_acl_forbids_is_refused_and_stays(scene_redis, redis, site, ledger):
    """The server says no to EVAL: nothing changed, and the right that is missing is named."""
    url = acl_user(scene_redis, "reader", "~*", "+@read", "+@connection", "+command", "-eval").removesuffix("/0")
    redis.set(LOCK, "dead")
    environment = msgspec.structs.replace(site.environment, redis_url=f"{url}/1")

    outcome = apply(RemoveWarmingLock(lock=LOCK), Desk(environment, ledger, "run", "anna"), confirm="auto")

    assert outcome.result is Result.REFUSED
    assert "eval" in outcome.detail.lower()
    assert redis.exists(LOCK)
