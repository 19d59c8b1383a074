"""``runbooks checklist`` as people use it; and what it rests on that needs processes: the site's tests, its routes."""

import json
import sys
import textwrap

import pytest
from change_fixtures import ChangePlace
from sources_fixtures import SocketServer, site_environment

from runbooks_lib.checklist import ItemStatus
from runbooks_lib.errors import RefusedError, SourceError
from runbooks_lib.judgement.deployment.during import judge_tests
from runbooks_lib.records.checklists import Checklists, Who
from runbooks_lib.records.ledger import Ledger
from runbooks_lib.sources.site.manage_test import run_site_tests
from runbooks_lib.sources.site.routes import routes_by_root

RELEASE = "2026-11-23"
TOML = """
[environments.staging]
redis_url = "redis://127.0.0.1:1/1"
prometheus_url = "http://127.0.0.1:9"
site_url = "http://127.0.0.1:9"

[environments.production]
redis_url = "redis://127.0.0.2:1/1"
prometheus_url = "http://127.0.0.2:9"
site_url = "http://127.0.0.2:9"
protected = true
"""


@pytest.fixture
def place(workplace):
    """A workplace with a staging site and a protected one, neither of which is there."""
    (workplace.folder / "runbooks.toml").write_text(TOML, encoding="utf-8")
    return ChangePlace(workplace.folder, workplace.variables)


def ledger_of(place):
    """The ledger that the command writes."""
    return Ledger(f"sqlite:///{place.folder / 'runs' / 'ledger.sqlite3'}")


def test_checklist_is_shown_signed_waived_and_taken_over_by_somebody_else(place):
    """Open at first; Anna signs, Ben waives, Cleo sees both, with accounts and history; the ledger verifies."""
    empty = place.call("checklist", RELEASE, "-e", "production")
    assert empty.returncode == 10, empty.stderr
    assert empty.stdout.startswith(f"CHECKLIST  {RELEASE} · production (protected) · 0 of 13 done, 13 open")
    assert f"runbooks run pre_deployment --environment production -p release={RELEASE}" in empty.stdout

    sign = ("checklist", RELEASE, "-e", "production", "--sign")
    signed = place.call(*sign, "deploy.staging", "--by", "Anna Ng", "--note", "build 812", RUNBOOKS_OPERATOR="anna")
    waive = ("pre.backup", "--by", "Ben Li", "--waive", "the cache is empty")
    waived = place.call(*sign, *waive, RUNBOOKS_OPERATOR="ben")
    assert (signed.returncode, waived.returncode) == (0, 0), signed.stderr + waived.stderr
    assert signed.stdout.startswith(f"Signed: deploy.staging of {RELEASE} on production, by Anna Ng, from ")
    assert waived.stdout.startswith("Waived, which is not done: pre.backup")

    shown = place.call("checklist", RELEASE, "-e", "production", RUNBOOKS_OPERATOR="cleo")
    assert shown.returncode == 10
    assert "1 of 13 done, 1 waived, 11 open" in shown.stdout
    assert "WAIVED by Ben Li from " in shown.stdout
    assert "signed by Anna Ng from " in shown.stdout
    assert "(uid " in shown.stdout
    history = place.call("checklist", RELEASE, "-e", "production", "--history").stdout.splitlines()
    assert [line.split("  ")[1] for line in history] == ["deploy.staging", "pre.backup"]
    assert place.call("checklist", "-e", "production").stdout == f"{RELEASE}\n"
    assert "checklist 2026-11-23: deploy.staging done (signed) by Anna Ng: build 812" in place.call("log").stdout
    assert place.call("verify").returncode == 0


