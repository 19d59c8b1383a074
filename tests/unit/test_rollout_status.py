"""The screen of a rollout, its grid of looks, and its verdict: from a campaign in a real ledger, without a site."""

import dataclasses
import json
import re
import shlex
from datetime import timedelta
from types import SimpleNamespace

import pytest
from builders import HOSTILE
from campaign_builders import FEATURE, PLACE, WHO, look_after, looked, moved, opened, window_after

from runbooks_lib import config
from runbooks_lib.errors import ConfigurationError, UsageError
from runbooks_lib.facts.rollout import CohortSample
from runbooks_lib.judgement.rollout.model import Decision, Gate, Reason, Stand, Verb
from runbooks_lib.model import Status
from runbooks_lib.operations.rollout import RolloutRun
from runbooks_lib.operations.rollout_grid import MOST_CAUGHT_UP, due_windows, next_look_at
from runbooks_lib.operations.rollout_looks import Judged
from runbooks_lib.operations.rollout_opinion import show_second_opinion
from runbooks_lib.operations.rollout_replay import policy_for_replay, replay_campaign, show_replay
from runbooks_lib.operations.rollout_status import order_line, status_of
from runbooks_lib.operations.rollout_tell import hold_message
from runbooks_lib.operations.rollout_verdict import status_word
from runbooks_lib.operations.rollout_work import Came
from runbooks_lib.policy import Policy
from runbooks_lib.presentation.notify import Message, Sender, tell
from runbooks_lib.presentation.rollout import render_status, show_gates, show_status, stage_lines
from runbooks_lib.records.campaigns import Campaigns

HOUR = timedelta(hours=1)
GATES = (
    Gate("exposure", Stand.PASS, "24.8 %", "25 ± 1", "+0.8", "4.1 M requests"),
    Gate("errors", Stand.FAIL, "1.90 %", "control 0.41 %", "-1.49", "e-value 43, look 17", "regression"),
    Gate("penetration", Stand.UNKNOWN, "not known", reason="no series"),
)


def decision(**changes):
    """A look that holds while it soaks."""
    usual = Decision(Verb.HOLD, (Reason.SOAKING,), "25 %: 17 h 20 min.", GATES, 25, None, 62_400.0, 2_400.0, 17)
    return dataclasses.replace(usual, **changes)


def kept(**changes):
    """The same as the ledger keeps it."""
    from msgspec import to_builtins

    return to_builtins(decision(**changes))


@pytest.fixture
def campaign(ledger):
    """At 10 %, with one look kept."""
    campaign = moved(ledger, opened(ledger, approver="ben"), 10)
    return Campaigns(ledger).looked(campaign, look_after(campaign, decision=kept(percentage=10)))


def at(campaign, hours=0.0, minutes=0.0):
    """A moment after the stage began."""
    return campaign.stage_started_at + timedelta(hours=hours, minutes=minutes)


def test_status_shows_stages_soak_gates_next_look_and_how_to_stop(campaign):
    """Words first; each number with its limit; the commands are ready to paste."""
    text = render_status(status_of(campaign, at(campaign, 1, 30)))
    lines = text.splitlines()

    assert lines[0] == f"ENHANCED_CACHE · production · {campaign.id} · 10 % of 100 %   HOLD, soaking"
    assert lines[2:4] == [
        "  0 ─── 10 ─── 25 ─── 50 ─── 75 ─── 100",
        "  ✓     ●  17 h 20 min of 24 h observed healthy (40 min, not counted)",
    ]
    assert re.search(r"OK +exposure +24.8 % +25 ± 1 +\+0.8 +4.1 M requests", text)
    assert re.search(r"FAIL +errors +1.90 % +control 0.41 % +-1.49 +regression; e-value 43, look 17", text)
    assert re.search(r"\? +penetration +not known +no series", text)
    assert f"Next look {at(campaign, 2, 1):%Y-%m-%d %H:%M:%S}Z (look 2 at this stage, 24 planned)." in text
    assert "approved by ben" in text
    assert "  runbooks rollout pause ENHANCED_CACHE --environment production --reason WHY" in lines
    assert "  runbooks rollout abort ENHANCED_CACHE --environment production --reason WHY" in lines
    assert all(len(line) <= 120 for line in lines)


@pytest.mark.parametrize("width", [1, 60, 80, 100, 120, 400])
def test_status_fits_the_terminal_and_cuts_no_evidence(campaign, width):
    """Prose and the table of gates are wrapped; a command is not, because it is there to be pasted."""
    text = render_status(status_of(campaign, at(campaign, 1, 30)), width=width)
    prose = [line for line in text.splitlines()[1:] if "runbooks rollout" not in line]

    assert all(len(line) <= min(max(60, width), 120) for line in prose)
    assert "regression; e-value 43, look 17" in re.sub(r"\s+", " ", text)
    assert "  runbooks rollout pause ENHANCED_CACHE --environment production --reason WHY" in text.splitlines()


