"""``runbooks approve``: two people, one plan, one use; with and without SSH signatures."""

import os
import pty
import re
import subprocess
import time
from datetime import datetime

import pytest
from actions_fixtures import another_account
from change_fixtures import PATTERN
from servers_fixtures import binary
from workplace_fixtures import RUNBOOKS

from runbooks_lib.records.ledger import Ledger

CLEAR = ("change", "clear_pattern", "-e", "guarded", *PATTERN)


def approve(place, digest, *more, operator="ben", typed=None):
    """The command with a pipe on standard input that brings the digest, or what was typed instead."""
    typed = digest if typed is None else typed
    return place.call("approve", digest, "-e", "guarded", *more, typed=typed, RUNBOOKS_OPERATOR=operator)


def confirm(place, digest, operator="anna", reason="stale after deploy"):
    """Apply what was approved."""
    return place.call(*CLEAR, "--confirm", digest, "--reason", reason, RUNBOOKS_OPERATOR=operator)


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """Ben's key, somebody else's key, and a file that allows Ben's."""
    folder = tmp_path_factory.mktemp("keys")
    for name in ("ben", "eve"):
        command = [binary("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(folder / name)]
        subprocess.run(command, check=True, capture_output=True)
    public = (folder / "ben.pub").read_text(encoding="utf-8").split()
    (folder / "allowed_signers").write_text(f"ben {public[0]} {public[1]}\n", encoding="utf-8")
    return folder


def test_approve_shows_the_plan_and_lets_somebody_else_apply_it_once(changeable):
    """Without it the change is refused; with it the change is made; the second use is refused."""
    digest = changeable.plan("guarded")
    assert confirm(changeable, digest).returncode == 40
    assert changeable.keys() == 5

    done = approve(changeable, digest, "--expires", "30m")
    assert done.returncode == 0, done.stderr
    assert " ".join(done.stdout.split()).startswith(f"APPROVE? {digest} delete 5 keys")
    assert re.search(r"proposed   \d{4}-\d\d-\d\d \S+Z, \S+ \w+ ago, by anna", done.stdout)
    assert "undo       irreversible" in done.stdout
    assert re.search(r"rests on +the names that planner and approver give themselves", done.stdout)
    assert re.search(r"Approved once, until .*, not signed: it rests on names\.", done.stdout)

    assert confirm(changeable, digest, reason="").returncode == 40
    applied = confirm(changeable, digest)
    assert (applied.returncode, changeable.keys()) == (0, 0), applied.stdout
    (page,) = [
        text
        for path in changeable.folder.glob("runs/*/*/report.html")
        if "APPLIED and read back" in (text := path.read_text(encoding="utf-8"))
    ]
    assert re.search(r"<dt>Approved by</dt><dd>ben</dd>", page)
    assert approve(changeable, digest).returncode == 40
    assert changeable.call("verify").returncode == 0


@pytest.mark.parametrize(
    ("operator", "typed", "words"),
    [
        ("anna", None, "cannot approve it"),
        ("  ANNA\u200b ", None, "cannot approve it"),
        ("ben", "", "the digest was not typed"),
        ("ben", "0000-0000-0000\n", "that is not"),
        ("ben", "yes\n", "is not the digest of a plan"),
    ],
    ids=["own", "own, disguised", "nothing typed", "another digest", "yes"],
)
def test_approve_that_may_not_be_given_is_refused(changeable, operator, typed, words):
    """40, and the change stays refused."""
    digest = changeable.plan("guarded")
    done = approve(changeable, digest, operator=operator, typed=typed)

    assert done.returncode == 40, done.stdout + done.stderr
    assert words in done.stderr
    assert changeable.ledger_rows("approval.given") == []


def test_approve_of_a_plan_that_nobody_proposed_is_refused(changeable):
    """Nor one of another environment."""
    digest = changeable.plan("site")

    assert approve(changeable, "9c1f-77ab-03de").returncode == 40
    done = approve(changeable, digest)
    assert done.returncode == 40, done.stdout
    assert "was ever shown on guarded" in done.stderr


@pytest.mark.parametrize(("asked", "code"), [((), 0), (("--expires", "30m"), 0), (("--expires", "31m"), 2)])
def test_approve_holds_as_long_as_is_configured_at_most(changeable, configured, asked, code):
    """``[approvals] expires`` is what an approval holds without ``--expires``, and the longest that can be asked for."""
    configured(changeable.redis, '[approvals]\nexpires = "30m"\n')
    digest = changeable.plan("guarded")
    done = approve(changeable, digest, *asked)

    assert done.returncode == code, done.stderr
    if code:
        assert "is over 30 min" in done.stderr
        assert changeable.ledger_rows("approval.given") == []
        return
    (event,) = Ledger(f"sqlite:///{changeable.folder / 'runs' / 'ledger.sqlite3'}").events(kind="approval.given")
    held = datetime.fromisoformat(event.payload["expires_at"]) - event.happened_at
    assert 1700 < held.total_seconds() <= 1800


def test_approve_on_a_terminal_asks_for_the_digest(changeable):
    """It is read from the terminal, after the plan was shown."""
    digest = changeable.plan("guarded")
    ours, theirs = pty.openpty()
    os.write(ours, f"{digest}\n".encode())
    done = subprocess.run(
        [RUNBOOKS, "approve", digest, "-e", "guarded"],
        cwd=changeable.folder,
        env={**changeable.variables, "RUNBOOKS_OPERATOR": "ben"},
        stdin=theirs,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    os.close(theirs)
    os.close(ours)

    assert done.returncode == 0, done.stderr
    assert done.stderr == "Type the digest once more to approve exactly this: "


def test_approve_where_approvals_are_signed_takes_an_allowed_key_only(changeable, configured, keys):
    """No key, a stranger's key, another name: refused. The right one is checked again when the plan is applied."""
    configured(changeable.redis, f'[approvals]\nallowed_signers = "{keys / "allowed_signers"}"\n')
    digest = changeable.plan("guarded")

    assert approve(changeable, digest).returncode == 40
    assert approve(changeable, digest, "--key", str(keys / "eve")).returncode == 40
    assert approve(changeable, digest, "--key", str(keys / "ben"), operator="eve").returncode == 40
    assert confirm(changeable, digest).returncode == 40
    own = approve(changeable, digest, "--key", str(keys / "ben"))
    assert own.returncode == 40
    assert "from the account that planned it" in own.stderr
    assert "from an account or a machine of his own" in own.stderr
    with another_account():
        done = approve(changeable, digest, "--key", str(keys / "ben"))
    assert done.returncode == 0, done.stderr
    assert ", signed." in done.stdout
    assert confirm(changeable, digest).returncode == 0
    assert changeable.keys() == 0


def test_approve_unsigned_does_not_count_once_approvals_must_be_signed(changeable, configured, keys):
    """The file of allowed signers decides when the plan is applied."""
    digest = changeable.plan("guarded")
    assert approve(changeable, digest).returncode == 0
    configured(changeable.redis, f'[approvals]\nallowed_signers = "{keys / "allowed_signers"}"\n')
    refused = confirm(changeable, digest)

    assert (refused.returncode, changeable.keys()) == (40, 5)
    assert "is not signed" in " ".join(refused.stdout.split())


def test_approve_does_not_outlive_a_shorter_time_that_is_configured_meanwhile(changeable, configured):
    """``[approvals] expires`` counts when the plan is applied as well."""
    digest = changeable.plan("guarded")
    assert approve(changeable, digest, "--expires", "1h").returncode == 0
    configured(changeable.redis, '[approvals]\nexpires = "1s"\n')
    time.sleep(1.1)
    refused = confirm(changeable, digest)

    assert (refused.returncode, changeable.keys()) == (40, 5)
    assert "it expired at" in " ".join(refused.stdout.split())
