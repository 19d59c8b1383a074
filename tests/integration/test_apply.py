"""The engine on a real Redis: what it refuses, what it writes down, and what a kill leaves behind."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from actions_fixtures import ANOTHER, Hooked, SetKeys, allow, environment_of, kinds, make_set_keys

from runbooks_lib import units
from runbooks_lib.actions.apply import apply
from runbooks_lib.actions.check import check
from runbooks_lib.actions.desk import Desk
from runbooks_lib.actions.outcome import ReadBack, Result
from runbooks_lib.errors import MayHaveChangedError, RefusedError, SourceError, UsageError
from runbooks_lib.presentation.plans import sheet_of
from runbooks_lib.presentation.sheet import render_sheet
from runbooks_lib.records.intentions import ended_otherwise, open_intentions
from runbooks_lib.records.leases import Leases
from runbooks_lib.records.ledger import Ledger
from runbooks_lib.records.origin import account_in, this_account
from runbooks_lib.records.verify import verify
from runbooks_lib.target import places_of

CHILD = """
import os, signal, sys
from actions_fixtures import DyingLedger, Hooked, SetKeys, environment_of
from runbooks_lib.actions.apply import apply
from runbooks_lib.actions.desk import Desk
from runbooks_lib.actions.site import Progress
url, redis_url, digest, operator, point = sys.argv[1:]
die = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
moments = {"read_back": "read_back", "write": "write"}
action = Hooked(SetKeys(), moments[point], die) if point in moments else SetKeys()
desk = Desk(
    environment_of(redis_url), DyingLedger(url, point), f"run-{operator}", operator,
    on_progress=die if point == "progress" else (lambda _: None),
)
print(apply(action, desk, confirm=digest).result, flush=True)
"""


@pytest.fixture
def url(runs_folder) -> str:
    """Of the ledger."""
    return f"sqlite:///{runs_folder / 'ledger.sqlite3'}"


def child(url: str, redis_url: str, digest: str, operator: str = "ben", point: str = "") -> subprocess.Popen[str]:
    """Another process that applies ``SetKeys``, and is killed at the given point."""
    tests = Path(__file__).parents[1]
    command = [sys.executable, "-c", CHILD, url, redis_url, digest, operator, point]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tests.parent,
        env={"PYTHONPATH": f"{tests}:{tests.parent}", "PATH": "/usr/bin:/bin"},
    )


def planned(desk) -> str:
    """The digest that a dry run shows."""
    return apply(SetKeys(), desk).plan.digest


def test_apply_blank_confirmation_writes_nothing_and_proposes(keys, desk, ledger):
    """A dry run is the default."""
    outcome = apply(SetKeys(), desk())

    assert outcome.result is Result.PLANNED
    assert outcome.changed is False
    assert keys.values() == ["old", "old"]
    assert keys.write_commands() == 0
    assert kinds(ledger) == ["plan.proposed"]
    assert [guard.name for guard in outcome.plan.guards] == ["at most 100 characters", "nobody else holds the lock"]
    assert outcome.plan.failed_guards == ()


@pytest.mark.parametrize("form", ["short", "full", "upper", "spaced"])
def test_apply_the_digest_in_any_form_applies_reads_back_and_records(keys, desk, ledger, form):
    """As it was shown, whole, or as it comes out of a chat."""
    plan = apply(SetKeys(), desk()).plan
    confirm = {
        "short": plan.digest,
        "full": plan.full_digest,
        "upper": plan.digest.upper(),
        "spaced": f" {plan.digest}\n",
    }

    outcome = apply(SetKeys(), desk(), confirm=confirm[form])

    assert (outcome.result, outcome.exit_code, outcome.changed) == (Result.APPLIED, 0, True)
    assert keys.values() == ["new", "new"]
    assert outcome.undo == plan.undo
    assert kinds(ledger)[1:] == ["lock.acquired", "action.intended", "action.ended", "lock.released"]
    assert open_intentions(ledger) == ()
    assert ledger.verify_chain() == ()


def test_apply_the_same_digest_twice_is_harmless(keys, desk):
    """A notebook that is executed again, a command that is repeated from the shell's history."""
    digest = planned(desk())
    first = apply(SetKeys(), desk(), confirm=digest)
    keys.put("old")

    again = apply(SetKeys(), desk("ben"), confirm=digest)

    assert again.result is Result.REFUSED
    assert "confirmed already, by anna at" in again.detail
    assert first.action_id in again.detail
    assert keys.values() == ["old", "old"]


def test_apply_again_right_after_finds_nothing_to_do(keys, desk):
    """The fresh plan says so."""
    assert apply(SetKeys(), desk(), confirm="auto").result is Result.APPLIED

    outcome = apply(SetKeys(), desk(), confirm="auto")

    assert (outcome.result, outcome.exit_code) == (Result.UNCHANGED, 0)
    assert keys.write_commands() == 2


