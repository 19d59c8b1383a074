"""Plans that change feature flags: what is read for them, whom they reach, and what must hold."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from runbooks_lib import units
from runbooks_lib.actions.flags.states import (
    FlagState,
    can_set,
    is_so,
    percent_shown,
    restoring,
    restoring_one,
    state_of,
)
from runbooks_lib.actions.flags.store import Store, guard_of, store_of
from runbooks_lib.actions.plan import Command, Guard, Plan
from runbooks_lib.actions.site import Site
from runbooks_lib.errors import RefusedError, SourceError
from runbooks_lib.facts import Flag, FlagService, Health
from runbooks_lib.judgement.next_steps import run_command
from runbooks_lib.model import Evidence, Unreadable
from runbooks_lib.sources.together import Read, read_together

#: A site starts in about a second, through ssh or kubectl in a few.
_DEADLINE_SECONDS = 22.0
#: These help while the cache is down, so they may be switched on then.
_FALLBACKS = frozenset({"PAGE_CACHE", "RATE_LIMITING"})
_SERVICE = "FeatureFlagService"
#: A rate needs some scrapes, however fast time runs in a sandbox.
_SHORTEST_WINDOW_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Change:
    """What one action asks for.

    Attributes:
        action: its name.
        title: what it does, in the infinitive.
        intent: its parameters.
        states: feature → how it shall stand, in the order in which it is written.
        accept_volatile: flags that fall back by themselves may be set.
        missing_allowed: features that a site may lack.
    """

    action: str
    title: str
    intent: Mapping[str, Any]
    states: Mapping[str, FlagState]
    accept_volatile: bool
    missing_allowed: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Readings:
    """What a plan rests on and tells.

    Attributes:
        service: the flags; without them there is no plan.
        health: what the site says of its cache.
        rates: requests per second by cohort.
        store: where the flags are kept.
    """

    service: FlagService
    health: Health | Unreadable
    rates: Mapping[str, float] | Unreadable
    store: Store
    read_at: Any = field(default_factory=units.now)


def read_for(site: Site, features: tuple[str, ...], *, user_id: int = 0) -> Readings:
    """Flags, health and traffic, side by side.

    Raises:
        SourceError: the flags could not be read.
    """
    read_at = units.now()
    ask = partial(site.django.flag_service, feature=features[0], user_id=user_id)
    reads: dict[str, Read[Any]] = {
        "service": Read("feature flags", "django", ask),
        "health": Read("health endpoint", "web", site.web.health),
        "rates": Read("requests by cohort", "prometheus", partial(_request_rates, site)),
    }
    found = read_together(reads, deadline_seconds=_DEADLINE_SECONDS, secrets=site.environment.secrets)
    service = found["service"]
    if isinstance(service, Unreadable):
        raise SourceError(service.reason, source=service.source, hint=service.hint, kind=service.kind)
    store = store_of(service, site, features)
    return Readings(service, found["health"], found["rates"], store, read_at)


def plan_states(change: Change, site: Site) -> Plan:
    """A plan that sets flags to given states; those that stand so already are not touched.

    Raises:
        RefusedError: the site has no such feature, or no method for such a strategy.
        SourceError: the flags could not be read.
    """
    readings = read_for(site, tuple(change.states))
    flags = {name: _flag(readings.service, name, change.missing_allowed) for name in change.states}
    missing = [name for name, flag in flags.items() if flag is None]
    if len(missing) == len(flags):
        raise _unknown(readings.service, missing[0])
    present = {name: flag for name, flag in flags.items() if flag is not None}
    _require_methods({name: change.states[name] for name in present}, readings.service)
    changing = {name: flag for name, flag in present.items() if not is_so(flag, change.states[name])}
    undo, irreversible = _undo(changing or present, readings.service, accept_volatile=change.accept_volatile)
    notes = [f"this site has no feature {name}: left out" for name in missing]
    return Plan(
        action=change.action,
        title=change.title,
        environment=site.environment.name,
        protected=site.environment.protected,
        scope=scope_of(site),
        intent=change.intent,
        rests_on=resting(present),
        resources=tuple(sorted(f"flag:{name}" for name in change.states)),
        read_at=readings.read_at,
        before=tuple(_shown(name, flag) for name, flag in present.items()),
        after=tuple(Evidence(name, change.states[name].shown) for name in present),
        blast_radius=_blast_radius(changing, change.states, readings),
        spared=_spared(readings.service, present),
        undo=undo,
        irreversible=irreversible,
        guards=_guards(changing, change, readings, site.environment.name),
        no_op=not changing,
        notes=(*notes, *_notes(readings)),
    )


def resting(flags: Mapping[str, Flag]) -> dict[str, Any]:
    """The state that a change of these flags rests on, flat: ``ENHANCED_CACHE.strategy`` and so on."""
    found: dict[str, Any] = {}
    for name, flag in flags.items():
        found[f"{name}.strategy"] = flag.strategy
        found[f"{name}.percentage"] = flag.percentage
        found[f"{name}.whitelist_count"] = flag.whitelist_count
    return found


def expected_of(rests_on: Mapping[str, Any], feature: str) -> dict[str, Any]:
    """What the write program compares one flag with; the other way round of ``resting``."""
    return {name: rests_on.get(f"{feature}.{name}") for name in ("strategy", "percentage", "whitelist_count")}


def known_flag(service: FlagService, feature: str) -> Flag:
    """The flag with that name.

    Raises:
        RefusedError: the site has no such feature; the message lists those that it has.
    """
    flag = service.named(feature)
    if flag is None:
        raise _unknown(service, feature)
    return flag


def scope_of(site: Site) -> str:
    """Through what the flags are changed; never holds a secret, because those come out of variables."""
    from runbooks_lib.redaction import redact

    return redact(f"{_SERVICE} through {' '.join(site.environment.manage)}", site.environment.secrets)


def answering(readings: Readings) -> Guard:
    """The site's own code answers."""
    took = units.seconds(readings.service.provenance.took_seconds)
    count = units.things(len(readings.service.flags), "feature")
    return Guard("the site's flag service answers", holds=True, detail=f"{count}, {took}")


