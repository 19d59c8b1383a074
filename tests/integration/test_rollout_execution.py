"""A gradual rollout, executed again and again: a fake site, a real ledger with its locks, Prometheus at the socket.

Time is a parameter: each execution says which moment it is, so days pass in seconds.
"""

import contextlib
import itertools
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from datetime import timedelta
from pathlib import Path
from unittest import mock

import pytest
from builders import HOSTILE
from rollout_site_fixtures import FEATURE, PAGER_TOKEN

from runbooks_lib.actions.outcome import Result
from runbooks_lib.judgement.rollout.model import Reason, Verb
from runbooks_lib.model import Status
from runbooks_lib.operations.rollout_work import Came
from runbooks_lib.records.approvals import Approvals
from runbooks_lib.records.campaign import CampaignState
from runbooks_lib.records.leases import Leases

FLAG = f"flag:{FEATURE}"
TESTS = Path(__file__).parents[1]
CHILD = """
import sys
from datetime import datetime
from actions_fixtures import DyingLedger
from runbooks_lib import config
from runbooks_lib.operations.rollout import execute_rollout
from runbooks_lib.runbook import open_runbook
url, kind, confirm, now = sys.argv[1:]
terms = {"stages": "0,50,100", "soak": "2h", "look": "1h"}
runbook = open_runbook("gradual_rollout", environment="site", configuration=config.load(), parameters={"confirm": confirm})
runbook.run.ledger = DyingLedger(url, kind)
moment = datetime.fromisoformat(now) if now else None
print(execute_rollout(runbook, "ENHANCED_CACHE", terms=terms, confirm=confirm, now=moment))
"""


