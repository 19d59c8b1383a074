"""What an operator must know of a database before he clears anything in it."""

from __future__ import annotations

from runbooks_lib import units
from runbooks_lib.facts import KeyspaceLook
from runbooks_lib.judgement.findings import unknown
from runbooks_lib.model import Evidence, Finding, Status, Unreadable

#: Kinds of keys whose loss somebody notices who did not ask for it, and how.
COSTLY = {
    "sessions": "users are signed out",
    "throttle counters": "clients get their allowance back",
    "flags": "flags fall back to their defaults",
    "locks": "work may run twice",
    "keys of others": "another application loses its data",
}


def check_database_size(keys_count: int | Unreadable, shown: str) -> Finding:
    """How many keys are there?

    Returns:
        Finding ``redis.keys``: a fact to know, OK when it could be read.
    """
    if isinstance(keys_count, Unreadable):
        return unknown("redis.keys", "keys in the database", keys_count)
    return Finding(
        "redis.keys",
        "keys in the database",
        Status.OK,
        units.things(keys_count, "key"),
        detail=shown,
        value=float(keys_count),
        unit="count",
    )


def check_database_contents(contents: KeyspaceLook | Unreadable) -> Finding:
    """Does anything live there beside cached answers, so that clearing all of it costs more than misses?

    Returns:
        Finding ``redis.contents``: OK when all keys were looked at (its detail says what clearing all would cost);
        UNKNOWN when not all were.
    """
    title = "what else lives there"
    if isinstance(contents, Unreadable):
        return unknown("redis.contents", title, contents)
    counts: dict[str, int] = {}
    for group in contents.groups:
        counts[group.kind] = counts.get(group.kind, 0) + group.keys_count
    costly = {kind: count for kind, count in counts.items() if kind in COSTLY}
    shown = ", ".join(f"{units.count(count)} {kind}" for kind, count in costly.items())
    costs = "; ".join(COSTLY[kind] for kind in costly)
    return Finding(
        "redis.contents",
        title,
        Status.OK if contents.complete else Status.UNKNOWN,
        shown or "nothing but what the cache can build again",
        detail=f"clearing all of it would cost: {costs}" if costs else "",
        evidence=tuple(Evidence(kind, units.count(count), "SCAN") for kind, count in counts.items()),
        hint=""
        if contents.complete
        else f"not all keys were looked at ({contents.ended}): look when Redis is less busy",
    )
