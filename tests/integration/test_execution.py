"""Whatever ends a notebook, the executed notebook says so, and no kernel is left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from records_fixtures import code_cell, prose_cell

from runbooks_lib.errors import ExecutionError
from runbooks_lib.execution import execute_notebook
from runbooks_lib.records.ledger import Ledger
from runbooks_lib.records.origin import process_started
from runbooks_lib.records.run_record import RunState, run_state

PAPERMILL = str(Path(sys.executable).with_name("papermill"))
#: The same program without the second that JupyterLab's requirements add to its start.
QUICK_PAPERMILL = (
    "from runbooks_lib.startup import skip_slow_imports; skip_slow_imports();"
    "from papermill.__main__ import papermill; papermill()"
)
SHOW_PID = "import os; print(os.getpid())"

#: Runs a notebook as ``runbooks run`` does and prints how it ended; the tests signal it.
RUNNER = """
import json, sys
from pathlib import Path
from runbooks_lib.execution import execute_notebook
from runbooks_lib.records.ledger import Ledger
from runbooks_lib.records.origin import process_started
from runbooks_lib.records.run_record import start_run
source, runs, limit = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
run = start_run(ledger=Ledger(f"sqlite:///{runs / 'ledger.sqlite3'}"), runs_folder=runs, runbook="x", environment="sandbox")
print(run.id, run.folder, flush=True)
if limit:
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
ended = execute_notebook(source, run, {}, on_progress=lambda p: print(p.event, p.cell_id, flush=True))
print(json.dumps([ended.outcome, ended.reason, ended.cell_id, ended.signal_number, ended.saved]), flush=True)
"""


@pytest.fixture
def execute(begin, repository):
    """Execute a notebook in a run of its own; gives the execution and the saved notebook."""

    def run(source, parameters=None, **options):
        execution = execute_notebook(source, begin(**options.pop("run", {})), parameters or {}, **options)
        return execution, json.loads(execution.notebook.read_text(encoding="utf-8"))

    return run


@pytest.fixture
def runner(repository, runs_folder):
    """Start RUNNER on a notebook; ended by its pid when a test forgets."""
    started = []

    def start(source, limit=0):
        command = [sys.executable, "-c", RUNNER, str(source), str(runs_folder), str(limit)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        started.append(process)
        run_id, folder = process.stdout.readline().split()
        return process, run_id, Path(folder)

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def marks(notebook):
    """Cell id → papermill's status."""
    return {cell["id"]: cell["metadata"]["papermill"]["status"] for cell in notebook["cells"]}


def text_of(cell):
    """All that a cell shows, as text."""
    shown = ["".join(output.get("text", [])) + str(output.get("evalue", "")) for output in cell["outputs"]]
    return "\n".join(shown)


def printed_pid(notebook):
    """What the first cell printed: the kernel's process number."""
    return int(text_of(notebook["cells"][0]).split()[0])


def is_gone(pid, *, within_seconds=0.0):
    """No process with that number lives, now or within that time; a corpse that init has not buried yet is dead."""
    ends = time.monotonic() + within_seconds
    while process_started(pid) is not None:
        if time.monotonic() >= ends:
            return False
        time.sleep(0.02)
    return True


def wait_for(path, *, within_seconds=20.0):
    """Wait until a file is there, and give its content."""
    ends = time.monotonic() + within_seconds
    while not (path.exists() and path.read_text(encoding="utf-8")):
        assert time.monotonic() < ends, f"{path} did not appear"
        time.sleep(0.02)
    return path.read_text(encoding="utf-8")


def assert_truth(notebook, *, failed, reason):
    """One cell failed with that reason, nothing after it ran, and the notebook says when it ended."""
    states = marks(notebook)
    names = list(states)
    place = names.index(failed)
    assert [states[name] for name in names[:place]] == ["completed"] * place
    assert states[failed] == "failed"
    assert all(states[name] == "not-run" for name in names[place + 1 :])
    cell = notebook["cells"][place]
    assert reason in cell["metadata"]["papermill"]["reason"]
    assert any(output["output_type"] == "error" for output in cell["outputs"])
    assert notebook["metadata"]["papermill"]["exception"] is True
    assert notebook["metadata"]["papermill"]["end_time"]


