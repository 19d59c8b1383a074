"""Campaigns in a real ledger: what is folded out of its events, who comes second, and events that make no sense."""

import contextlib
import dataclasses
import json
import math
import sqlite3
import threading
from datetime import UTC, datetime, timedelta

import pytest
from builders import HOSTILE
from campaign_builders import (
    FEATURE,
    HOUR,
    PLACE,
    WHO,
    baseline,
    begun,
    ended,
    look_after,
    looked,
    moved,
    opened,
    plan_of,
    started,
    window_after,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from runbooks_lib.actions.flags.feature import DisableFeature
from runbooks_lib.actions.flags.feature_sets import ROLLED_BACK
from runbooks_lib.actions.flags.rollout import MoveRollout, StartRollout
from runbooks_lib.errors import RecordError, RefusedError, UsageError
from runbooks_lib.facts.rollout import CohortSample, Gap, RolloutWindow
from runbooks_lib.policy import policy_for
from runbooks_lib.records.campaign_fold import window_of
from runbooks_lib.records.campaign_rules import window_data
from runbooks_lib.records.campaign_steps import StepState, applied_rollback, open_start, steps_of
from runbooks_lib.records.campaign_terms import GUIDE_FEATURES, defaults, terms_of
from runbooks_lib.records.campaigns import (
    Campaigns,
    CampaignState,
    open_move,
    policy_of,
    unopened_start,
    unrecorded_move,
)
from runbooks_lib.records.event import canonical_json
from runbooks_lib.records.event_words import matters, said
from runbooks_lib.records.intentions import Intentions
from runbooks_lib.records.ledger import Ledger
from runbooks_lib.rollout_policy import STAGES, RolloutPolicy

REASON = {"reason": "a test", **WHO}


@pytest.fixture
def campaigns(ledger):
    """On an empty ledger."""
    return Campaigns(ledger, secrets=("hunter2",))


def edit(ledger, event_id, payload):
    """Somebody changes an event behind the ledger's back."""
    file = ledger.shown
    with contextlib.closing(sqlite3.connect(file)) as database:
        database.execute("DROP TRIGGER IF EXISTS runbook_events_no_update")
        database.execute("UPDATE runbook_events SET payload = ? WHERE event_id = ?", (payload, event_id))
        database.commit()


def test_campaign_opened_from_an_applied_start_holds_its_terms(ledger, campaigns):
    """Terms, digest and approver come out of the start's own entry; the clock begins when it was read back."""
    action_id = started(ledger, approver="ben", stages="5,50", soak="2h", look="30m", alpha=0.01, min_requests=42)
    made = campaigns.open(action_id, baseline=baseline(), whitelist_count=None, run_id="run-2", operator="zoe")

    assert made == campaigns.current(PLACE, FEATURE) == campaigns.find(made.id) == campaigns.latest(PLACE, FEATURE)
    assert made.id == f"rollout-{action_id[:8]}"
    assert (made.feature, made.environment, made.opened_by, made.approver) == (FEATURE, PLACE, "zoe", "ben")
    assert (made.stages, made.percentage, made.next_percentage, made.stage_number) == ((5, 50), 5, 50, 0)
    assert (made.state, made.end, made.looks, made.moves) == (CampaignState.RUNNING, "", (), ())
    assert made.baseline == baseline()
    assert made.stage_started_at == ledger.events(kind="action.ended")[0].happened_at
    policy = policy_of(made, policy_for(60))
    assert (policy.stages, policy.soak_seconds, policy.look_seconds) == ((5, 50), 7200.0, 1800.0)
    assert (policy.alpha, policy.min_requests, policy.thresholds) == (0.01, 42, policy_for(60))


def test_campaign_keeps_no_secret_of_what_a_server_said(ledger):
    """A warning of Prometheus, a query with the tenant's token: masked; times and numbers stay, whatever a secret is."""
    campaigns = Campaigns(ledger, ("s3cret-token", "2026"))
    start = started(ledger)
    day = dataclasses.replace(baseline(), notes=("no tenant s3cret-token",))
    campaign = campaigns.open(start, baseline=day, whitelist_count=3, **WHO)
    window = window_after(campaign, notes=("s3cret-token is slow",), queries={"hit rate": 'x{t="s3cret-token"}'})
    kept = campaigns.looked(campaign, look_after(campaign, window=window)).looks[0].window

    assert (kept.notes, kept.queries) == (("*** is slow",), {"hit rate": 'x{t="***"}'})
    assert dataclasses.replace(kept, notes=window.notes, queries=window.queries) == window
    assert campaign.baseline == dataclasses.replace(day, notes=("no tenant ***",))
    assert "s3cret" not in "".join(canonical_json(event.payload) for event in ledger.events())


def test_rollback_of_another_feature_does_not_end_the_campaign(ledger):
    """Somebody switched another feature off under the campaign's name: its own is still on."""
    campaign = opened(ledger)
    other = begun(ledger, plan_of(DisableFeature(feature="PAGE_CACHE")), campaign=campaign.id)
    ended(ledger, other)
    assert applied_rollback(ledger, campaign) is None
    own = begun(ledger, plan_of(DisableFeature(feature=FEATURE)), campaign=campaign.id)
    ended(ledger, own)
    assert applied_rollback(ledger, campaign).action_id == own


def test_campaign_opened_twice_is_one(ledger, campaigns):
    """The process was killed after it had opened it: the next one gets the same."""
    action_id = started(ledger)
    first = opened(ledger, action_id)

    assert opened(ledger, action_id) == first
    assert len(ledger.events(kind="campaign.opened")) == 1
    assert unopened_start(ledger, PLACE, FEATURE) is None


def test_campaign_opened_by_two_at_once_is_one(ledger, runs_folder):
    """Both get the same; one event is written."""
    action_id = started(ledger)
    found, barrier = [], threading.Barrier(4)

    def open_one():
        own = Ledger(f"sqlite:///{runs_folder / 'ledger.sqlite3'}")
        barrier.wait()
        found.append(opened(own, action_id))
        own.close()

    threads = [threading.Thread(target=open_one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert found.count(found[0]) == 4
    assert len(ledger.events(kind="campaign.opened")) == 1


@pytest.mark.parametrize("result", ["refused", "may have changed", "stopped", None])
def test_campaign_of_a_start_that_was_not_applied_is_refused(ledger, campaigns, result):
    """Nothing stands at the first stage, or nobody knows."""
    action_id = begun(ledger, plan_of(StartRollout(feature=FEATURE)))
    if result:
        ended(ledger, action_id, result)

    with pytest.raises(RefusedError, match="was not applied"):
        opened(ledger, action_id)
    assert campaigns.all() == ()
    assert unopened_start(ledger, PLACE, FEATURE) is None
    assert (open_start(ledger, PLACE, FEATURE) is not None) is (result in ("may have changed", None))


@pytest.mark.parametrize("action_id", ["", "no such", "'; DROP TABLE runbook_events; --", "%", HOSTILE])
def test_campaign_of_no_start_is_refused(ledger, campaigns, action_id):
    """An id is looked up, never run."""
    started(ledger)
    with pytest.raises(RefusedError, match="is not the start of a rollout"):
        campaigns.open(action_id, baseline=None, whitelist_count=None, **WHO)
    with pytest.raises(UsageError, match="there is no campaign"):
        campaigns.find(action_id)


def test_campaign_of_another_action_is_refused(ledger):
    """An applied move opens nothing."""
    action_id = begun(ledger, plan_of(MoveRollout(feature=FEATURE, from_percentage=0, to_percentage=10)))
    ended(ledger, action_id)
    with pytest.raises(RefusedError, match="is not the start of a rollout"):
        opened(ledger, action_id)


def test_start_whose_process_was_killed_is_found_until_it_is_opened(ledger):
    """Applied, and no campaign: the next execution opens it."""
    action_id = started(ledger, soak="3h")
    found = unopened_start(ledger, PLACE, FEATURE)

    assert (found.action_id, found.parameters["soak"], found.state) == (action_id, "3h", StepState.APPLIED)
    assert unopened_start(ledger, "staging", FEATURE) is None
    assert unopened_start(ledger, PLACE, "PAGE_CACHE") is None


def test_start_that_was_checked_afterwards_counts_as_applied(ledger):
    """Killed between the write and its end; somebody looked."""
    action_id = begun(ledger, plan_of(StartRollout(feature=FEATURE)))
    assert open_start(ledger, PLACE, FEATURE).action_id == action_id
    Intentions(ledger).settle(action_id, {"confirmed": True, "result": "applied"}, environment=PLACE, **WHO)

    assert open_start(ledger, PLACE, FEATURE) is None
    assert unopened_start(ledger, PLACE, FEATURE).action_id == action_id
    assert opened(ledger, action_id).percentage == 0


def test_start_that_was_overtaken_opens_nothing(ledger, campaigns):
    """Applied while another campaign was current: it must not come alive when that one ends."""
    first = started(ledger)
    second = started(ledger, soak="1h")
    with pytest.raises(RefusedError, match="was started again since, by anna"):
        opened(ledger, first)
    current = opened(ledger, second)
    third = started(ledger, soak="2h")
    with pytest.raises(RefusedError, match=f"is being rolled out by campaign {current.id}"):
        opened(ledger, third)
    campaigns.ended(current, "aborted", **REASON)

    assert unopened_start(ledger, PLACE, FEATURE) is None
    with pytest.raises(RefusedError, match="is being rolled out by campaign"):
        opened(ledger, third)
    fourth = opened(ledger, started(ledger))
    assert [one.id for one in campaigns.all(PLACE)] == [current.id, fourth.id]
    assert campaigns.current(PLACE, FEATURE) == fourth


def test_campaigns_of_other_features_and_environments_are_their_own(ledger, campaigns):
    """Two sites, two features, side by side."""
    one, other = opened(ledger), opened(ledger, feature="PAGE_CACHE")
    elsewhere = opened(ledger, environment="staging")

    assert campaigns.all() == (one, other, elsewhere)
    assert campaigns.all("staging") == (elsewhere,)
    assert campaigns.current(PLACE, "PAGE_CACHE") == other
    assert campaigns.current("staging", FEATURE) == elsewhere
    assert campaigns.current("staging", "PAGE_CACHE") is campaigns.latest("staging", "PAGE_CACHE") is None


def test_look_is_kept_exactly(ledger, campaigns):
    """Infinite bucket edges, what is missing, thirds, aware times, hostile names: all of it comes back the same."""
    campaign = opened(ledger)
    look = look_after(campaign)
    kept = campaigns.looked(campaign, look)

    assert kept.looks == (look,)
    assert kept.last_look.window.enhanced.buckets[math.inf] == 1234.5
    assert kept.last_look.window.started_at.tzinfo is UTC
    assert campaigns.find(campaign.id) == kept


@settings(max_examples=40)
@given(
    st.dictionaries(st.floats(0, allow_nan=False), st.floats(0, 1e15), max_size=5),
    st.floats(allow_nan=False, allow_infinity=False),
    st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1), timezones=st.timezones()),  # noqa: DTZ001 - bounds are naive
    st.text(),
)
def test_window_is_kept_exactly_whatever_was_measured(buckets, ratio, began, name):
    """Every edge, every digit, every moment, every name."""
    window = RolloutWindow(
        began.astimezone(UTC),
        began.astimezone(UTC) + HOUR,
        CohortSample(7.0, None, ratio, buckets),
        hit_ratio=ratio,
        gaps={name.encode("utf-8", "replace").decode().replace("\x00", ""): Gap.STALE},
    )
    data = json.loads(canonical_json(window_data(window)))
    assert window_of(data) == window


def test_baseline_that_cannot_be_kept_opens_nothing(ledger, campaigns):
    """Nothing is written; with a readable baseline, the same start opens its campaign."""
    action_id = started(ledger)
    bad = dataclasses.replace(baseline(), slot_seconds=math.nan)
    with pytest.raises(RecordError, match="cannot be read"):
        campaigns.open(action_id, baseline=bad, whitelist_count=None, **WHO)
    assert campaigns.all() == ()
    assert unopened_start(ledger, PLACE, FEATURE).action_id == action_id


def test_look_with_secrets_is_kept_without_them(ledger, campaigns):
    """A decision may quote what a system said."""
    campaign = opened(ledger)
    look = look_after(campaign, decision={"verb": "hold", "text": "prometheus said hunter2"})
    assert campaigns.looked(campaign, look).looks[0].decision["text"] == "prometheus said ***"


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_look_that_cannot_be_kept_exactly_is_refused(ledger, campaigns, value):
    """JSON has no such numbers; a window that comes back otherwise would be judged otherwise."""
    campaign = opened(ledger)
    for window in (window_after(campaign, hit_ratio=value), window_after(campaign, enhanced=CohortSample(value))):
        with pytest.raises(RecordError, match="cannot be kept exactly"):
            campaigns.looked(campaign, look_after(campaign, window=window))
    assert ledger.events(kind="campaign.looked") == ()


def test_look_recorded_twice_is_refused(ledger, campaigns):
    """Two executions judged the same window."""
    campaign = opened(ledger)
    first = campaigns.looked(campaign, look_after(campaign))
    with pytest.raises(RefusedError, match="another execution has recorded look 1 already") as caught:
        campaigns.looked(campaign, look_after(campaign))

    assert f"runbooks rollout status {FEATURE} -e {PLACE}" in caught.value.hint
    assert campaigns.find(campaign.id) == first


@pytest.mark.parametrize(
    "changes",
    [
        {"stage_number": 1},
        {"stage_number": -1},
        {"percentage": 10},
        {"look": 0},
        {"early": True},
    ],
    ids=str,
)
def test_look_that_does_not_follow_is_refused(ledger, campaigns, changes):
    """Of another stage or percentage, or over a window that was judged already."""
    campaign = looked(ledger, opened(ledger))
    window = window_after(campaign)
    if changes == {"early": True}:
        early = dataclasses.replace(window, started_at=window.started_at - timedelta(seconds=1))
        changes = {"window": early}
    with pytest.raises(RefusedError, match="does not follow"):
        campaigns.looked(campaign, look_after(campaign, **changes))
    assert campaigns.find(campaign.id) == campaign


def test_first_look_may_not_begin_before_its_stage(ledger, campaigns):
    """What was served before is not judged."""
    campaign = opened(ledger)
    window = window_after(campaign, started_at=campaign.stage_started_at - HOUR)
    with pytest.raises(RefusedError, match="does not follow"):
        campaigns.looked(campaign, look_after(campaign, window=window))


def test_campaign_moves_and_counts_looks_anew(ledger, campaigns):
    """Stage by stage to the goal; looks of all stages are kept."""
    campaign = looked(ledger, looked(ledger, opened(ledger, stages="0,10,100")))
    campaign = looked(ledger, moved(ledger, campaign, 10))

    assert (campaign.percentage, campaign.stage_number, campaign.next_percentage) == (10, 1, 100)
    assert [(look.stage_number, look.look) for look in campaign.looks] == [(0, 1), (0, 2), (1, 1)]
    assert [look.look for look in campaign.stage_looks] == [1]
    campaign = moved(ledger, campaign, 100)
    assert (campaign.next_percentage, campaign.last_look, len(campaign.moves)) == (None, None, 2)
    assert campaign.stage_started_at == campaign.moves[-1].at
    back = moved(ledger, campaign, 10)
    assert (back.percentage, back.stage_number, back.stage_looks) == (10, 3, ())
    assert len(looked(ledger, back).looks) == 4


def test_move_recorded_twice_or_not_made_is_refused(ledger, campaigns):
    """Another execution was first; or the move was never applied, or is of another feature or percentage."""
    campaign = opened(ledger)
    action = MoveRollout(feature=FEATURE, from_percentage=0, to_percentage=10)
    made, open_one, other, elsewhere = (
        begun(ledger, plan_of(action)),
        begun(ledger, plan_of(action)),
        begun(ledger, plan_of(dataclasses.replace(action, feature="PAGE_CACHE"))),
        begun(ledger, plan_of(action, "staging")),
    )
    for action_id in (made, other, elsewhere):
        ended(ledger, action_id)
    now = {"at": datetime.now(UTC), **WHO}

    for action_id, to, words in [
        (open_one, 10, "was not applied: open"),
        (other, 10, "is not this move"),
        (elsewhere, 10, "is not this move"),
        ("nonsense", 10, "is not this move"),
        (made, 25, "is not this move"),
        (made, 0, "is no move of"),
        (made, 33, "is no move of"),
    ]:
        with pytest.raises(RefusedError, match=words):
            campaigns.moved(campaign, 0, to, action_id=action_id, **now)
    first = campaigns.moved(campaign, 0, 10, action_id=made, **now)
    with pytest.raises(RefusedError, match="another execution has recorded the move to 10 % already"):
        campaigns.moved(campaign, 0, 10, action_id=made, **now)
    assert campaigns.find(campaign.id) == first


def test_campaign_paused_is_neither_looked_at_nor_paused_again(ledger, campaigns):
    """Resumed by somebody with a reason, it goes on; a secret in a reason is not kept."""
    campaign = opened(ledger)
    paused = campaigns.paused(campaign, reason="errors\nhunter2 \x1b]0;x\x07", run_id="run-3", operator="ben")

    assert (paused.state, paused.state_by, paused.state_reason) == (CampaignState.PAUSED, "ben", "errors *** ]0;x")
    assert campaigns.current(PLACE, FEATURE) == paused
    for refused in (
        lambda: campaigns.looked(campaign, look_after(campaign)),
        lambda: campaigns.paused(campaign, **REASON),
    ):
        with pytest.raises(RefusedError, match=rf"campaign {campaign.id} is paused since .* by ben: errors"):
            refused()
    resumed = campaigns.resumed(paused, **REASON)
    assert (resumed.state, resumed.pauses_count, resumed.percentage) == (CampaignState.RUNNING, 1, campaign.percentage)
    assert (resumed.stage_number, resumed.stage_started_at) == (1, resumed.state_at)
    with pytest.raises(RefusedError, match="is running since"):
        campaigns.resumed(resumed, **REASON)
    assert campaigns.paused(resumed, **REASON).pauses_count == 2


def test_campaign_moved_while_it_was_paused_is_recorded(ledger, campaigns):
    """What happened is told, whatever was said meanwhile."""
    campaign = opened(ledger)
    campaigns.paused(campaign, **REASON)
    assert (moved(ledger, campaign, 10).percentage, moved(ledger, campaigns.find(campaign.id), 25).state) == (
        10,
        CampaignState.PAUSED,
    )


def test_campaign_being_aborted_only_ends(ledger, campaigns):
    """It cannot be paused, resumed, completed or looked at; it can be ended, also out of a pause."""
    campaign = campaigns.paused(opened(ledger, stages="100"), **REASON)
    aborting = campaigns.aborting(campaign, reason="users complain", run_id="run-4", operator="zoe")

    assert (aborting.state, aborting.aborting) == (CampaignState.PAUSED, True)
    for refused in (
        lambda: campaigns.aborting(campaign, **REASON),
        lambda: campaigns.resumed(campaign, **REASON),
    ):
        with pytest.raises(RefusedError, match="is being aborted by zoe"):
            refused()
    with pytest.raises(RefusedError, match="not at its goal"):
        campaigns.ended(campaign, "complete", **REASON)
    assert campaigns.ended(campaign, "aborted", **REASON).end == "aborted"


def test_campaign_ends_once(ledger, campaigns):
    """Complete at the goal only; nothing is written about it afterwards."""
    campaign = opened(ledger, stages="0,100")
    with pytest.raises(RefusedError, match="is at 0 %, not at its goal of 100 %"):
        campaigns.ended(campaign, "complete", **REASON)
    campaign = moved(ledger, campaign, 100)
    over = campaigns.ended(campaign, "complete", **REASON)

    assert (over.state, over.end, over.ended_seq) == (CampaignState.ENDED, "complete", ledger.head().seq)
    assert campaigns.current(PLACE, FEATURE) is None
    assert campaigns.latest(PLACE, FEATURE) == over
    for refused in (
        lambda: campaigns.ended(campaign, "rolled back", **REASON),
        lambda: campaigns.paused(campaign, **REASON),
        lambda: campaigns.aborting(campaign, **REASON),
        lambda: campaigns.looked(campaign, look_after(campaign)),
        lambda: moved(ledger, campaign, 0),
    ):
        with pytest.raises(RefusedError, match=r"is complete since .* by anna"):
            refused()
    assert ledger.events(kind="campaign.moved")[-1].seq < over.ended_seq


@pytest.mark.parametrize("reason", ["", " \n\t", "\x00"])
def test_campaign_needs_a_reason_for_what_a_person_says(ledger, campaigns, reason):
    """A blank one is none."""
    campaign, given = opened(ledger), {"reason": reason, **WHO}
    for say in (campaigns.paused, campaigns.aborting, lambda one, **more: campaigns.ended(one, "aborted", **more)):
        with pytest.raises(UsageError, match="needs a reason"):
            say(campaign, **given)
    with pytest.raises(UsageError, match="a campaign ends complete, rolled back, aborted, not 'won'"):
        campaigns.ended(campaign, "won", **REASON)
    assert campaigns.find(campaign.id) == campaign


NONSENSE = [
    "",
    "null",
    "[]",
    "{}",
    '{"campaign": 7}',
    json.dumps({"campaign": "ID", "window": {}, "decision": {}, "stage_number": 0, "look": 1, "percentage": 0}),
    json.dumps({"campaign": "ID", "stage_number": "x", "look": [], "at": 3, "window": None, "decision": 1}),
    json.dumps({"campaign": "ID", "from": None, "to": "10", "at": "yesterday", "action_id": {}}),
    json.dumps({"campaign": "ID", "from": 0, "to": 33, "at": "2026-11-22T02:14:07Z", "action_id": "x"}),
    json.dumps({"campaign": "ID", "from": 0, "to": 10, "at": "2026-11-22T02:14:07", "action_id": "x"}),
    json.dumps({"campaign": "ID", "end": ["complete"], "reason": {}}),
    '{"campaign": "ID", "from": 0, "to": 10, "at": "0001-01-01T00:00:00+23:00", "action_id": "x"}',
    '{"campaign": "ID", "stage_number": Infinity, "look": NaN, "percentage": 0, "window": {}, "decision": {}}',
    "[" * 200_000,
]


@pytest.mark.parametrize("part", [":look:0:1", ":move:1", ":end"])
def test_edited_event_is_passed_over(ledger, campaigns, part):
    """Never a crash, never another state; ``runbooks verify`` names it."""
    campaign = looked(ledger, opened(ledger))
    campaign = campaigns.ended(moved(ledger, campaign, 10), "aborted", **REASON)
    for payload in NONSENSE:
        edit(ledger, campaign.id + part, payload.replace("ID", campaign.id))
        found = campaigns.find(campaign.id)
        assert (found.percentage, len(found.looks), found.state.value) == (
            0 if part == ":move:1" else 10,
            0 if part == ":look:0:1" else 1,
            "running" if part == ":end" else "ended",
        )
        assert [fault.kind for fault in ledger.verify_chain()] == ["edited"]


def test_edited_opening_leaves_no_campaign(ledger, campaigns):
    """What cannot be read is not guessed; it cannot be written about either."""
    campaign = opened(ledger)
    for payload in (*NONSENSE, json.dumps({"campaign": "ID", "action_id": "AID", "feature": "X"})):
        edit(ledger, campaign.id, payload.replace("AID", campaign.action_id).replace("ID", campaign.id))
        assert campaigns.all() == ()
        assert campaigns.current(PLACE, FEATURE) is None
    with pytest.raises(RecordError, match="cannot be read"):
        campaigns.paused(campaign, **REASON)
    with pytest.raises(RefusedError, match="is taken by something else"):
        opened(ledger, campaign.action_id)


def test_events_added_around_the_campaigns_do_not_count(ledger, campaigns):
    """An event without its own id is nobody's: not an opening, a look that promotes, an end."""
    campaign = opened(ledger)
    before = campaigns.find(campaign.id)
    shown = {event.kind: event.payload for event in ledger.events() if event.kind.startswith("campaign.")}
    look = {**json.loads(json.dumps({"campaign": campaign.id})), "stage_number": 0, "look": 1, "percentage": 0}
    for kind, payload in {
        "campaign.opened": {**shown["campaign.opened"], "campaign": "rollout-00000000"},
        "campaign.looked": {**look, "at": "2026-11-22T02:14:07Z", "decision": {"verb": "promote"}},
        "campaign.moved": {"campaign": campaign.id, "from": 0, "to": 100, "at": "2026-11-22T02:14:07Z"},
        "campaign.paused": {"campaign": campaign.id},
        "campaign.ended": {"campaign": campaign.id, "end": "complete"},
    }.items():
        ledger.append(kind=kind, run_id="r", environment=PLACE, operator="mallory", payload=payload)

    assert campaigns.find(campaign.id) == before
    assert campaigns.all() == (before,)


def test_steps_of_a_campaign_tell_what_a_killed_execution_left(ledger, campaigns):
    """Open, applied and not told, taken away: each has its question; what others did is not the campaign's."""
    campaign = opened(ledger)
    up = plan_of(MoveRollout(feature=FEATURE, from_percentage=0, to_percentage=10))
    begun(ledger, up)
    begun(ledger, up, campaign="rollout-00000000")
    assert (open_move(ledger, campaign), unrecorded_move(ledger, campaign)) == (None, None)

    first = begun(ledger, up, campaign=campaign.id)
    assert open_move(ledger, campaign).action_id == first
    Intentions(ledger).settle(first, {"confirmed": False, "result": "unchanged"}, environment=PLACE, **WHO)
    assert open_move(ledger, campaign) is unrecorded_move(ledger, campaign) is None

    second = begun(ledger, up, campaign=campaign.id)
    ended(ledger, second)
    assert open_move(ledger, campaign) is None
    found = unrecorded_move(ledger, campaign)
    assert (found.action_id, found.parameters["to_percentage"]) == (second, 10)
    campaign = campaigns.moved(campaign, 0, 10, at=found.at, action_id=second, **WHO)
    assert unrecorded_move(ledger, campaign) is None

    assert applied_rollback(ledger, campaign) is None
    down = begun(ledger, plan_of(DisableFeature(feature=FEATURE)), campaign=campaign.id)
    assert open_move(ledger, campaign).action_id == down
    ended(ledger, down)
    assert applied_rollback(ledger, campaign).action_id == down
    states = [step.state for step in steps_of(ledger, campaign)]
    assert states == [StepState.NOTHING, StepState.APPLIED, StepState.APPLIED]


def test_campaign_events_are_said_in_words(ledger, campaigns):
    """A timeline tells it; an ordinary look does not interrupt it, and hostile words stay on one line."""
    campaign = looked(ledger, looked(ledger, opened(ledger, approver="ben")), "promote")
    campaign = campaigns.paused(moved(ledger, campaign, 10), reason=HOSTILE, **WHO)
    campaigns.ended(campaigns.aborting(campaign, **REASON), "aborted", **REASON)
    events = [event for event in ledger.events() if event.kind.startswith("campaign.")]
    texts = [said(event) for event in events]

    assert texts[0] == f"rollout {campaign.id} of {FEATURE} opened: 0,10,25,50,75,100 %, approved by ben"
    assert texts[1] == f"rollout {campaign.id}, 0 %, look 1: hold: errors 0.2 %"
    assert texts[3] == f"rollout {campaign.id} moved 0 → 10 %"
    assert texts[4].startswith(f"rollout {campaign.id} paused: <img src=x")
    assert texts[5:] == [
        f"rollout {campaign.id} is being aborted: a test",
        f"rollout {campaign.id} ended: aborted: a test",
    ]
    assert [matters(event) for event in events] == [True, False, True, True, True, True, True]
    assert all(text.isprintable() for text in texts)


@pytest.mark.parametrize(
    ("terms", "words"),
    [
        ({"stages": "10,10"}, "stages '10,10' do not rise"),
        ({"stages": "50,25"}, "do not rise"),
        ({"stages": "10,101"}, "do not rise"),
        ({"stages": ""}, "are not whole percentages"),
        ({"stages": "0,,10"}, "are not whole percentages"),
        ({"stages": "12.5,50"}, "are not whole percentages"),
        ({"stages": "-5,50"}, "are not whole percentages"),
        ({"stages": "١٠,٢٠"}, "are not whole percentages"),
        ({"stages": ",".join(map(str, range(100)))}, "are not whole percentages"),
        ({"stages": HOSTILE}, "are not whole percentages"),
        ({"stages": "0"}, "end at 0 %"),
        ({"stages": 50}, "are not whole percentages"),
        ({"soak": "0h"}, "soak '0h' is not a duration"),
        ({"soak": "-1h"}, "is not a duration"),
        ({"soak": "24"}, "is not a duration"),
        ({"soak": "99999999d"}, "is not a duration"),
        ({"look": "auto"}, "look 'auto' is not a duration"),
        ({"soak": "30m", "look": "1h"}, "look 1 h is longer than soak 30 min"),
        ({"soak": "24h", "look": "1m"}, "soak 24 h has more than 300 looks of 60 s"),
        ({"rollback": "maybe"}, "rollback 'maybe' is not one of auto, guide, feature"),
        ({"rollback": "guide", "feature": "PAGE_CACHE"}, "would leave 'PAGE_CACHE' on"),
        ({"alpha": 0}, "alpha '0' is not a number in"),
        ({"alpha": math.nan}, "alpha 'nan' is not a number"),
        ({"alpha": math.inf}, "alpha 'inf' is not a number"),
        ({"alpha": True}, "alpha 'True' is not a number"),
        ({"alpha": "0.05"}, "is not a number"),
        ({"min_requests": 0}, "min_requests '0' is not a whole number in"),
        ({"min_requests": 1.5}, "is not a whole number"),
        ({"min_requests": True}, "is not a whole number"),
        ({"confirm_looks": -1}, "confirm_looks '-1'"),
        ({"min_observed_ratio": 1.01}, "min_observed_ratio '1.01' is not a number in 0.01..1"),
        ({"error_ratio_tolerance": 0.9}, "error_ratio_tolerance '0.9'"),
        ({"feature": ""}, "is not the name of a feature"),
        ({"feature": "a\nb"}, "is not the name of a feature"),
        ({"accept_volatile": 1}, "accept_volatile '1' is not true or false"),
    ],
    ids=str,
)
def test_start_rollout_names_what_cannot_be(terms, words):
    """The parameter, its value, and what it takes; nothing is contacted."""
    with pytest.raises(UsageError) as caught:
        StartRollout(**{"feature": FEATURE, **terms})
    assert words in caught.value.message


@pytest.mark.parametrize(("one", "other"), [(25, 25), (-1, 10), (10, 101), (True, 10), (10, "25"), (0, 12.5)])
def test_move_rollout_names_what_cannot_be(one, other):
    """Whole percentages, and not the same twice."""
    with pytest.raises(UsageError, match=r"is no move|is not a whole number"):
        MoveRollout(feature=FEATURE, from_percentage=one, to_percentage=other)


def test_start_rollout_defaults_are_the_guides():
    """The action, the terms and the policy say the same."""
    terms, policy = terms_of({"feature": FEATURE}), RolloutPolicy(policy_for(), 1.0, 1.0)
    action = dataclasses.asdict(StartRollout(feature=FEATURE))

    assert terms == terms_of(action)
    assert (terms["stages"], terms["soak_seconds"], terms["look_seconds"]) == (STAGES, 86_400.0, 3600.0)
    others = dataclasses.asdict(policy).keys() - {"thresholds", "stages", "soak_seconds", "look_seconds"}
    assert defaults() == {name: getattr(policy, name) for name in others} == {name: action[name] for name in others}
    assert set(GUIDE_FEATURES) == ROLLED_BACK.keys()


@pytest.mark.parametrize(
    ("feature", "rollback", "action"),
    [
        (FEATURE, "auto", "roll_back_features"),
        ("PAGE_CACHE", "auto", "disable_feature"),
        ("CACHE_WARMING", "auto", "disable_feature"),
        ("CACHE_WARMING", "guide", "roll_back_features"),
        (FEATURE, "feature", "disable_feature"),
    ],
)
def test_campaign_rolls_back_as_it_was_approved(ledger, feature, rollback, action):
    """The guide's three features together for the enhanced cache, else the feature alone."""
    assert opened(ledger, feature=feature, rollback=rollback).rollback_action == action
