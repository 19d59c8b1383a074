"""Checks of the site around the cache: requests, rate limiting, health, flags, alerts."""

from __future__ import annotations

from runbooks_lib import units
from runbooks_lib.facts import Alerts, Flags, Health, Requests
from runbooks_lib.judgement.findings import RUNBOOKS, degraded, measured, unknown
from runbooks_lib.judgement.outage import site_says_down
from runbooks_lib.model import Evidence, Finding, Status, Unreadable
from runbooks_lib.policy import MIN_LOOKUPS, Policy


def check_slow_requests(requests: Requests | Unreadable, policy: Policy) -> Finding:
    """Does the site answer in time?

    slow_ratio = requests over 1 s / all requests, from the duration histogram.

    Returns:
        Finding ``site.slow_requests``; UNKNOWN where the site has no such histogram.
    """
    title = f"slow requests (> {units.seconds(policy.slow_request_seconds)})"
    if isinstance(requests, Unreadable):
        return unknown("site.slow_requests", title, requests)
    if requests.slow is None or requests.total < MIN_LOOKUPS:
        return _no_requests("site.slow_requests", title, requests, "http_request_duration_seconds")
    return measured(
        "site.slow_requests",
        title,
        requests.slow / requests.total,
        policy.slow_requests,
        detail=f"p95 {units.seconds(requests.p95_seconds)}, {_requests_detail(requests)}",
        hint="see whether the cache misses more; then look at the database and at the slowest endpoints",
    )


def check_request_errors(requests: Requests | Unreadable, policy: Policy) -> Finding:
    """Does the site answer at all?

    error_ratio = answers with 5xx / all answers.

    Returns:
        Finding ``site.errors``.
    """
    if isinstance(requests, Unreadable):
        return unknown("site.errors", "request errors (5xx)", requests)
    if requests.errors is None or requests.total < MIN_LOOKUPS:
        return _no_requests("site.errors", "request errors (5xx)", requests, "http_requests_total")
    return measured(
        "site.errors",
        "request errors (5xx)",
        requests.errors / requests.total,
        policy.request_errors,
        detail=_requests_detail(requests),
        hint="read the site's error log; was something deployed?",
    )


def check_throttling(requests: Requests | Unreadable, policy: Policy) -> Finding:
    """Are clients being turned away?

    throttled_ratio = answers with 429 / all answers.

    Returns:
        Finding ``site.throttling``.
    """
    if isinstance(requests, Unreadable):
        return unknown("site.throttling", "rate limiting (429)", requests)
    if requests.throttled is None or requests.total < MIN_LOOKUPS:
        return _no_requests("site.throttling", "rate limiting (429)", requests, "throttled_requests_total")
    throttled = sum(requests.throttled.values())
    by_scope = ", ".join(f"{scope} {units.count(n)}" for scope, n in sorted(requests.throttled.items()))
    return measured(
        "site.throttling",
        "rate limiting (429)",
        min(1.0, throttled / requests.total),
        policy.throttled,
        detail=f"{by_scope or 'none'}; {_requests_detail(requests)}",
        hint="a client that is out of hand, or limits that are too low: look at who is answered 429",
    )


def check_health(health: Health | Unreadable) -> Finding:
    """What does the site say of its own cache?

    Returns:
        Finding ``site.health``: OK for healthy, WARN for degraded, FAIL for down or 503; UNKNOWN when it is silent.
    """
    title = "health endpoint"
    if isinstance(health, Unreadable):
        return unknown("site.health", title, health)
    reachable = {True: "site reaches redis", False: "site does not reach redis", None: "redis not mentioned"}
    status = Status.FAIL if site_says_down(health) else Status.OK if health.status == "healthy" else Status.WARN
    return Finding(
        "site.health",
        title,
        status,
        f"{health.status} ({health.http_status})",
        limit="healthy (200)",
        detail=f"{reachable[health.redis_reachable]}, answered in {units.seconds(health.latency_seconds)}"
        + (f", version {health.version}" if health.version else ""),
        reason="guide, Prometheus Endpoints: Health Check",
        hint="the other findings say what the site means by it",
        runbook=RUNBOOKS["site.health"],
    )


def check_alerts(alerts: Alerts | Unreadable) -> Finding:
    """Which alerts fire, and would anybody be told?

    Alerts of severity ``none`` fire for ever on purpose (a watchdog) and are left out.

    Returns:
        Finding ``alerting.alerts``: WARN while something fires (each symptom is judged by its own finding) or when no
        rule exists, so that nobody would be told; UNKNOWN when alerts cannot be read, or not all of them.
    """
    if isinstance(alerts, Unreadable):
        return unknown("alerting.alerts", "alerts", alerts)
    meant = [alert for alert in alerts.alerts if alert.severity.casefold() != "none"]
    firing = [alert for alert in meant if alert.state == "firing"]
    pending = [alert for alert in meant if alert.state == "pending"]
    silent = alerts.rules_count == 0
    status = Status.WARN if firing or silent else Status.UNKNOWN if alerts.degraded else Status.OK
    rules = "rules not readable" if alerts.rules_count is None else units.things(alerts.rules_count, "alert rule")
    return Finding(
        "alerting.alerts",
        "alerts",
        status,
        f"{len(firing)} firing, {len(pending)} pending" if firing or pending else "none firing",
        limit="none firing, some rules",
        detail="; ".join(["no alert rules: nobody would be told" if silent else rules, *(a.name for a in firing[:5])]),
        reason="guide, Incident Response: alerting issues are severity 3",
        evidence=tuple(Evidence(alert.name, f"{alert.state} since {units.clock(alert.active_at)}") for alert in firing),
        hint="load alert rules into Prometheus" if silent else alerts.degraded or "follow the runbook of each alert",
        runbook=RUNBOOKS["alerting.alerts"],
    )


def check_flags(flags: Flags | Unreadable) -> Finding:
    """How are the feature flags set now?

    Flags are a fact to know, not to judge: OK when they can be read.

    Returns:
        Finding ``site.flags``; the detail names every feature.
    """
    if isinstance(flags, Unreadable):
        return unknown("site.flags", "feature flags", flags)
    by_value: dict[str, list[str]] = {}
    for flag in flags.flags:
        by_value.setdefault(_flag_value(flag.percentage), []).append(flag.feature)
    return Finding(
        "site.flags",
        "feature flags",
        Status.OK,
        ", ".join(_flags_count(value, len(names)) for value, names in by_value.items()) or "none defined",
        detail=" · ".join(f"{value}: {', '.join(names)}" for value, names in by_value.items()),
        runbook=RUNBOOKS["site.flags"],
    )


def _no_requests(identifier: str, title: str, requests: Requests, metric: str) -> Finding:
    few = requests.total < MIN_LOOKUPS
    return Finding(
        identifier,
        title,
        Status.UNKNOWN,
        f"only {units.things(requests.total, 'request')}" if few else f"the site has no {metric}",
        detail=_requests_detail(requests),
        hint="widen the window" if few else f"expose {metric} with the edges that the contract names",
        runbook=RUNBOOKS.get(identifier, ""),
    )


def _requests_detail(requests: Requests) -> str:
    window = f"{units.duration(requests.window_seconds)} window"
    return ", ".join(p for p in (units.things(requests.total, "request"), window, degraded(requests)) if p)


def _flags_count(value: str, count: int) -> str:
    """``4 on``, ``1 at 44 %``."""
    return f"{count} {value}" if value in ("on", "off") else f"{count} at {value}"


def _flag_value(percentage: float) -> str:
    return {0.0: "off", 100.0: "on"}.get(percentage, f"{percentage:g} %")
