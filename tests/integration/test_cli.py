"""The command line: answers, exit codes, and messages that say what to do."""

import json
import re
import signal
import subprocess
import time

import pytest
from sandbox_fixtures import eventually, vitals_now
from workplace_fixtures import RUNBOOKS


def test_cli_triage_of_a_healthy_site_prints_the_verdict_and_exits_zero(at_sandbox):
    """With its record, its report, and a ledger that verifies."""
    done = at_sandbox.run("triage", "--environment", "sandbox")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("OK · sandbox · ")
    assert re.search(r"(?m)^Record +runs/\d{4}-\d\d-\d\d/\d{4}-triage-[0-9a-f]{4}/report.html$", done.stdout)
    assert "\x1b" not in done.stdout
    assert at_sandbox.run("verify").returncode == 0


def test_cli_triage_json_is_the_same_verdict_for_machines(at_sandbox):
    """Stable ids, statuses, values in base units."""
    done = at_sandbox.run("triage", "--environment", "sandbox", "--json")
    verdict = json.loads(done.stdout)
    assert done.returncode == 0
    assert verdict["status"] == "OK"
    assert verdict["time_scale"] == 60
    findings = {finding["id"]: finding for finding in verdict["findings"]}
    assert 0.8 < findings["cache.hit_rate"]["value"] <= 1
    assert findings["cache.penetration"]["unit"] == "ratio"


@pytest.mark.breaks_site
def test_cli_triage_during_a_penetration_attack_says_how_much_reaches_the_database(at_sandbox, healthy_sandbox):
    """FAIL, with both rates in the likely cause."""
    healthy_sandbox.inject("penetration_attack")
    eventually(lambda: (vitals_now(healthy_sandbox, window_seconds=15).penetration_ratio or 0) > 0.25, seconds=30)
    done = at_sandbox.run("triage", "--environment", "sandbox")
    assert done.returncode == 20, done.stdout
    assert re.search(r"FAIL +penetration +[2-9]\d\.\d % +warning > 10 %, critical > 20 %", done.stdout), done.stdout
    assert "clients ask for resources that do not exist" in done.stdout


@pytest.mark.breaks_site
def test_cli_triage_with_redis_down_is_severity_one_once_it_has_lasted(at_sandbox, healthy_sandbox):
    """Over 5 s here (5 min at time scale 60): the site itself confirms it."""
    healthy_sandbox.inject("redis_down")
    time.sleep(14)
    done = at_sandbox.run("triage", "--environment", "sandbox")
    assert done.returncode == 20, done.stdout
    assert re.match(
        r"FAIL · severity 1 · sandbox · \S+ · cache down, no hit for [\d.]+ s: the site does not reach Redis",
        done.stdout,
    )
    assert "runbooks run incident_response --environment sandbox -p step=respond" in done.stdout


def test_cli_triage_without_prometheus_falls_back_to_two_scrapes_and_says_so(at_sandbox):
    """Degraded, and never OK: alerts and history could not be read."""
    done = at_sandbox.run("triage", "--environment", "sandbox", SANDBOX_PROMETHEUS_PORT="9")
    # WARN where the site still remembers the fault of the test before: its health looks back for minutes.
    assert done.returncode in {10, 30}, done.stdout
    assert re.search(r"OK +hit rate +\d\d\.\d %", done.stdout), done.stdout
    assert "two scrapes of /metrics were used, because Prometheus gave no lookups" in done.stdout
    assert re.search(r"\? +alerts", done.stdout)


def test_cli_triage_with_everything_down_ends_in_under_ten_seconds(nowhere):
    """Severity 1, what could not be read, and what to do."""
    started = time.monotonic()
    done = nowhere.run("triage", "--environment", "sandbox")
    assert time.monotonic() - started < 10
    assert done.returncode == 20
    assert "severity 1" in done.stdout.splitlines()[0]
    assert "Not read" in done.stdout
    assert "on-call@example.com" in done.stdout


