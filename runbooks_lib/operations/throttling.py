"""Who is throttled now, whether the throttle counts everybody, and the one client that gets its allowance back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from runbooks_lib import units
from runbooks_lib.actions.plan import Command
from runbooks_lib.facts import Flags, Requests, ThrottleCounter, ThrottleCounters
from runbooks_lib.judgement.throttling import SCOPES, check_counters, check_share_throttled, check_throttle_works
from runbooks_lib.model import Finding, Kind, Unreadable
from runbooks_lib.operations.reading import side_by_side
from runbooks_lib.policy import GUIDE, allowance
from runbooks_lib.presentation.display import Shown, show_table, show_text
from runbooks_lib.sources.redis.cache import ScanBudget
from runbooks_lib.sources.redis.nodes import open_nodes
from runbooks_lib.sources.redis.throttle_counters import throttle_counters
from runbooks_lib.sources.together import Read
from runbooks_lib.triage import served_flags
from runbooks_lib.view import View

#: The site's shell takes a second to start; on a busy machine several.
_SHELL_SECONDS = 15.0
_MOST_ROWS = 10
#: Long enough for some hundred thousand keys; a slow reply of the server ends it earlier.
_BUDGET = ScanBudget(keys=2_000_000, round_trips=20_000, seconds=5.0)


@dataclass(frozen=True, slots=True)
class ThrottleState:
    """Throttling at one moment.

    Attributes:
        requests: answers over the policy's window, those with 429 by scope.
        counters: of all clients, as far as the search reached.
        settings: classes, rates and NUM_PROXIES, as the site's code says.
        flags: as the web process that answered serves them.
    """

    requests: Requests | Unreadable
    counters: ThrottleCounters | Unreadable
    settings: Mapping[str, object] | Unreadable
    flags: Flags | Unreadable

    @property
    def rates(self) -> Mapping[str, object]:
        """Scope → rate: the site's; the guide's where they could not be read."""
        rates = None if isinstance(self.settings, Unreadable) else self.settings.get("rates")
        return rates if isinstance(rates, Mapping) else {"anon": GUIDE.anon_rate, "user": GUIDE.user_rate}


def read_throttling(view: View) -> ThrottleState:
    """Who is throttled now, and how is the throttle set?

    Source:
        http_requests_total and throttled_requests_total; SCAN, GETRANGE and PTTL of the counters;
        settings.REST_FRAMEWORK in ``manage.py shell``; ``features`` of the health endpoint.
    """
    sources, policy = view.sources, view.policy
    reads = {
        "requests": Read(
            "requests",
            "prometheus",
            lambda: sources.metrics.requests(policy.window_seconds, policy.slow_request_seconds),
        ),
        "counters": Read("throttle counters", "redis", lambda: _counters(view)),
        "settings": Read("throttling settings", "django", lambda: sources.django.call(["throttling"])["throttling"]),
        "health": Read("health endpoint", "web", sources.web.health),
    }
    try:
        found = side_by_side(view, reads, deadline_seconds=_SHELL_SECONDS)
    finally:
        # Also when the operator interrupts: a shell of the site that nobody waits for must not live on.
        sources.django.end()
    settings = found["settings"]
    if not isinstance(settings, Unreadable | Mapping):
        settings = Unreadable("django", "throttling settings", "the site gave no mapping", kind=Kind.WRONG)
    return ThrottleState(found["requests"], found["counters"], settings, served_flags(found["health"]))


def judge_throttling(state: ThrottleState, view: View) -> tuple[Finding, ...]:
    """Shares of 429, clients at their limit, and whether the throttle can be walked around."""
    shares = tuple(check_share_throttled(state.requests, scope, view.policy) for scope in SCOPES)
    clients = tuple(check_counters(state.counters, state.rates, scope) for scope in SCOPES)
    return (*shares, *clients, check_throttle_works(state.flags, state.settings, state.counters, state.requests))


def choose_reset(client: str, scope: str) -> Command | None:
    """The counters of one client to remove; None where no client is given."""
    return Command("reset_throttle", {"client": client, "scope": scope}) if client else None


def show_fullest(state: ThrottleState) -> Shown:
    """The clients whose allowance is used up most, with what is left of it and of the window."""
    counters = state.counters
    if isinstance(counters, Unreadable):
        return show_text(f"No table: the counters could not be read ({counters.reason}). {counters.hint}")
    rows = [_row(one, state) for one in sorted(counters.fullest, key=lambda one: -_used_ratio(one, state))[:_MOST_ROWS]]
    total = (
        ", ".join(f"{units.count(count)} of {scope}" for scope, count in sorted(counters.by_scope.items())) or "none"
    )
    caption = f"Fullest counters; there are {total}" + "".join(f"; {warning}" for warning in counters.warnings)
    return show_table(("Scope", "Client", "Requests", "Allowed", "Window ends in"), rows, caption=caption)


def _used_ratio(one: ThrottleCounter, state: ThrottleState) -> float:
    allowed = allowance(state.rates.get(one.scope))
    return (one.count or 0) / allowed[0] if allowed and allowed[0] else 0.0


def _row(one: ThrottleCounter, state: ThrottleState) -> tuple[str, ...]:
    allowed = allowance(state.rates.get(one.scope))
    limit = "?" if allowed is None else units.count(allowed[0])
    left = "never ends" if one.ttl_seconds is None else units.duration(one.ttl_seconds)
    return (one.scope, one.client, units.count(one.count), limit, left)


def _counters(view: View) -> ThrottleCounters:
    with open_nodes(view.environment) as nodes:
        return throttle_counters(nodes, view.environment.key_prefix, budget=_BUDGET)
