"""Somebody else's consent to exactly one plan, for a while, once."""

from __future__ import annotations

import shutil
import time
from dataclasses import replace
from datetime import timedelta

import pytest
from actions_fixtures import allow

from runbooks_lib.errors import RefusedError
from runbooks_lib.records import signatures
from runbooks_lib.records.approvals import Approvals
from runbooks_lib.records.intentions import Intentions
from runbooks_lib.records.ledger import Ledger
from runbooks_lib.records.origin import Account
from runbooks_lib.records.people import is_named, same_person, unfit
from runbooks_lib.records.proposals import normalized

FULL = "9c1f77ab03de" + "0" * 52
PLAN = {"action": "set_percentage", "environment": "production", "full_digest": FULL, "digest": "9c1f-77ab-03de"}
OTHER = "1" * 64


@pytest.fixture
def approvals(ledger) -> Approvals:
    """Unsigned ones."""
    return Approvals(ledger)


def propose(approvals: Approvals, full: str = FULL, operator: str = "anna", environment: str = "production"):
    """A plan that was shown."""
    digest = "-".join(full[at : at + 4] for at in (0, 4, 8))
    plan = {"action": "set_percentage", "environment": environment, "full_digest": full, "digest": digest}
    return approvals.propose(plan, run_id=f"run-{operator}", operator=operator, account=account_of(operator))


def account_of(name: str) -> Account:
    """An account of his own on one machine; what is not given one has that of this process."""
    return Account(2000 + len(name) * 256 + ord(name.strip()[0].lower()), name, "ops1", "0123456789abcdef")


def find(approvals: Approvals, operator: str = "anna", full: str = FULL):
    """What lets the operator apply it."""
    return approvals.find(full, environment="production", operator=operator, account=account_of(operator))


def use_up(ledger, proposal, approval=None, operator: str = "anna"):
    """The plan is applied."""
    return Intentions(ledger).begin(
        {"plan": proposal.plan, "confirm": proposal.digest, "reason": "", "fencing": {}},
        approval=approval,
        proposal=proposal,
        run_id="r",
        environment="production",
        operator=operator,
    )


@pytest.mark.parametrize("form", [FULL, "9c1f-77ab-03de", "9C1F-77AB-03DE", " 9c1f 77ab 03de\n", FULL[:20]])
def test_approvals_proposal_is_found_by_any_form_of_its_digest(approvals, form):
    """Short, whole, or as it was read out on the telephone."""
    shown = propose(approvals)

    assert approvals.proposal(form, environment="production") == shown


def test_approvals_proposal_newest_showing_counts(approvals):
    """It was shown to two people; who looked last is asked."""
    propose(approvals)
    newest = propose(approvals, operator="ben")

    assert approvals.proposal(FULL, environment="production") == newest


def test_approvals_proposal_of_another_environment_was_never_shown(approvals):
    """A plan for staging is not one for production; the refusal says how to get one."""
    propose(approvals, environment="staging")

    with pytest.raises(RefusedError, match="was ever shown on production") as caught:
        approvals.proposal(FULL, environment="production")
    assert "without confirm" in caught.value.hint


@pytest.mark.parametrize(
    "digest", ["", "yes", "9c1f", "%", "9c1f-77ab-03d_", "x" * 64, FULL + "0", "9c1f\x00", "'; --"]
)
def test_approvals_what_is_no_digest_is_refused_as_that(approvals, digest):
    """Nothing of it gets into a query."""
    with pytest.raises(RefusedError, match="is not the digest of a plan"):
        approvals.proposal(digest, environment="production")


def test_approvals_proposal_shown_over_a_day_ago_is_refused(approvals, monkeypatch):
    """Plan again."""
    propose(approvals)
    move_clock(monkeypatch, timedelta(hours=25))

    with pytest.raises(RefusedError, match="was shown 25 h ago; it holds for 24 h"):
        approvals.proposal(FULL, environment="production")


def test_approvals_given_is_found_by_another_operator(approvals):
    """By exactly that digest."""
    shown = propose(approvals)
    given = approvals.give(shown, approver="ben", seconds=60)

    assert find(approvals) == given
    assert (given.approver, given.digest, given.proposal_hash) == ("ben", shown.digest, shown.event.hash)


