"""Removing cached data: by pattern, or all of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

from runbooks_lib.actions.action import Written
from runbooks_lib.actions.keys import deletion, flushing
from runbooks_lib.actions.keys import guards as key_guards
from runbooks_lib.actions.keys import plans as key_plans
from runbooks_lib.actions.keys.pattern import bounded, everything
from runbooks_lib.actions.keys.survey import Survey, survey
from runbooks_lib.actions.outcome import ReadBack
from runbooks_lib.actions.plan import Command, Guard, Plan
from runbooks_lib.actions.registry import command_line
from runbooks_lib.actions.site import Site, WritableSite
from runbooks_lib.errors import UsageError
from runbooks_lib.facts import KeyspaceLook
from runbooks_lib.model import Evidence, NextStep
from runbooks_lib.sources.keyspace.names import Kind, key_names

_RESOURCES = ("redis:keys",)
_IRREVERSIBLE = "the data is rebuilt from the database as it is asked for; back up first where that is not enough"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClearPattern:
    """Delete the cached keys that match a pattern.

    Attributes:
        pattern: Redis glob over what follows the key prefix: ``api:CourseViewSet:*``.
        max_keys: refuse, or stop, beyond so many.
    """

    name: ClassVar[str] = "clear_pattern"
    pattern: str
    max_keys: int = 50_000

    def __post_init__(self) -> None:
        """Types and ranges; what the pattern may reach is judged with the prefix, by the plan."""
        if not isinstance(self.pattern, str):
            raise UsageError(f"pattern must be text, not {type(self.pattern).__name__}")
        _require_bound(self.max_keys)

    def resources(self) -> tuple[str, ...]:
        """The keys of the cache."""
        return _RESOURCES

    def plan(self, site: Site) -> Plan:
        """Count what matches, sample it, estimate its size, and say what is left alone.

        Raises:
            RefusedError: the pattern is empty, can match everything, or reaches outside the prefix.
            SourceError: Redis could not be asked.
        """
        found = survey(site, bounded(self.pattern, key_names(site.environment)))
        return _plan(
            self,
            site,
            found,
            title=f"delete {key_plans.counted_in(found.seen, found.seen.matched_count)} matching {found.pattern.shown}",
            guards=(*found.guards, key_guards.spares_protected(found.pattern, found.seen)),
        )

    def write(self, plan: Plan, site: WritableSite) -> Written:  # noqa: ARG002 - the pattern alone decides
        """SCAN and UNLINK in small steps; see ``sweep.carry_out`` for how it ends.

        Raises:
            RefusedError: nothing at all was deleted.
            MayHaveChangedError: the connection broke; the message holds the account up to there.
        """
        pattern = bounded(self.pattern, key_names(site.environment))
        return deletion.delete(pattern, site, max_keys=self.max_keys)

    def read_back(self, plan: Plan, site: Site, written: Mapping[str, Any]) -> ReadBack:  # noqa: ARG002 - as above
        """Look again what matches; see ``deletion`` for what counts as gone.

        Raises:
            SourceError: Redis could not be asked.
        """
        return deletion.look_again(bounded(self.pattern, key_names(site.environment)), site, written)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClearAll:
    """Empty the cache: all keys of the site's prefix, or the whole database.

    Attributes:
        method: ``prefix`` deletes the keys of the site's prefix in small steps; ``flush`` empties the database at once,
            which is refused where anybody else's keys live there.
        max_keys: refuse, or stop, beyond so many.
    """

    name: ClassVar[str] = "clear_all"
    method: Literal["prefix", "flush"] = "prefix"
    max_keys: int = 1_000_000

    def __post_init__(self) -> None:
        """Types and ranges."""
        if self.method not in ("prefix", "flush"):
            raise UsageError(f"method must be prefix or flush, not {str(self.method)[:40]!r}")
        _require_bound(self.max_keys)

    def resources(self) -> tuple[str, ...]:
        """The keys of the cache."""
        return _RESOURCES

    def plan(self, site: Site) -> Plan:
        """Count everything that lives in the database, and say what goes and what that means.

        Raises:
            SourceError: Redis could not be asked.
        """
        pattern = everything(key_names(site.environment))
        # A flush takes what has no prefix as well, and what is there is counted the same way.
        found = survey(site, pattern, everybodys=b"*" if self.method == "flush" else b"")
        alone = (flushing.nobody_else(site, found.seen),) if self.method == "flush" else ()
        plan = _plan(self, site, found, title=self._title(site, found), guards=(*found.guards, *alone))
        return replace(plan, notes=(*plan.notes, *self._advice(found.seen)))

    def write(self, plan: Plan, site: WritableSite) -> Written:  # noqa: ARG002 - the parameters alone decide
        """Delete in small steps, or flush every primary asynchronously.

        Raises:
            RefusedError: nothing at all was deleted.
            MayHaveChangedError: the connection broke; the message holds the account up to there.
        """
        if self.method == "flush":
            return flushing.flush(site)
        pattern = everything(key_names(site.environment))
        return deletion.delete(pattern, site, max_keys=self.max_keys)

    def read_back(self, plan: Plan, site: Site, written: Mapping[str, Any]) -> ReadBack:  # noqa: ARG002 - as above
        """Look again what is there; see ``deletion`` for what counts as gone.

        Raises:
            SourceError: Redis could not be asked.
        """
        if self.method == "flush":
            return flushing.look_again(site, written)
        return deletion.look_again(everything(key_names(site.environment)), site, written)

    def _title(self, site: Site, found: Survey) -> str:
        count = key_plans.counted_in(found.seen, found.seen.matched_count)
        if self.method == "flush":
            return f"flush database {site.nodes.database}, {count}"
        return f"delete {count}, all that begin with {found.pattern.names.shown}"

    def _advice(self, seen: KeyspaceLook) -> tuple[str, ...]:
        """A smaller step, where one would do."""
        found = key_plans.by_kind(seen.matched)
        beyond = [kind.value for kind in found if kind in key_plans.CONSEQUENCES]
        if not beyond or Kind.ANSWERS not in found:
            return ()
        return (f"clear_pattern with pattern=api:* removes the answers alone, and leaves {', '.join(beyond)}",)


def _plan(action: ClearPattern | ClearAll, site: Site, found: Survey, *, title: str, guards: tuple[Guard, ...]) -> Plan:
    """The plan of a deletion, from what was found."""
    seen = found.seen
    return Plan(
        action=action.name,
        title=title,
        environment=site.environment.name,
        protected=site.environment.protected,
        scope=key_plans.scope(site, found.pattern),
        intent=dataclasses.asdict(action),
        resources=action.resources(),
        read_at=seen.provenance.read_at,
        before=key_plans.matched_shown(seen, found.pattern.names),
        after=(Evidence("keys that match", "0; those in use are written anew by the next miss"),),
        blast_radius=(
            *key_plans.kinds_shown(seen.matched, seen),
            *key_plans.consequences(seen),
            key_plans.misses_shown(site),
        ),
        spared=key_plans.kinds_shown(seen.spared, seen),
        irreversible=_IRREVERSIBLE,
        guards=(
            *guards,
            key_guards.at_most(action.max_keys, seen.matched_count, seen, site.environment.name),
            key_guards.calm_redis(site),
        ),
        no_op=found.found_none,
        offers=_offers(site),
        notes=found.notes,
    )


def _offers(site: Site) -> tuple[NextStep, ...]:
    environment = site.environment.name
    return (
        NextStep(
            "warm the cache, so that visitors do not have to",
            command_line(Command("trigger_warming", {"strategy": "startup"}), environment),
        ),
    )


def _require_bound(most: int) -> None:
    problem = key_guards.require_bound(most)
    if problem:
        raise UsageError(problem)
