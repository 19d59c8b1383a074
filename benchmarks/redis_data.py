"""A million keys as a cached site has them, loaded once and kept as an RDB file.

``django:1:<group>:<n>``: 650,000 of them begin with ``api:``, the rest are sessions, throttle counters, pages and more.
Values are incompressible strings, log-normal around 300 bytes (60 bytes to 20 kB), as zlib-compressed answers are;
94.5 % have a TTL.
"""

from __future__ import annotations

import os
import random
import socket
import threading
from collections.abc import Iterator

KEYS_COUNT = 1_000_000
MATCHING_COUNT = 650_000
PATTERN = "api:*"
_GROUPS = (
    *(("api:CourseViewSet", 250_000), ("api:ProblemViewSet", 200_000), ("api:UserViewSet", 150_000)),
    *(("api:EnrollmentViewSet", 50_000), ("django.contrib.sessions.cache", 150_000), ("throttle:user", 80_000)),
    *(("views.decorators.cache.cache_page", 60_000), ("legacy:report", 60_000)),
)
_AT_ONCE = 2000


def load(port: int, database: int = 1) -> None:
    """Write all keys into the Redis at 127.0.0.1:port, with the raw protocol."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        expected = KEYS_COUNT + 1
        reader = threading.Thread(target=_read_replies, args=(connection, expected))
        reader.start()
        connection.sendall(b"*2\r\n$6\r\nSELECT\r\n$1\r\n%d\r\n" % database)
        for chunk in _chunks():
            connection.sendall(chunk)
        reader.join()


def _read_replies(connection: socket.socket, expected: int) -> None:
    """Each reply is ``+OK``: five bytes."""
    left = expected * 5
    while left > 0:
        got = connection.recv(1 << 20)
        if not got or b"-" in got:
            raise RuntimeError(f"Redis did not take the data: {got[:200]!r}")
        left -= len(got)


def _chunks() -> Iterator[bytes]:
    chance, noise = random.Random(1), os.urandom(1 << 20)  # noqa: S311 - the same data set each time
    parts: list[bytes] = []
    for group, count in _GROUPS:
        head = f"django:1:{group}:".encode()
        for number in range(count):
            size = int(min(20_000, max(60, chance.lognormvariate(5.7, 0.8))))
            start = chance.randrange(len(noise) - size)
            name = head + b"%d" % number
            words = [b"SET", name, noise[start : start + size]]
            if chance.random() < 0.945:
                words += [b"EX", b"%d" % chance.randrange(36_000, 72_000)]
            parts.append(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words))
            if len(parts) == _AT_ONCE:
                yield b"".join(parts)
                parts.clear()
    yield b"".join(parts)
