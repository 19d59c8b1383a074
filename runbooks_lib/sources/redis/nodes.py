"""The primaries of a site's Redis, with reading commands only.

There is one of a single server or behind Sentinel, several of a cluster::


    with open_nodes(environment) as nodes:
        for node in nodes:
            node.ask("DBSIZE")
        nodes.for_key(b"django:1:api:x").ask("PTTL", b"django:1:api:x")

A plan gets nothing else, so a dry run cannot write by construction: ``ReadNode`` sends a command only after the server
itself flagged it as reading (see ``commands``).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

from redis import exceptions

from runbooks_lib.config import Environment
from runbooks_lib.errors import SourceError
from runbooks_lib.model import Kind
from runbooks_lib.redaction import one_line
from runbooks_lib.sources.redis.client import Address, ask, client_for, exchange, explained
from runbooks_lib.sources.redis.commands import ReadingCommands
from runbooks_lib.sources.redis.errors import needs_no_password
from runbooks_lib.sources.redis.replies import Info
from runbooks_lib.sources.redis.topology import Topology, TopologyKind, index_for, locate, require_whole

if TYPE_CHECKING:
    import redis

__all__ = ["Nodes", "ReadNode", "Topology", "explained", "index_for", "open_nodes"]

T = TypeVar("T")

Reply = object
Command = Sequence[str | bytes | int]
CONNECT_SECONDS = 2.0
REPLY_SECONDS = 5.0


class ReadNode:
    """One primary; the connection is made at the first question and kept.

    Args:
        address: of the primary.
        kind: of the topology. A ``standalone`` server is asked first whether it is one: a node of a cluster answers as
            well, and a third of the keys would be taken for all of them.
        reply_seconds: for each wait within one reply.
    """

    def __init__(
        self, address: Address, *, kind: TopologyKind = "standalone", reply_seconds: float = REPLY_SECONDS
    ) -> None:
        self.address, self.kind = address, kind
        self._is_whole = kind != "standalone"
        self._seconds = reply_seconds
        self._client: redis.Redis | None = None
        self._commands = ReadingCommands(self._send)

    def __repr__(self) -> str:
        """Host and port only."""
        return f"ReadNode({self.shown!r})"

    @property
    def shown(self) -> str:
        """Host and port, for people."""
        return self.address.shown

    def ask(self, *command: str | bytes | int) -> Reply:
        """The raw reply to one reading command: bytes, integer, list or None.

        Raises:
            RefusedError: the command is not one that only reads; nothing was sent.
            SourceError: Redis cannot be reached, or answered with an error (its ``kind`` says which).
        """
        return self._connected(lambda: self._send(*self._commands.require(command)))

    def ask_many(self, commands: Sequence[Command]) -> list[Reply]:
        """The raw replies to reading commands that are sent in one go.

        An error reply stands in the place of its command (``redis.exceptions.ResponseError``), so that one forbidden
        key does not cost the others. Redis serves other clients between the parts of a long list; about 200 commands
        at a time are not noticed by anybody.

        Raises:
            RefusedError: a command is not one that only reads; nothing was sent.
            SourceError: Redis cannot be reached, or the connection broke.
        """
        return self._connected(lambda: self._send_many([self._commands.require(command) for command in commands]))

    def close(self) -> None:
        """Close the connection; a later question opens it again."""
        if self._client is not None:
            self._client.connection_pool.disconnect()
            self._client = None

    def _opened(self) -> redis.Redis:
        if self._client is None:
            self._client = client_for(self.address, connect_seconds=CONNECT_SECONDS, reply_seconds=self._seconds)
        return self._client

    def _send(self, *words: str | bytes | int) -> Reply:
        return ask(self._opened(), *words)

    def _send_many(self, commands: Sequence[tuple[bytes | int, ...]]) -> list[Reply]:
        return exchange(self._opened(), [commands], before=lambda: None) if commands else []

    def _connected(self, work: Callable[[], T]) -> T:
        """Carry out a read; a failure is told in plain words."""
        try:
            try:
                self._require_whole()
                return work()
            except exceptions.ConnectionError as error:
                if not (self.address.has_password and needs_no_password(error)):
                    raise
                # Nothing but AUTH was sent; the site's own client may well be let in without.
                self.close()
                self.address = self.address.without_password()
                self._require_whole()
                return work()
        except (exceptions.RedisError, OSError, UnicodeError) as error:
            waited = CONNECT_SECONDS if "connecting" in str(error) else self._seconds
            raise explained(error, self.address, 2 * waited) from error

    def _require_whole(self) -> None:
        """Once; a server that keeps INFO to itself is taken at its word."""
        if self._is_whole:
            return
        with contextlib.suppress(exceptions.ResponseError):
            require_whole(Info(self._send("INFO", "cluster")), self.address)
        self._is_whole = True


class Nodes:
    """All primaries of one environment. Made by ``open_nodes``; close it, or use it in a ``with`` statement.

    Attributes:
        topology: where the data lies, with warnings on it.
        database: the database's number; always 0 on a cluster.
    """

    def __init__(self, topology: Topology) -> None:
        self.topology = topology
        self.database = topology.primaries[0].database
        self._nodes = tuple(ReadNode(address, kind=topology.kind) for address in topology.primaries)

    def __iter__(self) -> Iterator[ReadNode]:
        return iter(self._nodes)

    def __len__(self) -> int:
        return len(self._nodes)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def shown(self) -> str:
        """Which Redis this is, for plans and their digests: addresses and database, never a password."""
        return f"{','.join(node.shown for node in self._nodes)}/{self.database}"

    def replicas(self) -> tuple[str, ...]:
        """Which of them are replicas, which refuse every write, and of whom: ``10.0.0.2:6379 is a replica of …``.

        Raises:
            SourceError: a server does not answer; one that keeps INFO to itself is taken for a primary.

        Source:
            INFO replication: role, master_host, master_port.
        """
        found = []
        for node in self._nodes:
            try:
                info = Info(node.ask("INFO", "replication"))
            except SourceError as error:
                if error.kind is not Kind.DENIED:
                    raise
                continue
            if info.text("role") == "slave":
                primary = one_line(f"{info.text('master_host')}:{info.text('master_port')}", longest=120)
                found.append(f"{node.shown} is a replica of {primary}")
        return tuple(found)

    def for_key(self, key: bytes) -> ReadNode:
        """The primary that holds the key."""
        return self._nodes[index_for(self.topology, key)]

    def close(self) -> None:
        """Close every connection."""
        for node in self._nodes:
            node.close()


def open_nodes(environment: Environment) -> Nodes:
    """The primaries that ``redis_url`` leads to.

    A single server is not contacted before it is asked something, and is then asked first whether it is one; Sentinel
    and a cluster are asked at once where the data lies. That is not asked again: after a failover the nodes answer with
    an error that says so, and whoever opens them anew gets the new primaries.

    Raises:
        SourceError: the URL is not understood, or Sentinel or the cluster could not be asked.
    """
    return Nodes(locate(environment))
