"""One question about each of some keys. What the server refuses to answer is counted apart: neither yes nor no."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from redis import exceptions

from runbooks_lib.errors import SourceError
from runbooks_lib.model import Kind
from runbooks_lib.redaction import one_line
from runbooks_lib.sources.redis.nodes import Command, Nodes, ReadNode, Reply
from runbooks_lib.sources.redis.replies import Info

_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Answers:
    """What came of a question about some keys.

    Attributes:
        yes: how many are so.
        answered: how many the server told of.
        unanswered: of how many it did not.
        reason: the server's words; empty where it told of all.
    """

    yes: int = 0
    answered: int = 0
    unanswered: int = 0
    reason: str = ""

    @property
    def limits(self) -> str:
        """What is not known, for people; empty where everything is."""
        return f"; not answered for {self.unanswered:,}: {self.reason}" if self.unanswered else ""

    def require(self, what: str) -> Answers:
        """The same, where at least one was answered.

        Raises:
            SourceError: every answer was a refusal.
        """
        if self.unanswered and not self.answered:
            raise SourceError(
                f"{what} is not known: {self.reason}",
                source="redis",
                hint="ask for the rights that runbooks.toml's Redis user lacks (ACL GETUSER)",
                kind=Kind.DENIED,
            )
        return self


def existing(nodes: Nodes, names: Sequence[bytes]) -> Answers:
    """How many of these keys exist? Adds no keyspace hits.

    Raises:
        SourceError: Redis could not be asked at all; a refused question is ``unanswered``.

    Source:
        MEMORY USAGE of each.
    """
    return _counted(of_each(nodes, names, "MEMORY", "USAGE"), lambda reply: reply is not None)


def without_ttl(nodes: Nodes, names: Sequence[bytes]) -> Answers:
    """How many of these keys have no TTL? Adds one keyspace hit a key.

    Raises:
        SourceError: Redis could not be asked, or refused all of it.

    Source:
        PTTL of each; -1 is a key without one.
    """
    return _counted(of_each(nodes, names, "PTTL"), lambda reply: reply == -1).require("which keys have a TTL")


def any_without_ttl(nodes: Nodes) -> bool:
    """Can there be a key without a TTL in a database that holds keys? False only where the server says so.

    Source:
        INFO keyspace: keys and expires of the database, per primary; one that holds none has no such line.
    """
    lines = [Info(node.ask("INFO", "keyspace")).text(f"db{nodes.database}") for node in nodes]
    told = [dict(part.partition("=")[::2] for part in line.split(",")) for line in lines if line]
    return not told or any(counts.get("keys") != counts.get("expires") for counts in told)


def misses_count(nodes: Nodes) -> int | None:
    """How many lookups of all clients have found no key so far, in all databases; None where no server tells.

    Source:
        INFO stats: keyspace_misses. SCAN, UNLINK and MEMORY USAGE of absent keys do not count there.
    """
    total = 0
    for node in nodes:
        try:
            count = Info(node.ask("INFO", "stats")).integer("keyspace_misses")
        except SourceError:
            return None
        if count is None:
            return None
        total += count
    return total


def of_each(nodes: Nodes, names: Sequence[bytes], *command: str) -> Iterator[tuple[bytes, Reply]]:
    """The replies to one command for each name, sent in one go per primary and 200 names."""
    by_node: dict[ReadNode, list[bytes]] = {}
    for name in names:
        by_node.setdefault(nodes.for_key(name), []).append(name)
    for node, own in by_node.items():
        for at in range(0, len(own), _AT_ONCE):
            part = own[at : at + _AT_ONCE]
            commands: list[Command] = [(*command, name) for name in part]
            yield from zip(part, node.ask_many(commands), strict=True)


def _counted(replies: Iterator[tuple[bytes, Reply]], is_so: Callable[[Reply], bool]) -> Answers:
    yes = answered = unanswered = 0
    reason = ""
    for _, reply in replies:
        if isinstance(reply, exceptions.ResponseError):
            unanswered += 1
            reason = reason or one_line(str(reply), longest=160)
        else:
            answered += 1
            yes += is_so(reply)
    return Answers(yes, answered, unanswered, reason)
