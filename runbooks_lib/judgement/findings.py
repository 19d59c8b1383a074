"""How a finding is put together: from a measured value and its threshold, or from a read that failed."""

from __future__ import annotations

from collections.abc import Callable

from runbooks_lib import units
from runbooks_lib.facts import Lookups, Requests
from runbooks_lib.model import Evidence, Finding, Status, Unreadable
from runbooks_lib.policy import Threshold

#: Which runbook each finding leads to. Only those that exist are offered; ``next_steps`` knows what to take instead.
RUNBOOKS = {
    "cache.hit_rate": "low_hit_rate",
    "cache.penetration": "cache_penetration",
    "warming.duration": "slow_warming",
    "warming.failures": "slow_warming",
    "warming.locks": "cache_warming",
    "redis.memory": "high_memory",
    "redis.server": "incident_response",
    "site.health": "incident_response",
    "site.throttling": "rate_limiting",
    "site.flags": "feature_flags",
    "site.slow_requests": "low_hit_rate",
    "alerting.alerts": "alerting",
}


def unknown(identifier: str, title: str, unreadable: Unreadable) -> Finding:
    """The finding that stands for something that could not be read: UNKNOWN, with the reason and what to check."""
    return Finding(
        identifier,
        title,
        Status.UNKNOWN,
        f"could not be read: {unreadable.reason}",
        hint=unreadable.hint,
        runbook=RUNBOOKS.get(identifier, ""),
    )


def degraded(fact: Lookups | Requests) -> str:
    """One word for a fact that is less than it should be; the verdict's notes say why."""
    return "degraded" if fact.degraded else ""


def measured(  # noqa: PLR0913 - a finding has that many parts; all but the first four are keywords
    identifier: str,
    title: str,
    value: float | None,
    threshold: Threshold,
    *,
    detail: str,
    evidence: tuple[Evidence, ...] = (),
    hint: str = "",
) -> Finding:
    """The finding for a value in the threshold's unit, None when it is not known."""
    status = threshold.judge(value)
    return Finding(
        identifier,
        title,
        status,
        _shown(value, threshold.unit),
        limit=limit(threshold),
        detail=detail,
        reason=threshold.reason,
        value=value,
        unit=threshold.unit,
        evidence=evidence,
        hint=hint,
        runbook=RUNBOOKS.get(identifier, ""),
    )


def limit(threshold: Threshold) -> str:
    """Both thresholds: ``warning < 80 %, critical < 60 %``."""
    beyond = "<" if threshold.worse == "below" else ">"
    show = units.threshold_percent if threshold.unit == "ratio" else lambda edge: _shown(edge, threshold.unit)
    return f"warning {beyond} {show(threshold.warn)}, critical {beyond} {show(threshold.fail)}"


def _shown(value: float | None, unit: str) -> str:
    show: dict[str, Callable[[float | None], str]] = {
        "ratio": units.percent,
        "seconds": units.seconds,
        "per_second": units.per_second,
    }
    return show[unit](value)
