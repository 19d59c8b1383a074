"""After a deployment: errors for an hour, startup warming, cache headers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from runbooks_lib import units
from runbooks_lib.errors import RecordError, UsageError
from runbooks_lib.facts import Baseline, Probe, Warming, WarmingActivity
from runbooks_lib.facts.deployment import RouteProbes
from runbooks_lib.judgement.deployment.errors import Watch, judge_errors
from runbooks_lib.judgement.deployment.headers import judge_headers
from runbooks_lib.judgement.deployment.warming import judge_startup_warming
from runbooks_lib.model import Unreadable
from runbooks_lib.operations.deployment import Step, keep, read_checklist
from runbooks_lib.operations.reading import attempt, side_by_side
from runbooks_lib.records.baselines import latest_baseline
from runbooks_lib.runbook import Runbook
from runbooks_lib.sources.metrics.cohorts import RolloutMetrics
from runbooks_lib.sources.site.routes import routes_by_endpoints, routes_by_root, routes_of
from runbooks_lib.sources.together import Read
from runbooks_lib.view import View

#: In less than this there is hardly a scrape to compare.
_SHORTEST_SECONDS = 5.0
_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class StartupWarming:
    """What is known of warming since the deployment, from the metrics and from Redis."""

    activity: WarmingActivity | Unreadable
    store: Warming | Unreadable


def deployed_at(runbook: Runbook) -> datetime | None:
    """When was it deployed, aware UTC? By the parameter ``deployed``, else by the signature; None where neither says.

    Raises:
        UsageError: the parameter is not a duration.
    """
    ago = runbook.seconds("deployed")
    if ago is not None:
        return units.now() - timedelta(seconds=ago)
    return read_checklist(runbook).checklist.deployed_at


def check_error_rate(runbook: Runbook) -> Step[Watch]:
    """Are there more errors in the hour after the deployment than in the same hours of the day before?

    Source:
        http_requests_total by code; the counters' own samples for how much was observed; ``baseline.recorded``.
    """
    view, since, now = runbook, deployed_at(runbook), units.now()
    hour = view.policy.compare_window_seconds
    ends_at = None if since is None else min(now, since + timedelta(seconds=hour))
    watch = Watch(since, now, hour, None, 0.0, _baseline(runbook, since))
    passed = watch.passed_seconds
    if since is None or ends_at is None or passed < _SHORTEST_SECONDS:
        return keep(runbook, judge_errors(watch, view.policy), watch)
    metrics, slow = view.sources.metrics, view.policy.slow_request_seconds
    rollout = RolloutMetrics(view.sources.prometheus, view.environment)
    found = side_by_side(
        view,
        {
            "requests": Read("requests", "prometheus", lambda: metrics.requests(passed, slow, at=ends_at)),
            "observed": Read("scrapes", "prometheus", lambda: rollout.window("", since, ends_at).observed_ratio),
        },
        deadline_seconds=_SECONDS,
    )
    watch = Watch(since, now, hour, found["requests"], found["observed"], watch.baseline)
    return keep(runbook, judge_errors(watch, view.policy), watch)


def _baseline(runbook: Runbook, since: datetime | None) -> Baseline | None:
    try:
        return latest_baseline(runbook.run.ledger, runbook.environment.name, until=since)
    except RecordError:
        return None  # the checklist cannot be kept either, and that is told


def check_startup_warming(runbook: Runbook) -> Step[StartupWarming]:
    """Did startup warming run after the deployment, and how long did it take?"""
    view, since, now = runbook, deployed_at(runbook), units.now()
    window = max(_SHORTEST_SECONDS, (now - since).total_seconds()) if since else view.policy.warming_window_seconds
    sources = view.sources
    found = side_by_side(
        view,
        {
            "activity": Read("warming metrics", "prometheus", lambda: sources.metrics.warming(window)),
            "store": Read("warming statistics and locks", "redis", sources.redis.warming),
        },
    )
    fact = StartupWarming(found["activity"], found["store"])
    result = judge_startup_warming(fact.activity, fact.store, view.policy, deployed_at=since, now=now)
    return keep(runbook, result, fact)


def check_headers(runbook: Runbook, routes: str = "auto") -> Step[RouteProbes]:
    """Do sampled routes answer with the headers of the cache?

    Args:
        runbook: the opened runbook.
        routes: paths, separated by commas; ``auto`` finds some: what the API's root lists, else what the names of
            the busiest endpoints lead to, as far as they answer.

    Raises:
        UsageError: a route is no path of this site; nothing was asked.
    """
    probes = _sampled(runbook) if routes.strip() == "auto" else _probed(runbook, _given(routes), "as given")
    health = attempt(runbook, "health endpoint", "web", runbook.sources.web.health)
    limiting = None if isinstance(health, Unreadable) else health.features.get("RATE_LIMITING")
    return keep(runbook, judge_headers(probes, rate_limiting=None if limiting is None else limiting > 0), probes)


def _given(routes: str) -> tuple[str, ...]:
    found = routes_of(routes)
    if not found:
        raise UsageError("routes is blank", hint="name some, such as /api/courses/, or write auto")
    return found


def _sampled(view: View) -> RouteProbes:
    """Routes that nobody named: those that answer, of the ones that the site's own words lead to."""
    listed = routes_by_root(view.environment)
    if listed:
        return _answering(_probed(view, listed, "listed by the root of the API"))
    lookups = attempt(view, "endpoints", "prometheus", lambda: view.sources.metrics.lookups(view.policy.window_seconds))
    if isinstance(lookups, Unreadable):
        return RouteProbes((), (lookups,), "none: neither the API's root nor the metrics name any")
    names = [endpoint.endpoint for endpoint in lookups.endpoints]
    guessed = routes_by_endpoints(names)
    if not guessed:
        return RouteProbes((), (), "neither the API's root nor the names of the endpoints lead to any")
    return _answering(_probed(view, guessed, "by the names of the busiest endpoints, as far as they answer"))


def _answering(probes: RouteProbes) -> RouteProbes:
    """Without the guesses that were wrong; one that fails on the site's side stays."""
    there = tuple(probe for probe in probes.second if probe.http_status not in (301, 302, 401, 403, 404, 405))
    if not there and probes.second and not probes.unread:
        return RouteProbes((), (), f"none of {len(probes.second)} routes that were tried is there")
    return RouteProbes(there, probes.unread, probes.chosen)


def _probed(view: View, routes: Sequence[str], chosen: str) -> RouteProbes:
    """Each route twice, side by side: the first answer may have filled the cache that the second comes from."""
    found = side_by_side(view, {route: Read(route, "web", _Twice(view, route)) for route in routes})
    second = tuple(fact for fact in found.values() if isinstance(fact, Probe))
    return RouteProbes(second, tuple(fact for fact in found.values() if isinstance(fact, Unreadable)), chosen)


@dataclass(frozen=True, slots=True)
class _Twice:
    """Ask one route twice; gives the second answer."""

    view: View
    route: str

    def __call__(self) -> Probe:
        self.view.sources.web.probe(self.route)
        return self.view.sources.web.probe(self.route)
