"""Feature flags through the site's own code: the fake site, and what it does on purpose."""

from __future__ import annotations

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import msgspec
import pytest
from fake_site.place import FakeSite

from runbooks_lib.actions.apply import apply
from runbooks_lib.actions.desk import Desk
from runbooks_lib.actions.flags.feature import AddToWhitelist, DisableFeature, EnableFeature, SetPercentage
from runbooks_lib.actions.flags.feature_sets import FallBackToPageCache, RestoreFeatures, RollBackFeatures
from runbooks_lib.actions.outcome import Result
from runbooks_lib.actions.site import Site
from runbooks_lib.errors import RefusedError

CACHE = "ENHANCED_CACHE"


@pytest.fixture
def done(ledger):
    """Applies an action with ``auto`` at a fake site."""

    def carry_out(action, site: FakeSite, confirm: str = "auto"):
        return apply(action, Desk(site.environment, ledger, "run", "anna"), confirm=confirm)

    return carry_out


def account(outcome) -> str:
    """What was written and read back, as text."""
    return "; ".join(f"{entry.name}: {entry.value}" for entry in outcome.account)


def test_disable_feature_reads_back_twice_and_as_it_is_served_in_three_starts(fake_site, done):
    """One start plans, one writes, one reads twice; health endpoint and metric are evidence; noise does not matter."""
    site = fake_site()
    site.misbehave(noise=True)

    outcome = done(DisableFeature(feature=CACHE), site)

    assert outcome.result is Result.APPLIED
    assert site.starts == 3
    assert "read in a second process: ENHANCED_CACHE off; read again after" in account(outcome)
    assert "health endpoint: ENHANCED_CACHE 0 %" in account(outcome)
    assert "feature_flag_percentage, now: ENHANCED_CACHE 0 % (process 1)" in account(outcome)


def test_plan_says_whom_it_reaches_and_what_it_rests_on(fake_site):
    """Share of the users, whitelist, traffic or that it is unknown; strategy, percentage and count are bound."""
    site = fake_site()
    site.set_flag(CACHE, "gradual", 25, (1, 2, 3))

    plan = SetPercentage(feature=CACHE, percentage=50).plan(Site(site.environment))

    shown = {entry.name: entry.value for entry in plan.blast_radius}
    assert shown["users served ENHANCED_CACHE"] == "25 % → 50 %"
    assert shown["users on the whitelists"] == "3"
    assert shown["requests"].startswith("unknown: ")
    assert dict(plan.rests_on) == {
        f"{CACHE}.strategy": "gradual",
        f"{CACHE}.percentage": 25.0,
        f"{CACHE}.whitelist_count": 3,
    }
    assert (plan.undo.action, plan.undo.parameters["percentage"]) == ("set_percentage", 25)


@pytest.mark.parametrize(
    "feature",
    [
        "NO_SUCH",
        "enhanced_cache",
        '"); __import__("os").system("touch pwned") #',
        "'; DROP TABLE x; --",
        "$(id) `id` *",
    ],
)
def test_feature_that_the_site_does_not_have_is_refused_with_those_it_has(fake_site, feature):
    """A name is looked up, never run."""
    site = fake_site()

    with pytest.raises(RefusedError, match="the site has no feature") as caught:
        EnableFeature(feature=feature).plan(Site(site.environment))

    assert "PENETRATION_PROTECTION" in caught.value.hint
    assert not list(site.folder.rglob("pwned"))


def test_write_finds_the_flag_changed_since_the_plan_and_changes_nothing(fake_site, done):
    """The site's own process looks again right before it writes."""
    site = fake_site()
    site.misbehave(somebody_changes={CACHE: {"strategy": "gradual", "percentage": 33}})

    outcome = done(DisableFeature(feature=CACHE), site)

    assert outcome.result is Result.REFUSED
    assert "changed since it was planned" in outcome.detail
    assert site.flags[CACHE]["percentage"] == 33


