"""Kayenta's judge against the vectors of its own test suites, and where this one differs on purpose."""

import math

import numpy as np
import pytest

from runbooks_lib.judgement.statistics.counts import count_evidence
from runbooks_lib.judgement.statistics.group_sequential import bounds
from runbooks_lib.judgement.statistics.kayenta import (
    Classification,
    Direction,
    Effect,
    Label,
    MetricRules,
    Missing,
    Score,
    Verdict,
    classify,
    score,
)
from runbooks_lib.judgement.statistics.series import cles, mean_ratio, without_outliers

A = [float(value) for value in """
9.776734 10.587072 7.837551 9.324333 8.377451 8.935926 8.270766 9.748431 11.623747 9.275344 8.153805 10.562021 13.498136
11.054419 6.95389 12.521008 9.021636 4.923486 11.25136 11.59845 8.435232 11.110229 10.700634 8.921277 10.086167 11.421075
9.379235 7.798032 10.623398 11.909642""".split()]  # fmt: skip
B = [float(value) for value in """
20.878413 21.785506 19.708281 15.859947 19.510059 19.392006 22.926528 17.15653 18.655118 23.422608 24.055818 22.6269
21.979473 21.659319 20.067708 22.119571 16.440371 21.559623 21.000181 17.779369 17.806006 18.537201 20.55555 19.552928
21.771119 21.809623 20.961763 20.977572 19.106303 16.976919""".split()]  # fmt: skip
C = [float(value) for value in """
11.145359 9.961806 7.068574 7.301266 9.794463 9.603792 6.186779 12.345599 10.371892 8.60943 9.913163 10.361375 14.2068
10.946154 10.215877 11.739761 10.907627 12.823354 8.101861 8.498162 12.113441 13.272211 10.114579 6.946396 6.210528
10.160402 8.345771 8.383822 7.002021 10.755757""".split()]  # fmt: skip
E = [float(value) for value in """
20.758114 22.80206 20.61234 20.973275 23.469237 21.53134 21.767354 18.308051 19.062145 25.879498 18.98263 19.38792
18.995398 24.22842 20.050985 18.234045 17.870515 23.058104 18.40026 16.971352 19.467529 17.904654 17.553949 16.104612
24.381711 15.919294 20.47941 19.083072 17.455788 18.853827""".split()]  # fmt: skip

FIVE = [1.0, 2.0, 3.0, 4.0, 5.0]
TWENTIES, ONES = [20, 22, 21, 25, 30], [1, 2.2, 1.1, 2.5, 3]
FIFTIES = [54.9, 54.5, 55.1, 55.6, 57.4]
SPARSE = [0.05000000074505806, 0.05000000074505806, 0.01666666753590107, 0.01666666753590107, 0.01666666753590107,
          0.05000000074505806, 0.03333333507180214, 0.05000000260770321, 0.05000000260770321, 0.13333333656191826]  # fmt: skip


def rules(*, allowed=(1.0, 1.0), crit=(1.0, 1.0), **others):
    """As the suite sets a metric up: confidence 0.95, tolerance 0.10; pairs are (decrease, increase)."""
    return MetricRules(
        allowed_decrease=allowed[0],
        allowed_increase=allowed[1],
        critical_decrease=crit[0],
        critical_increase=crit[1],
        **{"confidence": 0.95, "tolerance": 0.10, **others},
    )


