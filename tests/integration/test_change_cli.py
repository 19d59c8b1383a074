"""``runbooks change``, ``check``, ``locks``, ``unlock`` and ``log`` on a real Redis: plans, exit codes, and what a kill leaves."""

import contextlib
import json
import os
import re
import shlex
import signal
import subprocess
import time

import pytest
from builders import HOSTILE
from change_fixtures import PATTERN
from workplace_fixtures import RUNBOOKS

#: As a shell starts what stands before an ``&`` in a script.
IGNORING_INTERRUPTS = ("sh", "-c", "trap '' INT; exec \"$@\"", "sh")
CLEAR = ("change", "clear_pattern", "-e", "site", *PATTERN)


def begun(place, *, background=False):
    """A change that has been written down and is being made."""
    start = (*(IGNORING_INTERRUPTS if background else ()), RUNBOOKS, *CLEAR, "--confirm")
    return place.in_the_middle_of(lambda: (*start, place.plan("site")))


def killed_in_the_middle(place, number=signal.SIGKILL):
    """A change that ends between its two entries in the ledger, by a signal. Its action id, exit code and output."""
    process = begun(place)
    # The server answers nothing from here on: the write is sent, and nobody can tell whether it was carried out.
    place.redis.freeze()
    time.sleep(0.1)
    process.send_signal(number)
    if number != signal.SIGKILL:
        place.redis.thaw()
    out, err = process.communicate(timeout=60)
    place.redis.thaw()
    ((action_id, _),) = place.ledger_rows("action.intended")
    return action_id, process.returncode, out, err


def test_change_without_an_action_lists_all_with_what_each_needs(unread):
    """One line each, no environment needed."""
    done = unread.call("change")

    assert done.returncode == 0, done.stderr
    assert re.search(r"(?m)^  set_percentage +Serve a feature.*\(feature percentage\)$", done.stdout)
    assert re.search(r"(?m)^  clear_pattern +\S", done.stdout)


def test_change_without_its_parameters_says_what_it_takes(unread):
    """Help and a usage error; nothing is opened."""
    done = unread.call("change", "set_percentage", "-e", "sandbox")

    assert done.returncode == 2
    assert "percentage (int, required)\n      0..100, whole." in done.stdout
    assert "set_percentage needs feature, percentage" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("change", "clear_patern", "-p", "pattern=a"), "did you mean clear_pattern"),
        (("change", "clear_pattern", "-p", "pattern=a"), "which environment?"),
        (("change", "clear_pattern", "-p", "pattern"), "not of the form name=value"),
        (("change", "clear_pattern", "-p", "pattern=a", "-p", "pattern=b"), "given twice"),
        (("change", "set_percentage", "-p", "feature=A", "-p", "percentage=x"), "set_percentage: "),
        (("change", "clear_pattern", "-p", "pattern=a", "-e", HOSTILE), "choose one of"),
        (("log", "--since", "yesterday"), "is not a time"),
        (("log", "--since", "0001-01-01T00:00+14:00"), "is not a time"),
        (("log", "--since", "1h", "--until", "2h"), "is not before"),
        (("log", "--limit", "0"), "--limit 0"),
        (("approve", "9c1f-77ab-03de"), "which environment?"),
        (("approve", "9c1f-77ab-03de", "-e", "sandbox", "--expires", "48h"), "--expires 48h is over 1 h"),
        (("check", "no-such-action"), "there is no action no-such-action"),
        (("locks", "-e", "mars"), "choose one of"),
    ],
)
def test_change_command_with_a_mistake_says_what_it_is_and_exits_two(unread, arguments, message):
    """Nothing is started, nothing is contacted, no traceback."""
    done = unread.call(*arguments)

    assert done.returncode == 2, done.stdout + done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert "\x1b" not in done.stderr
    assert not (unread.folder / "runs").exists()


def test_change_is_a_dry_run_until_it_is_confirmed_and_is_applied_once(changeable):
    """Plan, the line that it shows, the same line again."""
    planned = changeable.run(*CLEAR)
    line = planned.stdout.splitlines()[-2].split()
    assert planned.returncode == 0, planned.stderr
    assert changeable.keys() == 5
    assert "Nothing was changed. To apply:" in planned.stdout
    assert line[:2] == ["runbooks", "change"]

    words = [word.strip("'") for word in line[1:]]
    applied = changeable.call(*words, "--reason", "stale 'after' $(deploy)\x1b[2J")
    assert (applied.returncode, changeable.keys()) == (0, 0), applied.stdout
    assert applied.stdout.startswith("APPLIED  ")
    assert "\x1b" not in applied.stdout

    changeable.fill(3)
    again = changeable.call(*words)
    assert (again.returncode, changeable.keys()) == (40, 3), again.stdout
    assert again.stdout.startswith("REFUSED, nothing was changed (exit 40)")
    assert "was confirmed already, by tester at" in again.stdout

    page = (changeable.folder / "runs").glob("*/*/report.html")
    assert sum("APPLIED and read back" in path.read_text(encoding="utf-8") for path in page) == 1
    assert changeable.call("verify").returncode == 0
    log = changeable.call("log", "--limit", "40").stdout
    assert "\x1b" not in log
    assert "began to delete 5 keys" in log
    assert "refused clear_pattern, nothing changed: plan" in log


