"""What people see: words first, nothing of a stranger's that runs, figures that say what they show."""

import json
import re
from dataclasses import replace

import pytest
from builders import AROUND, HOSTILE, NO_PROMETHEUS, NOW, history, lookups, situation

from runbooks_lib.facts import EndpointLookups
from runbooks_lib.judgement.triage import judge_triage
from runbooks_lib.model import NextStep
from runbooks_lib.policy import Policy
from runbooks_lib.presentation import display, markup, plots, text

POLICY = Policy()


def hostile_verdict():
    """A verdict about an endpoint whose name a stranger chose."""
    bad = lookups(EndpointLookups(HOSTILE, miss=4200), EndpointLookups("course-detail", hit=5000, miss=250))
    return judge_triage(situation(lookups=bad, alerts=NO_PROMETHEUS), POLICY, AROUND, protected=True)


def test_text_first_line_says_how_bad_where_when_and_what():
    """The line that is read when nothing else is."""
    verdict = judge_triage(situation(history=history([0.95] * 80 + [0.529] * 40)), POLICY, AROUND, protected=True)
    first = text.render(verdict).splitlines()[0]
    assert first == "FAIL · severity 2 · production (protected) · 02:14:07Z · hit rate 52.9 % for 39 min"


def test_text_without_colour_holds_no_escape_sequence_and_with_colour_says_the_same():
    """Words carry the meaning; a pipe or a log gets plain text."""
    verdict = hostile_verdict()
    plain, coloured = text.render(verdict), text.render(verdict, colour=True)
    assert "\x1b" not in plain
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == plain


def test_text_shows_findings_worst_first_and_unknown_as_a_question_mark():
    """FAIL, WARN, ?, OK."""
    words = [
        line.split()[0]
        for line in text.render(hostile_verdict()).splitlines()
        if re.match(r"  (FAIL|WARN|\?|OK)\s", line)
    ]
    order = {"FAIL": 0, "WARN": 1, "?": 2, "OK": 3}
    assert [order[word] for word in words] == sorted(order[word] for word in words)
    assert {"FAIL", "?", "OK"} <= set(words)


def test_text_of_a_hostile_name_cannot_move_the_cursor_or_turn_the_direction():
    """Control and direction characters are replaced, the rest stays readable."""
    rendered = text.render(hostile_verdict())
    assert "\x1b" not in rendered
    assert "\x07" not in rendered
    assert "\u202e" not in rendered
    assert "onerror" in rendered


def test_text_commands_are_never_wrapped():
    """They are there to be pasted."""
    attack = lookups(EndpointLookups("a", hit=6500, miss=3500), attempts=3300.0)
    around = replace(AROUND, environment="production-" + "eu-central-" * 5)
    verdict = judge_triage(situation(lookups=attack), POLICY, around)
    command = next(step.command for step in verdict.next_steps if step.command.startswith("runbooks change"))
    assert any(line.strip() == command for line in text.render(verdict).splitlines())


@pytest.mark.parametrize(
    "html",
    [
        markup.verdict_card(hostile_verdict()),
        markup.findings_table(hostile_verdict().findings),
        markup.unread_table(hostile_verdict().unread),
        markup.steps_list(hostile_verdict().next_steps),
        markup.table((HOSTILE,), [(HOSTILE,)], caption=HOSTILE),
        markup.pending_card(HOSTILE, HOSTILE),
        display.show_text(HOSTILE).html,
        display.show_endpoints(
            lookups(EndpointLookups(HOSTILE, miss=5)), lookups(EndpointLookups(HOSTILE, miss=9))
        ).html,
    ],
)
def test_markup_of_a_hostile_name_is_text(html):
    """In JupyterLab a freshly run cell is trusted: nothing that a stranger wrote may become an element."""
    assert "<img" not in html
    assert "onerror=alert(1)>" not in html
    assert "\u202e" not in html


def test_display_without_a_history_says_why_there_is_no_figure():
    """The notebook goes on when Prometheus is down."""
    shown = display.show_rates(NO_PROMETHEUS, POLICY, since=None)
    assert "connection refused" in shown.text


def test_display_without_lookups_says_why_there_is_no_table():
    """Likewise for the endpoints."""
    assert "connection refused" in display.show_endpoints(lookups(), NO_PROMETHEUS).text
    assert "no earlier window" in display.show_endpoints(NO_PROMETHEUS, lookups()).html


def test_figure_has_alternative_text_that_states_the_finding():
    """Value, thresholds, onset and gaps; the figure's own bundle carries it."""
    past = history([0.95] * 60 + [None] * 4 + [0.5] * 56)
    shown = display.show_rates(past, POLICY, since=NOW)
    data, metadata = shown._repr_mimebundle_()
    assert data["image/png"].startswith("iVBOR")
    alt = metadata["image/png"]["alt"]
    assert "hit rate now 50.0 %" in alt
    assert "left its healthy range about 02:14:07Z" in alt
    assert "4 of 120 samples are missing" in alt


@pytest.mark.parametrize("ratios", [[], [None] * 5, [0.9], [0.0, 1.0]])
def test_figure_of_nothing_or_nearly_nothing_is_still_drawn(ratios):
    """An empty window must not end the runbook."""
    past = history(ratios)
    assert plots.to_png(plots.plot_rates(past, POLICY)).startswith(b"\x89PNG")
    assert plots.describe_rates(past, POLICY)


def test_figure_shows_a_gap_as_a_gap():
    """Missing samples are NaN in the line, so nothing is drawn between them."""
    figure = plots.plot_rates(history([0.9, None, 0.9]), POLICY)
    values = figure.axes[0].lines[0].get_ydata()
    assert [value != value for value in values] == [False, True, False]


def test_shown_objects_have_a_text_and_an_html_form():
    """Both in a terminal and in JupyterLab."""
    bundle = display.show_findings(hostile_verdict().findings)._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "text/html"}
    json.dumps(bundle)


def test_text_sets_a_command_inside_a_step_or_note_on_a_line_of_its_own():
    """Also in HTML, where it stands in a block to copy."""
    command = "runbooks check 0d8f7a3e-6c1b-4e0a-9a57-7a1d7d1f0c55 --environment production"
    said = f"{'a sentence that is long enough to be wrapped in the middle ' * 2}of it: {command}; then look again"
    verdict = replace(hostile_verdict(), next_steps=(NextStep(said),), notes=(said,))

    assert [line.strip() for line in text.render(verdict).splitlines()].count(command) == 2
    assert f"<code>{command}</code>" in markup.steps_list(verdict.next_steps)
    assert "then look again" in markup.steps_list(verdict.next_steps)