def test_execute_to_the_end_saves_everything_and_leaves_the_source_alone(execute, write_notebook):
    """Parameters are injected into the copy; the kernel is dead when it returns."""
    source = write_notebook(
        code_cell('view: str = "all"', cell_id="params", tags=("parameters",)),
        prose_cell("# Title"),
        "print(view); " + SHOW_PID,
    )
    before = source.read_bytes()
    steps = []
    execution, notebook = execute(
        source, {"view": "nan"}, on_progress=lambda p: steps.append((p.event, p.position, p.total))
    )

    assert (execution.outcome, execution.reason, execution.saved) == ("finished", "", True)
    assert set(marks(notebook).values()) == {"completed"}
    assert [cell["id"] for cell in notebook["cells"]] == ["params", "injected-parameters", "prose", "c2"]
    assert text_of(notebook["cells"][3]).split()[0] == "nan"
    assert is_gone(int(text_of(notebook["cells"][3]).split()[1]))
    assert steps == [(event, place, 3) for place in (1, 2, 3) for event in ("started", "ended")]
    assert notebook["metadata"]["language_info"]["name"] == "python"
    assert source.read_bytes() == before
    assert execution.notebook.name == "notebook.ipynb"


def test_execute_the_kernel_is_this_python_at_the_root_with_the_library(execute, write_notebook, repository, begin):
    """Whatever kernel the notebook names and wherever it lies; the variables of the site's processes stay clean."""
    source = write_notebook(
        "import json, os, sys, runbooks_lib\n"
        "names = ('RUNBOOKS_RUN_ID', 'RUNBOOKS_RUN_FOLDER', 'EXTRA', 'PYTHONPATH')\n"
        "print(json.dumps([sys.executable, os.getcwd(), [os.environ.get(n) for n in names], 'jsonschema' in sys.modules]))",
        kernel="ir",
    )
    execution, notebook = execute(source, variables={"EXTRA": "yes"})
    python, cwd, (run_id, folder, extra, path), slow = json.loads(text_of(notebook["cells"][0]))

    assert execution.outcome == "finished"
    assert (python, cwd, slow) == (sys.executable, str(repository), False)
    assert folder == str(execution.notebook.parent)
    assert (run_id.endswith(execution.notebook.parent.name), extra, path) == (True, "yes", os.environ.get("PYTHONPATH"))


def test_execute_a_notebook_without_kernel_metadata_runs(execute, write_notebook):
    """It is Python, what else."""
    execution, _ = execute(write_notebook("1 + 1", kernel=None))

    assert execution.outcome == "finished"


def test_execute_a_file_at_the_root_that_shadows_the_standard_library_does_not_stop_the_kernel(
    execute, write_notebook, repository
):
    """Somebody's notes are called json.py."""
    (repository / "json.py").write_text("raise RuntimeError('shadowed')", encoding="utf-8")
    execution, _ = execute(write_notebook("1 + 1"))

    assert execution.outcome == "finished"


def test_execute_an_exception_is_told(execute, write_notebook):
    """The cell failed, the next ones were not run, and no banner moved them."""
    execution, notebook = execute(write_notebook(SHOW_PID, "1 / 0", "print('never')"))

    assert (execution.outcome, execution.cell_id) == ("failed", "c1")
    assert execution.reason == "ZeroDivisionError: division by zero"
    assert_truth(notebook, failed="c1", reason="division by zero")
    assert is_gone(printed_pid(notebook))


def test_execute_sys_exit_zero_is_not_success(execute, write_notebook):
    """Half a runbook is not a runbook."""
    execution, notebook = execute(write_notebook("import sys; sys.exit(0)", "print('never')"))

    assert execution.outcome == "failed"
    assert_truth(notebook, failed="c0", reason="SystemExit")


@pytest.mark.parametrize(
    ("death", "words"),
    [
        ("import os; os._exit(3)", "ended by itself with exit code 3"),
        ("import os; os.kill(os.getpid(), 9)", "killed by SIGKILL (often: the system ran out of memory)"),
        ("import ctypes; ctypes.string_at(0)", "killed by SIGSEGV"),
    ],
)
def test_execute_a_kernel_that_dies_is_told_with_its_last_words(execute, write_notebook, death, words):
    """papermill calls every cell of such a notebook completed."""
    started = time.monotonic()
    execution, notebook = execute(write_notebook(SHOW_PID, f"print('before', flush=True)\n{death}", "print('never')"))

    assert (execution.outcome, execution.cell_id) == ("failed", "c1")
    assert words in execution.reason
    assert_truth(notebook, failed="c1", reason=words)
    assert is_gone(printed_pid(notebook))
    assert time.monotonic() - started < 8


