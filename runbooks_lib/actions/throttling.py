"""Give one throttled client its allowance back, and nobody else."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar, Literal

from runbooks_lib import units
from runbooks_lib.actions.action import Written
from runbooks_lib.actions.outcome import ReadBack
from runbooks_lib.actions.plan import Guard, Plan
from runbooks_lib.actions.site import Progress, Site, WritableSite
from runbooks_lib.errors import MayHaveChangedError, RefusedError, SourceError, UsageError
from runbooks_lib.facts import ThrottleCounter
from runbooks_lib.model import Evidence, NextStep
from runbooks_lib.policy import GUIDE, allowance
from runbooks_lib.redaction import one_line
from runbooks_lib.sources.redis.throttle_counters import SCOPES, counter_names, counters_by_name, throttle_counters

_LONGEST_CLIENT = 200
#: Between two readings of the same moment: PTTL and the clock are not read together.
_CLOCK_SLACK_SECONDS = 1.0
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
        found = self._counters(site, counting.version)
        spared, more = self._spared(site, found)
        what = f"{'address' if self.scope == 'anon' else 'user'} {self.client}"
        return Plan(
            action=self.name,
            title=f"remove the throttle counters of {what}",
            environment=site.environment.name,
            protected=site.environment.protected,
            scope=f"{site.nodes.shown} prefix {site.environment.key_prefix!r} version {counting.version}",
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
            offers=(
                NextStep(
                    "See who is throttled now", f"runbooks run rate_limiting --environment {site.environment.name}"
                ),
            ),
            notes=(*counting.notes, *more),
        )

    def write(self, plan: Plan, site: WritableSite) -> Written:
        """Remove each key on the primary that holds it.

        Raises:
            RefusedError: the first key was refused: nothing was changed.
            MayHaveChangedError: a key was sent and not answered; says which ones are gone.
        """
        keys = [str(key) for key in plan.rests_on["counters"]]
        ends = {key: ends_at for key, _, ends_at in self._state(site, keys)}
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
        return Written(account, {"removed": {key: ends.get(key) for key in removed}}, stopped=stopped)

    def read_back(self, plan: Plan, site: Site, written: Mapping[str, Any]) -> ReadBack:
        """Are the counters gone, or begun anew?

        A client that is being served begins a new window at once. Its counter is there again then, and ends later than
        the one that was removed; one that ends at the same moment is the old one.

        Raises:
            SourceError: Redis could not be read.
        """
        ended: Mapping[str, float | None] = written.get("removed", {})
        keys = list(ended) if written else [str(key) for key in plan.rests_on["counters"]]
        left = self._state(site, keys)
        evidence = (Evidence("counters of this client now", units.count(len(left)), "EXISTS, PTTL"),)
        for key, count, ends_at in left:
            shown = f"{one_line(key)} is there with {count if count is not None else 'a count that cannot be read'}"
            if not written:
                return ReadBack(None, evidence, f"{shown}; whether it is the old one cannot be told any more")
            before = ended[key]
            if before is None or ends_at is None or ends_at <= before + _CLOCK_SLACK_SECONDS:
                return ReadBack(False, evidence, f"{shown}, and its window is the old one")
        again = " It has begun a new window since." if left else ""
        return ReadBack(True, evidence, f"Removed, and read back: the client has its whole allowance.{again}")

    def _state(self, site: Site, keys: Sequence[str]) -> list[tuple[str, int | None, float | None]]:
        """Key, count and end of the window (unix time) of those that exist."""
        names = [key.encode("utf-8") for key in keys]
        found = counters_by_name(site.nodes, names, self.scope, self.client)
        now = time.time()
        return [(c.key, c.count, None if c.ttl_seconds is None else now + c.ttl_seconds) for c in found]

    def _counters(self, site: Site, version: int) -> tuple[ThrottleCounter, ...]:
        """Those that exist, under the name as typed and, for an address, as the site writes it."""
        clients = [self.client]
        if self.scope == "anon":
            clients.append(str(ipaddress.ip_address(self.client)))
        prefix = site.environment.key_prefix
        names = [n for client in dict.fromkeys(clients) for n in counter_names(prefix, version, self.scope, client)]
        return counters_by_name(site.nodes, names, self.scope, self.client)

    def _spared(self, site: Site, found: tuple[ThrottleCounter, ...]) -> tuple[tuple[Evidence, ...], tuple[str, ...]]:
        """The counters of everybody else; a search that fails costs the plan nothing but this line."""
        try:
            everybody = throttle_counters(site.nodes, site.environment.key_prefix)
        except SourceError as error:
            return (), (f"other clients' counters were not counted: {error.message}",)
        others = max(0, sum(everybody.by_scope.values()) - len(found))
        shown = f"{'' if everybody.complete else 'at least '}{units.count(others)}"
        return (Evidence("counters of other clients", shown, "SCAN"),), everybody.warnings


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
    """How the site counts: the cache's version, the rate of each scope, and what limits that knowledge."""

    version: int
    rates: Mapping[str, object]
    guards: tuple[Guard, ...] = ()
    notes: tuple[str, ...] = ()


def _counting(site: Site) -> _Counting:
    """From the site's settings; the guide's where the site cannot be asked."""
    rates: Mapping[str, object] = {"anon": GUIDE.anon_rate, "user": GUIDE.user_rate}
    try:
        answer = site.django.call(["caches", "throttling"])
    except SourceError as error:
        return _Counting(1, rates, notes=(f"version 1 and the guide's rates are assumed: {error.message}",))
    caches, throttling = answer["caches"], answer["throttling"]
    cache = caches.get("default") if isinstance(caches, dict) else None
    if isinstance(throttling, dict) and isinstance(throttling.get("rates"), dict):
        rates = throttling["rates"]
    if not isinstance(cache, dict):
        return _Counting(1, rates, notes=("version 1 is assumed: the site's CACHES could not be read",))
    version, notes = cache.get("VERSION", 1), []
    if cache.get("KEY_FUNCTION"):
        notes.append("the site has a KEY_FUNCTION of its own: its counters may have other names than those looked for")
    return _Counting(version if isinstance(version, int) else 1, rates, (_prefix_guard(cache, site),), tuple(notes))


def _prefix_guard(cache: Mapping[str, object], site: Site) -> Guard:
    theirs, ours = cache.get("KEY_PREFIX", ""), site.environment.key_prefix
    return Guard(
        "key_prefix is the site's own",
        holds=theirs == ours,
        detail=f"the site has {one_line(str(theirs), longest=60)!r}, runbooks.toml {ours!r}",
        hint="correct key_prefix in runbooks.toml: with another one no counter is found, or another site's",
    )


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
