"""Which endpoints explain a change of the hit rate? An exact decomposition, and what to compare with."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from runbooks_lib.facts import EndpointLookups, History, Lookups
from runbooks_lib.judgement.timeline import breach
from runbooks_lib.model import Unreadable
from runbooks_lib.policy import Policy


@dataclass(frozen=True, slots=True)
class Contribution:
    """What one endpoint did to the overall hit rate between two windows.

    Attributes:
        endpoint: its name.
        points_ratio: its part of the fall, as a ratio; positive lowers the overall hit rate. All parts sum to the fall.
        share_before, share_now: its share of all lookups, 0..1.
        hit_before, hit_now: its own hit ratio, 0..1; None without lookups.
        misses_ratio: its share of all misses now, 0..1.
    """

    endpoint: str
    points_ratio: float
    share_before: float
    share_now: float
    hit_before: float | None
    hit_now: float | None
    misses_ratio: float


def contributions(before: Lookups, now: Lookups) -> tuple[Contribution, ...]:
    """Each endpoint's part of the fall from ``before`` to ``now``, largest first.

    part = w1·(R0 − r1) − w0·(R0 − r0), with w the endpoint's share of lookups, r its hit ratio and R0 the overall hit
    ratio before. The second terms sum to zero, so the parts sum to R0 − R1, and a new endpoint (w0 = 0) that never
    hits is charged with its whole weight.

    Returns:
        Empty when either window has no lookups.
    """
    base = before.hit_ratio
    if base is None or now.hit_ratio is None:
        return ()
    old = {e.endpoint: e for e in before.endpoints}
    new = {e.endpoint: e for e in now.endpoints}
    misses = now.overall.miss
    parts = []
    for name in old.keys() | new.keys():
        was, is_now = old.get(name, EndpointLookups(name)), new.get(name, EndpointLookups(name))
        share_before, share_now = was.total / before.total, is_now.total / now.total
        points = share_now * (base - (is_now.hit_ratio or 0.0)) - share_before * (base - (was.hit_ratio or 0.0))
        parts.append(
            Contribution(
                name,
                points,
                share_before,
                share_now,
                was.hit_ratio,
                is_now.hit_ratio,
                is_now.miss / misses if misses > 0 else 0.0,
            )
        )
    return tuple(sorted(parts, key=lambda part: (-part.points_ratio, part.endpoint)))


def earlier_window(history: History | Unreadable, policy: Policy, at: datetime) -> tuple[datetime, float]:
    """What to compare with: (its end, aware UTC; its length in seconds).

    Just before the hit rate fell, where the history shows that; else the same time of day before, because a site at
    noon does not compare with one at midnight.
    """
    if not isinstance(history, Unreadable):
        fall = breach(history, history.hit_ratio, policy.hit_rate.warn, policy.hit_rate.worse)
        # A rate looks back some steps: the first low sample comes after the fall by as much.
        margin = timedelta(seconds=4 * history.step_seconds)
        if fall is not None and not fall.from_the_start and fall.since - margin > history.times[0]:
            return fall.since - margin, policy.window_seconds
    return at - timedelta(seconds=policy.baseline_seconds), policy.compare_window_seconds