def test_status_in_a_notebook_holds_the_same_and_no_markup_of_strangers(ledger):
    """HTML is escaped, control characters are not shown."""
    found = opened(ledger)
    gates = tuple(dataclasses.replace(gate, id=HOSTILE, now=HOSTILE, evidence=HOSTILE) for gate in GATES)
    found = looked(ledger, found)
    found = Campaigns(ledger).looked(found, look_after(found, decision=kept(gates=gates, text=HOSTILE)))
    found = Campaigns(ledger).paused(found, reason=HOSTILE, **WHO)
    shown = show_status(status_of(found, at(found, 3)))

    assert "<script" not in shown.html
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\u202e]", shown.text + shown.html)
    assert "PAUSED" in shown.text
    assert "Next look" not in shown.text
    assert "runbooks rollout resume" in shown.html


@pytest.mark.parametrize("feature", ["X'; rm -rf ~ #", "$(id)", "a b", '"\\'])
def test_status_commands_of_a_hostile_feature_are_one_word(campaign, feature):
    """Nothing in a name can be taken for shell syntax."""
    words = shlex.split(order_line(dataclasses.replace(campaign, feature=feature), "abort"))
    assert words == ["runbooks", "rollout", "abort", feature, "--environment", PLACE, "--reason", "WHY"]


def test_status_of_what_was_kept_by_another_version_still_shows(campaign):
    """Gates that cannot be read are left out; the rest of the screen stands."""
    last = dataclasses.replace(campaign.last_look, decision={"verb": "hold", "gates": [{"id": 7}, None], "reasons": []})
    found = dataclasses.replace(campaign, looks=(last,))
    status = status_of(found, at(found, 1))
    assert (status.gates, status.word, status.healthy_seconds) == ((), "HOLD, ", 0.0)


@pytest.mark.parametrize(
    ("end", "word", "status"),
    [("rolled back", "ROLLED BACK", Status.FAIL), ("aborted", "ABORTED", Status.FAIL)],
)
def test_status_of_an_ended_campaign_says_how_and_offers_no_order(ledger, campaign, end, word, status):
    """Who and why stand below the heading."""
    found = status_of(Campaigns(ledger).ended(campaign, end, reason="errors", **WHO), at(campaign, 5))
    assert (found.word, found.status, found.steps, found.next_look_at) == (word, status, (), None)
    assert found.heading.endswith(" · ended at 10 %")
    assert stage_lines(found)[1].startswith("✓     ×  17 h")
    assert found.text.endswith(": errors")


def test_status_of_a_complete_campaign_has_every_stage_ticked(ledger):
    """Everybody has the feature: no stage is left to stand at."""
    found = opened(ledger)
    for stage in found.stages[1:]:
        found = moved(ledger, found, stage)
    shown = status_of(Campaigns(ledger).ended(found, "complete", reason="soaked", **WHO), at(found, 30))

    assert shown.heading.endswith(" · 100 % of 100 %")
    assert (stage_lines(shown)[1].count("✓"), "×" in stage_lines(shown)[1]) == (len(found.stages), False)


def test_gates_before_the_first_look_are_a_sentence_and_no_empty_table():
    """A table of headings alone tells nobody anything."""
    shown = show_gates(())
    assert shown.text == "No gate was judged at this stage yet."
    assert "<table" not in shown.html


def test_status_before_the_first_look_and_of_a_decision_not_carried_out(ledger):
    """What was decided and is not done yet is called due."""
    found = opened(ledger)
    assert status_of(found, at(found)).word == "HOLD, no look yet"
    found = Campaigns(ledger).looked(
        found, look_after(found, decision=kept(verb=Verb.ROLLBACK, reasons=(Reason.CRITICAL,)))
    )
    assert (status_of(found, at(found, 1)).word, status_of(found, at(found, 1)).status) == (
        "ROLLBACK DUE, critical",
        Status.FAIL,
    )


@pytest.mark.parametrize(
    ("hours", "minutes", "looks"),
    [(0, 59, []), (1, 0.5, []), (1, 1, [1]), (1, 59, [1]), (3, 1, [1, 2, 3]), (24, 1, list(range(1, 25)))],
)
def test_due_windows_lie_on_the_grid_of_the_stage(ledger, hours, minutes, looks):
    """A window is due a minute after its end; late ones are all due, oldest first."""
    found = opened(ledger)
    due = due_windows(found, at(found, hours, minutes))

    assert [one.look for one in due] == looks
    assert [one.started_at for one in due] == [at(found, look - 1) for look in looks]
    assert all(one.ended_at - one.started_at == HOUR for one in due)
    assert next_look_at(found) == at(found, 1, 1)


