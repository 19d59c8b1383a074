"""Range queries as a history: one point for every time that was asked for, and a gap where there was no sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from runbooks_lib.facts import History, Series
from runbooks_lib.model import Provenance
from runbooks_lib.sources.metrics.prometheus import Matrices

#: Statuses of a lookup that was answered from the cache: the contract's hit rate.
FROM_CACHE = ("hit", "stale", "null_value")


def history_of(answers: Matrices, provenance: Provenance) -> History:
    """The facts of every point that was asked for.

    Args:
        answers: ``lookups`` per second by ``status``, and ``attempts`` per second where the site counts them.
        provenance: of the answers.
    """
    points = round((answers.end_seconds - answers.start_seconds) / answers.step_seconds) + 1
    times = tuple(
        datetime.fromtimestamp(answers.start_seconds + index * answers.step_seconds, UTC) for index in range(points)
    )
    statuses = {one.labels.get("status", ""): _on_grid(one, answers, points) for one in answers.series["lookups"]}
    attempts = next((_on_grid(one, answers, points) for one in answers.series["attempts"]), None)
    hits, penetration, rates = zip(
        *(
            _point({status: rates[index] for status, rates in statuses.items()}, attempts, index)
            for index in range(points)
        ),
        strict=True,
    )
    return History(times, hits, penetration, rates, answers.step_seconds, provenance)


def _point(
    rates: Mapping[str, float | None], attempts: Sequence[float | None] | None, index: int
) -> tuple[float | None, float | None, float | None]:
    """Hit ratio, penetration ratio and lookups per second of one point; all None in a gap."""
    known = {status: rate for status, rate in rates.items() if rate is not None}
    if not known:
        return None, None, None
    total = sum(known.values())
    if total <= 0:
        return None, None, total
    hits = sum(known.get(status, 0.0) for status in FROM_CACHE)
    # The counter has no series before the first attempt: where there are lookups, no sample means no attempt.
    missing = known.get("null_value", 0.0) if attempts is None else attempts[index] or 0.0
    return hits / total, min(1.0, missing / total), total


def _on_grid(series: Series, answers: Matrices, points: int) -> list[float | None]:
    """One value for every point that was asked for; None where the series has none."""
    values: list[float | None] = [None] * points
    for at, value in zip(series.times, series.values, strict=True):
        index = round((at.timestamp() - answers.start_seconds) / answers.step_seconds)
        if 0 <= index < points:
            values[index] = value
    return values
