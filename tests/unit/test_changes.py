"""What changes leave in a run: its record, its exit code, its verdict, and what an earlier one left to be checked."""

import json
from dataclasses import replace

import pytest
from builders import AROUND, HOSTILE, situation
from change_builders import AT, hostile_outcome, outcome_of, plan_of

from runbooks_lib.actions.outcome import Result
from runbooks_lib.actions.plan import Guard
from runbooks_lib.change_verdict import finding_of, headline_of, judge_change, steps_after
from runbooks_lib.changes import exit_code, kept
from runbooks_lib.judgement.triage import judge_triage
from runbooks_lib.model import Finding, Status
from runbooks_lib.policy import Policy
from runbooks_lib.records.event import plain
from runbooks_lib.records.intentions import Intentions
from runbooks_lib.records.ledger import Ledger
from runbooks_lib.runbook import open_runbook
from runbooks_lib.unconfirmed import FINDING_ID, read_unconfirmed, with_unconfirmed

FAILED_GUARD = plan_of(guards=(Guard("few keys", holds=False, detail="9", hint="look"),))
HEALTHY = judge_triage(situation(), Policy(), AROUND)


@pytest.mark.parametrize(
    ("verdict", "codes", "expected"),
    [
        (0, [], 0),
        (20, [], 20),
        (0, [0, 0], 0),
        (0, [0, 50, 40], 50),
        (30, [50], 50),
        (0, [0, 40], 40),
        (20, [40], 40),
        (0, [10], 10),
        (0, [10, 30], 30),
        (30, [10], 30),
        (20, [10], 20),
    ],
)
def test_exit_code_of_a_run_is_the_worst_that_its_changes_call_for(verdict, codes, expected):
    """May have changed before refused, refused before the verdict; a stopped change is never OK."""
    assert exit_code(verdict, [{"exit_code": code} for code in codes]) == expected


def test_kept_outcome_holds_before_after_who_why_and_the_commands():
    """JSON, as the report reads it."""
    outcome = outcome_of(Result.APPLIED, undo=plan_of().undo, action_id="77", detail="Done.")
    found = json.loads(json.dumps(plain(kept(outcome))))

    assert (found["result"], found["operator"], found["reason"], found["exit_code"]) == (
        "applied",
        "anna",
        "soaked 24 h",
        0,
    )
    assert found["digest"] == plan_of().digest
    assert found["undo"].startswith("runbooks change set_percentage --environment production")
    assert found["check"] == "runbooks check 77 --environment production"
    assert found["before"][0]["value"] == "25 %"


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (outcome_of(Result.PLANNED), Status.OK),
        (outcome_of(Result.PLANNED, plan=FAILED_GUARD), Status.WARN),
        (outcome_of(Result.APPLIED), Status.OK),
        (outcome_of(Result.UNCHANGED), Status.OK),
        (outcome_of(Result.STOPPED), Status.WARN),
        (outcome_of(Result.REFUSED), Status.FAIL),
        (outcome_of(Result.UNREAD, plan=None), Status.UNKNOWN),
        (outcome_of(Result.MAY_HAVE_CHANGED), Status.FAIL),
    ],
)
def test_finding_of_an_outcome_has_the_status_that_it_calls_for(outcome, status):
    """Nothing that was refused or is uncertain looks fine."""
    assert finding_of(outcome).status is status


def test_headline_says_what_was_done_and_what_was_not():
    """What must be looked at comes first."""
    applied = outcome_of(Result.APPLIED)
    doubtful = outcome_of(Result.MAY_HAVE_CHANGED, plan=plan_of(title="clear it"))

    assert headline_of([applied, doubtful]).startswith("something may have changed: clear it, applied: serve")
    assert headline_of([outcome_of(Result.REFUSED)]).startswith("nothing was changed, refused: serve")


