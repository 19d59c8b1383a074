"""Kayenta's judge (NetflixACAJudge-v1.0) for one metric and for a score: a second opinion that people know.

It compares where two series of points lie, nothing else: it is blind to errors that are rare, to a minority of very
bad points and to variance, and it is not made for looking again and again. Those are the business of ``counts`` and
``group_sequential``. Labels are Kayenta's. Four things differ on purpose: a result says whether so few points can
support it at all (``supported``); what could not be judged counts against its group and never for it; no random noise
is added to constant series; and a score on the boundary of *marginal* is a failure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from runbooks_lib.judgement.statistics.mann_whitney import EXACT_POINTS_COUNT, Shift, exact_p, normal_p, shift
from runbooks_lib.judgement.statistics.series import cles, mean_ratio, without_outliers

#: So many percent of results without data, and there is no score.
_NODATA_PERCENT = 50


class Label(StrEnum):
    """Kayenta's names for how a canary's metric lies to the baseline's."""

    HIGH = "High"
    LOW = "Low"
    PASS = "Pass"  # noqa: S105 - no password
    NODATA = "Nodata"
    NODATA_FAIL_METRIC = "NodataFailMetric"
    ERROR = "Error"


class Direction(StrEnum):
    """Which change is a bad one."""

    INCREASE = "increase"
    DECREASE = "decrease"
    EITHER = "either"


class Effect(StrEnum):
    """How the size of a change is measured."""

    MEAN_RATIO = "meanRatio"
    CLES = "cles"


class Missing(StrEnum):
    """What NaN becomes."""

    REMOVE = "remove"
    REPLACE = "replace"


class Verdict(StrEnum):
    """Of a score."""

    PASS = "Pass"  # noqa: S105 - no password
    MARGINAL = "Marginal"
    FAIL = "Fail"


@dataclass(frozen=True, slots=True)
class MetricRules:
    """How one metric is judged; the defaults are Kayenta's.

    Attributes:
        direction: which change is a bad one.
        missing: what NaN becomes: nothing, or 0.
        critical: failing it brings the whole score to 0.
        must_have_data: without data it fails, instead of not counting.
        outlier_factor: points so many interquartile ranges away are removed; None keeps all. Kayenta's is 3.
        effect: how the size of a change is measured.
        allowed_decrease: Low needs an effect at or below this; None: 1, of ``cles`` 0.5.
        allowed_increase: High needs an effect at or above this; likewise.
        critical_decrease: likewise, to be critical.
        critical_increase: likewise, to be critical.
        tolerance: part of the estimated shift by which the interval must be clear of zero.
        confidence: of the interval, 0..1.
    """

    direction: Direction = Direction.EITHER
    missing: Missing = Missing.REMOVE
    critical: bool = False
    must_have_data: bool = False
    outlier_factor: float | None = None
    effect: Effect = Effect.MEAN_RATIO
    allowed_decrease: float | None = None
    allowed_increase: float | None = None
    critical_decrease: float | None = None
    critical_increase: float | None = None
    tolerance: float = 0.25
    confidence: float = 0.98


@dataclass(frozen=True, slots=True)
class Classification:
    """How one metric of the canary lies to that of the baseline.

    Attributes:
        label: as Kayenta would say.
        critical: it brings the whole score to 0, unless it passes.
        deviation: mean of the canary / mean of the baseline; 1 where nothing was compared, NaN where a mean is 0.
        effect: by the metric's measure; NaN where there is none.
        shift: interval and estimate; None where nothing was compared.
        p: two-sided; of so few points exactly, of more by the normal approximation. 1 where nothing was compared.
        supported: High or Low, and p is no more than the confidence allows. Kayenta itself does not ask: it calls two
            points above two others High at "98 %".
        reason: why there is no answer; empty where there is one.
    """

    label: Label
    critical: bool = False
    deviation: float = 1.0
    effect: float = math.nan
    shift: Shift | None = None
    p: float = 1.0
    supported: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Score:
    """Of all metrics together.

    Attributes:
        summary: 0..100.
        groups: name → 0..100.
        without_data: names of groups in which nothing could be judged.
        reason: why the summary is 0 whatever the groups are; empty otherwise.
    """

    summary: float
    groups: Mapping[str, float]
    without_data: frozenset[str] = frozenset()
    reason: str = ""

    def verdict(self, *, passing: float = 95, marginal: float = 75) -> Verdict:
        """Is the score good enough?

        Kayenta's judge calls the boundary of marginal Marginal, its monitor fails it; so does this.
        """
        if self.summary >= passing:
            return Verdict.PASS
        return Verdict.MARGINAL if self.summary > marginal else Verdict.FAIL


_DEFAULT_RULES = MetricRules()


def classify(canary: Sequence[float], baseline: Sequence[float], rules: MetricRules = _DEFAULT_RULES) -> Classification:
    """Does the canary's metric lie higher or lower than the baseline's, as Kayenta judges it?

    Args:
        canary: points over time, not overlapping; NaN is a missing one.
        baseline: likewise.
        rules: how the metric is judged.

    Returns:
        High, Low or Pass; Nodata or NodataFailMetric where a side is empty; Error where a side is infinite or one
        point stands against one value: a critical metric stays critical then, other than in Kayenta.

    Source:
        Kayenta, ``NetflixACAJudge.scala`` and ``MannWhitneyClassifier.scala``.
    """
    x, y = _cleaned(canary, rules), _cleaned(baseline, rules)
    if not x.size or not y.size:
        return _without_data(rules)
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        return Classification(Label.ERROR, rules.critical, math.nan, reason="a value is infinite")
    if np.array_equal(np.sort(x), np.sort(y)):
        return Classification(Label.PASS)
    constant = np.ptp(x) == 0 and np.ptp(y) == 0
    if constant and min(x.size, y.size) == 1:
        return Classification(Label.ERROR, rules.critical, math.nan, reason="one point against one value")
    if constant and x[0] == y[0]:
        return Classification(Label.PASS)
    return _compared(x, y, rules)


