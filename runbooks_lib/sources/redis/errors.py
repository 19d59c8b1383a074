"""redis-py's failures in the operator's words: what is wrong, and what to do next."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass

from redis import exceptions

from runbooks_lib.model import Kind
from runbooks_lib.redaction import one_line
from runbooks_lib.sources.redis.tls_errors import TLS_FILES, TLS_SAID


@dataclass(frozen=True, slots=True)
class Problem:
    """A failure in plain words, and its kind for judgement."""

    message: str
    hint: str
    kind: Kind


#: The rights that triage needs, for hints; ``rights`` has those of all runbooks.
NEEDED_RIGHTS = "+ping +info +select +scan +hlen +hgetall +pttl"
CLUSTER_RIGHTS = "+cluster|slots +cluster|info"
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
        "nothing here sends HELLO: is another client configured by the URL's options?",
        Kind.WRONG,
    ),
    (
        r"run the '(?P<command>[^']+)' command",
        "Redis at {shown} does not allow the command {command} to this user",
        f"ask for these rights: {NEEDED_RIGHTS}, on a cluster also {CLUSTER_RIGHTS} (ACL SETUSER)",
        Kind.DENIED,
    ),
    (
        r"NOPERM|[Nn]o permissions to access",
        "Redis at {shown} does not allow this user to read some of these keys",
        "ask for the key patterns ~cache_warming_stats ~cache_warming_lock:* for triage, ~* for all (ACL SETUSER)",
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
        "a cluster has database 0 only: give it as rediscluster://{shown} in redis_url, and the site the same database",
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
        (
            "point redis_url at the primary, or let it name Sentinel (sentinel://…) or the cluster (rediscluster://…); "
            "if it does, a failover just happened: run this again"
        ),
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
        r"unknown command ['`\"]?SELECT",
        "Redis at {shown} does not know databases: the command SELECT is missing",
        "if a Sentinel listens there: sentinel://{shown}/{database}?service=<name>; a proxy may want database 0",
        Kind.WRONG,
    ),
    (
        r"unknown command ['`\"]?(?P<command>[A-Za-z]+)",
        "Redis at {shown} does not offer the command {command}",
        "a managed service or a proxy may block it, or it was renamed (rename-command)",
        Kind.WRONG,
    ),
    (
        r"MASTERDOWN",
        "Redis at {shown} is a replica that has lost its primary, and answers nothing",
        "point redis_url at the primary, or at Sentinel: sentinel://host:port/database?service=<name>",
        Kind.FAULTY,
    ),
    (
        r"CLUSTERDOWN|Hash slot not served",
        "the cluster of Redis at {shown} is down, or nobody serves the slot of this data",
        "look at: redis-cli --cluster check {shown}; bring the missing primary back, or let its replica take over",
        Kind.FAULTY,
    ),
    (
        r"\bMOVED \d|\bASK \d|MovedError|AskError",
        "Redis at {shown} does not hold this data: another node of its cluster does",
        (
            "give the cluster as rediscluster://{shown} in redis_url; if it is given so, slots moved meanwhile "
            "(failover or resharding): run this again"
        ),
        Kind.WRONG,
    ),
    (
        r"CROSSSLOT|TRYAGAIN",
        "Redis at {shown} is a cluster node, and the keys of one command do not lie together",
        "if slots are being moved, run this again when that has ended (redis-cli --cluster check {shown})",
        Kind.WRONG,
    ),
    (
        r"cluster support disabled",
        "Redis at {shown} is not a node of a cluster",
        "give it as redis://{shown}/0 in redis_url, with the number of its database at the end",
        Kind.WRONG,
    ),
    *TLS_SAID,
    (
        r"^\w+ Connection (?:not ready|has data)",
        "what answers at {shown} speaks before it is asked, so it is not a Redis server",
        "correct host and port in redis_url: another service listens there",
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
            f"no TLS connection with Redis at {shown} within {seconds / 2:.3g} s",
            "does this port speak TLS? a plain Redis port never answers: try redis:// (no tls=true); else: firewall?",
            Kind.ABSENT,
        )
    if "connecting" in str(error):
        return Problem(
            f"no connection with Redis at {shown} within {seconds / 2:.3g} s",
            "is the host up, and does a firewall drop packets between it and here? do you need a VPN or a tunnel?",
            Kind.ABSENT,
        )
    if isinstance(error, exceptions.TimeoutError):
        return Problem(
            f"Redis at {shown} accepted the connection and then did not answer for {seconds / 2:.3g} s",
            f"one slow command, a fork or a stopped process blocks it for everybody: {_LOOK_AT_THE_HOST}",
            Kind.ABSENT,
        )
    return Problem(
        f"Redis at {shown} gave no complete answer within {seconds:.3g} s",
        "the name lookup hangs, or the answer arrives in drops: look at DNS and at the network in between",
        Kind.ABSENT,
    )


def _not_connected(error: BaseException, shown: str, *, tls: bool) -> Problem | None:
    """The connection was not made or broke; None when it is something else."""
    causes = tuple(_chain(error))
    for raised, message, hint, kind in (*(TLS_FILES if tls else ()), *_SYSTEM):
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
    wanted = (
        "if the server wants a client certificate, add &ssl_certfile=…&ssl_keyfile=… to redis_url"
        if tls
        else "if this is a port with TLS, use rediss:// (or tls=true)"
    )
    return Problem(f"Redis at {shown} closed the connection", f"{wanted}; else {_LOOK_AT_THE_HOST}", Kind.WRONG)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The exception and what it came from."""
    seen = 0
    while error is not None and seen < 10:
        yield error
        error = error.__cause__ or error.__context__
        seen += 1
