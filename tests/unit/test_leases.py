"""Locks: held by one, free when they ran out or their process died, and lost ones are noticed by their number."""

from __future__ import annotations

import os
import sqlite3
import time
from datetime import timedelta

import pytest

from runbooks_lib.errors import RefusedError
from runbooks_lib.records.leases import LeaseHeldError, Leases
from runbooks_lib.records.ledger import Ledger
from runbooks_lib.records.origin import this_process

#: What a process of this boot would have that took this one's number.
BOOT, TICKS, NAMESPACE = this_process().started.split("/")
SAME_BOOT_LATER = f"{BOOT}/{int(TICKS) + 1}/{NAMESPACE}"


@pytest.fixture
def leases(ledger) -> Leases:
    """Of a fresh ledger."""
    return Leases(ledger)


def take(leases: Leases, *resources: str, **changes: object):
    """Locks with usual values."""
    usual = {
        "environment": "sandbox",
        "resources": resources or ("flag:X",),
        "holder": "run-1",
        "operator": "anna",
        "seconds": 60.0,
        "purpose": "set_percentage",
    }
    return leases.acquire(**{**usual, **changes})


def pretend(runs_folder, **columns: object) -> None:
    """Change the rows of the locks, as time or another machine would."""
    with sqlite3.connect(runs_folder / "ledger.sqlite3") as connection:
        for name, value in columns.items():
            connection.execute(f"UPDATE runbook_leases SET {name} = ?", (value,))


def kinds(ledger: Ledger) -> list[str]:
    """Of all events."""
    return [event.kind for event in ledger.events()]


def test_leases_held_by_another_names_him_and_the_next_step(leases):
    """Who, since when, until when, what for."""
    (held,) = take(leases)

    with pytest.raises(LeaseHeldError) as caught:
        take(leases, holder="run-2", operator="ben")

    assert caught.value.lease == held
    assert caught.value.exit_code == 40
    text = str(caught.value)
    for words in ("flag:X on sandbox is locked by anna since", "until", "set_percentage", "run-1", f"{os.getpid()}"):
        assert words in text
    assert "runbooks locks" in caught.value.hint


def test_leases_are_all_taken_or_none(leases, ledger):
    """One of three is held: the other two stay free, and the ledger says nothing of them."""
    take(leases, "b")

    with pytest.raises(LeaseHeldError):
        take(leases, "a", "b", "c", holder="run-2")

    assert [lease.resource for lease in leases.held()] == ["b"]
    assert kinds(ledger) == ["lock.acquired"]


def test_leases_of_other_environments_and_resources_do_not_hinder(leases):
    """A lock is for one thing in one place."""
    take(leases)
    take(leases, environment="production", holder="run-2")
    take(leases, "flag:Y", holder="run-3")

    assert len(leases.held()) == 3
    assert [lease.holder for lease in leases.held("production")] == ["run-2"]


def test_leases_released_are_free_and_their_number_grows(leases, ledger):
    """The row stays; so the next taker has a higher number."""
    first = take(leases)
    leases.release(first)
    second = take(leases, holder="run-2")

    assert second[0].fencing_number > first[0].fencing_number
    assert kinds(ledger) == ["lock.acquired", "lock.released", "lock.acquired"]
    assert ledger.verify_chain() == ()


def test_leases_that_ran_out_are_free_and_the_taker_says_from_whom(leases, ledger, runs_folder):
    """Taking over is an event of its own."""
    take(leases)
    pretend(runs_folder, expires_at=time.time() - 1, host="elsewhere")
    assert leases.held() == ()

    take(leases, holder="run-2", operator="ben")

    assert kinds(ledger) == ["lock.acquired", "lock.taken_over", "lock.acquired"]
    event = ledger.events(kind="lock.taken_over")[0]
    assert (event.operator, event.payload["previous"]["operator"]) == ("ben", "anna")


@pytest.mark.parametrize(
    ("columns", "free"),
    [
        ({"pid": 2**22 + 7}, True),
        ({"started": SAME_BOOT_LATER}, True),
        ({"started": "another boot/1"}, False),
        ({"pid": 2**22 + 7, "outlives_process": 1}, False),
        ({"pid": 2**22 + 7, "host": "elsewhere"}, False),
    ],
    ids=["dead", "pid used again", "another boot", "outlives its process", "other machine"],
)
def test_leases_of_a_dead_process_are_free_here_unless_they_outlive_it(leases, runs_folder, columns, free):
    """A number that another process has by now is dead as well; of another machine nobody knows."""
    take(leases)
    pretend(runs_folder, **columns)

    assert (leases.held() == ()) is free
    if free:
        assert take(leases, holder="run-2")
    else:
        with pytest.raises(LeaseHeldError):
            take(leases, holder="run-2")


def test_leases_the_same_holder_takes_his_own_again_with_a_new_number(leases):
    """A campaign between its executions: the execution before cannot go on."""
    before = take(leases, holder="campaign", outlives_process=True)
    again = take(leases, holder="campaign", outlives_process=True)

    assert again[0].fencing_number > before[0].fencing_number
    with pytest.raises(RefusedError, match="the lock was lost"):
        leases.renew(before, seconds=60)
    leases.release(before)
    assert leases.held() == again


