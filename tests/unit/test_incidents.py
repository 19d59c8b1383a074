"""Incidents in a real ledger: opened once, noted, closed, and everything in between in order."""

import threading

import pytest
from builders import HOSTILE

from runbooks_lib.errors import RefusedError, UsageError
from runbooks_lib.records.event import Event
from runbooks_lib.records.event_words import matters, said
from runbooks_lib.records.incidents import Incidents
from runbooks_lib.records.ledger import Ledger

WHO = {"run_id": "run-1", "operator": "anna"}


@pytest.fixture
def incidents(ledger):
    """On an empty ledger."""
    return Incidents(ledger, secrets=("hunter2",))


@pytest.fixture
def happen(ledger):
    """Adds an event, of production by default."""

    def add(kind, environment="production", operator="anna", **payload):
        return ledger.append(kind=kind, run_id="run-2", environment=environment, operator=operator, payload=payload)

    return add


def opened(incidents, title="Redis is down", severity=1, environment="production"):
    """An incident that is open."""
    return incidents.open(environment, severity, title, **WHO)


def texts(incidents, incident):
    """The timeline's words."""
    return [entry.text for entry in incidents.timeline(incident)]


def test_incident_opened_twice_under_one_title_is_one_incident(incidents, ledger):
    """Whoever comes second gets the one that is open; blanks and case make no other title."""
    first = opened(incidents)
    second = opened(incidents, title=" redis is  DOWN ")
    assert second.id == first.id
    assert len(ledger.events(kind="incident.opened")) == 1
    assert incidents.open_ones("production") == (first,)
    assert incidents.open_ones("staging") == ()


def test_incident_opened_again_after_closing_is_another_one(incidents):
    """A second outage has a timeline of its own."""
    first = opened(incidents)
    incidents.close(first, "disk full", **WHO)
    second = opened(incidents)
    assert second.id != first.id
    assert [one.id for one in incidents.all("production")] == [first.id, second.id]
    assert incidents.open_ones("production") == (second,)


def test_incident_opened_with_another_severity_notes_the_change(incidents):
    """It got worse: the same incident, with the change in its timeline."""
    first = opened(incidents, severity=3)
    worse = opened(incidents, severity=1)
    assert (worse.id, worse.severity) == (first.id, 1)
    assert incidents.find(first.id, "production").severity == 1
    assert "note: severity 3 → 1" in texts(incidents, first)