@pytest.mark.parametrize(
    ("behaviour", "said"),
    [
        ({"lose_writes": True}, "ENHANCED_CACHE is on, not off"),
        ({"reset_after": 0.2}, "ENHANCED_CACHE is on"),
        ({"served": 100}, "stored as off, but served to 100 %"),
    ],
    ids=["lost", "reset a moment later", "served otherwise"],
)
def test_write_that_does_not_hold_is_found_by_reading_back(fake_site, done, behaviour, said):
    """A write that the site loses, takes back or does not serve is not called done."""
    site = fake_site()
    site.set(copy_seconds=0.3, served={CACHE: behaviour["served"]} if "served" in behaviour else {})
    site.misbehave(**behaviour)

    outcome = done(DisableFeature(feature=CACHE), site)

    assert outcome.result is Result.MAY_HAVE_CHANGED
    assert said in outcome.detail
    assert outcome.exit_code == 50


def test_flag_kept_in_the_cache_is_refused_until_its_loss_is_accepted(fake_site, done, scene_redis):
    """What would fall back by itself is said before it is set, and its expiry is shown after it."""
    scene_redis.client().flushdb()
    site = fake_site(scene_redis.port)
    site.set(behaviour={"in_redis": 300}, served={CACHE: 25})

    first = done(SetPercentage(feature=CACHE, percentage=25), site)
    accepted = done(SetPercentage(feature=CACHE, percentage=25, accept_volatile=True), site)
    then = done(SetPercentage(feature=CACHE, percentage=50), site)

    assert first.result is Result.REFUSED
    assert "asked no SQL table, and no key in Redis looks like a flag" in first.detail
    assert accepted.result is Result.APPLIED, accepted.detail
    assert (
        "may not last: kept in Redis: 'django:1:feature_flag:ENHANCED_CACHE' (falls back to its default in"
        in account(accepted)
    )
    assert accepted.undo.parameters["accept_volatile"] is True
    assert then.result is Result.REFUSED
    assert "falls back to its default in" in then.detail
    assert "accept_volatile" in then.hint


def test_flag_in_the_cache_without_expiry_goes_with_cache_clear(fake_site, scene_redis):
    """The other way to lose it."""
    client = scene_redis.client()
    client.flushdb()
    site = fake_site(scene_redis.port)
    site.misbehave(in_redis=-1)
    client.set(
        "django:1:feature_flag:ENHANCED_CACHE", json.dumps({"strategy": "off", "percentage": 0, "whitelist": []})
    )

    plan = EnableFeature(feature=CACHE).plan(Site(site.environment))

    (guard,) = plan.failed_guards
    assert "(removed by cache.clear())" in guard.detail
    assert any("may not last" in note for note in plan.notes)


@pytest.mark.parametrize(
    ("asks", "said"),
    [
        ('"auth_user"', "no SQL table that is named like flags, but auth_user"),
        ('"flag_cache"', "no SQL table that is named like flags, but flag_cache (a cache)"),
    ],
    ids=["of users", "of a cache"],
)
def test_flag_kept_in_the_cache_of_a_site_that_asks_some_table_is_not_believed_to_last(
    fake_site, done, scene_redis, asks, said
):
    """A table is asked for users, or is Django's DatabaseCache; the flags lie in Redis for a minute."""
    scene_redis.client().flushdb()
    site = fake_site(scene_redis.port)
    database_cache = {"BACKEND": "django.core.cache.backends.db.DatabaseCache", "LOCATION": "flag_cache"}
    site.set(caches={"flags": database_cache}, behaviour={"in_redis": 60, "asks": [asks]}, served={CACHE: 0})

    unknown = done(DisableFeature(feature=CACHE), site)
    accepted = done(DisableFeature(feature=CACHE, accept_volatile=True), site)
    found = DisableFeature(feature="ADAPTIVE_TTL").plan(Site(site.environment))

    assert unknown.result is Result.REFUSED
    assert said in unknown.detail
    assert "accept_volatile" in unknown.hint
    assert accepted.result is Result.APPLIED, accepted.detail
    assert "kept in Redis: 'django:1:feature_flag:ENHANCED_CACHE'" in found.failed_guards[0].detail


def test_flag_in_a_table_that_looks_like_flags_is_set_without_redis(fake_site, done):
    """With a schema before its name and other tables beside it; Redis is dead."""
    site = fake_site()
    site.misbehave(asks=['"auth_user"', '"public"."rollout_featureflag"'])

    outcome = done(DisableFeature(feature=CACHE), site)

    assert outcome.result is Result.APPLIED, outcome.detail
    assert "kept in SQL: rollout_featureflag" in outcome.plan.guards[1].detail