def test_execute_a_cell_over_its_time_is_interrupted_and_may_clean_up(execute, write_notebook, repository):
    """``finally`` runs, its output is kept, and the kernel is dead."""
    slow = "import time\ntry:\n    time.sleep(60)\nfinally:\n    print('cleaned up')"
    execution, notebook = execute(write_notebook(SHOW_PID, slow, "print('never')"), cell_timeout_seconds=1)

    assert (execution.outcome, execution.reason) == ("timed_out", "cell c1 took longer than 1 s")
    assert_truth(notebook, failed="c1", reason="took longer than 1 s")
    assert "cleaned up" in text_of(notebook["cells"][1])
    assert is_gone(printed_pid(notebook))


def test_execute_a_run_over_its_time_is_stopped(execute, write_notebook):
    """Each cell is quick, and there are too many."""
    cells = [SHOW_PID, *(["import time; time.sleep(0.4)"] * 20)]
    execution, notebook = execute(write_notebook(*cells), run_timeout_seconds=2)

    assert (execution.outcome, execution.reason) == ("timed_out", "the run took longer than 2 s")
    assert_truth(notebook, failed=execution.cell_id, reason="the run took longer than 2 s")
    assert is_gone(printed_pid(notebook))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_execute_a_signal_interrupts_the_cell_and_is_told(runner, write_notebook, repository, number):
    """``finally`` runs, the runner lives on to close the run, and nothing is printed on standard error."""
    cell = (
        "import os, time\nopen('started', 'w').write(str(os.getpid()))\n"
        "try:\n    time.sleep(60)\nfinally:\n    open('cleaned', 'w').write('yes')"
    )
    process, _, folder = runner(write_notebook(cell, "print('never')"))
    pid = int(wait_for(repository / "started"))
    process.send_signal(number)
    output, errors = process.communicate(timeout=15)
    outcome, reason, cell_id, signal_number, saved = json.loads(output.splitlines()[-1])

    assert (process.returncode, errors) == (0, "")
    assert (outcome, cell_id, signal_number, saved) == ("interrupted", "c0", number, True)
    assert number.name in reason
    assert_truth(json.loads((folder / "notebook.ipynb").read_text()), failed="c0", reason=number.name)
    assert wait_for(repository / "cleaned") == "yes"
    assert is_gone(pid)


def test_execute_a_second_signal_does_not_wait_for_a_cell_that_will_not_stop(runner, write_notebook, repository):
    """The first one asks, the second one means now."""
    cell = (
        "import os, time\nopen('started', 'w').write(str(os.getpid()))\n"
        "while True:\n    try:\n        time.sleep(60)\n    except KeyboardInterrupt:\n        open('told', 'w').write('1')"
    )
    process, _, folder = runner(write_notebook(cell))
    pid = int(wait_for(repository / "started"))
    process.send_signal(signal.SIGINT)
    wait_for(repository / "told")
    started = time.monotonic()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=15)

    assert time.monotonic() - started < 2
    assert is_gone(pid)
    assert_truth(json.loads((folder / "notebook.ipynb").read_text()), failed="c0", reason="SIGINT")


def test_execute_a_signal_before_the_first_cell_is_told(runner, write_notebook):
    """While the kernel still starts."""
    process, _, folder = runner(write_notebook("print('never')"))
    time.sleep(0.15)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=15)
    notebook = folder / "notebook.ipynb"

    if process.returncode == -signal.SIGTERM:
        assert not notebook.exists()
    else:
        assert json.loads(output.splitlines()[-1])[0] == "interrupted"
        assert set(marks(json.loads(notebook.read_text())).values()) <= {"not-run", "failed"}


def test_execute_a_killed_runner_takes_its_kernel_with_it_and_the_run_is_interrupted(
    runner, write_notebook, repository, runs_folder
):
    """SIGKILL leaves no time for anything; the ledger still tells."""
    cell = "import os, time\nopen('started', 'w').write(str(os.getpid()))\ntime.sleep(60)"
    process, run_id, folder = runner(write_notebook(cell, "print('never')"))
    pid = int(wait_for(repository / "started"))
    ledger = Ledger(f"sqlite:///{runs_folder / 'ledger.sqlite3'}")
    assert run_state(ledger, run_id) is RunState.RUNNING

    process.kill()
    process.wait()

    assert is_gone(pid, within_seconds=2.5)
    assert run_state(ledger, run_id) is RunState.INTERRUPTED
    assert marks(json.loads((folder / "notebook.ipynb").read_text())) == {"c0": "running", "c1": "pending"}
    ledger.close()


