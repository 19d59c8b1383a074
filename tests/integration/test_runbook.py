"""A notebook is recorded however it is executed: by ``runbooks run``, by bare papermill, cell by cell."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys

import pytest
from records_fixtures import code_cell, notebook_document, prose_cell, verdict_of
from workplace_fixtures import RUNBOOKS

from runbooks_lib.errors import ConfigurationError, UsageError
from runbooks_lib.execution import execute_notebook
from runbooks_lib.model import Status
from runbooks_lib.notebook import judge_change, make_action
from runbooks_lib.records.ledger import Ledger
from runbooks_lib.records.run_record import RunState, run_folder, run_state
from runbooks_lib.records.verify import verify
from runbooks_lib.runbook import open_runbook

PARAMETERS = 'environment: str = "sandbox"  # [environment] the site\nwindow: str = "15m"  # [duration] how far back'
OPEN = "from runbooks_lib.runbook import open_runbook\nrunbook = open_runbook('triage', environment=environment, window=window)"
CLOSE = (
    "from datetime import datetime, UTC\nfrom runbooks_lib.model import Status, Verdict\n"
    "runbook.close(Verdict('triage', environment, datetime.now(UTC), Status.WARN, 'hit rate 72 %'))"
)


@pytest.fixture
def notebook(write_notebook):
    """A runbook that opens, judges and closes."""
    return write_notebook(
        prose_cell("# Triage"), code_cell(PARAMETERS, cell_id="params", tags=("parameters",)), OPEN, CLOSE
    )


def kinds(ledger, run_id):
    """The kinds of a run's events."""
    return [event.kind for event in ledger.events(run_id=run_id)]


def test_open_runbook_in_an_execution_joins_its_run(notebook, begin, ledger, runs_folder):
    """One run, judged by the kernel, closed by the runner; everything verifies."""
    run = begin()
    execution = execute_notebook(notebook, run, {"window": "2h"})
    run.finish(execution.outcome, execution.reason)

    assert (execution.outcome, execution.reason) == ("finished", "")
    assert [event.run_id for event in ledger.events(kind="run.started")] == [run.id]
    assert kinds(ledger, run.id) == ["run.started", "run.judged", "run.finished"]
    assert run.record["verdict"]["status"] == "WARN"
    assert run_state(ledger, run.id) is RunState.FINISHED
    result = verify(ledger, runs_folder)
    assert result.faults == ()
    assert (result.runs_count, result.files_count, result.cells_count) == (1, 2, 5)


def test_open_runbook_under_bare_papermill_starts_and_closes_a_run_of_its_own(notebook, repository, ledger):
    """Stock engine, no command of ours."""
    code = (
        "from runbooks_lib.startup import skip_slow_imports; skip_slow_imports()\n"
        f"import papermill; papermill.execute_notebook({str(notebook)!r}, 'out.ipynb', {{'window': '2h'}},"
        " progress_bar=False)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=repository, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (started,) = ledger.events(kind="run.started")

    assert started.payload["parameters"] == {"environment": "sandbox", "window": "2h"}
    assert kinds(ledger, started.run_id) == ["run.started", "run.judged", "run.finished"]


def test_open_runbook_in_an_execution_refuses_what_papermill_let_through(notebook, begin):
    """The kernel checks again: the runner may have been somebody else's."""
    execution = execute_notebook(notebook, begin(), {"window": "yesterday"})

    assert execution.outcome == "failed"
    assert "parameter window: 'yesterday' is not a duration" in execution.reason


def test_open_runbook_by_hand_is_recorded_and_closes(repository, notebook, ledger):
    """As in JupyterLab: open, look, close."""
    runbook = open_runbook("triage", environment="sandbox", parameters={"window": "2h"})
    assert run_state(ledger, runbook.run.id) is RunState.RUNNING
    runbook.close(verdict_of(Status.OK))

    assert kinds(ledger, runbook.run.id) == ["run.started", "run.judged", "run.finished"]
    assert runbook.policy.window_seconds == 15
    assert runbook.parameters == {"environment": "sandbox", "window": "2h"}
    assert runbook.configuration.root == repository
    assert runbook.environment.name == "sandbox"


def test_open_runbook_sources_are_made_without_contacting_anything(repository):
    """The configured ports answer to nobody."""
    sources = open_runbook("triage", environment="sandbox").sources

    assert all(getattr(sources, name) for name in ("redis", "prometheus", "metrics", "web", "cache_stats", "django"))


def test_open_runbook_closing_twice_is_harmless_and_the_first_counts(repository, ledger):
    """Somebody executed the last cell again."""
    runbook = open_runbook("triage", environment="sandbox")
    runbook.close(verdict_of(Status.FAIL))
    runbook.close(verdict_of(Status.OK))

    assert kinds(ledger, runbook.run.id) == ["run.started", "run.judged", "run.finished"]
    assert runbook.run.record["verdict"]["status"] == "FAIL"


def test_open_runbook_twice_supersedes_the_first(repository, ledger, runs_folder):
    """Somebody executed the first cell again; another runbook in the same kernel stays open."""
    first = open_runbook("triage", environment="sandbox")
    other = open_runbook("alerting", environment="sandbox")
    second = open_runbook("triage", environment="sandbox")

    assert first.run.record["outcome"] == "superseded"
    assert first.run.record["detail"] == f"opened again as {second.run.id}"
    assert run_state(ledger, first.run.id) is RunState.INTERRUPTED
    assert run_state(ledger, second.run.id) is RunState.RUNNING
    assert run_state(ledger, other.run.id) is RunState.RUNNING
    first.close(verdict_of())
    assert kinds(ledger, first.run.id) == ["run.started", "run.finished"]
    second.close(verdict_of())
    assert verify(ledger, runs_folder).ok


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"environment": "prod"}, "'prod' is not a configured environment"),
        ({"environment": "sandbox", "window": "nan"}, "'nan' is not a duration"),
        ({"environment": "sandbox", "windwo": "15m"}, "did you mean window"),
    ],
)
def test_open_runbook_with_a_misfit_starts_no_run(repository, notebook, ledger, options, words):
    """Checked against what the notebook declares."""
    with pytest.raises(UsageError, match=words):
        open_runbook("triage", **options)
    assert ledger.events() == ()


