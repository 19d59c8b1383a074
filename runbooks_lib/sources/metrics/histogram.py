"""Cumulative histogram buckets: summed, a quantile, the share over an edge."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping

from runbooks_lib.sources.metrics.exposition import Labels


def sum_buckets(series: Iterable[tuple[Labels, float]]) -> dict[float, float] | None:
    """Upper edge → count at or below it, over all histograms given.

    None where the histograms do not share their edges: their sums would not be cumulative. Histograms in which nothing
    was counted do not matter. Empty where there are none.
    """
    histograms: dict[Labels, dict[float, float]] = defaultdict(dict)
    for labels, count in series:
        edge = _edge(dict(labels).get("le", ""))
        if edge is not None:
            histograms[tuple(pair for pair in labels if pair[0] != "le")][edge] = count
    counted = [h for h in histograms.values() if any(h.values())] or list(histograms.values())[:1]
    if len({frozenset(h) for h in counted}) > 1:
        return None
    sums: dict[float, float] = defaultdict(float)
    for histogram in counted:
        for edge, count in histogram.items():
            sums[edge] += count
    return dict(sorted(sums.items()))


def quantile(buckets: Mapping[float, float], wanted: float) -> float | None:
    """The ``wanted`` quantile (0..1), linear inside a bucket, as ``histogram_quantile()`` of Prometheus.

    The highest finite edge where it lies beyond that; None without ``+Inf``, without a finite edge or without counts.
    """
    edges = sorted(buckets)
    if len(edges) < 2 or edges[-1] != math.inf or buckets[math.inf] <= 0:
        return None
    rank, lower, below = wanted * buckets[math.inf], 0.0, 0.0
    for edge in edges:
        if buckets[edge] >= rank:
            if edge == math.inf:
                return edges[-2]
            inside = buckets[edge] - below
            return edge if inside <= 0 else lower + (edge - lower) * (rank - below) / inside
        lower, below = edge, buckets[edge]
    return edges[-2]


def over(buckets: Mapping[float, float], edge: float) -> float | None:
    """How many lie over ``edge``; None where there is no bucket with that edge."""
    if edge not in buckets or math.inf not in buckets:
        return None
    return max(0.0, buckets[math.inf] - buckets[edge])


def slow(buckets: Mapping[float, float], above_seconds: float) -> tuple[float | None, str]:
    """How many took longer, and what limits the count.

    Where no bucket ends at ``above_seconds`` the next higher edge is used, and the text says so: the count is too low
    then. None beyond the last edge.
    """
    edge = next((edge for edge in sorted(buckets) if edge >= above_seconds and edge != math.inf), None)
    if edge is None:
        return None, ""
    other = f"slow counts requests over {edge:g} s: the histogram has no bucket that ends at {above_seconds:g} s"
    return over(buckets, edge), "" if edge == above_seconds else other


def p95(buckets: Mapping[float, float]) -> tuple[float | None, str]:
    """The 95th percentile, and a text where it is only known to lie beyond the last finite edge."""
    value = quantile(buckets, 0.95)
    finite = [edge for edge in buckets if edge != math.inf]
    if value is not None and value == max(finite) and buckets[value] < 0.95 * buckets[math.inf]:
        return value, f"p95 is over {value:g} s, where the histogram's last bucket ends"
    return value, ""


def highest_lower_edge(buckets: Mapping[float, float]) -> float | None:
    """The lower edge of the highest bucket that anything fell into; None where nothing did."""
    edges = sorted(buckets)
    for index in range(len(edges) - 1, -1, -1):
        below = buckets[edges[index - 1]] if index else 0.0
        if buckets[edges[index]] > below:
            return edges[index - 1] if index else 0.0
    return None


def _edge(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return None if math.isnan(value) else value
