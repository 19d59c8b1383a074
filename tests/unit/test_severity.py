"""The guide's three severities, each with the duration that it needs."""

from dataclasses import replace

import pytest
from builders import (
    AROUND,
    DENIED_REDIS,
    NO_PROMETHEUS,
    NO_REDIS,
    NO_SUCH_PAGE,
    NO_WEB,
    health,
    history,
    lookups,
    server,
    situation,
    warming,
)
from hypothesis import given
from hypothesis import strategies as st

from runbooks_lib.facts import EndpointLookups
from runbooks_lib.judgement.severity import assess_severity
from runbooks_lib.judgement.triage import judge_findings, judge_triage
from runbooks_lib.model import Status
from runbooks_lib.policy import Policy

POLICY = Policy()
DOWN = health(status="down", http_status=503, redis_reachable=False)


def assess(**changes):
    """Severity of a site that differs from a healthy one by ``changes``."""
    facts = situation(**changes)
    return assess_severity(facts, judge_findings(facts, POLICY), POLICY)


def test_severity_of_a_healthy_site_is_none():
    """Nothing to say."""
    assert assess().level is None


def test_severity_of_a_cache_down_for_six_minutes_is_one():
    """Over 5 min: counted from the last sample with a hit."""
    found = assess(health=DOWN, server=NO_REDIS, history=history([0.95] * 114 + [None] * 6))
    assert found.level == 1
    assert "no hit for 6 min" in found.what
    assert found.rule == "down for over 5 min"


def test_severity_of_a_cache_down_for_three_minutes_is_three_and_says_when_it_turns_into_one():
    """The rule needs its five minutes; the operator should know that they are coming."""
    found = assess(health=DOWN, server=NO_REDIS, history=history([0.95] * 117 + [None] * 3))
    assert found.level == 3
    assert found.becomes.startswith("severity 1 at 02:16:07Z")


def test_severity_of_a_cache_down_for_exactly_five_minutes_is_not_yet_one():
    """The guide says over 5 minutes."""
    found = assess(health=DOWN, server=NO_REDIS, history=history([0.95] * 115 + [None] * 5))
    assert found.level == 3


def test_severity_of_a_cache_down_for_an_unknown_time_is_one():
    """With Prometheus gone nobody can say that it is short, so the worse case is assumed and said."""
    found = assess(health=DOWN, server=NO_REDIS, history=NO_PROMETHEUS)
    assert found.level == 1
    assert "not known" in found.what


def test_severity_with_everything_down_is_one():
    """Neither Redis nor the site nor Prometheus answers."""
    assert assess(health=NO_WEB, server=NO_REDIS, history=NO_PROMETHEUS).level == 1


def test_severity_of_a_redis_that_only_this_machine_cannot_reach_is_not_down():
    """The site serves from it: no severity 1 because of a firewall at the operator's desk."""
    assert assess(server=NO_REDIS).level is None


def test_severity_of_a_redis_that_only_the_site_cannot_reach_is_down():
    """It answers here, but the cache is of no use to the site."""
    assert assess(health=DOWN, server=server(), history=history([0.95] * 100 + [None] * 20)).level == 1


@pytest.mark.parametrize(("minutes", "level"), [(31, 3), (32, 2), (60, 2)])
def test_severity_of_a_low_hit_rate_needs_more_than_thirty_minutes(minutes, level):
    """31 samples span exactly 30 min; the guide says over 30."""
    assert assess(history=history([0.95] * (120 - minutes) + [0.542] * minutes)).level == level


def test_severity_of_a_low_hit_rate_does_not_count_what_was_not_observed():
    """40 minutes with 15 of them unseen are 25 observed ones."""
    ratios = [0.95] * 80 + [0.5] * 10 + [None] * 15 + [0.5] * 15
    found = assess(history=history(ratios))
    assert found.level == 3
    assert "severity 2 at" in found.becomes


def test_severity_of_a_hit_rate_between_the_thresholds_is_three():
    """Under 80 % but over 60 %: degradation, however long it lasts."""
    low = lookups(EndpointLookups("a", hit=700, miss=300))
    assert assess(history=history([0.7] * 120), lookups=low).level == 3