@pytest.mark.parametrize(
    "name", ["anna", "ANNA", " Anna ", "a\u200bnna", "an\u00adna", "ａｎｎａ", "anna\u2028", "an\ufe0fna"]
)
def test_approvals_the_proposer_cannot_approve_however_he_writes_his_name(approvals, name):
    """Case, blanks, width and invisible characters make no second person."""
    shown = propose(approvals)

    with pytest.raises(RefusedError, match="cannot approve it"):
        approvals.give(shown, approver=name, seconds=60)


@pytest.mark.parametrize("name", ["", " ", "\u200b", "\u3164", "\u2800"])
def test_approvals_nobody_cannot_approve(approvals, name):
    """A name that nobody can see is none."""
    with pytest.raises(RefusedError, match="needs the approver's name"):
        approvals.give(propose(approvals), approver=name, seconds=60)


def test_people_different_names_are_different_people():
    """Accents are letters."""
    assert not same_person("anna", "hanna")
    assert not same_person("jose", "josé")
    assert same_person("Weiß", "WEISS")
    assert is_named("é")


def test_approvals_missing_says_for_which_digest_there_is_one(approvals):
    """The usual mistake: the plan changed after it was approved."""
    propose(approvals)
    with pytest.raises(RefusedError, match="nobody approved 9c1f-77ab-03de\n"):
        find(approvals)

    approvals.give(propose(approvals, OTHER), approver="ben", seconds=60)

    with pytest.raises(RefusedError, match="the newest approval there is of 1111-1111-1111") as caught:
        find(approvals)
    assert caught.value.hint == "somebody else approves it: runbooks approve 9c1f-77ab-03de"


def test_approvals_given_by_the_one_who_applies_does_not_count(approvals):
    """Anna plans, Ben approves: Carl may apply it, Ben may not."""
    approvals.give(propose(approvals), approver="ben", seconds=60)

    assert find(approvals, "carl").approver == "ben"
    with pytest.raises(RefusedError, match="it was given by ben, who applies it"):
        find(approvals, " BEN")


def test_approvals_expired_says_when(approvals, monkeypatch):
    """An older one that still counts is used instead."""
    shown = propose(approvals)
    given = approvals.give(shown, approver="ben", seconds=60)
    approvals.give(shown, approver="carl", seconds=1)
    move_clock(monkeypatch, timedelta(seconds=2))
    assert find(approvals).approver == "ben"
    move_clock(monkeypatch, timedelta(seconds=61))

    with pytest.raises(RefusedError, match="it expired at 2") as caught:
        find(approvals)
    assert given.expires_at > given.at
    assert "somebody other than anna" in caught.value.hint


def test_approvals_used_up_says_by_whom_and_the_plan_cannot_be_approved_again(approvals, ledger):
    """Two approvals of one plan do not make it two changes."""
    shown = propose(approvals)
    approvals.give(shown, approver="carl", seconds=60)
    given = approvals.give(shown, approver="ben", seconds=60)
    use_up(ledger, shown, given)

    with pytest.raises(RefusedError, match="it was used already by anna at"):
        find(approvals)
    with pytest.raises(RefusedError, match="was confirmed already, by anna at"):
        approvals.give(shown, approver="carl", seconds=60)
    with pytest.raises(RefusedError, match="was used already by anna"):
        use_up(ledger, propose(approvals), given)
    with pytest.raises(RefusedError, match="was confirmed already"):
        approvals.require_unspent(shown)
    approvals.require_unspent(approvals.proposal(FULL, environment="production"))


def test_approvals_a_plan_shown_too_long_ago_cannot_be_approved(approvals, monkeypatch):
    """Nor one that became old while it was looked at."""
    shown = propose(approvals)
    move_clock(monkeypatch, timedelta(hours=25))

    with pytest.raises(RefusedError, match="was shown 25 h ago"):
        approvals.give(shown, approver="ben", seconds=60)


def test_approvals_text_in_a_plan_that_looks_like_a_digest_is_not_one(approvals):
    """The digest is looked for where it belongs, not anywhere in the plan."""
    text = f'"full_digest":"{FULL}'
    plan = {
        "environment": "production",
        "full_digest": OTHER,
        "digest": "1111-1111-1111",
        "title": text,
        "x": {"full_digest": FULL},
    }
    approvals.propose(plan, run_id="r", operator="anna")

    with pytest.raises(RefusedError, match="was ever shown"):
        approvals.proposal(FULL, environment="production")


