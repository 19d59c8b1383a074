"""Each kind of tampering is found and named."""

from __future__ import annotations

import json
import shutil
import sqlite3

import pytest
from records_fixtures import notebook_document, verdict_of

from runbooks_lib.errors import RecordError, UsageError
from runbooks_lib.model import Status
from runbooks_lib.presentation.text import render_verification
from runbooks_lib.records.approvals import Approvals
from runbooks_lib.records.intentions import Intentions
from runbooks_lib.records.leases import Leases
from runbooks_lib.records.ledger import Ledger
from runbooks_lib.records.schema import SQLITE_TRIGGERS
from runbooks_lib.records.verify import verify

OUTPUT = {"output_type": "stream", "name": "stdout", "text": ["hit rate\n", "72 %\n"]}


@pytest.fixture
def kept(begin):
    """Two finished runs; the second one holds a notebook and a report."""
    begin().finish("finished")
    run = begin()
    run.judged(verdict_of())
    write(run.folder / "notebook.ipynb", notebook("a = 1", "b = 2", "c = 3"))
    (run.folder / "report.html").write_text("<p>report</p>", encoding="utf-8")
    run.finish("finished")
    return run


@pytest.fixture
def check(ledger, runs_folder):
    """Verifies, and gives the kinds and names of the faults."""

    def run(run_id=None):
        return [(fault.kind, fault.name) for fault in verify(ledger, runs_folder, run_id).faults]

    return run


@pytest.fixture
def url(runs_folder) -> str:
    """Of the ledger, for a process that comes later."""
    return f"sqlite:///{runs_folder / 'ledger.sqlite3'}"


def notebook(*sources):
    """A notebook with an output below each cell."""
    document = notebook_document(*sources)
    for cell in document["cells"]:
        cell["outputs"] = [dict(OUTPUT)]
    return document


def write(path, document):
    """As JSON."""
    path.write_text(json.dumps(document), encoding="utf-8")


def rewrite(runs_folder, *statements):
    """What somebody does who removes the triggers first."""
    connection = sqlite3.connect(runs_folder / "ledger.sqlite3", isolation_level=None)
    for name in ("no_update", "no_delete", "append"):
        connection.execute(f"DROP TRIGGER IF EXISTS runbook_events_{name}")
    for statement in statements:
        connection.execute(statement)
    if statements:
        # Whoever knows the ledger that well puts them back.
        for statement in SQLITE_TRIGGERS:
            connection.execute(statement)
    connection.close()


def test_verify_untouched_counts_what_was_verified(kept, ledger, runs_folder):
    """Two runs: five events, four files, three cells."""
    result = verify(ledger, runs_folder)

    assert result.ok
    assert (result.events_count, result.runs_count, result.files_count, result.cells_count) == (5, 2, 4, 3)
    assert result.unfinished == {}


def test_verify_one_run_looks_at_its_files_only(kept, ledger, runs_folder):
    """The chain is always checked as a whole."""
    result = verify(ledger, runs_folder, kept.id)

    assert (result.events_count, result.runs_count, result.files_count) == (5, 1, 3)


@pytest.mark.parametrize("change", ["source", "output"])
def test_verify_an_edited_cell_is_named(kept, check, change):
    """By its id, whether its code or its output was changed."""
    document = notebook("a = 1", "b = 2", "c = 3")
    if change == "source":
        document["cells"][1]["source"] = "b = 3"
    else:
        document["cells"][1]["outputs"] = [{**OUTPUT, "text": ["hit rate\n", "99 %\n"]}]
    write(kept.folder / "notebook.ipynb", document)

    assert check() == [("edited cell", "notebook.ipynb#c1")]


def test_verify_removed_and_added_cells_are_named(kept, check):
    """One gone, one new."""
    document = notebook("a = 1", "b = 2", "c = 3")
    document["cells"][0]["id"] = "new"
    write(kept.folder / "notebook.ipynb", document)

    assert check() == [("removed cell", "notebook.ipynb#c0"), ("added cell", "notebook.ipynb#new")]