def test_due_windows_before_the_stage_began_are_none(ledger):
    """A clock that was set back finds nothing."""
    found = opened(ledger)
    assert due_windows(found, found.stage_started_at - 50 * HOUR) == ()


def test_due_windows_after_a_long_absence_are_at_most_24_and_one_gap(campaign):
    """The gap reaches from the newest look to the first of them."""
    gap, *due = due_windows(campaign, at(campaign, 100, 5))
    assert (gap.is_gap, gap.look, gap.started_at, gap.ended_at) == (True, 76, at(campaign, 1), at(campaign, 76))
    assert [one.look for one in due] == list(range(77, 101))
    assert len(due) == MOST_CAUGHT_UP


def test_due_windows_follow_the_newest_look(campaign):
    """Executing again within the window finds none."""
    assert due_windows(campaign, at(campaign, 1, 59)) == ()
    assert [one.look for one in due_windows(campaign, at(campaign, 2, 1))] == [2]


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({}, Status.OK),
        ({"reasons": (Reason.NOT_DUE,)}, Status.OK),
        ({"reasons": (Reason.WARNING, Reason.UNKNOWN)}, Status.WARN),
        ({"reasons": (Reason.EXPOSURE,)}, Status.WARN),
        ({"reasons": (Reason.NOT_CONFIRMED,)}, Status.WARN),
        ({"reasons": (Reason.FLAG_CHANGED,), "pauses": True}, Status.WARN),
        ({"reasons": (Reason.UNKNOWN,)}, Status.UNKNOWN),
        ({"reasons": (Reason.FLAG_UNREAD,)}, Status.UNKNOWN),
        ({"verb": Verb.PROMOTE, "reasons": (Reason.SOAKED,), "next_percentage": 50}, Status.OK),
        ({"verb": Verb.ROLLBACK, "reasons": (Reason.REGRESSION, Reason.UNKNOWN)}, Status.FAIL),
    ],
)
def test_status_word_of_each_decision_is_its_exit_code(changes, status):
    """0, 10, 20 or 30, by the deciding reason."""
    judged = Judged(17, None, decision(**changes))
    run = RolloutRun(FEATURE, Came.HELD if "verb" not in changes else Came.JUDGED, "", None, (judged,), (), ())
    assert status_word(run) is status


def test_replay_of_the_campaigns_own_policy_and_of_another(ledger):
    """The same decides the same; what cannot be tried is refused with the names."""
    found = opened(ledger)
    assert "nothing to replay" in show_replay(found, replay_campaign(found, policy_for_replay(found, Policy(), ())))
    found = looked(ledger, looked(ledger, found))
    policy = policy_for_replay(found, Policy(), ["hit_drop_points=2", "soak=12h", "stages=0,50,100"])

    assert (policy.hit_drop_points, policy.soak_seconds, policy.stages) == (2.0, 43_200.0, (0, 50, 100))
    replayed = replay_campaign(found, policy)
    assert [one.look for one in replayed.looks] == [1, 2]
    assert show_replay(found, replayed).count("hold") >= 2
    for wrong in ("look=2h", "alpha=2", "alpha=nan", "alpha=true", "soak=soon", "stages=100,0", "nonsense", "alpha"):
        with pytest.raises(UsageError):
            policy_for_replay(found, Policy(), [wrong])
    with pytest.raises(UsageError, match="given twice"):
        policy_for_replay(found, Policy(), ["alpha=0.1", "alpha=0.2"])


def notify_of(tmp_path, text):
    """``[notify]`` of a configuration."""
    path = tmp_path / "runbooks.toml"
    site = '[environments.a]\nredis_url = "redis://h/1"\nprometheus_url = "http://h"\nsite_url = "http://h"\n'
    path.write_text(site + text, encoding="utf-8")
    return config.load(path, {"URL": "json://127.0.0.1:9/t0ken"}).notify


def test_notify_configuration_takes_addresses_from_variables_and_shows_none(tmp_path):
    """They are credentials."""
    found = notify_of(tmp_path, '[notify]\nteam = ["${URL}"]\non_call = ["mailto://u:pw@h"]\n')
    assert (found.team, found.on_call) == (("json://127.0.0.1:9/t0ken",), ("mailto://u:pw@h",))
    assert set(found.secrets) == {*found.team, *found.on_call}
    assert "t0ken" not in repr(found)
    assert notify_of(tmp_path, "").team == ()


