"""Plans and outcomes as people see them: words first, and the last line says what was changed and what to type."""

import re
import unicodedata
from dataclasses import replace

import pytest
from builders import HOSTILE
from change_builders import AT, hostile_outcome, outcome_of, plan_of

from runbooks_lib.actions.outcome import Result
from runbooks_lib.actions.plan import Command, Guard
from runbooks_lib.changes import kept
from runbooks_lib.model import Evidence
from runbooks_lib.presentation import display
from runbooks_lib.presentation.commands import pieces
from runbooks_lib.presentation.log import change_lines, line
from runbooks_lib.presentation.plans import sheet_of, sheet_of_plan
from runbooks_lib.presentation.sheet import render_sheet
from runbooks_lib.records.event import Event, canonical_json, plain, utc_text


def text_of(outcome, **options):
    """The sheet of an outcome in a terminal."""
    return render_sheet(sheet_of(outcome), **options)


def test_plan_text_says_what_where_now_after_undo_and_that_nothing_was_changed():
    """The whole answer, words first."""
    plan = plan_of()
    lines = text_of(outcome_of(needs=("a reason",))).splitlines()

    assert lines[0] == f"PLAN  {plan.digest}   serve ENHANCED_CACHE to 50 % of the users   on production (protected)"
    assert "  now        percentage 25 % (manage.py shell)" in lines
    assert "  after      percentage 50 %" in lines
    assert "  touches    users about 12,000" in lines
    assert "  not        other flags 6" in lines
    assert any(line.startswith("  undo       runbooks change set_percentage") for line in lines)
    assert "  guards     ✓ the site answers · ✓ the store keeps flags" in lines
    assert lines[-1] == f'Nothing was changed. To apply: confirm = "{plan.digest}"'


def test_plan_text_with_a_command_ends_in_that_command():
    """From a command line, the last line is what to paste."""
    shown = render_sheet(sheet_of(outcome_of(), confirm="runbooks change x --confirm y"))

    assert shown.splitlines()[-2:] == ["Nothing was changed. To apply:", "  runbooks change x --confirm y"]


def test_plan_text_without_approval_says_how_it_is_approved_and_that_it_comes_first():
    """The command for somebody else, with the environment."""
    shown = text_of(outcome_of(needs=("approval of it by somebody other than you",)))

    assert f"  approve    runbooks approve {plan_of().digest} --environment production" in shown
    assert "To apply, once it is approved:" in shown


def test_plan_text_with_a_failed_guard_says_which_and_offers_no_confirmation():
    """A guard that could not be told is not met either; words tell them apart where signs cannot be shown."""
    guards = (
        Guard("at most 50,000 keys", holds=False, detail="213,880 keys", hint="look why it grew"),
        Guard("redis answers", holds=None, detail="no answer within 2 s"),
    )
    shown = text_of(outcome_of(plan=plan_of(guards=guards)))

    assert "  not met    ✗ at most 50,000 keys: 213,880 keys; look why it grew" in shown
    assert "  not known  ? redis answers: no answer within 2 s" in shown
    assert shown.endswith("Nothing was changed. As it stands it would be refused (exit 40).")
    assert "confirm" not in shown


def test_plan_text_of_what_is_so_already_asks_for_nothing():
    """No confirmation, no approval."""
    shown = text_of(outcome_of(plan=plan_of(no_op=True), needs=("approval",)))

    assert shown.endswith("It is so already; there is nothing to change.")
    assert "approve" not in shown


def test_plan_text_of_many_values_shows_before_and_after_of_each_on_one_line():
    """A rollback of seven flags is read as seven lines."""
    names = ("ENHANCED_CACHE", "PAGE_CACHE", "ADAPTIVE_TTL")
    plan = plan_of(
        before=tuple(Evidence(name, "100 %") for name in names), after=tuple(Evidence(name, "off") for name in names)
    )
    shown = render_sheet(sheet_of_plan(plan))

    assert "  change     ENHANCED_CACHE  100 % → off" in shown
    assert "             PAGE_CACHE      100 % → off" in shown


