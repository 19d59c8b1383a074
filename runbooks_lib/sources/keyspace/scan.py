"""What lies in a Redis database, and what of it matches? One pass over the names, in small steps, that nobody notices.

Only SCAN and MEMORY USAGE are sent: TYPE or TTL of every key would count as hits, and STRLEN or DUMP would rewrite the
order in which the cache evicts.
"""

from __future__ import annotations

import math
import random
import re
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from redis import exceptions

from runbooks_lib.facts import KeyGroup, KeyspaceLook, SizeEstimate
from runbooks_lib.model import Provenance
from runbooks_lib.redaction import one_line
from runbooks_lib.sources.keyspace.asking import of_each
from runbooks_lib.sources.keyspace.names import KeyNames, Kind, masked, shown
from runbooks_lib.sources.redis.cache import ScanBudget
from runbooks_lib.sources.redis.nodes import Nodes, ReadNode
from runbooks_lib.sources.redis.replies import parse_scan, unexpected

#: Twenty million keys or a minute and a half, whichever comes first. One SCAN of 200 keys is not noticed by anybody.
PLAN_BUDGET = ScanBudget(keys=20_000_000, round_trips=200_000, seconds=90.0, slowest_reply_seconds=1.0, step=200)
#: MEMORY USAGE of so many keys gives the sum to about ±14 % where sizes are even.
MEASURED_KEYS = 1000
#: So many names are remembered, so that one that SCAN gives twice is counted once; about 20 MB. Later ones are not.
_REMEMBERED = 200_000
#: A stranger can invent groups without end; what comes later is counted together.
_MOST_GROUPS = 500
_REST = b"(further names)"
_HEAVY_SHARE = 0.1


@dataclass(slots=True)
class Walk:
    """One pass over the names of all primaries, within a budget.

    Attributes:
        ended: which limit ended it; empty while none did.
        round_trips: SCAN commands so far.
        looked_at_count: names so far.
    """

    budget: ScanBudget
    ended: str = ""
    round_trips: int = 0
    looked_at_count: int = 0
    _began: float = field(default_factory=time.monotonic)
    _given: set[int] = field(default_factory=set)

    @property
    def warnings(self) -> tuple[str, ...]:
        """That not all keys were looked at, where that is so."""
        if not self.ended:
            return ()
        return (f"the search ended after {self.ended}: {self.looked_at_count:,} keys were looked at, not all",)

    def batches(self, nodes: Iterable[ReadNode], match: bytes = b"") -> Iterator[tuple[ReadNode, list[bytes]]]:
        """The names, as each SCAN gives them, each once: the server repeats some while it resizes its table.

        Beyond the first 200,000 names they may come twice.

        Raises:
            SourceError: a primary could not be asked.
        """
        for node in nodes:
            cursor = None
            while cursor != 0:
                if self.ended:
                    return
                cursor, names = self._scan(node, cursor or 0, match)
                yield node, names

    def _scan(self, node: ReadNode, cursor: int, match: bytes) -> tuple[int, list[bytes]]:
        asked = time.monotonic()
        filtered = ("MATCH", match) if match else ()
        cursor, found = parse_scan(node.ask("SCAN", cursor, *filtered, "COUNT", self.budget.step))
        now = time.monotonic()
        self.round_trips += 1
        names = self._new([name for name in found if isinstance(name, bytes)])
        self.looked_at_count += len(names)
        if cursor != 0:
            self.ended = self.budget.spent(
                round_trips=self.round_trips, seconds=now - self._began, reply_seconds=now - asked
            )
        return cursor, names

    def _new(self, names: list[bytes]) -> list[bytes]:
        """Those that have not been given yet."""
        new = dict(zip(map(hash, names), names, strict=True))
        if not self._given.isdisjoint(new):
            new = {known: name for known, name in new.items() if known not in self._given}
        if len(self._given) < _REMEMBERED:
            self._given.update(new)
        return list(new.values())


def look(
    nodes: Nodes,
    names: KeyNames,
    match: re.Pattern[bytes],
    *,
    spares: Callable[[bytes], bool] = lambda _: False,
    budget: ScanBudget = PLAN_BUDGET,
) -> KeyspaceLook:
    """What lies in the database, by kind, and what of it matches?

    Args:
        nodes: every primary.
        names: of the site.
        match: tells the keys that are asked about (``glob_match.compiled``).
        spares: which of them are not asked about all the same.
        budget: what it may cost.

    Raises:
        SourceError: Redis could not be asked.

    Source:
        SCAN without MATCH over every primary; MEMORY USAGE of up to 1,000 matching keys. Adds no keyspace hits.
    """
    started, read_at = time.monotonic(), datetime.now(UTC)
    walk, sample = Walk(budget), Reservoir(MEASURED_KEYS)
    everything, matching = _Groups(names), _Groups(names)
    for _, batch in walk.batches(nodes):
        everything.add(batch)
        sample.add(matching.add([name for name in batch if match.match(name) and not spares(name)]))
    size, warnings = _size(nodes, sample.kept, matching.total)
    where = f" on {len(nodes)} primaries" if len(nodes) > 1 else ""
    query = f"SCAN of database {nodes.database}{where}; MEMORY USAGE of {len(sample.kept):,} keys"
    return KeyspaceLook(
        groups=everything.facts(),
        matched=matching.facts(),
        sample=tuple(sample.kept),
        size=size,
        looked_at_count=walk.looked_at_count,
        complete=not walk.ended,
        ended=walk.ended,
        provenance=Provenance("redis", query, read_at, time.monotonic() - started),
        warnings=(*warnings, *walk.warnings),
    )


