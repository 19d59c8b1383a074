"""What a campaign may do without a person, and every way in which it must not be stretched."""

import dataclasses

import pytest
from actions_fixtures import allow
from builders import HOSTILE
from campaign_builders import (
    FEATURE,
    PLACE,
    TARGET,
    WHO,
    begun,
    ended,
    looked,
    moved,
    opened,
    plan_of,
    recorded,
    started,
)

from runbooks_lib.actions.flags.feature import AddToWhitelist, DisableFeature, EnableFeature, SetPercentage
from runbooks_lib.actions.flags.feature_sets import FallBackToPageCache, RollBackFeatures
from runbooks_lib.actions.flags.rollout import MoveRollout, StartRollout
from runbooks_lib.errors import RefusedError
from runbooks_lib.records.approvals import Approvals
from runbooks_lib.records.campaigns import Campaigns
from runbooks_lib.records.intentions import Intentions
from runbooks_lib.records.mandates import Mandate

REASON = {"reason": "a test", **WHO}
UP = MoveRollout(feature=FEATURE, from_percentage=0, to_percentage=10)
OFF = DisableFeature(feature=FEATURE)


@pytest.fixture
def campaigns(ledger):
    """On an empty ledger."""
    return Campaigns(ledger)


@pytest.fixture
def campaign(ledger):
    """Approved by ben, at 0 %, and its newest look promotes."""
    return looked(ledger, opened(ledger, approver="ben", protected=True), "promote")


@pytest.fixture
def ask(ledger, campaign):
    """Asks the campaign's mandate for an action; a protected environment unless it is said otherwise."""

    def require(action, name=None, **place):
        plan = plan_of(action, **{"protected": True, **place})
        return Mandate(name or campaign.id).require(plan, ledger)

    return require


def forged(ledger, campaign, **changes):
    """A campaign that somebody appends to the ledger under the id that it would have; its id."""
    real = next(event.payload for event in ledger.events(kind="campaign.opened") if event.event_id == campaign.id)
    payload = {**real, **changes}
    payload["campaign"] = f"rollout-{payload['action_id'][:8]}"
    who = {"run_id": "r", "environment": PLACE, "operator": "mallory"}
    with ledger.writing() as writing:
        writing.append(kind="campaign.opened", payload=payload, event_id=payload["campaign"], **who)
    return payload["campaign"]


def test_mandate_covers_the_next_stage_and_the_way_down(ledger, campaign, ask):
    """One stage further once a look says so; the rollback that was shown, and the feature alone, at any time."""
    assert ask(UP) == campaign
    assert ask(OFF) == campaign
    assert ask(RollBackFeatures()) == campaign
    assert ask(dataclasses.replace(OFF, accept_volatile=True)) == campaign
    further = moved(ledger, moved(ledger, campaign, 10), 25)
    assert ask(MoveRollout(feature=FEATURE, from_percentage=25, to_percentage=10)) == further
    assert ask(MoveRollout(feature=FEATURE, from_percentage=25, to_percentage=0)) == further


@pytest.mark.parametrize(
    ("action", "words"),
    [
        (dataclasses.replace(UP, feature="RATE_LIMITING"), "it is for ENHANCED_CACHE, not for RATE_LIMITING"),
        (
            dataclasses.replace(UP, feature=HOSTILE.replace("\x1b", "").replace("\x07", "").replace("\u202e", "")),
            "not for",
        ),
        (dataclasses.replace(UP, to_percentage=25), "the next stage after 0 % is 10 %, not 25 %"),
        (dataclasses.replace(UP, to_percentage=5), "is 10 %, not 5 %"),
        (dataclasses.replace(UP, to_percentage=100), "is 10 %, not 100 %"),
        (MoveRollout(feature=FEATURE, from_percentage=10, to_percentage=25), "it is at 0 %, not at 10 %"),
        (MoveRollout(feature=FEATURE, from_percentage=10, to_percentage=0), "it is at 0 %, not at 10 %"),
        (dataclasses.replace(UP, accept_volatile=True), "accept_volatile is not as it was started with"),
        (DisableFeature(feature="PAGE_CACHE"), "it rolls back with roll_back_features of ENHANCED_CACHE"),
        (EnableFeature(feature=FEATURE), "is no mandate for enable_feature"),
        (SetPercentage(feature=FEATURE, percentage=10), "is no mandate for set_percentage"),
        (AddToWhitelist(feature=FEATURE, user_id=1), "is no mandate for add_to_whitelist"),
        (FallBackToPageCache(), "is no mandate for fall_back_to_page_cache"),
        (StartRollout(feature=FEATURE), "is no mandate for start_rollout"),
    ],
    ids=str,
)
def test_mandate_for_anything_else_is_refused(ask, action, words):
    """Another feature, two stages at once, another percentage than the campaign's, another action."""
    with pytest.raises(RefusedError) as caught:
        ask(action)
    assert words in caught.value.message
    assert caught.value.message.isprintable()