def test_apply_auto_where_it_is_not_allowed_is_refused(keys, desk, ledger):
    """Before anything is read or locked."""
    outcome = apply(SetKeys(), desk(allow_auto=False), confirm="auto")

    assert (outcome.result, outcome.exit_code) == (Result.REFUSED, 40)
    assert "allow_auto" in outcome.hint
    assert kinds(ledger) == ["action.refused"]


@pytest.mark.parametrize(
    "confirm", ["yes", "9c1f-77ab-03de", "'; DROP TABLE runbook_events; --", "%", "\x00", "9" * 65, "__import__('os')"]
)
def test_apply_a_confirmation_that_no_plan_ever_had_is_refused(keys, desk, confirm):
    """It says how to get one."""
    outcome = apply(SetKeys(), desk(), confirm=confirm)

    assert outcome.result is Result.REFUSED
    assert "without confirm" in outcome.hint
    assert keys.write_commands() == 0


def test_apply_a_plan_that_went_stale_is_refused_with_both_values(keys, desk):
    """What it rests on is not as it was."""
    digest = planned(desk())
    keys.client.set("a", "other")

    outcome = apply(SetKeys(), desk(), confirm=digest)

    assert outcome.result is Result.REFUSED
    assert "a: old when it was planned, other now" in outcome.detail
    assert keys.values() == ["other", "old"]


def test_apply_the_digest_of_another_action_is_refused_by_name(keys, desk):
    """A digest out of another notebook."""

    @dataclass(frozen=True)
    class Other(SetKeys):
        name = "other_action"

        def plan(self, site):
            return replace(SetKeys.plan(self, site), action="other_action")

    outcome = apply(Other(), desk(), confirm=planned(desk()))

    assert outcome.result is Result.REFUSED
    assert "is a plan of set_keys, not of other_action" in outcome.detail


def test_apply_a_guard_that_does_not_hold_refuses_and_the_dry_run_says_so(keys, desk):
    """Guards run again at apply, on fresh reads; a plan with a failed guard can be shown."""
    dry = apply(SetKeys(bound=1), desk())
    outcome = apply(SetKeys(bound=1), desk(), confirm=dry.plan.digest)

    assert (dry.result, dry.exit_code) == (Result.PLANNED, 10)
    assert "would be refused: at most 1 characters: 3" in dry.detail
    assert outcome.result is Result.REFUSED
    assert keys.write_commands() == 0


def test_apply_a_lock_that_somebody_holds_refuses_with_his_name(keys, desk, ledger):
    """The dry run shows it as a guard that does not hold."""
    digest = planned(desk())
    Leases(ledger).acquire(
        environment="sandbox", resources=["redis:b"], holder="campaign", operator="carl", seconds=60, purpose="rollout"
    )

    dry, outcome = apply(SetKeys(), desk()), apply(SetKeys(), desk(), confirm=digest)

    assert [guard.name for guard in dry.plan.failed_guards] == ["nobody else holds the lock"]
    assert "carl" in dry.plan.failed_guards[0].detail
    assert outcome.result is Result.REFUSED
    assert "redis:b on sandbox is locked by carl" in outcome.detail
    assert "rollout" in outcome.detail
    assert keys.write_commands() == 0


def test_apply_under_locks_that_the_desk_holds_keeps_them(keys, desk, ledger):
    """A campaign holds its lock between its steps."""
    own = Leases(ledger).acquire(
        environment="sandbox", resources=["redis:a"], holder="campaign", operator="anna", seconds=900, purpose="rollout"
    )

    assert apply(SetKeys(), desk(leases=own), confirm="auto").result is Result.APPLIED
    assert [(lease.resource, lease.fencing_number) for lease in Leases(ledger).held()] == [
        ("redis:a", own[0].fencing_number)
    ]
    assert Leases(ledger).held()[0].expires_at == own[0].expires_at


def test_apply_read_back_that_finds_it_otherwise_may_have_changed_and_stays_open(keys, desk, ledger, runs_folder):
    """Until somebody checks."""
    action = Hooked(SetKeys(), "write", lambda: keys.put("otherwise"), after=True)

    outcome = apply(action, desk(), confirm="auto")

    assert (outcome.result, outcome.exit_code, outcome.changed) == (Result.MAY_HAVE_CHANGED, 50, None)
    assert f"runbooks check {outcome.action_id}" in outcome.hint
    (found,) = open_intentions(ledger)
    assert (found.action_id, found.operator, found.running) == (outcome.action_id, "anna", False)
    assert found.written == {"keys": 2}
    assert check(outcome.action_id, desk("ben"), make_set_keys).result is Result.OTHERWISE
    assert open_intentions(ledger) == ()
    assert verify(ledger, runs_folder).ok


def test_apply_read_back_that_cannot_be_read_may_have_changed(keys, desk):
    """A source that fails after the write confirms nothing."""

    def fail():
        raise SourceError("redis went away", source="redis")

    outcome = apply(Hooked(SetKeys(), "read_back", fail), desk(), confirm="auto")

    assert outcome.result is Result.MAY_HAVE_CHANGED
    assert "reading it back failed: redis went away" in outcome.detail