def test_incident_opened_by_two_at_once_is_one_incident(ledger, incidents, runs_folder):
    """The first in the ledger counts, for both of them."""
    ledger.append(kind="run.started", run_id="r", environment="production", operator="anna")
    found, barrier = [], threading.Barrier(4)

    def open_one():
        own = Ledger(f"sqlite:///{runs_folder / 'ledger.sqlite3'}")
        barrier.wait()
        found.append(opened(Incidents(own)).id)
        own.close()

    threads = [threading.Thread(target=open_one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert len(found) == 4
    assert len(incidents.all("production")) == 1


@pytest.mark.parametrize(("severity", "title"), [(0, "x"), (4, "x"), (1, ""), (1, " \n\t"), (1, "\x00")])
def test_incident_without_a_severity_or_title_is_refused(incidents, ledger, severity, title):
    """Nothing is written."""
    with pytest.raises(UsageError):
        opened(incidents, title=title, severity=severity)
    assert ledger.events() == ()


def test_incident_closed_keeps_who_when_and_what_it_was(incidents):
    """The summary stands in the incident and in its timeline."""
    closed = incidents.close(opened(incidents), "the disk was full", run_id="run-9", operator="ben")
    assert (closed.closed_by, closed.summary) == ("ben", "the disk was full")
    assert closed.closed_at >= closed.opened_at
    assert texts(incidents, closed) == [
        "incident opened, severity 1: Redis is down",
        "incident closed: the disk was full",
    ]


def test_incident_that_is_closed_takes_no_note_and_no_second_closing(incidents, ledger):
    """It says who closed it and when."""
    one = opened(incidents)
    incidents.close(one, "over", **WHO)
    count = len(ledger.events())
    with pytest.raises(RefusedError, match=r"was closed .* by anna"):
        incidents.note(one, "late", **WHO)
    with pytest.raises(RefusedError):
        incidents.close(one, "again", **WHO)
    assert len(ledger.events()) == count


@pytest.mark.parametrize("text", ["", "  \n "])
def test_incident_without_words_is_neither_noted_nor_closed(incidents, text):
    """An empty summary helps nobody."""
    one = opened(incidents)
    with pytest.raises(UsageError):
        incidents.note(one, text, **WHO)
    with pytest.raises(UsageError):
        incidents.close(one, text, **WHO)


@pytest.mark.parametrize("name", ["", "inc-20200101-000000-0000", "'; DROP TABLE runbook_events; --", HOSTILE])
def test_incident_that_does_not_exist_is_a_usage_error_on_one_line(incidents, name):
    """Ids are typed by people."""
    with pytest.raises(UsageError) as caught:
        incidents.find(name, "production")
    assert caught.value.message.isprintable()


def test_timeline_tells_every_event_of_the_environment_between_opening_and_closing(incidents, happen):
    """Whoever caused it; not what was before, after, elsewhere, or said in another incident."""
    happen("run.started", runbook="too_early")
    one = opened(incidents)
    other = opened(incidents, title="alerts are silent", severity=3)
    incidents.note(other, "not mine", **WHO)
    happen("run.started", runbook="triage")
    happen("run.judged", status="FAIL", severity=1, headline="Redis does not answer")
    happen("plan.proposed", plan={"title": "disable X", "digest": "9c1f-77ab-03de"}, digest="9c1f-77ab-03de")
    happen("approval.given", operator="ben", digest="9c1f-77ab-03de")
    happen("action.intended", plan={"title": "disable X", "digest": "9c1f-77ab-03de"}, reason="outage")
    happen("action.ended", result="applied", detail="Done, and read back.")
    happen("action.ended", result="may have changed", detail="no answer")
    happen("action.checked", confirmed=True, detail="X is off")
    happen("action.refused", action="clear_all", detail="somebody holds the lock")
    happen("lock.broken", operator="ben", resource="redis:keys")
    happen("something.new", answer=42, nested={"a": 1})
    happen("run.started", environment="staging", runbook="elsewhere")
    incidents.note(one, "failed over", **WHO)
    closed = incidents.close(one, "disk full", **WHO)
    happen("run.started", runbook="too_late")

    assert texts(incidents, closed) == [
        "incident opened, severity 1: Redis is down",
        "started triage",
        "judged FAIL, severity 1: Redis does not answer",
        "planned to disable X [9c1f-77ab-03de]",
        "approved plan 9c1f-77ab-03de, not signed",
        "began to disable X [9c1f-77ab-03de], reason: outage",
        "applied: Done, and read back.",
        "CHECK THIS, something may have changed: no answer",
        "checked action ?: it was made: X is off",
        "refused clear_all, nothing changed: somebody holds the lock",
        "broke the lock redis:keys of ?",
        "something new answer 42",
        "note: failed over",
        "incident closed: disk full",
    ]
    entries = incidents.timeline(closed)
    assert all(entry.at.tzinfo is not None for entry in entries)
    assert [entry.matters for entry in entries[:4]] == [True, False, True, False]


def test_incident_keeps_no_secret_and_one_line_of_a_title(incidents, ledger):
    """Titles and notes are typed in a hurry."""
    one = opened(incidents, title="password hunter2\nis wrong")
    incidents.note(one, "tried redis://:hunter2@host/1", **WHO)
    incidents.close(one, "it was hunter2", **WHO)
    assert one.title == "password *** is wrong"
    assert "hunter2" not in "".join(event.payload_json for event in ledger.events())


def test_timeline_shows_hostile_words_on_one_printable_line(incidents, happen):
    """Endpoints, reasons and errors of strangers."""
    one = opened(incidents, title=HOSTILE)
    happen("run.judged", operator=HOSTILE, status="FAIL", headline=f"{HOSTILE}\n{HOSTILE}")
    happen("action.ended", result=HOSTILE, detail=["not", "text"])
    for item in incidents.timeline(one):
        assert item.text.isprintable()
        assert item.operator.isprintable()


@pytest.mark.parametrize("payload", ["[]", "null", "{", '{"incident": 1}', '{"incident": "inc-x", "severity": 9}'])
def test_incidents_pass_over_events_that_make_no_sense(incidents, payload, happen):
    """Somebody may have edited one; ``runbooks verify`` names it."""
    event = Event(1, "e", "r", "2026-11-22T02:14:07.000000Z", "incident.opened", "production", "anna", payload, "", "")
    assert said(event).startswith("incident opened")
    assert matters(event)
    happen("incident.opened", incident="inc-x", severity=9)
    assert incidents.all("production") == ()
