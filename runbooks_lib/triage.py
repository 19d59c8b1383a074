"""What triage reads: everything that is independent side by side, then what the first round calls for.

The notebook ``incident/triage`` and the command ``runbooks triage`` both call ``read_triage`` and nothing else.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

from runbooks_lib import units
from runbooks_lib.facts import Flag, Flags, Health, Lookups
from runbooks_lib.judgement.change import earlier_window
from runbooks_lib.judgement.situation import Situation
from runbooks_lib.judgement.triage import judge_triage
from runbooks_lib.model import Provenance, Unreadable, Verdict
from runbooks_lib.policy import Policy
from runbooks_lib.sources.scrapes import Scraped, two_scrapes
from runbooks_lib.sources.together import Read, read_together
from runbooks_lib.view import Sources, View

#: How far apart the two scrapes are that replace Prometheus: long enough for some lookups, short enough to wait for.
SCRAPES_APART_SECONDS = 2.0
CLOCKS_DIFFER_SECONDS = 30.0
_NOT_COMPARED = Unreadable("prometheus", "cache lookups before", "there was no time left to read it")


def read_triage(sources: Sources, policy: Policy, *, window_seconds: float | None = None) -> Situation:
    """Read everything that triage judges, within the policy's deadline.

    Args:
        sources: of one environment.
        policy: durations already scaled for the environment.
        window_seconds: over which rates are taken; the policy's by default.

    Returns:
        The situation. Whatever could not be read is ``Unreadable`` in its place; nothing is raised for it.
    """
    ends = time.monotonic() + policy.deadline_seconds
    window = window_seconds or policy.window_seconds
    facts = read_together(_first_round(sources, policy, window), deadline_seconds=policy.deadline_seconds)
    at, notes = _moment(facts["lookups"])
    facts["flags"] = _served_flags(facts["health"])
    facts["lookups_before"] = facts["lookups"] if isinstance(facts["lookups"], Unreadable) else _NOT_COMPARED
    facts |= _second_round(sources, policy, facts, at=at, seconds_left=ends - time.monotonic())
    return Situation(at=at, notes=notes, **facts)


def _moment(lookups: Lookups | Unreadable) -> tuple[datetime, tuple[str, ...]]:
    """The moment to judge, by the clock that dated the samples; and a note when this machine's clock differs."""
    here = units.now()
    if isinstance(lookups, Unreadable) or lookups.ended_at is None:
        return here, ()
    skew = (here - lookups.ended_at).total_seconds()
    if abs(skew) < CLOCKS_DIFFER_SECONDS:
        return lookups.ended_at, ()
    word = "ahead of" if skew > 0 else "behind"
    return lookups.ended_at, (
        f"this machine's clock is {units.duration(abs(skew))} {word} Prometheus's, which is used",
    )


def _first_round(sources: Sources, policy: Policy, window: float) -> dict[str, Read[Any]]:
    metrics = sources.metrics
    prometheus: dict[str, tuple[str, Callable[[], Any]]] = {
        "lookups": ("cache lookups", lambda: metrics.lookups(window)),
        "history": ("history of the rates", lambda: metrics.history(policy.lookback_seconds)),
        "requests": ("requests", lambda: metrics.requests(window, policy.slow_request_seconds)),
        "warming": ("warming metrics", lambda: metrics.warming(policy.warming_window_seconds)),
        "alerts": ("alerts", sources.prometheus.alerts),
    }
    reads: dict[str, Read[Any]] = {
        "server": Read("server", "redis", sources.redis.server),
        "warming_store": Read("warming statistics and locks", "redis", sources.redis.warming),
        "health": Read("health endpoint", "web", sources.web.health),
    }
    return reads | {name: Read(what, "prometheus", call) for name, (what, call) in prometheus.items()}


def _second_round(
    sources: Sources, policy: Policy, facts: dict[str, Any], *, at: datetime, seconds_left: float
) -> dict[str, Any]:
    """What the first round calls for: an earlier window to compare with, and replacements for what it could not get."""
    reads: dict[str, Read[Any]] = {}
    if not isinstance(facts["lookups"], Unreadable):
        end, seconds = earlier_window(facts["history"], policy, at)
        reads["lookups_before"] = Read(
            f"cache lookups {units.duration((at - end).total_seconds())} before",
            "prometheus",
            lambda: sources.metrics.lookups(seconds, at=end),
        )
    if isinstance(facts["lookups"], Unreadable):
        reads["scraped"] = Read("two scrapes of /metrics", "web", lambda: _scrape(sources, policy))
    if isinstance(facts["flags"], Unreadable):
        reads["flags"] = Read("feature flags", "django", sources.django.flags)
    if not reads or seconds_left <= 0:
        return {}
    found = read_together(reads, deadline_seconds=seconds_left)
    scraped = found.pop("scraped", None)
    if isinstance(scraped, Scraped):
        missing = (name for name in ("lookups", "requests", "warming") if isinstance(facts[name], Unreadable))
        found |= {name: fact for name in missing if not isinstance(fact := getattr(scraped, name), Unreadable)}
    return found


def _scrape(sources: Sources, policy: Policy) -> Scraped:
    return two_scrapes(sources.web, apart_seconds=SCRAPES_APART_SECONDS, slow_above_seconds=policy.slow_request_seconds)


def _served_flags(health: Health | Unreadable) -> Flags | Unreadable:
    """The flags that the site serves now, as its health endpoint says; a fraction of the cost of asking its shell."""
    if isinstance(health, Unreadable):
        return Unreadable("web", "feature flags", health.reason, health.hint)
    if not health.features:
        return Unreadable("web", "feature flags", "the health endpoint names no features")
    flags = tuple(Flag(name, "", value, None, None) for name, value in sorted(health.features.items()))
    return Flags(flags, Provenance("web", health.provenance.query, health.provenance.read_at))


def triage(view: View) -> Verdict:
    """Read and judge, as the notebook does in two cells."""
    situation = read_triage(view.sources, view.policy, window_seconds=view.seconds("window"))
    return judge_triage(situation, view.policy, view.surroundings, protected=view.environment.protected)