def test_normalized_keeps_the_digits():
    """And nothing else."""
    assert normalized("9C1F-77AB-03DE") == "9c1f77ab03de"


def again(ledger, event):
    """Somebody who can append copies the event of an approval to the end."""
    return ledger.append(
        kind=event.kind,
        run_id=event.run_id,
        environment=event.environment,
        operator=event.operator,
        payload=event.payload,
    )


@pytest.mark.parametrize("shown_again", [False, True])
def test_approvals_a_copy_of_a_used_one_does_not_count(signed, ledger, shown_again):
    """It holds as a signature; what it names was used up, also when the same plan is shown anew."""
    approvals, key = signed
    shown = propose(approvals)
    given = approvals.give(shown, approver="ben", seconds=600, key=key)
    use_up(ledger, shown, find(approvals))
    newest = propose(approvals) if shown_again else shown
    again(ledger, given.event)

    with pytest.raises(RefusedError, match="it was used already by anna"):
        find(approvals)
    copied = replace(given, event=ledger.events(kind="approval.given")[-1])
    with pytest.raises(RefusedError, match="was used already by anna" if shown_again else "was confirmed already"):
        use_up(ledger, newest, copied)


def test_approvals_one_that_names_no_showing_does_not_count(approvals, ledger):
    """An approval is of a plan that was shown, and says of which."""
    given = approvals.give(propose(approvals), approver="ben", seconds=60)
    for forged in ("", "f" * 64):
        with ledger.writing() as writing:
            event = given.event
            payload = {**event.payload, "full_digest": OTHER, "proposal_hash": forged}
            writing.append(kind=event.kind, run_id="r", environment="production", operator="ben", payload=payload)

    with pytest.raises(RefusedError, match="a showing of the plan that is not in the ledger"):
        find(approvals, full=OTHER)
    assert find(approvals) == given


def test_approvals_holding_longer_than_is_configured_is_refused_and_cut_short(ledger, monkeypatch):
    """``[approvals] expires`` is a limit when one is given, and when it is found."""
    hour = Approvals(ledger, longest_seconds=3600)
    shown = propose(hour)
    with pytest.raises(RefusedError, match=r"holds for .* at most"):
        hour.give(shown, approver="ben", seconds=3601)
    Approvals(ledger).give(shown, approver="ben", seconds=86_400)
    assert find(hour).approver == "ben"
    move_clock(monkeypatch, timedelta(seconds=3602))

    with pytest.raises(RefusedError, match="it expired at"):
        find(hour)
    assert find(Approvals(ledger)).approver == "ben"


def test_approvals_from_the_future_do_not_count(approvals, monkeypatch):
    """The ledger's clock counts: an operator's that is a day ahead would make a plan and its approval last longer."""
    shown = propose(approvals)
    approvals.give(shown, approver="ben", seconds=3600)
    move_clock(monkeypatch, timedelta(seconds=-30))
    assert find(approvals).approver == "ben"
    move_clock(monkeypatch, timedelta(seconds=-90))

    with pytest.raises(RefusedError, match="which is in the future"):
        find(approvals)
    with pytest.raises(RefusedError, match="from now by the ledger's clock") as caught:
        approvals.proposal(FULL, environment="production")
    assert "correct the clock" in caught.value.hint
    with pytest.raises(RefusedError, match="from now by the ledger's clock"):
        approvals.give(shown, approver="carl", seconds=60)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("b" * 101, "a name of 101 characters"),
        ("b\u0435n", "mixes CYRILLIC and LATIN letters"),
        ("\u03b2en", "mixes GREEK and LATIN letters"),
        ("\ufdfa" * 8, "a name of 144 characters"),
    ],
    ids=["long", "cyrillic", "greek", "long once it is normalised"],
)
def test_approvals_a_name_that_can_pass_for_another_cannot_approve(approvals, ledger, name, words):
    """Nor does such an approval count that stands in the ledger already."""
    shown = propose(approvals)
    with pytest.raises(RefusedError, match=words):
        approvals.give(shown, approver=name, seconds=60)
    given = approvals.give(shown, approver="ben", seconds=60)
    with ledger.writing() as writing:
        payload = {**given.event.payload, "expires_at": "2999-01-01T00:00:00.000000Z"}
        writing.append(kind="approval.given", run_id="r", environment="production", operator=name, payload=payload)

    assert find(approvals) == given


