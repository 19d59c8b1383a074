"""What a plan over many keys rests on: one look at the database, and whether the keys are the site's."""

from __future__ import annotations

from dataclasses import dataclass

from runbooks_lib.actions.keys import guards
from runbooks_lib.actions.keys.pattern import KeyPattern
from runbooks_lib.actions.plan import Guard
from runbooks_lib.actions.site import Site
from runbooks_lib.facts import KeyspaceLook
from runbooks_lib.sources.keyspace import glob_match
from runbooks_lib.sources.keyspace.scan import look


@dataclass(frozen=True, slots=True)
class Survey:
    """What was found.

    Attributes:
        pattern: which keys were asked about.
        seen: what lies in the database, and what of it matches.
        guards: the keys are the site's, and the server takes writes.
        notes: what limits all that.
    """

    pattern: KeyPattern
    seen: KeyspaceLook
    guards: tuple[Guard, ...]
    notes: tuple[str, ...]

    @property
    def found_none(self) -> bool:
        """Certainly nothing of the site's matches: every key was looked at, in the right place."""
        return self.seen.complete and not self.seen.matched_count and all(guard.holds for guard in self.guards)


def survey(site: Site, pattern: KeyPattern, *, everybodys: bytes = b"") -> Survey:
    """Look at all keys, and ask the site how its own begin.

    Args:
        site: to read.
        pattern: which keys are asked about; those of other sites are not.
        everybodys: a glob to be looked for instead, whosever the keys are.

    Raises:
        SourceError: Redis could not be asked.
    """
    asked = guards.asked_for_caches(site)
    if everybodys:
        seen = look(site.nodes, pattern.names, glob_match.compiled(everybodys))
    else:
        seen = look(site.nodes, pattern.names, glob_match.compiled(pattern.match), spares=pattern.names.is_anothers)
    owned = guards.ownership(site, asked)
    notes = (*owned.notes, *seen.warnings, *guards.others_noted(seen, pattern.names))
    return Survey(pattern, seen, (*owned.guards, guards.on_primary(site)), notes)
