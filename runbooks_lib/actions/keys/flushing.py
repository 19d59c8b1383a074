"""Emptying a whole database at once: asynchronously, on every primary, and only where nobody else lives there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from redis import exceptions

from runbooks_lib import units
from runbooks_lib.actions.action import Written
from runbooks_lib.actions.keys import plans as key_plans
from runbooks_lib.actions.keys.deletion import Found, judged
from runbooks_lib.actions.keys.sweep import SAMPLE_COUNT, nothing_sent_yet, packed, unpacked
from runbooks_lib.actions.outcome import ReadBack
from runbooks_lib.actions.plan import Guard
from runbooks_lib.actions.site import Progress, Site, WritableSite, WriteNode
from runbooks_lib.errors import MayHaveChangedError, RefusedError
from runbooks_lib.facts import KeyspaceLook
from runbooks_lib.model import Evidence
from runbooks_lib.redaction import one_line
from runbooks_lib.sources.keyspace.asking import existing, misses_count
from runbooks_lib.sources.keyspace.names import Kind, key_names
from runbooks_lib.sources.redis.replies import parse_scan


def nobody_else(site: Site, seen: KeyspaceLook) -> Guard:
    """Everything in the database belongs to the site."""
    name = f"nobody else's keys live in database {site.nodes.database}"
    foreign = [group for group in seen.groups if group.kind == Kind.FOREIGN]
    if foreign:
        (line,) = key_plans.kinds_shown(foreign, seen)
        return Guard(name, holds=False, detail=line.value, hint="method=prefix deletes the keys of this site alone")
    if not seen.complete:
        return Guard(name, holds=None, detail="not all keys were seen", hint="method=prefix needs no such certainty")
    return Guard(name, holds=True, detail="none was found")


def flush(site: WritableSite) -> Written:
    """FLUSHDB ASYNC on every primary; each tells how many keys it held at that moment.

    Raises:
        RefusedError: the first primary said no: nothing was changed.
        MayHaveChangedError: the connection broke; the message says which primaries are done.
    """
    names = key_names(site.environment)
    flushed: dict[str, int | None] = {}
    sample: list[bytes] = []
    stopped = ""
    with nothing_sent_yet():
        before = misses_count(site.nodes)
    for node in site.nodes:
        site.progress(Progress(len(flushed), len(site.nodes), "primaries flushed"))
        try:
            held, found = _flush_one(site.writer(node))
        except (RefusedError, MayHaveChangedError) as error:
            if not flushed and isinstance(error, RefusedError):
                raise
            done = ", ".join(f"{name} ({_held(count)})" for name, count in flushed.items()) or "none"
            if isinstance(error, MayHaveChangedError):
                raise MayHaveChangedError(f"{error.message}; flushed before: {done}", hint=error.hint) from error
            stopped = f"{node.shown}: {error.message}; flushed before: {done}"
            break
        flushed[node.shown] = held
        sample += [name for name in found if names.tellable(name) == name][: SAMPLE_COUNT // len(site.nodes) + 1]
    data = {
        "changed": sum(count or 0 for count in flushed.values()),
        "complete": not stopped,
        "sample": [packed(name) for name in sample],
        "misses_before": before,
    }
    account = tuple(Evidence(f"flushed {name}", _held(count)) for name, count in flushed.items())
    return Written(account=account, data=data, stopped=stopped)


def look_again(site: Site, written: Mapping[str, Any]) -> ReadBack:
    """Is the database empty, but for what was written since?"""
    sizes = [node.ask("DBSIZE") for node in site.nodes]
    left = sum(size for size in sizes if isinstance(size, int))
    names = [unpacked(text) for text in written.get("sample", ())]
    return judged(written, Found(left, "", existing(site.nodes, names), misses_count(site.nodes)))


def _flush_one(writer: WriteNode) -> tuple[int | None, list[bytes]]:
    """Some names, the size at the moment of the flush, and the flush, in one go."""
    commands = (("SCAN", 0, "COUNT", SAMPLE_COUNT), ("DBSIZE",), ("FLUSHDB", "ASYNC"))
    scanned, size, done = writer.write_many(commands)
    if isinstance(done, exceptions.ResponseError):
        raise RefusedError(
            f"Redis refused: {one_line(str(done))}",
            hint="method=prefix needs SCAN and UNLINK only; look at this user's rights and the server's role",
        )
    names = [] if isinstance(scanned, exceptions.ResponseError) else parse_scan(scanned)[1]
    return size if isinstance(size, int) else None, [name for name in names if isinstance(name, bytes)]


def _held(count: int | None) -> str:
    return "how many keys it held was not told" if count is None else units.exactly(count, "key")