UP, DOWN = {"direction": Direction.INCREASE}, {"direction": Direction.DECREASE}
#: ClassifierSuite.scala: test name, canary, baseline, metric, label, critical.
CLASSIFIER_SUITE = [
    ("Mean Ratio Effect Size: High", TWENTIES, ONES, rules(allowed=(0.8, 1.2)), "High", False),
    ("Mean Ratio Effect Size: Pass", [10, 12.2, 10.1, 12.5, 23], TWENTIES, rules(allowed=(0.5, 1.0)), "Pass", False),
    ("Critical Effect Size: Critical High", TWENTIES, ONES, rules(crit=(1.0, 1.2), critical=True), "High", True),
    (
        "Critical Effect Size: Critical Low",
        [2, 2, 2, 2, 3],
        [10, 20.2, 10.1, 20.5, 30],
        rules(crit=(1.2, 1.0), critical=True),
        "Low",
        True,
    ),
    (
        "Critical Effect Size: High",
        TWENTIES,
        ONES,
        rules(allowed=(1.0, 5.0), crit=(1.0, 13.0), critical=True),
        "High",
        False,
    ),
    (
        "Critical Effect Size: Pass",
        TWENTIES,
        ONES,
        rules(allowed=(1.0, 13.0), crit=(1.0, 15.0), critical=True),
        "Pass",
        False,
    ),
    ("Critical High (Default Thresholds)", TWENTIES, ONES, rules(critical=True), "High", True),
    ("Mann-Whitney Tied Observations", [1, 1, 1], [1, 1], rules(**DOWN), "Pass", False),
    ("Identical Populations", FIVE, FIVE[::-1], rules(**DOWN), "Pass", False),
    ("Leading Zero Identical Population", [0, 1, 1, 1, 1], [1] * 5, rules(**DOWN), "Pass", False),
    ("Missing Experiment Data", [], FIVE, rules(**DOWN), "Nodata", False),
    ("Missing Experiment Data: Critical Metric", [], FIVE, rules(critical=True, **DOWN), "Nodata", True),
    ("Missing Data with NaN Replacement", [], FIVE, rules(missing=Missing.REPLACE, **DOWN), "Pass", False),
    ("Majority Tied Observations", [1, 1, 1, 1, 10], [1] * 5, rules(), "Pass", False),
    ("Tied Ranks", [10] * 5, [1] * 5, rules(), "High", False),
    ("Tied Ranks With Zeros", [10] * 5, [0] * 5, rules(), "High", False),
    ("Zero Mean: High Metric with Effect Size", FIFTIES, [0] * 5, rules(allowed=(0.8, 1.2)), "High", False),
    ("Zero Mean: Low Metric with Effect Size", [0] * 5, FIFTIES, rules(allowed=(0.8, 1.2)), "Low", False),
    (
        "Zero Mean: Critical Metric",
        SPARSE,
        [0] * 10,
        rules(crit=(0.8, 1.2), missing=Missing.REPLACE, critical=True),
        "High",
        True,
    ),
    ("Zero Mean: Pass Metric", [0] * 5, [0] * 5, rules(allowed=(0.8, 1.2)), "Pass", False),
    ("Pass Metric", A, C, rules(), "Pass", False),
    ("High Metric", B, C, rules(), "High", False),
    ("Low Metric", A, E, rules(), "Low", False),
    ("Directional Test: Increase", A, E, rules(**UP), "Pass", False),
    ("Directional Test: Decrease", B, C, rules(**DOWN), "Pass", False),
    ("Directional Test: High Metric", B, C, rules(**UP), "High", False),
    ("Directional Test: Low Metric", A, E, rules(**DOWN), "Low", False),
    ("Mean Ratio Effect Size: Low", A, E, rules(allowed=(0.8, 1.2), **DOWN), "Low", False),
]


@pytest.mark.parametrize(
    ("canary", "baseline", "metric", "label", "critical"),
    [pytest.param(*case[1:], id=case[0]) for case in CLASSIFIER_SUITE],
)
def test_classify_every_case_of_kayentas_suite_has_kayentas_label(canary, baseline, metric, label, critical):
    """All 28 cases of ClassifierSuite.scala, by its test names."""
    found = classify(canary, baseline, metric)

    assert (found.label, found.critical) == (label, critical)


@pytest.mark.parametrize(
    ("canary", "baseline", "deviation"),
    [
        pytest.param(FIFTIES, [0] * 5, math.nan, id="Zero Mean: High Metric with Effect Size"),
        pytest.param([0] * 5, FIFTIES, math.nan, id="Zero Mean: Low Metric with Effect Size"),
        pytest.param([0] * 5, [0] * 5, 1.0, id="Zero Mean: Pass Metric"),
        pytest.param([], FIVE, 1.0, id="Missing Experiment Data"),
        pytest.param([10] * 5, [1] * 5, 10.0, id="Tied Ranks"),
    ],
)
def test_classify_reports_the_deviation_that_kayenta_reports(canary, baseline, deviation):
    """A mean of 0 has no ratio; where nothing was compared it is 1."""
    found = classify(canary, baseline, rules(allowed=(0.8, 1.2)))

    assert found.deviation == pytest.approx(deviation, nan_ok=True)


#: What users showed to pass and wanted to fail: id, canary, baseline, metric.
BLIND_SPOTS = [
    pytest.param([0, 1, 2, 1, 0, 0], [0] * 6, MetricRules(), id="kayenta#426 sparse errors"),
    pytest.param(
        [10.0, 10.1, 10.2, 10.3, 10.4, 10.5, 10.6, 17.0, 17.1, 17.2, 17.3, 17.4, 17.5, 17.6, 17.7],
        [1, 100, 4, 101, 5, 102, 6, 103, 7, 104, 8, 105, 9, 106, 17],
        MetricRules(),
        id="kayenta#780 variance",
    ),
    pytest.param(
        [100] * 7 + [1] * 3, [1] * 10, rules(allowed=(1.0, 1.05), tolerance=0.25, confidence=0.98), id="spinnaker#6278 70 %"
    ),
]  # fmt: skip


