"""decide: what a campaign does after a look, and why."""

from dataclasses import replace
from datetime import timedelta

import pytest
from rollout_builders import (
    BEGAN,
    LOOK,
    NO_FLAG,
    POLICY,
    buckets,
    cohort,
    flag,
    gate,
    healthy,
    history,
    judged,
    unknown,
    window,
    zero_stage,
)

from runbooks_lib.facts.rollout import Gap
from runbooks_lib.judgement.rollout.decide import decide
from runbooks_lib.judgement.rollout.model import Reason, Stand, Verb

SICK = {"errors": 0.07}


def test_decide_healthy_but_not_soaked_holds_and_says_how_long():
    """Three good hours are not a day."""
    found = judged(healthy(3))

    assert (found.verb, found.reasons) == (Verb.HOLD, (Reason.SOAKING,))
    assert found.healthy_seconds == 3 * 3600
    assert "3 h of 24 h observed healthy" in found.text
    assert found.look == 3


def test_decide_after_a_healthy_soak_promotes_by_one_stage():
    """25 → 50, never further."""
    found = judged(healthy(24))

    assert (found.verb, found.reasons, found.next_percentage) == (Verb.PROMOTE, (Reason.SOAKED,), 50)
    assert "from 25 to 50 %" in found.text


@pytest.mark.parametrize(("percentage", "following"), [(0, 10), (10, 25), (50, 75), (75, 100)])
def test_decide_at_each_stage_leads_to_the_next(percentage, following):
    """Each of the guide's stages can be left upwards."""
    found = judged(healthy(24, percentage=percentage), percentage=percentage)

    assert (found.verb, found.next_percentage) == (Verb.PROMOTE, following)


def test_decide_at_the_last_stage_soaked_is_complete_and_holds():
    """At 100 % there is no control by design, and nowhere further to go."""
    found = judged(healthy(24, percentage=100), percentage=100)

    assert (found.verb, found.reasons, found.complete) == (Verb.HOLD, (Reason.COMPLETE,), True)
    assert found.next_percentage is None
    assert (gate(found, "errors").stand, gate(found, "errors").reason) == (Stand.WAIT, "no control")


def test_decide_at_100_percent_by_strategy_on_counts_as_100():
    """``on`` for everybody is what 100 % means."""
    assert judged(healthy(24, percentage=100), percentage=100, flagged=flag(0, "on")).complete


def test_decide_without_a_due_look_changes_nothing_and_shows_the_last_gates():
    """Executed too early, or twice."""
    past = healthy(25)

    found = decide(flag(), history(past), None, past[-1].ended_at, POLICY)

    assert (found.verb, found.reasons, found.look) == (Verb.HOLD, (Reason.NOT_DUE,), 25)
    assert found.gates == judged(past).gates


def test_decide_between_two_looks_acts_on_a_changed_flag_and_on_harm_and_says_what_it_cannot_read():
    """None of the three waits for the next look; each before the first one as well, but for harm."""
    past = healthy(25)
    changed = decide(flag(50), history(past), None, past[-1].ended_at, POLICY)
    assert (changed.reasons[0], changed.pauses, changed.gates) == (Reason.FLAG_CHANGED, True, judged(past).gates)
    assert decide(flag(50), history(), None, BEGAN, POLICY).pauses

    harmed = [*healthy(3), window(3, penetration_ratio=0.9)]
    found = decide(flag(), history(harmed), None, harmed[-1].ended_at, POLICY)
    assert found == judged(harmed)
    assert found.verb is Verb.ROLLBACK
    found = decide(flag(50), history(harmed), None, harmed[-1].ended_at, POLICY)
    assert (found.verb, found.pauses) == (Verb.HOLD, True)
    assert "Known harm: penetration" in found.text

    unread = decide(replace(NO_FLAG, reason="no\nshell"), history(past), None, past[-1].ended_at, POLICY)
    assert (unread.verb, unread.reasons) == (Verb.HOLD, (Reason.FLAG_UNREAD, Reason.NOT_DUE))
    assert "no shell" in unread.text


def test_decide_before_the_first_look_has_no_gates():
    """A stage that has just begun."""
    found = decide(flag(), history(), None, BEGAN, POLICY)

    assert (found.verb, found.gates, found.look, found.healthy_seconds) == (Verb.HOLD, (), 0, 0)


