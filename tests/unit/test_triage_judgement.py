"""The whole verdict: what it says first, why, since when, and what comes next."""

import shlex

import msgspec
from builders import AROUND, FROM, NO_PROMETHEUS, NO_REDIS, NO_WEB, health, history, lookups, situation, warming_store

from runbooks_lib.facts import EndpointLookups, HitRateGauge, WarmingLock
from runbooks_lib.judgement.next_steps import Surroundings, change_command, run_command
from runbooks_lib.judgement.triage import judge_triage
from runbooks_lib.model import Status, Verdict
from runbooks_lib.policy import policy_for

UNCACHED = lookups(
    EndpointLookups("course-detail", hit=5000, miss=250), EndpointLookups("course-recommendations", miss=4200)
)
NO_RATES = {"lookups": NO_PROMETHEUS, "history": NO_PROMETHEUS}


def judge(scale=1.0, around=AROUND, **changes):
    """The verdict over a site that differs from a healthy one by ``changes``."""
    return judge_triage(situation(**changes), policy_for(scale), around)


def test_triage_of_a_healthy_site_is_ok_and_asks_for_nothing():
    """Exit code 0, no severity, no next step."""
    verdict = judge()
    assert (verdict.status, verdict.severity, verdict.exit_code) == (Status.OK, None, 0)
    assert verdict.next_steps == ()
    assert "95.0 %" in verdict.headline


def test_triage_of_an_uncached_endpoint_names_symptom_numbers_cause_and_onset():
    """What an operator needs in the first five seconds."""
    verdict = judge(lookups=UNCACHED, history=history([0.95] * 80 + [0.529] * 40))

    assert (verdict.status, verdict.severity, verdict.exit_code) == (Status.FAIL, 2, 20)
    assert verdict.headline == "hit rate 52.9 % for 39 min"
    assert verdict.rule == "under 60 % for over 30 min"
    assert verdict.likely.startswith("course-recommendations: ")
    assert "a new endpoint" in verdict.likely
    assert f"{verdict.since:%H:%M}" == "01:35"
    assert verdict.next_steps[0].text.startswith("Notify on-call@example.com")


def test_triage_of_a_penetration_attack_says_how_much_reaches_the_database():
    """Random ids: all misses, so a cached NULL_VALUE does not help. The change that answers it is a command."""
    attack = lookups(EndpointLookups("course-detail", hit=6500, miss=3500, null_value=0), attempts=3300.0)
    verdict = judge(lookups=attack)
    assert verdict.status is Status.FAIL
    assert "3.7/s of 11/s lookups; 3.7/s of them reach the database" in verdict.likely
    command = "runbooks change enable_feature --environment production -p feature=PENETRATION_PROTECTION"
    assert command in [step.command for step in verdict.next_steps]


def test_triage_with_everything_down_is_severity_one_and_lists_all_that_was_not_read():
    """It still ends with something to do."""
    names = ("lookups", "lookups_before", "history", "requests", "warming", "alerts")
    verdict = judge(
        server=NO_REDIS, warming_store=NO_REDIS, health=NO_WEB, flags=NO_WEB, **dict.fromkeys(names, NO_PROMETHEUS)
    )
    assert (verdict.status, verdict.severity) == (Status.FAIL, 1)
    assert {item.source for item in verdict.unread} == {"redis", "prometheus", "web"}
    assert "first a dry run" in verdict.next_steps[1].text
    assert verdict.next_steps[1].command == "runbooks change fall_back_to_page_cache --environment production"


def test_triage_with_prometheus_down_on_a_healthy_site_is_unknown_and_never_ok():
    """No fault is seen, but alerting and rates could not be judged: severity 3 for the alerting, exit 30."""
    names = ("lookups", "lookups_before", "history", "requests", "warming", "alerts")
    verdict = judge(**dict.fromkeys(names, NO_PROMETHEUS))
    assert (verdict.status, verdict.severity, verdict.exit_code) == (Status.UNKNOWN, 3, 30)


