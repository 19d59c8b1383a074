"""Throttle counters: those of one client by their exact names, and those of all clients as far as a budget reaches.

Two kinds of names occur: ``<prefix>:<version>:throttle:<scope>:<client>`` (a counter; the reference site) and
``<prefix>:<version>:throttle_<scope>_<client>`` (a list of times; REST framework's own throttles). A counter is a whole
number as it stands. A list is serialised by the site, perhaps with pickle, which is never read here.
"""

from __future__ import annotations

import dataclasses
import heapq
import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from runbooks_lib import units
from runbooks_lib.errors import SourceError
from runbooks_lib.facts import ThrottleCounter, ThrottleCounters
from runbooks_lib.model import Kind, Provenance
from runbooks_lib.redaction import one_line
from runbooks_lib.sources.redis.cache import ScanBudget
from runbooks_lib.sources.redis.replies import parse_scan

if TYPE_CHECKING:
    from runbooks_lib.sources.redis.nodes import Nodes, ReadNode

SCOPES = ("anon", "user")
#: A count has fewer digits; longer values are something else, and are not fetched.
_LONGEST_COUNT = 19
_MOST_READ = 20_000
_READ_AT_ONCE = 200
#: What the server counts for one counter: looked for by its name, and found by a search.
LOOKUPS_BY_NAME, _LOOKUPS_FOUND = 4, 2
_FULLEST = 20
_NAME = re.compile(rb"\Athrottle[:_](?P<scope>anon|user)[:_](?P<client>.*)\Z", re.DOTALL)
_GLOB = re.compile(rb"([\\*?\[\]])")


def counter_names(prefix: str, version: int, scope: str, client: str) -> tuple[bytes, ...]:
    """The full names that a client's counters can have.

    Args:
        prefix: django-redis ``KEY_PREFIX``; may be empty.
        version: of the cache.
        scope: ``anon`` or ``user``.
        client: as the site writes it; taken as it is, nothing in it has a meaning.
    """
    start = f"{prefix}:{version}:"
    return tuple(
        name.encode("utf-8") for name in (f"{start}throttle:{scope}:{client}", f"{start}throttle_{scope}_{client}")
    )


def counters_by_name(nodes: Nodes, names: Sequence[bytes], scope: str, client: str) -> tuple[ThrottleCounter, ...]:
    """Which of these counters exist, and how far are they?

    Raises:
        SourceError: Redis cannot be read.

    Source:
        EXISTS, GETRANGE 0 18, STRLEN and PTTL of each name, on the primary that holds it; each of them adds one to
        ``keyspace_hits`` or ``keyspace_misses`` (``LOOKUPS_BY_NAME``).
    """
    found = []
    for name in names:
        exists, counter = _counter(nodes.for_key(name), name, scope, client)
        if exists:
            found.append(counter)
    return tuple(found)


def throttle_counters(nodes: Nodes, prefix: str, *, budget: ScanBudget | None = None) -> ThrottleCounters:
    """Which clients have counters now, and whose are fullest?

    Args:
        nodes: all primaries, for reading.
        prefix: django-redis ``KEY_PREFIX``; may be empty.
        budget: what the search may cost on each primary.

    Returns:
        Counts by scope, and the fullest counters with their clients.

    Raises:
        SourceError: Redis cannot be read.

    Source:
        SCAN MATCH <prefix>:*:throttle*; GETRANGE 0 18 and PTTL of at most 20,000 names.
    """
    started, read_at = time.monotonic(), units.now()
    spent: list[str] = []
    scopes: Counter[str] = Counter()
    read: list[ThrottleCounter] = []
    for node in nodes:
        names = {name: part for name in _search(node, prefix, budget or ScanBudget(), spent) if (part := _parts(name))}
        scopes.update(scope for scope, _ in names.values())
        read += _counters(node, dict(list(names.items())[: max(0, _MOST_READ - len(read))]))
    lookups = _LOOKUPS_FOUND * len(read)
    if len(read) < scopes.total():
        spent.append(f"{len(read):,} of {scopes.total():,} counters were read")
    known = [counter for counter in read if counter.count is not None]
    if len(known) < len(read):
        spent.append(f"{len(read) - len(known):,} counters hold something that cannot be read without the site's code")
    # For each scope: the limits differ, and a thousand requests of a user would hide a hundred of an address.
    fullest = [one for scope in SCOPES for one in _fullest(one for one in known if one.scope == scope)]
    query = "SCAN MATCH …:throttle*; GETRANGE; PTTL"
    provenance = Provenance("redis", query, read_at, time.monotonic() - started)
    return ThrottleCounters(dict(scopes), tuple(fullest), len(known), provenance, not spent, tuple(spent), lookups)