@pytest.mark.parametrize(("percentage", "decimals"), [(12.5, False), (0.4, True)])
def test_percentage_with_a_fraction_is_shown_exactly_and_cannot_be_put_back(fake_site, done, percentage, decimals):
    """``set_percentage`` takes whole numbers: an undo that set 12 in place of 12.5 would be a lie."""
    site = fake_site()
    site.set_flag(CACHE, "gradual", percentage)
    site.misbehave(decimals=decimals)

    outcome = done(DisableFeature(feature=CACHE), site)

    assert outcome.result is Result.APPLIED, outcome.detail
    assert f"gradual, {percentage} %" in outcome.plan.before[0].value
    assert outcome.plan.blast_radius[0].value == f"{percentage} % → 0 %"
    assert outcome.undo is None
    assert f"ENHANCED_CACHE (gradual, {percentage} %); set_percentage takes whole numbers" in outcome.plan.irreversible


def test_set_of_which_one_percentage_has_a_fraction_cannot_be_put_back(fake_site):
    """One flag that cannot be put back is enough; the text names it and its exact percentage."""
    site = fake_site()
    site.set_flag(CACHE, "gradual", 12.5)

    plan = RollBackFeatures().plan(Site(site.environment))

    assert plan.undo is None
    assert "brings back ENHANCED_CACHE (gradual, 12.5 %); " in plan.irreversible


def test_write_to_a_site_whose_copy_time_is_a_duration_is_done_and_waited_for(fake_site, done):
    """``FEATURE_FLAG_CACHE_SECONDS = timedelta(…)`` is no JSON, and must not make an unclear write of a good one."""
    site = fake_site()
    site.set(copy_seconds=0.3, behaviour={"copy_as_duration": True})

    outcome = done(DisableFeature(feature=CACHE), site)

    assert outcome.result is Result.APPLIED, outcome.detail
    assert "read again after 300 ms" in account(outcome)


def test_write_whose_flags_cannot_be_read_any_more_changes_nothing_and_says_so(fake_site, done):
    """All reading comes before the first write, so its failure is a refusal."""
    site = fake_site()
    site.misbehave(unread=True)

    outcome = done(DisableFeature(feature=CACHE), site)

    assert outcome.result is Result.REFUSED
    assert "RuntimeError: cannot read; nothing was written" in outcome.detail
    assert site.flags[CACHE]["strategy"] == "on"


@pytest.mark.parametrize(
    ("action", "health", "result"),
    [
        (DisableFeature(feature=CACHE), {"status": "down"}, Result.APPLIED),
        (EnableFeature(feature="PAGE_CACHE"), {"status": "down"}, Result.APPLIED),
        (SetPercentage(feature="ADAPTIVE_TTL", percentage=50), {"status": "down"}, Result.REFUSED),
        (SetPercentage(feature="ADAPTIVE_TTL", percentage=50), {}, Result.REFUSED),
        (SetPercentage(feature="ADAPTIVE_TTL", percentage=0), {}, Result.UNCHANGED),
    ],
    ids=["off while down", "fallback while down", "more while down", "more while unknown", "so already"],
)
def test_flag_while_the_site_is_down_may_be_taken_away_but_not_given(fake_site, done, action, health, result):
    """The first step of a severity 1 incident must work; serving more users must not."""
    site = fake_site()
    site.set_flag("ADAPTIVE_TTL", "gradual", 0)
    site.set(health=health)

    outcome = done(action, site)

    assert outcome.result is result, outcome.detail
    assert outcome.result is not Result.REFUSED or "the cache is not down" in outcome.detail
    assert health != {"status": "down"} or result is Result.APPLIED or "run triage --environment test" in outcome.hint


@pytest.mark.parametrize("lacks", [[], ["set_strategy"]])
def test_undo_of_a_strategy_without_a_method_is_irreversible_and_says_why(fake_site, lacks):
    """``beta`` comes back only where the site has ``set_strategy``."""
    site = fake_site()
    site.set_flag(CACHE, "beta")
    site.misbehave(lacks=lacks)

    plan = DisableFeature(feature=CACHE).plan(Site(site.environment))

    assert (plan.undo is None) == bool(lacks)
    assert ("ENHANCED_CACHE (beta)" in plan.irreversible) == bool(lacks)
    assert lacks or plan.undo.action == "restore_features"