def _flag(service: FlagService, name: str, missing_allowed: frozenset[str]) -> Flag | None:
    return service.named(name) if name in missing_allowed else known_flag(service, name)


def _unknown(service: FlagService, feature: str) -> RefusedError:
    names = [flag.feature for flag in service.flags]
    close = difflib.get_close_matches(feature.upper(), names, n=1)
    meant = f"; did you mean {close[0]}?" if close else ""
    return RefusedError(
        f"the site has no feature {feature!r}{meant}", hint=f"features that exist: {', '.join(names) or 'none'}"
    )


def _require_methods(states: Mapping[str, FlagState], service: FlagService) -> None:
    for name, state in states.items():
        if not can_set(state, service):
            raise RefusedError(
                f"{name} cannot be set to {state.strategy}: this site's {_SERVICE} has no set_strategy",
                hint="set it by hand, or choose on, off or gradual",
            )


def _undo(flags: Mapping[str, Flag], service: FlagService, *, accept_volatile: bool) -> tuple[Command | None, str]:
    """The way back, or why there is none."""
    lost = [f"{name} ({state_of(flag).shown})" for name, flag in flags.items() if not can_set(state_of(flag), service)]
    if lost:
        whole = (
            "; set_percentage takes whole numbers"
            if any(state_of(flag).is_fractional for flag in flags.values())
            else ""
        )
        return None, f"this site has no method that brings back {', '.join(lost)}{whole}: note it, and set it by hand"
    if len(flags) == 1:
        ((name, flag),) = flags.items()
        return restoring_one(name, flag, accept_volatile=accept_volatile), ""
    return restoring(flags, accept_volatile=accept_volatile), ""


