"""Give one throttled client its allowance back, and nobody else."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any, ClassVar, Literal

from runbooks_lib import units
from runbooks_lib.actions.action import Written
from runbooks_lib.actions.keys.guards import own_head
from runbooks_lib.actions.outcome import ReadBack
from runbooks_lib.actions.plan import Guard, Plan
from runbooks_lib.actions.site import Progress, Site, WritableSite
from runbooks_lib.actions.throttle_windows import CounterSeen, held, is_anew
from runbooks_lib.errors import MayHaveChangedError, RefusedError, SourceError, UsageError
from runbooks_lib.facts import ThrottleCounter
from runbooks_lib.judgement.next_steps import run_command
from runbooks_lib.model import Evidence, NextStep
from runbooks_lib.policy import GUIDE, allowance
from runbooks_lib.redaction import one_line
from runbooks_lib.sources.keyspace.names import key_names
from runbooks_lib.sources.redis.throttle_counters import (
    LOOKUPS_BY_NAME,
    SCOPES,
    counter_names,
    counters_by_name,
    throttle_counters,
)

_LONGEST_CLIENT = 200
_IRREVERSIBLE = (
    "the old count is not put back: the client begins a new window with its next request. To stop it again, lower the "
    "rate of its scope in DEFAULT_THROTTLE_RATES or block it in front of the site"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResetThrottle:
    """Remove the throttle counters of one client, so that it may send requests again at once.

    Args:
        client: the address (scope ``anon``) or the user's id (scope ``user``).
        scope: whose counters: those of anonymous or of signed-in callers.
    """

    name: ClassVar[str] = "reset_throttle"
    client: str
    scope: Literal["anon", "user"] = "anon"

    def __post_init__(self) -> None:
        """Raises ``UsageError`` for what can be no client."""
        if self.scope not in SCOPES:
            raise UsageError(f"scope is {str(self.scope)[:40]!r}", hint=f"choose one of: {', '.join(SCOPES)}")
        if self.scope == "anon":
            _require_address(self.client)
        elif not self.client or len(self.client) > _LONGEST_CLIENT or not self.client.isprintable():
            shown = one_line(self.client, longest=60)
            raise UsageError(
                f"client {shown!r} is no user id",
                hint=f"give the id as the site writes it: 1 to {_LONGEST_CLIENT} printable characters",
            )

    def resources(self) -> tuple[str, ...]:
        """Throttle counters are locked as a whole: resets are rare and short."""
        return ("redis:throttle",)

    def plan(self, site: Site) -> Plan:
        """Which counters would go, how far they are, and how many others stay.

        Raises:
            SourceError: Redis could not be read.
        """
        read_at = units.now()
        counting = _counting(site)
        found, lookups = self._counters(site)
        spared, more = self._spared(site, found, lookups)
        what = f"{'address' if self.scope == 'anon' else 'user'} {self.client}"
        return Plan(
            action=self.name,
            title=f"remove the throttle counters of {what}",
            environment=site.environment.name,
            protected=site.environment.protected,
            scope=f"{site.nodes.shown} prefix {site.environment.key_prefix!r} version {site.environment.key_version}",
            intent={"client": self.client, "scope": self.scope},
            rests_on={"counters": [counter.key for counter in found]},
            resources=self.resources(),
            read_at=read_at,
            before=tuple(_said(counter, counting.rates.get(self.scope)) for counter in found),
            after=(Evidence("counters of this client", "0; its next request begins a new window"),),
            blast_radius=(
                Evidence("keys removed", units.count(len(found)), "exact names, no pattern"),
                Evidence("clients affected", "1" if found else "0"),
            ),
            spared=spared,
            irreversible=_IRREVERSIBLE,
            guards=counting.guards,
            no_op=not found,
            offers=(NextStep("See who is throttled now", run_command("rate_limiting", site.environment.name)),),
            notes=(*counting.notes, *more),
        )

    def write(self, plan: Plan, site: WritableSite) -> Written:
        """Remove each key on the primary that holds it.

        Raises:
            RefusedError: the first key was refused: nothing was changed.
            MayHaveChangedError: a key was sent and not answered; says which ones are gone.
        """
        keys = [str(key) for key in plan.rests_on["counters"]]
        try:
            before = {one.key: one for one in self._state(site, keys)}
        except SourceError as error:
            raise RefusedError(f"{error.message}; no counter was removed", hint=error.hint) from error
        removed: list[str] = []
        stopped = ""
        for number, key in enumerate(keys, start=1):
            try:
                if _unlink(site, key.encode("utf-8"), removed) == 1:
                    removed.append(key)
            except RefusedError as error:
                if not removed:
                    raise
                stopped = f"{one_line(key)} was refused: {error.message}"
                break
            site.progress(Progress(number, len(keys), "counters removed"))
        account = (Evidence("keys removed", units.count(len(removed)), "UNLINK"),)
        data = {key: asdict(before[key]) if key in before else None for key in removed}
        return Written(account, {"removed": data}, stopped=stopped)

    def read_back(self, plan: Plan, site: Site, written: Mapping[str, Any]) -> ReadBack:
        """Are the counters gone, or begun anew?

        A client that is being served begins a new window at once, and its counter is there again then. See
        ``is_anew`` for how it is told from the one that was removed.

        Raises:
            SourceError: Redis could not be read.
        """
        removed: Mapping[str, Any] = written.get("removed", {})
        left = self._state(site, list(removed) if written else [str(key) for key in plan.rests_on["counters"]])
        evidence = (Evidence("counters of this client now", units.count(len(left)), "EXISTS, STRLEN, PTTL"),)
        for now in left:
            shown = f"{one_line(now.key)} is there with {held(now)}"
            known = removed.get(now.key)
            if not isinstance(known, Mapping):
                return ReadBack(None, evidence, f"{shown}; whether it is the old one cannot be told any more")
            before = CounterSeen(**known)
            anew = is_anew(before, now)
            if anew is None:
                detail = f"{shown}, as many as before ({held(before)}): whether it is the old one cannot be told"
                return ReadBack(None, evidence, detail)
            if not anew:
                return ReadBack(False, evidence, f"{shown}, and its window is the old one")
        again = " It has begun a new window since." if left else ""
        return ReadBack(True, evidence, f"Removed, and read back: the client has its whole allowance.{again}")

    def _state(self, site: Site, keys: Sequence[str]) -> list[CounterSeen]:
        """The counters that exist, and when their windows end."""
        names = [key.encode("utf-8") for key in keys]
        asked_at = time.time()
        found = counters_by_name(site.nodes, names, self.scope, self.client)
        answered_at = time.time()
        return [
            CounterSeen(one.key, one.count, one.size_bytes)
            if one.ttl_seconds is None
            else CounterSeen(
                one.key, one.count, one.size_bytes, asked_at + one.ttl_seconds, answered_at + one.ttl_seconds
            )
            for one in found
        ]

    def _counters(self, site: Site) -> tuple[tuple[ThrottleCounter, ...], int]:
        """Those that exist, under the name as typed and, for an address, as the site writes it; and what looking cost.

        The cost is what the server adds to its keyspace hits and misses.
        """
        clients = [self.client]
        if self.scope == "anon":
            clients.append(str(ipaddress.ip_address(self.client)))
        head = site.environment.key_prefix, site.environment.key_version
        names = [name for client in dict.fromkeys(clients) for name in counter_names(*head, self.scope, client)]
        return counters_by_name(site.nodes, names, self.scope, self.client), LOOKUPS_BY_NAME * len(names)

    def _spared(
        self, site: Site, found: tuple[ThrottleCounter, ...], lookups: int
    ) -> tuple[tuple[Evidence, ...], tuple[str, ...]]:
        """The counters of everybody else, with notes; a search that fails costs the plan nothing but this line."""
        try:
            everybody = throttle_counters(site.nodes, site.environment.key_prefix)
        except SourceError as error:
            return (), (f"other clients' counters were not counted: {error.message}", _counted(lookups))
        others = max(0, sum(everybody.by_scope.values()) - len(found))
        shown = f"{'' if everybody.complete else 'at least '}{units.count(others)}"
        notes = (*everybody.warnings, _counted(lookups + everybody.lookups_count))
        return (Evidence("counters of other clients", shown, "SCAN"),), notes


def _counted(lookups: int) -> str:
    return f"looking at the counters added {lookups:,} to keyspace_hits and keyspace_misses"


def _unlink(site: WritableSite, name: bytes, removed: Sequence[str]) -> object:
    try:
        return site.writer(site.nodes.for_key(name)).write("UNLINK", name)
    except MayHaveChangedError as error:
        gone = f"; removed before that: {', '.join(one_line(key) for key in removed)}" if removed else ""
        raise MayHaveChangedError(f"{error.message}{gone}", hint=error.hint) from error


def _require_address(client: str) -> None:
    try:
        ipaddress.ip_address(client)
    except ValueError:
        raise UsageError(
            f"client {one_line(client, longest=60)!r} is no IP address",
            hint="anonymous callers are counted by address: give one such as 203.0.113.7; for a user add scope=user",
        ) from None


@dataclass(frozen=True, slots=True)
class _Counting:
    """How the site counts: the rate of each scope, whether its keys are those looked for, and what is not known."""

    rates: Mapping[str, object]
    guards: tuple[Guard, ...] = ()
    notes: tuple[str, ...] = ()


def _counting(site: Site) -> _Counting:
    """From the site's settings; where it cannot be asked, the keys of runbooks.toml and the guide's rates."""
    rates: Mapping[str, object] = {"anon": GUIDE.anon_rate, "user": GUIDE.user_rate}
    head = key_names(site.environment).shown
    try:
        answer = site.django.call(["caches", "throttling"])
    except SourceError as error:
        return _Counting(
            rates, notes=(f"keys that begin with {head} and the guide's rates are assumed: {error.message}",)
        )
    caches, throttling = answer["caches"], answer["throttling"]
    cache = caches.get("default") if isinstance(caches, dict) else None
    if isinstance(throttling, dict) and isinstance(throttling.get("rates"), dict):
        rates = throttling["rates"]
    if not isinstance(cache, dict):
        return _Counting(
            rates, notes=(f"keys that begin with {head} are assumed: the site's CACHES could not be read",)
        )
    return _Counting(rates, (own_head(cache, site.environment),))


def _said(counter: ThrottleCounter, rate: object) -> Evidence:
    """One counter in words."""
    allowed = allowance(rate)
    if counter.count is None:
        shown = "count not readable without the site's code"
    elif allowed is None:
        shown = f"{units.count(counter.count)} requests"
    else:
        left = max(0, allowed[0] - counter.count)
        shown = f"{units.count(counter.count)} of {units.count(allowed[0])} requests, {units.count(left)} remaining"
    if counter.ttl_seconds is None:
        return Evidence(f"{counter.scope} counter", f"{shown}; it never ends", one_line(counter.key))
    ends = units.clock(units.now() + timedelta(seconds=counter.ttl_seconds))
    ends = f"window ends {ends}, in {units.duration(counter.ttl_seconds)}"
    return Evidence(f"{counter.scope} counter", f"{shown}; {ends}", one_line(counter.key))