def test_whitelist_of_a_site_that_cannot_say_who_is_listed_is_read_back_by_its_length(fake_site, done):
    """The contract promises a count only."""
    site = fake_site()
    site.set_flag(CACHE, "whitelist", 0, (7,))
    site.misbehave(lacks=["is_whitelisted"])

    outcome = done(AddToWhitelist(feature=CACHE, user_id=9), site)
    again = done(AddToWhitelist(feature=CACHE, user_id=9), site)

    assert outcome.result is Result.APPLIED, outcome.detail
    assert any("cannot say who is on a whitelist" in note for note in outcome.plan.notes)
    assert again.result is Result.MAY_HAVE_CHANGED
    assert site.flags[CACHE]["whitelist"] == [7, 9]


# --- several at once ------------------------------------------------------------------------------------------------


def test_roll_back_is_one_plan_with_all_flags_written_in_one_start(fake_site, done):
    """The guide's three, all of them locked."""
    site = fake_site()

    outcome = done(RollBackFeatures(), site)

    assert outcome.result is Result.APPLIED
    assert outcome.plan.resources == ("flag:CACHE_WARMING", "flag:ENHANCED_CACHE", "flag:RATE_LIMITING")
    assert [name for name, flag in site.flags.items() if flag["strategy"] == "off"] == [
        *("ENHANCED_CACHE", "CACHE_WARMING", "RATE_LIMITING", "PAGE_CACHE")
    ]
    assert site.starts == 3


def test_roll_back_that_fails_half_way_says_exactly_what_is_changed(fake_site, done):
    """The site raises at the second of three flags."""
    site = fake_site()
    site.misbehave(fail_on="CACHE_WARMING")

    outcome = done(RollBackFeatures(), site)

    assert outcome.result is Result.STOPPED, outcome.detail
    assert (
        "cannot write CACHE_WARMING. Changed: ENHANCED_CACHE. Not changed: CACHE_WARMING, RATE_LIMITING"
        in outcome.detail
    )
    assert outcome.undo.action == "restore_features"
    assert site.flags["RATE_LIMITING"]["strategy"] == "on"


def test_roll_back_that_fails_at_once_is_refused_because_nothing_changed(fake_site, done):
    """Read again in another process before it is said."""
    site = fake_site()
    site.misbehave(fail_on=CACHE)

    outcome = done(RollBackFeatures(), site)

    assert outcome.result is Result.REFUSED
    assert "the flag is as it was" in outcome.detail


def test_roll_back_whose_process_dies_half_way_says_flag_by_flag_how_they_are(fake_site, done):
    """No answer came back, so the flags are looked at once more."""
    site = fake_site()
    site.misbehave(die_after="CACHE_WARMING")

    outcome = done(RollBackFeatures(), site)

    assert outcome.result is Result.MAY_HAVE_CHANGED
    assert (
        "ENHANCED_CACHE is off (changed), CACHE_WARMING is off (changed), RATE_LIMITING is on (not changed)"
        in outcome.detail
    )


def test_fall_back_works_while_redis_is_dead(fake_site, done):
    """Severity 1: no Redis, no Prometheus, a health endpoint that says down."""
    site = fake_site()
    site.set(health={"status": "down", "redis": {"reachable": False}})

    outcome = done(FallBackToPageCache(), site)

    assert outcome.result is Result.APPLIED, outcome.detail
    assert (site.flags["PAGE_CACHE"]["strategy"], site.flags[CACHE]["strategy"]) == ("on", "off")
    assert "the site says that its cache is down" in outcome.plan.notes


def test_restore_features_with_a_strategy_that_the_site_cannot_set_is_refused(fake_site):
    """Before anything is written."""
    site = fake_site()
    site.misbehave(lacks=["set_strategy"])
    action = RestoreFeatures(states=json.dumps({CACHE: {"strategy": "beta"}}))

    with pytest.raises(RefusedError, match="has no set_strategy"):
        action.plan(Site(site.environment))