def test_verify_cells_in_another_order_are_found(kept, check):
    """Every cell is as it was, and yet."""
    document = notebook("a = 1", "b = 2", "c = 3")
    document["cells"].reverse()
    write(kept.folder / "notebook.ipynb", document)

    assert check() == [("changed file", "notebook.ipynb")]


def test_verify_a_change_outside_the_cells_is_said_to_be_one(kept, ledger, runs_folder):
    """JupyterLab saved it again: the cells are the same."""
    document = notebook("a = 1", "b = 2", "c = 3")
    document["metadata"]["kernelspec"]["display_name"] = "Other"
    for cell in document["cells"]:
        cell["source"] = [cell["source"]]
    write(kept.folder / "notebook.ipynb", document)
    (fault,) = verify(ledger, runs_folder).faults

    assert fault.kind == "changed file"
    assert "only outside its cells" in fault.detail


def test_verify_changed_missing_and_extra_files_are_named(kept, check):
    """Each by its path."""
    (kept.folder / "report.html").write_text("<p>better</p>", encoding="utf-8")
    (kept.folder / "notebook.ipynb").unlink()
    (kept.folder / "sub").mkdir()
    (kept.folder / "sub" / "new.txt").write_text("", encoding="utf-8")

    assert check() == [
        ("missing file", "notebook.ipynb"),
        ("extra file", "sub/new.txt"),
        ("changed file", "report.html"),
    ]


def test_verify_a_file_replaced_by_a_link_is_found(kept, check, tmp_path):
    """The same bytes elsewhere can be changed later."""
    (tmp_path / "copy.html").write_bytes((kept.folder / "report.html").read_bytes())
    (kept.folder / "report.html").unlink()
    (kept.folder / "report.html").symlink_to(tmp_path / "copy.html")

    assert check() == [("changed file", "report.html")]


def test_verify_checkpoints_of_jupyterlab_are_not_evidence(kept, check):
    """Opening a kept notebook to read it is allowed."""
    (kept.folder / ".ipynb_checkpoints").mkdir()
    (kept.folder / ".ipynb_checkpoints" / "notebook-checkpoint.ipynb").write_text("{}", encoding="utf-8")

    assert check() == []


def test_verify_a_missing_folder_is_named(kept, check):
    """With everything in it."""
    shutil.rmtree(kept.folder)

    assert check() == [("missing folder", str(kept.folder))]


def test_verify_an_edited_event_is_named(kept, check, runs_folder):
    """The operator was somebody else."""
    rewrite(runs_folder, "UPDATE runbook_events SET operator = 'ben' WHERE seq = 3")

    assert check() == [("edited event", "event 3")]


def test_verify_a_removed_event_is_named(kept, check, runs_folder):
    """From the middle."""
    rewrite(runs_folder, "DELETE FROM runbook_events WHERE seq = 4")

    assert check() == [("removed event", "event 4")]


def test_verify_the_last_event_removed_is_found_by_the_receipt(kept, check, runs_folder):
    """The chain alone cannot know that it was longer."""
    rewrite(runs_folder, "DELETE FROM runbook_events WHERE seq = 5")

    assert check() == [("removed event", "event 5")]


def test_verify_a_chain_rewritten_to_its_end_is_found_by_the_receipts(kept, check, runs_folder):
    """Somebody edited an event and made every later hash anew."""
    from dataclasses import replace

    from runbooks_lib.records.event import event_hash

    events = list(Ledger(f"sqlite:///{runs_folder / 'ledger.sqlite3'}").events())
    previous = events[2].hash
    for index in (3, 4):
        changes = {"payload_json": '{"status":"OK"}'} if index == 3 else {}
        draft = replace(events[index], previous_hash=previous, **changes)
        events[index] = replace(draft, hash=event_hash(draft))
        previous = events[index].hash
    rewrite(
        runs_folder,
        *(
            f"UPDATE runbook_events SET payload = '{e.payload_json}', previous_hash = '{e.previous_hash}',"
            f" hash = '{e.hash}' WHERE seq = {e.seq}"
            for e in events[3:]
        ),
    )

    assert check() == [("edited event", "event 4"), ("edited event", "event 5")]


