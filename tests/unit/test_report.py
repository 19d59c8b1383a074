"""The report: one file, no script, no code, no address outside it, and it never hides that a run died."""

import base64
import re

import msgspec
import pytest
from builders import AROUND, HOSTILE, NO_PROMETHEUS, history, lookups, situation
from change_builders import hostile_outcome, outcome_of, plan_of

from runbooks_lib.actions.outcome import Outcome, Result
from runbooks_lib.changes import kept
from runbooks_lib.facts import EndpointLookups
from runbooks_lib.judgement.triage import judge_triage
from runbooks_lib.policy import Policy
from runbooks_lib.presentation import report
from runbooks_lib.presentation.sections import sections
from runbooks_lib.records.event import plain

PNG = base64.b64encode(b"\x89PNG fake").decode()


def record(**changes):
    """A record as a finished triage leaves it."""
    bad = lookups(EndpointLookups(HOSTILE, miss=4200), EndpointLookups("course-detail", hit=5000, miss=250))
    verdict = judge_triage(
        situation(lookups=bad, alerts=NO_PROMETHEUS, history=history([0.95] * 80 + [0.529] * 40)), Policy(), AROUND
    )
    base = {
        "schema_version": 1,
        "run_id": "20261122-0214-triage-7f3a",
        "runbook": "triage",
        "environment": "production",
        "operator": "a.n.",
        "started_at": "2026-11-22T02:14:00.000000+00:00",
        "finished_at": "2026-11-22T02:14:09.000000+00:00",
        "outcome": "finished",
        "detail": "",
        "parameters": {"window": "auto", "environment": HOSTILE},
        "versions": {"python": "3.11.7"},
        "commit": "abc",
        "verdict": msgspec.to_builtins(verdict),
        "ledger_error": "",
    }
    return {**base, **changes}


def notebook(*outputs, source="secret_code = 1", tags=()):
    """An executed notebook with prose and one code cell."""
    return {
        "cells": [
            {
                "cell_type": "markdown",
                "metadata": {},
                "source": f"# Title\n\nWhy {HOSTILE}\n\n<script>alert(1)</script>",
            },
            {"cell_type": "code", "metadata": {"tags": list(tags)}, "source": source, "outputs": list(outputs)},
        ]
    }


def html_output(html):
    """A rich output as IPython stores it."""
    return {"output_type": "display_data", "data": {"text/html": html, "text/plain": "x"}, "metadata": {}}


FIGURE = {
    "output_type": "display_data",
    "data": {"image/png": PNG},
    "metadata": {"image/png": {"alt": 'hit rate fell "to" 54 % <b>'}},
}


def test_report_has_verdict_and_severity_on_top_and_one_main_heading():
    """Title and H1 say the same."""
    page = report.render_report(record(), notebook(FIGURE))
    assert page.count("<h1") == 1
    heading = re.sub(r"<[^>]+>", "", re.search(r"<h1>(.*?)</h1>", page, re.DOTALL)[1])
    assert heading == "FAIL severity 2 · production · 2026-11-22 02:14:07Z · hit rate 52.9 % for 39 min"
    assert "<title>FAIL · severity 2 · production · 2026-11-22 02:14:07Z" in page
    assert '<html lang="en">' in page


@pytest.mark.parametrize(
    "hostile",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        '<a href="javascript:alert(1)">x</a>',
        '<a href="https://example.com/beacon">x</a>',
        "<iframe src=https://example.com></iframe>",
        '<div style="background:url(https://example.com/x)">x</div>',
        "<svg onload=alert(1)></svg>",
        '<form action="https://example.com"><input></form>',
        "<style>@import url(https://example.com)</style>",
        '<meta http-equiv="refresh" content="0;url=https://example.com">',
    ],
)
def test_report_with_hostile_output_has_no_script_and_no_address_outside_the_file(hostile):
    """Even an output that was never escaped is harmless in the report."""
    page = report.render_report(record(), notebook(html_output(hostile)))
    assert "<script" not in page
    assert not re.search(r"<[^>]+\son\w+\s*=", page)
    assert not re.search(r"""(src|href|action)\s*=\s*["']?\s*(https?:|//|javascript:)""", page)
    assert not re.search(r"url\(\s*['\"]?https?:", page)
    assert "default-src 'none'" in page


def test_report_holds_no_code():
    """The executed notebook beside it does."""
    page = report.render_report(record(), notebook(FIGURE))
    assert "secret_code" not in page


