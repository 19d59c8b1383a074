"""redis-py's failures in the operator's words: what is wrong, and what to do next."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass

from redis import exceptions

from runbooks_lib.model import Kind
from runbooks_lib.redaction import one_line


@dataclass(frozen=True, slots=True)
class Problem:
    """A failure in plain words, and its kind for judgement."""

    message: str
    hint: str
    kind: Kind


#: The read-only rights that this release needs, for hints.
NEEDED_RIGHTS = "+ping +info +select +scan +hlen +hgetall +pttl"
_LOOK_AT_THE_HOST = "look at the server's log and at the load of its host"

_UNPROTECTED = r"without any password configured|no password is set"

#: What the server or the TLS library said → what it means, what to do, and its kind. The first match decides.
_SAID: tuple[tuple[str, str, str, Kind], ...] = (
    (
        r"WRONGPASS|invalid username-password|invalid password",
        "Redis at {shown} refuses the user or the password",
        "correct them in redis_url, or in the variable that they come from",
        Kind.DENIED,
    ),
    (
        r"NOAUTH|Authentication required|HELLO must be called with the client already authenticated",
        "Redis at {shown} wants a password and redis_url has none",
        "write :${{NAME}}@ before the host in redis_url (runbooks.toml), and export NAME",
        Kind.DENIED,
    ),
    (
        _UNPROTECTED,
        "Redis at {shown} needs no password, and refuses the one in redis_url",
        "remove the password from redis_url, or protect the server with requirepass",
        Kind.DENIED,
    ),
    (
        r"unknown command ['`\"]?HELLO",
        "Redis at {shown} does not know HELLO: it is older than 6, or a proxy stands in front",
        "nothing in this release needs HELLO: is another client configured by the URL's options?",
        Kind.WRONG,
    ),
    (
        r"run the '(?P<command>[^']+)' command",
        "Redis at {shown} does not allow the command {command} to this user",
        f"ask for these rights: {NEEDED_RIGHTS} (ACL SETUSER)",
        Kind.DENIED,
    ),
    (
        r"NOPERM|[Nn]o permissions to access",
        "Redis at {shown} does not allow this user to read cache_warming_stats or the warming locks",
        "ask for the key patterns ~cache_warming_stats ~cache_warming_lock:* (ACL SETUSER)",
        Kind.DENIED,
    ),
    (
        r"LOADING|loading the dataset",
        "Redis at {shown} is loading its data set and answers no reads yet",
        "it began when the server started: look why it restarted, and run this again in a minute",
        Kind.FAULTY,
    ),
    (
        r"DB index is out of range|invalid DB index",
        "Redis at {shown} has no database {database}",
        "correct the number at the end of redis_url; a server has 0 to 15 unless configured otherwise",
        Kind.WRONG,
    ),
    (
        r"SELECT is not allowed in cluster mode",
        "Redis at {shown} is a cluster node, which has no database {database}",
        "a cluster has database 0 only; this release reads one node, clusters come later",
        Kind.WRONG,
    ),
    (
        r"MISCONF",
        "Redis at {shown} refuses writes (MISCONF): its last save to disk failed, so the cache cannot be filled",
        "free disk space where it saves and run BGSAVE, or turn stop-writes-on-bgsave-error off",
        Kind.FAULTY,
    ),
    (
        r"READONLY|read only replica",
        "Redis at {shown} is a read-only replica",
        "point redis_url at the primary; did a failover happen?",
        Kind.WRONG,
    ),
    (
        r"max number of clients",
        "Redis at {shown} has reached its maximum number of clients (maxclients)",
        "look which clients hold connections (CLIENT LIST); the site is refused as well",
        Kind.FAULTY,
    ),
    (
        r"DENIED|protected mode",
        "Redis at {shown} is in protected mode and answers only clients on its own host",
        "run this on that host, or set a password and bind an address there",
        Kind.FAULTY,
    ),
    (
        r"unknown command ['`\"]?(?P<command>[A-Za-z]+)",
        "Redis at {shown} does not offer the command {command}",
        "a managed service or a proxy may block it, or it was renamed (rename-command)",
        Kind.WRONG,
    ),
    (
        r"MASTERDOWN|CLUSTERDOWN",
        "Redis at {shown} cannot answer for this data: it is a replica without its primary, or a cluster that is down",
        "point redis_url at the primary; clusters come in a later release",
        Kind.FAULTY,
    ),
    (
        r"\bMOVED \d|\bASK \d",
        "Redis at {shown} cannot answer for this data: it is one node of a cluster",
        "point redis_url at the primary; clusters come in a later release",
        Kind.WRONG,
    ),
    (
        r"CERTIFICATE_VERIFY_FAILED.*(?:mismatch|not valid for)",
        "the certificate of Redis at {shown} is for another name",
        "use the name in the certificate as host in redis_url",
        Kind.WRONG,
    ),
    (
        r"CERTIFICATE_VERIFY_FAILED",
        "the certificate of Redis at {shown} is not trusted: self-signed, of a private authority, or expired",
        "add ?ssl_ca_certs=/path/ca.pem to redis_url; do not turn verification off",
        Kind.WRONG,
    ),
    (
        r"WRONG_VERSION_NUMBER|wrong version number|record layer failure|UNEXPECTED_EOF|SSL",
        "Redis at {shown} does not complete a TLS handshake",
        "does this port speak TLS? a plain Redis port needs redis:// instead of rediss://",
        Kind.WRONG,
    ),
    (
        r"Protocol [Ee]rror|Invalid response|InvalidResponse",
        "what answers at {shown} is not a Redis server",
        "correct host and port in redis_url: a web server or another service listens there",
        Kind.WRONG,
    ),
)


#: What the operating system said → what it means, what to do, and its kind.
_SYSTEM: tuple[tuple[type[BaseException], str, str, Kind], ...] = (
    (
        socket.gaierror,
        "the name in {shown} is not known to DNS",
        "correct the host in redis_url; do you need a VPN?",
        Kind.ABSENT,
    ),
    (UnicodeError, "the name in {shown} cannot be the name of a host", "correct the host in redis_url", Kind.ABSENT),
    (
        ConnectionRefusedError,
        "nothing listens at {shown}: the connection was refused",
        "is redis-server running there? check host and port in redis_url",
        Kind.ABSENT,
    ),
    (FileNotFoundError, "there is no socket {shown}", "is redis-server running with this unixsocket?", Kind.ABSENT),
    (
        PermissionError,
        "the socket {shown} may not be opened by this user",
        "see unixsocketperm in redis.conf",
        Kind.DENIED,
    ),
)


def explain(error: BaseException, *, shown: str, tls: bool, database: int, seconds: float) -> Problem:
    """What a failure of redis-py or of the socket means.

    Args:
        error: what was raised; its text is used, never its repr (which holds no message).
        shown: host and port.
        tls: ``rediss://`` was used.
        database: the configured number.
        seconds: the deadline of the whole read; single waits had half of it.
    """
    if isinstance(error, (exceptions.TimeoutError, TimeoutError)):
        return _timed_out(error, shown, tls=tls, seconds=seconds)
    status = getattr(error, "status_code", None) or type(error).__name__
    text = f"{status} {error}"
    for pattern, message, hint, kind in _SAID:
        match = re.search(pattern, text)
        if match:
            words = {"shown": shown, "database": database, **match.groupdict()}
            return Problem(message.format(**words), hint.format(**words), kind)
    return _not_connected(error, shown, tls=tls) or Problem(
        f"Redis at {shown} answered: {one_line(str(error), longest=160)}", _LOOK_AT_THE_HOST, Kind.WRONG
    )


def needs_no_password(error: BaseException) -> bool:
    """The server refused a password because it has none."""
    return bool(re.search(_UNPROTECTED, str(error)))


def _timed_out(error: BaseException, shown: str, *, tls: bool, seconds: float) -> Problem:
    if "connecting" in str(error) and tls:
        return Problem(
            f"no TLS connection with Redis at {shown} within {seconds / 2:g} s",
            "does this port speak TLS? a plain Redis port never answers: try redis://; else look for a firewall",
            Kind.ABSENT,
        )
    if "connecting" in str(error):
        return Problem(
            f"no connection with Redis at {shown} within {seconds / 2:g} s",
            "is the host up, and does a firewall drop packets between it and here? do you need a VPN or a tunnel?",
            Kind.ABSENT,
        )
    if isinstance(error, exceptions.TimeoutError):
        return Problem(
            f"Redis at {shown} accepted the connection and then did not answer for {seconds / 2:g} s",
            f"one slow command, a fork or a stopped process blocks it for everybody: {_LOOK_AT_THE_HOST}",
            Kind.ABSENT,
        )
    return Problem(
        f"Redis at {shown} gave no complete answer within {seconds:g} s",
        "the name lookup hangs, or the answer arrives in drops: look at DNS and at the network in between",
        Kind.ABSENT,
    )


def _not_connected(error: BaseException, shown: str, *, tls: bool) -> Problem | None:
    """The connection was not made or broke; None when it is something else."""
    causes = tuple(_chain(error))
    for raised, message, hint, kind in _SYSTEM:
        if any(isinstance(cause, raised) for cause in causes):
            return Problem(message.format(shown=shown), hint, kind)
    if not isinstance(error, (exceptions.ConnectionError, OSError)):
        return None
    if "connecting to" in str(error):
        return Problem(
            f"no connection with Redis at {shown}: {one_line(str(error), longest=160)}",
            "check the route to it",
            Kind.ABSENT,
        )
    wanted = "is this a port with TLS? then use rediss://" if not tls else "does the server want a client certificate?"
    return Problem(f"Redis at {shown} closed the connection", f"{wanted}; else {_LOOK_AT_THE_HOST}", Kind.WRONG)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The exception and what it came from."""
    seen = 0
    while error is not None and seen < 10:
        yield error
        error = error.__cause__ or error.__context__
        seen += 1