def test_verify_an_inserted_event_is_named(kept, check, runs_folder):
    """Between two others, which had to move."""
    move = "UPDATE runbook_events SET seq = {to} WHERE seq = {of}"
    forge = (
        "INSERT INTO runbook_events SELECT 4, 'forged', run_id, at, 'run.judged', environment, operator, '{}', hash, 'f'"
        " FROM runbook_events WHERE seq = 3"
    )
    rewrite(runs_folder, move.format(to=6, of=5), move.format(to=5, of=4), forge)

    assert check() == [("inserted event", "event 4"), ("reordered event", "event 5")]


def test_verify_reordered_events_are_named(kept, check, runs_folder):
    """Two changed places."""
    move = "UPDATE runbook_events SET seq = {to} WHERE seq = {of}"
    rewrite(runs_folder, move.format(to=99, of=2), move.format(to=2, of=3), move.format(to=3, of=99))

    assert check() == [("reordered event", "event 2"), ("reordered event", "event 3")]


def test_verify_an_unfinished_run_is_said_to_be_one_and_is_no_fault(begin, ledger, runs_folder):
    """Nothing vouches for its files yet."""
    run = begin()
    result = verify(ledger, runs_folder)

    assert result.ok
    assert result.unfinished == {run.id: "running"}
    assert result.runs_count == 0


def test_verify_a_folder_that_the_ledger_does_not_know_is_named(kept, check, runs_folder):
    """A run that was slipped in."""
    copy = kept.folder.with_name(kept.folder.name[:-4] + "abcd")
    shutil.copytree(kept.folder, copy)
    (copy / "receipt.json").unlink()

    assert check() == [("unknown run", str(copy))]


def test_verify_a_run_that_went_on_without_the_ledger_is_said_to_be_one(begin, ledger, runs_folder, tmp_path):
    """It said so itself; it is no fault, and nothing vouches for it."""
    (tmp_path / "file").write_text("", encoding="utf-8")
    run = begin(ledger=Ledger(f"sqlite:///{tmp_path / 'file' / 'l.sqlite3'}"))
    run.finish("finished")
    result = verify(ledger, runs_folder)

    assert (result.ok, result.status) == (True, Status.UNKNOWN)
    assert result.unrecorded == (run.id,)


def test_verify_an_unknown_run_is_an_error(kept, ledger, runs_folder):
    """Nothing was verified, so nothing is said."""
    with pytest.raises(UsageError, match="is in neither the ledger nor"):
        verify(ledger, runs_folder, "20261122-0214-triage-0000")


def test_verify_a_deleted_ledger_is_seen(kept, runs_folder, ledger):
    """The receipts and the folders remain."""
    ledger.close()
    (runs_folder / "ledger.sqlite3").unlink()
    kinds = {fault.kind for fault in verify(ledger, runs_folder).faults}

    assert kinds == {"removed event", "unknown run"}


def test_verify_a_broken_receipt_is_named(kept, check):
    """It is not among the hashed files, so it is checked by itself."""
    (kept.folder / "receipt.json").write_text("{", encoding="utf-8")

    assert check() == [("changed file", "receipt.json")]


@pytest.fixture
def changed(kept, ledger, runs_folder):
    """After the runs: a plan, its approval, its lock, its change and the check of it."""
    from actions_fixtures import kinds

    approvals, intentions, leases = Approvals(ledger), Intentions(ledger), Leases(ledger)
    plan = {"action": "a", "environment": "sandbox", "full_digest": "a" * 64, "digest": "aaaa-aaaa-aaaa"}
    who = {"run_id": "r", "environment": "sandbox", "operator": "anna"}
    proposal = approvals.propose(plan, run_id="r", operator="anna")
    approval = approvals.give(proposal, approver="ben", seconds=60)
    held = leases.acquire(environment="sandbox", resources=["x"], holder="r", operator="anna", seconds=60, purpose="a")
    action_id = intentions.begin({"plan": plan, "fencing": {}}, approval=approval, proposal=proposal, **who).action_id
    intentions.end(action_id, {"detail": "?"}, **who, certain=False)
    intentions.settle(action_id, {"confirmed": True}, **who)
    leases.release(held)
    ledger.append(kind="run.started", **who)
    assert verify(ledger, runs_folder).ok
    return kinds(ledger)


