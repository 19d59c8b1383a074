"""Some keys and what is in them, so that two servers can be compared.

Values are compared by their content, read by type. Their DUMP would not do: measured on 7.0.15, equal values differ in
it between two servers when ``rdbcompression`` differs, and for every set and hash that is a hash table, whose order
depends on a seed of the process.

Reading counts as a use of these keys, once before and once after the fork: for eviction, and in ``keyspace_hits``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from redis import exceptions

from runbooks_lib.sources.redis.nodes import Command, ReadNode
from runbooks_lib.sources.redis.replies import parse_scan

#: A larger value would stop the server for others while it is read.
LARGEST_VALUE_BYTES = 1024 * 1024
#: Redis serves others between the parts of a list; three commands are asked of each key.
_KEYS_AT_ONCE = 60
#: Fewer than this many keys of a database say little.
_FEWEST_KEYS = 20

_READING: Mapping[bytes, tuple[str, tuple[str, ...]]] = {
    b"string": ("GET", ()),
    b"hash": ("HGETALL", ()),
    b"set": ("SMEMBERS", ()),
    b"zset": ("ZRANGE", ("0", "-1", "WITHSCORES")),
    b"list": ("LRANGE", ("0", "-1")),
    b"stream": ("XRANGE", ("-", "+")),
}


@dataclass(frozen=True, slots=True)
class Value:
    """One key as it was found.

    Attributes:
        state: ``read``, ``absent``, or ``skipped``: larger than 1 MiB, not allowed, or changed while it was read.
        digest: of type and content; empty when it was not read.
        expires_at_ms: unix time in ms by its server's clock; None without a TTL.
    """

    state: Literal["read", "absent", "skipped"]
    digest: str = ""
    expires_at_ms: int | None = None


def random_keys(node: ReadNode, keys_in_database: int, *, at_most: int) -> tuple[bytes, ...]:
    """Different keys of the node's database, chosen at random; all of them where there are no more.

    Args:
        node: connected to that database.
        keys_in_database: how many there are.
        at_most: how many are wanted.

    Raises:
        SourceError: Redis cannot be reached.

    Source:
        RANDOMKEY; SCAN where all are wanted.
    """
    if keys_in_database <= at_most:
        return _all_keys(node, at_most)
    found: dict[bytes, None] = {}
    for _ in range(3 * (at_most // 200 + 1)):  # the same key comes twice now and then
        if len(found) >= at_most:
            break
        replies = node.ask_many([("RANDOMKEY",)] * 200)
        found |= dict.fromkeys(reply for reply in replies if isinstance(reply, bytes))
    return tuple(found)[:at_most]


def _all_keys(node: ReadNode, at_most: int) -> tuple[bytes, ...]:
    found: dict[bytes, None] = {}
    cursor = 0
    for _ in range(at_most):  # never more calls than keys, whatever the cursor says
        cursor, names = parse_scan(node.ask("SCAN", cursor, "COUNT", 1000))
        found |= dict.fromkeys(name for name in names if isinstance(name, bytes))
        if not cursor:
            break
    return tuple(found)[:at_most]


def shares(databases: Mapping[int, int], at_most: int) -> dict[int, int]:
    """How many keys of each database belong in a sample: by its size, but some of each."""
    total, filled = sum(databases.values()), sum(1 for keys in databases.values() if keys)
    fewest = min(_FEWEST_KEYS, at_most // max(1, filled))
    return {number: max(fewest, at_most * keys // total) for number, keys in databases.items() if keys}


def values_of(node: ReadNode, keys: Sequence[bytes]) -> list[Value]:
    """What is in these keys of the node's database at this moment.

    Raises:
        SourceError: Redis cannot be reached.

    Source:
        TIME, TYPE, PTTL, MEMORY USAGE; GET, HGETALL, SMEMBERS, ZRANGE, LRANGE or XRANGE, DUMP for other types.
    """
    found: list[Value] = []
    for first in range(0, len(keys), _KEYS_AT_ONCE):
        found += _batch(node, keys[first : first + _KEYS_AT_ONCE])
    return found


def _batch(node: ReadNode, keys: Sequence[bytes]) -> list[Value]:
    """Two round trips: what each key is, then what is in it."""
    asked: list[Command] = [("TIME",)]
    for key in keys:
        asked += [("TYPE", key), ("PTTL", key), ("MEMORY", "USAGE", key)]
    time_reply, *replies = node.ask_many(asked)
    now_ms = int(time_reply[0]) * 1000 + int(time_reply[1]) // 1000 if isinstance(time_reply, list) else 0
    described = list(zip(*[iter(replies)] * 3, strict=True))
    readable = [index for index, (kind, _, size) in enumerate(described) if _is_readable(kind, size)]
    contents = node.ask_many([_reading(keys[index], described[index][0]) for index in readable])
    by_index = dict(zip(readable, contents, strict=True))
    values = []
    for index, (kind, ttl, _) in enumerate(described):
        if kind == b"none" or (index in by_index and by_index[index] is None):
            values.append(Value("absent"))
        elif index not in by_index or isinstance(by_index[index], exceptions.ResponseError) or not isinstance(ttl, int):
            values.append(Value("skipped"))
        else:
            digest = _digest(bytes(kind), by_index[index])
            values.append(Value("read", digest, now_ms + ttl if ttl >= 0 else None))
    return values


def _is_readable(kind: object, size: object) -> bool:
    return isinstance(kind, bytes) and kind != b"none" and isinstance(size, int) and size <= LARGEST_VALUE_BYTES


def _reading(key: bytes, kind: object) -> Command:
    command, arguments = _READING.get(kind, ("DUMP", ())) if isinstance(kind, bytes) else ("DUMP", ())
    return (command, key, *arguments)


def _digest(kind: bytes, content: object) -> str:
    """The same wherever the content is: order and number formats that Redis may choose are levelled."""
    if isinstance(content, list) and kind == b"hash":
        content = sorted(zip(content[::2], content[1::2], strict=True))
    elif isinstance(content, list) and kind == b"set":
        content = sorted(content)
    elif isinstance(content, list) and kind == b"zset":
        content = [part if index % 2 == 0 else repr(float(part)).encode() for index, part in enumerate(content)]
    return hashlib.sha256(b"".join(_parts([kind, content]))).hexdigest()[:32]


def _parts(value: object) -> Iterable[bytes]:
    """Every part with its length before it, so that no two contents look alike."""
    if isinstance(value, (list, tuple)):
        yield b"[%d:" % len(value)
        for part in value:
            yield from _parts(part)
    else:
        raw = value if isinstance(value, bytes) else str(value).encode()
        yield b"%d:" % len(raw) + raw
