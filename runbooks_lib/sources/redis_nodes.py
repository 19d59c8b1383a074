"""The primaries of a site's Redis, with reading commands only: one for a single server or behind Sentinel, several for a
cluster.

::

    with open_nodes(environment) as nodes:
        for node in nodes:
            node.ask("DBSIZE")
        nodes.for_key(b"django:1:api:x").ask("PTTL", b"django:1:api:x")

A plan gets nothing else, so a dry run cannot write by construction: ``ReadNode`` sends a command only after the server
itself flagged it as reading (see ``redis_commands``).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Literal

from redis import exceptions

from runbooks_lib.config import Environment
from runbooks_lib.errors import SourceError
from runbooks_lib.redaction import redact
from runbooks_lib.sources.redis_client import Address, address_of, ask, client_for
from runbooks_lib.sources.redis_commands import ReadingCommands
from runbooks_lib.sources.redis_errors import explain

if TYPE_CHECKING:
    import redis

Reply = object
Command = tuple[str | bytes | int, ...]
CONNECT_SECONDS = 2.0
REPLY_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Topology:
    """Where the data lies.

    Attributes:
        kind: ``standalone``, ``sentinel`` (one primary, found through Sentinel) or ``cluster``.
        primaries: one address for each part of the data, in a stable order.
        slots: of a cluster: (first, last, index into ``primaries``), both ends included; else empty.
    """

    kind: Literal["standalone", "sentinel", "cluster"]
    primaries: tuple[Address, ...]
    slots: tuple[tuple[int, int, int], ...] = ()


class ReadNode:
    """One primary; the connection is made at the first question and kept.

    Args:
        address: of the primary.
        reply_seconds: for each wait within one reply.
    """

    def __init__(self, address: Address, *, reply_seconds: float = REPLY_SECONDS) -> None:
        self.address = address
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
        with self._explained():
            self._commands.require(command)
            return self._send(*command)

    def ask_many(self, commands: Sequence[Command]) -> list[Reply]:
        """The raw replies to reading commands that are sent in one go.

        An error reply stands in the place of its command (``redis.exceptions.ResponseError``), so that one forbidden
        key does not cost the others. Redis serves other clients between the parts of a long list; about 200 commands
        at a time are not noticed by anybody.

        Raises:
            RefusedError: a command is not one that only reads; nothing was sent.
            SourceError: Redis cannot be reached, or the connection broke.
        """
        with self._explained():
            for command in commands:
                self._commands.require(command)
            if not commands:
                return []
            connection = self._opened().connection_pool.get_connection()
            try:
                connection.send_packed_command(connection.pack_commands(commands))
                return [_reply(connection) for _ in commands]
            except BaseException:
                # Replies that nobody took would be taken for those of the next commands.
                connection.disconnect()
                raise
            finally:
                self._opened().connection_pool.release(connection)

    def close(self) -> None:
        """Close the connection; a later question opens it again."""
        if self._client is not None:
            self._client.connection_pool.disconnect()
            self._client = None

    def _opened(self) -> redis.Redis:
        if self._client is None:
            self._client = client_for(self.address, connect_seconds=CONNECT_SECONDS, reply_seconds=self._seconds)
        return self._client

    def _send(self, *command: str | bytes | int) -> Reply:
        return ask(self._opened(), *command)

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (exceptions.RedisError, OSError, UnicodeError) as error:
            raise explained(error, self.address, self._seconds) from error


class Nodes:
    """All primaries of one environment. Made by ``open_nodes``; close it, or use it in a ``with`` statement.

    Attributes:
        topology: where the data lies.
        database: the database's number; always 0 on a cluster.
    """

    def __init__(self, topology: Topology) -> None:
        self.topology = topology
        self.database = topology.primaries[0].database
        self._nodes = tuple(ReadNode(address) for address in topology.primaries)

    def __iter__(self) -> Iterator[ReadNode]:
        return iter(self._nodes)

    def __len__(self) -> int:
        return len(self._nodes)

    def __enter__(self) -> Nodes:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def shown(self) -> str:
        """Which Redis this is, for plans and their digests: addresses and database, never a password."""
        return f"{','.join(node.shown for node in self._nodes)}/{self.database}"

    def for_key(self, key: bytes) -> ReadNode:
        """The primary that holds the key."""
        return self._nodes[index_for(self.topology, key)]

    def close(self) -> None:
        """Close every connection."""
        for node in self._nodes:
            node.close()


def index_for(topology: Topology, key: bytes) -> int:
    """Which of the primaries holds the key?

    Raises:
        SourceError: a cluster has no node for the key's slot.
    """
    if topology.kind != "cluster":
        return 0
    from redis.crc import key_slot

    slot = key_slot(key)
    for first, last, index in topology.slots:
        if first <= slot <= last:
            return index
    raise SourceError(
        f"no primary of the cluster serves slot {slot}", source="redis", hint="look at: redis-cli cluster info"
    )


def open_nodes(environment: Environment) -> Nodes:
    """The primaries that ``redis_url`` leads to.

    Raises:
        SourceError: the URL is not understood, or Sentinel or the cluster could not be asked.
    """
    return Nodes(Topology("standalone", (address_of(environment),)))


def explained(error: BaseException, address: Address, seconds: float) -> SourceError:
    """A failure of redis-py in the operator's words, without secrets."""
    problem = explain(error, shown=address.shown, tls=address.tls, database=address.database, seconds=seconds)
    message, hint = (redact(text, address.secrets) for text in (problem.message, problem.hint))
    return SourceError(message, source="redis", hint=hint, kind=problem.kind)


def _reply(connection: redis.Connection) -> Reply:
    try:
        return connection.read_response(disable_decoding=True)
    except exceptions.ResponseError as error:
        return error
