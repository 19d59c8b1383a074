"""The traffic generator: a process of its own that visits the site, open loop, bounded, for as long as it is let.

Arrivals do not wait for answers (a slow site does not get less traffic), but at most ``MOST_IN_FLIGHT`` requests
are under way; what comes on top is dropped and counted. A dead site costs nothing but failed requests.

Run as ``python -m sandbox.traffic.generator HOME WEB_PORT USERS``.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp

from sandbox.files import read_json, write_json
from sandbox.layout import Home
from sandbox.traffic.activity import activity
from sandbox.traffic.control import Load, read_load
from sandbox.traffic.plan import Content, Request, Visitors
from sandbox.traffic.profile import WRITES_PER_SECOND
from sandbox.traffic.streams import make_request

MOST_IN_FLIGHT = 64
TIMEOUT_SECONDS = 5.0
TICK_SECONDS = 0.02
CONTROL_SECONDS = 0.5
STATUS_SECONDS = 1.0


class Arrivals:
    """Random (Poisson) arrival times of one stream; a pause of this process is skipped, not made up for."""

    def __init__(self, dice: random.Random) -> None:
        """Start without an appointment."""
        self._dice, self._next = dice, 0.0

    def due(self, now: float, rate_per_second: float) -> int:
        """Return how many requests are due since the last call."""
        if rate_per_second <= 0:
            self._next = 0.0
            return 0
        if self._next < now - 1:
            self._next = now + self._dice.expovariate(rate_per_second)
        count = 0
        while self._next <= now:
            self._next += self._dice.expovariate(rate_per_second)
            count += 1
        return count


class Generator:
    """Follows the control file and keeps the traffic going."""

    def __init__(self, home: Home, web_port: int, users: int) -> None:
        """Read what exists on the site; nothing is sent yet."""
        self.home, self.users = home, users
        self._base = f"http://127.0.0.1:{web_port}"
        self._content = Content(**read_json(home.catalogue))
        self._dice = random.Random()
        self._arrivals: dict[str, Arrivals] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._seen: Counter[str] = Counter()
        self._follow(read_load(home.traffic_control))

    def _follow(self, load: Load) -> None:
        """Take over a new load."""
        self._load = load
        self._visitors = Visitors(self._content, load.exponent, self.users, self._dice)

    def streams(self, at: float) -> dict[str, Mapping[str, Any]]:
        """Return every stream with its rate at a time: the healthy ones breathe with the day, faults do not."""
        level = activity(at)
        share = level * self._load.rate_per_second
        writes = WRITES_PER_SECOND * level if share else 0.0
        return {
            "read": {"kind": "healthy_read", "rate_per_second": share},
            "write": {"kind": "staff_write", "rate_per_second": writes},
            **self._load.streams,
        }

    async def run(self) -> None:
        """Send until cancelled."""
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
        connector = aiohttp.TCPConnector(limit=MOST_IN_FLIGHT)
        async with aiohttp.ClientSession(
            self._base, timeout=timeout, connector=connector, cookie_jar=aiohttp.DummyCookieJar()
        ) as session:
            next_control = next_status = 0.0
            while True:
                now = time.monotonic()
                if now >= next_control:
                    next_control = now + CONTROL_SECONDS
                    self._read_control()
                if now >= next_status:
                    self._write_status(now - next_status + STATUS_SECONDS if next_status else STATUS_SECONDS)
                    next_status = now + STATUS_SECONDS
                self._send_due(session, now)
                await asyncio.sleep(TICK_SECONDS)

    def _read_control(self) -> None:
        load = read_load(self.home.traffic_control)
        if load != self._load:
            self._follow(load)
            self._arrivals = {name: kept for name, kept in self._arrivals.items() if name in self.streams(0.0)}

    def _send_due(self, session: aiohttp.ClientSession, now: float) -> None:
        for name, stream in self.streams(time.time()).items():
            arrivals = self._arrivals.setdefault(name, Arrivals(self._dice))
            for _ in range(arrivals.due(now, stream["rate_per_second"])):
                if len(self._tasks) >= MOST_IN_FLIGHT:
                    self._seen["dropped"] += 1
                    continue
                task = asyncio.create_task(self._send(session, make_request(self._visitors, stream)))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _send(self, session: aiohttp.ClientSession, request: Request) -> None:
        try:
            async with session.request(
                request.method, request.path, headers=request.headers, json=request.body
            ) as answer:
                await answer.read()
                self._seen[str(answer.status)] += 1
        except (aiohttp.ClientError, TimeoutError, OSError):
            self._seen["no_answer"] += 1

    def _write_status(self, seconds: float) -> None:
        answers = {code: round(count / seconds, 2) for code, count in self._seen.items()}
        self._seen.clear()
        write_json(
            self.home.traffic_status,
            {
                "at": time.time(),
                "asked_per_second": round(
                    sum(stream["rate_per_second"] for stream in self.streams(time.time()).values()), 2
                ),
                "answers_per_second": answers,
                "in_flight": len(self._tasks),
                "exponent": self._load.exponent,
            },
        )


def main(arguments: list[str]) -> None:
    """Run the generator until the process is told to end."""
    home, web_port, users = Home(Path(arguments[0])), int(arguments[1]), int(arguments[2])
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(Generator(home, web_port, users).run())


if __name__ == "__main__":
    main(sys.argv[1:])
