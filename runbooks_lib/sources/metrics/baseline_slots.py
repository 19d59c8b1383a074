"""Series with one point an hour, made into the slots of a baseline."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from runbooks_lib.facts import BaselineSlot, EndpointLookups, Series
from runbooks_lib.facts.rollout import SLOTS_COUNT
from runbooks_lib.sources.metrics import histogram
from runbooks_lib.sources.metrics.cohort_counts import SLOW_ABOVE_SECONDS, is_cumulative

_STATUSES = ("hit", "miss", "null_value", "stale")


@dataclass(frozen=True, slots=True)
class Columns:
    """What was read, each a series with a point at the end of every slot; None where the query failed.

    Attributes:
        codes: requests by ``code``.
        lookups: by ``status``.
        attempts: lookups of missing resources, one series.
        buckets: of the durations of requests, by ``le``.
        memory: bytes used by Redis.
        succeeded: part of the scrapes that succeeded, one series; empty where nobody stores ``up``.
        covered: the part of each slot in which the site was scraped, oldest first.
    """

    codes: Sequence[Series] | None
    lookups: Sequence[Series] | None
    attempts: Sequence[Series] | None
    buckets: Sequence[Series] | None
    memory: Series | None
    succeeded: Sequence[Series]
    covered: tuple[float, ...]


def by_slot(seen: Sequence[Series], started_seconds: float, slot_seconds: float, bins: int) -> tuple[float, ...]:
    """The part of each slot's bins that have a sample.

    Args:
        seen: at most one series, with a point at the end of each bin in which something was scraped.
        started_seconds: unix time of the first slot's start.
        slot_seconds: of one slot.
        bins: in one slot.
    """
    counts = [0] * SLOTS_COUNT
    for at in (at for one in seen for at in one.times):
        # Half a bin back, because the point stands at the end of what it tells about.
        slot = int((at.timestamp() - started_seconds) / slot_seconds - 0.5 / bins)
        if 0 <= slot < SLOTS_COUNT:
            counts[slot] += 1
    return tuple(min(1.0, count / bins) for count in counts)


def slots_of(columns: Columns, started_seconds: float, slot_seconds: float) -> tuple[BaselineSlot, ...]:
    """All slots, oldest first."""
    return tuple(
        _slot(columns, index, started_seconds + index * slot_seconds, slot_seconds) for index in range(SLOTS_COUNT)
    )


def _slot(columns: Columns, index: int, started_seconds: float, slot_seconds: float) -> BaselineSlot:
    started_at, end = datetime.fromtimestamp(started_seconds, UTC), started_seconds + slot_seconds
    succeeded = _at(columns.succeeded, end).get("", 1.0)
    observed_ratio = columns.covered[index] * (1.0 if succeeded is None else succeeded)
    if observed_ratio <= 0:
        return BaselineSlot(started_at, 0.0)
    codes, buckets = _known(columns.codes, end, "code"), _buckets(columns.buckets, end)
    requests = sum(codes.values()) if codes else None
    errors = sum(count for code, count in codes.items() if code.startswith("5")) if any(codes) else None
    slow = histogram.over(buckets, SLOW_ABOVE_SECONDS)
    hit_ratio, penetration_ratio = _cache(columns, end)
    return BaselineSlot(
        started_at=started_at,
        observed_ratio=min(1.0, observed_ratio),
        hit_ratio=hit_ratio,
        penetration_ratio=penetration_ratio,
        p95_seconds=histogram.p95(buckets)[0] if buckets else None,
        error_ratio=_ratio(errors, requests),
        slow_ratio=_ratio(slow, buckets.get(math.inf)),
        requests=requests,
        used_memory_bytes=None if columns.memory is None else _at([columns.memory], end).get(""),
    )


def _cache(columns: Columns, end: float) -> tuple[float | None, float | None]:
    """Hit ratio and penetration ratio of one slot. A status that is not known is a miss."""
    sums = dict.fromkeys(_STATUSES, 0.0)
    for status, count in _known(columns.lookups, end, "status").items():
        sums[status if status in _STATUSES else "miss"] += count
    lookups = EndpointLookups("all", **sums)
    if lookups.hit_ratio is None:
        return None, None
    if columns.attempts is None:
        return lookups.hit_ratio, None
    # As everywhere: without the counter a null_value is an attempt; in a slot before its first one there was none.
    attempts = _at(columns.attempts, end).get("", 0.0) if columns.attempts else lookups.null_value
    return lookups.hit_ratio, None if attempts is None else min(1.0, attempts / lookups.total)


def _buckets(series: Sequence[Series] | None, end: float) -> dict[float, float]:
    """Upper edge → count at or below it; empty where the sums over all processes are not cumulative."""
    edges = _known(series, end, "le").items()
    sums = histogram.sum_buckets(((("le", le),), round(count, 6)) for le, count in edges) or {}
    return sums if is_cumulative(sums) else {}


def _known(series: Sequence[Series] | None, end: float, label: str) -> Mapping[str, float]:
    """Label value → value at the end of a slot; empty where one of them is no number, because sums would be wrong."""
    values = _at(series or (), end, label)
    return {name: value for name, value in values.items() if value is not None} if None not in values.values() else {}


def _at(series: Sequence[Series], end: float, label: str = "") -> dict[str, float | None]:
    """Label value → value at a moment; what has no point there is left out."""
    return {
        one.labels.get(label, ""): value
        for one in series
        for at, value in zip(one.times, one.values, strict=True)
        if abs(at.timestamp() - end) < 0.0005
    }


def _ratio(numerator: float | None, denominator: float | None) -> float | None:
    return numerator / denominator if numerator is not None and denominator else None