@pytest.mark.parametrize(
    ("changed", "shown"),
    [
        (flag(50), "gradual at 50 %"),
        (flag(25, "off"), "off at 25 %"),
        (flag(100, "on"), "on at 100 %"),
        (flag(25, "whitelist"), "whitelist at 25 %"),
        (flag(float("nan")), "gradual at nan %"),
        (flag(25, "gr\x1b[31madual\n"), "25 %"),
    ],
)
def test_decide_a_flag_changed_by_a_person_pauses_and_names_both_values(changed, shown):
    """Whoever changed it is in charge now, even where the stage would be left."""
    found = judged(healthy(24), flagged=changed)

    assert (found.verb, found.reasons[0], found.pauses) == (Verb.HOLD, Reason.FLAG_CHANGED, True)
    assert shown in found.text
    assert "campaign left it gradual at 25 %" in found.text
    assert "\n" not in found.text
    assert "\x1b" not in found.text


def test_decide_a_flag_switched_off_at_zero_percent_is_changed():
    """0 % gradual and off are not the same: somebody acted."""
    assert judged(healthy(3, percentage=0), percentage=0, flagged=flag(0, "off")).pauses


def test_decide_harm_under_a_changed_flag_pauses_and_names_the_harm():
    """It does not overwrite a person, nor hide what it saw."""
    found = judged([*healthy(2), window(2, enhanced=SICK), window(3, enhanced=SICK)], flagged=flag(10))

    assert found.verb is Verb.HOLD
    assert found.reasons[:2] == (Reason.FLAG_CHANGED, Reason.CRITICAL)


def test_decide_an_unread_flag_holds():
    """What was judged may no longer be served."""
    found = judged(healthy(24), flagged=NO_FLAG)

    assert (found.verb, found.reasons, found.pauses) == (Verb.HOLD, (Reason.FLAG_UNREAD,), False)
    assert "timed out" in found.text


def test_decide_known_harm_under_an_unread_flag_rolls_back():
    """A site too ill to answer is the last one to wait for."""
    found = judged([*healthy(2), window(2, enhanced=SICK), window(3, enhanced=SICK)], flagged=NO_FLAG)

    assert found.verb is Verb.ROLLBACK
    assert set(found.reasons) == {Reason.CRITICAL, Reason.FLAG_UNREAD}


def test_decide_at_a_percentage_that_is_no_stage_holds_and_calls_a_person():
    """No next stage can be named."""
    found = judged(healthy(24, percentage=30), percentage=30)

    assert (found.verb, found.reasons, found.escalates) == (Verb.HOLD, (Reason.NO_STAGE,), True)
    assert "0, 10, 25, 50, 75, 100" in found.text


def test_decide_unknown_holds_and_escalates_after_three_looks_in_a_row():
    """It never promotes, never rolls back, and calls a person in the end."""
    found = [judged([*healthy(24), *(unknown(24 + i) for i in range(count))]) for count in (1, 2, 3)]

    assert {each.verb for each in found} == {Verb.HOLD}
    assert [each.reasons for each in found] == [(Reason.UNKNOWN,)] * 3
    assert [each.escalates for each in found] == [False, False, True]
    assert "a person is called" in found[-1].text


def test_decide_after_an_unknown_look_needs_its_passing_looks_again():
    """One good look after a gap is not yet good; two are."""
    past = [*healthy(24), unknown(24)]

    one, two = (judged([*past, *healthy(count, first=25)]) for count in (1, 2))

    assert (one.verb, two.verb) == (Verb.HOLD, Verb.PROMOTE)


def test_decide_says_why_something_is_unknown():
    """The reason is the gap's, not a shrug."""
    late = window(3, enhanced=None, control=None)
    late = replace(late, enhanced=None, control=None, gaps={"cohorts": Gap.NOT_LABELLED})

    found = judged([*healthy(3), late])

    assert gate(found, "exposure").reason == "not labelled"
    assert "not labelled" in found.text


def test_decide_known_harm_beside_unknowns_rolls_back():
    """Penetration is critical twice, far from everything else being readable."""
    ill = [
        replace(window(i), penetration_ratio=0.25, enhanced=None, control=None, gaps={"cohorts": Gap.NO_SERIES})
        for i in (3, 4)
    ]

    found = judged([*healthy(3), *ill])

    assert found.verb is Verb.ROLLBACK
    assert found.reasons == (Reason.CRITICAL, Reason.UNKNOWN)


