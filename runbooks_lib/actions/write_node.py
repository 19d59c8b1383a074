"""One primary with writing commands, and the gate that every write of an action passes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from redis import exceptions

from runbooks_lib.errors import MayHaveChangedError, RefusedError, SourceError
from runbooks_lib.sources.redis.client import client_for, exchange
from runbooks_lib.sources.redis.nodes import ReadNode, explained

if TYPE_CHECKING:
    import redis

#: A write is waited for this long: giving up earlier does not stop the server.
WRITE_SECONDS = 60.0
_CONNECT_SECONDS = 5.0

Command = Sequence[str | bytes | float]


class Gate:
    """May the next write be sent, and was any sent before it? No write of an action gets around it.

    Args:
        allowed: called directly before each write; raises RefusedError when it may not be made (the lock is lost).

    Attributes:
        sent: a write was sent, so something may have changed.
    """

    def __init__(self, allowed: Callable[[], None]) -> None:
        self._allowed = allowed
        self.sent = False

    def check(self) -> None:
        """Go on, or end here.

        Raises:
            RefusedError: it may not be made, and none was sent before it: nothing changed.
            MayHaveChangedError: it may not be made, and others were sent before it.
        """
        try:
            self._allowed()
        except RefusedError as error:
            if not self.sent:
                raise
            raise MayHaveChangedError(error.message, hint=error.hint) from error

    def open(self) -> None:
        """The same, directly before something is sent that changes the site."""
        self.check()
        self.sent = True


class WriteNode:
    """One primary with writing commands. Every command is sent exactly once and never repeated.

    Args:
        node: the same primary for reading.
        gate: that every write passes.
        reply_seconds: how long one reply is waited for.
    """

    def __init__(self, node: ReadNode, gate: Gate, *, reply_seconds: float = WRITE_SECONDS) -> None:
        self._node = node
        self._gate = gate
        self._seconds = reply_seconds
        self._client: redis.Redis | None = None

    def write(self, *command: str | bytes | float) -> object:
        """The raw reply to one command.

        Raises:
            RefusedError: the server answered with an error, the connection was never made, or the lock is lost and
                nothing was sent yet: this command changed nothing.
            MayHaveChangedError: it was sent and no answer came back; or the lock was lost after other writes.
        """
        (reply,) = self._sent([[command]], command, self._gate.open)
        if isinstance(reply, exceptions.ResponseError):
            raise self._refusal(reply) from reply
        return reply

    def write_many(self, commands: Sequence[Command], *, ahead: Sequence[Command] = ()) -> list[object]:
        """The raw replies to commands that are sent in one go; an error reply stands in the place of its command.

        Args:
            commands: sent together: the server may carry them out without serving anybody in between.
            ahead: reads that are sent before ``commands`` are even packed: the server is at work on them meanwhile, and
                serves others before it turns to ``commands``. Their replies come first.

        Raises:
            RefusedError: the connection was never made, or the lock is lost and nothing was sent yet: nothing changed.
            MayHaveChangedError: they were sent and not all answers came back; or the lock was lost after other writes.
        """
        parts = [part for part in (ahead, commands) if part]
        return self._sent(parts, parts[-1][0], self._gate.open if commands else self._gate.check) if parts else []

    def close(self) -> None:
        """Close the connection."""
        if self._client is not None:
            self._client.connection_pool.disconnect()
            self._client = None

    def _opened(self) -> redis.Redis:
        if self._client is None:
            self._client = client_for(self._node.address, connect_seconds=_CONNECT_SECONDS, reply_seconds=self._seconds)
        return self._client

    def _sent(self, parts: Sequence[Sequence[Command]], named: Command, passing: Callable[[], None]) -> list[object]:
        """The replies; an error is told by whether anything was sent."""
        started, sent = time.monotonic(), False

        def before() -> None:
            nonlocal sent
            passing()
            sent = True

        try:
            return exchange(self._opened(), parts, before=before)
        except (exceptions.RedisError, OSError) as error:
            refusal, waited = self._refusal(error), time.monotonic() - started
            if not sent or isinstance(error, (exceptions.AuthenticationError, exceptions.BusyLoadingError)):
                raise refusal from error
            raise MayHaveChangedError(
                f"{named[0]!s} was sent to {self._node.shown} and {waited:.1f} s later there was no answer: "
                f"{refusal.message}",
                hint=refusal.hint,
            ) from error

    def _refusal(self, error: Exception) -> RefusedError:
        problem: SourceError = explained(error, self._node.address, self._seconds)
        return RefusedError(problem.message, hint=problem.hint)
