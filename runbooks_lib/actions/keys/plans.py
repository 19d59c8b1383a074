"""The parts that plans over many keys share: what lies there, in words; what it costs the site."""

from __future__ import annotations

from collections.abc import Iterable

from runbooks_lib import units
from runbooks_lib.actions.keys.pattern import KeyPattern
from runbooks_lib.actions.site import Site
from runbooks_lib.errors import SourceError
from runbooks_lib.facts import KeyGroup, KeyspaceLook
from runbooks_lib.model import Evidence
from runbooks_lib.sources.keyspace.names import KeyNames, Kind

_SAMPLE_SHOWN = 20
_GROUPS_SHOWN = 8

#: What it means that keys of a kind are gone.
CONSEQUENCES: dict[Kind, tuple[str, str]] = {
    Kind.SESSIONS: ("signs out the users of {}", "session"),
    Kind.THROTTLE: ("gives the whole allowance back to {}", "counted client"),
    Kind.FLAGS: ("back to the default: {}", "flag"),
    Kind.LOCKS: ("work that holds it now may run twice: {}", "lock"),
    Kind.STATISTICS: ("adaptive TTLs and reports start again: {}", "statistic"),
}


def by_kind(groups: Iterable[KeyGroup]) -> dict[Kind, list[KeyGroup]]:
    """The groups of each kind that is there."""
    found: dict[Kind, list[KeyGroup]] = {}
    for group in groups:
        found.setdefault(Kind(group.kind), []).append(group)
    return found


def keys(groups: Iterable[KeyGroup]) -> int:
    """How many keys they hold together."""
    return sum(group.keys_count for group in groups)


def kinds_shown(groups: Iterable[KeyGroup], look: KeyspaceLook) -> tuple[Evidence, ...]:
    """One line for each kind: how many, and its largest groups by name.

    Args:
        groups: some of those that were found.
        look: that found them.
    """
    lines = []
    for kind, own in by_kind(groups).items():
        largest = sorted(own, key=lambda group: -group.keys_count)[:_GROUPS_SHOWN]
        parts = [f"{group.name} {group.keys_count:,}" for group in largest]
        parts += [f"{len(own) - len(largest)} more"] if len(own) > len(largest) else []
        lines.append(Evidence(kind.value, f"{counted_in(look, keys(own))}: {', '.join(parts)}", "SCAN"))
    return tuple(lines)


def consequences(look: KeyspaceLook) -> tuple[Evidence, ...]:
    """What it means that all the keys that match go, where it means more than a miss."""
    return tuple(
        Evidence(f"{kind.value} go", _consequence(kind, keys(own), look), "SCAN")
        for kind, own in by_kind(look.matched).items()
        if kind in CONSEQUENCES
    )


def _consequence(kind: Kind, count: int, look: KeyspaceLook) -> str:
    if kind is Kind.SESSIONS and look.complete:
        return f"signs out up to {units.exactly(count, 'user')}"  # several sessions can be one user's
    text, noun = CONSEQUENCES[kind]
    return text.format(counted_in(look, count, noun))


def matched_shown(look: KeyspaceLook, names: KeyNames) -> tuple[Evidence, ...]:
    """How many keys match, how large they are, and some of their names."""
    sample = sorted(names.told(name) for name in look.sample[:_SAMPLE_SHOWN])
    took = f"{look.provenance.query}, {units.seconds(look.provenance.took_seconds)}"
    lines = [Evidence("keys that match", counted_in(look, look.matched_count), took), *size_shown(look)]
    if sample:
        lines.append(Evidence(f"{len(sample)} of them, at random", "  ".join(sample), "SCAN"))
    return tuple(lines)


def size_shown(look: KeyspaceLook) -> tuple[Evidence, ...]:
    """Bytes of what matches, with how far they can be trusted."""
    if look.size is None:
        return ()
    size, source = look.size, f"MEMORY USAGE of {look.size.sampled_count:,} keys"
    if look.size.heavy_tail:
        trust = " (a few large keys dominate: the true sum may be far from it)"
    else:
        trust = f" ± {units.size(size.margin_bytes)}" if size.margin_bytes else ""
    about = "about " if size.margin_bytes or size.heavy_tail else ""
    return (Evidence("memory", f"{about}{units.size(size.value_bytes)}{trust}", source),)


def misses_shown(site: Site) -> Evidence:
    """How many lookups a second can miss at most: as many as hit now."""
    name = "lookups that will miss"
    try:
        lookups = site.metrics.lookups(site.policy.window_seconds)
    except SourceError as error:
        return Evidence(name, f"UNKNOWN: {error.message}", "prometheus")
    overall = lookups.overall
    hits = (overall.hit + overall.stale + overall.null_value) / lookups.window_seconds
    return Evidence(name, f"at most {units.per_second(hits)}, as many as hit now", lookups.provenance.source)


def scope(site: Site, pattern: KeyPattern) -> str:
    """Where the keys lie."""
    return f"redis {site.nodes.shown}, keys that begin with {pattern.names.shown}"


def counted_in(look: KeyspaceLook, count: int, noun: str = "key") -> str:
    """A number of things that were looked for; a lower bound where not everything was looked at."""
    return f"{'' if look.complete else 'at least '}{units.exactly(count, noun)}"