def killed(rollout, kind, *, confirm="auto", looks=0):
    """An execution that is killed with -9 when it is about to write an event of this kind."""
    now = rollout.after(looks).isoformat() if looks else ""
    command = [sys.executable, "-c", CHILD, rollout.ledger_url, kind, confirm, now]
    variables = {**rollout.place.variables, "PYTHONPATH": f"{TESTS}:{TESTS.parent}"}
    done = subprocess.run(
        command, cwd=rollout.place.folder, env=variables, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stdout + done.stderr


@contextlib.contextmanager
def refusing(rollout, kind):
    """A ledger that takes no event of this kind."""
    with contextlib.closing(sqlite3.connect(rollout.ledger_url.removeprefix("sqlite:///"))) as database:
        database.execute(
            f"CREATE TRIGGER refusing BEFORE INSERT ON runbook_events WHEN NEW.kind = '{kind}' "
            "BEGIN SELECT RAISE(ABORT, 'disk full'); END"
        )
        yield
        database.execute("DROP TRIGGER refusing")


def by(name):
    """Somebody else executes."""
    return mock.patch.dict(os.environ, {"RUNBOOKS_OPERATOR": name})


def everything_kept(rollout):
    """All bytes under ``runs/``."""
    return b"".join(path.read_bytes() for path in (rollout.place.folder / "runs").rglob("*") if path.is_file())


def test_rollout_healthy_goes_stage_by_stage_to_its_end(rollout_site):
    """Begun with a digest once, then ``auto`` alone: each stage soaks, the last one completes, the flag is free again."""
    rollout = rollout_site()
    planned, verdict = rollout.execute(confirm="")
    assert (planned.came, planned.outcomes[0].result, rollout.code) == (Came.PLANNED, Result.PLANNED, 0)
    assert f"-p confirm={planned.outcomes[0].plan.digest}" in verdict.next_steps[0].command
    assert rollout.kinds("campaign.") == []

    campaign = rollout.begin()
    assert (campaign.percentage, campaign.state, rollout.holders) == (0, CampaignState.RUNNING, {FLAG: campaign.id})
    assert campaign.baseline.at(campaign.opened_at).hit_ratio == pytest.approx(0.93)
    came = []
    while Came.COMPLETE not in came and len(came) < 10:
        found, verdict = rollout.look()
        came.append(found.came)
        assert (verdict.status, rollout.code) == (Status.OK, 0)

    assert came == [Came.HELD, Came.PROMOTED, Came.HELD, Came.PROMOTED, Came.HELD, Came.COMPLETE]
    assert rollout.flag == ("gradual", 100)
    assert found.campaign.end == "complete"
    assert rollout.holders == {}
    assert [(path, body["title"]) for path, body in rollout.messages] == [
        ("/team", "OK · site: rollout of ENHANCED_CACHE complete at 100 %")
    ]
    again, verdict = rollout.look()
    assert (again.came, again.campaign, rollout.code) == (Came.OVER, found.campaign, 0)
    assert len(rollout.messages) == 1
    assert rollout.ledger.verify_chain() == ()


def test_rollout_with_blank_confirm_judges_and_changes_nothing(rollout_site):
    """It says what it would do, records no look and takes no lock."""
    rollout = rollout_site()
    campaign = rollout.begin()
    rollout.look()
    before = rollout.kinds("campaign."), rollout.kinds("lock."), rollout.kinds("action.")

    found, verdict = rollout.look(confirm="")

    assert (found.came, found.decision.verb, rollout.code) == (Came.JUDGED, Verb.PROMOTE, 0)
    assert "would promote: Promotes from 0 to 50 %" in verdict.headline
    assert "-p confirm=auto" in verdict.next_steps[0].command
    assert (rollout.kinds("campaign."), rollout.kinds("lock."), rollout.kinds("action.")) == before
    assert (rollout.flag, found.campaign.percentage, len(found.campaign.looks)) == (("gradual", 0), 0, 1)
    assert found.campaign.id == campaign.id


def test_rollout_executed_twice_within_a_look_buys_no_further_look(rollout_site):
    """The second says how the last one stood, with exit 0; a clock that stands before it is refused, not waited for."""
    rollout = rollout_site()
    rollout.begin()
    now = rollout.after(1)
    first, _ = rollout.execute(now=now)
    second, verdict = rollout.execute(now=now + timedelta(minutes=20))

    assert (second.came, second.decision.reasons) == (Came.HELD, (Reason.NOT_DUE,))
    assert (verdict.status, verdict.findings, rollout.code) == (Status.OK, (), 0)
    assert second.campaign.looks == first.campaign.looks
    assert rollout.kinds("campaign.") == ["opened", "looked"]
    assert first.text in second.text
    early, _ = rollout.execute(now=now - timedelta(days=2))
    assert ("a clock is, or was, wrong" in early.outcomes[0].detail, rollout.code) == (True, 40)


def test_rollout_whose_flag_is_changed_between_two_looks_pauses_at_once(rollout_site):
    """Not at the next look. And a bug in between is no silent hold: exit 20, told, and gone on with by the next."""
    rollout = rollout_site()
    rollout.begin(stages="50,100")
    now = rollout.after(0)
    found, verdict = rollout.execute(now=now.replace(tzinfo=None))
    assert (found.came, rollout.code, len(rollout.messages)) == (Came.FAILED, 20, 2)
    assert "a bug in the library: TypeError" in verdict.headline
    rollout.site.set_flag(FEATURE, "gradual", 90)
    found, _ = rollout.execute(now=now)

    assert (found.came, rollout.code, rollout.holders, found.campaign.looks) == (Came.PAUSED, 10, {}, ())
    assert "The flag is gradual at 90 %" in found.text


def test_rollout_that_does_harm_is_rolled_back_where_its_look_cannot_be_kept(rollout_site):
    """Known harm does not wait for the ledger; a ledger that keeps nothing at all is loud, never a silent 30."""
    rollout = rollout_site()
    rollout.begin(stages="50,100")
    rollout.metrics.enhanced_errors = 0.3
    with refusing(rollout, "lock.acquired"):
        found, _ = rollout.look()
        assert (found.came, rollout.code) == (Came.FAILED, 20)
        assert "does not go on without its ledger" in found.text
    with refusing(rollout, "campaign.looked"):
        found, _ = rollout.look()

    assert (found.came, rollout.code, rollout.flag) == (Came.ROLLED_BACK, 20, ("off", 0))
    assert (found.notes[0].startswith("look 1 could not be kept"), rollout.holders) == (True, {})
    assert len(rollout.messages) == 2


def test_rollout_executed_late_judges_every_window_and_keeps_what_is_too_old_as_a_gap(rollout_site):
    """Thirty hours late: 24 looks, and one gap before them; the soak counts what was looked at."""
    rollout = rollout_site()
    campaign = rollout.begin(soak="40h")
    found, _ = rollout.look(30)
    looks = found.campaign.looks

    assert [look.look for look in looks] == [6, *range(7, 31)]
    assert (looks[0].window.observed_ratio, looks[0].window.seconds) == (0.0, 6 * 3600)
    assert looks[0].window.started_at == campaign.stage_started_at
    assert all(one.window.ended_at == other.window.started_at for one, other in itertools.pairwise(looks))
    assert found.decision.healthy_seconds == pytest.approx(24 * 3600)
    assert rollout.flag == ("gradual", 0)


def test_rollout_that_does_harm_is_rolled_back_at_once_also_in_a_window_that_is_judged_late(rollout_site):
    """Exit 20; what the guide lists is off and read back, the evidence stands first, everybody was told, once."""
    rollout = rollout_site()
    rollout.begin(stages="50,100")
    rollout.metrics.enhanced_errors = 0.3
    found, verdict = rollout.look(5)

    assert (found.came, verdict.status, rollout.code) == (Came.ROLLED_BACK, Status.FAIL, 20)
    assert [look.look for look in found.campaign.looks] == [1]
    assert {rollout.site.flags[name]["strategy"] for name in (FEATURE, "CACHE_WARMING", "RATE_LIMITING")} == {"off"}
    assert (found.campaign.end, rollout.holders) == ("rolled back", {})
    assert verdict.rule.startswith("FAIL errors")
    assert {finding.id for finding in verdict.findings if finding.status is Status.FAIL} == {"rollout.errors_limit"}
    assert verdict.next_steps[-1].text.startswith("To put it back")
    assert sorted(path for path, _ in rollout.messages) == [f"/{PAGER_TOKEN}", "/team"]
    (body, _) = (message["message"] for _, message in rollout.messages)
    assert body.startswith("FAIL: Rolls back from 50 %: errors")
    assert "Report: " in body
    assert PAGER_TOKEN.encode() not in everything_kept(rollout)

    again, verdict = rollout.look()
    assert (again.came, rollout.code, len(rollout.messages)) == (Came.OVER, 10, 2)
    assert "rolled back" in verdict.headline
    assert rollout.kinds("campaign.").count("opened") == 1


def test_rollout_holds_while_prometheus_is_down_and_goes_on_when_it_is_back(rollout_site):
    """Exit 30, one look each, nothing is promoted; the third calls a person, once; then it goes on."""
    rollout = rollout_site()
    rollout.begin(stages="50,100")
    rollout.look()
    rollout.metrics.down = True
    codes = []
    for _ in range(4):
        found, _ = rollout.look()
        codes.append(rollout.code)

    assert codes == [30, 30, 30, 30]
    assert (found.decision.escalates, rollout.flag) == (True, ("gradual", 50))
    assert sorted(path for path, _ in rollout.messages) == [f"/{PAGER_TOKEN}", "/team"]
    assert "held for 3 looks" in rollout.messages[0][1]["message"]
    late, _ = rollout.look(5)
    assert len(late.judged) == 1, "what it will tell later is left for later"
    rollout.metrics.down = False
    found, _ = rollout.look(3)
    assert (found.came, rollout.flag, rollout.code) == (Came.PROMOTED, ("gradual", 100), 0)


def test_rollout_pauses_where_a_person_changed_the_flag_and_resumes_where_it_stands(rollout_site):
    """The flag is anybody's while it is paused; it goes on from a stage only, and the stage begins anew."""
    rollout = rollout_site()
    rollout.begin()
    rollout.site.set_flag(FEATURE, "gradual", 30)
    found, verdict = rollout.look()
    assert (found.came, verdict.status, rollout.code) == (Came.PAUSED, Status.WARN, 10)
    assert "somebody changed it and must decide" in found.campaign.state_reason
    assert any("runbooks rollout resume" in step.command for step in verdict.next_steps)
    assert (rollout.holders, rollout.flag) == ({}, ("gradual", 30))
    found, _ = rollout.look()
    assert (found.came, rollout.code, len(found.campaign.looks)) == (Came.PAUSED, 10, 1)
    assert len(rollout.messages) == 2

    found, _ = rollout.execute(action="resume", reason="go on")
    assert (found.outcomes[0].result, rollout.code) == (Result.REFUSED, 40)
    assert "which is no stage of" in found.outcomes[0].detail
    rollout.site.set_flag(FEATURE, "gradual", 50)
    found, _ = rollout.execute(action="resume", reason="ben took 50 %")
    campaign = found.campaign
    assert (found.came, rollout.code, campaign.state, campaign.percentage) == (
        Came.RESUMED,
        0,
        CampaignState.RUNNING,
        50,
    )
    assert (campaign.stage_looks, rollout.holders) == ((), {FLAG: campaign.id})
    assert [rollout.look()[0].came, rollout.look()[0].came] == [Came.HELD, Came.PROMOTED]
    assert rollout.flag == ("gradual", 100)


def test_rollout_executed_twice_at_once_refuses_the_second_and_names_the_first(rollout_site):
    """Exit 40; nothing was judged or changed."""
    rollout = rollout_site()
    rollout.begin()
    held = Leases(rollout.ledger).acquire(
        environment="site",
        resources=[f"rollout:{FEATURE}"],
        holder="run-of-ben",
        operator="ben",
        seconds=60,
        purpose="gradual rollout",
    )
    found, _ = rollout.look()

    assert (found.came, found.outcomes[0].result, rollout.code) == (Came.NOTHING, Result.REFUSED, 40)
    assert "is locked by ben" in found.outcomes[0].detail
    assert rollout.kinds("campaign.") == ["opened"]
    Leases(rollout.ledger).release(held)
    assert rollout.look()[0].came is Came.HELD


def test_rollout_whose_flag_somebody_else_holds_is_held_and_says_who(rollout_site):
    """It looks nevertheless: nothing goes up, and harm that cannot be taken away is exit 20 and told to everybody."""
    rollout = rollout_site()
    campaign = rollout.begin()
    leases = Leases(rollout.ledger)
    leases.break_lease("site", FLAG, operator="ben", reason="urgent", run_id="run-of-ben")
    ben = {"environment": "site", "holder": "run-of-ben", "operator": "ben", "seconds": 60, "purpose": "set_percentage"}
    held = leases.acquire(resources=[FLAG], **ben)
    found, _ = rollout.look()
    assert (found.came, len(found.campaign.looks), rollout.code) == (Came.HELD, 1, 0)
    assert "is locked by ben" in found.notes[0]
    found, verdict = rollout.look()
    assert (found.came, verdict.status, rollout.code, rollout.flag) == (Came.HINDERED, Status.WARN, 10, ("gradual", 0))
    assert "50 % is due and waits" in verdict.headline
    assert [path for path, _ in rollout.messages] == ["/team"]

    rollout.metrics.penetration = 0.9
    found, verdict = rollout.look()
    assert (found.came, verdict.status, rollout.code) == (Came.FAILED, Status.FAIL, 20)
    assert found.outcomes[-1].result is Result.REFUSED
    assert "could not be changed at 0 %" in rollout.messages[-1][1]["title"]
    leases.release(held)
    leases.acquire(resources=["flag:CACHE_WARMING"], **ben)
    found, verdict = rollout.execute()
    assert (found.came, found.campaign.id, rollout.flag) == (Came.ROLLED_BACK, campaign.id, ("off", 0))
    assert ([one.result for one in found.outcomes], rollout.code) == ([Result.REFUSED, Result.APPLIED], 20)


def test_rollout_order_without_a_rollout_or_a_reason_is_refused(rollout_site):
    """Exit 40, and the list of rollouts or the reason is named; a hostile reason is data."""
    rollout = rollout_site()
    orders = ("pause", "resume", "abort", "promote")
    for action in orders:
        found, _ = rollout.execute(action=action, reason=HOSTILE)
        assert ("no rollout of ENHANCED_CACHE is under way" in found.outcomes[0].detail, rollout.code) == (True, 40)
    rollout.begin()
    for action in orders:
        found, _ = rollout.execute(action=action, reason=" ")
        assert (f"{action} needs a reason" in found.outcomes[0].detail, rollout.code) == (True, 40)
    assert rollout.kinds("campaign.") == ["opened"]
    found, _ = rollout.execute(action="pause", reason=HOSTILE)
    assert found.came is Came.PAUSED
    assert "\x1b" not in found.campaign.state_reason + "".join(body["message"] for _, body in rollout.messages)


def test_rollout_aborted_while_paused_takes_the_feature_away(rollout_site):
    """By order of a person with a reason, who is recorded; an execution that is at work is waited for."""
    rollout = rollout_site()
    rollout.begin(stages="50,100")
    found, _ = rollout.execute(action="pause", reason="lunch")
    assert (found.came, found.campaign.state_reason, rollout.holders) == (Came.PAUSED, "lunch", {})
    leases = Leases(rollout.ledger)
    cron = {"holder": "run-of-cron", "operator": "cron", "seconds": 60, "purpose": "gradual rollout"}
    held = leases.acquire(environment="site", resources=[f"rollout:{FEATURE}"], **cron)
    ends = threading.Timer(0.5, leases.release, [held])
    ends.start()
    with by("ben"):
        found, _ = rollout.execute(action="abort", reason="users complain")
    ends.join()

    assert (found.came, rollout.code, rollout.flag) == (Came.ABORTED, 0, ("off", 0))
    assert (found.campaign.end, found.campaign.state_by) == ("aborted", "ben")
    assert found.campaign.state_reason == "users complain"
    assert rollout.kinds("campaign.") == ["opened", "paused", "aborting", "ended"]


def test_rollout_promoted_by_a_person_goes_one_stage_after_a_plan(rollout_site):
    """Before the soak is over; planned first, confirmed with the digest, never after a look that found harm."""
    rollout = rollout_site()
    rollout.begin(stages="50,75,100")
    planned, verdict = rollout.execute(action="promote", confirm="", reason="release tonight")
    assert (planned.outcomes[0].result, rollout.flag) == (Result.PLANNED, ("gradual", 50))
    digest = planned.outcomes[0].plan.digest
    assert any(f"confirm={digest}" in step.command for step in verdict.next_steps)
    found, _ = rollout.execute(action="promote", confirm=digest, reason="release tonight")
    assert (found.came, found.campaign.percentage, rollout.flag) == (Came.PROMOTED, 75, ("gradual", 75))
    again, _ = rollout.execute(action="promote", confirm=digest, reason="release tonight")
    assert (again.outcomes[0].result, rollout.code, rollout.flag) == (Result.REFUSED, 40, ("gradual", 75))

    rollout.metrics.penetration = 0.25
    rollout.look()
    refused, _ = rollout.execute(action="promote", confirm="", reason="now", now=rollout.after(0))
    assert "found harm at 75 %: penetration" in refused.outcomes[0].detail
    found, _ = rollout.execute(action="promote", confirm=digest, reason="now", now=rollout.after(1))
    assert (found.came, rollout.code, rollout.flag) == (Came.ROLLED_BACK, 20, ("off", 0)), "judged before it goes up"


def test_rollout_that_cannot_be_rolled_back_says_so_calls_and_tries_again(rollout_site):
    """The site's shell is broken: exit 20, never a silent 30; the next execution does it without a new look."""
    rollout = rollout_site()
    rollout.begin(stages="50,100")
    rollout.metrics.enhanced_errors = 0.3
    rollout.site.misbehave(broken="the deployment is half done")
    found, verdict = rollout.look()
    assert (found.came, verdict.status, rollout.code) == (Came.FAILED, Status.FAIL, 20)
    assert "the rollback was due and is not done" in verdict.headline
    assert (found.campaign.state, rollout.flag) == (CampaignState.RUNNING, ("gradual", 50))
    assert {body["title"].partition(" · ")[0] for _, body in rollout.messages} == {"FAIL"}

    rollout.site.misbehave()
    found, _ = rollout.execute()
    assert (found.came, rollout.code, rollout.flag) == (Came.ROLLED_BACK, 20, ("off", 0))
    assert len(found.campaign.looks) == 1


def test_rollout_in_a_protected_environment_goes_on_by_the_one_approval_of_its_start(rollout_site):
    """Anna plans, ben approves, anna begins; then it goes up and down by itself, and nothing else is allowed."""
    rollout = rollout_site(protected=True)
    with by("anna"):
        planned, verdict = rollout.execute(confirm="", reason="release 7")
        assert "runbooks approve" in verdict.next_steps[0].command
        digest = planned.outcomes[0].plan.digest
        found, _ = rollout.execute(confirm=digest, reason="release 7")
        assert (found.outcomes[0].result, rollout.code) == (Result.REFUSED, 40)
        approvals = Approvals(rollout.ledger)
        with by("ben"):
            approvals.give(approvals.proposal(digest, environment="site"), approver="ben", seconds=60)
        found, _ = rollout.execute(confirm=digest, reason="release 7")
    assert (found.came, found.campaign.approver) == (Came.BEGUN, "ben")
    with by("cron"):
        assert [rollout.look()[0].came, rollout.look()[0].came] == [Came.HELD, Came.PROMOTED]
        rollout.metrics.enhanced_errors = 0.3
        assert (rollout.look()[0].came, rollout.flag) == (Came.ROLLED_BACK, ("off", 0))


def test_rollout_auto_without_a_campaign_begins_one_only_where_auto_is_allowed(rollout_site):
    """What runs unattended begins nothing by itself on a site that does not allow it."""
    rollout = rollout_site()
    found, _ = rollout.execute()
    assert (found.outcomes[0].result, rollout.code) == (Result.REFUSED, 40)
    assert "does not allow confirm=auto" in found.outcomes[0].detail
    rollout = rollout_site(allow_auto=True)
    assert rollout.execute()[0].came is Came.BEGUN


def test_rollout_message_that_cannot_be_sent_is_a_note_and_is_sent_by_the_next(rollout_site):
    """A notification never fails a run."""
    rollout = rollout_site()
    path = rollout.place.folder / "runbooks.toml"
    right = path.read_text(encoding="utf-8")
    path.write_text(right.replace("json://127.0.0.1", "json://127.0.0.1:9/"), encoding="utf-8")
    rollout.begin()
    found, _ = rollout.execute(action="pause", reason="lunch")
    assert (found.came, rollout.code, rollout.messages) == (Came.PAUSED, 10, [])
    assert len(found.notes) == 2
    assert found.notes[0].startswith("team 1 (json) was not told: the service could not be reached")
    assert rollout.kinds("notify.") == ["failed", "failed"]
    path.write_text(right + 'mail = "nonsense"\n', encoding="utf-8")
    found, _ = rollout.execute()
    assert (found.came, rollout.code, found.notes[0][:16]) == (Came.PAUSED, 10, "nobody was told:")
    path.write_text(right, encoding="utf-8")
    found, _ = rollout.execute()
    assert (found.notes, len(rollout.messages)) == ((), 2)
    assert rollout.kinds("notify.") == ["failed", "failed", "sent", "sent"]


@pytest.mark.timeout(120)
def test_rollout_killed_at_each_write_ahead_point_goes_on_correctly(rollout_site):
    """kill -9 while it begins, looks and promotes; no stage is skipped, none is entered twice."""
    rollout = rollout_site()
    planned, _ = rollout.execute(confirm="")
    killed(rollout, "campaign.opened", confirm=planned.outcomes[0].plan.digest)
    assert (rollout.kinds("campaign."), rollout.flag) == ([], ("gradual", 0))
    rollout.execute()
    assert rollout.kinds("campaign.") == ["opened"]

    killed(rollout, "campaign.looked", looks=1)
    assert rollout.kinds("campaign.") == ["opened"]
    rollout.look()
    killed(rollout, "action.intended", looks=1)
    assert (rollout.kinds("campaign.")[-1], rollout.flag) == ("looked", ("gradual", 0))
    killed(rollout, "action.ended", looks=1)
    assert (rollout.kinds("action.")[-1], rollout.flag) == ("intended", ("gradual", 50))
    found, _ = rollout.execute()
    assert (found.campaign.percentage, found.campaign.stage_number, rollout.code) == (50, 1, 0)
    assert rollout.kinds("action.")[-1] == "checked"

    rollout.look()
    killed(rollout, "campaign.moved", looks=1)
    assert (rollout.kinds("action.")[-1], rollout.flag) == ("ended", ("gradual", 100))
    found, _ = rollout.execute()
    assert (found.campaign.percentage, found.campaign.stage_number, rollout.flag) == (100, 2, ("gradual", 100))
    assert [move.to_percentage for move in found.campaign.moves] == [50, 100]
    assert rollout.ledger.verify_chain() == ()


@pytest.mark.parametrize(
    ("kind", "flag"),
    [("action.intended", ("gradual", 50)), ("action.ended", ("off", 0))],
)
def test_rollout_killed_while_it_rolls_back_ends_rolled_back(rollout_site, kind, flag):
    """Whatever was done of it by then: the next execution ends with the feature off, and tells it."""
    rollout = rollout_site()
    rollout.begin(stages="50,100")
    rollout.metrics.enhanced_errors = 0.3
    killed(rollout, kind, looks=1)
    assert (rollout.flag, rollout.messages) == (flag, [])

    found, verdict = rollout.execute()

    assert (found.came, rollout.code, rollout.flag) == (Came.ROLLED_BACK, 20, ("off", 0))
    assert (found.campaign.end, rollout.holders) == ("rolled back", {})
    assert "rolled back from 50 %: errors" in verdict.headline
    assert any(finding.status is Status.FAIL and finding.id.startswith("rollout.") for finding in verdict.findings)
    assert all("FAIL errors" in message["message"] for _, message in rollout.messages)
    assert len(rollout.messages) == 2


def test_rollout_under_way_takes_no_other_digest(rollout_site):
    """A digest of something else is refused; that of its own start is as good as ``auto``."""
    rollout = rollout_site()
    campaign = rollout.begin()
    for confirm in ("9c1f-77ab-03de", "yes", HOSTILE):
        found, _ = rollout.look(confirm=confirm)
        assert (rollout.code, found.judged) == (40, ())
    assert rollout.look(confirm=campaign.full_digest[:12])[0].came is Came.HELD
    assert rollout.look(confirm="auto\n")[0].came is Came.PROMOTED
