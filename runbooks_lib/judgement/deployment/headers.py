"""After a deployment: do sampled routes answer with the headers of the cache?"""

from __future__ import annotations

from collections.abc import Sequence

from runbooks_lib import units
from runbooks_lib.checklist import ItemStatus
from runbooks_lib.facts import Probe
from runbooks_lib.facts.deployment import RouteProbes
from runbooks_lib.judgement.deployment.result import ItemResult

HEADERS = "post.headers"
ANSWERS_OF_A_CACHE = frozenset({"HIT", "MISS", "STALE", "NULL", "BYPASS"})
#: Those that are kept for some time, so that their age can be told.
_KEPT = frozenset({"HIT", "STALE"})
_SHOWN = 5


def judge_headers(probes: RouteProbes, *, rate_limiting: bool | None) -> ItemResult:
    """Do the sampled routes answer with the headers of the cache?

    Each is asked twice, and the second answer is judged: ``X-Cache`` with one of its five values, ``Cache-Control``,
    ``Age`` where it came from the cache; on a throttled route ``X-RateLimit-Limit`` and ``X-RateLimit-Remaining``.

    Args:
        probes: of the routes.
        rate_limiting: the feature is on; then at least one route must be throttled. None where it is not known.
    """
    if not probes.second:
        why = probes.unread[0].reason if probes.unread else probes.chosen
        hint = "name some: -p routes=/api/courses/,/api/courses/1/"
        return ItemResult(HEADERS, ItemStatus.UNKNOWN, f"no route could be asked: {why}", hint=hint)
    lacking = {probe.path: route_problems(probe) for probe in probes.second}
    throttled = [probe for probe in probes.second if _is_throttled(probe)]
    values = {
        "routes": {probe.path: {**probe.headers, "http_status": probe.http_status} for probe in probes.second},
        "chosen": probes.chosen,
        "unread": [item.what for item in probes.unread],
    }
    bad = [f"{path}: {', '.join(problems)}" for path, problems in lacking.items() if problems]
    if rate_limiting and not throttled:
        bad.append("RATE_LIMITING is on, and no route has X-RateLimit-Limit")
    if bad:
        more = f" and {len(bad) - _SHOWN} more" if len(bad) > _SHOWN else ""
        hint = "does a proxy remove headers, does the view use the cache, is the feature on?"
        return ItemResult(HEADERS, ItemStatus.FAILED, f"{'; '.join(bad[:_SHOWN])}{more}", values, hint)
    if probes.unread:
        text = f"{probes.unread[0].what} could not be read: {probes.unread[0].reason}"
        return ItemResult(HEADERS, ItemStatus.UNKNOWN, text, values, probes.unread[0].hint)
    limited = f", {len(throttled)} throttled" if throttled else ", none throttled"
    text = f"{units.things(len(probes.second), 'route')} with all headers{limited}: {_paths(probes.second)}"
    return ItemResult(HEADERS, ItemStatus.DONE, text, values)


def route_problems(probe: Probe) -> tuple[str, ...]:
    """What one answer lacks; empty when it has everything."""
    if probe.http_status >= 400:
        return (f"answered {probe.http_status}",)
    answered, headers = probe.headers.get("x-cache", "").upper(), probe.headers
    problems = []
    if not answered:
        problems.append("no X-Cache")
    elif answered not in ANSWERS_OF_A_CACHE:
        problems.append(f"X-Cache is {answered[:20]}")
    if not headers.get("cache-control"):
        problems.append("no Cache-Control")
    if answered in _KEPT and not headers.get("age", "").isdecimal():
        problems.append(f"no Age on a {answered}")
    if _is_throttled(probe) and "x-ratelimit-remaining" not in headers:
        problems.append("no X-RateLimit-Remaining")
    return tuple(problems)


def _is_throttled(probe: Probe) -> bool:
    return "x-ratelimit-limit" in probe.headers


def _paths(probes: Sequence[Probe]) -> str:
    named = ", ".join(probe.path for probe in probes[:_SHOWN])
    return named if len(probes) <= _SHOWN else f"{named} and {len(probes) - _SHOWN} more"