def test_cli_triage_when_the_ledger_cannot_be_written_still_answers_and_says_so(at_sandbox):
    """At three in the morning the answer matters more than the record."""
    path = at_sandbox.folder / "runbooks.toml"
    text = path.read_text(encoding="utf-8")
    path.write_text(f'{text}\n[ledger]\nurl = "postgresql+psycopg://u:sup3rsecret@127.0.0.1:9/x"\n', encoding="utf-8")
    done = at_sandbox.run("triage", "--environment", "sandbox")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "NOT in the ledger" in done.stdout
    assert "sup3rsecret" not in done.stdout + done.stderr


def test_cli_triage_in_an_ascii_terminal_still_gives_the_verdict(nowhere):
    """A sign that cannot be shown becomes a question mark."""
    done = nowhere.run("triage", "--environment", "sandbox", PYTHONIOENCODING="ascii")
    assert done.returncode == 20, done.stderr
    assert "severity 1" in done.stdout.splitlines()[0]
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("reads", [True, False])
def test_cli_triage_whose_reader_leaves_keeps_exit_code_and_record(nowhere, reads):
    """``runbooks triage | head -1``, and a reader that never reads at all."""
    process = subprocess.Popen(
        [RUNBOOKS, "triage", "--environment", "sandbox"],
        cwd=nowhere.folder,
        env=nowhere.variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    if reads:
        assert b"severity 1" in process.stdout.readline()
    process.stdout.close()
    error = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=30) == 20, error
    assert error == b""
    (record,) = nowhere.records()
    assert record["outcome"] == "finished"


def test_cli_triage_with_a_malformed_url_is_a_configuration_error(nowhere):
    """Exit code 2 with the key, before anything is asked."""
    done = nowhere.run("triage", "--environment", "sandbox", SANDBOX_PROMETHEUS_PORT="abc")
    assert done.returncode == 2, done.stdout
    assert "prometheus_url" in done.stderr
    assert "Traceback" not in done.stderr


def test_cli_list_names_every_runbook_with_its_purpose(workplace):
    """By group."""
    done = workplace.run("list")
    assert done.returncode == 0
    assert re.search(r"(?m)^incident/\n(?:  .*\n)*  triage +\S", done.stdout)


def test_cli_show_prints_parameters_with_what_they_may_be(workplace):
    """Even for an environment whose variables are not set."""
    done = workplace.run("show", "triage")
    assert done.returncode == 0
    assert "environment = 'sandbox'" in done.stdout
    assert "sandbox, staging, production" in done.stdout
    assert "runbooks run triage" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", "triag"), "did you mean triage"),
        (("show", "nothing_like_it"), "runbooks list"),
        (("triage", "--environment", "mars"), "sandbox, staging, production"),
        (("triage", "--environment", "production"), "PRODUCTION_REDIS_PASSWORD"),
        (("triage", "--environment", "sandbox"), "make sandbox"),
        (("triage", "--window", "soon"), "duration"),
        (("triage", "--window", "9" * 5_000 + "m"), "duration"),
        (("triage", "--window", "999999999d"), "duration"),
        (("run", "triage", "--timeout", "never"), "duration"),
        (("verify", "no-such-run"), "no-such-run"),
        (("triage", "--config", "/nonexistent/runbooks.toml"), "does not exist"),
    ],
)
def test_cli_with_a_mistake_says_what_it_is_and_exits_two(workplace, arguments, message):
    """No traceback, and the next step."""
    done = workplace.run(*arguments)
    assert done.returncode == 2, done.stdout + done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_cli_as_a_module_is_the_same_command(workplace):
    """``python -m runbooks_lib``."""
    import sys

    done = subprocess.run(
        [sys.executable, "-m", "runbooks_lib", "list"],
        cwd=workplace.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    assert "triage" in done.stdout


@pytest.mark.any_health
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_cli_run_that_is_interrupted_leaves_a_report_that_says_so(by_sandbox, number):
    """Red at the top; the exit code is UNKNOWN's; the record verifies."""
    process = subprocess.Popen(
        [RUNBOOKS, "run", "triage", "--environment", "sandbox"],
        cwd=by_sandbox.folder,
        env=by_sandbox.variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 20
    while not list(by_sandbox.folder.glob("runs/*/*/notebook.ipynb")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 30, out + err
    assert "did not come to its end (interrupted)" in out
    page = (by_sandbox.run_folder() / "report.html").read_text(encoding="utf-8")
    assert "INTERRUPTED before its end" in page
    assert by_sandbox.run("verify").returncode == 0