def test_triage_with_a_time_scale_says_so():
    """Every verdict that used a scale other than 1."""
    assert any("time scale 60" in note for note in judge(scale=60).notes)
    assert judge().notes == ()


def test_triage_never_names_a_runbook_that_does_not_exist():
    """A command that fails at three in the morning is worse than none."""
    verdict = judge(lookups=UNCACHED)
    commands = [step.command for step in verdict.next_steps if "runbooks run" in step.command]
    assert commands == []


def test_triage_names_the_runbook_once_it_exists():
    """With its environment filled in."""
    around = Surroundings("production", {"triage", "low_hit_rate"}, (), {})
    commands = [step.command for step in judge(around=around, lookups=UNCACHED).next_steps]
    assert "runbooks run low_hit_rate --environment production" in commands


def test_triage_of_severity_one_leads_to_the_incident_runbook_once_it_exists():
    """One command opens the response that the guide prescribes; its first execution is a dry run."""
    around = Surroundings("production", {"triage", "incident_response"}, ("manage.py",), {"on_call": "o@example.com"})
    steps = judge(around=around, server=NO_REDIS, warming_store=NO_REDIS, health=NO_WEB, **NO_RATES).next_steps
    assert steps[0].text == "Call o@example.com"
    assert steps[1].command == "runbooks run incident_response --environment production -p step=respond"
    assert [step.command for step in steps].count(steps[1].command) == 1


def test_triage_of_severity_one_without_a_manage_command_offers_no_command_that_needs_it():
    """Flags cannot be changed from here; it says who has to."""
    around = Surroundings("production", {"triage", "incident_response"}, (), {})
    steps = judge(around=around, server=NO_REDIS, warming_store=NO_REDIS, health=NO_WEB, **NO_RATES).next_steps
    assert "by hand on the site" in steps[0].text
    assert steps[0].command == ""


def test_triage_of_a_stuck_lock_leads_to_cache_warming():
    """The runbook that shows the proof and removes it."""
    around = Surroundings("production", {"triage", "cache_warming"}, ("manage.py",), {})
    lock = WarmingLock("cache_warming_lock:startup:all", None)
    commands = [step.command for step in judge(around=around, warming_store=warming_store(lock)).next_steps]
    assert "runbooks run cache_warming --environment production" in commands


def test_next_steps_commands_quote_what_a_shell_would_interpret():
    """An environment or a parameter is data, also once it is pasted."""
    command = change_command("set_percentage", "a; rm -rf /", {"feature": "$(id)", "percentage": 25})
    assert command == ("runbooks change set_percentage --environment 'a; rm -rf /' -p 'feature=$(id)' -p percentage=25")
    assert shlex.split(run_command("triage", "x y", {"window": "'"}))[-1] == "window='"


def test_triage_verdict_survives_json():
    """Machines get the same verdict, and a report can be made from the record alone."""
    verdict = judge(lookups=UNCACHED, alerts=NO_PROMETHEUS)
    assert msgspec.json.decode(msgspec.json.encode(verdict), type=Verdict) == verdict


def test_triage_of_a_degraded_health_endpoint_is_a_warning():
    """WARN, severity 3, exit 10."""
    verdict = judge(health=health(status="degraded"))
    assert (verdict.status, verdict.severity, verdict.exit_code) == (Status.WARN, 3, 10)


def test_triage_says_when_the_sites_own_gauge_must_not_be_believed():
    """Averaged over processes, in percent, or never set: the counters are judged, and the difference is told."""
    gauge = HitRateGauge(0.55, 0.89, False, False, "the gauge cache_hit_rate says 55 %, its counters 89 %", FROM)
    verdict = judge(gauge=gauge)
    assert verdict.status is Status.OK
    assert "its counters 89 %" in verdict.notes[0]