def count_matching(
    nodes: Nodes, match: bytes, counts: Callable[[bytes], bool], *, budget: ScanBudget = PLAN_BUDGET
) -> tuple[int, str]:
    """How many keys match a glob, and why the count ended early (empty when it did not).

    Args:
        nodes: every primary.
        match: glob, for SCAN MATCH: only matching names cross the wire.
        counts: which of them count.
        budget: what it may cost.

    Raises:
        SourceError: Redis could not be asked.
    """
    walk = Walk(budget)
    total = sum(sum(map(counts, batch)) for _, batch in walk.batches(nodes, match))
    return total, walk.ended


class Reservoir:
    """A uniform sample of everything that is added; what it skips costs nothing (Li's algorithm L).

    Args:
        size: how much is kept.
    """

    def __init__(self, size: int) -> None:
        self.kept: list[bytes] = []
        self._size, self._seen, self._random = size, 0, random.Random()  # noqa: S311 - a sample protects nothing
        self._weight, self._next = 1.0, size
        self._skip()

    def add(self, names: Sequence[bytes]) -> None:
        """Each name takes its chance."""
        first, self._seen = self._seen, self._seen + len(names)
        if first < self._size:
            self.kept.extend(names[: self._size - first])
        while self._next < self._seen:
            self.kept[self._random.randrange(self._size)] = names[self._next - first]
            self._next += 1
            self._skip()

    def _skip(self) -> None:
        """How many names pass before one is taken."""
        self._weight *= math.exp(math.log(1.0 - self._random.random()) / self._size)
        self._next += int(math.log(1.0 - self._random.random()) / math.log1p(-min(self._weight, 1 - 1e-12)))


class _Groups:
    """Names counted by kind and group."""

    def __init__(self, names: KeyNames) -> None:
        self.total = 0
        self._names = names
        self._counts: Counter[tuple[Kind, bytes]] = Counter()

    def add(self, batch: Sequence[bytes]) -> Sequence[bytes]:
        """Count them, and give them back."""
        self.total += len(batch)
        for (kind, name), count in Counter(map(self._names.group_of, batch)).items():
            group = kind, masked(name)
            known = group in self._counts or len(self._counts) < _MOST_GROUPS
            self._counts[group if known else (group[0], _REST)] += count
        return batch

    def facts(self) -> tuple[KeyGroup, ...]:
        order = list(Kind)
        ranked = sorted(self._counts.items(), key=lambda item: (order.index(item[0][0]), -item[1], item[0][1]))
        return tuple(KeyGroup(kind.value, shown(name), count) for (kind, name), count in ranked)


def _size(nodes: Nodes, sample: Sequence[bytes], total: int) -> tuple[SizeEstimate | None, tuple[str, ...]]:
    """Mean of the sample times the number of keys, and what limits it; a key that went away meanwhile is left out."""
    replies = [reply for _, reply in of_each(nodes, sample, "MEMORY", "USAGE")]
    sizes = [reply for reply in replies if isinstance(reply, int)]
    refusals = [reply for reply in replies if isinstance(reply, exceptions.ResponseError)]
    warnings = tuple(f"bytes are not known: {one_line(str(refusal))}" for refusal in refusals[:1])
    if not sizes:
        return None, warnings
    mean = statistics.fmean(sizes)
    exact = len(sizes) >= total
    deviation = statistics.stdev(sizes) if len(sizes) > 1 and not exact else 0.0
    margin = 1.96 * deviation / math.sqrt(len(sizes)) * total
    heavy = not exact and max(sizes) > _HEAVY_SHARE * sum(sizes)
    return SizeEstimate(mean * total, margin, len(sizes), heavy), warnings


def latency_seconds(nodes: Nodes) -> float:
    """The slowest primary's round trip of one PING, the best of five each.

    Raises:
        SourceError: a primary does not answer.
    """
    return max(min(ping_seconds(node) for _ in range(5)) for node in nodes)


def ping_seconds(node: ReadNode) -> float:
    """Seconds of one PING.

    Raises:
        SourceError: the primary does not answer.
    """
    asked = time.perf_counter()
    reply = node.ask("PING")
    if reply != b"PONG":
        raise unexpected("PING", reply)
    return time.perf_counter() - asked
