"""Start, moves and rollback of a campaign on a fake site: approved once, then by its mandate; killed at every point."""

from __future__ import annotations

import dataclasses
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from actions_fixtures import DyingLedger, Hooked, kinds
from campaign_builders import (
    FEATURE,
    WHO,
    begun,
    ended,
    look_after,
    looked,
    opened,
    plan_of,
)
from fake_site.place import FakeSite

from runbooks_lib.actions.apply import apply
from runbooks_lib.actions.check import check
from runbooks_lib.actions.desk import Desk
from runbooks_lib.actions.flags.feature import DisableFeature, SetPercentage
from runbooks_lib.actions.flags.feature_sets import RollBackFeatures
from runbooks_lib.actions.flags.rollout import MoveRollout, StartRollout
from runbooks_lib.actions.outcome import Outcome, Result
from runbooks_lib.errors import RefusedError
from runbooks_lib.records.campaign_steps import StepState, steps_of
from runbooks_lib.records.campaigns import (
    Campaign,
    Campaigns,
    applied_rollback,
    open_move,
    open_start,
    unopened_start,
    unrecorded_move,
)
from runbooks_lib.records.leases import Leases
from runbooks_lib.records.ledger import Ledger, Writing
from runbooks_lib.records.mandates import Mandate

START = StartRollout(feature=FEATURE, stages="10,25,50,100")
UP = MoveRollout(feature=FEATURE, from_percentage=10, to_percentage=25)
REASON = {"reason": "a test", **WHO}


@pytest.fixture
def site(fake_site: Callable[..., FakeSite]) -> FakeSite:
    """The flag is off; one user is on its whitelist."""
    made = fake_site()
    made.set_flag(FEATURE, "off", 0, (7,))
    return made


@pytest.fixture
def at(site: FakeSite, ledger: Ledger) -> Callable[..., Desk]:
    """Makes desks on a protected environment where nothing goes by itself: ``at(campaign)`` has its mandate."""

    def make(campaign: Campaign | None = None, operator: str = "anna", **changes: Any) -> Desk:
        own = {name: changes.pop(name) for name in tuple(changes) if name in Desk.__dataclass_fields__}
        usual = {"protected": True, "allow_auto": False, **changes}
        environment = msgspec.structs.replace(site.environment, **usual)
        mandate = None if campaign is None else Mandate(campaign.id)
        return Desk(environment, **{"ledger": ledger, "run_id": "run", "operator": operator, "mandate": mandate, **own})

    return make


@pytest.fixture
def campaign(site: FakeSite, at: Callable[..., Desk], ledger: Ledger) -> Campaign:
    """Approved, at 10 %, and its newest look promotes. Its start is written down, not carried out: that is tested once."""
    plan = apply(START, at()).plan
    assert plan is not None
    action_id = begun(ledger, plan, approver="ben")
    ended(ledger, action_id, environment=plan.environment)
    site.set_flag(FEATURE, "gradual", 10, (7,))
    return looked(ledger, opened(ledger, action_id), "promote")


def carried_out(action: Any, desk: Desk) -> Outcome:
    """As a campaign does it."""
    return apply(action, desk, confirm="auto", reason="look 1 promotes")


def explained(outcome: Outcome) -> str:
    """For the message of an assertion."""
    return f"{outcome.result}: {outcome.detail} ({outcome.hint}) {outcome.ledger_error}"