@pytest.mark.parametrize(
    ("error", "result"),
    [
        (RefusedError("READONLY"), Result.REFUSED),
        (SourceError("half of it", source="redis"), Result.MAY_HAVE_CHANGED),
        (KeyboardInterrupt(), Result.MAY_HAVE_CHANGED),
        (ZeroDivisionError("bug"), Result.MAY_HAVE_CHANGED),
    ],
    ids=lambda value: type(value).__name__,
)
def test_apply_a_write_that_raises_is_recorded_as_what_it_means(keys, desk, ledger, error, result):
    """After something was sent, only a refusal means that nothing changed; even a bug becomes an outcome."""

    def fail():
        raise error

    outcome = apply(Hooked(SetKeys(), "write", fail, after=True), desk(), confirm="auto")

    assert outcome.result is result
    assert ledger.events(kind="action.ended")[0].payload["result"] == result
    assert len(open_intentions(ledger)) == (1 if result is Result.MAY_HAVE_CHANGED else 0)
    assert Leases(ledger).held() == ()


def test_apply_an_interrupt_before_the_write_changes_nothing(keys, desk, ledger):
    """Ctrl-C while it is planned: the lock comes free, nothing is open."""

    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        apply(Hooked(SetKeys(), "plan", interrupt), desk(), confirm="auto")

    assert keys.write_commands() == 0
    assert open_intentions(ledger) == ()
    assert Leases(ledger).held() == ()


def test_apply_a_lock_lost_before_the_write_changes_nothing(keys, desk, ledger):
    """Somebody broke it while it was planned."""

    def lose():
        Leases(ledger).break_lease("sandbox", "redis:a", operator="carl", reason="stuck", run_id="r")

    outcome = apply(Hooked(SetKeys(), "plan", lose, after=True), desk(), confirm="auto")

    assert outcome.result is Result.REFUSED
    assert "the lock was lost" in outcome.detail
    assert keys.write_commands() == 0
    assert open_intentions(ledger) == ()


def test_apply_a_lock_lost_during_the_write_stops_it(keys, desk, ledger):
    """The heartbeat notices, and the next step of the write does not happen."""
    steps = []

    def lose(progress):
        steps.append(progress.done)
        if progress.done == 1:
            Leases(ledger).break_lease("sandbox", "redis:a", operator="carl", reason="stuck", run_id="r")
            time.sleep(0.4)

    @dataclass(frozen=True)
    class ThreeSteps(SetKeys):
        def write(self, plan, site):
            SetKeys.write(self, plan, site)
            return SetKeys.write(self, plan, site)

    outcome = apply(ThreeSteps(), desk(on_progress=lose, lease_seconds=0.6), confirm="auto")

    assert outcome.result is Result.MAY_HAVE_CHANGED
    assert "the lock was lost" in outcome.detail
    assert steps == [1]


def test_apply_a_write_longer_than_the_lease_keeps_its_lock(keys, desk, ledger):
    """One command may take minutes; nobody gets in meanwhile."""
    refused = []

    def wait():
        time.sleep(1.2)
        refused.append(apply(SetKeys(), desk("ben"), confirm="auto"))

    outcome = apply(Hooked(SetKeys(), "write", wait), desk(lease_seconds=0.5), confirm="auto")

    assert outcome.result is Result.APPLIED
    assert refused[0].result is Result.REFUSED
    assert "locked by anna" in refused[0].detail


def test_apply_an_outcome_that_cannot_be_written_down_must_be_checked(keys, desk, ledger, runs_folder):
    """It changed, it was read back, and the ledger does not know: exit 50, and it stays open."""

    def break_ledger():
        with sqlite3.connect(runs_folder / "ledger.sqlite3") as other:
            other.execute(
                "CREATE TRIGGER broken BEFORE INSERT ON runbook_events BEGIN SELECT RAISE(ABORT, 'disk I/O error'); END"
            )

    outcome = apply(Hooked(SetKeys(), "read_back", break_ledger), desk(), confirm="auto")

    assert (outcome.result, outcome.exit_code) == (Result.APPLIED, 50)
    assert "disk did not take the data" in outcome.ledger_error
    assert [found.action_id for found in open_intentions(ledger)] == [outcome.action_id]


def test_apply_in_a_protected_environment_needs_reason_and_approval(keys, desk):
    """The dry run says what is missing; the approval counts once."""
    anna, ben = desk(protected=True), desk("ben", protected=True)
    plan = apply(SetKeys(), anna).plan

    assert [need.split()[0] for need in apply(SetKeys(), anna).needs] == ["a", "approval"]
    assert "needs a reason" in apply(SetKeys(), anna, confirm=plan.digest).detail
    assert "nobody approved" in apply(SetKeys(), anna, confirm=plan.digest, reason="INC-1").detail
    ben.approvals.give(ben.approvals.proposal(plan.digest, environment="sandbox"), approver="ben", seconds=60)
    assert apply(SetKeys(), anna, reason="INC-1").needs == ()
    assert apply(SetKeys(), anna, confirm=plan.digest, reason="INC-1").result is Result.APPLIED
    keys.put("old")
    assert apply(SetKeys(), anna).result is Result.PLANNED
    again = apply(SetKeys(), anna, confirm=plan.digest, reason="INC-1")
    assert "used already by anna" in again.detail


