"""How much the counters of one process grew between two of its expositions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from runbooks_lib.sources.metrics.exposition import Labels, Samples, usable

_HISTOGRAM_PARTS = ("_bucket", "_sum", "_count")


@dataclass(slots=True)
class Growth:
    """Growth by metric and labels, and what was noticed on the way.

    Attributes:
        series: sample name → labels → growth, never negative.
        restarts_count: series (a histogram is one) that fell, so began again at zero in between.
        unusable_count: samples that no counter can have (NaN, infinite, negative).
    """

    series: dict[str, dict[Labels, float]] = field(default_factory=lambda: defaultdict(dict))
    restarts_count: int = 0
    unusable_count: int = 0

    def has(self, name: str) -> bool:
        """The process exports this metric."""
        return name in self.series


def growth_between(first: Samples, second: Samples) -> Growth:
    """The second value minus the first, for every series of ``second``.

    A series that fell began again at zero: all of its second value is growth. One that is not in ``first`` was born
    in between, at zero. Buckets, sum and count of one histogram begin again together.
    """
    growth = Growth()
    for name, after in second.values.items():
        before = first.values.get(name, {})
        for labels, value in after.items():
            if not usable(value) or not usable(before.get(labels, 0.0)):
                growth.unusable_count += 1
                continue
            growth.series[name][labels] = value - before.get(labels, 0.0)
    _begin_again(growth, second.values)
    return growth


def _begin_again(growth: Growth, after: Mapping[str, Mapping[Labels, float]]) -> None:
    """Where a series fell, it and its histogram count from zero."""
    fallen = {
        _group(name, labels)
        for name, series in growth.series.items()
        for labels, change in series.items()
        if change < 0
    }
    growth.restarts_count = len(fallen)
    if not fallen:
        return
    for name, series in growth.series.items():
        for labels in series:
            if _group(name, labels) in fallen:
                series[labels] = after[name][labels]


def _group(name: str, labels: Labels) -> tuple[str, Labels]:
    """What begins again together: a counter, or all parts of one histogram."""
    for part in _HISTOGRAM_PARTS:
        if name.endswith(part):
            return name.removesuffix(part), tuple(pair for pair in labels if pair[0] != "le")
    return name, labels


def total(growths: list[Growth], name: str, **wanted: str) -> float | None:
    """The growth of one metric over all processes, of the series with these labels; None where nobody exports it."""
    if not any(growth.has(name) for growth in growths):
        return None
    return sum(
        change
        for growth in growths
        for labels, change in growth.series.get(name, {}).items()
        if wanted.items() <= dict(labels).items()
    )


def by_label(growths: list[Growth], name: str, label: str) -> dict[str, float]:
    """Label value → growth over all processes; a series without the label counts as the empty value."""
    sums: dict[str, float] = defaultdict(float)
    for growth in growths:
        for labels, change in growth.series.get(name, {}).items():
            sums[dict(labels).get(label, "")] += change
    return dict(sums)