@pytest.mark.parametrize(("canary", "baseline", "metric"), BLIND_SPOTS)
def test_classify_on_kayentas_known_blind_spots_passes_as_kayenta_does(canary, baseline, metric):
    """That it is faithful where it is wrong, too, is why it never decides here."""
    assert classify(canary, baseline, metric).label is Label.PASS


def test_classify_of_eight_bad_points_in_ten_is_high_as_the_user_found():
    """spinnaker#6278: it flips at the eighth point, whatever its value is."""
    metric = rules(allowed=(1.0, 1.05), tolerance=0.25, confidence=0.98)

    assert classify([100] * 8 + [1] * 2, [1] * 10, metric).label is Label.HIGH


def test_count_evidence_on_kayenta_426_grows_to_certainty_as_the_errors_go_on():
    """Four errors against none (chance: 1 in 16) lean towards harm; four such rounds are enough for alpha 0.05.

    The user wanted High after the first six minutes. Nothing that is honest can give that at 5 %; Kayenta gives Pass
    for ever, however long it goes on.
    """
    errors = [0, 1, 2, 1, 0, 0]
    first, fourth = (count_evidence(rounds * sum(errors), 0, 0.5, tolerance=1.25) for rounds in (1, 4))

    assert [classify(errors * rounds, [0] * 6 * rounds).label for rounds in (4, 40)] == [Label.PASS, Label.PASS]
    assert 1 < first.e_value < 20
    assert fourth.e_value >= 20
    assert fourth.low > 1.25


def tail_z(canary, baseline):
    """Is a larger part of the canary beyond the baseline's p95? z of two parts, pooled."""
    edge = np.percentile(baseline, 95)
    m, n = len(canary), len(baseline)
    here, there = (sum(value > edge for value in side) for side in (canary, baseline))
    pooled = (here + there) / (m + n)
    return (here / m - there / n) / math.sqrt(max(pooled * (1 - pooled), 1e-9) * (1 / m + 1 / n))


def test_tail_bound_on_spinnaker_6278_sees_the_outage_of_seventy_percent():
    """Seven of ten points beyond the control's p95 against none: over the bound of one look at 1 %."""
    z = tail_z([100] * 7 + [1] * 3, [1] * 10)

    assert z > bounds([1.0], alpha=0.01, phi=2, two_sided=False)[0].z


def test_tail_bound_on_kayenta_780_sees_a_canary_that_became_erratic():
    """The two series of the issue, with the erratic one as the canary: Kayenta passes it, the tail test does not.

    As the issue has them, the canary is the calmer one. Nothing of it lies beyond the control's p95: no harm to see.
    """
    calm = [10.0, 10.1, 10.2, 10.3, 10.4, 10.5, 10.6, 17.0, 17.1, 17.2, 17.3, 17.4, 17.5, 17.6, 17.7]
    erratic = [1, 100, 4, 101, 5, 102, 6, 103, 7, 104, 8, 105, 9, 106, 17]

    assert classify(erratic, calm).label is Label.PASS
    assert tail_z(erratic, calm) > bounds([1.0], alpha=0.05, phi=2, two_sided=False)[0].z
    assert tail_z(calm, erratic) <= 0


@pytest.mark.parametrize(
    ("canary", "baseline", "p"),
    [
        pytest.param([10, 20], [1, 2], 1 / 3, id="two above two"),
        pytest.param([10, 20, 30, 40], [1, 2, 3, 4], 2 / 70, id="four above four"),
    ],
)
def test_classify_of_tiny_samples_is_high_as_in_kayenta_but_not_supported(canary, baseline, p):
    """Kayenta's interval is clear of zero at "98 %" whenever all points are; the exact p says that chance does it."""
    found = classify(canary, baseline)

    assert found.label is Label.HIGH
    assert found.p == pytest.approx(p)
    assert not found.supported


def test_classify_of_enough_points_is_supported():
    """Thirty against thirty, far apart; and five against five fully separated reach 98 % (p 0.008)."""
    assert classify(B, C).supported
    assert classify(FIFTIES, FIVE).supported
    assert not classify(A, C).supported