def test_open_runbook_of_an_environment_that_cannot_be_resolved_starts_no_run(repository, ledger, monkeypatch):
    """A password is missing."""
    monkeypatch.delenv("TEST_REDIS_PASSWORD", raising=False)

    with pytest.raises(ConfigurationError, match="TEST_REDIS_PASSWORD"):
        open_runbook("triage", environment="staging")
    assert ledger.events() == ()


def test_open_runbook_keeps_the_environments_secrets_out_of_the_record(repository, ledger, monkeypatch):
    """They came in through the configuration."""
    monkeypatch.setenv("TEST_REDIS_PASSWORD", "s3cr3t-pw")
    runbook = open_runbook("triage", environment="staging")
    runbook.close(verdict_of(headline="AUTH s3cr3t-pw failed"))
    kept = json.dumps(runbook.run.record) + "".join(event.payload_json for event in ledger.events())

    assert "s3cr3t-pw" not in kept + repr(runbook)


def test_open_runbook_without_a_ledger_goes_on(repository, monkeypatch):
    """And says why it is not recorded."""
    toml = repository / "runbooks.toml"
    toml.write_text(toml.read_text() + '\n[ledger]\nurl = "sqlite:////dev/null/ledger.sqlite3"\n', encoding="utf-8")
    runbook = open_runbook("triage", environment="sandbox")
    runbook.close(verdict_of())

    assert "could not be written" in runbook.run.ledger_error
    assert runbook.run.record["verdict"]["status"] == "WARN"


def test_open_runbook_ignores_the_run_of_another_notebook(repository, begin, monkeypatch, ledger):
    """A notebook that starts another one hands its environment variables on."""
    outer = begin(runbook="deployment")
    monkeypatch.setenv("RUNBOOKS_RUN_ID", outer.id)
    monkeypatch.setenv("RUNBOOKS_RUN_FOLDER", str(outer.folder))

    assert open_runbook("triage", environment="sandbox").run.id != outer.id
    assert open_runbook("deployment", environment="sandbox").run.id == outer.id


def test_open_runbook_with_a_ledger_on_postgresql(repository, monkeypatch, postgresql_url):
    """For a team."""
    toml = repository / "runbooks.toml"
    toml.write_text(toml.read_text() + '\n[ledger]\nurl = "${LEDGER_URL}"\n', encoding="utf-8")
    monkeypatch.setenv("LEDGER_URL", postgresql_url)
    runbook = open_runbook("triage", environment="sandbox")
    runbook.close(verdict_of())
    ledger = Ledger(postgresql_url)

    assert kinds(ledger, runbook.run.id) == ["run.started", "run.judged", "run.finished"]
    assert verify(ledger, runbook.configuration.runs_folder).ok
    ledger.close()
    runbook.run.ledger.close()


CHANGE_PARAMETERS = (
    'environment: str = "site"  # [environment] the site\n'
    'confirm: str = ""  # the digest of the plan\n'
    'reason: str = ""  # why\n'
    'pattern: str = "api:Nothing:*"  # what is deleted'
)
CHANGE_OPEN = (
    "from runbooks_lib.notebook import judge_change, make_action, open_runbook, show_closing, show_outcome\n"
    "runbook = open_runbook('clear_answers', environment=environment, confirm=confirm, reason=reason, pattern=pattern)"
)
CHANGE_APPLY = (
    "action = make_action('clear_pattern', {'pattern': pattern})\n"
    "outcome = runbook.apply(action, confirm=confirm, reason=reason)\nshow_outcome(outcome, secrets=runbook.environment.secrets)"
)
CHANGE_CLOSE = "verdict = judge_change(runbook, outcome)\nrunbook.close(verdict)\nshow_closing(verdict, runbook.report)"