def test_rollout_is_approved_once_and_goes_on_by_its_mandate(site, at, ledger):
    """Plan, approval, start, one stage up without a digest, and the rollback: each read back, each under its campaign."""
    plan = apply(START, at()).plan
    shown = {item.name: item.value for item in plan.blast_radius}
    assert plan.title == f"roll {FEATURE} out step by step: 10 → 25 → 50 → 100 % of the users"
    assert [name for name in shown if name.startswith("stage ")] == [
        "stage 10 %",
        "stage 25 %",
        "stage 50 %",
        "stage 100 %",
    ]
    assert (
        "roll_back_features on known harm: ENHANCED_CACHE, CACHE_WARMING, RATE_LIMITING off"
        in shown["unattended, down"]
    )
    assert plan.intent == dataclasses.asdict(START)
    assert (plan.undo.action, dict(plan.undo.parameters)) == ("disable_feature", {"feature": FEATURE})
    assert carried_out(START, at()).result is Result.REFUSED
    assert apply(START, at(), confirm=plan.digest, reason="go").detail.startswith(
        "test is protected, and nobody approved"
    )

    at().approvals.give(at().approvals.proposal(plan.digest, environment="test"), approver="ben", seconds=60)
    started = apply(START, at(), confirm=plan.digest, reason="go")
    assert started.result is Result.APPLIED, explained(started)
    assert site.flags[FEATURE] == {"strategy": "gradual", "percentage": 10, "whitelist": [7]}
    assert unopened_start(ledger, "test", FEATURE).action_id == started.action_id
    campaign = looked(ledger, opened(ledger, started.action_id), "promote")
    assert (campaign.approver, campaign.full_digest) == ("ben", plan.full_digest)

    assert apply(UP, at(campaign)).needs == ()
    alone = apply(UP, at())
    assert alone.needs == ("a reason", f"approval of {alone.plan.digest} by somebody other than you")
    up = carried_out(UP, at(campaign))
    assert up.result is Result.APPLIED, explained(up)
    assert site.flags[FEATURE]["percentage"] == 25
    (intended,) = (event.payload for event in ledger.events(kind="action.intended") if event.event_id == up.action_id)
    assert (intended["campaign"], intended["approval"]) == (campaign.id, None)
    step = unrecorded_move(ledger, campaign)
    campaign = Campaigns(ledger).moved(campaign, 10, 25, at=step.at, action_id=step.action_id, **WHO)

    down = carried_out(RollBackFeatures(), at(campaign, operator="zoe"))
    assert down.result is Result.APPLIED, explained(down)
    assert site.flags[FEATURE]["strategy"] == site.flags["RATE_LIMITING"]["strategy"] == "off"
    assert [step.state for step in steps_of(ledger, campaign)] == [StepState.APPLIED, StepState.APPLIED]
    assert Leases(ledger).held() == ()
    assert ledger.verify_chain() == ()


@pytest.mark.parametrize(
    ("action", "words"),
    [
        (dataclasses.replace(UP, feature="RATE_LIMITING"), "the flag still has the 10 % that was judged: on"),
        (dataclasses.replace(UP, to_percentage=50), "the next stage after 10 % is 25 %, not 50 %"),
        (SetPercentage(feature=FEATURE, percentage=25), "is no mandate for set_percentage"),
        (DisableFeature(feature="CACHE_WARMING"), "is no mandate for disable_feature"),
    ],
    ids=str,
)
def test_mandate_stretched_writes_nothing(site, at, campaign, ledger, action, words):
    """Even where ``allow_auto`` would let it pass: a desk with a mandate does what that covers, and nothing else."""
    before, events = site.flags, len(kinds(ledger, prefix="action."))
    outcome = carried_out(action, at(campaign, protected=False, allow_auto=True))

    assert (outcome.result, outcome.exit_code) == (Result.REFUSED, 40), explained(outcome)
    assert words in outcome.detail
    assert site.flags == before
    assert kinds(ledger, prefix="action.")[events:] == ["action.refused"]


def test_mandate_under_another_name_or_at_another_place_writes_nothing(site, at, campaign):
    """The same site under another name; the same name, another folder; a start that was never approved."""
    before = site.flags
    for action, change, words in [
        (UP, {"name": "other"}, "it is for test, not for other"),
        (DisableFeature(feature=FEATURE), {"name": "other"}, "it is for test, not for other"),
        (UP, {"root": Path("/")}, "root leads elsewhere than when it was started"),
        (UP, {"key_version": 7}, "key_version leads elsewhere than when it was started"),
    ]:
        outcome = carried_out(action, at(campaign, **change))
        assert outcome.result is Result.REFUSED, explained(outcome)
        assert words in outcome.detail
    assert site.flags == before


