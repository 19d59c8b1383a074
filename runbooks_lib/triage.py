"""What triage reads: everything that is independent side by side, then what the first round calls for.

The notebook ``incident/triage`` and the command ``runbooks triage`` both call ``read_triage`` and nothing else.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

from runbooks_lib import units
from runbooks_lib.facts import Flag, Flags, Health
from runbooks_lib.judgement.situation import Situation
from runbooks_lib.judgement.triage import judge_triage
from runbooks_lib.model import Provenance, Unreadable, Verdict
from runbooks_lib.policy import Policy
from runbooks_lib.sources.scrapes import Scraped, two_scrapes
from runbooks_lib.sources.together import Read, read_together
from runbooks_lib.view import Sources, View

#: How far apart the two scrapes are that replace Prometheus: long enough for some lookups, short enough to wait for.
SCRAPES_APART_SECONDS = 2.0


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
    at = units.now()
    window = window_seconds or policy.window_seconds
    facts = read_together(_first_round(sources, policy, window, at), deadline_seconds=policy.deadline_seconds)
    facts["flags"] = _served_flags(facts["health"])
    facts |= _second_round(sources, policy, facts, ends - time.monotonic())
    return Situation(at=at, **facts)


def _first_round(sources: Sources, policy: Policy, window: float, at: datetime) -> dict[str, Read[Any]]:
    metrics = sources.metrics
    # The earliest full window of the history: what "before" means when something fell.
    before = datetime.fromtimestamp(at.timestamp() - policy.lookback_seconds, tz=at.tzinfo)
    prometheus: dict[str, tuple[str, Callable[[], Any]]] = {
        "lookups": ("cache lookups", lambda: metrics.lookups(window, at=at)),
        "lookups_before": ("cache lookups before", lambda: metrics.lookups(window, at=before)),
        "history": ("history of the rates", lambda: metrics.history(policy.lookback_seconds, at=at)),
        "requests": ("requests", lambda: metrics.requests(window, policy.slow_request_seconds, at=at)),
        "warming": ("warming metrics", lambda: metrics.warming(policy.warming_window_seconds, at=at)),
        "alerts": ("alerts", sources.prometheus.alerts),
    }
    reads: dict[str, Read[Any]] = {
        "server": Read("server", "redis", sources.redis.server),
        "warming_store": Read("warming statistics and locks", "redis", sources.redis.warming),
        "health": Read("health endpoint", "web", sources.web.health),
    }
    return reads | {name: Read(what, "prometheus", call) for name, (what, call) in prometheus.items()}


def _second_round(sources: Sources, policy: Policy, facts: dict[str, Any], seconds_left: float) -> dict[str, Any]:
    """What replaces facts that the first round could not get: two scrapes, and the flags from the site's own code."""
    reads: dict[str, Read[Any]] = {}
    if all(isinstance(facts[name], Unreadable) for name in ("lookups", "requests", "warming")):
        reads["scraped"] = Read("two scrapes of /metrics", "web", lambda: _scrape(sources, policy))
    if isinstance(facts["flags"], Unreadable):
        reads["flags"] = Read("feature flags", "django", sources.django.flags)
    if not reads or seconds_left <= 0:
        return {}
    found = read_together(reads, deadline_seconds=seconds_left)
    scraped = found.pop("scraped", None)
    if isinstance(scraped, Scraped):
        names = ("lookups", "requests", "warming")
        found |= {name: fact for name in names if not isinstance(fact := getattr(scraped, name), Unreadable | None)}
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
