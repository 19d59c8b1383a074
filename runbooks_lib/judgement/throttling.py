"""Who is throttled, who soon will be, and can the throttle be walked around? Pure."""

from __future__ import annotations

from collections.abc import Mapping

from runbooks_lib import units
from runbooks_lib.facts import Flags, Requests, ThrottleCounter, ThrottleCounters
from runbooks_lib.judgement.findings import measured, unknown
from runbooks_lib.model import Evidence, Finding, Kind, Status, Unreadable
from runbooks_lib.policy import MIN_LOOKUPS, Policy, allowance
from runbooks_lib.redaction import one_line

SCOPES = ("anon", "user")
REASON = "guide, Rate Limiting"
#: From here on a client will soon be answered 429.
NEAR_RATIO = 0.8
_FEATURE = "RATE_LIMITING"


def check_share_throttled(requests: Requests | Unreadable, scope: str, policy: Policy) -> Finding:
    """How many of the requests were answered 429 for this scope?

    throttled_ratio = answers 429 of the scope / all answers.

    Returns:
        Finding ``throttling.share_<scope>``; UNKNOWN without requests.

    Source:
        increase() of throttled_requests_total by scope, and of http_requests_total.
    """
    identifier, title = f"throttling.share_{scope}", f"answered 429, {scope}"
    if isinstance(requests, Unreadable):
        return unknown(identifier, title, requests)
    if requests.throttled is None or requests.total < MIN_LOOKUPS:
        reason = f"only {units.things(requests.total, 'request')} in {units.duration(requests.window_seconds)}"
        return unknown(identifier, title, Unreadable("prometheus", title, reason, "look again later", Kind.WRONG))
    count = requests.throttled.get(scope, 0.0)
    return measured(
        identifier,
        title,
        min(1.0, count / requests.total),
        policy.throttled,
        detail=f"{units.count(count)} of {units.things(requests.total, 'request')} in "
        f"{units.duration(requests.window_seconds)}",
        hint="one client: reset_throttle gives it back its allowance; many: the rate is too low, or an attack goes on",
    )


def check_counters(counters: ThrottleCounters | Unreadable, rates: Mapping[str, object], scope: str) -> Finding:
    """Whose allowance is used up, and whose nearly?

    Args:
        counters: as far as the search reached.
        rates: scope → rate, as the site has it.
        scope: ``anon`` or ``user``.

    Returns:
        Finding ``throttling.clients_<scope>``: WARN while somebody is throttled; the evidence names the fullest ones.
    """
    identifier, title = f"throttling.clients_{scope}", f"throttled clients, {scope}"
    if isinstance(counters, Unreadable):
        return unknown(identifier, title, counters)
    allowed = allowance(rates.get(scope))
    if allowed is None:
        reason = f"the rate of {scope} is not known ({one_line(str(rates.get(scope)), longest=40)})"
        hint = "look at DEFAULT_THROTTLE_RATES"
        return unknown(identifier, title, Unreadable("django", title, reason, hint, Kind.WRONG))
    mine = [one for one in counters.fullest if one.scope == scope]
    over = [one for one in mine if (one.count or 0) >= allowed[0]]
    near = [one for one in mine if NEAR_RATIO * allowed[0] <= (one.count or 0) < allowed[0]]
    total = counters.by_scope.get(scope, 0)
    partly = "" if counters.complete else f"; {'; '.join(counters.warnings)}"
    # Only the fullest counters are kept: where they are all over, there may be more.
    at_least = "at least " if over and len(over) == len(mine) and total > len(mine) else ""
    shown = f"{at_least}{units.things(len(over), 'client')} at the limit, {units.count(len(near))} near it"
    return Finding(
        identifier,
        title,
        Status.WARN if over else Status.OK if counters.complete else Status.UNKNOWN,
        shown,
        limit=f"{allowed[0]} in {units.duration(allowed[1])}",
        detail=f"{units.things(total, 'counter')}{partly}",
        reason=REASON,
        value=float(len(over)),
        unit="count",
        evidence=tuple(_evidence(one, allowed[0]) for one in mine[:10]),
        hint=_hint(over=len(over), complete=counters.complete),
    )