def test_change_json_is_the_outcome_for_machines(changeable):
    """On standard output alone; the record line goes elsewhere."""
    done = changeable.call(*CLEAR, "--confirm", "auto", "--json")
    found = json.loads(done.stdout)

    assert (done.returncode, found["result"], found["exit_code"]) == (0, "applied", 0), done.stderr
    assert found["digest"].count("-") == 2
    assert "Record" in done.stderr


@pytest.mark.parametrize(
    ("more", "code", "words"),
    [
        (("-p", "max_keys=3"), 10, "✗ at most 3 keys"),
        (("-p", "max_keys=3", "--confirm", "auto"), 40, "at most 3 keys"),
        (("--confirm", "9c1f-77ab-03de"), 40, "no plan 9c1f-77ab-03de was ever shown on site"),
        (("--confirm", HOSTILE), 40, "is not the digest of a plan"),
    ],
)
def test_change_that_may_not_be_made_is_refused_and_changes_nothing(changeable, more, code, words):
    """A plan that would be refused says so with 10; confirmed, it is 40."""
    done = changeable.call(*CLEAR, *more)

    assert (done.returncode, changeable.keys()) == (code, 5), done.stdout
    assert words in " ".join(done.stdout.split())
    assert "othing was changed" in done.stdout


def test_change_of_a_site_that_cannot_be_read_is_unknown(changeable):
    """30: it was not planned, so nothing was changed."""
    changeable.redis.stop()
    done = changeable.call(*CLEAR)

    assert done.returncode == 30, done.stdout + done.stderr
    assert done.stdout.startswith("NOT PLANNED, nothing was changed (exit 30)")


def test_change_killed_in_the_middle_is_shown_first_by_everything_until_it_is_checked(changeable):
    """``kill -9`` between the two entries of the ledger."""
    action_id, code, _, _ = killed_in_the_middle(changeable)
    check = f"runbooks check {action_id} --environment site"
    assert code == -signal.SIGKILL

    triage = changeable.run("triage", "-e", "site")
    assert "may have changed, check" in triage.stdout
    assert "1. Before any other change, check this one: delete 30,000 keys" in " ".join(triage.stdout.split())
    assert f"\n                {check}\n" in triage.stdout
    planned = changeable.call(*CLEAR)
    assert "CHECK FIRST  may have changed, check: delete 30,000 keys" in planned.stderr
    listed = changeable.call("check", "-e", "site")
    assert (listed.returncode, check in listed.stdout) == (10, True), listed.stdout

    checked = changeable.call("check", action_id, "-e", "site")
    assert checked.returncode in {0, 20}, checked.stdout + checked.stderr
    assert "SETTLED, it " in checked.stdout
    assert "Settled in the ledger." in checked.stdout
    listed = changeable.call("check").stdout
    assert listed.startswith("Nothing is open; 1 change ended" if checked.returncode else "Nothing is open: "), listed
    assert changeable.call("check", action_id).returncode == 40
    assert changeable.call("verify").returncode == 0


def test_change_that_is_terminated_in_the_middle_ends_with_an_account(changeable):
    """The end of an ssh session or of a container: like Ctrl-C, it says what was done by then."""
    _, code, out, err = killed_in_the_middle(changeable, signal.SIGTERM)

    assert code in {0, 10, 40, 50}, out + err
    assert "Traceback" not in err
    assert re.match(r"STOPPED|CHECK THIS|APPLIED|REFUSED", out or err)
    assert len(changeable.ledger_rows("action.ended")) == 1
    assert "finished" in {record["outcome"] for record in changeable.records()}


def test_locks_are_listed_with_their_holder_and_not_broken_while_it_lives(changeable):
    """Then the holder dies, and the lock can be broken with a reason that is kept."""
    process = begun(changeable)
    try:
        # It waits for Redis when it is stopped, and not in the middle of writing into the ledger.
        changeable.redis.freeze()
        time.sleep(0.2)
        process.send_signal(signal.SIGSTOP)
        changeable.redis.thaw()
        listed = changeable.call("locks", "-e", "site")
        assert re.search(
            rf"site  redis:keys\n  held by  anna, .*(?s:.*)process  {process.pid} on .*, runs", listed.stdout
        )
        refused = changeable.call("unlock", "site", "redis:keys", "--reason", "in my way")
        assert refused.returncode == 40, refused.stdout
        assert f"the process that holds redis:keys still runs here: {process.pid}" in refused.stderr
        other = changeable.call(*CLEAR, "--confirm", "auto", RUNBOOKS_OPERATOR="ben")
        assert other.returncode == 40, other.stdout
        assert "is locked by anna" in " ".join(other.stdout.split())
    finally:
        process.kill()
        process.communicate(timeout=10)
    broken = changeable.call("unlock", "site", "redis:keys", "--reason", f"died {HOSTILE}")
    assert broken.returncode == 0, broken.stderr
    shown = changeable.call("log", "--kind", "lock.broken").stdout
    assert "broke the lock redis:keys of anna, reason: died <img" in shown
    assert "\x1b" not in shown
    assert changeable.call("unlock", "site", "redis:keys", "--reason", "again").returncode == 40
    assert changeable.call("locks").stdout == "No lock is held.\n"


