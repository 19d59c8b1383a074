"""Counts by cohort as they come from Prometheus, made into the facts of both cohorts, or into gaps."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from runbooks_lib.facts import CohortSample, Gap, Sample
from runbooks_lib.sources.metrics import histogram

#: Values of the label ``cohort``: who gets the feature, who does not.
ENHANCED, CONTROL = "enhanced", "legacy"
#: The guide's slow request.
SLOW_ABOVE_SECONDS = 1.0
#: More than this part of the requests in neither cohort: their shares would not be those of the traffic.
_UNLABELLED_RATIO = 0.01
#: Sums of fractions differ in the last digits, so one edge may seem to hold a little less than the one below it.
_ROUNDING = 1e-5


@dataclass(frozen=True, slots=True)
class CohortCounts:
    """Both cohorts, None where they could not be read; ``gaps`` as in ``RolloutWindow``."""

    enhanced: CohortSample | None = None
    control: CohortSample | None = None
    gaps: Mapping[str, Gap] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Histograms:
    """Cohort → its cumulative buckets, or why there are none."""

    by_cohort: Mapping[str, Mapping[float, float]]
    gap: Gap | None = None


def cohort_counts(requests: Sequence[Sample], buckets: Sequence[Sample]) -> CohortCounts:
    """Requests, errors, slow requests and latency of both cohorts.

    A cohort without a series is one without requests, as long as the other one has the label: at 0 % nobody is
    enhanced. A number that is not finite is no number, and makes what it belongs to unknown.

    Args:
        requests: growth of ``http_requests_total`` by ``cohort`` and ``code``.
        buckets: growth of ``http_request_duration_seconds_bucket`` by ``cohort`` and ``le``.
    """
    if any(sample.value is None for sample in requests):
        return CohortCounts(gaps={"cohorts": Gap.NONSENSE})
    totals, errors = _requests_by_cohort(requests), _errors_by_cohort(requests)
    labelled = sum(totals.get(cohort, 0.0) for cohort in (ENHANCED, CONTROL))
    unlabelled = sum(totals.values()) - labelled
    if not totals.keys() & {ENHANCED, CONTROL} or unlabelled > _UNLABELLED_RATIO * (labelled + unlabelled):
        return CohortCounts(gaps={"cohorts": Gap.NOT_LABELLED})
    histograms = _histograms(buckets, totals)
    slow = {cohort: histogram.over(found, SLOW_ABOVE_SECONDS) for cohort, found in histograms.by_cohort.items()}
    gaps = {
        "errors": Gap.NOT_LABELLED if errors is None else None,
        "latency": histograms.gap,
        "slow": histograms.gap or (Gap.NO_BUCKET if None in slow.values() else None),
    }
    enhanced, control = (
        CohortSample(
            requests=totals.get(cohort, 0.0),
            errors=None if errors is None else errors.get(cohort, 0.0),
            slow=slow.get(cohort),
            buckets=histograms.by_cohort.get(cohort, {}),
        )
        for cohort in (ENHANCED, CONTROL)
    )
    return CohortCounts(enhanced, control, {name: gap for name, gap in gaps.items() if gap is not None})


def _requests_by_cohort(requests: Sequence[Sample]) -> dict[str, float]:
    totals: dict[str, float] = defaultdict(float)
    for sample in requests:
        totals[sample.labels.get("cohort", "")] += sample.value or 0.0
    return dict(totals)


def _errors_by_cohort(requests: Sequence[Sample]) -> dict[str, float] | None:
    """Answers with a 5xx code; None where requests were counted without a code."""
    if any(sample.value and not sample.labels.get("code") for sample in requests):
        return None
    return _requests_by_cohort([sample for sample in requests if sample.labels.get("code", "").startswith("5")])


def _histograms(buckets: Sequence[Sample], totals: Mapping[str, float]) -> _Histograms:
    ours = [sample for sample in buckets if sample.labels.get("cohort") in (ENHANCED, CONTROL)]
    if not ours:
        return _Histograms({}, Gap.NOT_LABELLED if buckets else Gap.NO_SERIES)
    if any(sample.value is None for sample in ours):
        return _Histograms({}, Gap.NONSENSE)
    found = {
        cohort: _buckets([sample for sample in ours if sample.labels.get("cohort") == cohort])
        for cohort in (ENHANCED, CONTROL)
    }
    if any(not buckets and totals.get(cohort) for cohort, buckets in found.items()):
        return _Histograms({}, Gap.NO_SERIES)
    edges = set().union(*found.values())
    complete = {cohort: buckets or dict.fromkeys(sorted(edges), 0.0) for cohort, buckets in found.items()}
    if not all(is_cumulative(buckets) for buckets in complete.values()):
        return _Histograms({}, Gap.NO_BUCKET)
    return _Histograms(complete)


def _buckets(samples: Sequence[Sample]) -> dict[float, float]:
    """Upper edge → count. Rounded: sums of fractions differ in the last digits from edge to edge."""
    series = (((("le", sample.labels.get("le", "")),), sample.value or 0.0) for sample in samples)
    return {edge: round(count, 6) for edge, count in (histogram.sum_buckets(series) or {}).items()}


def is_cumulative(buckets: Mapping[float, float]) -> bool:
    """Whether the counts rise up to ``+Inf``: sums over processes with different edges do not."""
    counts = [buckets[edge] for edge in sorted(buckets)]
    return math.inf in buckets and all(low <= high + _ROUNDING for low, high in itertools.pairwise(counts))
