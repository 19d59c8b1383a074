"""The steps of an incident on a real ledger: each is written once, however often its notebook is run."""

from dataclasses import replace

import pytest
from builders import NO_PROMETHEUS, NO_REDIS, NO_WEB, NOW, situation

from runbooks_lib.judgement.triage import judge_triage
from runbooks_lib.model import Finding, Status, Verdict
from runbooks_lib.operations.choice import carry_out
from runbooks_lib.operations.incident import (
    IncidentRecord,
    IncidentState,
    choose_response,
    judge_incident,
    record_step,
    show_guide_steps,
    show_message,
    show_summary,
    show_timeline,
    with_timeline,
)
from runbooks_lib.runbook import open_runbook

LOW = Finding("cache.hit_rate", "hit rate", Status.FAIL, "54.2 %")


def measured(severity, *findings, headline="hit rate 54.2 % for 41 min"):
    """What triage found."""
    verdict = Verdict("triage", "sandbox", NOW, Status.FAIL, headline, severity=severity, findings=findings)
    return IncidentState(verdict, severity)


@pytest.fixture
def runbook(repository):
    """An opened runbook, recorded in a ledger of its own; its systems are never asked."""
    opened = open_runbook("incident_response", environment="sandbox")
    yield opened
    opened.run.ledger.close()


def step(runbook, state, name, *, title="auto", note=""):
    """One step, and the record with its timeline."""
    return with_timeline(runbook, record_step(runbook, state, name, title=title, note=note))


def texts(record):
    """What the timeline says."""
    return [entry.text for entry in record.timeline if entry.kind.startswith("incident.")]


def test_incident_steps_twice_write_each_once_and_end_closed(runbook):
    """Open, note, close: pressed twice, and with other numbers the second time."""
    first = step(runbook, measured(2, LOW), "open")
    again = step(runbook, measured(2, LOW, headline="hit rate 51 % for 43 min"), "open")
    assert first.incident.title == "hit rate"
    assert again.incident.id == first.incident.id
    assert again.done == ""

    for _ in range(2):
        noted = step(runbook, measured(2, LOW), "note", note="a bot asks for `everything`")
    assert len(texts(noted)) == 2
    assert noted.done == "the note stands there already"

    closed = step(runbook, measured(None), "close", note="blocked it")
    assert closed.incident.summary == "blocked it"
    assert "Closed: 2" in show_summary(closed).text
    late = step(runbook, measured(None), "close", note="blocked it")
    assert late.problem == "nothing was closed: no incident is open here"
    healthy = replace(measured(None).verdict, status=Status.OK, headline="all 13 checks pass", findings=())
    verdict = judge_incident(runbook, IncidentState(healthy, None), late, ())
    assert verdict.headline == "nothing was closed: no incident is open here"


def test_incident_response_at_severity_two_says_that_there_was_nothing_to_do(runbook):
    """The guide changes nothing at once there, which must not read like a change."""
    record = step(runbook, measured(2, LOW), "respond")
    verdict = judge_incident(runbook, measured(2, LOW), record, ())

    assert verdict.headline.startswith(f"opened {record.incident.id}; severity 2: the guide changes nothing at once")
    assert "there was nothing to do" in verdict.headline


def test_incident_that_nobody_measures_is_opened_only_with_a_severity(runbook):
    """A healthy site opens nothing, and says how to open one nevertheless."""
    record = step(runbook, measured(None), "open")
    verdict = judge_incident(runbook, measured(None), record, ())
    assert record.incident is None
    assert "nothing to open" in record.problem
    assert any("severity=1, 2 or 3" in finding.hint for finding in verdict.findings)
    assert "nothing to paste" in show_summary(record).text
    assert "no severity" in show_guide_steps(runbook, measured(None)).text
    assert "nothing to open" in show_timeline(record).text


def test_incident_with_hostile_words_shows_them_as_text(runbook):
    """Titles and notes are written by people, and end up in a notebook and in a ticket."""
    state = measured(3, LOW)
    step(runbook, state, "open", title="<script>alert(1)</script>")
    record = step(runbook, state, "note", note="```\n<img src=x onerror=alert(1)>")
    for shown in (show_timeline(record), show_summary(record), show_message(runbook, state, record)):
        assert "<script" not in shown.html
        assert "<img" not in shown.html
    assert show_summary(record).text.count("```") == 2


def test_incident_message_before_it_is_opened_says_what_would_be_sent(runbook):
    """Somebody may want to tell people first."""
    text = show_message(runbook, measured(1, LOW), IncidentRecord()).text
    assert "severity 1 (critical) · sandbox · hit rate" in text
    assert "not opened yet" in text


def test_incident_response_changes_something_at_severity_one_only(runbook):
    """And only when it is asked to respond; a digest that belongs to nothing is refused and recorded."""
    assert choose_response(measured(1), "respond").action == "fall_back_to_page_cache"
    assert choose_response(measured(2), "respond") is None
    assert choose_response(measured(1), "look") is None

    outcomes = carry_out(runbook, choose_response(measured(2), "respond"), confirm="1234-1234-1234")
    assert [outcome.exit_code for outcome in outcomes] == [40]
    assert [action["result"] for action in runbook.run.record["actions"]] == ["refused"]


def test_incident_of_severity_one_is_called_what_it_is(runbook):
    """From triage's own verdict over a cache that is down: the call comes first, then the plan, then the rest."""
    rates = dict.fromkeys(("lookups", "lookups_before", "history", "requests", "warming", "alerts"), NO_PROMETHEUS)
    facts = situation(server=NO_REDIS, warming_store=NO_REDIS, health=NO_WEB, flags=NO_WEB, **rates)
    verdict = judge_triage(facts, runbook.policy, runbook.surroundings)
    state = IncidentState(verdict, verdict.severity)
    record = step(runbook, state, "respond")
    judged = judge_incident(runbook, state, record, ())

    assert record.incident.title == "cache down"
    assert judged.severity == 1
    assert judged.next_steps[0].text.startswith("Call the on-call engineer")
    commands = [found.command for found in judged.next_steps]
    assert "runbooks run incident_response --environment sandbox -p step=respond -p severity=1" in commands
    assert "runbooks run incident_response --environment sandbox -p step=close -p 'note=WHAT IT WAS'" in commands
