"""What holds for every action, each on a real system of its own: see ``action_scenes.scene``."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from action_scenes import backup, clearing, expiry, flag_sets, flags, redis_settings, throttling, warming
from action_scenes.scene import Scene
from actions_fixtures import Hooked, kinds

from runbooks_lib.actions.apply import apply
from runbooks_lib.actions.desk import Desk
from runbooks_lib.actions.outcome import Outcome, Result
from runbooks_lib.actions.registry import ACTIONS, make_action
from runbooks_lib.records.event import plain
from runbooks_lib.records.intentions import open_intentions
from runbooks_lib.records.leases import Leases

_MODULES = (backup, clearing, expiry, flag_sets, flags, redis_settings, throttling, warming)
SCENES = {name: make for module in _MODULES for name, make in module.SCENES.items()}


@pytest.fixture(params=ACTIONS)
def scene(request: pytest.FixtureRequest) -> Scene:
    """One action after the other."""
    assert request.param in SCENES, f"no module in tests/action_scenes has a scene for {request.param}"
    made: Scene = SCENES[request.param](request)
    assert made.action.name == request.param
    return made


@pytest.fixture
def at(ledger, scene) -> Callable[..., Desk]:
    """Makes desks on the scene's environment: ``at("ben", protected=True)``."""

    def make(operator: str = "anna", **changes: object) -> Desk:
        environment = msgspec.structs.replace(scene.environment, **changes)
        return Desk(environment, ledger, f"run-{operator}", operator)

    return make


@pytest.fixture
def untouched(scene) -> Callable[[], object]:
    """What must stay the same where nothing may be written: the state, and the number of writing commands."""

    def look() -> tuple[object, int]:
        return scene.state(), scene.write_commands() if scene.write_commands else 0

    return look


def explained(outcome: Outcome) -> str:
    """For the message of an assertion."""
    return f"{outcome.action}: {outcome.result}: {outcome.detail} ({outcome.hint}) {outcome.ledger_error}"


def test_every_action_dry_run_then_digest_then_undo(scene, at, untouched, ledger):
    """The dry run writes nothing; the digest applies it once, read back and recorded; the undo brings it all back."""
    before, state = untouched(), scene.state()

    dry = apply(scene.action, at())
    assert (dry.result, dry.exit_code) == (Result.PLANNED, 0), explained(dry)
    assert dry.plan.blast_radius or dry.plan.after, "a plan says what it would do"
    assert untouched() == before

    done = apply(scene.action, at(), confirm=dry.plan.digest, reason="a test")
    assert (done.result, done.exit_code) == (Result.APPLIED, 0), explained(done)
    assert scene.state() != state
    assert kinds(ledger, prefix="action.") == ["action.intended", "action.ended"]
    assert open_intentions(ledger) == ()
    assert Leases(ledger).held() == ()

    after = untouched()
    again = apply(scene.action, at("ben"), confirm=dry.plan.digest, reason="a test")
    assert again.result in (Result.REFUSED, Result.UNCHANGED), explained(again)
    assert untouched() == after

    if done.undo is not None:
        undone = apply(make_action(done.undo.action, plain(done.undo.parameters)), at(), confirm="auto")
        assert undone.result is Result.APPLIED, explained(undone)
        assert scene.state() == state
    assert ledger.verify_chain() == ()


def test_every_action_with_nothing_to_do_writes_nothing(scene, at, untouched, ledger):
    """It is so already."""
    if scene.fulfil is None:
        assert not apply(scene.action, at()).plan.no_op, "its scene says that there is always something to do"
        return
    scene.fulfil()
    before = untouched()

    outcome = apply(scene.action, at(), confirm="auto")

    assert (outcome.result, outcome.exit_code) == (Result.UNCHANGED, 0), explained(outcome)
    assert untouched() == before
    assert kinds(ledger, prefix="action.") == []


def test_every_action_whose_read_back_fails_may_have_changed(scene, at, ledger):
    """Somebody put it back right after the write."""
    outcome = apply(Hooked(scene.action, "write", scene.reset, after=True), at(), confirm="auto")

    assert (outcome.result, outcome.exit_code) == (Result.MAY_HAVE_CHANGED, 50), explained(outcome)
    assert [found.action_id for found in open_intentions(ledger)] == [outcome.action_id]


def test_every_action_whose_plan_went_stale_is_refused(scene, at, untouched, ledger):
    """What the plan rests on changed, or a bound of it is exceeded now."""
    digest = apply(scene.action, at()).plan.digest
    scene.disturb()
    before = untouched()

    outcome = apply(scene.action, at(), confirm=digest)

    assert (outcome.result, outcome.exit_code) == (Result.REFUSED, 40), explained(outcome)
    assert untouched() == before
    assert kinds(ledger, prefix="action.") == ["action.refused"]


def test_every_action_waits_for_the_lock_and_for_permission(scene, at, untouched, ledger):
    """Whoever holds any of its locks is named; ``auto`` counts only where the environment allows it."""
    before = untouched()
    usual = {"environment": scene.environment.name, "holder": "other-run", "operator": "carl", "seconds": 60.0}

    for resource in scene.action.resources():
        held = Leases(ledger).acquire(resources=[resource], purpose="rollout", **usual)
        refused = apply(scene.action, at(), confirm="auto")
        assert (refused.result, refused.exit_code) == (Result.REFUSED, 40), explained(refused)
        assert f"{resource} on {scene.environment.name} is locked by carl" in refused.detail
        Leases(ledger).release(held)
    by_hand = apply(scene.action, at(allow_auto=False), confirm="auto")

    assert by_hand.result is Result.REFUSED, explained(by_hand)
    assert untouched() == before


def test_every_action_in_a_protected_environment_needs_the_right_approval(scene, at, untouched):
    """Missing, for another digest, expired, the operator's own: refused. The right one counts, and counts once."""
    anna, zoe = at(protected=True), at("zoe", protected=True)
    name, before = scene.environment.name, untouched()
    plan = apply(scene.action, zoe).plan
    proposal = anna.approvals.proposal(plan.digest, environment=name)

    def attempt() -> Outcome:
        return apply(scene.action, anna, confirm=plan.digest, reason="a test")

    def refused(words: str) -> None:
        outcome = attempt()
        assert outcome.result is Result.REFUSED, explained(outcome)
        assert words in outcome.detail
        assert untouched() == before

    refused("nobody approved")
    other = {**proposal.plan, "full_digest": "f" * 64, "digest": "ffff-ffff-ffff"}
    anna.approvals.give(anna.approvals.propose(other, run_id="r", operator="zoe"), approver="ben", seconds=60)
    refused("ffff-ffff-ffff")
    anna.approvals.give(proposal, approver=" ANNA\u200b", seconds=60)
    refused("who applies it")
    anna.approvals.give(proposal, approver="ben", seconds=0)
    refused("expired at")

    anna.approvals.give(proposal, approver="ben", seconds=60)
    done = attempt()
    assert done.result is Result.APPLIED, explained(done)
    scene.reset()
    again = attempt()
    assert again.result is Result.REFUSED, explained(again)
