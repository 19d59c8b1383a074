"""The engine on a real Redis: what it refuses, what it writes down, and what a kill leaves behind."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from actions_fixtures import Hooked, SetKeys, allow, kinds, make_set_keys

from runbooks_lib.actions.apply import apply
from runbooks_lib.actions.check import check
from runbooks_lib.actions.outcome import ReadBack, Result
from runbooks_lib.errors import RefusedError, SourceError, UsageError
from runbooks_lib.records.intentions import open_intentions
from runbooks_lib.records.leases import Leases
from runbooks_lib.records.ledger import Ledger
from runbooks_lib.records.verify import verify

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
    assert check(outcome.action_id, desk("ben"), make_set_keys).result is Result.MAY_HAVE_CHANGED
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
    """Only a refusal means that nothing changed; even a bug becomes an outcome."""

    def fail():
        raise error

    outcome = apply(Hooked(SetKeys(), "write", fail), desk(), confirm="auto")

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
    anna = desk(protected=True, allowed_signers=allow(tmp_path, ben=ben))
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
        ("progress", ["action.intended"], ["new", "old"], Result.MAY_HAVE_CHANGED),
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
    assert check(doubtful.action_id, desk(ledger=shared), make_set_keys).result is Result.MAY_HAVE_CHANGED
    assert open_intentions(shared) == ()
    assert shared.verify_chain() == ()
    shared.close()