@pytest.mark.parametrize(
    ("canary", "baseline"),
    [
        pytest.param([5.0], [0.0, 0.0, 0.0], id="one point over zeros: every rank is tied, Kayenta's exception"),
        pytest.param([math.inf, 1.0], [1.0, 2.0], id="infinite"),
    ],
)
def test_classify_of_what_cannot_be_compared_is_an_error_that_stays_critical(canary, baseline):
    """Kayenta labels it Error, too, but not critical, and then leaves it out of every sum: it fails open."""
    upstream = (Label.ERROR, False)
    found = classify(canary, baseline, MetricRules(critical=True))

    assert (found.label, found.critical) == (upstream[0], True)
    assert found.reason


def test_classify_with_data_that_must_be_there_fails_unless_it_is_critical_already():
    """``mustHaveData``: a metric that fails; a critical one is Nodata, and brings the score to 0 itself."""
    assert classify([], FIVE, MetricRules(must_have_data=True)).label is Label.NODATA_FAIL_METRIC
    both = classify([], FIVE, MetricRules(must_have_data=True, critical=True))
    assert (both.label, both.critical) == (Label.NODATA, True)


def test_classify_nan_is_removed_or_counts_as_zero():
    """All NaN is no data where NaN is removed, and zeros where it is replaced."""
    gone = [math.nan] * 5

    assert classify(gone, FIVE).label is Label.NODATA
    assert classify(gone, [0.0] * 5, MetricRules(missing=Missing.REPLACE)).label is Label.PASS
    assert classify(gone, FIFTIES, MetricRules(missing=Missing.REPLACE)).label is Label.LOW
    assert classify([*FIFTIES, math.nan], FIVE).label is Label.HIGH


def test_classify_with_cles_has_defaults_of_a_half():
    """An effect of 1 would be impossible for anything but full separation."""
    found = classify(B, C, MetricRules(effect=Effect.CLES))

    assert found.label is Label.HIGH
    assert found.effect == pytest.approx(cles(B, C))
    assert found.deviation == pytest.approx(mean_ratio(B, C))


def test_classify_outliers_are_removed_only_where_it_is_asked_for():
    """One point of a thousand moves the deviation; without it there is none."""
    canary = [*A, 1000.0]

    assert classify(canary, C).deviation > 4
    assert classify(canary, C, MetricRules(outlier_factor=3.0)).deviation == pytest.approx(mean_ratio(A, C), abs=0.05)


@pytest.mark.parametrize(
    ("canary", "baseline", "ratio"),
    [([10] * 5, [1] * 5, 10.0), ([10] * 5, [100] * 5, 0.1), (FIVE, [0] * 5, math.nan)],
)
def test_mean_ratio_of_kayentas_vectors(canary, baseline, ratio):
    """StatisticSuite.scala."""
    assert mean_ratio(canary, baseline) == pytest.approx(ratio, nan_ok=True)


def test_cles_of_kayentas_vectors():
    """StatisticSuite.scala: identical, no overlap; and the count of pairs that it stands for."""
    assert cles(FIVE, FIVE) == 0.5
    assert cles(FIVE, [10, 20, 30]) == 0.0
    assert cles(A, C) == pytest.approx(np.mean([(a > c) + 0.5 * (a == c) for a in A for c in C]))


def test_percentile_is_the_one_that_kayenta_uses():
    """StatisticSuite.scala, R-7: numpy's default, on which the removal of outliers rests."""
    values = np.arange(0, 4, 0.5)

    assert np.percentile(values, [5, 50]) == pytest.approx([0.175, 1.75])


#: NIST/SEMATECH e-Handbook 7.1.6: 90 values with one outlier.
NIST = [float(value) for value in """
30 171 184 201 212 250 265 270 272 289 305 306 322 322 336 346 351 370 390 404 409 411 436 437 439 441 444 448 451 453
470 480 482 487 494 495 499 503 514 521 522 527 548 550 559 560 570 572 574 578 585 592 592 607 616 618 621 629 637 638
640 656 668 707 709 719 737 739 752 758 766 792 792 794 802 818 830 832 843 858 860 869 918 925 953 991 1000 1005 1068
1441""".split()]  # fmt: skip


@pytest.mark.parametrize(
    ("values", "removed"),
    [
        pytest.param([21, 23, 24, 25, 50, 29, 23, 21], [50], id="one"),
        pytest.param([1, 1, 1, 5, -1, -1, -1, -5], [5, -5], id="both sides"),
        pytest.param(NIST, [1441], id="NIST"),
        pytest.param([], [], id="empty"),
    ],
)
def test_without_outliers_removes_what_kayentas_vectors_remove(values, removed):
    """DetectorSuite.scala, factor 1.5."""
    kept = without_outliers(np.asarray(values, float), 1.5).tolist()

    assert sorted(kept + [float(value) for value in removed]) == sorted(map(float, values))


