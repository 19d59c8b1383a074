"""What executes a rollout unattended: each example names what exists, and takes exit codes as they are meant."""

import ast
import itertools
import json
import re
import shlex
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest
import yaml

from runbooks_lib.catalog import find
from runbooks_lib.changes import exit_code
from runbooks_lib.cli import make_parser
from runbooks_lib.config import load
from runbooks_lib.model import Status
from runbooks_lib.parameters import parse_assignments, parse_duration
from runbooks_lib.records.run_record import start_run
from runbooks_lib.running import Finished

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
UNATTENDED = EXAMPLES / "unattended.sh"
SILENT_CODES = (0, 10, 30)
TOLD_CODES = (2, 20, 40, 50)

sys.path.insert(0, str(EXAMPLES / "airflow"))
import runbook_verdict  # noqa: E402 - a module of the example, which Airflow finds beside its DAG


def crontab():
    """The assignments of the crontab, and its entries."""
    lines = (EXAMPLES / "cron/gradual_rollout.crontab").read_text(encoding="utf-8").splitlines()
    said = [line for line in lines if line.strip() and not line.startswith("#")]
    return [line for line in said if re.match(r"[A-Z_]+=", line)], [line for line in said if "* *" in line]


def unit(name):
    """A unit file; a key that occurs several times is joined with line breaks."""
    found = {}
    section = ""
    for line in (EXAMPLES / "systemd" / name).read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found[section, key] = "\n".join(filter(None, (found.get((section, key)), value)))
    return found


def manifests():
    """Kind → manifest."""
    documents = yaml.safe_load_all((EXAMPLES / "kubernetes/cronjob.yaml").read_text(encoding="utf-8"))
    return {document["kind"]: document for document in documents}