def test_mandate_up_needs_a_look_that_promotes(ledger, campaign, ask):
    """Of this stage, and the newest: what a look before it said does not count, nor one of the stage before."""
    held = looked(ledger, campaign, "hold")
    with pytest.raises(RefusedError, match="only a look that promotes leads to the next stage, and look 2 of this"):
        ask(UP)
    assert ask(OFF) == held
    looked(ledger, held, "promote")
    moved(ledger, campaign, 10)
    with pytest.raises(RefusedError, match="and no look was kept at this stage"):
        ask(MoveRollout(feature=FEATURE, from_percentage=10, to_percentage=25))


def test_mandate_at_the_goal_leads_nowhere(ledger):
    """After the last stage there is none."""
    campaign = looked(ledger, opened(ledger, stages="50"), "promote")
    up = MoveRollout(feature=FEATURE, from_percentage=50, to_percentage=100)
    with pytest.raises(RefusedError, match="the next stage after 50 % is none, not 100 %"):
        Mandate(campaign.id).require(plan_of(up), ledger)


@pytest.mark.parametrize("end", ["aborted", "rolled back"])
def test_mandate_of_a_campaign_that_ended_allows_nothing(campaigns, campaign, ask, end):
    """Neither way."""
    campaigns.ended(campaign, end, **REASON)
    for action in (UP, OFF, RollBackFeatures()):
        with pytest.raises(RefusedError, match=rf"campaign {campaign.id} is {end} since .* by anna: a test"):
            ask(action)


def test_mandate_of_a_paused_campaign_allows_nothing_until_it_is_resumed_or_aborted(ledger, campaigns, campaign, ask):
    """A pause is a person's; the way down of an abort is all that goes on from there. What was seen before a pause promotes nothing."""
    campaigns.paused(campaign, **REASON)
    for action in (UP, OFF):
        with pytest.raises(RefusedError, match=rf"campaign {campaign.id} is paused since"):
            ask(action)
    resumed = campaigns.resumed(campaign, **REASON)
    assert ask(OFF) == resumed
    with pytest.raises(RefusedError, match="no look was kept at this stage"):
        ask(UP)
    assert looked(ledger, resumed, "promote") == ask(UP)
    campaigns.paused(campaign, **REASON)
    campaigns.aborting(campaign, **REASON)
    assert ask(OFF).aborting
    with pytest.raises(RefusedError, match="it is being aborted by anna"):
        ask(UP)


def test_mandate_holds_for_the_place_that_was_approved_only(ask):
    """Another environment, even under which the same site is reached; the same name, leading elsewhere."""
    for place, words in [
        ({"environment": "staging"}, "it is for production, not for staging"),
        ({"target": {**TARGET, "manage": "c" * 64}}, "manage leads elsewhere than when it was started"),
        ({"target": {"redis_url": TARGET["redis_url"]}}, "manage leads elsewhere"),
        ({"target": {}}, "manage, redis_url leads elsewhere"),
        ({"target": {**TARGET, "redis_url": "c" * 64}}, "redis_url leads elsewhere"),
    ]:
        for action in (UP, OFF):
            with pytest.raises(RefusedError) as caught:
                ask(action, **place)
            assert words in caught.value.message


SITE = {**TARGET, "root": "1" * 64, "site.settings": "2" * 64, "site.caches": "3" * 64, "site.databases": "4" * 64}


