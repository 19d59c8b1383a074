"""Giving a TTL to keys that have none, so that they leave the cache by themselves."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from runbooks_lib import units
from runbooks_lib.actions.action import Written
from runbooks_lib.actions.keys import guards as key_guards
from runbooks_lib.actions.keys import plans as key_plans
from runbooks_lib.actions.keys.pattern import bounded
from runbooks_lib.actions.keys.survey import survey
from runbooks_lib.actions.keys.sweep import Sweep, carry_out, nothing_sent_yet, unpacked
from runbooks_lib.actions.outcome import ReadBack
from runbooks_lib.actions.plan import Plan
from runbooks_lib.actions.site import Site, WritableSite
from runbooks_lib.errors import UsageError
from runbooks_lib.facts import KeyspaceLook
from runbooks_lib.model import Evidence
from runbooks_lib.sources.keyspace import glob_match
from runbooks_lib.sources.keyspace.asking import Answers, any_without_ttl, without_ttl
from runbooks_lib.sources.keyspace.names import key_names
from runbooks_lib.sources.keyspace.scan import look
from runbooks_lib.sources.redis.nodes import Command, Nodes
from runbooks_lib.sources.redis.replies import Info, version_of

_ONE_YEAR_SECONDS = 366 * 86_400
_BACK_RATIO = 0.5
#: For servers before 7.0, whose EXPIRE knows no NX. A script is atomic, so no TTL that the site sets meanwhile can be
#: shortened; it is sent for one key at a time, so it stops nobody, and on a cluster it finds its node.
_EXPIRE_IF_NONE = "if redis.call('PTTL', KEYS[1]) == -1 then return redis.call('EXPIRE', KEYS[1], ARGV[1]) end return 0"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpireKeys:
    """Give the matching keys that have no TTL one, with jitter; a TTL that is there already stays as it is.

    Attributes:
        pattern: Redis glob over what follows the key prefix: ``api:*``.
        ttl_seconds: the TTL, 1 s to 366 days.
        jitter_ratio: each key's TTL is longer or shorter by up to this share (0..0.9), so that they do not all expire
            together.
        max_keys: refuse, or stop, beyond so many.
    """

    name: ClassVar[str] = "expire_keys"
    pattern: str
    ttl_seconds: int
    jitter_ratio: float = 0.1
    max_keys: int = 50_000

    def __post_init__(self) -> None:
        """Types and ranges; what the pattern may reach is judged with the prefix, by the plan."""
        whole = isinstance(self.ttl_seconds, int) and not isinstance(self.ttl_seconds, bool)
        problem = key_guards.require_bound(self.max_keys)
        if not isinstance(self.pattern, str):
            problem = f"pattern must be text, not {type(self.pattern).__name__}"
        elif not whole or not 1 <= self.ttl_seconds <= _ONE_YEAR_SECONDS:
            given = str(self.ttl_seconds)[:40]
            problem = f"ttl_seconds must be a whole number from 1 to {_ONE_YEAR_SECONDS:,}, not {given}"
        elif not isinstance(self.jitter_ratio, (int, float)) or not 0 <= self.jitter_ratio <= 0.9:
            problem = f"jitter_ratio must be a number from 0 to 0.9, not {str(self.jitter_ratio)[:40]}"
        if problem:
            raise UsageError(problem)

    def resources(self) -> tuple[str, ...]:
        """The keys of the cache."""
        return ("redis:keys",)

    def plan(self, site: Site) -> Plan:
        """Count what matches, and how much of it has no TTL.

        Raises:
            RefusedError: the pattern is empty, can match everything, or reaches outside the prefix.
            SourceError: Redis could not be asked.
        """
        found = survey(site, bounded(self.pattern, key_names(site.environment)))
        pattern, seen = found.pattern, found.seen
        lasting = _lasting(site.nodes, seen)
        return Plan(
            action=self.name,
            title=f"give a TTL of {self._range()} to the keys without one matching {pattern.shown}",
            environment=site.environment.name,
            protected=site.environment.protected,
            scope=key_plans.scope(site, pattern),
            intent=dataclasses.asdict(self),
            resources=self.resources(),
            read_at=seen.provenance.read_at,
            before=(*key_plans.matched_shown(seen, pattern.names), lasting.shown()),
            after=(Evidence("keys that match and never expire", f"0; they expire within {self._range()}"),),
            blast_radius=(*key_plans.kinds_shown(seen.matched, seen), *key_plans.consequences(seen)),
            spared=key_plans.kinds_shown(seen.spared, seen),
            irreversible="which keys had no TTL is not kept; PERSIST takes it from a single key again",
            guards=(
                *found.guards,
                key_guards.spares_protected(pattern, seen),
                key_guards.at_most(self.max_keys, seen.matched_count, seen, site.environment.name),
                key_guards.calm_redis(site),
            ),
            no_op=lasting.is_none and all(guard.holds for guard in found.guards),
            notes=(*found.notes, f"counting keys without a TTL added {lasting.looked_at:,} to keyspace_hits"),
        )

    def write(self, plan: Plan, site: WritableSite) -> Written:  # noqa: ARG002 - the parameters alone decide
        """SCAN, and EXPIRE … NX for each name, in small steps; see ``sweep.carry_out`` for how it ends.

        Raises:
            RefusedError: nothing at all was changed.
            MayHaveChangedError: the connection broke; the message holds the account up to there.
        """
        pattern = bounded(self.pattern, key_names(site.environment))
        with nothing_sent_yet():
            commands = expiring(self.ttl_seconds, self.jitter_ratio, knows_nx=_knows_nx(site.nodes))
        return carry_out(Sweep(pattern, commands, self.max_keys, "given a TTL"), site)

    def read_back(self, plan: Plan, site: Site, written: Mapping[str, Any]) -> ReadBack:  # noqa: ARG002 - as above
        """Do the keys that were given a TTL still have one?

        Where nobody knows whether it ran, what matches now is looked at instead.

        Raises:
            SourceError: Redis could not be asked.
        """
        names = [unpacked(text) for text in written.get("sample", ())]
        if not written:
            pattern = bounded(self.pattern, key_names(site.environment))
            seen = look(site.nodes, pattern.names, glob_match.compiled(pattern.match), spares=pattern.spares)
            names = list(seen.sample)
        lasting = without_ttl(site.nodes, names)
        shown = f"{lasting.yes} of {lasting.answered} looked at"
        evidence = (Evidence("keys without a TTL", f"{shown}{lasting.limits}", "PTTL"),)
        # The site may have written a few of them anew, without a TTL, in between.
        if lasting.yes > (_BACK_RATIO * lasting.answered if written else 0):
            return ReadBack(False, evidence, f"{shown} have no TTL")
        if lasting.unanswered and not written:
            return ReadBack(None, evidence, f"not all keys could be looked at{lasting.limits}")
        return ReadBack(True, evidence, f"{units.exactly(int(written.get('changed', 0)), 'key')} given a TTL.")

    def _range(self) -> str:
        low, high = self.ttl_seconds * (1 - self.jitter_ratio), self.ttl_seconds * (1 + self.jitter_ratio)
        if not self.jitter_ratio:
            return units.duration(self.ttl_seconds)
        return f"{units.duration(max(1, low))} to {units.duration(high)}"


def expiring(ttl_seconds: int, jitter_ratio: float, *, knows_nx: bool) -> Callable[[Sequence[bytes]], list[Command]]:
    """The commands that give some names a TTL where they have none; each answers 1 where it did.

    Args:
        ttl_seconds: the middle of the range.
        jitter_ratio: half of its width, as a share of the middle.
        knows_nx: the server's EXPIRE takes NX (7.0 and later); it cannot shorten a TTL that is there.
    """
    spread = random.Random()  # noqa: S311 - it spreads expiry and protects nothing

    def seconds() -> int:
        return max(1, round(ttl_seconds * (1 + spread.uniform(-jitter_ratio, jitter_ratio))))

    if knows_nx:
        return lambda names: [("EXPIRE", name, seconds(), "NX") for name in names]
    return lambda names: [("EVAL", _EXPIRE_IF_NONE, 1, name, seconds()) for name in names]


@dataclass(frozen=True, slots=True)
class _Lasting:
    """How many of the matching keys have no TTL; ``is_none`` where it is certainly none, without asking each."""

    told: Answers
    matched: int
    is_none: bool

    @property
    def looked_at(self) -> int:
        return self.told.answered

    def shown(self) -> Evidence:
        name, told = "of these without a TTL", self.told
        if self.is_none:
            return Evidence(name, "0", "INFO keyspace, PTTL")
        if told.answered == self.matched:
            return Evidence(name, units.exactly(told.yes, "key"), "PTTL")
        share = told.yes / told.answered if told.answered else 0.0
        about = f"about {units.percent(share)}, {units.exactly(round(share * self.matched), 'key')}{told.limits}"
        return Evidence(name, about, f"PTTL of {told.answered:,} keys at random")


def _lasting(nodes: Nodes, seen: KeyspaceLook) -> _Lasting:
    """Ask for the TTL of a sample, where there can be keys without one.

    Raises:
        SourceError: Redis could not be asked, or does not allow it.
    """
    if seen.matched_count == 0 or not any_without_ttl(nodes):
        return _Lasting(Answers(), seen.matched_count, is_none=seen.complete or seen.matched_count > 0)
    told = without_ttl(nodes, seen.sample)
    certain = seen.complete and told.answered == seen.matched_count
    return _Lasting(told, seen.matched_count, is_none=certain and not told.yes)


def _knows_nx(nodes: Nodes) -> bool:
    """Every primary is 7.0 or later."""
    return all(version_of(Info(node.ask("INFO", "server")).text("redis_version")) >= (7, 0) for node in nodes)
