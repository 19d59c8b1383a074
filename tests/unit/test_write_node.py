"""The gate that every write passes: nothing is sent without the lock, and it is known whether anything was."""

from __future__ import annotations

import sys
import time
from types import SimpleNamespace

import pytest
from actions_fixtures import environment_of

from runbooks_lib.actions import keeper
from runbooks_lib.actions.desk import Desk
from runbooks_lib.actions.keeper import Keeper
from runbooks_lib.actions.site import WritableSite
from runbooks_lib.actions.write_node import Gate
from runbooks_lib.errors import MayHaveChangedError, RefusedError, SourceError
from runbooks_lib.records.leases import Leases

NOWHERE = "redis://127.0.0.1:1/0"


def lose() -> None:
    """The lock is somebody else's."""
    raise RefusedError("the lock was lost", hint="look")


def test_gate_that_is_closed_refuses_the_first_write_and_doubts_a_later_one():
    """What was sent before it was sent."""
    with pytest.raises(RefusedError, match="the lock was lost"):
        Gate(lose).open()
    later = Gate(lose)
    later.sent = True
    with pytest.raises(MayHaveChangedError, match="the lock was lost") as caught:
        later.check()
    assert caught.value.hint == "look"


def test_gate_that_is_open_knows_what_was_sent():
    """A look through it sends nothing."""
    gate = Gate(lambda: None)
    gate.check()
    assert not gate.sent
    gate.open()
    assert gate.sent


def test_write_to_a_server_that_is_not_there_sent_nothing():
    """The connection was never made."""
    site = WritableSite(environment_of(NOWHERE), print)
    (node,) = site.nodes

    with pytest.raises(RefusedError):
        site.writer(node).write("SET", "a", "b")
    with pytest.raises(RefusedError):
        site.writer(node).write_many([("SET", "a", "b")])
    assert not site.sent
    site.close()


@pytest.mark.parametrize(
    ("manage", "sent"), [((), False), (("/no/such/program",), False), ((sys.executable, "-c", "exit(3)"), True)]
)
def test_run_in_site_counts_as_sent_once_its_process_was_started(manage, sent):
    """A program that is not installed changed nothing."""
    site = WritableSite(environment_of(NOWHERE, manage=manage), print)

    with pytest.raises(SourceError):
        site.run_in_site("def answer(data): return 1", {})
    assert site.sent is sent


def test_run_in_site_without_the_lock_is_not_started(tmp_path):
    """The gate stands before it as well."""
    touch = (sys.executable, "-c", f"open({str(tmp_path / 'ran')!r}, 'w')")
    site = WritableSite(environment_of(NOWHERE, manage=touch), print, lose)

    with pytest.raises(RefusedError, match="the lock was lost"):
        site.run_in_site("def answer(data): return 1", {})
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("has_boottime", [True, False], ids=["a clock that counts suspend", "the wall clock"])
def test_keeper_looks_again_after_the_machine_slept(ledger, monkeypatch, has_boottime):
    """The usual clock stood still meanwhile; the lock is somebody else's by now."""
    held = Leases(ledger).acquire(
        environment="sandbox", resources=["x"], holder="r", operator="anna", seconds=60, purpose="p"
    )
    slept = [0.0]
    clock = {"monotonic": time.monotonic, "time": lambda: time.time() + slept[0]}
    if has_boottime:
        clock |= {"CLOCK_BOOTTIME": 7, "clock_gettime": lambda _: time.monotonic() + slept[0], "time": time.time}
    monkeypatch.setattr(keeper, "time", SimpleNamespace(**clock))
    desk = Desk(environment_of(NOWHERE), ledger, "r", "anna", lease_seconds=60)
    kept = Keeper(desk, Leases(ledger), held)
    Leases(ledger).break_lease("sandbox", "x", operator="carl", reason="stuck", run_id="r")

    kept.allowed()
    slept[0] = 21.0
    with pytest.raises(RefusedError, match="the lock was lost"):
        kept.allowed()