@pytest.mark.parametrize(("error", "success", "level"), [(6, 4, 2), (5, 5, 3), (1, 0, 3)])
def test_severity_of_warming_failures_needs_more_than_half_of_some_tasks(error, success, level):
    """One failed task of one is 100 % and still no severity 2."""
    tasks = {"scheduled": {"success": float(success), "error": float(error)}}
    assert assess(warming=warming(tasks=tasks)).level == level


def test_severity_of_unreadable_alerts_is_three():
    """Alerting issues are a severity of their own in the guide."""
    found = assess(alerts=NO_PROMETHEUS)
    assert found.level == 3
    assert found.rule == "alerting issues"


def test_severity_one_outranks_two():
    """A cache that is down also has a low hit rate; the worse rule speaks."""
    found = assess(health=DOWN, history=history([0.3] * 60 + [None] * 60))
    assert found.level == 1


@pytest.mark.parametrize("says", [NO_SUCH_PAGE, NO_WEB])
@pytest.mark.parametrize("redis", [NO_REDIS, DENIED_REDIS])
def test_severity_of_a_cache_with_hits_at_this_moment_is_never_down(redis, says):
    """Neither a firewall nor a wrong password at the operator's desk is an outage."""
    assert assess(server=redis, health=says).level is None


def test_severity_of_a_denied_redis_without_any_other_witness_is_not_down():
    """It answered. Nothing says that the cache fails, so nobody is told to switch it off."""
    found = assess(server=DENIED_REDIS, health=NO_SUCH_PAGE, history=NO_PROMETHEUS, lookups=NO_PROMETHEUS)
    assert found.level is None


def test_severity_with_two_scrapes_that_show_hits_is_not_down():
    """The counters moved in the last seconds."""
    scraped = replace(lookups(), degraded="two scrapes")
    assert assess(server=NO_REDIS, health=NO_WEB, history=NO_PROMETHEUS, lookups=scraped).level is None


@pytest.mark.parametrize(
    "says",
    [health(http_status=503, status="unhealthy", redis_reachable=None), health(status="Down", redis_reachable=None)],
)
def test_severity_takes_every_way_in_which_a_site_says_that_it_is_down(says):
    """The check and the rule must not differ in what they call down."""
    past = history([0.95] * 60 + [None] * 60)
    assert assess(health=says, server=NO_REDIS, history=past).level == 1


def test_severity_of_an_outage_without_any_hit_in_the_history_has_no_invented_duration():
    """A fresh Prometheus knows nothing: that is not two hours."""
    found = assess(health=DOWN, history=history([None] * 120))
    assert found.level == 1
    assert "not known" in found.what


def test_severity_two_does_not_hide_an_outage_that_has_just_begun():
    """Both are told, the outage first, with the moment at which it becomes severity 1."""
    found = assess(health=DOWN, server=NO_REDIS, history=history([0.5] * 117 + [None] * 3))
    assert found.level == 2
    assert found.what.startswith("cache down, no hit for 3 min")
    assert "severity 1 at" in found.becomes


def test_severity_of_failing_warming_is_told_apart_by_strategy():
    """The hourly run fails each time; refreshes do not."""
    found = assess(warming=warming(tasks={"on_demand": {"success": 90.0}, "scheduled": {"error": 4.0}}))
    assert found.level == 2
    assert "4 scheduled warming tasks failed" in found.what


ratios = st.lists(st.one_of(st.none(), st.floats(0, 1)), min_size=5, max_size=130)


@given(
    ratios, st.sampled_from([health(), DOWN, NO_WEB, NO_SUCH_PAGE]), st.sampled_from([server(), NO_REDIS, DENIED_REDIS])
)
def test_severity_and_status_never_contradict_each_other(values, says, redis):
    """Property: whoever goes on only with exit code 0 never goes on during a severity."""
    facts = situation(history=history(values), health=says, server=redis)
    verdict = judge_triage(facts, POLICY, AROUND)
    assert verdict.severity is None or verdict.status is not Status.OK
    assert verdict.severity not in (1, 2) or verdict.status is Status.FAIL
    assert verdict.status is Status.OK or verdict.next_steps