def test_apply_with_auto_does_not_get_around_the_approval(keys, desk):
    """``auto`` leaves out the digest and nothing else."""
    outcome = apply(SetKeys(), desk(protected=True), confirm="auto", reason="INC-1")

    assert outcome.result is Result.REFUSED
    assert keys.write_commands() == 0


def test_apply_with_signed_approvals_checks_the_signature_again(keys, desk, ssh_key, tmp_path):
    """A key that was taken out of the file between approving and applying does not count."""
    ben = ssh_key("ben")
    anna = desk(protected=True, allowed_signers=allow(tmp_path, ben=ben), account=ANOTHER)
    plan = apply(SetKeys(), anna).plan
    anna.approvals.give(
        anna.approvals.proposal(plan.digest, environment="sandbox"), approver="ben", seconds=60, key=ben
    )
    allow(tmp_path, carl=ssh_key("carl"))

    refused = apply(SetKeys(), anna, confirm=plan.digest, reason="INC-1")
    allow(tmp_path, ben=ben)
    outcome = apply(SetKeys(), anna, confirm=plan.digest, reason="INC-1")

    assert "ben is not in" in refused.detail
    assert outcome.result is Result.APPLIED


def test_apply_signed_by_the_account_that_planned_and_applies_is_refused(keys, desk, ssh_key, tmp_path):
    """Planned as ``x``, approved as ``anna`` with anna's own key, all from one account: the same person twice."""
    key = ssh_key("anna")
    signers = allow(tmp_path, anna=key)
    planner = desk("x", protected=True, allowed_signers=signers)
    plan = apply(SetKeys(), planner).plan
    shown = planner.approvals.proposal(plan.digest, environment="sandbox")

    with pytest.raises(RefusedError, match="from the account that planned it"):
        planner.approvals.give(shown, approver="anna", seconds=60, key=key)
    planner.approvals.give(shown, approver="anna", seconds=60, key=key, account=ANOTHER)
    carl = desk("carl", protected=True, allowed_signers=signers, account=ANOTHER)
    refused = apply(SetKeys(), carl, confirm=plan.digest, reason="INC-1")

    assert "from the account that applies it" in refused.detail
    assert keys.write_commands() == 0
    assert apply(SetKeys(), planner, confirm=plan.digest, reason="INC-1").result is Result.APPLIED


def test_apply_records_the_account_beside_the_name(keys, desk, ledger):
    """Plan and intention say under which account of the system they were made, whatever the operator calls himself."""
    apply(SetKeys(), desk("somebody"))
    apply(SetKeys(), desk("somebody"), confirm="auto")

    accounts = [account_in(event.payload) for event in ledger.events() if "plan" in event.payload]
    assert accounts == [this_account()] * 2
    assert accounts[0].uid == os.getuid()


def test_apply_an_approval_older_than_is_configured_when_it_is_applied_does_not_count(keys, desk):
    """``[approvals] expires`` was shortened meanwhile, or the approval was given around it."""
    anna = desk(protected=True)
    plan = apply(SetKeys(), anna).plan
    anna.approvals.give(anna.approvals.proposal(plan.digest, environment="sandbox"), approver="ben", seconds=86_400)
    strict = replace(anna, approval_seconds=0.001)
    refused = apply(SetKeys(), strict, confirm=plan.digest, reason="INC-1")

    assert "it expired at" in refused.detail
    assert apply(SetKeys(), strict, reason="INC-1").needs != ()
    assert apply(SetKeys(), anna, confirm=plan.digest, reason="INC-1").result is Result.APPLIED


def test_apply_a_copied_approval_does_not_carry_a_second_change(keys, desk, ledger):
    """Whoever can append to the ledger copies the approval; the same plan comes back, and is not approved."""
    anna = desk(protected=True)
    plan = apply(SetKeys(), anna).plan
    given = anna.approvals.give(
        anna.approvals.proposal(plan.digest, environment="sandbox"), approver="ben", seconds=600
    )
    assert apply(SetKeys(), anna, confirm=plan.digest, reason="INC-1").result is Result.APPLIED
    keys.put("old")
    assert apply(SetKeys(), anna).plan.digest == plan.digest
    who = {"run_id": "r", "environment": "sandbox", "operator": "ben"}
    ledger.append(kind="approval.given", payload=given.event.payload, **who)
    again = apply(SetKeys(), anna, confirm=plan.digest, reason="INC-2")

    assert (again.result, keys.values()) == (Result.REFUSED, ["old", "old"])
    assert "it was used already by anna" in again.detail


