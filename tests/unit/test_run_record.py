"""A run has a folder of its own, and what happened in it can be told from the ledger alone."""

from __future__ import annotations

import getpass
import json
import os
import subprocess
import sys
from datetime import UTC, datetime

import pytest
from records_fixtures import verdict_of

from runbooks_lib.errors import RecordError, UsageError
from runbooks_lib.model import Status
from runbooks_lib.records import origin, run_record
from runbooks_lib.records.ledger import Ledger
from runbooks_lib.records.run_record import RunState, attach_run, read_record, run_folder, run_state

MOMENT = datetime(2026, 11, 22, 2, 14, 7, tzinfo=UTC)


def test_start_run_makes_folder_record_and_event(begin, ledger, runs_folder):
    """Id and folder say the same; the event says who, where and with what."""
    run = begin(started_at=MOMENT)
    (event,) = ledger.events()

    assert run.id.startswith("20261122-0214-triage-")
    assert (
        run.folder == runs_folder / "2026-11-22" / run.id.removeprefix("20261122-") == run_folder(runs_folder, run.id)
    )
    assert (event.kind, event.run_id, event.environment) == ("run.started", run.id, "sandbox")
    assert event.payload["parameters"] == {"window": "15m"}
    assert event.payload["process"]["pid"] == os.getpid()
    assert event.payload["versions"]["python"] == sys.version.split()[0]
    assert run.record["outcome"] == "running"
    assert run.ledger_error == ""


def test_start_run_a_taken_id_is_never_used_again(begin, monkeypatch):
    """The second run of the minute gets another folder, the first keeps its files."""
    suffixes = iter(["aaaa", "aaaa", "bbbb"])
    monkeypatch.setattr(run_record.random, "token_hex", lambda size: next(suffixes) if size == 2 else "0000")
    first = begin(started_at=MOMENT)
    (first.folder / "evidence.txt").write_text("kept", encoding="utf-8")

    second = begin(started_at=MOMENT)

    assert (first.id[-4:], second.id[-4:]) == ("aaaa", "bbbb")
    assert (first.folder / "evidence.txt").exists()


@pytest.mark.parametrize("name", ["", "../x", "a/b", "a b", "-x", "a.b"])
def test_start_run_a_name_that_is_no_folder_name_is_refused(begin, runs_folder, name):
    """Nothing is written outside the runs folder."""
    with pytest.raises(UsageError, match="cannot name a runbook"):
        begin(runbook=name)
    assert not runs_folder.exists()


def test_judged_and_finish_record_the_whole_story(begin, ledger):
    """The verdict in full in the record, in short in the ledger; the closing event holds every file's hash."""
    run = begin()
    run.judged(verdict_of(Status.FAIL, severity=2))
    (run.folder / "sub").mkdir()
    (run.folder / "sub" / "evidence.txt").write_text("x", encoding="utf-8")
    run.finish("finished")
    kinds = [event.kind for event in ledger.events(run_id=run.id)]
    judged, finished = ledger.events()[1:]

    assert kinds == ["run.started", "run.judged", "run.finished"]
    assert judged.payload["status"] == "FAIL"
    assert judged.payload["findings"][0]["id"] == "cache.hit_rate"
    assert [file["path"] for file in finished.payload["files"]] == ["record.json", "sub/evidence.txt"]
    assert finished.payload["status"] == "FAIL"
    assert run.record["verdict"]["findings"][0]["evidence"] == [{"name": "lookups", "value": "1200", "source": ""}]
    assert run.record["outcome"] == "finished"
    assert run_state(ledger, run.id) is RunState.FINISHED


