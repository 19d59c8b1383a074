"""The systems of one environment, for actions: ``Site`` reads, ``WritableSite`` writes.

A plan is made with a ``Site``. Its Redis refuses every command that the server does not flag as reading, its SQL runs
in read-only transactions, and its Django shell runs reads only: a dry run cannot write. ``apply`` makes the
``WritableSite`` after everything else has been checked, and nobody else does.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from redis import exceptions

from runbooks_lib.config import Environment
from runbooks_lib.errors import MayHaveChangedError, RefusedError, SourceError
from runbooks_lib.policy import Policy, policy_for
from runbooks_lib.sources.redis.client import ask, client_for
from runbooks_lib.sources.redis.nodes import Nodes, ReadNode, explained, open_nodes

if TYPE_CHECKING:
    import redis

    from runbooks_lib.sources.metrics.cache_metrics import CacheMetrics
    from runbooks_lib.sources.redis.cache import RedisCache
    from runbooks_lib.sources.site.django_site import DjangoSite
    from runbooks_lib.sources.site.web import Web

#: A write is waited for this long: giving up earlier does not stop the server.
WRITE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a write is: told to the operator, and a chance to keep the lease alive."""

    done: int
    total: int | None
    what: str


class Site:
    """What a plan may read. Nothing is contacted before it is asked for; close it afterwards.

    Args:
        environment: the configured site.
    """

    def __init__(self, environment: Environment) -> None:
        self.environment = environment

    @cached_property
    def policy(self) -> Policy:
        """Thresholds and durations, scaled for the environment."""
        return policy_for(self.environment.time_scale)

    @cached_property
    def nodes(self) -> Nodes:
        """Redis, one entry for each primary; reading commands only."""
        return open_nodes(self.environment)

    @cached_property
    def redis(self) -> RedisCache:
        """Redis as facts."""
        from runbooks_lib.sources.redis.cache import RedisCache

        return RedisCache(self.environment)

    @cached_property
    def django(self) -> DjangoSite:
        """The site's own code; reads only."""
        from runbooks_lib.sources.site.django_site import DjangoSite

        return DjangoSite(self.environment)

    @cached_property
    def metrics(self) -> CacheMetrics:
        """The site's metrics in Prometheus."""
        from runbooks_lib.sources.metrics.cache_metrics import CacheMetrics
        from runbooks_lib.sources.metrics.prometheus import Prometheus

        return CacheMetrics(Prometheus(self.environment), self.environment)

    @cached_property
    def web(self) -> Web:
        """The site's health endpoint, exposition and pages."""
        from runbooks_lib.sources.site.web import Web

        return Web(self.environment)

    def close(self) -> None:
        """Close connections and end the site's shells that are still running."""
        if "nodes" in self.__dict__:
            self.nodes.close()
        if "django" in self.__dict__:
            self.django.end()


class WritableSite(Site):
    """A site that may be changed. Made by ``apply`` only.

    Args:
        environment: the configured site.
        on_progress: told between steps of a long write; raises when the write must not go on (the lease was lost).
    """

    def __init__(self, environment: Environment, on_progress: Callable[[Progress], None]) -> None:
        super().__init__(environment)
        self.progress = on_progress
        self._writers: dict[str, WriteNode] = {}

    def writer(self, node: ReadNode) -> WriteNode:
        """The same primary, with writing commands."""
        if node.shown not in self._writers:
            self._writers[node.shown] = WriteNode(node)
        return self._writers[node.shown]

    def run_in_site(self, program: str, data: Mapping[str, Any], *, timeout_seconds: float = 60.0) -> Any:
        """Run one of this library's changing programs in ``manage.py shell``; see ``sources.site.manage_shell``.

        Raises:
            SourceError: the site gave no answer; whether it changed anything is for the caller to say.
        """
        from runbooks_lib.sources.site.manage_shell import ManageShell

        return ManageShell(self.environment, timeout_seconds).run(program, data)

    def close(self) -> None:
        """Close every connection."""
        for writer in self._writers.values():
            writer.close()
        super().close()


class WriteNode:
    """One primary with writing commands. Every command is sent exactly once and never repeated.

    Args:
        node: the same primary for reading.
        reply_seconds: how long one reply is waited for.
    """

    def __init__(self, node: ReadNode, *, reply_seconds: float = WRITE_SECONDS) -> None:
        self._node = node
        self._seconds = reply_seconds
        self._client: redis.Redis | None = None

    def write(self, *command: str | bytes | float) -> object:
        """The raw reply to one command.

        Raises:
            RefusedError: the server answered with an error, or the connection was never made: this command changed
                nothing.
            MayHaveChangedError: it was sent and no answer came back.
        """
        started = time.monotonic()
        try:
            return ask(self._opened(), *command)  # type: ignore[arg-type]  # floats are packed like the rest
        except exceptions.RedisError as error:
            raise self._failure(error, command, time.monotonic() - started) from error

    def write_many(
        self, commands: Sequence[Sequence[str | bytes | int]], *, ahead: Sequence[Sequence[str | bytes | int]] = ()
    ) -> list[object]:
        """The raw replies to commands that are sent in one go; an error reply stands in the place of its command.

        Args:
            commands: sent together: the server may carry them out without serving anybody in between.
            ahead: sent before ``commands`` are even packed: the server is at work on them meanwhile, and serves others
                before it turns to ``commands``. Their replies come first.

        Raises:
            RefusedError: the connection was never made: nothing changed.
            MayHaveChangedError: they were sent and not all answers came back.
        """
        parts = [part for part in (ahead, commands) if part]
        if not parts:
            return []
        started, sent = time.monotonic(), False
        pool = self._opened().connection_pool
        try:
            connection = pool.get_connection()
            try:
                sent = True
                for part in parts:
                    connection.send_packed_command([_packed(part)])  # type: ignore[no-untyped-call]
                return [_reply(connection) for part in parts for _ in part]
            except BaseException:
                connection.disconnect()  # type: ignore[no-untyped-call]
                raise
            finally:
                pool.release(connection)
        except exceptions.RedisError as error:
            raise self._failure(error, tuple(parts[-1][0]), time.monotonic() - started, sent=sent) from error

    def close(self) -> None:
        """Close the connection."""
        if self._client is not None:
            self._client.connection_pool.disconnect()
            self._client = None

    def _opened(self) -> redis.Redis:
        if self._client is None:
            self._client = client_for(self._node.address, connect_seconds=5.0, reply_seconds=self._seconds)
        return self._client

    def _failure(
        self, error: exceptions.RedisError, command: Sequence[object], seconds: float, *, sent: bool | None = None
    ) -> RefusedError | MayHaveChangedError:
        problem: SourceError = explained(error, self._node.address, self._seconds)
        answered = isinstance(error, (exceptions.ResponseError, exceptions.AuthenticationError))
        never_sent = sent is False or "connecting to" in str(error)
        if answered or never_sent:
            return RefusedError(problem.message, hint=problem.hint)
        return MayHaveChangedError(
            f"{command[0]!s} was sent to {self._node.shown} and {seconds:.1f} s later there was no answer: "
            f"{problem.message}",
            hint=problem.hint,
        )


def _packed(commands: Sequence[Sequence[str | bytes | int]]) -> bytes:
    """As Redis reads them. redis-py's own packing takes three times as long, which counts in a million keys."""
    import hiredis

    # Its stub describes a tuple of one element.
    return b"".join([hiredis.pack_command(cast("Any", tuple(command))) for command in commands])


def _reply(connection: redis.Connection) -> object:
    try:
        return connection.read_response(disable_decoding=True)
    except exceptions.ResponseError as error:
        return error