@pytest.mark.parametrize(
    ("outcome", "first", "words"),
    [
        (
            outcome_of(Result.APPLIED, detail="Done, and read back."),
            "APPLIED  ",
            ("before     percentage 25 %", "read back  Done", "made       2026-11-22 02:20:31Z by anna"),
        ),
        (outcome_of(Result.STOPPED, detail="Ended early"), "STOPPED before its end (exit 10)", ("stopped    Ended",)),
        (
            outcome_of(Result.REFUSED, plan=None, detail="no", hint="then"),
            "REFUSED, nothing was changed (exit 40)",
            ("  no", "  then"),
        ),
        (
            outcome_of(Result.UNREAD, plan=None, detail="no answer"),
            "NOT PLANNED, nothing was changed (exit 30)",
            ("no answer",),
        ),
        (outcome_of(Result.UNCHANGED, detail="It is so already."), "UNCHANGED", ("It is so already.",)),
    ],
    ids=lambda value: getattr(getattr(value, "result", None), "name", None),
)
def test_outcome_text_begins_with_what_happened(outcome, first, words):
    """And says whether anything was changed."""
    shown = text_of(outcome)

    assert shown.startswith(first)
    assert [word for word in words if word not in shown] == []


def test_outcome_that_may_have_changed_says_how_to_look_and_how_to_put_it_back():
    """The two commands that matter then."""
    plan = plan_of()
    outcome = outcome_of(Result.MAY_HAVE_CHANGED, detail="reading it back failed", undo=plan.undo)
    shown = render_sheet(sheet_of(outcome, check="runbooks check 1234 --environment production"))

    assert shown.startswith("CHECK THIS, something may have changed (exit 50)\n")
    assert "  see        runbooks check 1234 --environment production" in shown
    assert "  put back   runbooks change set_percentage --environment production" in shown


def test_outcome_that_is_not_in_the_ledger_says_so():
    """It was done all the same."""
    shown = text_of(outcome_of(Result.APPLIED, ledger_error="database is locked"))

    assert "NOT in the ledger: database is locked" in shown


@pytest.mark.parametrize("result", list(Result))
@pytest.mark.parametrize("width", [80, 120])
def test_outcome_text_of_a_hostile_name_is_harmless_and_fits_the_terminal(result, width):
    """Nothing moves the cursor; only commands, which are there to be pasted, are longer than the terminal is wide."""
    lines = text_of(hostile_outcome(result), width=width).splitlines()

    seen = {unicodedata.category(character) for text in lines for character in text}
    assert not seen & {"Cc", "Cf", "Cs", "Co", "Cn"} - {unicodedata.category("\ufffd")}
    assert "onerror" in "".join(lines)
    assert [text for text in lines if len(text) > width and "runbooks " not in text and "|a|" not in text[-80:]] == []
    assert len(lines) < 150


@pytest.mark.parametrize("result", list(Result))
def test_outcome_html_of_a_hostile_name_is_text(result):
    """In JupyterLab a freshly run cell is trusted."""
    html = display.show_outcome(hostile_outcome(result), secrets=()).html

    assert "<img" not in html
    assert "\u202e" not in html
    assert "\x1b" not in html
    assert set(re.findall(r"<([a-z]+)", html)) <= {"div", "span", "table", "tr", "td", "pre", "code", "b", "i"}


def test_outcome_text_marks_a_command_that_cannot_be_pasted():
    """A command with a line end or an escape sequence in it would not do what it looks like."""
    shown = text_of(hostile_outcome(Result.APPLIED))

    assert "not for pasting: it holds characters that cannot be shown" in shown


def test_outcome_text_cuts_a_value_that_is_too_long():
    """What a megabyte begins with tells which one it is."""
    shown = text_of(outcome_of(plan=plan_of(before=(Evidence("value", "x" * 1_000_000),))))

    assert len(shown) < 3_000
    assert "x…" in shown


def test_outcome_text_says_the_same_with_colour():
    """Words carry the meaning."""
    outcome = outcome_of(plan=plan_of(guards=(Guard("holds", holds=False),)))
    plain, coloured = text_of(outcome), text_of(outcome, colour=True)

    assert "\x1b" not in plain
    assert coloured != plain
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == plain