SAME = "run_id, at, kind, environment, operator, payload, previous_hash"
NEW_KINDS = (
    "plan.proposed",
    "approval.given",
    "lock.acquired",
    "action.intended",
    "action.ended",
    "action.checked",
    "lock.released",
)


@pytest.mark.parametrize("kind", NEW_KINDS)
@pytest.mark.parametrize("how", ["removed", "edited", "inserted", "reordered"])
def test_verify_names_what_was_done_to_an_action_an_approval_or_a_lock(changed, check, runs_folder, kind, how):
    """By somebody who owns the file and took the triggers out; a fresh process sees it as well."""
    seq = changed.index(kind) + 1
    statements = {
        "removed": [f"DELETE FROM runbook_events WHERE seq = {seq}"],
        "edited": [f"UPDATE runbook_events SET operator = 'zoe' WHERE seq = {seq}"],
        "inserted": [
            f"UPDATE runbook_events SET seq = -seq WHERE seq > {seq}",
            f"INSERT INTO runbook_events SELECT seq + 1, event_id || 'x', {SAME}, 'h' FROM runbook_events WHERE seq = {seq}",
            "UPDATE runbook_events SET seq = 1 - seq WHERE seq < 0",
        ],
        "reordered": [
            f"UPDATE runbook_events SET seq = -{seq} WHERE seq = {seq}",
            f"UPDATE runbook_events SET seq = {seq} WHERE seq = {seq} + 1",
            f"UPDATE runbook_events SET seq = {seq} + 1 WHERE seq = -{seq}",
        ],
    }
    rewrite(runs_folder, *statements[how])
    fresh = Ledger(f"sqlite:///{runs_folder / 'ledger.sqlite3'}")

    named = {(f"{how} event", f"event {seq + offset}") for offset in (0, 1)}
    assert named & set(check())
    assert not verify(fresh, runs_folder).ok
    fresh.close()


def test_verify_locks_that_were_cut_off_the_end_are_seen(kept, ledger, check, runs_folder):
    """The lock's own number says how long the ledger was."""
    (held,) = Leases(ledger).acquire(
        environment="sandbox", resources=["x"], holder="r", operator="anna", seconds=60, purpose="a"
    )
    rewrite(runs_folder, f"DELETE FROM runbook_events WHERE seq >= {held.fencing_number}")

    assert ("removed event", f"event {held.fencing_number}") in check()


def test_verify_without_the_triggers_still_reads_every_event(kept, ledger, runs_folder):
    """Taking them out does not make a ledger look empty, and is a fault of its own."""
    rewrite(runs_folder)
    fresh = Ledger(f"sqlite:///{runs_folder / 'ledger.sqlite3'}")
    found = verify(fresh, runs_folder)

    assert found.events_count == 5
    assert {(fault.kind, fault.name) for fault in found.faults} == {
        ("missing trigger", f"runbook_events_{name}") for name in ("no_update", "no_delete", "append")
    }
    fresh.close()


def test_verify_says_that_removed_triggers_were_put_back_by_the_next_write(kept, ledger, runs_folder, url):
    """The door was open for a while, and nobody can say otherwise."""
    rewrite(runs_folder)
    again = Ledger(url)
    again.append(kind="run.started", run_id="r", environment="sandbox", operator="anna")
    found = verify(again, runs_folder)

    assert found.ok
    assert [event.kind for event in again.events()][-2:] == ["ledger.restored", "run.started"]
    assert (
        "runbook_events_no_update, runbook_events_no_delete, runbook_events_append had been removed" in found.notes[0]
    )
    assert render_verification(found).count("had been removed") == 1
    again.close()