@pytest.mark.parametrize(
    "text", ['team = "slack://x"', 'team = ["secret-thing"]', 'mail = ["a://b"]', 'team = ["${GONE}"]', "secrets = []"]
)
def test_notify_configuration_that_cannot_be_is_refused_without_showing_an_address(tmp_path, text):
    """The key is named."""
    with pytest.raises(ConfigurationError) as refused:
        notify_of(tmp_path, f"[notify]\n{text}\n")
    assert "[notify]" in str(refused.value)
    assert "secret-thing" not in str(refused.value)


def test_tell_with_nobody_to_tell_or_no_ledger_never_raises(ledger, tmp_path):
    """No address: nothing is loaded or written. A ledger that cannot be written: said."""
    message = Message("end", "title", "verdict", ("a", "b", "c", "d"), "report.html", urgent=True)
    sender = Sender(config.Notify(), ledger, "rollout-00000000", "run-1", PLACE, "anna")
    assert tell(message, sender) == ()
    assert ledger.events() == ()
    assert message.body.splitlines() == ["verdict", "a", "b", "c", "Report: report.html"]
    broken = type(ledger)(f"sqlite:///{tmp_path}")
    notify = config.Notify(team=("nonsense://x",))
    (failure,) = tell(message, dataclasses.replace(sender, ledger=broken, addresses=notify))
    assert "the ledger does not know who was told" in failure
    (failure,) = tell(message, dataclasses.replace(sender, addresses=notify))
    assert failure == "team 1 (nonsense) was not told: its address in [notify] is none that Apprise knows"


@pytest.mark.parametrize(
    ("reason", "looks", "key", "urgent"),
    [
        (Reason.SOAKING, 3, None, False),
        (Reason.UNKNOWN, 2, None, False),
        (Reason.UNKNOWN, 3, "unknown:1:1", True),
        (Reason.WARNING, 3, "warned:1:1", False),
        (Reason.EXPOSURE, 4, "warned:1:1", False),
        (Reason.SOAKING, 5, None, False),
        (Reason.SOAKING, 6, "late:1:2", False),
        (Reason.SOAKING, 8, "late:1:2", False),
        (Reason.SOAKING, 9, "late:1:3", False),
    ],
)
def test_hold_that_lasts_is_told_once_whatever_keeps_it(ledger, reason, looks, key, urgent):
    """Blind or warned: three looks in a row. Any other, such as a site without traffic: at twice its soak, at thrice."""
    campaign = moved(ledger, opened(ledger, soak="3h"), 10)
    for _ in range(looks):
        look = look_after(campaign, decision=kept(reasons=(reason,), text="25 %: waits\x1b[31m"))
        campaign = Campaigns(ledger).looked(campaign, look)
    found = hold_message(campaign, "report.html")

    assert (found and found.key, bool(found and found.urgent)) == (key, urgent)
    assert found is None or "\x1b" not in found.body


def test_status_is_machine_readable(campaign):
    """Times in ISO 8601, gates as they are."""
    from msgspec import json as msgspec_json

    found = json.loads(msgspec_json.encode(status_of(campaign, at(campaign, 1))))
    assert (found["percentage"], found["gates"][0]["id"], found["state"]) == (10, "exposure", "running")


# Kayenta's word


def opinion(campaign):
    """What the notebook shows after an execution."""
    rollout = RolloutRun(FEATURE, Came.HELD, "", campaign, (), (), ())
    return " ".join(show_second_opinion(rollout, SimpleNamespace(policy=Policy())).text.split())


def test_second_opinion_says_what_it_rests_on_and_that_it_decides_nothing(ledger):
    """Asked from five looks on; before that it says how many are missing."""
    campaign = moved(ledger, opened(ledger), 10)
    for errors in (2.0, 3.0, 2.0, 4.0, 3.0):
        assert "not asked yet" in opinion(campaign) or not campaign.stage_looks
        cohorts = {"enhanced": CohortSample(600.0, errors), "control": CohortSample(5400.0, 9 * errors)}
        window = window_after(campaign, served_percent=(10.0, 10.0), gaps={}, **cohorts)
        campaign = Campaigns(ledger).looked(campaign, look_after(campaign, window=window))
    assert re.search(r"kayenta errors Pass control 0\.47 %", opinion(campaign))
    assert "5 looks; shown, decides nothing" in opinion(campaign)


def test_second_opinion_without_two_cohorts_or_looks_says_so(ledger):
    """At 0 % nobody has the feature; nothing is shown as agreement."""
    campaign = opened(ledger)
    assert opinion(campaign) == "No look was kept at this stage yet."
    assert opinion(looked(ledger, campaign)) == "At 0 % there are no two cohorts to compare."
    assert opinion(None) == "No look was kept at this stage yet."