def test_show_plan_and_show_outcome_have_a_text_and_an_html_form():
    """A notebook cell ends in one of them."""
    shown = display.show_plan(plan_of(), secrets=())

    assert shown.text.startswith("PLAN")
    assert "serve ENHANCED_CACHE" in shown.html
    assert (
        "runbooks check 77 --environment production"
        in display.show_outcome(outcome_of(Result.MAY_HAVE_CHANGED, action_id="77"), secrets=()).html
    )


@pytest.mark.parametrize("result", list(Result))
def test_change_lines_of_a_run_that_died_say_what_was_done_and_how_to_go_on(result):
    """Where there is no verdict to read."""
    done = outcome_of(result, undo=plan_of().undo, action_id="77")
    lines = change_lines(plain(kept(done)))

    assert lines[0].startswith(f"{result.upper()}: serve ENHANCED_CACHE")
    assert any("runbooks check 77" in text for text in lines) == (result is Result.MAY_HAVE_CHANGED)
    assert any("put back" in text for text in lines) == (
        result in {Result.APPLIED, Result.STOPPED, Result.MAY_HAVE_CHANGED}
    )
    assert "\x1b" not in "".join(change_lines(plain(kept(hostile_outcome(result)))))


def event_of(kind, payload, **changes):
    """One event of a ledger."""
    usual = Event(1, "id", "20261122-0220-change-7f3a", utc_text(AT), kind, "production", "anna", "", "", "")
    return replace(usual, payload_json=canonical_json(payload), **changes)


@pytest.mark.parametrize(
    ("kind", "payload", "words"),
    [
        ("run.started", {"runbook": "change", "parameters": {"action": "set_percentage"}}, "started change set_perc"),
        ("run.judged", {"status": "FAIL", "severity": 2, "headline": "hit rate 54 %"}, "judged FAIL, severity 2: hit"),
        ("run.finished", {"outcome": "interrupted", "detail": "Ctrl-C"}, "run interrupted: Ctrl-C"),
        ("plan.proposed", {"plan": {"title": "serve X", "digest": "9c1f"}}, "planned to serve X [9c1f]"),
        (
            "approval.given",
            {"digest": "9c1f", "expires_at": "2026-11-22T03:20:31.000000Z", "signature": "x"},
            "approved plan 9c1f until 2026-11-22 03:20:31Z, signed",
        ),
        (
            "action.intended",
            {"plan": {"title": "serve X", "digest": "9c1f"}, "reason": "soaked", "approval": {"approver": "ben"}},
            "began to serve X [9c1f], reason: soaked, approved by ben",
        ),
        ("action.ended", {"result": "applied", "detail": "Done.", "action_id": "77"}, "applied: Done. (action 77)"),
        (
            "action.refused",
            {"action": "clear_all", "detail": "no approval"},
            "refused clear_all, nothing changed: no approval",
        ),
        ("action.checked", {"action_id": "77", "confirmed": None, "detail": "x"}, "77: could not be read, so still"),
        ("lock.acquired", {"resources": ["redis:keys"], "purpose": "clear_all"}, "locked redis:keys for clear_all"),
        (
            "lock.broken",
            {"resource": "a", "previous": {"operator": "ben"}, "reason": "gone"},
            "broke the lock a of ben",
        ),
        ("incident.opened", {"severity": 1, "title": "cache down"}, "incident opened, severity 1: cache down"),
        ("lock.taken_over", {"resource": "a", "previous": {"operator": "ben"}}, "took over the lock a of ben"),
        ("something.new", {"severity": 1, "note": ""}, "something new severity 1"),
    ],
)
def test_log_line_says_in_words_what_happened(kind, payload, words):
    """Time, environment, operator, words, run."""
    shown = line(event_of(kind, payload))

    assert shown.startswith("2026-11-22 02:20:31Z  production  anna  ")
    assert words in shown
    assert shown.endswith("[20261122-0220-change-7f3a]")