@pytest.mark.parametrize(
    ("then", "now", "part"),
    [
        ({"manage": ("env", "SITE=prod", "manage.py")}, {"manage": ("env", "SITE=stage", "manage.py")}, "manage"),
        ({"database_url": "postgresql://prod/x"}, {"database_url": "postgresql://stage/x"}, "database_url"),
        ({"key_prefix": "prod"}, {"key_prefix": "stage"}, "key_prefix"),
    ],
)
def test_apply_the_digest_of_another_site_of_that_name_is_refused(keys, desk, then, now, part):
    """The shown scope is the same: what came out of variables is masked in it."""
    masked = ("prod", "stage", "SITE=prod", "SITE=stage")
    plan = apply(SetKeys(), desk(**then, secrets=masked)).plan
    outcome = apply(SetKeys(), desk(**now, secrets=masked), confirm=plan.digest)

    assert outcome.result is Result.REFUSED
    assert f"{part} leads elsewhere than when it was planned" in outcome.detail
    assert keys.write_commands() == 0
    assert apply(SetKeys(), desk(**then, secrets=masked), confirm=plan.digest).result is Result.APPLIED


def test_apply_a_protected_plan_stays_protected_when_the_configuration_changes(keys, desk):
    """``protected = false`` was written into runbooks.toml after it was planned."""
    plan = apply(SetKeys(), desk(protected=True)).plan
    outcome = apply(SetKeys(), desk(protected=False), confirm=plan.digest)

    assert outcome.result is Result.REFUSED
    assert "protected: True when it was planned, False now" in outcome.detail
    assert keys.write_commands() == 0


@pytest.mark.parametrize(
    "hostile", ["'; DROP TABLE runbook_events; --", "$(reboot)\n`id`", "\x00\x1b[31m\ud800", "%s ? {0}"]
)
def test_apply_hostile_reasons_and_operators_are_data(keys, desk, ledger, hostile):
    """They stand in the ledger as they came, and nothing else happens."""
    outcome = apply(SetKeys(), desk(hostile, run_id="r"), confirm="auto", reason=hostile)

    assert outcome.result is Result.APPLIED
    assert ledger.verify_chain() == ()
    assert len(ledger.events(kind="action.intended")) == 1


def test_apply_never_writes_a_secret_into_the_ledger(keys, desk, runs_folder):
    """Not in the plan, the reason, the account or an error."""
    secret = "s3cr3t-canary"
    anna = desk(secrets=(secret,))
    apply(SetKeys(value=secret), anna)
    apply(SetKeys(value=secret), anna, confirm="auto", reason=f"because {secret}")

    files = [path.read_bytes() for path in runs_folder.iterdir()]
    assert keys.values() == [secret, secret]
    assert not any(secret.encode() in content for content in files)


@pytest.mark.parametrize(
    ("point", "events", "values", "result"),
    [
        ("action.intended", [], ["old", "old"], None),
        ("write", ["action.intended"], ["old", "old"], Result.UNCHANGED),
        ("progress", ["action.intended"], ["new", "old"], Result.OTHERWISE),
        ("read_back", ["action.intended"], ["new", "new"], Result.APPLIED),
        ("action.ended", ["action.intended"], ["new", "new"], Result.APPLIED),
        ("lock.released", ["action.intended", "action.ended"], ["new", "new"], None),
    ],
)
def test_apply_killed_at_every_point_leaves_what_the_next_one_needs(
    keys, desk, ledger, url, point, events, values, result
):
    """kill -9: the ledger shows what is open, the lock comes free, and the check settles it."""
    killed = child(url, keys.url, planned(desk("ben")), point=point)
    out, errors = killed.communicate(timeout=30)
    assert (killed.returncode, out) == (-signal.SIGKILL, ""), errors

    found = open_intentions(ledger, "sandbox")

    assert kinds(ledger, prefix="action.") == events
    assert keys.values() == values
    assert [(item.action, item.operator, item.running) for item in found] == (
        [("set_keys", "ben", False)] if result else []
    )
    if result:
        assert f"runbooks check {found[0].action_id}" in apply(SetKeys(), desk()).plan.notes[0]
        assert check(found[0].action_id, desk(), make_set_keys).result is result
    assert open_intentions(ledger) == ()
    assert apply(SetKeys(), desk(), confirm="auto").changed is (values != ["new", "new"])
    assert ledger.verify_chain() == ()


def test_apply_two_operators_at_once_exactly_one_applies(keys, desk, ledger, url):
    """In two processes, with the same digest."""
    digest = planned(desk())
    both = [child(url, keys.url, digest, operator) for operator in ("ben", "carl")]
    answers = [process.communicate(timeout=30) for process in both]

    assert sorted(out.strip() for out, _ in answers) == ["applied", "refused"] or sorted(
        out.strip() for out, _ in answers
    ) == ["applied", "unchanged"], answers
    assert kinds(ledger).count("action.intended") == 1
    assert keys.write_commands() == 2
    assert ledger.verify_chain() == ()