def _hint(*, over: int, complete: bool) -> str:
    if over:
        return "a client that you know gets its allowance back with client and scope of the runbook rate_limiting"
    return "" if complete else "look again when the server is less busy: the search ends at a slow reply"


def check_throttle_works(
    flags: Flags | Unreadable,
    throttling: Mapping[str, object] | Unreadable,
    counters: ThrottleCounters | Unreadable,
    requests: Requests | Unreadable,
) -> Finding:
    """Can the throttle be walked around, or does it not count at all?

    Returns:
        Finding ``throttling.works``: WARN with every reason that was found; UNKNOWN where settings could not be read.
    """
    title = "throttle works"
    if isinstance(throttling, Unreadable):
        return unknown("throttling.works", title, throttling)
    problems = [*_flag_problems(flags), *_setting_problems(throttling), *_address_problems(counters, requests)]
    status = Status.WARN if problems else Status.UNKNOWN if isinstance(flags, Unreadable) else Status.OK
    proxies = throttling.get("num_proxies")
    return Finding(
        "throttling.works",
        title,
        status,
        problems[0][0] if problems else "not bypassed" if status is Status.OK else "flag RATE_LIMITING not known",
        detail="; ".join([text for text, _ in problems[1:]] or [f"NUM_PROXIES {proxies}"]),
        reason=REASON,
        hint="; ".join(hint for _, hint in problems),
    )


def _flag_problems(flags: Flags | Unreadable) -> list[tuple[str, str]]:
    if isinstance(flags, Unreadable):
        return []
    for flag in flags.flags:
        if flag.feature == _FEATURE and flag.percentage < 100:
            hint = f"enable it: runbooks run feature_flags (feature {_FEATURE})"
            return [(f"{_FEATURE} is at {flag.percentage:g} %: the others are not limited", hint)]
    return []


def _setting_problems(throttling: Mapping[str, object]) -> list[tuple[str, str]]:
    problems = []
    if not throttling.get("classes"):
        problems.append(("no throttle class is set", "settings.py: REST_FRAMEWORK['DEFAULT_THROTTLE_CLASSES']"))
    if throttling.get("num_proxies") is None:
        problems.append(
            (
                "NUM_PROXIES is not set: a client that makes up X-Forwarded-For gets a new allowance each time",
                "settings.py: REST_FRAMEWORK['NUM_PROXIES'] = number of proxies in front of the site (0 for none)",
            )
        )
    return problems


def _address_problems(
    counters: ThrottleCounters | Unreadable, requests: Requests | Unreadable
) -> list[tuple[str, str]]:
    """All anonymous clients counted as one address: that of a proxy."""
    if isinstance(counters, Unreadable) or not counters.complete or isinstance(requests, Unreadable):
        return []
    anonymous = [one for one in counters.fullest if one.scope == "anon"]
    if counters.by_scope.get("anon") != 1 or not anonymous or (requests.throttled or {}).get("anon", 0) <= 0:
        return []
    client = one_line(anonymous[0].client, longest=60)
    return [
        (
            f"all anonymous clients count as one address ({client}), and are refused together",
            "is that your proxy's? settings.py: REST_FRAMEWORK['NUM_PROXIES'] = number of proxies in front of the site",
        )
    ]


def _evidence(counter: ThrottleCounter, limit: int) -> Evidence:
    left = "never ends" if counter.ttl_seconds is None else f"{units.duration(counter.ttl_seconds)} left"
    return Evidence(
        f"{counter.scope} {one_line(counter.client, longest=80)}",
        f"{counter.count} of {limit}, {left}",
        "GETRANGE, PTTL",
    )
