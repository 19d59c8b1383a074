"""The parts that plans over many keys share: what lies there, in words; the guards; what it costs the site."""

from __future__ import annotations

from collections.abc import Iterable

from runbooks_lib import units
from runbooks_lib.actions.keys.pattern import KeyPattern
from runbooks_lib.actions.plan import Guard
from runbooks_lib.actions.site import Site
from runbooks_lib.errors import SourceError
from runbooks_lib.facts import KeyGroup, KeyspaceLook
from runbooks_lib.model import Evidence
from runbooks_lib.sources.keyspace.names import PROTECTED, KeyNames, Kind, shown
from runbooks_lib.sources.keyspace.scan import latency_seconds

MOST_KEYS = 1_000_000_000
_SAMPLE_SHOWN = 20
_GROUPS_SHOWN = 8

#: What it means that keys of a kind are gone.
CONSEQUENCES: dict[Kind, tuple[str, str]] = {
    Kind.SESSIONS: ("signs out up to {}", "user"),
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


def kinds_shown(groups: Iterable[KeyGroup]) -> tuple[Evidence, ...]:
    """One line for each kind: how many, and its largest groups by name."""
    lines = []
    for kind, own in by_kind(groups).items():
        largest = sorted(own, key=lambda group: -group.keys_count)[:_GROUPS_SHOWN]
        parts = [f"{group.name} {group.keys_count:,}" for group in largest]
        parts += [f"{len(own) - len(largest)} more"] if len(own) > len(largest) else []
        lines.append(Evidence(kind.value, f"{counted(keys(own))}: {', '.join(parts)}", "SCAN"))
    return tuple(lines)


def consequences(groups: Iterable[KeyGroup]) -> tuple[Evidence, ...]:
    """What it means that all these keys go, where it means more than a miss."""
    found = by_kind(groups)
    return tuple(
        Evidence(f"{kind.value} go", text.format(counted(keys(found[kind]), noun)), "SCAN")
        for kind, (text, noun) in CONSEQUENCES.items()
        if kind in found
    )


def matched_shown(look: KeyspaceLook, names: KeyNames) -> tuple[Evidence, ...]:
    """How many keys match, how large they are, and some of their names."""
    least = "" if look.complete else "at least "
    sample = sorted(_name_shown(name, names) for name in look.sample[:_SAMPLE_SHOWN])
    took = f"{look.provenance.query}, {units.seconds(look.provenance.took_seconds)}"
    lines = [Evidence("keys that match", f"{least}{counted(look.matched_count)}", took), *size_shown(look)]
    if sample:
        lines.append(Evidence(f"{len(sample)} of them, at random", "  ".join(sample), "SCAN"))
    return tuple(lines)


def _name_shown(name: bytes, names: KeyNames) -> str:
    """A key's name; of a session its beginning only, because the rest lets its holder in."""
    kind, group = names.group_of(name)
    return f"{shown(names.head + group)}…" if kind is Kind.SESSIONS else shown(name)


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


def within_prefix(pattern: KeyPattern) -> Guard:
    """Nothing outside the prefix can match."""
    return Guard(f"only keys that begin with {pattern.names.shown}", holds=True, detail=pattern.shown)


def at_most(most: int, count: int, look: KeyspaceLook) -> Guard:
    """No more keys than the operator allowed."""
    name = f"at most {most:,} keys"
    if count > most:
        hint = f"look why there are so many (runbooks run high_memory), or plan again with max_keys={_rounded(count)}"
        return Guard(name, holds=False, detail=counted(count), hint=hint)
    if not look.complete:
        detail = f"at least {counted(count)}; the search ended after {look.ended}"
        return Guard(name, holds=None, detail=detail, hint="try again when the server has less to do")
    return Guard(name, holds=True, detail=counted(count))


def spares_protected(pattern: KeyPattern, look: KeyspaceLook) -> Guard:
    """Sessions and the like are touched only where the pattern names them."""
    name = f"no {', '.join(kind.value for kind in PROTECTED)} but those that the pattern names"
    hit = [group for group in look.matched if Kind(group.kind) in pattern.spared]
    if hit:
        detail = ", ".join(f"{kind.value} {keys(own):,}" for kind, own in by_kind(hit).items())
        return Guard(name, holds=False, detail=detail, hint="write more of the name, so that it matches one kind only")
    certain = look.complete or not pattern.spared
    return Guard(name, holds=True if certain else None, detail="none matches" if certain else "not all keys were seen")


def calm_redis(site: Site) -> Guard:
    """Every primary answers as fast as usual."""
    limit = site.policy.redis_latency.warn
    took = latency_seconds(site.nodes)
    return Guard(
        f"redis answers within {units.seconds(limit)}",
        holds=took <= limit,
        detail=units.seconds(took),
        hint="" if took <= limit else "find out what it is busy with first (runbooks run triage)",
    )


def scope(site: Site, pattern: KeyPattern) -> str:
    """Where the keys lie."""
    return f"redis {site.nodes.shown}, keys that begin with {pattern.names.shown}"


def require_bound(most: int) -> str:
    """What is wrong with a ``max_keys``; empty when nothing is."""
    if isinstance(most, bool) or not isinstance(most, int) or not 1 <= most <= MOST_KEYS:
        return f"max_keys must be a whole number from 1 to {MOST_KEYS:,}, not {str(most)[:40]}"
    return ""


def counted(count: int, noun: str = "key") -> str:
    """A number of things, to the last one."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _rounded(count: int) -> int:
    """A little above a count, with two digits: 213,880 → 250,000."""
    unit: int = 5 * 10 ** max(0, len(str(count)) - 2)
    return -(-int(count * 1.1) // unit) * unit
