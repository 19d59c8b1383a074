"""Is the cache down? One answer, from everybody who can say it.

The site is believed first: whether *it* reaches Redis is what matters. Where the site cannot be asked, hits in its
counters prove that the cache works, whatever cannot be reached from the operator's desk.
"""

from __future__ import annotations

from datetime import datetime

from runbooks_lib.facts import Health, History
from runbooks_lib.judgement.situation import Situation
from runbooks_lib.model import Kind, Unreadable

#: How many steps of the history may be missing at its end before it no longer speaks of now.
_RECENT_STEPS = 3


def site_says_down(health: Health) -> bool:
    """Does the site itself report its cache as down: 503, status ``down``, or a Redis that it does not reach?"""
    return health.http_status >= 500 or health.status.casefold() == "down" or health.redis_reachable is False


def is_down(situation: Situation) -> str:
    """Is the cache down, and who says so? Empty when it is not, or when nobody can say that it is."""
    server, health = situation.server, situation.health
    if not isinstance(health, Unreadable):
        if not site_says_down(health):
            return ""
        return "the site does not reach Redis" if health.redis_reachable is False else "the site reports it as down"
    if not isinstance(server, Unreadable):
        return "Redis is loading its data set" if server.loading else ""
    hits = has_hits_now(situation)
    if server.kind is not Kind.ABSENT or hits:
        return ""
    if health.kind is Kind.ABSENT:
        return f"Redis cannot be reached ({server.reason}) and the health endpoint does not answer"
    return f"Redis cannot be reached ({server.reason}) and lookups have no hits any more" if hits is False else ""


def has_hits_now(situation: Situation) -> bool | None:
    """Do lookups find anything at this moment? None when that is not known.

    Two scrapes speak of the last seconds; a history of its newest points, and of what came before they stopped.
    """
    lookups, history = situation.lookups, situation.history
    if not isinstance(lookups, Unreadable) and lookups.degraded and lookups.total > 0:
        return (lookups.hit_ratio or 0) > 0
    if isinstance(history, Unreadable) or last_hit(history) is None:
        return None
    oldest = situation.at.timestamp() - _RECENT_STEPS * history.step_seconds
    points = zip(history.times, history.hit_ratio, strict=True)
    return any(ratio is not None and ratio > 0 and time.timestamp() >= oldest for time, ratio in points)


def last_hit(history: History) -> datetime | None:
    """When did the cache last answer anything? Aware UTC; None when no sample of the history has a hit.

    A site whose Redis is gone either bypasses its cache, so that its lookup counters stand still, or counts nothing
    but misses. Both end the samples with a hit. A rate looks back some scrapes, so the moment is late by as much.
    """
    pairs = zip(reversed(history.times), reversed(history.hit_ratio), strict=True)
    return next((moment for moment, ratio in pairs if ratio is not None and ratio > 0), None)
