"""A backup with its proof, against a plain BGSAVE that is waited for: 1,000,000 keys, round by round.

What the proof costs: the file is copied and summed, read by redis-check-rdb, and loaded into a scratch server, the last
two beside each other. Loading takes half as long as saving or longer, so at best the whole is one and a half saves.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import redis

from benchmarks.timing import Row, against, table
from runbooks_lib.actions.backup.back_up import BackUp
from runbooks_lib.actions.site import Site, WritableSite
from runbooks_lib.config import Environment

KEYS = 1_000_000
VALUE_BYTES = 200
ROUNDS = 3
#: Save, copy and load: each handles every byte once. Above this something is done twice, or one after the other.
GOAL_RATIO = 2.5
_BATCH = 10_000


def measure(*, keys: int = KEYS, rounds: int = ROUNDS) -> tuple[list[Row], str]:
    """The rows and their table; takes about a minute.

    Args:
        keys: in the server.
        rounds: counted; one more warms up.
    """
    seconds: dict[str, list[float]] = {"BGSAVE, waited for": [], "backup with proof": [], "of that, the proof": []}
    with _filled_server(keys) as (port, folder):
        environment = Environment(
            name="bench",
            redis_url=f"redis://127.0.0.1:{port}/0",
            prometheus_url="http://127.0.0.1:1",
            site_url="http://127.0.0.1:1",
            root=folder,
        )
        client = redis.Redis(port=port)
        for number in range(rounds + 1):
            plain = _plain_bgsave(client)
            saved, proved = _backup(environment)
            if number:
                for name, value in zip(seconds, (plain, saved + proved, proved), strict=True):
                    seconds[name].append(value)
        client.close()
    peer, own, _ = seconds
    rows = [against(f"{own}, {keys:,} keys", seconds[own], peer, seconds[peer], GOAL_RATIO)]
    return rows, table(rows, seconds)


def _plain_bgsave(client: redis.Redis) -> float:
    started = time.perf_counter()
    client.bgsave()
    while client.info("persistence")["rdb_bgsave_in_progress"]:
        time.sleep(0.02)
    return time.perf_counter() - started


def _backup(environment: Environment) -> tuple[float, float]:
    """Seconds for saving and copying, and for the proof."""
    action = BackUp()
    with contextlib.closing(WritableSite(environment, lambda _: None)) as site:
        plan = action.plan(site)
        if plan.failed_guards:
            raise RuntimeError(f"the backup would be refused: {plan.failed_guards}")
        started = time.perf_counter()
        written = action.write(plan, site)
        saved = time.perf_counter() - started
    with contextlib.closing(Site(environment)) as reading:
        found = action.read_back(plan, reading, written.data)
    proved = time.perf_counter() - started - saved
    if not found.confirmed:
        raise RuntimeError(f"the backup was not proved: {found.detail}")
    shutil.rmtree(written.data["folder"])
    return saved, proved


@contextlib.contextmanager
def _filled_server(keys: int) -> Iterator[tuple[int, Path]]:
    """A server with that many values of random bytes, which do not compress: as django-redis stores them."""
    with tempfile.TemporaryDirectory() as name, socket.create_server(("127.0.0.1", 0)) as probe:
        port, folder = probe.getsockname()[1], Path(name)
        probe.close()
        command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", name]
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            _fill(port, keys)
            yield port, folder
        finally:
            server.kill()
            server.wait()


def _fill(port: int, keys: int) -> None:
    client = redis.Redis(port=port, socket_timeout=30)
    for _ in range(250):
        with contextlib.suppress(redis.ConnectionError):
            client.ping()
            break
        time.sleep(0.02)
    for first in range(0, keys, _BATCH):
        blob = os.urandom(VALUE_BYTES * _BATCH)
        values = {
            f"django:1:page:{first + index}": blob[index * VALUE_BYTES : (index + 1) * VALUE_BYTES]
            for index in range(min(_BATCH, keys - first))
        }
        client.mset(values)
    client.close()


if __name__ == "__main__":
    print(measure()[1])