def test_report_figure_carries_its_alternative_text_without_breaking_out_of_the_attribute():
    """Quotes and brackets are escaped."""
    page = report.render_report(record(), notebook(FIGURE))
    assert f'src="data:image/png;base64,{PNG}" alt="hit rate fell &#34;to&#34; 54 % &lt;b&gt;"' in page


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        ("failed", "FAILED before its end"),
        ("interrupted", "INTERRUPTED before its end"),
        ("timed_out", "took too long"),
        ("running", "NOT FINISHED"),
    ],
)
def test_report_of_a_run_that_died_says_so_first(outcome, words):
    """Above the verdict, whatever the notebook claims."""
    page = report.render_report(record(outcome=outcome, detail="kernel died"), notebook(FIGURE))
    stop, heading = page.index('class="stop"'), page.index("<h1")
    assert stop < heading
    assert words in page[stop:heading]
    assert "kernel died" in page[stop:heading]
    assert "<title>DID NOT FINISH" in page


def test_report_without_a_verdict_says_that_it_was_not_reached():
    """A run that died before judging is UNKNOWN, never OK."""
    page = report.render_report(record(verdict=None, outcome="failed"), notebook())
    assert "verdict not reached" in page
    assert 'class="badge">UNKNOWN' in page


def test_report_names_what_could_not_be_checked():
    """In the first paragraph."""
    page = report.render_report(record())
    assert re.search(r"Could not be checked\.</b> [^<]*alerts", page)


def test_report_of_a_hostile_name_is_text():
    """Endpoint names, parameters and evidence."""
    page = report.render_report(record())
    assert "<img" not in page
    assert "\u202e" not in page
    assert "&lt;img src=x onerror" in page


def test_report_says_when_the_run_is_not_in_the_ledger():
    """The record must not look better than it is."""
    page = report.render_report(record(ledger_error="database is locked"))
    assert "database is locked" in page


def test_sections_leave_out_what_the_summary_shows_but_keep_errors():
    """Nothing twice; and what went wrong is told all the same."""
    failed = {
        "output_type": "error",
        "ename": "ValueError",
        "evalue": "x",
        "traceback": ["\x1b[31mValueError\x1b[0m: x"],
    }
    page = sections(notebook(html_output("<p>again</p>"), failed, tags=["in-summary"]))
    assert "again" not in page
    assert "ValueError: x" in page
    assert "\x1b" not in page


def test_sections_put_headings_below_those_of_the_page():
    """A notebook's H1 is a third-level heading of the report."""
    assert "<h3>Title</h3>" in sections(notebook())


def acted(*outcomes: Outcome, **changes):
    """A record with these changes."""
    return record(actions=[{**plain(kept(outcome)), "approved_by": "ben"} for outcome in outcomes], **changes)


def test_report_shows_changes_before_everything_that_was_measured():
    """Before → after, who, when, why, who approved, how to put it back."""
    applied = outcome_of(Result.APPLIED, undo=plan_of().undo, action_id="77", detail="Done, and read back.")
    page = report.render_report(acted(applied), notebook(FIGURE))
    section = page[page.index("<h2>Changes</h2>") : page.index("<figure>")]

    for words in ("APPLIED and read back", "25 % → 50 %", "anna, 2026-11-22 02:20:31Z", "soaked 24 h", "ben"):
        assert words in section
    assert "<pre>runbooks change set_percentage --environment production" in section
    assert page.index("<h2>Changes</h2>") < page.index("<h2>Findings</h2>")


def test_report_of_an_uncertain_change_says_how_to_check_it():
    """In a run that died as well: what was done stays."""
    doubtful = outcome_of(Result.MAY_HAVE_CHANGED, undo=plan_of().undo, action_id="77", detail="no answer")
    page = report.render_report(acted(doubtful, outcome="interrupted", verdict=None))

    assert "INTERRUPTED before its end" in page
    assert "CHECK THIS, something may have changed" in page
    assert "<pre>runbooks check 77 --environment production</pre>" in page


def test_report_leaves_out_a_dry_run_that_was_carried_out_afterwards():
    """What came of the plan tells it all; a plan that nothing followed is shown."""
    page = report.render_report(acted(outcome_of(), outcome_of(Result.APPLIED)))

    assert "PLANNED" not in page
    assert "PLANNED, nothing was changed" in report.render_report(acted(outcome_of()))


def test_report_says_when_a_change_cannot_be_put_back():
    """And why."""
    gone = plan_of(undo=None, irreversible="the data is rebuilt")

    assert "irreversible: the data is rebuilt" in report.render_report(acted(outcome_of(Result.APPLIED, plan=gone)))


@pytest.mark.parametrize("result", list(Result))
def test_report_of_a_change_with_hostile_texts_is_text(result):
    """Every field of it."""
    page = report.render_report(acted(hostile_outcome(result)))

    assert "<img" not in page
    assert "\u202e" not in page
    assert "\x1b" not in page
    assert len(page) < 60_000


@pytest.mark.parametrize("actions", [None, []])
def test_report_of_a_run_without_changes_has_no_section_for_them(actions):
    """Also where an older version wrote the record."""
    assert "<h2>Changes</h2>" not in report.render_report(record(actions=actions))