def test_decide_critical_once_holds_and_twice_in_a_row_rolls_back():
    """One bad hour may be chance."""
    past = [*healthy(3), window(3, penetration_ratio=0.25)]

    once, twice = judged(past), judged([*past, window(4, penetration_ratio=0.25)])

    assert (once.verb, once.reasons) == (Verb.HOLD, (Reason.NOT_CONFIRMED,))
    assert "rolls back at 2 in a row" in once.text
    assert (twice.verb, twice.reasons) == (Verb.ROLLBACK, (Reason.CRITICAL,))
    assert "25.0 %" in twice.text


def test_decide_critical_twice_but_not_in_a_row_holds():
    """A good look between two bad ones starts anew."""
    found = judged([window(0), window(1, penetration_ratio=0.25), window(2), window(3, penetration_ratio=0.25)])

    assert found.reasons == (Reason.NOT_CONFIRMED,)


def test_decide_two_different_criticals_do_not_confirm_each_other():
    """Each gate is confirmed by itself."""
    found = judged([window(0), window(1), window(2, penetration_ratio=0.25), window(3, warming_slowest_seconds=120)])

    assert found.verb is Verb.HOLD


@pytest.mark.parametrize(
    "fields",
    [{"penetration_ratio": 0.31}, {"hit_ratio": 0.39}, {"warming_slowest_seconds": 300}, {"enhanced": {"slow": 0.1}}],
)
def test_decide_far_beyond_critical_rolls_back_at_the_first_look(fields):
    """Nobody waits an hour for a second look at that."""
    assert judged([*healthy(3), window(3, **fields)]).verb is Verb.ROLLBACK


def test_decide_a_warning_holds_and_does_not_soak():
    """The time in which it warns is not healthy."""
    found = judged([*healthy(24), window(24, hit_ratio=0.79)], baseline=None, zero_windows=zero_stage(0))

    assert (found.verb, Reason.WARNING in found.reasons) == (Verb.HOLD, True)
    assert found.healthy_seconds <= 24 * 3600


def test_decide_more_errors_than_the_control_rolls_back_with_its_numbers():
    """Doubled from 0.4 to 0.8 %, within a few looks."""
    found = judged([window(i, enhanced={"errors": 0.008}) for i in range(6)])

    assert (found.verb, found.reasons) == (Verb.ROLLBACK, (Reason.REGRESSION,))
    assert "errors 0.80 % (control 0.40 %)" in found.text
    assert "rollback at 340" in gate(found, "errors").evidence


def test_decide_a_regression_needs_no_second_look():
    """The test is made for being looked at every hour; a gap after it does not hide it."""
    past = [window(i, enhanced={"errors": 0.008}) for i in range(6)]

    found = judged([*past, unknown(6)])

    assert found.verb is Verb.ROLLBACK
    assert found.reasons == (Reason.REGRESSION, Reason.UNKNOWN)


def test_decide_one_burst_that_hits_the_enhanced_cohort_is_no_regression():
    """A database that hangs for a minute hits some people with all they ask; it shows in one look only."""
    burst = window(3, enhanced={"errors": 0.009, "slow": 0.009, "p95_seconds": 0.5})

    found = judged([*healthy(3), burst, *healthy(2, first=4)])

    assert found.verb is Verb.HOLD
    assert found.reasons == (Reason.SOAKING,)


def test_decide_soak_counts_only_healthy_observed_time():
    """A gap, an unknown, a warned and a half observed look: the soak is what is left."""
    windows = [
        *healthy(3),
        window(5),
        unknown(6),
        window(7, penetration_ratio=0.15),
        window(8, observed_ratio=0.8),
        window(9),
    ]

    found = judged(windows)

    assert found.healthy_seconds == pytest.approx((3 + 1 + 0.8 + 1) * 3600)
    assert found.uncounted_seconds == pytest.approx((10 - 5.8) * 3600)


def test_decide_a_look_that_served_another_percentage_neither_soaks_nor_compares():
    """Instances keep the old flag for a while."""
    mixed = window(0, enhanced={"errors": 0.05}, served_percent=(10, 25))

    found = judged([mixed, *healthy(3, first=1)])

    assert found.healthy_seconds == 3 * 3600
    assert "look 3" in gate(found, "errors").evidence
    assert gate(found, "errors").now == "0.40 %"


def test_decide_overlapping_windows_are_refused():
    """Time would be counted twice."""
    with pytest.raises(ValueError, match="begins before the one before it ended"):
        judged([window(0), replace(window(1), started_at=BEGAN + timedelta(minutes=30))])