def test_ended_before_the_report_is_part_of_what_is_hashed(begin, ledger):
    """The report shows how the run ended, and the record is not written again."""
    run = begin()
    record = run.ended("failed", "the kernel died")
    before = (run.folder / "record.json").read_bytes()
    run.finish("failed", "the kernel died")

    assert record["outcome"] == "failed"
    assert (run.folder / "record.json").read_bytes() == before


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        ("finished", RunState.FINISHED),
        ("failed", RunState.FAILED),
        ("timed_out", RunState.FAILED),
        ("interrupted", RunState.INTERRUPTED),
        ("superseded", RunState.INTERRUPTED),
    ],
)
def test_run_state_is_what_the_closing_event_says(begin, ledger, outcome, state):
    """Not what a file in the folder says."""
    run = begin()
    run.finish(outcome, "because")

    assert run_state(ledger, run.id) is state


def test_run_state_without_a_closing_event_runs_while_its_process_lives(begin, ledger):
    """This process is the one that started it."""
    assert run_state(ledger, begin().id) is RunState.RUNNING


def test_run_state_of_a_process_that_ended_is_interrupted(ledger, runs_folder):
    """Another process started a run and was ended without a word."""
    code = (
        "import os, sys; from pathlib import Path; from runbooks_lib.records.ledger import Ledger;"
        "from runbooks_lib.records.run_record import start_run;"
        "folder = Path(sys.argv[1]); ledger = Ledger('sqlite:///' + str(folder / 'ledger.sqlite3'));"
        "run = start_run(ledger=ledger, runs_folder=folder, runbook='x', environment='sandbox');"
        "print(run.id, flush=True); os._exit(1)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(runs_folder)], capture_output=True, text=True, check=False)
    run_id = done.stdout.strip()

    assert run_state(ledger, run_id) is RunState.INTERRUPTED
    assert read_record(run_folder(runs_folder, run_id))["outcome"] == "running"


def test_run_state_a_new_process_with_the_old_number_is_not_the_old_one(begin, ledger, monkeypatch):
    """Numbers are used again; the start time is not."""
    run = begin()
    monkeypatch.setattr(origin, "process_started", lambda _pid: "another boot/1")

    assert run_state(ledger, run.id) is RunState.INTERRUPTED


def test_run_state_on_another_machine_is_not_guessed(begin, ledger, monkeypatch):
    """Its process cannot be asked from here."""
    run = begin()
    monkeypatch.setattr(origin.socket, "gethostname", lambda: "elsewhere")

    assert run_state(ledger, run.id) is RunState.UNKNOWN


def test_run_state_of_an_unknown_run_is_an_error(ledger):
    """Not a state."""
    with pytest.raises(UsageError, match="is not in the ledger"):
        run_state(ledger, "20261122-0214-triage-7f3a")


def test_process_started_of_a_corpse_is_none():
    """A process that ended and was not waited for does not live."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    try:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert origin.process_started(child.pid) is None
    finally:
        child.wait()


def test_secrets_reach_neither_record_nor_ledger(begin, ledger, runs_folder):
    """In parameters, verdict and the reason of the end."""
    run = begin(parameters={"url": "redis://:hunter2@h/1"}, secrets=("s3cr3t",))
    run.judged(verdict_of(headline="failed for s3cr3t", notes=("redis://:hunter2@h/1",)))
    run.finish("failed", "Bearer abcdefghijkl and s3cr3t")
    kept = (run.folder / "record.json").read_text(encoding="utf-8") + "".join(e.payload_json for e in ledger.events())

    assert "hunter2" not in kept
    assert "s3cr3t" not in kept
    assert "abcdefghijkl" not in kept
    assert "s3cr3t" not in repr(run)


def test_secrets_that_are_part_of_a_name_do_not_break_the_record(begin, ledger):
    """Somebody's password is run, another one's is sandbox."""
    run = begin(secrets=("run", "sandbox", "WARN"))
    run.judged(verdict_of(headline="sandbox is WARN"))
    run.finish("finished")

    assert run_state(ledger, run.id) is RunState.FINISHED
    assert (run.record["environment"], run.record["verdict"]["status"]) == ("sandbox", "WARN")
    assert run.record["verdict"]["headline"] == "*** is ***"


def test_run_goes_on_without_the_ledger_and_says_so(begin, tmp_path):
    """The verdict is worth more than the record at night."""
    (tmp_path / "file").write_text("", encoding="utf-8")
    run = begin(ledger=Ledger(f"sqlite:///{tmp_path / 'file' / 'ledger.sqlite3'}"))
    run.judged(verdict_of())
    run.finish("finished")

    assert "could not be written" in run.ledger_error
    assert run.record["in_ledger"] is False
    assert run.record["ledger_error"] == run.ledger_error
    assert run.record["verdict"]["status"] == "WARN"
    assert not (run.folder / "receipt.json").exists()


def test_run_whose_closing_event_cannot_be_written_is_not_finished(begin, ledger, monkeypatch):
    """Whatever its folder says, the ledger counts."""
    run = begin()

    def refuse(**_event):
        raise RecordError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(ledger, "append", refuse)
        run.finish("finished")

    assert run.ledger_error == "the disk is full"
    assert run.record["ledger_error"] == "the disk is full"
    assert run_state(ledger, run.id) is RunState.RUNNING


def test_attach_run_goes_on_with_the_same_run(begin, ledger, runs_folder):
    """As the kernel does."""
    run = begin()
    attached = attach_run(run.folder, ledger=ledger, root=runs_folder.parent)
    attached.judged(verdict_of())

    assert (attached.id, attached.environment, attached.is_open) == (run.id, "sandbox", True)
    assert run.record["verdict"]["status"] == "WARN"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "does not exist"),
        ("{", "cannot be read"),
        ("[]", "schema_version None"),
        ('{"schema_version": 99}', "99"),
    ],
)
def test_read_record_of_something_else_is_an_error(tmp_path, text, words):
    """Missing, half written, of another kind, of a later version."""
    if text is not None:
        (tmp_path / "record.json").write_text(text, encoding="utf-8")

    with pytest.raises(RecordError, match=words):
        read_record(tmp_path)


@pytest.mark.parametrize("run_id", ["", "x", "20261122-0214-../../etc-7f3a", "20261122-0214-triage-XXXX"])
def test_run_folder_of_something_else_is_refused(tmp_path, run_id):
    """An id never leads out of the runs folder."""
    with pytest.raises(UsageError, match="is not the id of a run"):
        run_folder(tmp_path, run_id)


def test_operator_is_the_variable_the_login_or_a_number(monkeypatch):
    """A container may have no name for its user."""
    assert origin.operator({"RUNBOOKS_OPERATOR": " anna "}) == "anna"
    assert origin.operator({}) == getpass.getuser()

    def nobody() -> str:
        raise KeyError("getpwuid(): uid not found: 4711")

    monkeypatch.setattr(origin.getpass, "getuser", nobody)
    assert origin.operator({"RUNBOOKS_OPERATOR": ""}) == f"uid-{os.getuid()}"


def test_git_commit_is_read_from_loose_and_packed_references(tmp_path):
    """Without starting git."""
    git = tmp_path / ".git"
    (git / "refs" / "heads").mkdir(parents=True)
    (git / "HEAD").write_text("ref: refs/heads/main\n", encoding="utf-8")
    assert origin.git_commit(tmp_path) == ""

    (git / "packed-refs").write_text(f"# pack-refs\n{'a' * 40} refs/heads/main\n", encoding="utf-8")
    assert origin.git_commit(tmp_path) == "a" * 40

    (git / "refs" / "heads" / "main").write_text("b" * 40 + "\n", encoding="utf-8")
    assert origin.git_commit(tmp_path) == "b" * 40
    assert origin.git_commit(tmp_path / "nowhere") == ""


def test_record_is_replaced_whole_when_the_disk_refuses(begin, monkeypatch):
    """A crash or a full disk leaves the old record, never half of the new one."""
    run = begin()
    before = (run.folder / "record.json").read_text(encoding="utf-8")

    def full(_descriptor):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(RecordError, match="No space left"):
            run.judged(verdict_of())

    assert (run.folder / "record.json").read_text(encoding="utf-8") == before
    assert json.loads(before)["verdict"] is None
    assert [path.name for path in run.folder.iterdir()] == ["record.json"]
