"""What holds for every history: unknown never promotes, no stage is jumped, harm always finds its way back."""

import math
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rollout_builders import BEGAN, LOOK, NO_FLAG, POLICY, baseline, cohort, flag, history, unknown, window, zero_stage

from runbooks_lib.facts.rollout import CohortSample, Gap, RolloutWindow
from runbooks_lib.judgement.rollout.decide import decide
from runbooks_lib.judgement.rollout.model import Reason, Stand, Verb
from runbooks_lib.judgement.rollout.replay import RecordedLook, RecordedStage, replay
from runbooks_lib.rollout_policy import STAGES

QUICK = replace(POLICY, soak_seconds=3 * 3600)
FEW = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])

stages = st.sampled_from(STAGES)
anything = st.one_of(
    st.none(), st.floats(), st.sampled_from([0.0, -1.0, 0.5, 1.0, 1e18, -1e300, math.nan, math.inf, 5e-324])
)
number = st.one_of(st.floats(), st.sampled_from([0.0, 100.0, 1e12, 1e308]))
samples = st.one_of(
    st.none(),
    st.builds(
        CohortSample,
        number,
        anything,
        anything,
        st.dictionaries(st.one_of(number, st.just(math.inf)), number, max_size=4),
    ),
)


@st.composite
def wild(draw):
    """A window of whatever Prometheus could ever say."""
    return RolloutWindow(
        BEGAN,
        BEGAN + LOOK,
        draw(samples),
        draw(samples),
        draw(st.one_of(st.none(), st.tuples(number, number))),
        draw(anything),
        draw(anything),
        draw(anything),
        draw(anything),
        draw(number),
        draw(st.dictionaries(st.sampled_from(["cohorts", "hit rate", "warming", "flag"]), st.sampled_from(Gap))),
    )


@st.composite
def blind(draw, percentage):
    """A look at which something that should be known is not."""
    seen = window(0, percentage=percentage)
    return draw(
        st.sampled_from(
            [
                unknown(0),
                replace(seen, hit_ratio=None),
                replace(seen, enhanced=None, gaps={"cohorts": Gap.STALE}),
                replace(seen, control=None),
                replace(seen, served_percent=None),
                replace(seen, penetration_ratio=None),
                replace(seen, observed_ratio=0.2),
                replace(seen, warming_slowest_seconds=None, gaps={"warming": Gap.QUERY_FAILED}),
                replace(seen, hit_ratio=math.nan, penetration_ratio=-3.0),
            ]
        )
    )


@st.composite
def looks(draw, percentage, *, most=6):
    """Any mixture of good, ill and blind looks, in order."""
    good = window(0, percentage=percentage)
    ill = [
        replace(good, penetration_ratio=0.25),
        replace(good, hit_ratio=0.75),
        replace(good, served_percent=(0, 100)),
        replace(good, enhanced=cohort(5_000, errors=0.02)),
    ]
    chosen = draw(st.lists(st.one_of(st.just(good), st.sampled_from(ill), blind(percentage)), max_size=most))
    return placed(chosen)


def placed(chosen, first=0):
    """The same windows, one after another."""
    return tuple(
        replace(each, started_at=BEGAN + (first + i) * LOOK, ended_at=BEGAN + (first + i + 1) * LOOK)
        for i, each in enumerate(chosen)
    )


def at(percentage, windows, policy=QUICK, flagged=None):
    past = history(windows[:-1], percentage=percentage)
    return decide(flagged or flag(percentage), past, windows[-1], windows[-1].ended_at, policy)


@FEW
@given(st.data(), stages)
def test_decide_unknowns_never_raise_the_percentage_nor_roll_back(data, percentage):
    """However many of them come, from the beginning on or after a healthy soak."""
    start = [window(0, percentage=percentage)] * data.draw(st.integers(0, 4))
    unknowns = data.draw(st.lists(blind(percentage), min_size=1, max_size=6))

    windows = placed([*start, *unknowns])
    found = [at(percentage, windows[: len(start) + n]) for n in range(1, len(unknowns) + 1)]

    assert {each.verb for each in found} == {Verb.HOLD}
    assert not any(each.complete for each in found)


@FEW
@given(st.data(), stages)
def test_decide_never_jumps_a_stage(data, percentage):
    """A promotion leads to the next one, and nothing else leads anywhere."""
    windows = data.draw(looks(percentage))
    found = at(percentage, (*windows, *placed([window(0, percentage=percentage)] * 4, len(windows))))

    following = dict(pairwise(STAGES)).get(percentage)
    assert found.next_percentage in {None, following}
    assert (found.verb is Verb.PROMOTE) == (found.next_percentage is not None)


