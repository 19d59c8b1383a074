"""Each gate of a rollout by itself: exposure, comparison, thresholds, baseline, alpha, second opinion."""

import math
from dataclasses import replace
from datetime import timedelta

import pytest
from rollout_builders import (
    BEGAN,
    HIT_RATIO,
    LOOK,
    POLICY,
    baseline,
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
from runbooks_lib.judgement.rollout.baseline import z_of_t
from runbooks_lib.judgement.rollout.comparison import Counts, tail_z
from runbooks_lib.judgement.rollout.instrument import clean, quantile, serves
from runbooks_lib.judgement.rollout.model import Reason, Stand, Verb
from runbooks_lib.judgement.rollout.second_opinion import second_opinions
from runbooks_lib.judgement.rollout.spending import alpha_per_test, look_bound
from runbooks_lib.judgement.rollout.tail import tail_edge
from runbooks_lib.judgement.rollout.thresholds import plateau

# Exposure


def test_exposure_follows_the_percentage():
    """A quarter of the traffic at 25 %."""
    found = gate(judged(healthy(3)), "exposure")

    assert (found.stand, found.now) == (Stand.PASS, "25.0 %")
    assert found.limit.startswith("25 ±")


def test_exposure_adds_the_whitelisted_share_measured_at_zero_percent():
    """8 % whitelisted and 25 % of the others are 31 %."""
    zero = zero_stage(enhanced={"requests": 1_600}, control={"requests": 18_400})
    windows = [window(i, enhanced={"requests": 6_200}, control={"requests": 13_800}) for i in range(3)]

    found = gate(judged(windows, zero_windows=zero, whitelist_count=7, flagged=flag(whitelist_count=7)), "exposure")

    assert (found.stand, found.now) == (Stand.PASS, "31.0 %")
    assert found.limit.startswith("31 ±")


@pytest.mark.parametrize(("percentage", "stand"), [(10, Stand.WARN), (25, Stand.PASS), (50, Stand.PASS)])
def test_exposure_tolerance_is_widest_where_people_scatter_most(percentage, stand):
    """4 points are within 5 at 50 %; at 10 % they are nearly half of the cohort, and over the 3 of there."""
    share = percentage / 100 + 0.04
    enhanced, control = {"requests": 100_000 * share}, {"requests": 100_000 * (1 - share)}
    looks = [window(i, percentage=percentage, enhanced=enhanced, control=control) for i in range(3)]

    assert gate(judged(looks, percentage=percentage), "exposure").stand is stand


def test_exposure_of_another_share_holds_and_nothing_is_compared():
    """Cookies, a cached flag, an old worker: who is in which cohort is not known, so a comparison means nothing."""
    ill = {"requests": 10_000, "errors": 0.02}

    found = judged([window(i, enhanced=ill, control={"requests": 10_000}) for i in range(5)])

    assert (found.verb, found.reasons[0]) == (Verb.HOLD, Reason.EXPOSURE)
    assert [gate(found, name).stand for name in ("errors", "slow", "latency")] == [Stand.WAIT] * 3
    assert found.healthy_seconds == 0
    assert "exposure 50.0 %" in found.text


def test_exposure_mismatch_does_not_hide_a_critical_site():
    """Global thresholds and those of the enhanced cohort still count."""
    ill = {"requests": 10_000}
    windows = [window(i, enhanced=ill, control=ill, penetration_ratio=0.25) for i in range(2)]

    assert judged(windows).verb is Verb.ROLLBACK


def test_exposure_without_a_zero_stage_and_with_a_whitelist_is_unknown():
    """How much of the traffic is whitelisted was never measured."""
    for count in (5, None):
        listed = flag(whitelist_count=count)
        found = gate(judged(healthy(3), zero_windows=(), whitelist_count=count, flagged=listed), "exposure")
        assert (found.stand, found.reason) == (Stand.UNKNOWN, "whitelist not measured")


def test_exposure_without_a_zero_stage_and_without_a_whitelist_is_known():
    """Nobody is enhanced at 0 % then."""
    assert gate(judged(healthy(3), zero_windows=()), "exposure").stand is Stand.PASS


def test_exposure_with_a_changed_whitelist_is_unknown():
    """Somebody was added since: the measured share no longer holds."""
    found = judged(healthy(24), flagged=flag(whitelist_count=3))

    assert (found.verb, found.reasons) == (Verb.HOLD, (Reason.UNKNOWN,))
    assert gate(found, "exposure").reason == "whitelist changed"


def test_exposure_unknown_still_lets_a_regression_roll_back():
    """Not known how many they are; known that they fail more often."""
    ill = [window(i, enhanced={"errors": 0.02}) for i in range(4)]

    assert judged(ill, flagged=flag(whitelist_count=3)).verb is Verb.ROLLBACK


def test_exposure_at_zero_percent_without_a_whitelist_must_be_nothing():
    """One in ten enhanced with nobody listed: the label lies."""
    some = {"enhanced": {"requests": 2_000}, "control": {"requests": 18_000}}
    windows = [window(i, percentage=0, **some) for i in range(3)]

    found = judged(windows, percentage=0)
    listed = judged(windows, percentage=0, whitelist_count=9, flagged=flag(0, whitelist_count=9))

    assert (found.verb, found.reasons[0]) == (Verb.HOLD, Reason.EXPOSURE)
    assert gate(listed, "exposure").stand is Stand.PASS


def test_exposure_at_100_percent_leaves_no_control():
    """Whoever is still in control was forgotten."""
    forgotten = [window(i, percentage=100, control={"requests": 2_000}) for i in range(3)]

    assert gate(judged(forgotten, percentage=100), "exposure").stand is Stand.WARN


def test_exposure_with_few_requests_waits():
    """Ten of thirty-two are no mismatch."""
    found = gate(judged([window(0, requests=200, enhanced={"requests": 90})]), "exposure")

    assert (found.stand, found.reason) == (Stand.WAIT, "too few")


# Instrument


def test_served_first_look_may_still_show_the_old_percentage():
    """Instances keep a copy for a while; later it is a warning."""
    first, later = window(0, served_percent=(10, 25)), window(1, served_percent=(10, 25))

    assert gate(judged([first]), "served").stand is Stand.WAIT
    assert gate(judged([window(0), later]), "served").stand is Stand.WARN
    assert gate(judged([window(0), later]), "served").now == "10 … 25 %"


def test_served_the_old_percentage_at_first_leaves_nothing_unknown():
    """A gauge that is scraped half a minute after a promotion is no reason to call somebody."""
    found = judged([window(0, served_percent=(10, 25))])

    assert [each.id for each in found.gates if each.stand is Stand.UNKNOWN] == []
    assert (found.reasons, gate(found, "baseline hit rate").reason) == ((Reason.SOAKING,), "on its way")


def test_observed_too_little_makes_the_whole_look_unknown():
    """Half an hour says little about an hour, even where it looks critical."""
    found = judged([*healthy(2), window(2, observed_ratio=0.5, penetration_ratio=0.9)])

    assert (found.verb, found.reasons) == (Verb.HOLD, (Reason.UNKNOWN,))
    assert gate(found, "observed").now == "50.0 %"
    assert gate(found, "penetration").stand is Stand.UNKNOWN


@pytest.mark.parametrize(
    "fields",
    [
        {"hit_ratio": math.nan},
        {"hit_ratio": 91.0},
        {"penetration_ratio": -0.1},
        {"lookups": math.inf},
        {"warming_slowest_seconds": -1.0},
        {"served_percent": (-5.0, 25.0)},
        {"served_percent": (math.nan, 25.0)},
        {"enhanced": {"requests": math.nan}},
        {"enhanced": {"requests": -1.0}},
        {"control": {"errors": 1.5}},
        {"control": {"slow": math.nan}},
        {"observed_ratio": math.nan},
        {"observed_ratio": 7.0},
    ],
)
def test_clean_numbers_that_cannot_be_are_unknown(fields):
    """Never zero, never a pass, never a crash."""
    found = judged([*healthy(24), window(24, **fields)])

    assert (found.verb, found.reasons[0]) == (Verb.HOLD, Reason.UNKNOWN)


def test_clean_a_sane_window_is_the_same_window():
    """Nothing is copied, and counts a little over their whole are believed: increase() extrapolates."""
    sane = window(0, hit_ratio=1.01)

    assert clean(sane, POLICY) is sane


def test_serves_without_a_gauge_is_not_known():
    """None is neither yes nor no."""
    assert serves(window(0, served_percent=None), 25) is None
    assert serves(window(0), 25) is True
    assert serves(window(0), 50) is False


def test_quantile_interpolates_as_prometheus_does():
    """95 of 100 lie in the middle of the bucket from 0.1 to 0.2."""
    assert quantile({0.1: 90.0, 0.2: 100.0, math.inf: 100.0}, 0.95) == pytest.approx(0.15)
    assert quantile({0.1: 90.0, math.inf: 100.0}, 0.95) == 0.1
    assert quantile({0.1: 0.0, math.inf: 0.0}, 0.95) is None
    assert quantile({0.1: 90.0, 0.2: 10.0, math.inf: 100.0}, 0.95) is None


# Alpha and the comparison


def test_alpha_is_divided_over_stages_and_tests():
    """Four tests at 10, 25, 50 and 75 %, one at 100 %."""
    assert alpha_per_test(POLICY) == pytest.approx(0.05 / 17)
    assert alpha_per_test(replace(POLICY, stages=(0, 50, 100))) == pytest.approx(0.05 / 5)
    assert alpha_per_test(replace(POLICY, stages=(0,))) == pytest.approx(0.05)


def test_look_bound_falls_to_the_planned_end_and_never_under_one_look():
    """Early looks need much; the last one about what a single test would."""
    bounds = [look_bound(look, 24, 0.05 / 17) for look in range(1, 25)]

    assert bounds == sorted(bounds, reverse=True)
    assert bounds[0] > 4
    assert 2.75 < bounds[-1] < 3.1
    assert look_bound(25, 24, 0.05 / 17) > bounds[-1]
    assert math.isinf(look_bound(0, 24, 0.05 / 17))


def test_look_bound_of_very_many_looks_tests_at_some_of_them():
    """A look a minute for a day is not 1,440 tests."""
    bounds = [look_bound(look, 1440, 0.01) for look in range(1, 1441)]

    assert sum(map(math.isfinite, bounds)) == 48


def test_tail_edge_is_chosen_from_the_zero_stage_and_all_looks_are_tested():
    """The share beyond it is nearest to 5 %."""
    edge, tested = tail_edge(healthy(3), zero_stage(), POLICY)

    assert (edge, len(tested)) == (0.25, 3)


def test_tail_edge_without_a_zero_stage_costs_the_first_look():
    """What chose the edge is not tested with it."""
    windows = healthy(3)

    assert tail_edge(windows, (), POLICY) == (0.25, windows[1:])
    assert tail_edge((), (), POLICY)[0] is None


def test_tail_edge_does_not_look_at_the_enhanced_cohort():
    """Otherwise it would be chosen by what it is to find."""
    slow = [window(i, enhanced={"p95_seconds": 3.0}) for i in range(3)]

    assert tail_edge(slow, (), POLICY)[0] == 0.25


def test_tail_z_is_zero_at_the_tolerance_and_without_events():
    """A quarter more is what does not matter."""
    assert tail_z(Counts(125, 1_000, 100, 1_000, 3), 1.25) == pytest.approx(0.0)
    assert tail_z(Counts(0, 1_000, 0, 1_000, 3), 1.25) == 0.0
    assert tail_z(Counts(200, 1_000, 100, 1_000, 3), 1.25) > 3


def test_errors_within_the_tolerance_never_roll_back():
    """A fifth more, however many requests say so."""
    found = judged([window(i, requests=2_000_000, enhanced={"errors": 0.0048}) for i in range(24)])

    assert gate(found, "errors").stand is Stand.PASS
    assert gate(found, "errors").margin == "+0.02"


def test_slow_requests_of_the_enhanced_cohort_roll_back():
    """0.1 to 0.5 %: under the guide's limit, far over the control."""
    found = judged([window(i, enhanced={"slow": 0.005}) for i in range(5)])

    assert gate(found, "slow").stand is Stand.FAIL
    assert gate(found, "slow limit").stand is Stand.PASS
    assert found.verb is Verb.ROLLBACK


def test_errors_that_are_not_labelled_are_unknown():
    """Counts without errors are no zero errors."""
    blind = [replace(window(i), enhanced=replace(cohort(5_000), errors=None)) for i in range(3)]

    found = judged(blind)

    assert (gate(found, "errors").stand, gate(found, "errors limit").stand) == (Stand.UNKNOWN, Stand.UNKNOWN)


def test_comparison_of_a_cohort_without_traffic_waits():
    """0 requests are known to be 0; there is nothing to compare yet."""
    silent = [replace(window(i), enhanced=cohort(0)) for i in range(3)]

    found = judged(silent)

    assert gate(found, "errors").stand is Stand.WAIT
    assert found.verb is Verb.HOLD


# Thresholds


@pytest.mark.parametrize(
    ("name", "warning", "critical"),
    [
        ("penetration", {"penetration_ratio": 0.11}, {"penetration_ratio": 0.21}),
        ("warming", {"warming_slowest_seconds": 60}, {"warming_slowest_seconds": 120}),
        ("hit rate", {"hit_ratio": 0.79}, {"hit_ratio": 0.59}),
        (
            "errors limit",
            {"enhanced": {"errors": 0.011}, "control": {"errors": 0.011}},
            {"enhanced": {"errors": 0.06}, "control": {"errors": 0.06}},
        ),
        (
            "slow limit",
            {"enhanced": {"slow": 0.011}, "control": {"slow": 0.011}},
            {"enhanced": {"slow": 0.06}, "control": {"slow": 0.06}},
        ),
    ],
)
def test_thresholds_warn_holds_and_critical_twice_rolls_back(name, warning, critical):
    """The guide's limits, one by one."""
    past = healthy(3)
    warned = judged([*past, window(3, **warning)], zero_windows=())
    failed = judged([*past, window(3, **critical), window(4, **critical)], zero_windows=())

    assert (gate(warned, name).stand, gate(warned, name).reason) == (Stand.WARN, "warning")
    assert warned.verb is Verb.HOLD
    assert (gate(failed, name).stand, gate(failed, name).reason) == (Stand.FAIL, "critical")
    assert failed.verb is Verb.ROLLBACK


def test_thresholds_at_the_limit_are_still_well():
    """The guide says under 80 %."""
    assert gate(judged([*healthy(2), window(2, hit_ratio=0.80)]), "hit rate").stand is Stand.PASS


def test_thresholds_say_value_limit_margin_and_sample():
    """The status screen shows them."""
    found = gate(judged(healthy(3)), "hit rate")

    assert (found.now, found.limit, found.margin, found.evidence) == ("91.0 %", "≥ 80 %", "+11.0", "30,000 lookups")


def test_thresholds_at_zero_percent_judge_the_control():
    """It is everybody there; the whitelist is too few to say."""
    found = judged(healthy(3, percentage=0), percentage=0)

    assert "control" in gate(found, "errors limit").evidence
    assert gate(found, "errors limit").stand is Stand.PASS


def test_warming_without_a_task_waits_and_does_not_keep_a_stage():
    """Nothing was warmed; where it could not be read it is unknown."""
    idle = [window(i, warming_slowest_seconds=None) for i in range(24)]
    unread = window(24, warming_slowest_seconds=None, gaps={"warming": Gap.QUERY_FAILED})

    assert judged(idle).verb is Verb.PROMOTE
    assert gate(judged([*idle, unread]), "warming").reason == "query failed"


def test_hit_rate_of_a_cold_cohort_waits_for_the_plateau():
    """It rises 75, 80, 84, 84.2: judged from there."""
    rising = [window(i, hit_ratio=hit) for i, hit in enumerate((0.75, 0.79, 0.84, 0.842))]
    stands = [gate(judged(rising[: n + 1], baseline=None), "hit rate").stand for n in range(4)]

    assert stands == [Stand.WAIT, Stand.WAIT, Stand.WAIT, Stand.PASS]
    assert gate(judged(rising[:2]), "hit rate").reason == "cold"


def test_hit_rate_is_waited_for_at_most_so_many_looks():
    """It still rises at the seventh look; it is judged all the same."""
    rising = [window(i, hit_ratio=0.60 + 0.02 * i) for i in range(8)]

    assert plateau(rising, 25, POLICY) == 6
    assert gate(judged(rising[:6]), "hit rate").stand is Stand.WAIT
    assert gate(judged(rising[:7]), "hit rate").stand is Stand.WARN


def test_hit_rate_that_no_cold_cohort_explains_is_critical_at_once():
    """At 25 %, a cold quarter cannot bring 91 % to 30 %."""
    found = judged([window(0, hit_ratio=0.40), window(1, hit_ratio=0.41)])
    deep = judged([window(0, hit_ratio=0.20)])

    assert found.verb is Verb.ROLLBACK
    assert deep.verb is Verb.ROLLBACK


def test_hit_rate_at_zero_percent_is_not_cold():
    """Nobody new came."""
    assert gate(judged([window(0, percentage=0)], percentage=0), "hit rate").stand is Stand.PASS


def test_a_cold_hit_rate_keeps_a_short_stage_from_promoting():
    """A soak of one look must not promote on a hit rate that was never judged."""
    short = replace(POLICY, soak_seconds=3600, pass_looks=1)

    assert judged([window(0)], policy=short).verb is Verb.HOLD
    assert judged(healthy(2), policy=short).verb is Verb.PROMOTE


# Baseline


def drop(points, looks=6, *, percentage=50, first=0):
    """Looks whose hit rate lies so many points under the baseline, scattered a little."""
    return [
        window(first + i, percentage=percentage, hit_ratio=HIT_RATIO - points / 100 + 0.002 * (-1) ** i)
        for i in range(looks)
    ]


def test_baseline_drop_of_hit_rate_rolls_back_after_the_plateau_and_two_looks():
    """9 points under the same hours of the day before."""
    verbs = [judged(drop(9)[: n + 1], percentage=50).verb for n in range(6)]
    found = judged(drop(9)[:4], percentage=50)

    assert verbs[:2] == [Verb.HOLD, Verb.HOLD]
    assert Verb.ROLLBACK in verbs
    assert found.reasons == (Reason.REGRESSION,)
    assert "baseline hit rate" in found.text


def test_baseline_drop_on_one_look_is_not_confirmed_yet():
    """The first significant look holds."""
    verbs = [judged(drop(9)[: n + 1], percentage=50) for n in range(6)]
    first = next(each for each in verbs if gate(each, "baseline hit rate").stand is Stand.FAIL)

    assert (first.verb, first.reasons) == (Verb.HOLD, (Reason.NOT_CONFIRMED,))


def test_baseline_drop_under_the_minimum_never_rolls_back():
    """Significant a hundred times over; it does not matter."""
    found = judged(drop(2, 24), percentage=50)

    assert gate(found, "baseline hit rate").stand is Stand.PASS
    assert found.verb is Verb.PROMOTE


@pytest.mark.parametrize(("percentage", "stand"), [(25, Stand.PASS), (50, Stand.PASS), (100, Stand.FAIL)])
def test_baseline_drop_may_be_larger_while_two_caches_stand_beside_each_other(percentage, stand):
    """6 points are over the 5 that matter; at 25 and 50 % the split of the cache costs up to 2 more by itself."""
    found = judged(drop(6, 12, percentage=percentage), percentage=percentage)

    assert gate(found, "baseline hit rate").stand is stand


def test_baseline_drop_that_was_there_at_zero_percent_is_not_the_features():
    """The release changed it before anybody had the feature: a difference of differences."""
    began = BEGAN - timedelta(days=1)
    zero = tuple(
        window(i, percentage=0, began=began, hit_ratio=HIT_RATIO - 0.08 + 0.003 * (-1) ** i) for i in range(24)
    )

    assert judged(drop(8, 12), percentage=50, zero_windows=zero).verb is Verb.HOLD
    assert judged(drop(15, 12), percentage=50, zero_windows=zero).verb is Verb.ROLLBACK


@pytest.mark.parametrize("looks", [1, 2, 5])
def test_baseline_drop_that_a_short_zero_stage_had_already_is_not_the_features(looks):
    """Two looks at 0 % do not show the noise, but that it was so before anybody got the feature they do."""
    began = BEGAN - timedelta(days=1)
    zero = tuple(window(i, percentage=0, began=began, hit_ratio=HIT_RATIO - 0.08) for i in range(looks))

    assert judged(drop(8, 12), percentage=50, zero_windows=zero).verb is Verb.HOLD
    assert judged(drop(20, 12), percentage=50, zero_windows=zero).verb is Verb.ROLLBACK


def test_baseline_compares_with_the_same_hour_of_day():
    """Nights are worse; a night like the night before is no drop."""
    profile = [0.91 - 0.10 * (hour < 6) for hour in range(24)]
    slots = tuple(replace(slot, hit_ratio=profile[slot.started_at.hour]) for slot in baseline().slots)
    night = [window(i, percentage=50, hit_ratio=profile[i]) for i in range(6)]

    found = judged(night, percentage=50, baseline=replace(baseline(), slots=slots))

    assert gate(found, "baseline hit rate").stand is Stand.PASS
    assert gate(found, "baseline hit rate").limit == "baseline 81.0 %"


def test_baseline_without_a_zero_stage_uses_the_looks_own_noise():
    """A t for few looks: two do not suffice, some more do."""
    verbs = [judged(drop(8, 12)[: n + 1], percentage=50, zero_windows=()).verb for n in range(12)]

    assert verbs[2] is Verb.HOLD
    assert Verb.ROLLBACK in verbs


def test_baseline_missing_falls_back_to_the_zero_stage():
    """Its mean is what to expect; a stage without either is unknown."""
    found = judged(drop(8, 12), percentage=50, baseline=None)
    neither = judged(healthy(3), baseline=None, zero_windows=())

    assert found.verb is Verb.ROLLBACK
    assert gate(neither, "baseline hit rate").reason == "no baseline"
    assert gate(neither, "baseline hit rate").stand is Stand.UNKNOWN


def test_baseline_at_zero_percent_measures_and_waits():
    """What it would be held against is measured there."""
    found = gate(judged(drop(7, 5, percentage=0), percentage=0), "baseline hit rate")

    assert (found.stand, found.reason) == (Stand.WAIT, "measures the noise")


def test_baseline_with_nonsense_in_its_slots_is_not_used():
    """A hit rate of 91 is no ratio, and a NaN no number."""
    for value in (91.0, math.nan, -1.0):
        found = judged(healthy(3), baseline=baseline(hit_ratio=value, error_ratio=value, p95_seconds=value))
        assert gate(found, "baseline hit rate").limit == "baseline 91.0 %"
        last = judged(
            healthy(3, percentage=100), percentage=100, baseline=baseline(error_ratio=value, p95_seconds=value)
        )
        assert gate(last, "baseline errors").stand is Stand.WAIT


def test_baseline_at_100_percent_warns_of_errors_and_latency():
    """One day is not like another: it holds and asks."""
    ill = [window(i, percentage=100, enhanced={"errors": 0.0099, "p95_seconds": 0.45}) for i in range(12)]

    found = judged(ill, percentage=100, baseline=baseline(p95_seconds=0.2))

    assert gate(found, "baseline errors").stand is Stand.WARN
    assert gate(found, "baseline latency").stand is Stand.WARN
    assert (found.verb, found.reasons) == (Verb.HOLD, (Reason.WARNING,))


def test_z_of_t_is_smaller_for_few_looks_and_keeps_its_sign():
    """A t of 5 from three looks is no z of 5."""
    assert z_of_t(5, 2) < z_of_t(5, 23) < 5
    assert z_of_t(-5, 23) == -z_of_t(5, 23)
    assert z_of_t(5, 0) == 0
    # t with 10 degrees of freedom: 4.144 has the upper tail 0.001, as z 3.090 has.
    assert z_of_t(4.144, 10) == pytest.approx(3.090, abs=0.02)


# Second opinion


def test_second_opinion_shows_kayentas_label_and_never_decides():
    """High where every look is higher; all gates wait."""
    ill = [window(i, enhanced={"errors": 0.008 + i / 10**5, "p95_seconds": 0.2}) for i in range(8)]

    found = {each.id: each for each in second_opinions(history(ill[:-1]), ill[-1], POLICY)}

    assert found["kayenta errors"].now == "High"
    assert "8 looks" in found["kayenta errors"].evidence
    assert {each.stand for each in found.values()} == {Stand.WAIT}


def test_second_opinion_of_few_looks_or_without_a_control_says_nothing():
    """Three points a side are no interval."""
    few = second_opinions(history([*healthy(2), unknown(2)]), None, POLICY)

    assert {each.now for each in few} == {"not asked yet"}
    assert second_opinions(history(percentage=100), None, POLICY) == ()


def test_second_opinion_of_equal_cohorts_passes():
    """The same histogram and the same errors."""
    assert {each.now for each in second_opinions(history(healthy(8)), None, POLICY)} == {"Pass"}


def test_builders_histograms_are_cumulative():
    """The tests themselves measure what they say."""
    assert list(buckets(100).values()) == sorted(buckets(100).values())
    assert timedelta(seconds=POLICY.look_seconds) == LOOK
