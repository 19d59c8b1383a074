"""replay: what another policy would have done over recorded windows."""

from dataclasses import replace

import pytest
from rollout_builders import BEGAN, LOOK, POLICY, baseline, judged, window

from runbooks_lib.judgement.rollout.model import Verb
from runbooks_lib.judgement.rollout.replay import RecordedLook, RecordedStage, replay

HOLD, PROMOTE, ROLLBACK = Verb.HOLD, Verb.PROMOTE, Verb.ROLLBACK
SHORT = replace(POLICY, soak_seconds=4 * 3600)


def stage(percentage, verbs, *, first=0, **fields):
    """A recorded stage, its looks in a row from a given hour on."""
    looks = tuple(
        RecordedLook(window(first + i, percentage=percentage, **fields), verb) for i, verb in enumerate(verbs)
    )
    return RecordedStage(percentage, BEGAN + first * LOOK, looks)


def campaign(**last):
    """0 and 10 % as they should be, then a stage at 25 %."""
    return [
        stage(0, [HOLD] * 3 + [PROMOTE]),
        stage(10, [HOLD] * 3 + [PROMOTE], first=4),
        stage(25, [HOLD] * 4, first=8, **last),
    ]


def replayed(stages, policy=SHORT):
    return replay(stages, policy, baseline=baseline(), whitelist_count=0)


def test_replay_with_the_same_policy_decides_the_same():
    """Every look as it was recorded, except the last, which was not recorded as a promotion."""
    found = replayed(campaign())

    assert [look.decision.verb for look in found.looks] == ([HOLD] * 3 + [PROMOTE]) * 3
    assert found.first_difference is found.looks[-1]
    assert found.rollback is None
    assert [(look.stage_number, look.look) for look in found.looks][3:6] == [(0, 4), (1, 1), (1, 2)]


def test_replay_equals_decide_at_the_time():
    """The windows of the stage before it, and those of the 0 % stage; nothing later."""
    stages = campaign()
    windows = [look.window for look in stages[2].looks]
    zero = tuple(look.window for look in stages[0].looks)

    found = replayed(stages)

    assert found.looks[9].decision == judged(
        windows[:2], policy=SHORT, zero_windows=zero, started_at=stages[2].started_at
    )


def test_replay_with_a_longer_soak_differs_where_it_was_promoted():
    """The first difference is that it would still have held."""
    found = replayed(campaign(), POLICY)

    assert found.first_difference is found.looks[3]
    assert (found.looks[3].recorded, found.looks[3].decision.verb) == (PROMOTE, HOLD)


def test_replay_marks_what_would_never_have_been_measured():
    """After its own rollback or promotion within a stage, the rest is another story."""
    found = replayed(campaign(enhanced={"errors": 0.02}))
    eager = replayed(campaign(), replace(SHORT, soak_seconds=2 * 3600))

    assert found.rollback is not None
    assert found.rollback.stage_number == 2
    assert [look.counterfactual for look in found.looks if look.look <= found.rollback.look] == [False] * len(
        [look for look in found.looks if look.look <= found.rollback.look]
    )
    assert [look.counterfactual for look in eager.looks[:4]] == [False, False, True, True]


def test_replay_of_looks_without_a_recorded_verb_never_differs():
    """Windows alone can be replayed."""
    assert replayed([stage(25, [None] * 4)]).first_difference is None


def test_replay_of_nothing_is_nothing():
    """A campaign that has not looked yet."""
    assert replayed([]).looks == ()
    assert replayed([]).rollback is None


def test_replay_of_windows_out_of_order_is_refused():
    """A record that was tampered with is not judged."""
    mixed = stage(25, [HOLD, HOLD])

    with pytest.raises(ValueError, match="begins before"):
        replayed([replace(mixed, looks=mixed.looks[::-1])])
