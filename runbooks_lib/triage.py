"""What triage reads: everything that is independent side by side, then what the first round calls for.

The notebook ``incident/triage`` and the command ``runbooks triage`` both call ``read_triage`` and nothing else.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

from runbooks_lib import units
from runbooks_lib.facts import Flag, Flags, Health, Lookups
from runbooks_lib.judgement.change import earlier_window
from runbooks_lib.judgement.situation import Situation
from runbooks_lib.judgement.triage import judge_triage
from runbooks_lib.model import Kind, Provenance, Unreadable, Verdict
from runbooks_lib.policy import Policy
from runbooks_lib.sources.metrics.scrapes import EarlyScrape, Scraped, two_scrapes
from runbooks_lib.sources.together import Read, read_together
from runbooks_lib.view import Sources, View

#: How far apart the two scrapes are that replace Prometheus: long enough for some lookups, short enough to wait for.
SCRAPES_APART_SECONDS = 2.0
#: How long Prometheus may take before the first of them is begun; a healthy one answers in a tenth of this.
PROMETHEUS_SOON_SECONDS = 0.5
#: What ending the site's shell takes: it is asked first, then made. Left of the time that a read has.
_SHELL_ENDS_SECONDS = 0.8
#: In less than this no site starts its shell.
_SHELL_STARTS_SECONDS = 0.5
CLOCKS_DIFFER_SECONDS = 30.0
_NOT_COMPARED = Unreadable("prometheus", "cache lookups before", "there was no time left to read it", kind=Kind.WRONG)


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
    scrape = EarlyScrape(sources.web, patience_seconds=PROMETHEUS_SOON_SECONDS, secrets=sources.secrets)
    reads = _first_round(sources, policy, window, scrape)
    facts: dict[str, Any] = read_together(reads, deadline_seconds=policy.deadline_seconds, secrets=sources.secrets)
    at, notes = _moment(facts["lookups"])
    facts["flags"] = served_flags(facts["health"])
    facts["lookups_before"] = facts["lookups"] if isinstance(facts["lookups"], Unreadable) else _NOT_COMPARED
    try:
        reads = _second_round(sources, policy, facts, at=at, ends=ends)
        if isinstance(facts["lookups"], Unreadable):
            reads["scraped"] = Read("two scrapes of /metrics", "web", lambda: _scraped(sources, policy, scrape, ends))
        left = ends - time.monotonic()
        found = read_together(reads, deadline_seconds=left, secrets=sources.secrets) if reads and left > 0 else {}
    finally:
        # Also when the operator interrupts: a shell of the site that nobody waits for must not live on.
        sources.django.end()
    replaced, why = _instead_of_prometheus(facts, found.pop("scraped", None))
    return Situation(at=at, notes=(*notes, *why), **{**facts, **found, **replaced})


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


def _first_round(sources: Sources, policy: Policy, window: float, scrape: EarlyScrape) -> dict[str, Read[Any]]:
    metrics = sources.metrics
    prometheus: dict[str, tuple[str, Callable[[], Any]]] = {
        "lookups": ("cache lookups", lambda: scrape.beside(lambda: metrics.lookups(window))),
        "history": ("history of the rates", lambda: metrics.history(policy.lookback_seconds)),
        "requests": ("requests", lambda: metrics.requests(window, policy.slow_request_seconds)),
        "warming": ("warming metrics", lambda: metrics.warming(policy.warming_window_seconds)),
        "alerts": ("alerts", sources.prometheus.alerts),
        "gauge": ("hit-rate gauge", metrics.hit_rate_gauge),
    }
    reads: dict[str, Read[Any]] = {
        "server": Read("server", "redis", sources.redis.server),
        "warming_store": Read("warming statistics and locks", "redis", sources.redis.warming),
        "health": Read("health endpoint", "web", sources.web.health),
    }
    return reads | {name: Read(what, "prometheus", call) for name, (what, call) in prometheus.items()}


def _second_round(
    sources: Sources, policy: Policy, facts: dict[str, Any], *, at: datetime, ends: float
) -> dict[str, Read[Any]]:
    """What the first round calls for: an earlier window to compare with, and replacements for what it could not get."""
    reads: dict[str, Read[Any]] = {}
    if not isinstance(facts["lookups"], Unreadable):
        end, seconds = earlier_window(facts["history"], policy, at)
        reads["lookups_before"] = Read(
            f"cache lookups {units.duration((at - end).total_seconds())} before",
            "prometheus",
            lambda: sources.metrics.lookups(seconds, at=end),
        )
    shell_seconds = ends - time.monotonic() - _SHELL_ENDS_SECONDS
    if isinstance(facts["flags"], Unreadable) and shell_seconds > _SHELL_STARTS_SECONDS:
        reads["flags"] = Read("feature flags", "django", lambda: sources.django.flags(timeout_seconds=shell_seconds))
    return reads


def _scraped(sources: Sources, policy: Policy, scrape: EarlyScrape, ends: float) -> Scraped | Unreadable:
    """What two expositions tell, the first of which was begun while Prometheus was being asked."""
    first = scrape.exposition(ends - time.monotonic())
    if isinstance(first, Unreadable):
        return first
    return two_scrapes(
        sources.web,
        apart_seconds=SCRAPES_APART_SECONDS,
        slow_above_seconds=policy.slow_request_seconds,
        first=first,
    )


def _instead_of_prometheus(
    facts: dict[str, Any], scraped: Scraped | Unreadable | None
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """What two scrapes replace; with a note why Prometheus was not used, or with both reasons where both failed."""
    if scraped is None:
        return {}, ()
    missing = facts["lookups"]
    if isinstance(scraped, Unreadable):
        return {"lookups": _both(missing, scraped)}, ()
    replaced = {}
    for name in ("lookups", "requests", "warming"):
        if isinstance(facts[name], Unreadable):
            fact = getattr(scraped, name)
            replaced[name] = _both(facts[name], fact) if isinstance(fact, Unreadable) else fact
    if isinstance(replaced["lookups"], Unreadable):
        return replaced, ()
    return replaced, (f"two scrapes of /metrics were used, because Prometheus gave no lookups: {missing.reason}",)


def _both(missing: Unreadable, instead: Unreadable) -> Unreadable:
    hint = "; ".join(dict.fromkeys(text for text in (missing.hint, instead.hint) if text))
    return replace(missing, reason=f"{missing.reason}; nor by two scrapes: {instead.reason}", hint=hint)


def served_flags(health: Health | Unreadable) -> Flags | Unreadable:
    """The flags that the site serves now, as its health endpoint says; a fraction of the cost of asking its shell."""
    if isinstance(health, Unreadable):
        return replace(health, what="feature flags")
    if not health.features:
        return Unreadable("web", "feature flags", "the health endpoint names no features", kind=Kind.WRONG)
    flags = tuple(Flag(name, "", value, None, None) for name, value in sorted(health.features.items()))
    return Flags(flags, Provenance("web", health.provenance.query, health.provenance.read_at))


def triage(view: View) -> Verdict:
    """Read and judge, as the notebook does in two cells."""
    situation = read_triage(view.sources, view.policy, window_seconds=view.seconds("window"))
    return judge_triage(situation, view.policy, view.surroundings, protected=view.environment.protected)