def score(groups: Mapping[str, Sequence[Classification]], weights: Mapping[str, float] | None = None) -> Score:
    """How good is the canary, 0..100, over all metrics?

    A group's score is its part of metrics that pass; the summary is their weighted mean. A critical metric that does
    not pass, or no data for half of the metrics, makes it 0. In Kayenta a metric that failed with an exception counts
    nowhere, so that a group of nothing else is worth 100: here it counts as one that does not pass.

    Args:
        groups: name → results, those left out that are shown only.
        weights: name → percent; groups without share what is left.

    Raises:
        ValueError: a weight that is negative, or weights of more than 100 in all.

    Source:
        Kayenta, ``WeightedSumScorer.scala``.
    """
    given = _weights(groups, weights or {})
    scores = {name: _group_score(results) for name, results in groups.items()}
    empty = frozenset(name for name, value in scores.items() if value is None)
    shown = {name: round(value or 0.0, 2) for name, value in scores.items()}
    reason = _decisive([result for results in groups.values() for result in results])
    if reason:
        return Score(0.0, shown, empty, reason)
    total = sum((100.0 if value is None else value) * given[name] / 100 for name, value in scores.items())
    return Score(round(total, 2), shown, empty)


def _cleaned(values: Sequence[float], rules: MetricRules) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64).ravel()
    missing = np.isnan(array)
    array = np.where(missing, 0.0, array) if rules.missing is Missing.REPLACE else array[~missing]
    if rules.outlier_factor is None or not np.isfinite(array).all():
        return array
    return without_outliers(array, rules.outlier_factor)


def _without_data(rules: MetricRules) -> Classification:
    if rules.missing is Missing.REPLACE:
        return Classification(Label.PASS, reason="no data")
    failing = rules.must_have_data and not rules.critical
    return Classification(Label.NODATA_FAIL_METRIC if failing else Label.NODATA, rules.critical, reason="no data")


def _compared(x: NDArray[np.float64], y: NDArray[np.float64], rules: MetricRules) -> Classification:
    moved = shift(x.tolist(), y.tolist(), confidence=rules.confidence)
    ratio = mean_ratio(x.tolist(), y.tolist())
    effect = ratio if rules.effect is Effect.MEAN_RATIO else cles(x.tolist(), y.tolist())
    label = _label(moved, effect, rules)
    if label is Label.PASS:
        return Classification(label, deviation=ratio, effect=effect, shift=moved)
    p = (exact_p if x.size + y.size <= EXACT_POINTS_COUNT else normal_p)(x.tolist(), y.tolist())
    critical = rules.critical and _reaches(
        label, effect, _threshold(rules.critical_decrease, rules), _threshold(rules.critical_increase, rules)
    )
    return Classification(label, critical, ratio, effect, moved, p, p <= 1 - rules.confidence + 1e-12)


def _label(moved: Shift, effect: float, rules: MetricRules) -> Label:
    clear = rules.tolerance * abs(moved.estimate)
    decrease, increase = _threshold(rules.allowed_decrease, rules), _threshold(rules.allowed_increase, rules)
    if rules.direction is not Direction.DECREASE and moved.low > clear:
        if _reaches(Label.HIGH, effect, decrease, increase):
            return Label.HIGH
    elif (
        rules.direction is not Direction.INCREASE
        and moved.high < -clear
        and _reaches(Label.LOW, effect, decrease, increase)
    ):
        return Label.LOW
    return Label.PASS


def _reaches(label: Label, effect: float, decrease: float, increase: float) -> bool:
    return math.isnan(effect) or (effect >= increase if label is Label.HIGH else effect <= decrease)


def _threshold(given: float | None, rules: MetricRules) -> float:
    if given is not None:
        return given
    return 1.0 if rules.effect is Effect.MEAN_RATIO else 0.5


def _weights(groups: Mapping[str, object], weights: Mapping[str, float]) -> dict[str, float]:
    total = sum(weights.values())
    if any(not 0 <= weight <= 100 for weight in weights.values()) or total > 100 + 1e-9:
        raise ValueError(f"weights are percent and at most 100 together, not {dict(weights)}")
    rest = [name for name in groups if name not in weights]
    return {name: weights[name] if name in weights else (100 - total) / len(rest) for name in groups}


def _group_score(results: Sequence[Classification]) -> float | None:
    judged = [result for result in results if result.label is not Label.NODATA]
    if not judged:
        return None
    return 100 * sum(result.label is Label.PASS for result in judged) / len(judged)


def _decisive(results: Sequence[Classification]) -> str:
    if any(result.critical and result.label is not Label.PASS for result in results):
        return "a critical metric failed"
    missing = sum(result.label is Label.NODATA for result in results)
    if not results or 100 * missing / len(results) >= _NODATA_PERCENT:
        return "no data for half of the metrics"
    return ""