def test_site_whose_code_writes_when_it_is_read_is_refused_before_it_does(fake_site, done):
    """A dry run cannot write, also where the site's own code would."""
    site = fake_site()
    site.misbehave(writes_when_read=True)

    outcome = done(DisableFeature(feature=CACHE), site, confirm="")

    assert outcome.result is Result.UNREAD
    assert "reading must not change anything, but the site's code sent" in outcome.detail


def test_site_that_cannot_start_is_a_plan_that_could_not_be_made(fake_site, done):
    """Nothing changed, and the variable is named."""
    site = fake_site()
    site.misbehave(broken="SITE_SECRET_KEY is not set")

    outcome = done(DisableFeature(feature=CACHE), site)

    assert outcome.result is Result.UNREAD
    assert "SITE_SECRET_KEY" in outcome.detail


ELSEWHERE = {"default": {"LOCATION": "redis://:s3cr3t@other:6379/1"}}


@pytest.mark.parametrize("what", ["settings module", "cache"])
def test_flags_of_a_site_that_says_it_is_another_one_are_not_set(fake_site, done, monkeypatch, what):
    """The operator's own variables reach the site's shell; what it makes of them is bound, and read where flags are."""
    site = fake_site()
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "site.production")
    plan = done(DisableFeature(feature=CACHE), site, confirm="").plan
    if what == "cache":
        site.set(caches=ELSEWHERE)
    else:
        monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "site.staging")
    outcome = done(DisableFeature(feature=CACHE), site, confirm=plan.digest)

    assert outcome.result is Result.REFUSED
    assert f"site.{'caches' if what == 'cache' else 'settings'} leads elsewhere" in outcome.detail
    assert site.flags[CACHE]["strategy"] == "on"
    assert site.starts == 2


def test_flags_plan_says_which_site_answers_and_notes_another_redis(fake_site, done, ledger):
    """A person can compare; a password in the site's settings is in neither plan nor ledger."""
    site = fake_site()
    site.set(caches=ELSEWHERE)
    notes = " ".join(done(DisableFeature(feature=CACHE), site, confirm="").plan.notes)

    assert "the site's cache is other:6379/1, and redis_url here is 127.0.0.1:1/1" in notes
    assert all("s3cr3t" not in event.payload_json for event in ledger.events())
    site.set(caches={"default": {"LOCATION": "redis://localhost:1/1"}})
    assert "and redis_url here is" not in " ".join(done(DisableFeature(feature=CACHE), site, confirm="").plan.notes)


@pytest.fixture
def idle_process():
    """A web process that has served nobody since the change: its metric shows what it served last."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self):
            body = f'feature_flag_percentage{{feature="{CACHE}"}} 50\n'.encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/metrics"
    server.shutdown()
    thread.join()
    server.server_close()


def test_disable_feature_says_which_process_does_not_serve_it_yet_and_until_when_that_is_normal(
    fake_site, ledger, idle_process
):
    """Else "off" and "50 %" stand side by side without a word."""
    site = fake_site()
    environment = msgspec.structs.replace(site.environment, metrics_urls=(idle_process,))

    outcome = apply(DisableFeature(feature=CACHE), Desk(environment, ledger, "run", "anna"), confirm="auto")

    assert outcome.result is Result.APPLIED, outcome.detail
    assert re.search(
        r"not serving it yet: process \d \(ENHANCED_CACHE 50 %\): .*; normal until each has used the flag again "
        r"after \d\d:\d\d:\d\dZ",
        account(outcome),
    ), account(outcome)


def test_disable_feature_that_is_served_everywhere_says_nothing_of_processes(fake_site, done):
    """Nothing to explain."""
    assert "not serving it yet" not in account(done(DisableFeature(feature=CACHE), fake_site()))


def test_roll_back_says_which_features_stay_on(fake_site, done):
    """The guide lists three; the title and the result do not promise more."""
    site = fake_site()
    plan = RollBackFeatures().plan(Site(site.environment))
    outcome = done(RollBackFeatures(), site)
    on = sorted(name for name, flag in site.flags.items() if flag["strategy"] != "off")

    assert plan.title == "switch off the three features that the guide lists"
    assert on
    assert [name for name in on if f"{name} (" not in outcome.detail or f"{name} (" not in plan.notes[-1]] == []
    assert "ENHANCED_CACHE (" not in outcome.detail