def results(*words):
    """``"High critical"`` → a classification."""
    return [Classification(Label(word.split()[0]), critical=word.endswith("critical")) for word in words]


#: ScorerSuite.scala: groups, weights, summary.
SCORER_SUITE = [
    pytest.param({"g": results("Pass")}, {}, 100, id="one passes"),
    pytest.param({"g": results("High")}, {}, 0, id="one is high"),
    pytest.param({"g": results("Nodata")}, {}, 0, id="no data"),
    pytest.param({"P": results("Pass", "Pass"), "N": results("Nodata")}, {}, 100, id="a group without data"),
    pytest.param({"g": results("Pass", "High")}, {}, 50, id="one of two"),
    pytest.param({"g": results("Pass", "High", "Low")}, {}, 33.33, id="one of three"),
    pytest.param({"a": results("Pass", "Pass"), "b": results("High")}, {"a": 75, "b": 25}, 75, id="75/25"),
    pytest.param({"a": results("Pass", "High"), "b": results("High")}, {"a": 50, "b": 50}, 25, id="50/50"),
    pytest.param(
        {"a": results("Pass", "Nodata"), "b": results("High")}, {"a": 50, "b": 50}, 50, id="50/50, one without data"
    ),
    pytest.param({"g": results("Pass", "High critical")}, {}, 0, id="critical fails"),
    pytest.param({"g": results("Low", "Pass critical")}, {}, 50, id="critical passes"),
    pytest.param({"g": results("Pass", "Nodata critical")}, {}, 0, id="critical without data"),
    pytest.param({"a": results("High", "Low", "Pass"), "b": results("High")}, {"a": 15, "b": 85}, 5.0, id="15/85"),
]


@pytest.mark.parametrize(("groups", "weights", "summary"), SCORER_SUITE)
def test_score_every_case_of_kayentas_suite_has_kayentas_summary(groups, weights, summary):
    """ScorerSuite.scala."""
    assert score(groups, weights).summary == summary


def test_score_of_errors_counts_against_the_canary_where_kayenta_counts_them_nowhere():
    """Kayenta: a group of nothing but errors is worth 100, and one beside a pass changes nothing. Here neither is so."""
    upstream = {"only errors": 100, "an error beside a pass": 100}
    ours = {
        "only errors": score({"g": results("Error")}).summary,
        "an error beside a pass": score({"g": results("Error", "Pass")}).summary,
    }

    assert ours == {"only errors": 0, "an error beside a pass": 50}
    assert all(ours[name] < upstream[name] for name in ours)
    assert score({"g": results("Pass", "Error critical")}).reason == "a critical metric failed"


def test_score_groups_without_a_weight_share_what_is_left():
    """One weighs 50, the other two 25 each."""
    found = score({"a": results("High"), "b": results("Pass"), "c": results("Pass")}, {"a": 50})

    assert found.summary == 50
    assert found.groups == {"a": 0, "b": 100, "c": 100}


def test_score_of_nothing_is_zero_and_says_why():
    """No metrics are no reason to go on."""
    found = score({})

    assert (found.summary, found.reason) == (0, "no data for half of the metrics")


@pytest.mark.parametrize("weights", [{"g": -1}, {"g": 101}, {"g": 60, "h": 60}, {"g": math.nan}])
def test_score_with_weights_that_are_none_is_refused(weights):
    """A typing error must not make a canary good."""
    with pytest.raises(ValueError, match="weights"):
        score({"g": results("Pass")}, weights)


@pytest.mark.parametrize(
    ("summary", "judge", "monitor", "ours"),
    [
        pytest.param(95, "Pass", "Pass", Verdict.PASS, id="at passing"),
        pytest.param(94.99, "Marginal", "Marginal", Verdict.MARGINAL, id="below passing"),
        pytest.param(75, "Marginal", "Fail", Verdict.FAIL, id="at marginal"),
        pytest.param(74.99, "Fail", "Fail", Verdict.FAIL, id="below marginal"),
    ],
)
def test_verdict_at_the_boundary_is_the_stricter_of_kayentas_two(summary, judge, monitor, ours):
    """Kayenta's judge calls a score at marginal Marginal, its monitor fails it; the stricter of the two is taken."""
    order = ["Fail", "Marginal", "Pass"]

    assert Score(summary, {}).verdict() is ours
    assert ours == min(judge, monitor, key=order.index)
