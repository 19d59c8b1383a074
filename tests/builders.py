"""Facts for tests: a healthy site, and the smallest change that makes it ill."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from runbooks_lib.facts import (
    Alerts,
    EndpointLookups,
    Flag,
    Flags,
    Health,
    History,
    Lookups,
    RedisServer,
    Requests,
    Warming,
    WarmingActivity,
    WarmingLock,
)
from runbooks_lib.judgement.next_steps import Surroundings
from runbooks_lib.judgement.situation import Situation
from runbooks_lib.model import Kind, Provenance, Unreadable

NOW = datetime(2026, 11, 22, 2, 14, 7, tzinfo=UTC)
#: What a stranger may call an endpoint: markup, an escape sequence, math, a code mark, a direction override, a bar.
HOSTILE = "<img src=x onerror=alert(1)>\x1b]0;owned\x07 $\\frac{1}{2}$ `x` \u202egpj.exe |a|"
FROM = Provenance("prometheus", "sum(increase(cache_requests_total[15m]))", NOW, 0.01)
AROUND = Surroundings(
    environment="production",
    runbooks=frozenset({"triage"}),
    manage=("kubectl", "exec", "-i", "deploy/web", "--", "python", "manage.py"),
    contacts={"on_call": "on-call@example.com"},
)
NO_PROMETHEUS = Unreadable("prometheus", "cache lookups", "connection refused", "is Prometheus running?")
NO_REDIS = Unreadable("redis", "server", "connection refused", "is redis-server running?")
DENIED_REDIS = Unreadable("redis", "server", "wrong password", "correct it in redis_url", Kind.DENIED)
NO_SUCH_PAGE = Unreadable("web", "health endpoint", "answered 404", "does the site have it?", Kind.WRONG)
NO_WEB = Unreadable("web", "health endpoint", "no answer within 2 s", "is the site up?")


def lookups(*endpoints: EndpointLookups, attempts: float | None = 10.0, window_seconds: float = 900.0) -> Lookups:
    """Lookups of the given endpoints; a healthy single one by default (95 % of 10,000)."""
    chosen = endpoints or (EndpointLookups("course-detail", hit=9400, miss=500, null_value=50, stale=50),)
    return Lookups(window_seconds, chosen, attempts, 3, FROM, ended_at=NOW)


def history(
    ratios: list[float | None],
    *,
    step_seconds: float = 60.0,
    penetration: list[float | None] | None = None,
    rates: list[float | None] | None = None,
) -> History:
    """A history that ends at ``NOW``."""
    count = len(ratios)
    times = tuple(NOW - timedelta(seconds=step_seconds * (count - 1 - i)) for i in range(count))
    return History(
        times,
        tuple(ratios),
        tuple(penetration or [0.01] * count),
        tuple(rates or [None if r is None else 40.0 for r in ratios]),
        step_seconds,
        FROM,
    )


def server(**changes: object) -> RedisServer:
    """A Redis that is well: 0.4 ms, 61 % of 4 GiB, nothing evicted."""
    well = RedisServer(
        0.0004, "7.0.15", "master", 86_400, 2_600_000_000, 4 * 1024**3, "allkeys-lru", 0.0, 41_000, False, FROM
    )
    return replace(well, **changes)  # type: ignore[arg-type]


def health(**changes: object) -> Health:
    """A site that says it is healthy."""
    well = Health(
        200,
        "healthy",
        True,
        0.95,
        0.01,
        NOW,
        False,
        {"ENHANCED_CACHE": 100.0},
        "1.0",
        0.02,
        FROM,
        redis_latency_seconds=0.0004,
    )
    return replace(well, **changes)  # type: ignore[arg-type]


def requests(**changes: object) -> Requests:
    """Requests of a site that is well."""
    return replace(Requests(900, 9000, 9, 36, 1.0, 0.2, {"anon": 3, "user": 0}, FROM), **changes)  # type: ignore[arg-type]


def warming(**changes: object) -> WarmingActivity:
    """Warming that works."""
    well = WarmingActivity(
        3600,
        {"scheduled": {"success": 10.0, "error": 0.0}},
        {"scheduled": 212.0},
        {"scheduled": 12.0},
        {"scheduled": 10.0},
        FROM,
    )
    return replace(well, **changes)  # type: ignore[arg-type]


def warming_store(*locks: WarmingLock) -> Warming:
    """What Redis knows of warming; no lock by default."""
    return Warming((), locks, FROM)


def situation(**changes: object) -> Situation:
    """A healthy site of which everything could be read."""
    well = Situation(
        at=NOW,
        server=server(),
        warming_store=warming_store(),
        health=health(),
        lookups=lookups(),
        lookups_before=lookups(),
        history=history([0.95] * 120),
        requests=requests(),
        warming=warming(),
        alerts=Alerts((), 12, FROM),
        flags=Flags(
            (Flag("ENHANCED_CACHE", "on", 100.0, None, True), Flag("PAGE_CACHE", "off", 0.0, None, False)), FROM
        ),
    )
    return replace(well, **changes)  # type: ignore[arg-type]