def test_checklist_sign_of_a_measured_item_is_refused_and_nothing_is_written(place):
    """40, the notebook that measures it, and no event."""
    done = place.call(
        "checklist", RELEASE, "-e", "staging", "--sign", "deploy.tests", "--by", "Anna Ng", "--note", "ran"
    )
    assert done.returncode == 40
    assert "deploy.tests is measured, by the notebook deployment" in done.stderr
    assert place.ledger_rows("checklist.item") == []


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("a b", "-e", "staging"), 2, "release is 'a b'"),
        (("$(id)\x1b[2J", "-e", "staging", "--sign", "deploy.staging", "--by", "Anna"), 2, "release is '$(id) [2J'"),
        ((RELEASE,), 2, "which environment?"),
        ((RELEASE, "-e", "nowhere"), 2, "environment 'nowhere' is not in"),
        ((RELEASE, "-e", "staging", "--sign", "pre.coffee", "--by", "Anna"), 2, "no item 'pre.coffee'"),
        ((RELEASE, "-e", "staging", "--sign", "deploy.staging"), 2, "who signs?"),
        ((RELEASE, "-e", "staging", "--sign", "deploy.staging", "--by", "\u200b"), 40, "no name of a person"),
        ((RELEASE, "-e", "staging", "--note", "x"), 2, "which item?"),
        (("-e", "staging", "--sign", "deploy.staging", "--by", "Anna"), 2, "which release?"),
        ((RELEASE, "-e", "staging", "--sign", "deploy.staging", "--by", "Anna", "--failed"), 2, "say what was seen"),
        ((RELEASE, "-e", "staging", "--sign", "pre.flag", "--by", "A", "--waive", " "), 2, "for a reason only"),
    ],
)
def test_checklist_that_cannot_be_carried_out_says_what_is_missing_and_writes_nothing(place, arguments, code, words):
    """Each names the thing, its value, and the next step."""
    done = place.call("checklist", *arguments)
    assert (done.returncode, words in done.stderr) == (code, True), done.stderr
    assert "Next: " in done.stderr
    assert place.ledger_rows("checklist.item") == []


def test_checklist_as_json_holds_status_evidence_and_both_sides_of_a_contradiction(place):
    """For machines: exit code 20 once something failed, after it had been done."""
    checklists = Checklists(ledger_of(place), "staging")
    who = Who("anna", "run-1")
    checklists.measured(
        RELEASE, "pre.flag", status=ItemStatus.DONE, text="gradual at 0 %", who=who, values={"percentage": 0}
    )
    checklists.measured(RELEASE, "pre.flag", status=ItemStatus.FAILED, text="it is on", who=who)

    done = place.call("checklist", RELEASE, "-e", "staging", "--json")

    found = json.loads(done.stdout)
    (flag,) = [item for item in found["items"] if item["item"] == "pre.flag"]
    assert (done.returncode, found["status"], flag["status"]) == (20, "FAIL", "failed")
    assert (flag["entry"]["text"], flag["against"]["values"]) == ("it is on", {"percentage": 0})
    assert flag["measured_by"] == "pre_deployment"


def test_checklist_under_a_mistyped_name_names_the_others(place):
    """Nobody begins a second checklist unnoticed."""
    Checklists(ledger_of(place), "staging").sign(RELEASE, "deploy.staging", by="Anna", note="", who=Who("anna", "r"))
    done = place.call("checklist", "2026-11-32", "-e", "staging")
    assert "Nothing was written under this name yet; others are: 2026-11-23" in done.stdout


def test_checklist_with_a_ledger_that_cannot_be_read_is_30(place):
    """A folder in its place: nothing is shown as open that may be done."""
    (place.folder / "runs" / "ledger.sqlite3").mkdir(parents=True)
    done = place.call("checklist", RELEASE, "-e", "staging")
    assert (done.returncode, done.stdout) == (30, "")


# The site's tests


@pytest.fixture
def site(tmp_path):
    """Makes an environment whose ``manage.py`` is this program; it is given the words after its own name."""

    def make(program, **keys):
        path = tmp_path / "manage.py"
        path.write_text(textwrap.dedent(program), encoding="utf-8")
        return site_environment(root=tmp_path, manage=(sys.executable, "-S", str(path)), **keys)

    return make


UNITTEST = """
    import sys, unittest
    print("12 objects imported automatically")
    class T(unittest.TestCase):
        def test_a(self): self.assertEqual(sys.argv[1], "test")
        def test_b(self): self.assertEqual(sys.argv[2:], {labels!r})
        @unittest.skip("later")
        def test_c(self): pass
    unittest.main(argv=["manage.py"])
"""


def test_run_site_tests_counts_what_ran_failed_and_was_skipped(site):
    """Real unittest, once green, once with a failure; the labels arrive as words."""
    green = run_site_tests(site(UNITTEST.format(labels=["a.b"])), ("a.b",), timeout_seconds=30)
    assert (green.exit_code, green.ran_count, green.failures_count, green.skipped_count) == (0, 3, 0, 1)
    assert green.last_lines[-1] == "OK (skipped=1)"
    assert judge_tests(green).status is ItemStatus.DONE

    red = run_site_tests(site(UNITTEST.format(labels=["other"])), ("a.b",), timeout_seconds=30)
    assert (red.exit_code, red.ran_count, red.failures_count) == (1, 3, 1)
    assert judge_tests(red).text.startswith("exit code 1, 3 tests in ")


