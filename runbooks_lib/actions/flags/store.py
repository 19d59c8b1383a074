"""Where does a site keep its feature flags, and would what is set there last?

Sites were seen that keep flags in the cache, with an expiry of five minutes: what an operator sets falls back to its
default five minutes later, and ``cache.clear()`` resets every flag. That a service asked some SQL table says little: it
may look up users there, or use a cache that Django keeps in a table. Only a table that is named like flags, and is no
cache, is believed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from runbooks_lib import units
from runbooks_lib.actions.plan import Guard
from runbooks_lib.actions.site import Site
from runbooks_lib.errors import SourceError
from runbooks_lib.facts import FlagService
from runbooks_lib.sources.keyspace.names import glob_escape, shown
from runbooks_lib.sources.keyspace.scan import Walk
from runbooks_lib.sources.redis.cache import ScanBudget
from runbooks_lib.sources.redis.nodes import Nodes

_SHOWN_MAX = 3
_FOUND_MAX = 50
_LIKE_FLAGS = re.compile(r"(?i)flag|feature")
#: For each pattern. Only a site whose tables do not look like flags is searched at all.
_BUDGET = ScanBudget(seconds=0.3)


@dataclass(frozen=True, slots=True)
class Store:
    """Where the flags are.

    Attributes:
        lasts: what is set there stays until somebody sets it again; None where that could not be told.
        detail: where, and for how long.
    """

    lasts: bool | None
    detail: str


def store_of(service: FlagService, site: Site, features: Sequence[str]) -> Store:
    """Where are the flags kept?

    A service that asked an SQL table that is named like flags keeps them there. Otherwise Redis is searched, within a
    budget, for keys with ``flag`` or the feature's name in theirs.

    Args:
        service: asked in a fresh process, so that nothing came out of a copy in memory.
        site: its Redis is not contacted where such a table was asked.
        features: that are about to be set.

    Source:
        Django's ``connection.execute_wrapper``, settings.CACHES; SCAN MATCH, PTTL.
    """
    tables = [name for name in service.tables if _LIKE_FLAGS.search(name)]
    if tables:
        return Store(lasts=True, detail=f"kept in SQL: {', '.join(tables[:_SHOWN_MAX])}")
    unknown = _asked(service)
    try:
        found = list(_flag_keys(site.nodes, features))
    except SourceError as error:
        return Store(None, f"{unknown}, and Redis could not be searched: {error.message}")
    if not found:
        return Store(None, f"{unknown}, and no key in Redis looks like a flag: where it keeps them is not known")
    keys = ", ".join(f"{shown(name)!r} {_ends(left)}" for name, left in found[:_SHOWN_MAX])
    return Store(lasts=False, detail=f"kept in Redis: {keys}")


def _asked(service: FlagService) -> str:
    """Which tables were asked that say nothing."""
    others = [*service.tables, *(f"{name} (a cache)" for name in service.cache_tables)]
    if not others:
        return "the flag service asked no SQL table"
    return f"the flag service asked no SQL table that is named like flags, but {', '.join(others[:_SHOWN_MAX])}"


def guard_of(store: Store, *, accept_volatile: bool) -> Guard:
    """The condition that what is set lasts, or that its loss is accepted."""
    return Guard(
        "the setting lasts, or its loss is accepted",
        holds=store.lasts is True or accept_volatile,
        detail=f"{store.detail}{'; accepted' if accept_volatile and store.lasts is not True else ''}",
        hint="" if store.lasts else "to set it nevertheless, and to watch it: accept_volatile=true",
    )


def _ends(left_milliseconds: int) -> str:
    if left_milliseconds == -1:
        return "(removed by cache.clear())"
    left = units.duration(left_milliseconds / 1000)
    return f"(falls back to its default in {left}, and at cache.clear())"


def _flag_keys(nodes: Nodes, features: Sequence[str]) -> Iterable[tuple[bytes, int]]:
    """Names and PTTL of keys that look like flags, those of the features first."""
    patterns = [*(b"*" + glob_escape(feature.encode()) + b"*" for feature in features), b"*[fF][lL][aA][gG]*"]
    found = dict.fromkeys(
        name for pattern in patterns for _, names in Walk(_BUDGET).batches(nodes, pattern) for name in names
    )
    for name in list(found)[:_FOUND_MAX]:
        left = nodes.for_key(name).ask("PTTL", name)
        if isinstance(left, int) and left != -2:
            yield name, left