def test_execute_a_full_disk_keeps_the_last_whole_notebook_and_is_told(runner, write_notebook):
    """The cells run on; what could not be saved is not called saved."""
    process, _, folder = runner(write_notebook("print('small')", "print('x' * 60_000)", "1 + 1"), limit=20_000)
    output, errors = process.communicate(timeout=20)
    outcome, reason, _, _, saved = json.loads(output.splitlines()[-1])
    notebook = json.loads((folder / "notebook.ipynb").read_text())

    assert (outcome, saved, errors) == ("failed", False, "")
    assert "could not be saved: File too large" in reason
    assert "ended c2" in output
    assert marks(notebook)["c0"] == "completed"
    assert [path.name for path in folder.iterdir() if path.name.endswith(".tmp")] == []


def test_execute_where_nothing_can_be_saved_runs_nothing(begin, write_notebook, repository):
    """A change without a record must not begin."""
    source = write_notebook("open('ran', 'w').write('1')")
    run = begin()
    for path in run.folder.iterdir():
        path.unlink()
    run.folder.rmdir()

    with pytest.raises(ExecutionError, match="nothing was run"):
        execute_notebook(source, run, {})
    assert not (repository / "ran").exists()


def test_execute_something_that_is_no_notebook_runs_nothing(begin, write_notebook):
    """Half a file."""
    source = write_notebook("1")
    source.write_text('{"cells": [', encoding="utf-8")

    with pytest.raises(ExecutionError, match="is not a notebook"):
        execute_notebook(source, begin(), {})


def test_execute_a_folder_with_braces_is_a_folder(begin, write_notebook, tmp_path):
    """papermill would look for a parameter of that name."""
    run = begin(runs_folder=tmp_path / "{view}" / "runs", root=tmp_path)

    assert execute_notebook(write_notebook("1"), run, {}).outcome == "finished"


@pytest.mark.skipif(os.geteuid() == 0, reason="permissions do not hold root back")
def test_execute_into_a_read_only_folder_runs_nothing(begin, write_notebook, repository):
    """The same with a folder that is there."""
    run = begin()
    run.folder.chmod(0o500)

    with pytest.raises(ExecutionError, match="nothing was run"):
        execute_notebook(write_notebook("open('ran', 'w').write('1')"), run, {})
    assert not (repository / "ran").exists()


def test_execute_secrets_are_not_in_the_saved_notebook(execute, write_notebook):
    """In streams, results, errors and HTML."""
    cells = [
        "print('s3cr3t-pw')",
        "'redis://:s3cr3t-pw@h/1'",
        "from IPython.display import HTML\nHTML('<b>s3cr3t-pw</b>')",
        "raise ValueError('s3cr3' + 't-pw')",
    ]
    execution, notebook = execute(write_notebook(*cells), run={"secrets": ("s3cr3t-pw",)})
    outputs = json.dumps([cell["outputs"] for cell in notebook["cells"]])

    assert execution.reason == "ValueError: ***"
    assert "<b>***</b>" in outputs
    assert "s3cr3t-pw" not in outputs.replace(cells[3], "")


def test_execute_one_progress_display_leaves_one_output(execute, write_notebook):
    """Streams are joined, and an updated display is updated where it stands."""
    cell = (
        "from IPython.display import display\nh = display({'text/plain': '0'}, raw=True, display_id=True)\n"
        "for i in range(5):\n    h.update({'text/plain': str(i)}, raw=True)\n    print(i, flush=True)"
    )
    _, notebook = execute(write_notebook(cell))
    kinds = [output["output_type"] for output in notebook["cells"][0]["outputs"]]

    assert sorted(kinds) == ["display_data", "stream"]
    assert "4" in json.dumps(notebook["cells"][0]["outputs"][kinds.index("display_data")]["data"])