@pytest.mark.parametrize("part", ["root", "redis_url", "site_url", "key_prefix", "site.caches", "site.settings"])
def test_mandate_down_holds_after_a_release_that_left_the_flag_where_it_is(ledger, part):
    """A new cache, a Redis that failed over, another folder: nothing goes up any more, and down it goes all the same."""
    start = begun(ledger, plan_of(StartRollout(feature=FEATURE), target=SITE))
    ended(ledger, start)
    campaign = looked(ledger, opened(ledger, start), "promote")
    now = {**SITE, part: "c" * 64}
    assert Mandate(campaign.id).require(plan_of(OFF, target=now), ledger) == campaign
    assert Mandate(campaign.id).require(plan_of(RollBackFeatures(), target=now), ledger) == campaign
    with pytest.raises(RefusedError, match=f"{part} leads elsewhere than when it was started"):
        Mandate(campaign.id).require(plan_of(UP, target=now), ledger)


@pytest.mark.parametrize("part", ["manage", "site.databases"])
def test_mandate_down_is_refused_where_the_flag_is_another_ones(ledger, part):
    """Another site's code or database: its flag is not the campaign's, and the campaign's would stay on unseen."""
    start = begun(ledger, plan_of(StartRollout(feature=FEATURE), target=SITE))
    ended(ledger, start)
    campaign = opened(ledger, start)
    for action in (OFF, RollBackFeatures()):
        with pytest.raises(RefusedError, match=f"{part} leads elsewhere than when it was started"):
            Mandate(campaign.id).require(plan_of(action, target={**SITE, part: "c" * 64}), ledger)


def test_mandate_names_no_campaign_that_is_not_there(ask):
    """Nonsense, SQL, wildcards."""
    for name in ("rollout-00000000", "' OR 1=1 --", "rollout-%", HOSTILE):
        with pytest.raises(RefusedError, match="there is no campaign"):
            ask(UP, name)


def test_mandate_of_a_start_that_nobody_approved_is_none_where_it_is_needed(ledger):
    """Started while the environment was not protected, or by a path that needed no approval."""
    campaign = looked(ledger, opened(ledger), "promote")
    assert Mandate(campaign.id).require(plan_of(UP), ledger) == campaign
    for action in (UP, OFF):
        with pytest.raises(RefusedError, match="does not count as approved: nobody approved it"):
            Mandate(campaign.id).require(plan_of(action, protected=True), ledger)


def test_mandate_of_a_forged_campaign_is_none(ledger, campaign, ask):
    """Appended under an action that was never approved, never applied, is no start, or with other terms."""
    wide = StartRollout(feature=FEATURE, soak="1m", look="1m")
    unapproved = begun(ledger, plan_of(wide, protected=True))
    ended(ledger, unapproved)
    waiting = begun(ledger, plan_of(dataclasses.replace(wide, soak="2m"), protected=True))
    move = begun(ledger, plan_of(UP))
    ended(ledger, move)
    digest = {event.event_id: event.payload["full_digest"] for event in ledger.events(kind="action.intended")}
    terms = dataclasses.asdict(wide)
    for action_id, changes, words in [
        ("0" * 8 + "-nothing", {"parameters": terms}, "its start is not in the ledger"),
        (unapproved, {"parameters": terms}, "nobody approved it"),
        (waiting, {"parameters": {**terms, "soak": "2m"}}, "its start was not applied: open"),
        (move, {"parameters": terms}, "its start is not in the ledger"),
    ]:
        name = forged(ledger, campaign, action_id=action_id, full_digest=digest.get(action_id, ""), **changes)
        for action in (UP, OFF):
            with pytest.raises(RefusedError) as caught:
                ask(action, name)
            assert words in caught.value.message