def _shown(name: str, flag: Flag) -> Evidence:
    listed = "" if flag.whitelist_count is None else f", {units.things(flag.whitelist_count, 'user')} on the whitelist"
    return Evidence(name, f"{state_of(flag).shown}{listed}", f"{_SERVICE}.get_all_features_status()")


def _blast_radius(
    changing: Mapping[str, Flag], states: Mapping[str, FlagState], readings: Readings
) -> tuple[Evidence, ...]:
    """Whom it reaches: the share of the public, those on whitelists, and how many requests that is."""
    reached = [
        Evidence(
            f"users served {name}",
            " → ".join(percent_shown(one.served_percent) for one in (state_of(flag), states[name])),
        )
        for name, flag in changing.items()
    ]
    listed = sum(flag.whitelist_count or 0 for flag in changing.values())
    return (*reached, Evidence("users on the whitelists", units.count(listed)), traffic(readings))


def traffic(readings: Readings) -> Evidence:
    """Requests per second by cohort; said to be unknown where they are."""
    if isinstance(readings.rates, Unreadable):
        return Evidence("requests", f"unknown: {readings.rates.reason}", "prometheus")
    parts = [f"{units.per_second(rate)} {cohort or 'without a cohort'}" for cohort, rate in readings.rates.items()]
    return Evidence("requests", ", ".join(parts), "rate(http_requests_total) by cohort")


def _spared(service: FlagService, touched: Mapping[str, Flag]) -> tuple[Evidence, ...]:
    return tuple(Evidence(flag.feature, state_of(flag).shown) for flag in service.flags if flag.feature not in touched)


def _guards(changing: Mapping[str, Flag], change: Change, readings: Readings, environment: str) -> tuple[Guard, ...]:
    raised = [
        name
        for name, flag in changing.items()
        if change.states[name].served_percent > state_of(flag).served_percent and name not in _FALLBACKS
    ]
    guards = [answering(readings), guard_of(readings.store, accept_volatile=change.accept_volatile)]
    # Taking a feature away must always be possible; giving it to more users on a site that is down must not.
    return (*guards, _health_guard(readings.health, raised[0], environment)) if raised else tuple(guards)


def _health_guard(health: Health | Unreadable, feature: str, environment: str) -> Guard:
    name = "the cache is not down"
    if isinstance(health, Unreadable):
        return Guard(name, None, health.reason, health.hint or "bring the health endpoint back first")
    first = f"bring it back first ({run_command('triage', environment)})"
    hint = f"{feature} would be served to more users while the cache is down: {first}"
    return Guard(name, health.status.lower() != "down", f"the site says {health.status}", hint)


def _notes(readings: Readings) -> tuple[str, ...]:
    """What limits the plan."""
    notes = []
    if isinstance(readings.health, Unreadable):
        notes.append(f"the health endpoint could not be read: {readings.health.reason}")
    elif readings.health.status.lower() == "down":
        notes.append("the site says that its cache is down")
    if readings.store.lasts is not True:
        notes.append(f"what is set may not last: {readings.store.detail}")
    return tuple(notes)


def _request_rates(site: Site) -> dict[str, float]:
    """Requests per second by cohort, busiest first.

    Raises:
        SourceError: Prometheus cannot be read, or has no such metric.
    """
    from runbooks_lib.sources.metrics import promql
    from runbooks_lib.sources.metrics.prometheus import Prometheus

    prometheus = Prometheus(site.environment)
    series = prometheus.selector("http_requests_total")
    window = promql.duration(max(_SHORTEST_WINDOW_SECONDS, site.policy.window_seconds))
    samples = prometheus.query(f"sum by (cohort) (rate({series}[{window}]))")
    rates = {sample.labels.get("cohort", ""): sample.value for sample in samples if sample.value is not None}
    if not rates:
        raise SourceError("Prometheus has no http_requests_total of this window", source="prometheus")
    return dict(sorted(rates.items(), key=lambda item: -item[1]))