def test_mandate_of_an_unapproved_start_writes_nothing_in_a_protected_environment(site, at, ledger):
    """Applied while ``allow_auto`` let it pass; protected since."""
    started = apply(START, at(protected=False, allow_auto=True), confirm="auto")
    campaign = looked(ledger, opened(ledger, started.action_id), "promote")
    refused = carried_out(UP, at(campaign))

    assert refused.result is Result.REFUSED, explained(refused)
    assert "does not count as approved: nobody approved it" in refused.detail
    assert site.flags[FEATURE]["percentage"] == 10
    assert carried_out(UP, at(campaign, protected=False)).result is Result.APPLIED


class LateLedger(Ledger):
    """Something happens directly before the transaction that writes the intention, after everything was asked."""

    def __init__(self, url: str, hook: Callable[[], object]) -> None:
        super().__init__(url)
        self._hook, self._transactions = hook, 0

    @contextmanager
    def writing(self) -> Iterator[Writing]:
        self._transactions += 1
        if self._transactions == 2:
            self._hook()
        with super().writing() as writing:
            yield writing


@pytest.mark.parametrize("change", ["paused", "ended", "aborting"])
def test_mandate_lost_directly_before_the_intention_writes_nothing(site, at, campaign, ledger, runs_folder, change):
    """Paused, ended or aborted by somebody between the last question and the entry in the ledger."""
    campaigns = Campaigns(ledger)
    say = {
        "paused": lambda: campaigns.paused(campaign, **REASON),
        "ended": lambda: campaigns.ended(campaign, "aborted", **REASON),
        "aborting": lambda: campaigns.aborting(campaign, **REASON),
    }
    late = LateLedger(f"sqlite:///{runs_folder / 'ledger.sqlite3'}", say[change])
    before = len(ledger.events(kind="action.intended"))
    outcome = carried_out(UP, at(campaign, ledger=late))
    late.close()

    assert (outcome.result, outcome.exit_code) == (Result.REFUSED, 40), explained(outcome)
    assert campaign.id in outcome.detail
    assert len(ledger.events(kind="action.intended")) == before
    assert site.flags[FEATURE]["percentage"] == 10


@pytest.mark.parametrize("changed", [("gradual", 30), ("on", 100), ("off", 0), ("whitelist", 10)])
def test_move_of_a_flag_that_somebody_changed_is_refused(site, at, campaign, changed):
    """A campaign goes on from what it judged itself."""
    site.set_flag(FEATURE, *changed)
    outcome = carried_out(UP, at(campaign))

    assert outcome.result is Result.REFUSED, explained(outcome)
    assert "the flag still has the 10 % that was judged" in outcome.detail
    assert (site.flags[FEATURE]["strategy"], site.flags[FEATURE]["percentage"]) == changed


def test_move_of_a_flag_changed_in_the_middle_is_refused_by_the_site(site, at, campaign, ledger):
    """Compare and set: the site's own process looks again right before it writes."""
    change = lambda: site.set_flag(FEATURE, "gradual", 10, (7, 8))  # noqa: E731 - one line is enough
    outcome = carried_out(Hooked(UP, "write", change), at(campaign))

    assert outcome.result is Result.REFUSED, explained(outcome)
    assert "changed since it was planned" in outcome.detail
    assert open_move(ledger, campaign) is unrecorded_move(ledger, campaign) is None


def test_change_that_a_person_confirmed_is_not_the_campaigns(at, campaign, ledger):
    """At the campaign's desk, with a digest of its own: the campaign did not do it, and is not ended by it."""
    action, desk = DisableFeature(feature="PENETRATION_PROTECTION"), at(campaign, protected=False)
    outcome = apply(action, desk, confirm=apply(action, desk).plan.digest, reason="a test")
    assert outcome.result is Result.APPLIED, explained(outcome)
    assert steps_of(ledger, campaign) == ()


def test_second_start_is_refused_while_a_campaign_is_current(site, at, campaign, ledger):
    """Also while it is paused and holds no lock: shown in the plan, and asked again under the lock."""
    Campaigns(ledger).paused(campaign, **REASON)
    other = StartRollout(feature=FEATURE, stages="50,100")
    dry = apply(other, at(protected=False))
    assert "no other rollout of this feature is under way: campaign" in dry.detail
    outcome = apply(other, at(protected=False), confirm=dry.plan.digest)

    assert (outcome.result, outcome.exit_code) == (Result.REFUSED, 40), explained(outcome)
    assert f"{campaign.id} is paused since" in outcome.detail
    assert f"runbooks rollout abort {FEATURE} --environment test" in outcome.hint
    assert site.flags[FEATURE]["percentage"] == 10