def test_mandate_with_other_terms_than_were_approved_is_none(ledger, ask, campaign):
    """Stages, soak, alpha, feature, digest: the start's own entry counts, not what the opening says."""
    for number, change in enumerate(
        [
            {"parameters": {"stages": "0,100"}},
            {"parameters": {"soak": "1s", "look": "1s"}},
            {"parameters": {"alpha": 0.5}},
            {"parameters": {"rollback": "feature"}},
            {"parameters": {"feature": "PAGE_CACHE"}},
            {"full_digest": "f" * 64},
        ]
    ):
        action_id = started(ledger, approver="ben", protected=True, min_requests=number + 1)
        (start,) = (e.payload for e in ledger.events(kind="action.intended") if e.event_id == action_id)
        terms = {**start["plan"]["intent"], **change.get("parameters", {})}
        name = forged(
            ledger,
            campaign,
            action_id=action_id,
            parameters=terms,
            feature=terms["feature"],
            full_digest=change.get("full_digest", start["full_digest"]),
        )
        for action in (UP, dataclasses.replace(UP, to_percentage=100), OFF):
            with pytest.raises(RefusedError, match="feature, terms or digest differ from the start's"):
                ask(action, name)


def test_mandate_needs_an_approval_that_is_there_and_fits(ledger, ask, campaign):
    """The intention of a start names an approval: it must be one, of this plan, by somebody else, given before."""
    plan = plan_of(StartRollout(feature=FEATURE, soak="1d"), protected=True)
    approvals = Approvals(ledger)
    proposal = approvals.propose(recorded(plan), run_id="r", operator="carl")
    good = approvals.give(proposal, approver="ben", seconds=3600)
    other = approvals.give(
        approvals.propose({**recorded(plan), "full_digest": "f" * 64}, run_id="r", operator="carl"),
        approver="ben",
        seconds=3600,
    )
    expired = approvals.give(proposal, approver="ben", seconds=-90)
    who = {"run_id": "r", "environment": PLACE, "operator": "anna"}
    own = ledger.append(kind="approval.given", payload={**good.event.payload}, **who)
    late = begun(ledger, plan)
    base = {**next(e.payload for e in ledger.events(kind="action.intended") if e.event_id == late)}
    for number, (event_id, words) in enumerate(
        [
            ("no such event", "nobody approved it"),
            (late, "nobody approved it"),
            (other.event.event_id, "the approval that it names is of ffff-ffff-ffff"),
            (own.event_id, "anna started and approved it"),
            (expired.event.event_id, "did not hold when it was started"),
            (good.event.event_id, ""),
        ]
    ):
        action_id = f"0000000{number}-forged"
        with ledger.writing() as writing:
            kept = {**base, "action_id": action_id, "approval": {"event": event_id, "approver": "ben"}}
            writing.append(kind="action.intended", payload=kept, event_id=action_id, **who)
        ended(ledger, action_id)
        name = forged(ledger, campaign, action_id=action_id, parameters=plan.intent, full_digest=plan.full_digest)
        if not words:
            assert ask(OFF, name).id == name
            continue
        with pytest.raises(RefusedError) as caught:
            ask(OFF, name)
        assert words in caught.value.message


def test_mandate_where_approvals_are_signed_needs_the_signature_for_the_way_up(
    ledger, ask, campaign, tmp_path, ssh_key
):
    """A key that was taken away must not keep a feature on: the way down goes without."""
    keys = allow(tmp_path, ben=ssh_key("ben"))
    with pytest.raises(RefusedError, match="does not count as approved"):
        Mandate(campaign.id).require(plan_of(UP, protected=True), ledger, keys)
    assert Mandate(campaign.id).require(plan_of(OFF, protected=True), ledger, keys) == campaign


def test_mandate_of_a_start_that_was_checked_counts(ledger):
    """Killed between the write and its end; looked at afterwards, it was as planned."""
    action_id = begun(ledger, plan_of(StartRollout(feature=FEATURE), protected=True), approver="ben")
    found = {"confirmed": True, "result": "applied"}
    Intentions(ledger).settle(action_id, found, environment=PLACE, **WHO)
    campaign = looked(ledger, opened(ledger, action_id), "promote")

    assert Mandate(campaign.id).require(plan_of(UP, protected=True), ledger) == campaign


def test_mandate_for_the_feature_alone_does_not_switch_off_the_others(ledger):
    """Only what was shown when it was started."""
    campaign = opened(ledger, rollback="feature")
    with pytest.raises(RefusedError, match="it rolls back with disable_feature of ENHANCED_CACHE"):
        Mandate(campaign.id).require(plan_of(RollBackFeatures()), ledger)
    assert Mandate(campaign.id).require(plan_of(OFF), ledger) == campaign