@pytest.mark.parametrize(
    ("program", "status", "words"),
    [
        ("import time; time.sleep(60)", ItemStatus.UNKNOWN, "did not come to their end: it took over 1 s"),
        ("", ItemStatus.UNKNOWN, "exit code 0, no count of tests"),
        (
            "import sys; sys.exit('Ran 3 tests in 1s but then the database went')",
            ItemStatus.FAILED,
            "exit code 1, 3 tests",
        ),
        ("import sys; sys.stderr.write('Ran 0 tests in 0.0s\\n\\nOK\\n')", ItemStatus.FAILED, "none passed"),
        ("import os; os.kill(os.getpid(), 9)", ItemStatus.FAILED, "exit code -9"),
        ("import sys; sys.stdout.write('Ran 5 tests in 1s\\r\\n\\r\\nOK\\r\\n')", ItemStatus.DONE, "5 tests passed"),
        ("import sys; sys.stdout.buffer.write(b'\\xff\\xfe' * 9); sys.exit(3)", ItemStatus.FAILED, "exit code 3"),
        ("input('Type yes to delete the database: ')", ItemStatus.FAILED, "exit code 1"),
    ],
    ids=["hangs", "says nothing", "dies after a count", "no tests", "killed", "all on stdout", "bytes", "asks"],
)
def test_run_site_tests_that_end_badly_are_not_done(site, program, status, words):
    """A runner that hangs, lies, dies or asks; nothing is left running."""
    result = judge_tests(run_site_tests(site(program), timeout_seconds=1 if "sleep" in program else 30))
    assert (result.status, words in result.text) == (status, True), result.text


def test_run_site_tests_keeps_last_lines_without_secrets_and_control_characters(site):
    """They stand in the ledger and in notebooks."""
    program = "import sys; sys.stderr.write('\\x1b[31mpassword hunter22\\nRan 1 test in 0.1s\\nFAILED (errors=1)\\n'); sys.exit(1)"
    run = run_site_tests(site(program, secrets=("hunter22",)), timeout_seconds=30)
    assert run.last_lines == ("[31mpassword ***", "Ran 1 test in 0.1s", "FAILED (errors=1)")


def test_run_site_tests_on_a_protected_environment_are_refused_and_nothing_is_started(site, tmp_path):
    """The test runner makes databases where it runs."""
    program = f"open({str(tmp_path / 'started')!r}, 'w').close()"
    with pytest.raises(RefusedError, match="is protected, and the test runner makes databases"):
        run_site_tests(site(program, protected=True), timeout_seconds=5)
    assert not (tmp_path / "started").exists()


@pytest.mark.parametrize("manage", [(), ("/nonexistent/python", "manage.py")])
def test_run_site_tests_without_a_manage_that_starts_is_an_error_with_a_hint(tmp_path, manage):
    """Not configured, or not there."""
    with pytest.raises(SourceError) as error:
        run_site_tests(site_environment(root=tmp_path, manage=manage), timeout_seconds=5)
    assert error.value.hint


# Routes


def serving(body, head="HTTP/1.1 200 OK"):
    """A server that answers everything with this."""

    def handler(connection, _):
        data = body.encode()
        connection.sendall(f"{head}\r\nContent-Length: {len(data)}\r\nConnection: close\r\n\r\n".encode() + data)

    return SocketServer(handler)


@pytest.mark.parametrize(
    ("body", "routes"),
    [
        ('{"courses": "%s/api/courses/", "users": "/api/users/?page=1"}', ("/api/courses/", "/api/users/")),
        (
            '{"evil": "http://evil.example/x", "odd": ["/x"], "no": null, "rel": "x", "two": "//evil/x", "nl": "/a\\nb"}',
            (),
        ),
        ("[1, 2]", ()),
        ("<html>", ()),
        ("{" * 5000, ()),
    ],
)
def test_routes_by_root_are_those_of_this_site_only(body, routes):
    """Whatever the root of the API lists."""
    server = serving("")
    server.handler = serving(body % server.url if "%s" in body else body).handler
    try:
        assert routes_by_root(site_environment(site_url=server.url)) == routes
    finally:
        server.close()
    assert routes_by_root(site_environment()) == ()