def test_lock_of_a_campaign_names_the_commands_that_stop_it(at, campaign, ledger):
    """Anybody in an incident learns how to take the feature away from everybody now; a name is data for the shell."""
    usual = {"environment": "test", "holder": campaign.id, "operator": "anna", "seconds": 60.0, "purpose": "rollout"}
    leases = Leases(ledger)
    leases.acquire(resources=[f"flag:{FEATURE}", "flag:a'; rm -rf ~ #"], outlives_process=True, **usual)
    refused = apply(DisableFeature(feature=FEATURE), at(protected=False, allow_auto=True), confirm="auto")

    assert refused.exit_code == 40
    assert f"flag:{FEATURE} on test is locked by anna" in refused.detail
    assert f"runbooks rollout abort {FEATURE} -e test --reason …" in refused.hint
    assert f"runbooks rollout pause {FEATURE} -e test --reason …" in refused.hint
    with pytest.raises(RefusedError) as caught:
        leases.acquire(**{**usual, "holder": "run-2"}, resources=["flag:a'; rm -rf ~ #"])
    assert """rollout abort 'a'"'"'; rm -rf ~ #' -e test --reason""" in caught.value.hint


def die() -> None:
    """kill -9."""
    os.kill(os.getpid(), signal.SIGKILL)