def test_apply_two_threads_cannot_use_one_approval_twice(keys, desk, ledger):
    """Even when both found it before either used it: different resources do not make it two."""
    anna = desk(protected=True)
    plan = apply(SetKeys(), anna).plan
    anna.approvals.give(anna.approvals.proposal(plan.digest, environment="sandbox"), approver="ben", seconds=60)
    meeting = threading.Barrier(2, timeout=10)

    @dataclass(frozen=True)
    class Elsewhere(SetKeys):
        place: str = ""

        def resources(self):
            return (f"elsewhere:{self.place}",)

        def plan(self, site):
            made = SetKeys.plan(self, site)
            meeting.wait()
            return made

    outcomes = []
    threads = [
        threading.Thread(
            target=lambda place=place: outcomes.append(
                apply(Elsewhere(place=place), anna, confirm=plan.digest, reason="INC-1")
            )
        )
        for place in "xy"
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert sorted(outcome.result for outcome in outcomes) == [Result.APPLIED, Result.REFUSED]
    assert kinds(ledger).count("action.intended") == 1


def test_check_of_something_else_is_refused_with_the_next_step(keys, desk):
    """No such action, one that is known, one of another environment."""
    done = apply(SetKeys(), desk(), confirm="auto")
    doubtful = apply(Hooked(SetKeys(value="x"), "write", lambda: keys.put("y"), after=True), desk(), confirm="auto")

    with pytest.raises(UsageError, match="there is no action"):
        check("'; DROP TABLE", desk(), make_set_keys)
    with pytest.raises(RefusedError, match="it is known what came of"):
        check(done.action_id, desk(), make_set_keys)
    with pytest.raises(UsageError, match="was on sandbox"):
        check(doubtful.action_id, desk(name="production"), make_set_keys)


def test_check_somewhere_else_than_where_the_change_was_made_is_refused(keys, desk, ledger):
    """The name of the environment is the same, what it leads to is not: looking there would settle it wrongly."""
    doubtful = apply(Hooked(SetKeys(value="x"), "write", lambda: keys.put("y"), after=True), desk(), confirm="auto")

    with pytest.raises(RefusedError, match="site_url of sandbox leads elsewhere"):
        check(doubtful.action_id, desk(site_url="http://127.0.0.1:2"), make_set_keys)
    assert [found.action_id for found in open_intentions(ledger)] == [doubtful.action_id]


def test_check_of_a_running_action_is_refused(keys, desk, ledger):
    """It says which process."""
    seen = []

    def look():
        (found,) = open_intentions(ledger)
        seen.append(found.running)
        with pytest.raises(RefusedError, match="is being carried out by process"):
            check(found.action_id, desk("ben"), make_set_keys)

    assert apply(Hooked(SetKeys(), "write", look), desk(), confirm="auto").result is Result.APPLIED
    assert seen == [True]


def test_check_that_cannot_be_read_leaves_it_open(keys, desk, ledger):
    """It can be checked again."""
    doubtful = apply(Hooked(SetKeys(value="x"), "write", lambda: keys.put("y"), after=True), desk(), confirm="auto")

    def unreadable(name, parameters):
        return Hooked(make_set_keys(name, parameters), "read_back", raise_source_error)

    assert check(doubtful.action_id, desk(), unreadable).result is Result.MAY_HAVE_CHANGED
    assert [found.action_id for found in open_intentions(ledger)] == [doubtful.action_id]
    keys.put("x")
    assert check(doubtful.action_id, desk(), make_set_keys).result is Result.APPLIED
    assert open_intentions(ledger) == ()


def raise_source_error():
    """Redis is gone."""
    raise SourceError("redis went away", source="redis")


def test_apply_a_later_action_does_not_silently_close_an_earlier_one(keys, desk, ledger):
    """Only a check does."""
    apply(Hooked(SetKeys(value="x"), "write", lambda: keys.put("y"), after=True), desk(), confirm="auto")

    assert apply(SetKeys(), desk(), confirm="auto").result is Result.APPLIED
    assert len(open_intentions(ledger)) == 1


def test_apply_early_end_is_stopped_with_its_account(keys, desk):
    """Read back, and its undo withdrawn when the write says so."""

    @dataclass(frozen=True)
    class Stops(SetKeys):
        def write(self, plan, site):
            return replace(SetKeys.write(self, plan, site), stopped="Ctrl-C", undo_lost="the old values are gone")

        def read_back(self, plan, site, written):  # noqa: ARG002 - what every action takes
            return ReadBack(confirmed=True)

    outcome = apply(Stops(), desk(), confirm="auto")

    assert (outcome.result, outcome.exit_code, outcome.undo) == (Result.STOPPED, 10, None)
    assert "Ctrl-C" in outcome.detail
    assert outcome.hint == "the old values are gone"


def test_apply_with_the_ledger_on_postgresql(keys, desk, postgresql_url):
    """Plan, approval, change, doubt and check, as on SQLite."""
    shared = Ledger(postgresql_url)
    anna = desk(ledger=shared, protected=True)
    plan = apply(SetKeys(), anna).plan
    anna.approvals.give(anna.approvals.proposal(plan.digest, environment="sandbox"), approver="ben", seconds=60)
    assert apply(SetKeys(), anna, confirm=plan.digest, reason="100 % sure?").result is Result.APPLIED
    keys.put("old")
    assert "confirmed already" in apply(SetKeys(), anna, confirm=plan.digest, reason="again").detail

    doubtful = apply(
        Hooked(SetKeys(value="x"), "write", lambda: keys.put("y"), after=True), desk(ledger=shared), confirm="auto"
    )
    assert [found.action_id for found in open_intentions(shared)] == [doubtful.action_id]
    assert check(doubtful.action_id, desk(ledger=shared), make_set_keys).result is Result.OTHERWISE
    assert open_intentions(shared) == ()
    assert shared.verify_chain() == ()
    shared.close()


@pytest.mark.parametrize(
    ("error", "result"),
    [
        (SourceError("redis went away", source="redis"), Result.REFUSED),
        (MayHaveChangedError("it broke off"), Result.REFUSED),
        (KeyboardInterrupt(), Result.REFUSED),
        (ZeroDivisionError("bug"), Result.MAY_HAVE_CHANGED),
    ],
    ids=lambda value: type(value).__name__,
)
def test_apply_a_write_that_ends_before_anything_was_sent_changed_nothing(keys, desk, ledger, error, result):
    """The site itself knows that nothing left this machine; only of a bug nobody knows what it did."""

    def fail():
        raise error

    outcome = apply(Hooked(SetKeys(), "write", fail), desk(), confirm="auto")

    assert outcome.result is result
    assert (outcome.undo is None) is (result is Result.REFUSED)
    assert len(open_intentions(ledger)) == (0 if result is Result.REFUSED else 1)
    assert keys.write_commands() == 0


def test_apply_a_server_that_died_before_the_write_is_a_refusal(redis_server, ledger):
    """It was planned on a living server; the write's own read finds it gone."""
    server = redis_server()

    @dataclass(frozen=True)
    class ReadsFirst(SetKeys):
        def write(self, plan, site):
            server.stop()
            site.nodes.close()
            for node in site.nodes:
                node.ask("GET", "a")
            return SetKeys.write(self, plan, site)

    acting = Desk(environment_of(server.url()), ledger, "run", "anna")
    outcome = apply(ReadsFirst(), acting, confirm="auto")

    assert (outcome.result, outcome.exit_code) == (Result.REFUSED, 40)
    assert outcome.detail.startswith("Nothing was sent that changes the site: ")
    assert open_intentions(ledger) == ()


STOPPED = """
import os, signal, sys
from actions_fixtures import SetKeys, environment_of
from runbooks_lib.actions.apply import apply
from runbooks_lib.actions.desk import Desk
from runbooks_lib.actions.action import Written
from runbooks_lib.records.ledger import Ledger
from runbooks_lib.records.origin import account_in, this_account
class Counts(SetKeys):
    def write(self, plan, site):
        (node,) = site.nodes
        writer = site.writer(node)
        for number in range(20_000):
            if number == 200:
                os.kill(os.getpid(), signal.SIGSTOP)
            writer.write("INCR", "count")
        return Written(data={"keys": 1})
desk = Desk(environment_of(sys.argv[2]), Ledger(sys.argv[1]), "run-ben", "ben", lease_seconds=0.6)
found = apply(Counts(), desk, confirm="auto")
print(found.result.value, "|", found.detail, flush=True)
"""


def test_apply_a_process_that_was_stopped_past_its_lease_writes_nothing_more(keys, desk, ledger, url):
    """SIGSTOP, a takeover, SIGCONT: not one command more is sent, although its action never asks."""
    tests = Path(__file__).parents[1]
    stopped = subprocess.Popen(
        [sys.executable, "-c", STOPPED, url, keys.url],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": f"{tests}:{tests.parent}", "PATH": "/usr/bin:/bin"},
    )
    os.waitid(os.P_PID, stopped.pid, os.WSTOPPED | os.WNOWAIT)
    time.sleep(0.8)
    others = Leases(ledger).acquire(
        environment="sandbox", resources=["redis:a"], holder="run-carl", operator="carl", seconds=60, purpose="p"
    )
    os.kill(stopped.pid, signal.SIGCONT)
    out, errors = stopped.communicate(timeout=30)

    assert int(keys.client.get("count")) == 200, errors
    assert out.startswith("may have changed | the lock was lost: redis:a on sandbox is locked by carl"), out + errors
    assert [lease.operator for lease in Leases(ledger).held()] == [others[0].operator]


@pytest.mark.parametrize("written", [0, 1], ids=["before the first write", "after it"])
def test_apply_a_lease_that_ran_out_while_the_ledger_was_away_stops_the_write(keys, desk, runs_folder, written):
    """Whether somebody else holds it cannot be asked, so nothing more is sent."""
    acting = desk(lease_seconds=0.6)
    acting.ledger.append(kind="run.started", run_id="r", environment="sandbox", operator="anna")
    with sqlite3.connect(runs_folder / "ledger.sqlite3", isolation_level=None) as other:
        trigger = (
            "CREATE TRIGGER broken BEFORE UPDATE ON runbook_leases BEGIN SELECT RAISE(ABORT, 'disk I/O error'); END"
        )

        @dataclass(frozen=True)
        class Waits(SetKeys):
            def write(self, plan, site):
                (node,) = site.nodes
                if written:
                    site.writer(node).write("SET", "a", "new")
                other.execute(trigger)
                time.sleep(0.7)
                return SetKeys.write(self, plan, site)

        outcome = apply(Waits(), acting, confirm="auto")
        other.execute("DROP TRIGGER broken")

    assert outcome.result is (Result.MAY_HAVE_CHANGED if written else Result.REFUSED)
    assert "the lock ran out" in outcome.detail
    assert keys.write_commands() == written


def test_apply_on_another_name_of_the_same_redis_waits_for_its_lock(keys, desk, ledger):
    """Two environments, one server: the lock is one, and the plan says so."""
    action = Hooked(SetKeys(value="x"), "write", lambda: found.append(apply(SetKeys(), other(), confirm="auto")))
    found = []

    def other():
        return desk("ben", name="staging", redis_url=keys.url.replace("127.0.0.1", "localhost"))

    outcome = apply(action, desk(), confirm="auto")
    assert outcome.result is Result.APPLIED, outcome.detail
    assert found[0].result is Result.REFUSED
    assert "locked by anna" in found[0].detail
    assert "staging is the same site under another name" in found[0].detail
    elsewhere = desk("ben", name="staging", redis_url=keys.url.removesuffix("/1") + "/3")
    Leases(ledger).acquire(
        environment="sandbox",
        resources=["redis:a"],
        holder="h",
        operator="o",
        seconds=60,
        purpose="p",
        places=places_of(desk().environment),
    )
    assert apply(SetKeys(), other()).plan.failed_guards[0].name == "nobody else holds the lock"
    assert apply(SetKeys(), elsewhere).plan.failed_guards == ()


def test_apply_in_a_protected_environment_says_for_whom_a_file_of_locks_holds(keys, desk):
    """An unprotected one has nobody to share with."""
    notes = apply(SetKeys(), desk(protected=True)).plan.notes

    assert any("share this ledger's file" in note for note in notes)
    assert apply(SetKeys(), desk()).plan.notes == ()


def test_check_names_who_made_the_change_and_who_checked_it(keys, desk):
    """Not one of them for the other."""
    action = Hooked(SetKeys(), "write", lambda: keys.client.set("b", "third"), after=True)
    doubtful = apply(action, desk("anna"), confirm="auto", reason="INC-1")

    outcome = check(doubtful.action_id, desk("ben"), make_set_keys)

    assert (outcome.operator, outcome.check.operator, outcome.reason) == ("anna", "ben", "INC-1")
    assert outcome.at < doubtful.at < outcome.check.at
    shown = render_sheet(sheet_of(outcome), width=200, colour=False)
    assert f"made       {units.timestamp(outcome.at)} by anna, reason: INC-1" in shown, shown
    assert f"checked    {units.timestamp(outcome.check.at)} by ben" in shown, shown


def test_check_of_a_change_that_ended_otherwise_says_what_is_left_and_what_somebody_changed(keys, desk, ledger):
    """Settled with a code of its own; what is neither before nor after is named before it is put back."""
    action = Hooked(SetKeys(), "write", lambda: keys.client.set("b", "third"), after=True)
    doubtful = apply(action, desk(), confirm="auto")

    outcome = check(doubtful.action_id, desk("ben"), make_set_keys)
    shown = render_sheet(sheet_of(outcome), width=200, colour=False)

    assert (outcome.result, outcome.exit_code, outcome.changed) == (Result.OTHERWISE, 20, True)
    assert "a is as planned (new); b is third, neither as before (old) nor as planned (new)" in outcome.detail
    assert "SETTLED, it ended otherwise than planned (exit 20)" in shown
    assert "put back" in shown
    assert open_intentions(ledger) == ()
    assert [event.payload["result"] for event in ended_otherwise(ledger)] == ["ended otherwise"]
    assert ended_otherwise(ledger, "production") == ()


@pytest.mark.parametrize(("value", "word", "counted"), [("new", "it was made", 0), ("old", "it was not made", 0)])
def test_check_settled_as_made_or_as_not_made_is_no_failure(keys, desk, ledger, value, word, counted):
    """Words of their own, and nothing to worry about afterwards."""
    doubtful = apply(Hooked(SetKeys(), "read_back", raise_source_error), desk(), confirm="auto")
    keys.put(value)

    outcome = check(doubtful.action_id, desk("ben"), make_set_keys)

    assert outcome.exit_code == 0
    assert f"SETTLED, {word} (exit 0)" in render_sheet(sheet_of(outcome), width=200, colour=False)
    assert len(ended_otherwise(ledger)) == counted
