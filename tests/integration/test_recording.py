"""The second process that keeps the record: it never costs the answer, and never leaves a run that looks finished."""

import os
import signal
import time
from pathlib import Path

import pytest
from builders import AROUND, situation
from change_builders import plan_of

from runbooks_lib import config
from runbooks_lib.judgement.triage import judge_triage
from runbooks_lib.policy import Policy
from runbooks_lib.recording import Recorder
from runbooks_lib.records.event import plain
from runbooks_lib.records.intentions import Intentions
from runbooks_lib.records.ledger import Ledger
from runbooks_lib.records.run_record import read_record
from runbooks_lib.records.verify import verify
from runbooks_lib.unconfirmed import with_unconfirmed
from runbooks_lib.view import View, open_view

VERDICT = judge_triage(situation(), Policy(), AROUND)


@pytest.fixture
def view(tmp_path: Path) -> View:
    """A view of a site that is never contacted, with runs and ledger of its own."""
    path = tmp_path / "runbooks.toml"
    path.write_text(
        '[environments.site]\nredis_url = "redis://127.0.0.1:9/1"\n'
        'prometheus_url = "http://127.0.0.1:9"\nsite_url = "http://127.0.0.1:9"\n',
        encoding="utf-8",
    )
    return open_view(config.load(path, {}), "triage", {"environment": "site", "window": "auto"})


def only_folder(view: View) -> Path:
    """The folder of the only run, once it is there."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        found = list(view.configuration.runs_folder.glob("*/*/record.json"))
        if found:
            return found[0].parent
        time.sleep(0.02)
    raise AssertionError("no run was started")


def test_recorder_keeps_verdict_report_and_a_closing_event(view):
    """As if the run had been recorded in one process."""
    kept = Recorder(view).keep(VERDICT)
    assert kept.error == ""
    assert {path.name for path in kept.folder.iterdir()} == {"record.json", "report.html", "receipt.json"}
    assert read_record(kept.folder)["outcome"] == "finished"
    assert verify(Ledger(view.configuration.ledger_url), view.configuration.runs_folder).ok


def test_recorder_abandoned_closes_the_run_as_interrupted(view):
    """Ctrl-C before the verdict: the record says so, and nothing is left running."""
    recorder = Recorder(view)
    folder = only_folder(view)
    child = recorder.pid
    recorder.abandon()
    assert read_record(folder)["outcome"] == "interrupted"
    assert "INTERRUPTED" in (folder / "report.html").read_text(encoding="utf-8")
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


def test_recorder_whose_process_is_killed_says_so_and_does_not_hang(view):
    """The answer was printed already; only the record is missing."""
    recorder = Recorder(view)
    only_folder(view)
    os.kill(recorder.pid, signal.SIGKILL)
    started = time.monotonic()
    kept = recorder.keep(VERDICT)
    assert time.monotonic() - started < 5
    assert kept.folder is None
    assert "ended early" in kept.error


def test_recorder_that_cannot_make_its_folder_says_why(view):
    """A file stands where ``runs/`` should be."""
    view.configuration.runs_folder.write_text("in the way", encoding="utf-8")
    recorder = Recorder(view)
    # Until the child has said why and ended: what it said must survive the verdict that nobody takes any more.
    os.waitid(os.P_PID, recorder.pid, os.WEXITED | os.WNOWAIT)
    kept = recorder.keep(VERDICT)
    assert kept.folder is None
    assert "runs" in kept.error
    assert "BrokenPipe" not in kept.error


def test_recorder_without_a_second_process_costs_the_record_only(view, monkeypatch):
    """The machine has no process left: the answer is given all the same."""

    def no_fork():
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr("os.fork", no_fork)
    recorder = Recorder(view)
    kept = recorder.keep(VERDICT)
    recorder.abandon()
    assert kept.folder is None
    assert "Resource temporarily unavailable" in kept.error


def test_recorder_whose_process_is_stuck_costs_its_patience_once(view):
    """Waiting for the record and for the child's end share one deadline; the child is killed then."""
    recorder = Recorder(view)
    only_folder(view)
    pid = recorder.pid
    os.kill(pid, signal.SIGSTOP)
    started = time.monotonic()
    kept = recorder.keep(VERDICT)
    assert time.monotonic() - started < 4.5
    assert "no record within 3 s" in kept.error
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_recorder_may_be_abandoned_twice(view):
    """``keep`` lets go by itself; the caller's clean-up comes after it."""
    recorder = Recorder(view)
    recorder.keep(VERDICT)
    recorder.abandon()
    assert recorder.pid == 0


def test_recorder_whose_ledger_never_answers_is_given_up_after_its_patience(view, black_hole, monkeypatch):
    """A database behind a firewall that drops packets: the command still ends."""
    url = f"postgresql+psycopg://u:p@127.0.0.1:{black_hole}/x"
    monkeypatch.setattr(type(view.configuration), "ledger_url", property(lambda _: url))
    started = time.monotonic()
    kept = Recorder(view).keep(VERDICT)
    assert time.monotonic() - started < 5
    assert kept.error


def test_recorder_tells_of_changes_that_were_never_confirmed_before_the_verdict_is_kept(view):
    """Read by the child, while the parent reads the site; the record holds them too."""
    ledger = Ledger(view.configuration.ledger_url)
    plan = {**plain(plan_of(environment="site")), "digest": "9c1f", "full_digest": "9c1f"}
    begun = Intentions(ledger).begin(
        {"plan": plan, "confirm": "x", "reason": "", "fencing": {"flag:ENHANCED_CACHE": 1}},
        approval=None,
        run_id="20261122-0220-change-7f3a",
        environment="site",
        operator="anna",
    )
    recorder = Recorder(view)
    # As long as a whole site is being read: on a machine that does much else, the child needs that.
    assert recorder._pipe.poll(20)
    found = recorder.unconfirmed()
    kept = recorder.keep(with_unconfirmed(VERDICT, found))

    assert [finding.hint for finding in found.findings] == [f"runbooks check {begun.action_id} --environment site"]
    assert read_record(kept.folder)["verdict"]["findings"][0]["id"] == "changes.unconfirmed"


def test_recorder_whose_process_was_killed_does_not_say_that_every_change_was_confirmed(view):
    """It could not be read, and that is told."""
    recorder = Recorder(view)
    os.kill(recorder.pid, signal.SIGKILL)
    found = recorder.unconfirmed()
    recorder.abandon()

    assert found.findings == ()
    assert "could not be read" in found.notes[0]
