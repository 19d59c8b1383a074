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
from runbooks_lib.sources.keyspace.names import KeyNames, Kind, shown
from runbooks_lib.sources.redis.cache import ScanBudget
from runbooks_lib.sources.redis.nodes import Command, Nodes, ReadNode, Reply
from runbooks_lib.sources.redis.replies import Info, parse_scan, unexpected

#: Twenty million keys or a minute and a half, whichever comes first. One SCAN of 200 keys is not noticed by anybody.
PLAN_BUDGET = ScanBudget(keys=20_000_000, round_trips=200_000, seconds=90.0, slowest_reply_seconds=1.0, step=200)
#: MEMORY USAGE of so many keys gives the sum to about ±14 % where sizes are even.
MEASURED_KEYS = 1000
_AT_ONCE = 200
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

    @property
    def warnings(self) -> tuple[str, ...]:
        """That not all keys were looked at, where that is so."""
        if not self.ended:
            return ()
        return (f"the search ended after {self.ended}: {self.looked_at_count:,} keys were looked at, not all",)

    def batches(self, nodes: Iterable[ReadNode], match: bytes = b"") -> Iterator[tuple[ReadNode, list[bytes]]]:
        """The names, as each SCAN gives them. A name can come twice while the server resizes its table.

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
        names = [name for name in found if isinstance(name, bytes)]
        self.looked_at_count += len(names)
        if cursor != 0:
            self.ended = self.budget.spent(
                round_trips=self.round_trips, seconds=now - self._began, reply_seconds=now - asked
            )
        return cursor, names


def look(
    nodes: Nodes,
    names: KeyNames,
    match: re.Pattern[bytes],
    *,
    budget: ScanBudget = PLAN_BUDGET,
    sample_count: int = 1000,
) -> KeyspaceLook:
    """What lies in the database, by kind, and what of it matches?

    Args:
        nodes: every primary.
        names: of the site.
        match: tells the keys that are asked about (``glob_match.compiled``).
        budget: what it may cost.
        sample_count: how many of the matching names are kept at random.

    Raises:
        SourceError: Redis could not be asked.

    Source:
        SCAN without MATCH over every primary; MEMORY USAGE of up to 1,000 matching keys. Adds no keyspace hits.
    """
    started, read_at = time.monotonic(), datetime.now(UTC)
    walk, sample = Walk(budget), Reservoir(sample_count)
    everything, matching = _sorted_out(walk.batches(nodes), names, match, sample)
    measured = sample.kept[:MEASURED_KEYS]
    size, warnings = _size(nodes, measured, matching.total)
    query = f"SCAN of database {nodes.database} on {len(nodes)} primaries; MEMORY USAGE of {len(measured):,} keys"
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


def _sorted_out(
    batches: Iterable[tuple[ReadNode, list[bytes]]], names: KeyNames, match: re.Pattern[bytes], sample: Reservoir
) -> tuple[_Groups, _Groups]:
    """Everything by its groups, and what matches; ``sample`` takes some of the latter."""
    everything, matching = _Groups(names), _Groups(names)
    for _, batch in batches:
        everything.add(batch)
        chosen = [name for name in batch if match.match(name)]
        matching.add(chosen)
        sample.add(chosen)
    return everything, matching


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


def existing(nodes: Nodes, names: Sequence[bytes]) -> int:
    """How many of these keys exist? Adds no keyspace hits.

    Source:
        MEMORY USAGE of each.
    """
    return sum(isinstance(reply, int) for _, reply in _of_each(nodes, names, "MEMORY", "USAGE"))


def without_ttl(nodes: Nodes, names: Sequence[bytes]) -> int:
    """How many of these keys have no TTL? Adds one keyspace hit a key.

    Source:
        PTTL of each; -1 is a key without one.
    """
    return sum(reply == -1 for _, reply in _of_each(nodes, names, "PTTL"))


def any_without_ttl(nodes: Nodes) -> bool:
    """Is there any key without a TTL in the database, whatever its name?

    Source:
        INFO keyspace: keys and expires of the database, per primary.
    """
    for node in nodes:
        line = Info(node.ask("INFO", "keyspace")).text(f"db{nodes.database}")
        counts = dict(part.partition("=")[::2] for part in line.split(","))
        if counts.get("keys", "0") != counts.get("expires", "0"):
            return True
    return False


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

    def add(self, batch: Sequence[bytes]) -> None:
        self.total += len(batch)
        for group, count in Counter(map(self._names.group_of, batch)).items():
            known = group in self._counts or len(self._counts) < _MOST_GROUPS
            self._counts[group if known else (group[0], _REST)] += count

    def facts(self) -> tuple[KeyGroup, ...]:
        order = list(Kind)
        ranked = sorted(self._counts.items(), key=lambda item: (order.index(item[0][0]), -item[1], item[0][1]))
        return tuple(KeyGroup(kind.value, shown(name), count) for (kind, name), count in ranked)


def _size(nodes: Nodes, sample: Sequence[bytes], total: int) -> tuple[SizeEstimate | None, tuple[str, ...]]:
    """Mean of the sample times the number of keys, and what limits it; a key that went away meanwhile is left out."""
    replies = [reply for _, reply in _of_each(nodes, sample, "MEMORY", "USAGE")]
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


def _of_each(nodes: Nodes, names: Sequence[bytes], *command: str) -> Iterator[tuple[bytes, Reply]]:
    """The replies to one command for each name, sent in one go per primary and 200 names."""
    by_node: dict[ReadNode, list[bytes]] = {}
    for name in names:
        by_node.setdefault(nodes.for_key(name), []).append(name)
    for node, own in by_node.items():
        for at in range(0, len(own), _AT_ONCE):
            part = own[at : at + _AT_ONCE]
            commands: list[Command] = [(*command, name) for name in part]
            yield from zip(part, node.ask_many(commands), strict=True)


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
