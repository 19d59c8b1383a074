"""How this project talks to Redis: one address, explicit timeouts, no hidden retries, protocol 2.

*Protocol 2*, because it needs no HELLO: it works on Redis before 6, behind proxies that do not know HELLO and where the
command is renamed. Nothing that is read here is better in protocol 3.

*No hidden retries*: redis-py resends a command after a broken connection (ten times by default since 8.0, never with
``from_url``), and an INCR that timed out is then counted twice. Every client made here sends each command once. A read
is repeated by ``read``, as a whole, on a new connection; whoever writes uses ``client_for`` and repeats nothing.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar, cast
from urllib.parse import unquote, urlsplit

import redis
from redis import exceptions
from redis.backoff import NoBackoff
from redis.connection import parse_url
from redis.retry import Retry

from runbooks_lib.config import Environment
from runbooks_lib.errors import SourceError
from runbooks_lib.model import Kind
from runbooks_lib.redaction import redact
from runbooks_lib.sources.redis.errors import explain, needs_no_password
from runbooks_lib.sources.together import within

T = TypeVar("T")

SUPPORTED_SCHEMES = ("redis", "rediss", "unix")
#: Of the options that a URL may carry only these are taken over: timeouts, retries and decoding are decided here.
_URL_OPTIONS = ("host", "port", "db", "username", "password", "path", "connection_class")


@dataclass(frozen=True, slots=True)
class Address:
    """Where Redis is, from ``redis_url``.

    Attributes:
        shown: host and port, or the socket's path, for messages; never holds a password.
        database: number of the database.
        tls: the connection is encrypted.
        options: for ``redis.ConnectionPool``; may hold a password and is kept out of the repr.
        announced_by: the Sentinel or the cluster node that named this place; empty where ``redis_url`` names it.
    """

    shown: str
    database: int
    tls: bool
    options: dict[str, Any]
    announced_by: str = ""

    def __repr__(self) -> str:
        """Without the options: they may hold a password."""
        return f"Address({self.shown!r}, database={self.database})"

    @property
    def has_password(self) -> bool:
        """The URL carries a password."""
        return "password" in self.options

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must not appear in a message."""
        return (self.options["password"],) if self.has_password else ()

    def without_password(self) -> Address:
        """The same place, unauthenticated."""
        kept = {key: value for key, value in self.options.items() if key not in ("username", "password")}
        return replace(self, options=kept)


def address_of(environment: Environment) -> Address:
    """The one place that ``redis_url`` names; see ``redis_topology.locate`` for URLs with several hosts.

    Raises:
        SourceError: the scheme is not supported, or the URL cannot be understood. The URL itself is never shown.
    """
    return address_from(environment.redis_url)


def address_from(url: str) -> Address:
    """The place that a ``redis://``, ``rediss://`` or ``unix://`` URL names.

    Raises:
        SourceError: the scheme is another one, or the URL cannot be understood. The URL itself is never shown.
    """
    scheme = url.partition("://")[0]
    if scheme not in SUPPORTED_SCHEMES:
        hint = "begin it with redis://, rediss://, unix://, sentinel:// or rediscluster://"
        raise bad_url("redis_url has a scheme that is not known", hint)
    try:
        parsed = parse_url(url)  # type: ignore[no-untyped-call]
        path = unquote(urlsplit(url).path).strip("/")
    except ValueError:
        # The parser's own words are dropped, and the chain is cut: they can hold a part of the password.
        raise bad_url(
            "redis_url cannot be understood: host, port and the number of a database are expected",
            "write special characters of the password percent-encoded (@ as %40, / as %2F, : as %3A)",
        ) from None
    if scheme != "unix" and path and not path.isdecimal():
        # redis-py would silently read database 0.
        raise bad_url("redis_url does not end in a database number", "end it in /0, /1, …; django-redis often uses /1")
    options = {key: value for key, value in parsed.items() if key in _URL_OPTIONS or key.startswith("ssl_")}
    options.setdefault("db", 0)
    shown = options.get("path") or f"{options.get('host', 'localhost')}:{options.get('port', 6379)}"
    return Address(shown, options["db"], scheme == "rediss", options)


def client_for(address: Address, *, connect_seconds: float, reply_seconds: float) -> redis.Redis:
    """A client that sends every command exactly once and gives replies as they are: bytes, integers, lists.

    Args:
        address: from ``address_of``.
        connect_seconds: for the TCP connection and, with TLS, the handshake.
        reply_seconds: for each wait within one reply. Writes need as long as the command may take: giving up early
            does not stop the server.

    Returns:
        A client that has not connected yet. Close it.
    """
    pool = redis.ConnectionPool(
        **address.options,
        protocol=2,
        decode_responses=False,
        socket_connect_timeout=connect_seconds,
        socket_timeout=reply_seconds,
        retry=Retry(NoBackoff(), 0),
        max_connections=1,
        health_check_interval=0,
        redis_connect_func=_settled if address.tls else None,
        driver_info=None,  # CLIENT SETINFO would cost two round trips, and a denied one is written to the ACL log
    )
    client = redis.Redis(connection_pool=pool)
    client.response_callbacks.clear()
    return client