@pytest.mark.parametrize("guards", [(), FAILED_GUARD.guards])
def test_headline_of_a_plan_that_changes_nothing_says_that_it_is_so_already(guards):
    """Neither planned nor refused."""
    outcome = outcome_of(plan=plan_of(no_op=True, guards=guards))

    assert headline_of([outcome]) == "is so already: serve ENHANCED_CACHE to 50 % of the users"
    assert finding_of(outcome).shown.startswith("is so already: serve")


def test_finding_of_an_outcome_leaves_its_account_to_the_section_of_changes():
    """Else every change stands in the report twice."""
    assert finding_of(outcome_of(Result.APPLIED, account=plan_of().before)).evidence == ()


def test_verdict_of_a_change_names_what_was_done_before_what_is_wrong_beside_it(repository, ledger):
    """A confirmed change on a site that has other troubles, and an earlier change in doubt."""
    begun(ledger)
    runbook = open_runbook("change", environment="sandbox", parameters={})
    runbook.unconfirmed = read_unconfirmed(ledger, "production")
    low = Finding("cache.hit_rate", "hit rate", Status.WARN, "75.1 %")
    verdict = judge_change(runbook, outcome_of(Result.APPLIED), findings=(low, replace(low, status=Status.OK)))
    runbook.run.ledger.close()

    assert verdict.headline == ("applied: serve ENHANCED_CACHE to 50 % of the users; WARN hit rate 75.1 %")
    assert verdict.status is Status.WARN
    assert verdict.next_steps[0].text.startswith("Before any other change")


def test_steps_after_a_plan_are_approve_then_confirm():
    """In a protected environment somebody else comes first."""
    steps = steps_after(outcome_of(needs=("approval of it",)), "runbooks run x -p confirm=y")

    assert [step.command for step in steps] == [
        f"runbooks approve {plan_of().digest} --environment production",
        "runbooks run x -p confirm=y",
    ]


def test_steps_after_an_uncertain_change_are_check_then_undo():
    """Look first."""
    steps = steps_after(outcome_of(Result.MAY_HAVE_CHANGED, action_id="77", undo=plan_of().undo), "")

    assert [step.command.split()[1] for step in steps] == ["check", "change"]


def test_steps_after_a_plan_that_would_be_refused_never_confirm_it():
    """What does not hold is named instead."""
    steps = steps_after(outcome_of(plan=FAILED_GUARD), "runbooks run x -p confirm=y")

    assert [(step.text, step.command) for step in steps] == [("few keys does not hold: look", "")]


def begun(ledger, environment="production", **changes):
    """An intention whose process is dead: it was begun by another process that ended."""
    payload = plain(plan_of(environment=environment, **changes))
    plan = {**payload, "digest": plan_of().digest, "full_digest": plan_of().full_digest}
    found = Intentions(ledger).begin(
        {"plan": plan, "confirm": "x", "reason": "", "fencing": {"flag:ENHANCED_CACHE": 1}},
        approval=None,
        run_id="20261122-0220-change-7f3a",
        environment=environment,
        operator="anna",
    )
    return found.action_id


def test_unconfirmed_changes_come_first_with_the_command_that_checks(ledger: Ledger):
    """A healthy verdict is at least WARN with them, and says so in its headline."""
    action_id = begun(ledger)
    begun(ledger, environment="staging")
    verdict = with_unconfirmed(HEALTHY, read_unconfirmed(ledger, "production"))

    assert verdict.status is Status.WARN
    assert verdict.findings[0].id == FINDING_ID
    assert "serve ENHANCED_CACHE to 50 % of the users, by anna at" in verdict.findings[0].shown
    assert verdict.next_steps[0].command == f"runbooks check {action_id} --environment production"
    assert verdict.headline == f"{HEALTHY.headline}; an earlier change may have been made and was never checked"
    assert verdict.next_steps[0].text.startswith("Before any other change, check this one: serve ENHANCED_CACHE")
    assert "process ended, or the ledger could not be written" in verdict.findings[0].detail
    assert [finding.id for finding in verdict.findings].count(FINDING_ID) == 1


