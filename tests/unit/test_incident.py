"""The guide's response to each severity, the message and the ticket's text; strangers' words cannot break out of either."""

from datetime import timedelta

import pytest
from builders import HOSTILE, NOW

from runbooks_lib.actions.registry import make_action
from runbooks_lib.facts import Entry, Incident
from runbooks_lib.judgement.incident import RESPONSES, message_text, response_for, steps_to_take, summary_text

CONTACTS = {"on_call": "on-call@example.com", "devops": "devops@example.com", "cache_team": "cache-team@example.com"}
RUNBOOKS = ("triage", "low_hit_rate", "feature_flags", "rollback")


def incident(**changes):
    """An open incident of severity 1."""
    usual = {
        "id": "inc-20261122-021407-9c1f",
        "environment": "production",
        "severity": 1,
        "title": "Redis is down",
        "opened_at": NOW,
        "opened_by": "anna",
        "opened_seq": 7,
    }
    return Incident(**{**usual, **changes})


def entry(text, *, minutes=1, operator="anna", matters=True):
    """One line of a timeline."""
    return Entry(NOW + timedelta(minutes=minutes), operator, text, "run-1", "action.ended", matters)


def test_responses_name_only_actions_and_runbooks_that_the_project_plans():
    """A step that leads nowhere is worst exactly when it matters."""
    planned = {"triage", "low_hit_rate", "slow_warming", "feature_flags", "rollback", "cache_warming"}
    for response in RESPONSES.values():
        for step in response.steps:
            assert not step.action or make_action(step.action, step.parameters).name == step.action
            assert not step.runbook or step.runbook in planned
            assert step.why


def test_response_to_severity_1_disables_the_flag_before_anything_is_looked_for():
    """Guide: feature flag immediately disabled, page cache enabled as fallback; nobody diagnoses first."""
    steps = response_for(1).steps
    order = [step.action or step.runbook or step.call for step in steps]
    assert order.index("fall_back_to_page_cache") < order.index("triage")
    assert [step.prescribed for step in steps[:2]] == [True, True]


def test_response_to_severity_2_notifies_on_call_first_and_severity_3_calls_nobody_at_night():
    """Guide: on-call notification; schedule fix during maintenance window."""
    assert response_for(2).steps[0].call == "on_call"
    assert all(step.call != "on_call" for step in response_for(3).steps)
    assert any("maintenance window" in step.what for step in response_for(3).steps)


@pytest.mark.parametrize("severity", [0, 4, -1])
def test_response_for_a_severity_that_is_none_is_an_error(severity):
    """There are three."""
    with pytest.raises(ValueError, match="1, 2 or 3"):
        response_for(severity)


def test_steps_to_take_fill_in_addresses_and_commands_and_name_no_runbook_that_is_missing():
    """An action without its notebook is still one command."""
    steps = steps_to_take(1, "production", CONTACTS, RUNBOOKS)
    assert "on-call@example.com" in steps[0].text
    assert steps[1].command == "runbooks change fall_back_to_page_cache --environment production"
    assert "changes the site when confirmed" in steps[1].text
    assert "runbooks change trigger_warming --environment production -p strategy=startup" in [s.command for s in steps]
    commands = [step.command for step in steps_to_take(2, "production", {}, ("triage",))]
    assert "runbooks run triage --environment production" in commands
    assert not any("low_hit_rate" in command for command in commands)


def test_steps_to_take_quotes_a_hostile_environment_for_the_shell():
    """Names of environments come from a file."""
    (step,) = [s for s in steps_to_take(3, "a; rm -rf /", CONTACTS, RUNBOOKS) if s.command]
    assert step.command.endswith("'a; rm -rf /'")


def test_message_text_says_what_since_when_what_is_done_and_whom_to_ask():
    """One paragraph to send, in lines."""
    text = message_text(incident(), CONTACTS, now=NOW + timedelta(minutes=41), finding="Redis does not answer")
    lines = text.splitlines()
    assert lines[0] == "OPEN · severity 1 (critical) · production · Redis is down"
    assert "Since 2026-11-22 02:14:07Z (41 min); inc-20261122-021407-9c1f" in lines
    assert "Found: Redis does not answer" in lines
    assert "page cache" in text
    assert lines[-1] == "Questions to on-call@example.com"


def test_message_text_of_a_closed_incident_says_who_closed_it_and_what_it_was():
    """And nothing of what is being done."""
    closed = incident(closed_at=NOW + timedelta(hours=1), closed_by="ben", summary="the disk was full", closed_seq=99)
    text = message_text(closed, {}, now=NOW + timedelta(hours=2))
    assert "Closed by ben: the disk was full" in text
    assert text.startswith("CLOSED")
    assert text.endswith("Questions to anna")


def test_summary_text_holds_everything_a_ticket_needs_in_utc():
    """What, how long, who, what happened, what it was."""
    done = incident(closed_at=NOW + timedelta(minutes=41), closed_by="ben", summary="disk full\nfreed", closed_seq=99)
    text = summary_text(
        done, (entry("incident opened", minutes=0), entry("applied: flag off", operator="ben", minutes=2))
    )
    for line in (
        "INCIDENT inc-20261122-021407-9c1f · severity 1 · production",
        "Lasted: 41 min",
        "People: anna, ben",
        "Summary: disk full",
        "Summary: freed",
        "2026-11-22 02:16:07Z · ben · applied: flag off",
    ):
        assert line in text.splitlines()


@pytest.mark.parametrize(
    "words", [HOSTILE, "```\n# owned\n@everyone [x](http://x)", "~~~\n<script>", "a\r\nb\u2028c", "\x1b[2J`````"]
)
def test_summary_text_of_hostile_words_stays_one_code_block(words):
    """In a code block nothing links, mentions or formats; nothing a stranger wrote ends it."""
    text = summary_text(incident(title=words, summary=words, opened_by=words), (entry(words, operator=words),))
    lines = text.splitlines()
    assert (lines[0], lines[-1]) == ("```text", "```")
    assert not any("```" in line or "~~~" in line for line in lines[1:-1])
    assert all(line.isprintable() for line in lines)


def test_summary_text_of_a_long_incident_lists_what_matters_and_counts_the_rest():
    """A thousand looks at the site are not read by anybody."""
    looks = tuple(entry("opened runbook triage", minutes=n, matters=False) for n in range(500))
    text = summary_text(incident(), (*looks, entry("applied: flag off", minutes=600)))
    assert "applied: flag off" in text
    assert "and 500 further events: runbooks log --environment production" in text
    assert len(text.splitlines()) < 20
    hostile = summary_text(incident(environment="a; rm -rf /"), looks)
    assert "runbooks log --environment 'a; rm -rf /'" in hostile
