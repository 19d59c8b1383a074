"""The primary that a Sentinel names, verified, and what is wrong when there is none."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from redis import exceptions

from runbooks_lib.errors import SourceError
from runbooks_lib.model import Kind
from runbooks_lib.redaction import one_line, redact
from runbooks_lib.sources.redis.client import Address, ask, read
from runbooks_lib.sources.redis.replies import Info, text_of, unexpected

if TYPE_CHECKING:
    import redis

T = TypeVar("T")

#: What a Sentinel said → what it means, what to do, and its kind. The first match decides.
_SAID: tuple[tuple[str, str, str, Kind], ...] = (
    (
        r"WRONGPASS|invalid username-password|invalid password",
        "Sentinel at {shown} refuses its user or password",
        "correct sentinel_username and sentinel_password in redis_url; Redis's own stand before the host",
        Kind.DENIED,
    ),
    (
        r"NOAUTH|Authentication required",
        "Sentinel at {shown} wants a password of its own and redis_url has none",
        "add &sentinel_password=${{NAME}} to redis_url (runbooks.toml) and export NAME; it may differ from Redis's",
        Kind.DENIED,
    ),
    (
        r"NOPERM|no permissions",
        "Sentinel at {shown} does not allow its user to ask for the primary",
        "ask for these rights on Sentinel: +sentinel|get-master-addr-by-name +sentinel|masters +sentinel|ckquorum",
        Kind.DENIED,
    ),
    (
        r"unknown command ['`\"]?SENTINEL",
        "what answers at {shown} is not a Sentinel: it does not know the command SENTINEL",
        "give Sentinel's port (26379 by default), or Redis's own address as redis://host:port/database",
        Kind.WRONG,
    ),
)


def primary_from(sentinel: Address, template: Address, service: str, seconds: float) -> Address:
    """The primary of a service, as one Sentinel names it and as it says of itself.

    Args:
        sentinel: the one to ask.
        template: login, database and TLS for Redis itself.
        service: the name in ``sentinel monitor``.
        seconds: deadline for each of the two questions.

    Raises:
        SourceError: Sentinel cannot be asked or does not know the service; what it names is no primary or no answer
            comes from there.
    """
    host, port = _asked(sentinel, lambda client: _address(client, sentinel, service), seconds)
    options = {**template.options, "host": host, "port": port}
    announced_by = f"Sentinel {sentinel.shown}"
    primary = replace(template, shown=f"{host}:{port}", options=options, announced_by=announced_by)
    try:
        role = read(primary, lambda client: Info(ask(client, "INFO", "replication")).text("role"), seconds=seconds)
    except SourceError as error:
        if error.kind is not Kind.ABSENT:
            raise
        says = _health(sentinel, service, seconds)
        raise SourceError(error.message + says, source="redis", hint=error.hint, kind=error.kind) from error.__cause__
    if role != "master":
        raise SourceError(
            f"Sentinel at {sentinel.shown} names {primary.shown} as primary of {_shown(service)}, and that says it is "
            f"a {'replica' if role == 'slave' else one_line(role, longest=40) or 'server of an unknown role'}",
            source="redis",
            hint="a failover is under way: run this again in some seconds; see redis-cli -p 26379 sentinel masters",
            kind=Kind.FAULTY,
        )
    return primary


def _address(client: redis.Redis, sentinel: Address, service: str) -> tuple[str, int]:
    reply = ask(client, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", service)
    match reply:
        case [bytes() as host, bytes() as port] if port.isdigit():
            return text_of(host), int(port)
        case None:
            known = ", ".join(_shown(name) for name in _known(client)[:10]) or "none"
            raise SourceError(
                f"Sentinel at {sentinel.shown} does not know the service {_shown(service)}",
                source="redis",
                hint=f"correct service= in redis_url; it knows: {known}",
            )
        case _:
            raise unexpected("SENTINEL GET-MASTER-ADDR-BY-NAME", reply)


def _known(client: redis.Redis) -> list[str]:
    """The names of the services that a Sentinel watches."""
    reply = ask(client, "SENTINEL", "MASTERS")
    if not isinstance(reply, list):
        raise unexpected("SENTINEL MASTERS", reply)
    return [_fields(one).get("name", "") for one in reply]


def _health(sentinel: Address, service: str, seconds: float) -> str:
    """What Sentinel says of a primary that does not answer, to be added to a message; empty when it cannot say."""

    def work(client: redis.Redis) -> str:
        flags = _fields(ask(client, "SENTINEL", "MASTER", service)).get("flags", "")
        try:
            quorum = ask(client, "SENTINEL", "CKQUORUM", service)
        except exceptions.ResponseError as error:
            quorum = str(error).encode()
        return f"; Sentinel says: {one_line(flags, longest=60)}; {one_line(text_of(quorum), longest=160)}"

    try:
        return _asked(sentinel, work, seconds)
    except SourceError:
        return ""


def _asked(sentinel: Address, work: Callable[[redis.Redis], T], seconds: float) -> T:
    try:
        return read(sentinel, work, seconds=seconds)
    except SourceError as error:
        raise _about_sentinel(error, sentinel) from error.__cause__


def _about_sentinel(error: SourceError, sentinel: Address) -> SourceError:
    """The same failure in words about a Sentinel instead of Redis."""
    for pattern, message, hint, kind in _SAID:
        if error.__cause__ is not None and re.search(pattern, f"{error.__cause__}"):
            return SourceError(message.format(shown=sentinel.shown), source="redis", hint=hint.format(), kind=kind)
    message = redact(error.message, sentinel.secrets).replace("Redis at ", "Sentinel at ")
    return SourceError(message, source="redis", hint=error.hint, kind=error.kind)


def _fields(reply: object) -> dict[str, str]:
    """Names and values in turn."""
    words = [text_of(word) for word in reply] if isinstance(reply, list) else []
    return dict(zip(words[::2], words[1::2], strict=False))


def _shown(name: str) -> str:
    return repr(one_line(name, longest=80))