def test_people_look_alikes_are_one_person_and_east_asian_names_are_names():
    """Wholly Cyrillic letters that look Latin; a name in Japanese mixes three scripts and nothing else."""
    assert same_person("\u0441\u043e\u0440\u0435", "cope")
    assert unfit("\u5c71\u7530 \u306f\u306a\u30b3 Hana") == ""
    assert unfit("Zo\u00eb O'Neil-2") == ""
    assert "name" in unfit(" ")


HERE = Account(1000, "anna", "ops1", "0123456789abcdef")


@pytest.mark.parametrize(
    ("account", "same"),
    [
        (replace(HERE, login="ben"), True),
        (replace(HERE, host="renamed"), True),
        (replace(HERE, machine=""), True),
        (replace(HERE, uid=1001), False),
        (replace(HERE, host="ops2", machine="f" * 16), False),
        (replace(HERE, host="ops2", machine=""), False),
    ],
    ids=["another login", "another host name", "no id", "another number", "another machine", "another host, no id"],
)
def test_signatures_from_the_account_that_planned_or_applies_do_not_count(signed, account, same):
    """A name is given by its bearer; with signatures, planner and approver are two accounts of the system."""
    approvals, key = signed
    shown = approvals.propose(PLAN, run_id="r", operator="x", account=HERE)
    if same:
        with pytest.raises(RefusedError, match="from the account that planned it") as caught:
            approvals.give(shown, approver="ben", seconds=60, key=key, account=account)
        assert "an account or a machine of his own" in caught.value.hint
        return
    given = approvals.give(shown, approver="ben", seconds=60, key=key, account=account)

    assert approvals.find(FULL, environment="production", operator="x", account=HERE) == given
    with pytest.raises(RefusedError, match="from the account that applies it"):
        approvals.find(FULL, environment="production", operator="carl", account=account)


def test_signatures_of_an_unknown_account_do_not_count_and_unsigned_ones_rest_on_names(signed, ledger, tmp_path):
    """Given by an earlier release, or to a plan of one; without signatures the account is only written down."""
    approvals, key = signed
    unsigned = Approvals(ledger)
    shown = unsigned.propose(PLAN, run_id="r", operator="x", account=HERE)
    event = ledger.append(
        kind="plan.proposed",
        run_id="r",
        environment="production",
        operator="x",
        payload={name: value for name, value in shown.event.payload.items() if name != "account"},
    )
    old = approvals.proposal(FULL, environment="production")
    with pytest.raises(RefusedError, match="not recorded from which account"):
        approvals.give(old, approver="ben", seconds=60, key=key)
    given = unsigned.give(old, approver="ben", seconds=60, account=HERE)

    assert (old.event, old.account) == (event, None)
    assert given.account == HERE
    assert unsigned.find(FULL, environment="production", operator="x", account=HERE) == given


@pytest.fixture
def signed(ledger, tmp_path, ssh_key):
    """Approvals that Ben must sign."""
    key = ssh_key("ben")
    return Approvals(ledger, allow(tmp_path, ben=key)), key


def test_signatures_a_signed_approval_counts(signed):
    """Signed, verified when it is given, and verified when it is used."""
    approvals, key = signed
    given = approvals.give(propose(approvals), approver="ben", seconds=60, key=key)

    assert given.signature.startswith("-----BEGIN SSH SIGNATURE-----")
    assert find(approvals) == given


def test_signatures_an_unsigned_approval_does_not_count(signed, ledger):
    """Given before signatures were configured, or around the command."""
    approvals, _ = signed
    shown = propose(approvals)
    Approvals(ledger).give(shown, approver="ben", seconds=60)

    with pytest.raises(RefusedError, match="the approval of ben is not signed"):
        find(approvals)
    with pytest.raises(RefusedError, match="approvals are signed here"):
        approvals.give(shown, approver="ben", seconds=60)