def test_verify_a_trigger_that_was_replaced_by_one_that_does_nothing_is_named(kept, check, runs_folder):
    """The name alone keeps nothing."""
    empty = "CREATE TRIGGER runbook_events_no_update BEFORE UPDATE ON runbook_events BEGIN SELECT 1; END"
    rewrite(runs_folder, empty)

    assert check() == [("missing trigger", "runbook_events_no_update")]


def test_verify_names_the_table_of_locks_when_somebody_dropped_it(changed, check, ledger, runs_folder, url):
    """Also when the next lock made it anew: an event says so."""
    ledger.close()
    with sqlite3.connect(runs_folder / "ledger.sqlite3") as connection:
        connection.execute("DROP TABLE runbook_leases")
    assert check() == [("missing table", "runbook_leases")]

    again = Ledger(url)
    Leases(again).acquire(environment="e", resources=["x"], holder="r", operator="o", seconds=60, purpose="p")
    assert [event.kind for event in again.events()][-2:] == ["ledger.restored", "lock.acquired"]
    assert "runbook_leases" in verify(again, runs_folder).notes[0]
    again.close()


def test_verify_on_postgresql_names_a_trigger_that_is_switched_off(postgresql_url, tmp_path):
    """Only the owner can switch it on again, so no write does it silently."""
    import psycopg

    shared = Ledger(postgresql_url)
    shared.append(kind="run.started", run_id="r", environment="sandbox", operator="anna")
    assert verify(shared, tmp_path).status is Status.OK
    with psycopg.connect(postgresql_url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("ALTER TABLE runbook_events DISABLE TRIGGER runbook_events_rows")

    assert [(fault.kind, fault.name) for fault in verify(shared, tmp_path).faults] == [
        ("missing trigger", "runbook_events_rows")
    ]
    shared.close()


def test_verify_without_a_ledger_is_unknown_and_names_the_path(ledger, runs_folder):
    """Nothing was verified, so nothing is fine."""
    found = verify(ledger, runs_folder)

    assert (found.status, found.status.exit_code) == (Status.UNKNOWN, 30)
    assert f"there is no ledger at {runs_folder / 'ledger.sqlite3'}" in render_verification(found)
    assert render_verification(found).startswith("UNKNOWN · 0 events")


def test_verify_runs_that_are_a_plain_file_is_an_error_that_says_so(ledger, tmp_path):
    """Not an empty folder."""
    (tmp_path / "runs").write_text("", encoding="utf-8")

    with pytest.raises(RecordError, match="is a file, not the folder of runs"):
        verify(ledger, tmp_path / "runs")


def test_verify_prints_the_head_that_tells_an_older_copy(kept, ledger, runs_folder):
    """An older ledger without the newer folders looks whole: only its head, kept elsewhere, differs."""
    head = ledger.head()
    text = render_verification(verify(ledger, runs_folder))

    assert f"Head  event 5 at {head.at}, {head.hash}" in text
    assert "compare the head with one kept elsewhere" in text


@pytest.mark.parametrize("name", ["notes.tmp", ".evil.tmp", "sub/receipt.json", ".hidden"])
def test_verify_a_file_added_to_a_finished_run_is_an_extra_file(kept, check, name):
    """Whatever it is called: only what an unfinished write leaves is no evidence."""
    (kept.folder / name).parent.mkdir(exist_ok=True)
    (kept.folder / name).write_text("x", encoding="utf-8")

    assert check() == [("extra file", name)]


@pytest.mark.parametrize("name", [".report.html.0123abcd.tmp", ".ipynb_checkpoints/notebook-checkpoint.ipynb"])
def test_verify_what_is_no_evidence_is_named_all_the_same(kept, ledger, runs_folder, name):
    """Nobody can hide a file in a record without its being said."""
    (kept.folder / name).parent.mkdir(exist_ok=True)
    (kept.folder / name).write_text("{}", encoding="utf-8")

    assert verify(ledger, runs_folder).notes == (f"{kept.folder / name}: no evidence, not compared",)