def test_unconfirmed_changes_are_added_once(ledger: Ledger):
    """A notebook adds them, and closing it does again."""
    begun(ledger)
    once = with_unconfirmed(HEALTHY, read_unconfirmed(ledger, "production"))

    assert with_unconfirmed(once, read_unconfirmed(ledger, "production")) == once


def test_unconfirmed_changes_of_a_failing_site_leave_its_headline(ledger: Ledger):
    """What is wrong with the site is still the one thing to know."""
    begun(ledger)
    failing = replace(HEALTHY, status=Status.FAIL, headline="hit rate 54 %")

    assert with_unconfirmed(failing, read_unconfirmed(ledger, "production")).headline == "hit rate 54 %"


def test_unconfirmed_changes_that_are_many_are_counted(ledger: Ledger):
    """Five are shown."""
    for _ in range(7):
        begun(ledger)
    found = read_unconfirmed(ledger, "production")

    assert len(found.findings) == 5
    assert "2 more changes were never confirmed: runbooks check --environment production" in found.notes


def test_unconfirmed_changes_of_a_ledger_that_cannot_be_read_are_a_note(tmp_path):
    """It is not said that there are none."""
    (tmp_path / "ledger.sqlite3").write_bytes(b"not a database, but long enough to be taken for one " * 40)
    found = read_unconfirmed(Ledger(f"sqlite:///{tmp_path / 'ledger.sqlite3'}"), "production")
    verdict = with_unconfirmed(HEALTHY, found)

    assert verdict.status is HEALTHY.status
    assert any("whether earlier changes were all confirmed could not be read" in note for note in verdict.notes)


def test_unconfirmed_changes_of_a_fresh_ledger_are_none(ledger: Ledger, tmp_path):
    """Asking makes no file."""
    assert with_unconfirmed(HEALTHY, read_unconfirmed(ledger, "production")) == HEALTHY
    assert list(tmp_path.rglob("*.sqlite3")) == []


def test_run_that_was_killed_while_it_changed_something_keeps_it(begin, ledger: Ledger):
    """The report of an interrupted run tells what may have happened."""
    from runbooks_lib.runbook import conclude

    run = begin(environment="production")
    plan = {**plain(plan_of()), "digest": plan_of().digest, "full_digest": plan_of().full_digest}
    action_id = (
        Intentions(ledger)
        .begin(
            {"plan": plan, "confirm": "x", "reason": "", "fencing": {}},
            approval=None,
            run_id=run.id,
            environment="production",
            operator="anna",
        )
        .action_id
    )
    conclude(run, "interrupted", "killed")
    (action,) = run.record["actions"]
    page = (run.folder / "report.html").read_text(encoding="utf-8")

    assert (action["result"], action["exit_code"], action["action_id"]) == ("may have changed", 50, action_id)
    assert "CHECK THIS, something may have changed" in page
    assert f"runbooks check {action_id} --environment production" in page
    assert "runbooks change set_percentage --environment production -p feature=ENHANCED_CACHE -p percentage=25" in page


def test_acted_keeps_no_secret_but_every_name(begin):
    """Names that programs rely on stay, even where a secret is a part of one."""
    run = begin(secrets=("production", "hunter22"))
    run.acted(kept(outcome_of(Result.APPLIED, detail="AUTH hunter22 worked", action_id="77")))
    (action,) = run.record["actions"]

    assert "hunter22" not in json.dumps(run.record)
    assert (action["environment"], action["result"], action["action_id"]) == ("production", "applied", "77")


@pytest.mark.parametrize("result", list(Result))
def test_kept_outcome_of_hostile_texts_is_kept_as_it_is(begin, result):
    """A record is data; what shows it escapes it."""
    run = begin()
    run.acted(kept(hostile_outcome(result)))

    assert run.record["actions"][0]["title"] == HOSTILE
    assert run.record["actions"][0]["at"].startswith(f"{AT:%Y-%m-%d}")