@pytest.mark.parametrize(
    "kind",
    [
        *("run.started", "run.judged", "run.finished", "plan.proposed", "approval.given", "action.intended"),
        *("action.ended", "action.refused", "action.checked", "lock.acquired", "lock.broken", HOSTILE),
    ],
)
@pytest.mark.parametrize("payload", [{}, {"plan": HOSTILE, "previous": 3, "approval": [HOSTILE], "resources": HOSTILE}])
def test_log_line_of_a_hostile_or_empty_event_is_one_harmless_line(kind, payload):
    """A ledger can be edited by hand, and names are written by strangers."""
    names = ("runbook", "headline", "detail", "action", "reason", "digest", "action_id", "confirmed", "parameters")
    event = event_of(
        kind, {**dict.fromkeys(names, HOSTILE), **payload}, operator=HOSTILE, environment=HOSTILE, run_id=HOSTILE
    )
    shown = line(replace(event, at="not a time"))

    assert "\n" not in shown
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert len(shown) < 700


@pytest.mark.parametrize("width", [80, 100, 120])
@pytest.mark.parametrize("result", [Result.REFUSED, Result.MAY_HAVE_CHANGED, Result.STOPPED])
def test_outcome_text_sets_a_command_in_a_sentence_on_a_line_of_its_own(result, width):
    """It can be pasted from a terminal of any width."""
    command = "runbooks check 0d8f7a3e-6c1b-4e0a-9a57-7a1d7d1f0c55 --environment production"
    hint = f"look how it is now before anything else is done on this site by anybody: {command}; then plan again"
    lines = text_of(outcome_of(result, hint=hint), width=width).splitlines()

    assert command in [one.strip() for one in lines]
    assert any(one.strip() == "then plan again" for one in lines)
    assert [one for one in lines if len(one) > width and "runbooks " not in one] == []


@pytest.mark.parametrize(
    ("sentence", "commands"),
    [
        ("see: runbooks locks", ["runbooks locks"]),
        ("see runbooks locks and runbooks log, then plan again", ["runbooks locks", "runbooks log"]),
        ("`runbooks verify` says so", ["runbooks verify"]),
        ("approved by another (runbooks approve 9c1f-77ab-03de)", ["runbooks approve 9c1f-77ab-03de"]),
        ("runbooks change x -p 'a=b; c' --reason WHY, at once", ["runbooks change x -p 'a=b; c' --reason WHY"]),
        ("make room: df -h /var/lib", ["df -h /var/lib"]),
        ("the runbooks are many", []),
        ("echo x | runbooks approve …", []),
        ("", []),
    ],
)
def test_pieces_of_a_sentence_are_its_commands_and_the_words_around_them(sentence, commands):
    """Brackets around a command go; nothing else is lost."""
    found = pieces(sentence)

    assert [one.text for one in found if one.command] == commands
    assert re.sub(r"\W", "", "".join(one.text for one in found)) == re.sub(r"\W", "", sentence)


@pytest.mark.parametrize("result", list(Result))
def test_show_outcome_in_a_live_cell_shows_no_secret(result):
    """Also where the secret would be cut, wrapped or escaped; the digest stays that of the plan."""
    secret = "hunter2&<more>" * 20
    seen = (Evidence(secret, f"value {secret}", f"redis://:{secret}@cache"),)
    plan = plan_of(
        before=seen,
        after=seen,
        blast_radius=seen,
        spared=seen,
        notes=(secret,),
        title=f"set {secret}",
        undo=Command("clear_pattern", {"pattern": secret}),
        guards=(Guard("holds", holds=False, detail=secret, hint=secret),),
    )
    outcome = outcome_of(result, plan=plan, account=seen, detail=secret, hint=secret, reason=secret, undo=plan.undo)
    shown = display.show_outcome(outcome, secrets=(secret,))
    planned = display.show_plan(plan, secrets=(secret,))

    assert "hunter2" not in shown.text + shown.html + planned.text + planned.html
    assert plan.digest in planned.text


def test_show_table_says_in_its_text_form_what_it_shows():
    """A terminal and a screen reader get the caption too."""
    shown = display.show_table(("What", "Now"), [("hit rate", "91 %")], caption="How the site does")

    assert shown.text.splitlines() == ["How the site does", "What | Now", "hit rate | 91 %"]