def test_signatures_by_a_stranger_or_with_another_key_are_refused_when_they_are_given(signed, ssh_key, ledger):
    """Nobody waits for an approval that will not count; nothing is written."""
    approvals, _ = signed
    shown, other = propose(approvals), ssh_key("carl")

    with pytest.raises(RefusedError, match="carl is not in"):
        approvals.give(shown, approver="carl", seconds=60, key=other)
    with pytest.raises(RefusedError, match="the signature of ben does not hold"):
        approvals.give(shown, approver="ben", seconds=60, key=other)
    assert ledger.events(kind="approval.given") == ()


def test_signatures_one_key_under_two_names_is_one_person(signed, tmp_path):
    """Anna cannot approve as Zoe with her own key, and no pattern in the file helps her."""
    approvals, key = signed
    allow(tmp_path, anna=key, zoe=key)
    shown = propose(approvals)

    with pytest.raises(RefusedError, match="has for anna as well"):
        approvals.give(shown, approver="zoe", seconds=60, key=key)
    allow(tmp_path, **{"*": key})
    with pytest.raises(RefusedError, match="has for anna as well"):
        approvals.give(shown, approver="zoe", seconds=60, key=key)


@pytest.mark.parametrize("field", ["full_digest", "expires_at", "proposal_hash", "approver", "environment"])
def test_signatures_bind_every_field_of_the_approval(signed, ledger, field):
    """Somebody who can write the ledger cannot make a signature say something else."""
    approvals, key = signed
    given = approvals.give(propose(approvals), approver="ben", seconds=60, key=key)
    payload = {**given.event.payload}
    if field in payload:
        payload[field] = {"full_digest": OTHER, "expires_at": "2999-01-01T00:00:00.000000Z"}.get(field, "0" * 64)
    ledger.append(
        kind="approval.given",
        run_id="r",
        environment="staging" if field == "environment" else "production",
        operator="BEN" if field == "approver" else "ben",
        payload=payload,
    )
    full = OTHER if field == "full_digest" else FULL
    where = "staging" if field == "environment" else "production"
    forged = ledger.events(kind="approval.given")[-1]
    older_counts = field in ("expires_at", "proposal_hash", "approver")

    if older_counts:
        assert approvals.find(full, environment=where, operator="anna", account=account_of("anna")).event != forged
    else:
        with pytest.raises(RefusedError, match=r"not in the ledger"):
            approvals.find(full, environment=where, operator="anna", account=account_of("anna"))


def test_signatures_a_key_with_a_passphrase_and_no_agent_says_what_to_do(signed, ssh_key, monkeypatch):
    """Nothing is asked for where nobody can answer."""
    approvals, _ = signed
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    monkeypatch.setenv("SSH_ASKPASS_REQUIRE", "force")
    monkeypatch.setenv("SSH_ASKPASS", "/bin/false")

    with pytest.raises(RefusedError, match="did not sign") as caught:
        approvals.give(propose(approvals), approver="ben", seconds=60, key=ssh_key("locked", "pass phrase"))
    assert "ssh-add" in caught.value.hint


def test_signatures_a_missing_key_file_or_program_is_named(signed, tmp_path, monkeypatch):
    """Each with its next step."""
    approvals, key = signed
    shown = propose(approvals)

    with pytest.raises(RefusedError, match="nowhere does not exist"):
        approvals.give(shown, approver="ben", seconds=60, key=tmp_path / "nowhere")
    given = approvals.give(shown, approver="ben", seconds=60, key=key)
    assert shutil.which("ssh-keygen")
    (tmp_path / "allowed_signers").unlink()
    with pytest.raises(RefusedError, match="the file of allowed signers, .* does not exist"):  # noqa: RUF043 - a pattern
        find(approvals)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RefusedError, match="ssh-keygen is not installed") as caught:
        signatures.sign(given.signed_text, key)
    assert "OpenSSH" in caught.value.hint


@pytest.mark.parametrize("principal", ["-Y", "ben\nanna *", "; reboot", "\x1b[2J", "ben,anna", "*"])
def test_signatures_hostile_principals_are_data(signed, principal):
    """They are a name that is not in the file."""
    approvals, key = signed

    with pytest.raises(RefusedError) as caught:
        approvals.give(propose(approvals), approver=principal, seconds=60, key=key)
    assert "\x1b" not in str(caught.value)


def move_clock(monkeypatch: pytest.MonkeyPatch, by: timedelta) -> None:
    """The ledger's clock goes ahead; the operator's stays."""
    monkeypatch.setattr(Ledger, "now", lambda _: time.time() + by.total_seconds())
