"""Binds every plan to the site that it was made on. The engine does it, so that no action can forget it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from runbooks_lib.actions.action import Action, AsksLedger
from runbooks_lib.actions.plan import Guard, Plan
from runbooks_lib.actions.site import Site
from runbooks_lib.config import Environment
from runbooks_lib.errors import RecordError
from runbooks_lib.records.ledger import Ledger
from runbooks_lib.redaction import one_line
from runbooks_lib.target import fingerprint, redis_place, target_of


def planned(action: Action, site: Site) -> Plan:
    """The action's plan, bound to where the configuration leads and, through the site's code, to what that says it is.

    Raises:
        SourceError: something that the plan needs could not be read.
        RefusedError: what was asked for is never done.
    """
    plan, environment = action.plan(site), site.environment
    said = site.django.identity if "django" in vars(site) else None
    target = target_of(environment)
    if said is not None:
        target |= {f"site.{name}": fingerprint(said[name]) for name in sorted(said)}
    return replace(
        plan,
        target=target,
        protected=plan.protected or environment.protected,
        notes=(*plan.notes, *_notes(said, environment)),
    )


def with_ledger_guards(plan: Plan, action: Action, ledger: Ledger) -> Plan:
    """The plan with the conditions that only the ledger can answer; one that does not answer holds nothing."""
    if not isinstance(action, AsksLedger):
        return plan
    try:
        found = action.ledger_guards(ledger, plan.environment)
    except RecordError as error:
        found = (Guard("the ledger answers", None, one_line(error.message), error.hint),)
    return replace(plan, guards=(*plan.guards, *found))


def _notes(said: Mapping[str, Any] | None, environment: Environment) -> tuple[str, ...]:
    """What the site says it is, and whether its cache is the Redis that is configured here."""
    if not said:
        return ()
    secrets = environment.secrets
    database = _named(said.get("databases"), "default")
    shown = [said.get("settings"), *(database.get(name) for name in ("ENGINE", "HOST", "NAME"))]
    notes = (
        [f"the site says it is {one_line(' '.join(str(one) for one in shown if one), secrets)}"] if any(shown) else []
    )
    locations = _named(said.get("caches"), "default").get("LOCATION")
    theirs = [str(one) for one in locations] if isinstance(locations, list) else []
    ours = redis_place(environment.redis_url)
    known = [found for found in map(redis_place, theirs) if found]
    if ours and known and ours not in known:
        both = f"the site's cache is {', '.join(known)}, and redis_url here is {ours}"
        notes.append(f"{one_line(both, secrets)}: is it one machine under two names, or another site?")
    return tuple(notes)


def _named(value: Any, name: str) -> Mapping[str, Any]:
    found = value.get(name) if isinstance(value, Mapping) else None
    return found if isinstance(found, Mapping) else {}
