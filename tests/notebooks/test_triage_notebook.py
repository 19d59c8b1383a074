"""The triage notebook, executed as operators execute it: healthy, ill, with everything down, and by bare papermill."""

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

NOTEBOOK = "notebooks/incident/triage.ipynb"


def outputs(notebook, cell_id):
    """The outputs of one cell of an executed notebook."""
    (cell,) = [cell for cell in notebook["cells"] if cell["id"] == cell_id]
    return cell["outputs"]


def executed(folder):
    """The executed notebook of a run."""
    return json.loads((folder / "notebook.ipynb").read_text(encoding="utf-8"))


def test_triage_notebook_on_a_healthy_site_ends_ok_and_leaves_notebook_report_and_record(at_sandbox):
    """Exit 0; the verdict stands in the first output; every cell completed; the run verifies."""
    done = at_sandbox.run("run", "triage", "--environment", "sandbox")

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("OK · sandbox · ")
    assert "time scale 60" in done.stdout
    folder = at_sandbox.run_folder()
    assert {path.name for path in folder.iterdir()} >= {"notebook.ipynb", "report.html", "record.json"}
    notebook = executed(folder)
    card = outputs(notebook, "open")[0]["data"]["text/plain"]
    assert "".join(card).startswith("OK · sandbox · ")
    assert outputs(notebook, "rates-figure")[0]["metadata"]["image/png"]["alt"].startswith("Hit rate and penetration, ")
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert {cell["metadata"]["papermill"]["status"] for cell in code} == {"completed"}
    assert at_sandbox.run("verify").returncode == 0


def test_triage_notebook_report_holds_no_code_no_script_and_the_figure_with_its_text(at_sandbox):
    """What is mailed to others."""
    at_sandbox.run("run", "triage", "--environment", "sandbox")
    page = (at_sandbox.run_folder() / "report.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert "open_runbook" not in page
    assert not re.search(r"""(src|href)\s*=\s*["']?https?:""", page)
    assert re.search(r'<img src="data:image/png;base64,[^"]+" alt="Hit rate and penetration, ', page)
    assert len(page) < 1_500_000


@pytest.mark.breaks_site
@pytest.mark.timeout(240)
def test_triage_notebook_after_a_fault_names_its_symptom_with_numbers(at_sandbox, healthy_sandbox):
    """A new endpoint that does not use the cache: severity 2 once it has lasted long enough."""
    healthy_sandbox.inject("uncached_endpoint")
    time.sleep(48)
    done = at_sandbox.run("run", "triage", "--environment", "sandbox")

    assert done.returncode == 20, done.stdout + done.stderr
    first = done.stdout.splitlines()[0]
    match = re.fullmatch(r"FAIL · severity 2 · sandbox · [\d:]+Z · hit rate (\d+\.\d) % for (\d+) s", first)
    assert match, first
    assert float(match[1]) < 60
    assert int(match[2]) > 30
    assert "Most likely  course-recommendations" in done.stdout
    page = (at_sandbox.run_folder() / "report.html").read_text(encoding="utf-8")
    assert "severity 2" in page


def test_triage_notebook_with_everything_down_still_ends_with_a_verdict(nowhere):
    """Redis, Prometheus and the site refuse: severity 1, and what to do."""
    started = time.monotonic()
    done = nowhere.run("run", "triage", "--environment", "sandbox")
    assert done.returncode == 20, done.stdout + done.stderr
    assert "severity 1" in done.stdout.splitlines()[0]
    assert "Traceback" not in done.stdout + done.stderr
    assert time.monotonic() - started < 20
    notebook = executed(nowhere.run_folder())
    assert "No figure" in "".join(outputs(notebook, "rates-figure")[0]["data"]["text/plain"])


def test_triage_notebook_by_bare_papermill_is_recorded_too(at_sandbox):
    """The notebook itself opens and closes its run."""
    command = [str(Path(sys.executable).parent / "papermill"), "--no-progress-bar", NOTEBOOK, "out.ipynb"]
    done = subprocess.run(
        [*command, "-p", "environment", "sandbox"],
        cwd=at_sandbox.folder,
        env=at_sandbox.variables,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    (record,) = at_sandbox.records()
    assert record["outcome"] == "finished"
    assert record["verdict"]["status"] == "OK"
    assert (at_sandbox.run_folder() / "report.html").exists()
    assert at_sandbox.run("verify", record["run_id"]).returncode == 0


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("windw=15m", "there is no parameter 'windw'; did you mean window?"),
        ("window=banana", "a duration"),
        ("environment=mars", "a configured environment"),
        ("window", "name=value"),
    ],
)
def test_triage_notebook_with_a_wrong_parameter_is_refused_before_a_kernel_starts(workplace, assignment, message):
    """Exit 2, the list of what the notebook takes, and no run was started."""
    done = workplace.run("run", "triage", "-p", assignment)
    assert done.returncode == 2
    assert message in done.stderr
    assert "window" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(workplace.folder.glob("runs/*/*"))