def test_leases_renewed_last_longer_and_never_shorter(leases):
    """Between the steps of a campaign it is renewed for minutes, and keeps its day."""
    held = take(leases, seconds=600)
    shorter = leases.renew(held, seconds=10)
    longer = leases.renew(held, seconds=1200)

    assert shorter[0].expires_at == held[0].expires_at
    assert longer[0].expires_at - held[0].expires_at > timedelta(seconds=590)


def test_leases_renewed_after_they_ran_out_are_ours_if_nobody_took_them(leases, runs_folder):
    """A laptop that slept."""
    held = take(leases)
    pretend(runs_folder, expires_at=time.time() - 100)

    assert leases.renew(held, seconds=60)
    assert [lease.holder for lease in leases.held()] == ["run-1"]


def test_leases_that_another_took_cannot_be_renewed_and_say_who(leases, runs_folder):
    """By the number, not by the clock."""
    held = take(leases)
    pretend(runs_folder, expires_at=time.time() - 1)
    take(leases, holder="run-2", operator="ben")

    with pytest.raises(RefusedError, match="the lock was lost: flag:X on sandbox is locked by ben"):
        leases.renew(held, seconds=60)
    leases.release(held)
    assert [lease.operator for lease in leases.held()] == ["ben"]


def test_leases_broken_are_free_and_the_event_keeps_reason_and_holder(leases, ledger):
    """Somebody knows that it is stuck."""
    held = take(leases)

    broken = leases.break_lease("sandbox", "flag:X", operator="carl", reason="host is gone", run_id="r")

    assert broken == held[0]
    event = ledger.events(kind="lock.broken")[0]
    assert (event.operator, event.payload["reason"], event.payload["previous"]["holder"]) == (
        "carl",
        "host is gone",
        "run-1",
    )
    assert leases.held() == ()
    with pytest.raises(RefusedError, match="the lock was lost"):
        leases.renew(held, seconds=60)


@pytest.mark.parametrize(
    ("resource", "reason", "words"), [("flag:X", " ", "needs a reason"), ("flag:Z", "x", "nobody")]
)
def test_leases_break_without_reason_or_holder_is_refused(leases, resource, reason, words):
    """Nothing is changed by it."""
    take(leases)

    with pytest.raises(RefusedError, match=words):
        leases.break_lease("sandbox", resource, operator="carl", reason=reason, run_id="r")
    assert len(leases.held()) == 1


def test_leases_of_one_site_under_two_names_keep_each_other_out(leases):
    """By where they lead; a name of another place does not hinder."""
    (held,) = take(leases, places=("a", "b"))

    with pytest.raises(LeaseHeldError, match="staging is the same site under another name"):
        take(leases, environment="staging", holder="run-2", places=("b", "c"))
    assert take(leases, environment="elsewhere", holder="run-3", places=("d",))
    assert take(leases, "flag:Y", environment="staging", holder="run-4", places=("b",))
    assert [lease.resource for lease in leases.held("staging", ("a",))] == ["flag:Y", "flag:X"]
    leases.release((held,))
    assert take(leases, environment="staging", holder="run-2", places=("b", "c"))


def test_leases_of_nothing_and_before_the_first_event_are_nothing(leases, runs_folder):
    """Looking makes no file."""
    assert leases.held() == ()
    assert leases.acquire(environment="e", resources=(), holder="h", operator="o", seconds=1, purpose="") == ()
    leases.release(())
    assert leases.renew((), seconds=1) == ()
    assert not runs_folder.exists()


@pytest.mark.parametrize(
    "hostile", ["'; DROP TABLE runbook_leases; --", "a\n\x00\x1b[2Jb", "\ud800", "%s ? {x}", "__import__('os')", ""]
)
def test_leases_hostile_names_are_data(leases, ledger, hostile):
    """Resource, holder, operator, purpose and reason come from people."""
    (held,) = take(leases, hostile, holder=hostile, operator=hostile, purpose=hostile)

    assert leases.held() == (held,)
    with pytest.raises(LeaseHeldError) as caught:
        take(leases, hostile, holder="run-2")
    assert str(caught.value).isprintable() or "\n  Next: " in str(caught.value)
    assert "\x1b" not in str(caught.value)
    leases.break_lease("sandbox", hostile, operator=hostile, reason=hostile or "-", run_id="r")
    assert ledger.verify_chain() == ()


def test_leases_are_added_to_a_ledger_of_an_earlier_release(ledger, runs_folder):
    """Its events stay, looking changes nothing, and the first lock makes the table."""
    ledger.append(kind="run.started", run_id="r", environment="sandbox", operator="anna")
    with sqlite3.connect(runs_folder / "ledger.sqlite3") as connection:
        connection.execute("DROP TABLE runbook_leases")
        connection.execute("DROP INDEX runbook_events_intended")
    old = Ledger(f"sqlite:///{runs_folder / 'ledger.sqlite3'}")

    assert Leases(old).held() == ()
    old.append(kind="run.finished", run_id="r", environment="sandbox", operator="anna")
    assert take(Leases(old))
    assert Leases(ledger).held()
    assert kinds(old) == ["run.started", "run.finished", "lock.acquired"]
    old.close()
