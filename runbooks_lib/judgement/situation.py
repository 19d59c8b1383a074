"""Everything that is known of a site at one moment, side by side."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime

from runbooks_lib.facts import (
    Alerts,
    Flags,
    Health,
    History,
    HitRateGauge,
    Lookups,
    RedisServer,
    Requests,
    Warming,
    WarmingActivity,
)
from runbooks_lib.model import Unreadable


@dataclass(frozen=True, slots=True)
class Situation:
    """Everything that triage reads; what could not be read is ``Unreadable``.

    Attributes:
        at: aware UTC, the moment that is judged; by Prometheus's clock where it could be read, as the history is.
        lookups: over the policy's window, up to ``at``.
        lookups_before: over the same window at the beginning of the history, to compare with.
        history: hit rate and penetration over the policy's lookback.
        warming: over the policy's warming window, from the metrics.
        warming_store: statistics and locks, from Redis.
        gauge: the site's own hit-rate gauge against its counters; never judged, said when it must not be believed.
        notes: what limits all of it (clocks that differ).
    """

    at: datetime
    server: RedisServer | Unreadable
    warming_store: Warming | Unreadable
    health: Health | Unreadable
    lookups: Lookups | Unreadable
    lookups_before: Lookups | Unreadable
    history: History | Unreadable
    requests: Requests | Unreadable
    warming: WarmingActivity | Unreadable
    alerts: Alerts | Unreadable
    flags: Flags | Unreadable
    gauge: HitRateGauge | Unreadable | None = None
    notes: tuple[str, ...] = ()

    @property
    def unread(self) -> tuple[Unreadable, ...]:
        """What could not be read, each source and reason once."""
        missing = [value for f in fields(self) if isinstance(value := getattr(self, f.name), Unreadable)]
        return tuple({(m.source, m.what, m.reason): m for m in missing}.values())
