"""Do two accounts of the same thing agree?

Flags as the site's code states them against what it serves; the last warming run against its schedule.
"""

from __future__ import annotations

from datetime import datetime

from runbooks_lib import units
from runbooks_lib.facts import Flag, Flags, Warming, WarmingType
from runbooks_lib.judgement.findings import RUNBOOKS, unknown
from runbooks_lib.model import Finding, Status, Unreadable
from runbooks_lib.policy import Policy

#: Half a percentage point is rounding, not a difference.
_ROUNDING_POINTS = 0.5


def differing_flags(stated: Flags | Unreadable, served: Flags | Unreadable) -> dict[str, tuple[float, float | None]]:
    """Feature → (percentage that the code states, percentage that is served, None where it is not named).

    Empty where either could not be read.
    """
    if isinstance(stated, Unreadable) or isinstance(served, Unreadable):
        return {}
    now = {flag.feature: flag.percentage for flag in served.flags}
    return {
        flag.feature: (flag.percentage, now.get(flag.feature))
        for flag in stated.flags
        if now.get(flag.feature) is None or abs(now[flag.feature] - flag.percentage) > _ROUNDING_POINTS
    }


def check_flags_agree(stated: Flags | Unreadable, served: Flags | Unreadable) -> Finding:
    """Does the site serve what its flags say?

    Each process of a site keeps its flags for some seconds, so a difference just after a change is normal; one that
    lasts is a process that does not see the change.

    Returns:
        Finding ``site.flags``: WARN where a percentage differs by over half a point, UNKNOWN where either side could
        not be read.
    """
    title = "feature flags"
    if isinstance(stated, Unreadable):
        return unknown("site.flags", title, stated)
    if isinstance(served, Unreadable):
        return unknown("site.flags", title, served)
    differing = differing_flags(stated, served)
    shown = "; ".join(f"{name}: stated {say:g} %, served {_served(get)}" for name, (say, get) in differing.items())
    return Finding(
        "site.flags",
        title,
        Status.WARN if differing else Status.OK,
        shown or units.things(len(stated.flags), "flag"),
        limit="served as stated",
        detail=" · ".join(f"{flag.feature} {flag_value(flag)}" for flag in stated.flags),
        reason="the site's processes keep a copy of their flags for some seconds",
        hint="look again in some seconds; a difference that stays is a process that does not see the change",
        runbook=RUNBOOKS["site.flags"],
    )


def flag_value(flag: Flag) -> str:
    """``on``, ``off``, ``gradual 25 %``, ``whitelist of 3``, ``25 %`` where no strategy is known."""
    listed = "" if not flag.whitelist_count else f", {flag.whitelist_count} listed"
    if flag.strategy in ("on", "off", "beta"):
        return flag.strategy
    if flag.strategy == "whitelist":
        return f"whitelist of {flag.whitelist_count or 0}"
    return f"{flag.strategy} {flag.percentage:g} %{listed}".strip()


def check_warming_schedule(store: Warming | Unreadable, policy: Policy, now: datetime) -> Finding:
    """Does scheduled warming run when it should?

    Returns:
        Finding ``warming.schedule``: WARN when the last scheduled run is over two intervals old, UNKNOWN when it never
        ran or could not be read.
    """
    title = "scheduled warming"
    if isinstance(store, Unreadable):
        return unknown("warming.schedule", title, store)
    scheduled = next((kind for kind in store.types if kind.name == "scheduled"), None)
    age = None if scheduled is None else age_seconds(scheduled, now)
    limit = 2 * policy.warming_interval_seconds
    never = "no run is known: statistics were removed, or it has not run since Redis was emptied"
    return Finding(
        "warming.schedule",
        title,
        Status.UNKNOWN if age is None else Status.WARN if age > limit else Status.OK,
        never if age is None else f"last run {units.duration(age)} ago",
        limit=f"warning > {units.duration(limit)}",
        detail=f"every {units.duration(policy.warming_interval_seconds)}",
        reason="guide, Scheduled Warming: every hour",
        value=age,
        unit="seconds",
        hint="is the task worker running, is CACHE_WARMING on, does a lock without expiry block it?",
    )


def age_seconds(kind: WarmingType, now: datetime) -> float | None:
    """How long ago a strategy ran last; None when that is not known. A clock that runs ahead gives 0."""
    return None if kind.last_run_at is None else max(0.0, (now - kind.last_run_at).total_seconds())


def _served(percentage: float | None) -> str:
    return "not named" if percentage is None else f"{percentage:g} %"