def killed(run: Callable[[], object]) -> None:
    """Run it in a process of its own, which must be killed (kill -9) before it gets to its end."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        try:
            run()
        except BaseException:  # noqa: BLE001 - this process ends here, whatever happens
            traceback.print_exc()
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL


def goes_on(url: str, desk: Desk, campaign: Campaign, action: Any, point: str) -> Callable[[], None]:
    """What an execution does after a look: it changes the flag, records that, and looks again or ends."""

    def run() -> None:
        ledger = DyingLedger(url, point)
        campaigns = Campaigns(ledger)
        hooked = Hooked(action, "write", die, after=point == "written") if point in ("write", "written") else action
        outcome = carried_out(hooked, dataclasses.replace(desk, ledger=ledger, run_id="run-2"))
        if isinstance(action, MoveRollout):
            given = {"at": outcome.at, "action_id": outcome.action_id, **WHO}
            now = campaigns.moved(campaign, 10, 25, **given)
            campaigns.looked(now, look_after(now))
        else:
            campaigns.ended(campaign, "rolled back", **REASON)

    return run


#: Where it is killed → the flag's percentage then; is an intention open; what a check finds; is a move not recorded.
KILLED = {
    "action.intended": (10, False, None, False),
    "write": (10, True, Result.UNCHANGED, False),
    "written": (25, True, Result.APPLIED, False),
    "action.ended": (25, True, Result.APPLIED, False),
    "campaign.moved": (25, False, None, True),
    "campaign.looked": (25, False, None, False),
}


@pytest.mark.parametrize("point", KILLED)
def test_move_killed_at_every_point_leaves_what_the_next_execution_needs(
    site, at, campaign, ledger, runs_folder, point
):
    """kill -9: whether it happened can be told, it is recorded once, and the campaign goes on from there."""
    killed(goes_on(f"sqlite:///{runs_folder / 'ledger.sqlite3'}", at(campaign), campaign, UP, point))
    percentage, is_open, checked, is_unrecorded = KILLED[point]
    campaigns, desk = Campaigns(ledger), at(campaign)

    now = campaigns.find(campaign.id)
    left = open_move(ledger, now)
    assert site.flags[FEATURE]["percentage"] == percentage
    assert (left is not None, unrecorded_move(ledger, now) is not None) == (is_open, is_unrecorded)
    if left:
        assert (left.action, left.running) == ("move_rollout", False)
        assert check(left.action_id, desk).result is checked
        assert open_move(ledger, now) is None
    step = unrecorded_move(ledger, now)
    if step:
        now = campaigns.moved(now, 10, 25, at=step.at, action_id=step.action_id, **WHO)
    assert now.percentage == percentage
    assert now == campaigns.find(campaign.id)
    if percentage == 10:
        assert carried_out(UP, desk).result is Result.APPLIED
    else:
        assert len(looked(ledger, now).stage_looks) == 1
    assert site.flags[FEATURE]["percentage"] == 25


@pytest.mark.parametrize("point", ["written", "campaign.ended"])
def test_rollback_killed_leaves_what_the_next_execution_needs(site, at, campaign, ledger, runs_folder, point):
    """The feature is off, and the campaign does not know: the check, or the applied step, tells."""
    action = DisableFeature(feature=FEATURE)
    killed(goes_on(f"sqlite:///{runs_folder / 'ledger.sqlite3'}", at(campaign), campaign, action, point))
    assert site.flags[FEATURE]["strategy"] == "off"
    left = open_move(ledger, campaign)
    assert (left is not None) is (point == "written")
    if left:
        assert check(left.action_id, at(campaign)).result is Result.APPLIED
    assert applied_rollback(ledger, campaign).action == "disable_feature"
    assert Campaigns(ledger).ended(campaign, "rolled back", **REASON).end == "rolled back"


def test_start_killed_after_its_write_is_found_and_opened(site, ledger, runs_folder):
    """No campaign yet: the start is open; checked, it is one that opens."""
    desk = Desk(site.environment, ledger, "run", "anna")
    other = dataclasses.replace(desk, ledger=Ledger(f"sqlite:///{runs_folder / 'ledger.sqlite3'}"))
    killed(lambda: apply(Hooked(START, "write", die, after=True), other, confirm="auto"))

    assert unopened_start(ledger, "test", FEATURE) is None
    found = open_start(ledger, "test", FEATURE)
    assert check(found.action_id, desk).result is Result.APPLIED
    assert opened(ledger, unopened_start(ledger, "test", FEATURE).action_id).percentage == 10


def together(url: str, act: Callable[[Ledger], object], count: int = 4) -> list[object]:
    """What comes of several executions that do the same at once, each on connections of its own."""
    found: list[object] = []
    barrier = threading.Barrier(count)

    def run() -> None:
        own = Ledger(url)
        own.head()
        barrier.wait()
        try:
            found.append(act(own))
        except RefusedError as error:
            found.append(error.message)
        finally:
            own.close()

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def test_campaigns_on_postgresql_take_everything_once(postgresql_url):
    """Four executions at once: one opening, one look, one move, one pause, one end; the others are told."""
    ledger = Ledger(postgresql_url)
    plan = plan_of(START, "test")
    action_id = begun(ledger, plan, approver="ben")
    ended(ledger, action_id, environment="test")
    found = together(postgresql_url, lambda own: opened(own, action_id))
    campaign = Campaigns(ledger).current("test", FEATURE)
    assert found == [campaign] * 4

    look = look_after(campaign, "promote")
    found = together(postgresql_url, lambda own: Campaigns(own).looked(campaign, look))
    campaign = Campaigns(ledger).find(campaign.id)
    assert sorted(map(str, found)) == sorted([str(campaign), *["another execution has recorded look 1 already"] * 3])
    assert campaign.looks == (look,)
    assert Mandate(campaign.id).require(dataclasses.replace(plan_of(UP, "test"), protected=True), ledger) == campaign

    step = begun(ledger, plan_of(UP, "test"), campaign=campaign.id)
    assert open_move(ledger, campaign).action_id == step
    ended(ledger, step, environment="test")
    given = {"at": datetime.now(UTC), "action_id": step, **WHO}
    found = together(postgresql_url, lambda own: Campaigns(own).moved(campaign, 10, 25, **given))
    assert found.count("another execution has recorded the move to 25 % already") == 3
    found = together(postgresql_url, lambda own: Campaigns(own).paused(campaign, **REASON))
    assert sum(isinstance(one, Campaign) for one in found) == 1
    found = together(postgresql_url, lambda own: Campaigns(own).ended(campaign, "aborted", **REASON))
    assert sum(isinstance(one, Campaign) for one in found) == 1
    assert kinds(ledger, prefix="campaign.") == [
        "campaign.opened",
        "campaign.looked",
        "campaign.moved",
        "campaign.paused",
        "campaign.ended",
    ]
    assert ledger.verify_chain() == ()
    ledger.close()
