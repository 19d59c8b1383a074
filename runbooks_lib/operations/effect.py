"""Hit rate, errors and latency now: what to look at before a change and again after it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from runbooks_lib import units
from runbooks_lib.facts import Lookups, Requests
from runbooks_lib.judgement import checks
from runbooks_lib.model import Finding, Unreadable
from runbooks_lib.operations.reading import side_by_side
from runbooks_lib.presentation.display import Shown, show_table
from runbooks_lib.sources.together import Read
from runbooks_lib.view import View

#: A fifth of the window that alerts look at: soon enough after a change, long enough for some scrapes.
_WINDOW_SHARE = 5
#: A rate needs some scrapes, which no time scale brings closer together.
_SHORTEST_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Effect:
    """How the site does over one short window.

    Attributes:
        window_seconds: that rates were taken over.
        lookups: of the cache.
        requests: of the site.
    """

    window_seconds: float
    lookups: Lookups | Unreadable
    requests: Requests | Unreadable


def read_effect(view: View) -> Effect:
    """How does the site do right now?

    Returns:
        Rates over a fifth of the guide's 15 min, at least 15 s. What could not be read stands in its place.

    Source:
        cache_requests_total, http_requests_total, http_request_duration_seconds through Prometheus.
    """
    window = max(view.policy.window_seconds / _WINDOW_SHARE, _SHORTEST_SECONDS)
    metrics, slow = view.sources.metrics, view.policy.slow_request_seconds
    found = side_by_side(
        view,
        {
            "lookups": Read("cache lookups", "prometheus", lambda: metrics.lookups(window)),
            "requests": Read("requests", "prometheus", lambda: metrics.requests(window, slow)),
        },
    )
    return Effect(window, found["lookups"], found["requests"])


def judge_effect(effect: Effect, view: View) -> tuple[Finding, ...]:
    """Hit rate, slow requests and errors against the guide's thresholds."""
    return (
        checks.check_hit_rate(effect.lookups, view.policy),
        checks.check_slow_requests(effect.requests, view.policy),
        checks.check_request_errors(effect.requests, view.policy),
    )


def show_effect(*effects: Effect) -> Shown:
    """One column for each look: hit rate, errors, p95, slow requests, traffic."""
    columns = ["What", *_names(len(effects))]
    rows = [[name, *(read(effect) for effect in effects)] for name, read in _ROWS]
    window = units.duration(effects[-1].window_seconds)
    return show_table(columns, rows, caption=f"How the site does, each over the {window} before it was read")


def _names(count: int) -> Sequence[str]:
    return ("Now",) if count == 1 else ("Before", "Now")


def _hit_rate(effect: Effect) -> str:
    return "not read" if isinstance(effect.lookups, Unreadable) else units.percent(effect.lookups.hit_ratio)


def _errors(effect: Effect) -> str:
    if isinstance(effect.requests, Unreadable) or effect.requests.errors is None or effect.requests.total <= 0:
        return "not read"
    return units.percent(effect.requests.errors / effect.requests.total)


def _p95(effect: Effect) -> str:
    return "not read" if isinstance(effect.requests, Unreadable) else units.seconds(effect.requests.p95_seconds)


def _slow(effect: Effect) -> str:
    if isinstance(effect.requests, Unreadable) or effect.requests.slow is None or effect.requests.total <= 0:
        return "not read"
    return units.percent(effect.requests.slow / effect.requests.total)


def _traffic(effect: Effect) -> str:
    if isinstance(effect.requests, Unreadable):
        return "not read"
    return units.per_second(effect.requests.total / effect.window_seconds)


_ROWS = (
    ("hit rate", _hit_rate),
    ("requests answered with 5xx", _errors),
    ("latency p95", _p95),
    ("requests over 1 s", _slow),
    ("requests", _traffic),
)