def pod():
    """The pod template's spec and its only container."""
    spec = manifests()["CronJob"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    return spec, container


def dag():
    """The DAG's source as a tree, and the keywords of its calls by the name that is called."""
    tree = ast.parse((EXAMPLES / "airflow/gradual_rollout_dag.py").read_text(encoding="utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return tree, {getattr(call.func, "id", ""): {k.arg: k.value for k in call.keywords} for call in calls}


def commands():
    """Example → the words after ``runbooks``."""
    (entry,) = crontab()[1]
    lines = {
        "cron": shlex.split(entry)[5:],
        "systemd": shlex.split(
            unit("gradual-rollout@.service")["Service", "ExecStart"].replace("%i", "ENHANCED_CACHE")
        ),
        "kubernetes": [*pod()[1]["command"], *pod()[1]["args"]],
        "unattended.sh": shlex.split(UNATTENDED.read_text(encoding="utf-8").splitlines()[3].lstrip("# ")),
    }
    return {name: words[[Path(word).name for word in words].index("runbooks") + 1 :] for name, words in lines.items()}


@pytest.mark.parametrize("example", ["cron", "systemd", "kubernetes", "unattended.sh"])
def test_example_command_names_an_existing_notebook_with_parameters_that_it_takes(example):
    """Parsed as the command line does it; ``auto`` within the environment that the repository configures."""
    arguments = make_parser().parse_args(commands()[example])
    entry = find(ROOT, arguments.name)
    values = parse_assignments(entry.parameters, arguments.parameter, load(ROOT / "runbooks.toml").environment_names)

    assert entry.path == ROOT / "notebooks/deployment/gradual_rollout.ipynb"
    assert arguments.environment == "production"
    assert values == {"feature": "ENHANCED_CACHE", "confirm": "auto"}


def test_airflow_dag_names_an_existing_notebook_with_parameters_that_it_takes():
    """Without Airflow: read as source. It is never retried, never run twice at once, and what was missed is left out."""
    tree, calls = dag()
    task, graph = calls["RunbookOperator"], calls["DAG"]
    named = [node.value for node in ast.walk(task["input_nb"]) if isinstance(node, ast.Constant)]
    given = ast.literal_eval(task["parameters"])
    entry = find(ROOT, "gradual_rollout")

    assert [ROOT / name for name in named] == [entry.path]
    assert set(given) <= {parameter.name for parameter in entry.parameters}
    assert given == {"environment": "production", "feature": "ENHANCED_CACHE", "confirm": "auto"}
    assert ast.literal_eval(task["retries"]) == 0
    assert (ast.literal_eval(graph["max_active_runs"]), ast.literal_eval(graph["catchup"])) == (1, False)
    assert compile(tree, "gradual_rollout_dag.py", "exec")


def test_examples_agree_on_when_the_rollout_is_executed():
    """Four times an hour on all engines: five fields, and the same minutes in the words of systemd."""
    (entry,) = crontab()[1]
    fields = entry.split()[:5]
    minutes = [int(minute) for minute in fields[0].split(",")]
    first, step = map(
        int, re.fullmatch(r"\*:(\d\d)/(\d\d)", unit("gradual-rollout@.timer")["Timer", "OnCalendar"]).groups()
    )

    assert fields[1:] == ["*"] * 4
    assert manifests()["CronJob"]["spec"]["schedule"] == " ".join(fields)
    assert ast.literal_eval(dag()[1]["DAG"]["schedule"]) == " ".join(fields)
    assert minutes == list(range(first, 60, step))


def test_crontab_holds_no_secret_and_ends_in_a_line_break():
    """cron ignores a last line without one; passwords stand in a file of their own."""
    assignments, _ = crontab()
    names = [line.partition("=")[0] for line in assignments]

    assert (EXAMPLES / "cron/gradual_rollout.crontab").read_text(encoding="utf-8").endswith("\n")
    assert {"MAILTO", "RUNBOOKS_CONFIG", "RUNBOOKS_OPERATOR", "RUNBOOKS_SECRETS"} <= set(names)
    assert not [name for name in names if re.search("PASSWORD|TOKEN|URL", name)]


def test_systemd_service_takes_exit_codes_as_meant_and_outlives_the_notebook():
    """As ``unattended.sh`` says; the notebook's own time limit ends it first, and its kernel gets no signal."""
    service = unit("gradual-rollout@.service")
    limit = parse_duration(service["Service", "TimeoutStartSec"].removesuffix("in"))

    assert service["Service", "Type"] == "oneshot"
    assert service["Service", "ExecStart"].split()[0] == "/opt/runbooks/examples/unattended.sh"
    assert ("Service", "SuccessExitStatus") not in service
    assert service["Service", "KillMode"] == "mixed"
    assert service["Service", "User"] == "runbooks"
    assert limit > parse_duration(make_parser().parse_args(["run", "x"]).timeout)
    assert "PASSWORD" not in service["Service", "Environment"]
    assert service["Service", "EnvironmentFile"].startswith("/etc/")


def test_systemd_timer_catches_up_once_and_can_be_enabled():
    """What was missed while the machine was off is one execution."""
    timer = unit("gradual-rollout@.timer")

    assert timer["Timer", "Persistent"] == "true"
    assert timer["Install", "WantedBy"] == "timers.target"


def test_kubernetes_cronjob_never_overlaps_never_repeats_and_runs_with_few_rights():
    """Level-triggered: the next execution is the retry."""
    spec, (template, container) = manifests()["CronJob"]["spec"], pod()
    job = spec["jobTemplate"]["spec"]

    assert (spec["concurrencyPolicy"], job["backoffLimit"], template["restartPolicy"]) == ("Forbid", 0, "Never")
    assert 0 < spec["startingDeadlineSeconds"] < 900
    assert job["activeDeadlineSeconds"] > parse_duration(make_parser().parse_args(["run", "x"]).timeout)
    assert template["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert {"requests", "limits"} <= set(container["resources"])


def test_kubernetes_volumes_and_references_exist():
    """Each mount has its volume, each reference its object; the secret alone is made beside the file."""
    found, (template, container) = manifests(), pod()
    volumes = {volume["name"]: volume for volume in template["volumes"]}

    assert {mount["name"] for mount in container["volumeMounts"]} == set(volumes)
    assert volumes["config"]["configMap"]["name"] == found["ConfigMap"]["metadata"]["name"]
    assert volumes["runs"]["persistentVolumeClaim"]["claimName"] == found["PersistentVolumeClaim"]["metadata"]["name"]
    assert template["serviceAccountName"] == found["ServiceAccount"]["metadata"]["name"]
    assert found["RoleBinding"]["roleRef"]["name"] == found["Role"]["metadata"]["name"]
    assert "Secret" not in found
    assert not [item for item in container["env"] if re.search("PASSWORD|TOKEN|URL", item["name"])]


def test_kubernetes_configuration_is_one_that_the_library_reads(tmp_path):
    """With the variables that README.md lists as secrets, and with no other; the ledger is PostgreSQL."""
    text = manifests()["ConfigMap"]["data"]["runbooks.toml"]
    named = set(re.findall(r"\$\{(\w+)\}", text))
    (tmp_path / "runbooks.toml").write_text(text, encoding="utf-8")
    configuration = load(
        tmp_path / "runbooks.toml", {name: "json://host" if name.endswith("_URL") else "made-up" for name in named}
    )

    assert configuration.environment("production").protected
    assert not configuration.environment("production").allow_auto
    assert configuration.ledger_url.startswith("postgresql+psycopg://")
    assert len(configuration.notify.on_call) == 1
    assert set(tomllib.loads(text)) == {"environments", "contacts", "notify", "ledger"}
    readme = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert named <= set(re.findall(r"`([A-Z_]+)`", readme))


def test_readme_names_every_file_of_the_examples():
    """And no file that is not there."""
    readme = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    files = {
        str(path.relative_to(EXAMPLES)) for path in EXAMPLES.rglob("*") if path.is_file() and path.suffix != ".pyc"
    }

    assert set(re.findall(r"\]\(([^):]+)\)", readme)) >= files - {"README.md"}
    assert all((EXAMPLES / name).exists() for name in re.findall(r"\]\(([^):#]+)\)", readme))


def run_unattended(tmp_path, script, **variables):
    """Execute a shell script by ``unattended.sh``."""
    return subprocess.run(
        [str(UNATTENDED), "/bin/sh", "-c", script],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
        env={"PATH": "/usr/bin:/bin", "TMPDIR": str(tmp_path), **variables},
    )


@pytest.mark.parametrize("code", SILENT_CODES)
def test_unattended_with_nothing_for_a_person_is_silent_and_succeeds(tmp_path, code):
    """The log has it all the same."""
    log = tmp_path / "log"
    done = run_unattended(tmp_path, f"echo holds; exit {code}", RUNBOOKS_LOG=str(log))

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert re.fullmatch(rf"\d{{4}}-\d\d-\d\dT[\d:]{{8}}Z  exit {code}\nholds\n", log.read_text(encoding="utf-8"))


@pytest.mark.parametrize("code", [*TOLD_CODES, 1, 137])
def test_unattended_when_a_person_should_look_shows_it_and_fails(tmp_path, code):
    """Both streams of the command, and its own exit code; nothing is left in the temporary folder."""
    done = run_unattended(tmp_path, f"echo 'FAIL $HOME'; echo why >&2; exit {code}")

    assert done.returncode == code
    assert done.stdout == "FAIL $HOME\nwhy\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("outcome", ["failed", "timed_out"])
def test_unattended_shows_an_execution_that_died(tmp_path, ledger, outcome):
    """It is 30 like one that sees nothing, but no look was judged, so the rollout itself never calls a person."""
    run = start_run(ledger=ledger, runs_folder=tmp_path / "runs", runbook="gradual_rollout", environment="site")
    died = Finished(run, outcome, "the kernel died", None).text(record="runs/x")
    (tmp_path / "said").write_text(died, encoding="utf-8")
    done = run_unattended(tmp_path, f"cat {tmp_path}/said; exit 30", RUNBOOKS_LOG=str(tmp_path / "log"))

    assert (done.returncode, done.stdout) == (30, died)


def test_unattended_takes_secrets_from_a_file_and_shows_none(tmp_path):
    """They reach the command; a file that is not there is told, and nothing is executed."""
    secrets = tmp_path / "production.env"
    secrets.write_text("A_PASSWORD='p w$(id)\"'\n", encoding="utf-8")
    given = run_unattended(tmp_path, 'printf %s "$A_PASSWORD" >"$TMPDIR/got"', RUNBOOKS_SECRETS=str(secrets))
    missing = run_unattended(tmp_path, "echo executed", RUNBOOKS_SECRETS=str(tmp_path / "nothing.env"))

    assert (given.returncode, given.stdout) == (0, "")
    assert (tmp_path / "got").read_text(encoding="utf-8") == 'p w$(id)"'
    assert missing.returncode == 2
    assert "executed" not in missing.stdout


def test_unattended_that_is_told_to_stop_hands_the_signal_on_and_waits(tmp_path):
    """A drained node stops the notebook in an orderly way instead of killing it with its shell."""
    script = "trap 'echo stopped in order; exit 20' TERM; echo ready >\"$TMPDIR/ready\"; while :; do sleep 0.05; done"
    process = subprocess.Popen(
        [str(UNATTENDED), "/bin/sh", "-c", script],
        stdout=subprocess.PIPE,
        text=True,
        env={"PATH": "/usr/bin:/bin", "TMPDIR": str(tmp_path)},
    )
    ends = time.monotonic() + 10
    while not (tmp_path / "ready").exists() and time.monotonic() < ends:
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=10)

    assert process.returncode == 20
    assert out == "stopped in order\n"


@pytest.mark.parametrize("status", [None, *Status])
def test_airflow_verdict_gives_the_exit_code_that_the_command_line_gives(status):
    """For every verdict and every pair of actions: Airflow's environment has no library of ours to ask."""
    for codes in itertools.product([None, 0, 10, 30, 40, 50], repeat=2):
        actions = [{"exit_code": code} for code in codes if code is not None]
        record = {"outcome": "finished", "verdict": status and {"status": status.value}, "actions": actions}
        expected = exit_code(status.exit_code if status else 30, actions)
        assert runbook_verdict.exit_code(record) == expected, record
        assert runbook_verdict.exit_code({**record, "outcome": "failed"}) == exit_code(30, actions)


def test_airflow_verdict_finds_the_run_in_the_words_of_the_closing_cell(tmp_path):
    """What ``show_closing`` says is what is looked for; a notebook that died names none."""
    from runbooks_lib.model import Verdict
    from runbooks_lib.presentation.display import show_closing
    from runbooks_lib.units import now

    verdict = Verdict("gradual_rollout", "production", now(), Status.OK, "holds")
    text = show_closing(verdict, tmp_path / "runs" / "a b" / "report.html").text
    cell = {"cell_type": "code", "outputs": [{"output_type": "execute_result", "data": {"text/plain": text}}]}
    (tmp_path / "done.ipynb").write_text(json.dumps({"cells": [{"cell_type": "markdown"}, cell]}), encoding="utf-8")
    (tmp_path / "died.ipynb").write_text(json.dumps({"cells": [{**cell, "outputs": []}]}), encoding="utf-8")

    assert runbook_verdict.run_folder(tmp_path / "done.ipynb") == tmp_path / "runs" / "a b"
    assert runbook_verdict.run_folder(tmp_path / "died.ipynb") is None