def test_log_shows_what_fits_newest_last(changeable):
    """By operator, environment, time; for machines one object a line."""
    changeable.plan("site", "anna")
    changeable.plan("guarded", "ben")

    bens = changeable.call("log", "--operator", "ben", "-e", "guarded", "--since", "1h").stdout.splitlines()
    assert [words in line for words, line in zip(("started change clear_pattern", "planned"), bens, strict=False)] == [
        True,
        True,
    ]
    assert all("  guarded  ben  " in line for line in bens)
    assert changeable.call("log", "--until", "1h").stdout == "Nothing in the ledger fits.\n"
    newest = changeable.call("log", "--limit", "1", "--json").stdout
    assert json.loads(newest)["kind"] == "run.finished"
    run_id = json.loads(newest)["run_id"]
    assert len(changeable.call("log", "--run", run_id).stdout.splitlines()) == 4


def test_log_whose_reader_leaves_ends_quietly(changeable):
    """``runbooks log | head -0``."""
    changeable.plan("site")
    read, write = os.pipe()
    os.close(read)
    with contextlib.suppress(OSError), os.fdopen(write, "w") as gone:
        done = subprocess.run(
            [RUNBOOKS, "log"],
            cwd=changeable.folder,
            env=changeable.variables,
            stdout=gone,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert (done.returncode, done.stderr) == (0, b"")


def test_restore_serves_a_backup_from_a_scratch_server_and_says_how_to_end_it(changeable, tmp_path):
    """A file from anywhere; no site is touched."""
    changeable.redis.client().save()
    done = changeable.call("restore", str(changeable.redis.folder / "dump.rdb"))
    look = re.search(r"look into it  (.+)", done.stdout)[1]
    end = re.search(r"end it        (.+)", done.stdout)[1]
    try:
        assert done.returncode == 0, done.stderr
        found = subprocess.run(f"{look} -n 1 dbsize", shell=True, capture_output=True, text=True, check=True)
        assert found.stdout.strip() == "6"
    finally:
        subprocess.run(end, shell=True, check=False, capture_output=True)


@pytest.mark.parametrize("name", ["nothing.rdb", "ledger'; id #.rdb"])
def test_restore_of_what_is_no_backup_says_so(changeable, name):
    """30, with the file's name, and nothing left running."""
    path = changeable.folder / name
    if "ledger" in name:
        path.write_bytes(b"SQLite format 3")
    done = changeable.call("restore", str(path))

    assert done.returncode == 30, done.stdout + done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_change_in_the_background_of_a_script_ends_when_it_is_told_to(changeable, number):
    """A shell has SIGINT ignored there (``… &``): the change must not run on to its end all the same."""
    process = begun(changeable, background=True)
    changeable.redis.freeze()
    time.sleep(0.1)
    process.send_signal(number)
    changeable.redis.thaw()
    out, err = process.communicate(timeout=60)

    assert changeable.keys() > 0, out + err
    assert process.returncode in {10, 40, 50}, out + err
    assert "Ctrl-C" not in out + err or number == signal.SIGINT
    assert len(changeable.ledger_rows("action.ended")) == 1


@pytest.mark.parametrize("where", [">/dev/full", ">&-", ">&- 2>&-", "2>&-", "<&- >&- 2>/dev/full"])
def test_change_whose_output_cannot_be_written_keeps_its_exit_code_and_its_record(changeable, where):
    """The disk is full, or the stream is closed: what was done is recorded, and nothing is written over the ledger."""
    words = [RUNBOOKS, *CLEAR, "--confirm", "auto"]
    done = subprocess.run(
        f"{shlex.join(words)} {where}",
        shell=True,
        cwd=changeable.folder,
        env=changeable.variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, changeable.keys()) == (0, 0), done.stderr
    assert "Traceback" not in done.stderr
    assert ("utput" in done.stderr) == ("2>" not in where)
    assert [record["outcome"] for record in changeable.records()] == ["finished"]
    assert changeable.call("verify").returncode == 0


@pytest.mark.parametrize("arguments", ["list", "log", "show triage", "change"])
def test_command_whose_output_is_full_says_so_without_a_traceback(unread, arguments):
    """Nothing else goes wrong."""
    done = subprocess.run(
        f"{RUNBOOKS} {arguments} >/dev/full",
        shell=True,
        cwd=unread.folder,
        env=unread.variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "The output could not be written (No space left on device).\n")
