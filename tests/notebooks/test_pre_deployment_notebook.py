"""The pre-deployment notebook: a backup that is made and proved, a flag that is only planned, a day that is kept."""

from notebook_runs import cell_text, flags_of, newest_record

from runbooks_lib.records.baselines import latest_baseline
from runbooks_lib.records.checklists import Checklists
from runbooks_lib.records.ledger import Ledger

RUN = ("run", "pre_deployment", "-e", "sandbox", "-p", "release=2026-11-23")


def test_pre_deployment_notebook_backs_up_keeps_the_day_and_never_sets_the_flag_by_auto(at_sandbox, healthy_sandbox):
    """One execution with ``auto``: the backup is proved, the flag has a plan of its own, the baseline is in the ledger."""
    before = flags_of(healthy_sandbox)

    done = at_sandbox.run(*RUN, "-p", "confirm=auto")

    record = newest_record(at_sandbox)
    ledger = Ledger(f"sqlite:///{at_sandbox.folder / 'runs' / 'ledger.sqlite3'}")
    found = {entry.item: entry for entry in Checklists(ledger, "sandbox").read("2026-11-23").entries}
    assert done.returncode == 20, done.stdout + done.stderr
    assert "pre-deployment of 2026-11-23: " in done.stdout
    assert "sampled values equal" in found["pre.backup"].text
    assert found["pre.backup"].values["proof"]
    assert len(list((at_sandbox.folder / "backups").iterdir())) == 1
    assert (found["pre.flag"].status, found["pre.flag"].text) == ("failed", "ENHANCED_CACHE is on")
    assert found["pre.flag"].values["site_version"] == "sandbox"
    assert flags_of(healthy_sandbox) == before
    assert "serve ENHANCED_CACHE to 0 % of the users" in cell_text(at_sandbox, record, "flag")
    assert "% of 24 min until " in found["pre.baseline"].text
    assert latest_baseline(ledger, "sandbox").slot_seconds == 60
    assert cell_text(at_sandbox, record, "baseline").count("\n") > 24
    assert "The day until " in cell_text(at_sandbox, record, "baseline-figure")
    assert "open | deploy.staging: Deploy new code to staging" in cell_text(at_sandbox, record, "checklist")


def test_pre_deployment_notebook_without_a_release_ends_with_what_is_missing(nowhere):
    """Nothing is planned under no name."""
    done = nowhere.run("run", "pre_deployment", "-e", "sandbox")
    assert done.returncode == 30
    assert "release is ''" in done.stdout
    assert newest_record(nowhere)["actions"] == []