def test_decide_windows_out_of_order_are_refused():
    """A history is in its order, or it is none."""
    with pytest.raises(ValueError, match="begins before"):
        judged([window(1), window(0)])


def test_decide_a_window_that_ends_before_it_begins_is_refused():
    """Nothing was measured in it."""
    with pytest.raises(ValueError, match="nothing was measured"):
        judged([replace(window(0), ended_at=BEGAN - LOOK)])


def test_decide_a_window_that_has_not_ended_is_refused():
    """Half a window would be judged as a whole one."""
    with pytest.raises(ValueError, match="has not ended"):
        decide(flag(), history(), window(0), BEGAN, POLICY)


def test_decide_an_unread_served_percentage_never_promotes():
    """No instance says what it serves: the gauge is part of the contract."""
    found = judged([*healthy(24), *(window(i, served_percent=None) for i in (24, 25))])

    assert (found.verb, found.reasons) == (Verb.HOLD, (Reason.UNKNOWN,))
    assert gate(found, "served").stand is Stand.UNKNOWN


def test_decide_nobody_asks_at_night_holds():
    """Three requests prove nothing, in either direction."""
    quiet = window(24, requests=8, enhanced={"errors": 0.5})

    found = judged([*healthy(24), quiet])

    assert (found.verb, gate(found, "errors limit").reason) == (Verb.HOLD, "too few")


def test_decide_without_enough_requests_to_compare_soaks_but_never_promotes():
    """The comparison waits; the time is healthy; it ends when there are enough."""
    sparse = replace(POLICY, min_requests=10**6)

    found = judged(healthy(30), policy=sparse)

    assert (found.verb, found.reasons) == (Verb.HOLD, (Reason.SOAKING,))
    assert found.healthy_seconds == 30 * 3600
    assert "waits for" in found.text


def test_decide_histograms_without_the_edge_are_unknown():
    """Latency that cannot be compared is not fine."""
    blind = cohort(5_000)
    found = judged([*healthy(2), replace(window(2), enhanced=replace(blind, buckets={}))])

    assert (gate(found, "latency").stand, gate(found, "latency").reason) == (Stand.UNKNOWN, "no bucket")


def test_decide_slower_tail_in_the_enhanced_cohort_rolls_back():
    """p95 up 30 %."""
    found = judged([window(i, enhanced={"p95_seconds": 0.18 * 1.3}) for i in range(4)])

    assert found.verb is Verb.ROLLBACK
    assert "over 250 ms" in gate(found, "latency").now
    assert "p95" in gate(found, "latency").evidence


def test_decide_the_same_slowness_in_both_cohorts_is_no_regression():
    """The database is slow today, for everybody."""
    slow = {"p95_seconds": 0.4, "errors": 0.008}

    assert judged([window(i, enhanced=slow, control=slow) for i in range(10)]).verb is Verb.HOLD


def test_decide_shows_all_gates_in_a_fixed_order():
    """The status screen and the ledger rely on it."""
    names = [each.id for each in judged(healthy(3)).gates]

    assert names == [
        "observed",
        "served",
        "exposure",
        "errors",
        "slow",
        "latency",
        "errors limit",
        "slow limit",
        "hit rate",
        "penetration",
        "warming",
        "baseline hit rate",
    ]
    assert [each.id for each in judged(healthy(3, percentage=100), percentage=100).gates] == [
        *names,
        "baseline errors",
        "baseline latency",
    ]


def test_decide_every_gate_has_numbers_that_fit_the_screen():
    """now, limit and margin are cells of 32 characters."""
    for found in (judged(healthy(24)), judged([window(0, enhanced={"p95_seconds": 3, "errors": 0.5})])):
        cells = [cell for each in found.gates for cell in (each.id, each.now, each.limit, each.margin)]
        assert max(len(cell) for cell in cells) <= 32
        assert all(each.now for each in found.gates)


def test_decide_histograms_that_make_no_sense_never_crash():
    """NaN edges, falling counts, an empty last bucket."""
    for nonsense in ({float("nan"): 1.0}, {**buckets(100), 0.1: -5.0}, {float("inf"): 0.0}, {-1.0: 3.0}):
        broken = replace(cohort(5_000), buckets=nonsense)
        found = judged([replace(window(i), enhanced=broken) for i in range(3)])
        assert found.verb is Verb.HOLD