@pytest.fixture
def changing(changeable):
    """A workplace whose only runbook plans or makes a change."""
    (changeable.folder / "notebooks").unlink()
    folder = changeable.folder / "notebooks" / "operations"
    folder.mkdir(parents=True)
    cells = (
        code_cell(CHANGE_PARAMETERS, cell_id="params", tags=("parameters",)),
        CHANGE_OPEN,
        CHANGE_APPLY,
        CHANGE_CLOSE,
    )
    document = notebook_document(prose_cell("# Clear"), *cells)
    (folder / "clear_answers.ipynb").write_text(json.dumps(document), encoding="utf-8")
    return changeable


def test_runbook_that_changes_something_plans_then_applies_then_refuses(changing):
    """The command that the plan shows applies it; the same command once more changes nothing."""
    planned = changing.run("run", "clear_answers", "-e", "site", "-p", "pattern=api:Course:*")
    assert (planned.returncode, changing.keys()) == (0, 5), planned.stdout + planned.stderr
    (line,) = [text.strip() for text in planned.stdout.splitlines() if "-p confirm=" in text]
    words = shlex.split(line)[1:]
    assert words[:6] == ["run", "clear_answers", "--environment", "site", "-p", "pattern=api:Course:*"]

    applied = changing.run(*words)
    assert (applied.returncode, changing.keys()) == (0, 0), applied.stdout
    assert "OK · site" in applied.stdout.splitlines()[0]
    assert "applied: delete 5 keys" in applied.stdout.splitlines()[0]
    report = max(changing.folder.glob("runs/*/*/report.html"), key=lambda path: path.stat().st_mtime)
    assert "APPLIED and read back" in report.read_text(encoding="utf-8")

    changing.fill(2)
    again = changing.run(*words)
    assert (again.returncode, changing.keys()) == (40, 2), again.stdout
    assert "was confirmed already" in again.stdout
    assert changing.run("verify").returncode == 0


def test_runbook_applied_after_it_was_closed_is_recorded_in_a_run_of_its_own(changing, monkeypatch):
    """As in JupyterLab: the closed run stays as it was hashed."""
    monkeypatch.chdir(changing.folder)
    runbook = open_runbook("clear_answers", environment="site")
    action = make_action("clear_pattern", {"pattern": "api:Course:*"})
    planned = runbook.apply(action)
    runbook.close(judge_change(runbook, planned))
    first = runbook.run.id
    applied = runbook.apply(action, confirm=planned.plan.digest)
    runbook.close(judge_change(runbook, applied))

    assert (applied.exit_code, changing.keys()) == (0, 0)
    assert runbook.run.id != first
    assert [[action["result"] for action in record["actions"]] for record in changing.records()] == [
        ["planned"],
        ["applied"],
    ]
    assert verify(runbook.run.ledger, runbook.configuration.runs_folder).ok


def test_runbook_of_a_site_that_cannot_be_read_does_not_raise(repository):
    """Refusals and systems that are down are outcomes: the rest of the runbook still runs."""
    runbook = open_runbook("clear_answers", environment="sandbox")
    outcome = runbook.apply(make_action("clear_pattern", {"pattern": "api:Course:*"}))
    verdict = judge_change(runbook, outcome)

    assert (outcome.exit_code, verdict.status) == (30, Status.UNKNOWN)
    assert runbook.run.record["actions"][0]["result"] == "unread"


def begun_by_a_notebook(place):
    """A notebook's change that is being made."""
    words = ("run", "clear_answers", "-e", "site", "-p", "pattern=api:Course:*", "-p", "confirm=auto")
    return place.in_the_middle_of(lambda: (RUNBOOKS, *words))


def test_runbook_whose_kernel_is_killed_while_it_changes_something_exits_fifty(changing):
    """The report keeps what may have been done, with the command that checks; the next command shows it first."""
    process = begun_by_a_notebook(changing)
    changing.redis.freeze()
    ((action_id, run_id),) = changing.ledger_rows("action.intended")
    ledger = Ledger(f"sqlite:///{changing.folder / 'runs' / 'ledger.sqlite3'}")
    (intended,) = ledger.events(kind="action.intended")
    os.kill(intended.payload["process"]["pid"], signal.SIGKILL)
    out, err = process.communicate(timeout=60)
    changing.redis.thaw()

    assert process.returncode == 50, out + err
    assert "did not come to its end (failed)" in out
    assert f"runbooks check {action_id} --environment site" in out
    page = (run_folder(changing.folder / "runs", run_id) / "report.html").read_text(encoding="utf-8")
    assert "CHECK THIS, something may have changed" in page
    later = changing.call("change", "clear_pattern", "-e", "site", "-p", "pattern=api:Other:*")
    assert "CHECK FIRST  may have changed, check: delete 30,000 keys" in later.stderr