@FEW
@given(st.data(), stages)
def test_decide_a_rollback_is_always_within_reach(data, percentage):
    """From any state, as many bad looks as confirm it suffice, even without reading the flag."""
    windows = data.draw(looks(percentage))
    bad = placed([window(0, percentage=percentage, penetration_ratio=0.25)] * QUICK.confirm_looks, len(windows))

    assert at(percentage, (*windows, *bad)).verb is Verb.ROLLBACK
    assert at(percentage, (*windows, *bad), flagged=NO_FLAG).verb is Verb.ROLLBACK


@FEW
@given(st.data(), stages)
def test_decide_twice_on_the_same_input_says_the_same(data, percentage):
    """A pure function: no clock, no chance, no memory."""
    windows = (*data.draw(looks(percentage)), window(9, percentage=percentage))

    assert at(percentage, windows) == at(percentage, windows)


@FEW
@given(st.data(), stages)
def test_decide_executed_later_or_again_buys_nothing(data, percentage):
    """The same look judged hours later is the same; without a new one nothing is due but a rollback that still is."""
    windows = (*data.draw(looks(percentage)), window(9, percentage=percentage))
    past = history(windows[:-1], percentage=percentage)
    later = windows[-1].ended_at + 5 * LOOK

    first = decide(flag(percentage), past, windows[-1], windows[-1].ended_at, QUICK)
    again = decide(flag(percentage), replace(past, windows=windows), None, later, QUICK)

    assert decide(flag(percentage), past, windows[-1], later, QUICK) == first
    if first.verb is Verb.ROLLBACK:
        assert again == first
    else:
        assert (again.verb, again.reasons, again.gates) == (Verb.HOLD, (Reason.NOT_DUE,), first.gates)
        assert (again.complete, again.next_percentage) == (False, None)


@FEW
@given(st.data(), stages)
def test_decide_does_not_depend_on_what_comes_later(data, percentage):
    """Two records that differ only in their later looks are judged alike until then."""
    windows = (*data.draw(looks(percentage, most=3)), window(9, percentage=percentage))
    bad = [window(0, percentage=percentage, penetration_ratio=0.9)] * 2
    found = []
    for tail in (bad, [window(0, percentage=percentage)]):
        recorded = tuple(RecordedLook(each) for each in (*windows, *placed(tail, 20)))
        replayed = replay([RecordedStage(percentage, BEGAN, recorded)], QUICK, whitelist_count=0).looks
        found.append([look.decision for look in replayed[: len(windows)]])

    assert found[0] == found[1]


def test_decide_with_later_looks_in_its_history_is_refused():
    """What had not been measured yet cannot be known."""
    later = history([window(0), window(5)])

    with pytest.raises(ValueError, match="begins before"):
        decide(flag(), later, window(1), BEGAN + 9 * LOOK, QUICK)


@FEW
@given(wild(), stages, st.integers(0, 4))
def test_decide_nonsense_never_crashes_and_never_promotes(nonsense, percentage, good):
    """NaN, infinities, negative and huge values: at most a known harm among them counts."""
    windows = placed([*([window(0, percentage=percentage)] * good), nonsense])
    found = at(percentage, windows)

    assert found.verb is not Verb.PROMOTE or all(gate.stand in {Stand.PASS, Stand.WAIT} for gate in found.gates)
    assert not any(math.isnan(value) or value < 0 for value in (found.healthy_seconds, found.uncounted_seconds))
    assert found.healthy_seconds <= len(windows) * 3600


@FEW
@given(wild(), anything, st.sampled_from([0.0, math.nan, math.inf, 1e-320, 3600.0]))
def test_decide_nonsense_in_the_zero_stage_and_the_baseline_never_crashes(nonsense, value, slot_seconds):
    """What was recorded long ago may be as broken as what is measured now."""
    zero = (*zero_stage(3), replace(nonsense, started_at=BEGAN - LOOK, ended_at=BEGAN))
    broken = replace(
        baseline(hit_ratio=value, error_ratio=value, p95_seconds=value, requests=value), slot_seconds=slot_seconds
    )
    past = replace(history([window(0)]), zero_windows=zero, baseline=broken)

    for percentage in (25, 100):
        at_stage = replace(past, percentage=percentage, windows=(window(0, percentage=percentage),))
        newest = window(1, percentage=percentage)
        assert decide(flag(percentage), at_stage, newest, newest.ended_at, QUICK).verb is Verb.HOLD


@FEW
@given(st.integers(0, 4), st.lists(st.floats(0, 1), min_size=6, max_size=6))
def test_decide_healthy_time_is_never_more_than_observed_time(unknowns, ratios):
    """The soak counts what somebody saw."""
    seen = [window(0, observed_ratio=ratio) for ratio in ratios]
    windows = placed([*seen, *([unknown(0)] * unknowns)])

    found = at(25, windows)

    most = sum(1 if ratio >= 0.95 else ratio for ratio in ratios) * 3600
    assert found.healthy_seconds <= most + 1e-6
    assert math.isclose(found.healthy_seconds + found.uncounted_seconds, len(windows) * 3600)
