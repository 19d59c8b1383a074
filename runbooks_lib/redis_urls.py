"""The URLs of Redis behind Sentinel and of a cluster, taken apart.

::

    sentinel://[user:password@]host[:26379][,host…]/<database>?service=<name>
               [&sentinel_username=…][&sentinel_password=…][&tls=true][&sentinel_tls=false][&ssl_ca_certs=…]
    rediscluster://[user:password@]host[:6379][,host…][/0][?tls=true][&ssl_ca_certs=…]

User and password before the hosts are Redis's own; Sentinel has its own, given as options. ``tls`` is for Redis and for
Sentinel, unless ``sentinel_tls`` says otherwise; the ``ssl_*`` options are those of redis-py and serve both. Everything
is percent-encoded, in options as well; a ``+`` is a plus sign.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

SENTINEL, CLUSTER = "sentinel", "rediscluster"
LIST_SCHEMES = (SENTINEL, CLUSTER)
_SENTINEL_PORT, _REDIS_PORT = 26379, 6379
_OWN_OPTIONS = {
    SENTINEL: ("service", "sentinel_username", "sentinel_password", "tls", "sentinel_tls"),
    CLUSTER: ("tls",),
}
_TLS_OPTIONS = (
    *("ssl_ca_certs", "ssl_ca_path", "ssl_ca_data", "ssl_certfile", "ssl_keyfile", "ssl_password"),
    *("ssl_cert_reqs", "ssl_check_hostname", "ssl_min_version", "ssl_ciphers"),
)
_SWITCHES = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
#: Not ``urlsplit``: some versions of Python refuse brackets that do not begin the whole of the hosts.
_PARTS = re.compile(r"[a-z]+://(?P<netloc>[^/?#]*)(?P<path>[^?#]*)(?:\?(?P<query>[^#]*))?(?:#.*)?")
_PLACE = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^\[\]:@/\s]+)(?::(?P<port>\d{1,5}))?")
EXPECTED = {
    SENTINEL: "sentinel://[user:password@]host:port[,host:port…]/<database>?service=<name>[&sentinel_password=…][&tls=true]",
    CLUSTER: "rediscluster://[user:password@]host:port[,host:port…][?tls=true]",
}


class BadUrlError(ValueError):
    """A URL of several hosts cannot be used. Never holds a part of it but the database's number.

    Args:
        message: what is wrong.
        hint: what to change.
    """

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


@dataclass(frozen=True, slots=True)
class ManyHosts:
    """A URL that names several hosts.

    Attributes:
        scheme: ``sentinel`` or ``rediscluster``.
        seeds: one plain ``redis://`` or ``rediss://`` URL for each host: a Sentinel, or a node of the cluster.
        primary: the same for Redis itself, with a host and a port that do not count.
        service: the name under which Sentinel knows the primary; empty for a cluster.
    """

    scheme: str
    seeds: tuple[str, ...]
    primary: str
    service: str = ""

    def __repr__(self) -> str:
        """The scheme only: URLs hold passwords."""
        return f"ManyHosts({self.scheme!r}, {len(self.seeds)} hosts)"


def parse_many_hosts(url: str) -> ManyHosts:
    """Take a ``sentinel://`` or ``rediscluster://`` URL apart.

    Raises:
        BadUrlError: it is not of the form above.
    """
    scheme = url.partition("://")[0]
    parts = _PARTS.fullmatch(url)
    if parts is None:
        raise _bad_place(scheme)
    login, _, hosts = parts["netloc"].rpartition("@")
    places = [_place(one, scheme) for one in hosts.split(",")]
    database = _database(unquote(parts["path"]).strip("/"), scheme)
    options = _options(parts["query"] or "", scheme)
    tls_options = "&".join(f"{name}={value}" for name, value in options.items() if name in _TLS_OPTIONS)
    tls = _switch(options, "tls", default=False)

    def plain(login: str, place: str, database: int, *, encrypted: bool) -> str:
        start = f"{'rediss' if encrypted else 'redis'}://{login + '@' if login else ''}{place}/{database}"
        # parse_qs of redis-py would read a plus sign as a blank.
        return f"{start}?{tls_options.replace('+', '%2B')}" if encrypted and tls_options else start

    primary = plain(login, "primary:1", database, encrypted=tls)
    if scheme == CLUSTER:
        return ManyHosts(scheme, tuple(plain(login, place, 0, encrypted=tls) for place in places), primary)
    service = unquote(options.get("service", ""))
    if not service:
        raise BadUrlError("redis_url names no service", "add ?service=<name>: the name in `sentinel monitor <name> …`")
    own_login, own_tls = _sentinel_login(options), _switch(options, "sentinel_tls", default=tls)
    seeds = tuple(plain(own_login, place, 0, encrypted=own_tls) for place in places)
    return ManyHosts(scheme, seeds, primary, service)


def _place(text: str, scheme: str) -> str:
    match = _PLACE.fullmatch(text)
    port = int(match["port"] or (_SENTINEL_PORT if scheme == SENTINEL else _REDIS_PORT)) if match else 0
    if match is None or not 0 < port < 65_536:
        raise _bad_place(scheme)
    return f"{match['host']}:{port}"


def _bad_place(scheme: str) -> BadUrlError:
    hint = f"expected is {EXPECTED[scheme]}; special characters percent-encoded (@ %40, / %2F, : %3A, # %23, ? %3F)"
    return BadUrlError("redis_url holds a host or port that cannot be one", hint)


def _database(path: str, scheme: str) -> int:
    if scheme == CLUSTER and path not in ("", "0"):
        shown = f"database {path}" if path.isdecimal() and len(path) < 6 else "something after the hosts"
        raise BadUrlError(
            f"redis_url names {shown}, and a cluster has database 0 only",
            "end redis_url in /0; what the site keeps in other databases is told apart by KEY_PREFIX there",
        )
    if not path.isdecimal() and path:
        raise BadUrlError("redis_url does not end in a database number", f"expected is {EXPECTED[scheme]}")
    return int(path or 0)


def _options(query: str, scheme: str) -> dict[str, str]:
    """Option → value, still percent-encoded."""
    known = (*_OWN_OPTIONS[scheme], *_TLS_OPTIONS)
    pairs = [part.partition("=")[::2] for part in query.split("&") if part]
    if any(name not in known for name, _ in pairs):
        raise BadUrlError("redis_url has an option that is not known", f"known are: {', '.join(known)}")
    return dict(pairs)


def _switch(options: dict[str, str], name: str, *, default: bool) -> bool:
    value = options.get(name, "")
    if not value:
        return default
    if value.lower() not in _SWITCHES:
        raise BadUrlError(f"redis_url gives {name} a value that is not known", f"write {name}=true or {name}=false")
    return _SWITCHES[value.lower()]


def _sentinel_login(options: dict[str, str]) -> str:
    """``user:password`` as it stands in a URL; empty for none."""
    user, password = options.get("sentinel_username", ""), options.get("sentinel_password", "")
    # A slash or a question mark may stand in an option as it is, but not before a host.
    user, password = (one.replace("/", "%2F").replace("?", "%3F").replace("@", "%40") for one in (user, password))
    return f"{user.replace(':', '%3A')}:{password.replace(':', '%3A')}" if password else ""