def test_execute_a_later_cell_updates_what_an_earlier_one_displayed(execute, write_notebook):
    """The verdict at the top is filled in at the end, whatever was printed around it, and keeps no secret."""
    first = (
        "import sys\nprint('a')\nprint('b', file=sys.stderr)\nprint('c')\n"
        "card = display({'text/plain': 'not reached'}, raw=True, display_id=True)\nprint('d')"
    )
    later = "card.update({'text/plain': 'FAIL s3cr3t-pw'}, raw=True)"
    execution, notebook = execute(write_notebook(first, later), run={"secrets": ("s3cr3t-pw",)})
    shown = ["".join(output.get("data", {}).get("text/plain", "")) for output in notebook["cells"][0]["outputs"]]

    assert execution.outcome == "finished"
    assert [line for line in shown if line] == ["FAIL ***"]
    assert text_of(notebook["cells"][0]) == "a\nc\n\nb\n\n\nd\n"


def test_execute_a_long_line_and_a_progress_bar_are_kept_in_no_time(execute, write_notebook):
    """Nbclient's own joining takes seconds for the one, and the other would be a hundred lines."""
    cells = ["print('x' * 300_000)", "for i in range(100):\n    print(f'\\r{i} %', end='', flush=True)"]
    started = time.monotonic()
    _, notebook = execute(write_notebook(*cells))

    assert time.monotonic() - started < 6
    assert len(text_of(notebook["cells"][0])) == 300_001
    assert text_of(notebook["cells"][1]) == "99 %"


def test_execute_a_long_silent_cell_is_saved_on_the_way(runner, write_notebook, monkeypatch):
    """Whoever looks into the file sees what it printed before it fell silent."""
    process, _, folder = runner(write_notebook("import time\nprint('first words', flush=True)\ntime.sleep(7)"))
    ends = time.monotonic() + 15
    while "first words" not in text_of(json.loads(wait_for(folder / "notebook.ipynb"))["cells"][0]):
        assert time.monotonic() < ends
        assert process.poll() is None
        time.sleep(0.1)
    process.terminate()
    process.communicate(timeout=15)


def test_skip_slow_imports_leaves_jsonschema_working():
    """The second that it saves is the only thing that is missing."""
    code = (
        "import sys; from runbooks_lib.startup import skip_slow_imports; skip_slow_imports(); skip_slow_imports()\n"
        "import jsonschema; jsonschema.validate({'a': 1}, {'properties': {'a': {'type': 'integer'}}})\n"
        "print(sys.modules['rfc3987_syntax'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "None\n"


def papermill(*arguments, cwd, program=(sys.executable, "-c", QUICK_PAPERMILL)):
    """Papermill's command line with our engine."""
    command = [*program, "--engine", "runbooks", "--no-progress-bar", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=60)


def test_papermill_with_the_engine_executes_at_the_root(write_notebook, repository, tmp_path):
    """``papermill --engine runbooks``: same kernel, same place, whole file."""
    source = write_notebook(
        code_cell("a = 1", cell_id="params", tags=("parameters",)), "import os; print(a, os.getcwd())"
    )
    done = papermill(source, "out.ipynb", "-p", "a", "5", cwd=repository / "notebooks", program=[PAPERMILL])
    notebook = json.loads((repository / "notebooks" / "out.ipynb").read_text())

    assert done.returncode == 0, done.stderr
    assert text_of(notebook["cells"][2]) == f"5 {repository}\n"
    assert set(marks(notebook).values()) == {"completed"}


@pytest.mark.parametrize(
    ("cell", "code"), [("1 / 0", 1), ("import sys; sys.exit(0)", 1), ("import os; os._exit(1)", 138)]
)
def test_papermill_with_the_engine_fails_where_the_notebook_did(write_notebook, repository, cell, code):
    """With papermill's own exit codes, and ``sys.exit(0)`` is not success."""
    done = papermill(write_notebook(cell, "2"), repository / "out.ipynb", cwd=repository)
    notebook = json.loads((repository / "out.ipynb").read_text())

    assert done.returncode == code, done.stderr
    assert marks(notebook) == {"c0": "failed", "c1": "not-run"}


def test_papermill_with_the_engine_and_a_cell_timeout(write_notebook, repository):
    """papermill's own option is honoured."""
    source = write_notebook("import time; time.sleep(60)", "2")
    done = papermill(source, repository / "out.ipynb", "--execution-timeout", "1", cwd=repository)

    assert done.returncode == 1
    assert_truth(json.loads((repository / "out.ipynb").read_text()), failed="c0", reason="longer than 1 s")