def _fullest(counters: Iterable[ThrottleCounter]) -> list[ThrottleCounter]:
    return heapq.nlargest(_FULLEST, counters, key=lambda counter: counter.count or 0)


def _search(node: ReadNode, prefix: str, budget: ScanBudget, spent: list[str]) -> Iterator[bytes]:
    """Names of counters on one primary, each perhaps more than once; says in ``spent`` why it ended early."""
    pattern = _GLOB.sub(rb"\\\1", prefix.encode("utf-8")) + b":*:throttle[:_]*"
    cursor, round_trips, started = 0, 0, time.monotonic()
    while True:
        asked = time.monotonic()
        cursor, found = parse_scan(node.ask("SCAN", cursor, "MATCH", pattern, "COUNT", budget.step))
        now, round_trips = time.monotonic(), round_trips + 1
        yield from (name for name in found if isinstance(name, bytes) and name.startswith(prefix.encode("utf-8")))
        if cursor == 0:
            return
        limit = budget.spent(round_trips=round_trips, seconds=now - started, reply_seconds=now - asked)
        if limit:
            spent.append(f"the search ended after {limit} on {node.shown}: not all keys were looked at")
            return


def _parts(name: bytes) -> tuple[str, str] | None:
    """Scope and client of a counter's name; None for another key that only looks like one."""
    for part in re.finditer(rb":\d+:(?=throttle[:_])", name):
        match = _NAME.match(name[part.end() :])
        if match:
            return match["scope"].decode(), match["client"].decode("utf-8", "backslashreplace")
    return None


def _counters(node: ReadNode, names: dict[bytes, tuple[str, str]]) -> Iterator[ThrottleCounter]:
    wanted = list(names)
    for first in range(0, len(wanted), _READ_AT_ONCE):
        batch = wanted[first : first + _READ_AT_ONCE]
        values = node.ask_many([("GETRANGE", name, 0, _LONGEST_COUNT - 1) for name in batch])
        left = node.ask_many([("PTTL", name) for name in batch])
        for name, value, ttl in zip(batch, values, left, strict=True):
            yield _made(name, *names[name], value, ttl)


def _counter(node: ReadNode, name: bytes, scope: str, client: str) -> tuple[bool, ThrottleCounter]:
    exists, value, ttl, size = node.ask_many(
        [("EXISTS", name), ("GETRANGE", name, 0, _LONGEST_COUNT - 1), ("PTTL", name), ("STRLEN", name)]
    )
    if not isinstance(exists, int):
        # Not allowed to look is not the same as not there.
        said = one_line(str(exists), node.address.secrets, longest=160)
        raise SourceError(
            f"Redis at {node.shown} does not let us look for a throttle counter: {said}",
            source="redis",
            hint="ask for +exists +getrange +pttl on the keys of the site's prefix (ACL SETUSER)",
            kind=Kind.DENIED,
        )
    made = _made(name, scope, client, value, ttl)
    return exists == 1, dataclasses.replace(made, size_bytes=size if isinstance(size, int) else None)


def _made(name: bytes, scope: str, client: str, value: object, ttl: object) -> ThrottleCounter:
    is_count = isinstance(value, bytes) and value.isdigit() and len(value) < _LONGEST_COUNT
    return ThrottleCounter(
        key=name.decode("utf-8", "backslashreplace"),
        scope=scope,
        client=client,
        count=int(value) if is_count and isinstance(value, bytes) else None,
        ttl_seconds=ttl / 1000 if isinstance(ttl, int) and ttl >= 0 else None,
    )