def _settled(connection: Any) -> None:
    """Log in, and take one reply.

    With TLS 1.3 the server's session tickets lie unread on a new connection until something is read, and redis-py,
    which looks for unread data, now and then calls such a connection "not ready".
    """
    connection.on_connect()
    connection.send_command("PING")
    with contextlib.suppress(exceptions.ResponseError, exceptions.BusyLoadingError):
        connection.read_response()


def ask(client: redis.Redis, *command: str | bytes | int) -> object:
    """The raw reply to one command; on a pipeline, queue it."""
    return client.execute_command(*command)  # type: ignore[no-untyped-call]  # redis-py types only its own wrappers


def exchange(
    client: redis.Redis, parts: Sequence[Sequence[Sequence[str | bytes | float]]], *, before: Callable[[], None]
) -> list[object]:
    """The raw replies to commands that are sent in one go; an error reply stands in the place of its command.

    Args:
        client: from ``client_for``.
        parts: lists of commands. Each list is sent as a whole, before the next one is even packed.
        before: called when the connection stands and a part is packed, directly before that part is sent; may raise.
    """
    pool = client.connection_pool
    connection = pool.get_connection()
    try:
        for part in parts:
            packed = _packed(part)
            before()
            connection.send_packed_command([packed])  # type: ignore[no-untyped-call]  # redis-py types only its wrappers
        return [_reply(connection) for part in parts for _ in part]
    except BaseException:
        # Replies that nobody took would be taken for those of the next commands.
        connection.disconnect()  # type: ignore[no-untyped-call]
        raise
    finally:
        pool.release(connection)


def _packed(commands: Sequence[Sequence[str | bytes | float]]) -> bytes:
    """As Redis reads them. redis-py's own packing takes three times as long, which counts in a million keys."""
    import hiredis

    # Its stub describes a tuple of one element.
    return b"".join([hiredis.pack_command(cast("Any", tuple(command))) for command in commands])


def _reply(connection: redis.Connection) -> object:
    try:
        return connection.read_response(disable_decoding=True)
    except exceptions.ResponseError as error:
        return error


def read(address: Address, work: Callable[[redis.Redis], T], *, seconds: float) -> T:
    """Carry out a read on a connection of its own; once more if the connection broke and there is time left.

    Each single wait may take half of ``seconds``, the whole never more than ``seconds``.

    Args:
        address: from ``address_of``.
        work: sends reading commands only; may run twice.
        seconds: deadline for all of it, name lookup included.

    Raises:
        SourceError: what failed, in plain words, with the next step.
    """
    open_clients: list[redis.Redis] = []
    try:
        return within(seconds, lambda: _attempts(address, work, seconds, open_clients))
    except (exceptions.RedisError, OSError, UnicodeError) as error:  # UnicodeError: a host name that cannot be one
        for client in open_clients:
            client.connection_pool.disconnect()
        raise explained(error, address, seconds) from error


def _attempts(address: Address, work: Callable[[redis.Redis], T], seconds: float, open_clients: list[redis.Redis]) -> T:
    """One attempt, and another where that can help; every client made is noted, so that it can be cut off."""
    ends = time.monotonic() + seconds

    def attempt(place: Address) -> T:
        client = client_for(place, connect_seconds=seconds / 2, reply_seconds=seconds / 2)
        open_clients.append(client)
        try:
            return work(client)
        finally:
            client.connection_pool.disconnect()

    try:
        return attempt(address)
    except exceptions.ConnectionError as error:
        if needs_no_password(error):
            # Redis 6 and later refuse AUTH without a user name; the site's own client may well be let in.
            address = address.without_password()
        elif not _is_broken_connection(error) or time.monotonic() >= ends:
            raise
    return attempt(address)


def _is_broken_connection(error: exceptions.ConnectionError) -> bool:
    """The connection went away. Not: it was never made, or the server answered with a refusal."""
    refusals = (
        exceptions.AuthenticationError,
        exceptions.AuthorizationError,
        exceptions.BusyLoadingError,
        exceptions.MaxConnectionsError,
    )
    text = str(error)
    never_made = text.startswith("Error ") and " connecting to " in text
    return not isinstance(error, refusals) and not never_made


def explained(error: BaseException, address: Address, seconds: float) -> SourceError:
    """A failure of redis-py in the operator's words, without secrets.

    Args:
        error: what was raised.
        address: who was asked.
        seconds: the deadline of the whole read; single waits had half of it.
    """
    problem = explain(error, shown=address.shown, tls=address.tls, database=address.database, seconds=seconds)
    message, hint = (redact(text, address.secrets) for text in (problem.message, problem.hint))
    if address.announced_by and problem.kind is Kind.ABSENT:
        message += f" (announced by {address.announced_by})"
        hint += "; can this announced address be reached from here? (cluster-announce-ip, sentinel announce-ip)"
    return SourceError(message, source="redis", hint=hint, kind=problem.kind)


def bad_url(message: str, hint: str) -> SourceError:
    """``redis_url`` cannot be used."""
    return SourceError(message, source="redis", hint=f"{hint} (runbooks.toml)")
