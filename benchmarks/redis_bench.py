"""Deleting 650,000 of 1,000,000 keys: how fast, and what does another client feel of it?

The server is pinned to one core, the deleting client and the probe to another. Each method starts with a fresh server
that loads the same RDB file. The probe's idle latency is taken from the same server, before and after the deletion.
Run alone: ``python -m benchmarks.redis_bench``.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import redis_data
from benchmarks.redis_probe import Latency, Probe, compiled, within
from benchmarks.timing import Row, against, below

SERVER_CORE, CLIENT_CORE = 0, 1
ROUNDS = 3
KEYS_PER_SECOND_GOAL = 180_000
#: Another client's p99 may be so much later than when nothing happens.
P99_GOAL_MS = 0.1
#: The longest stall, as a share of the peer's.
STALL_RATIO_GOAL = 0.1
_NAME = f"delete {redis_data.MATCHING_COUNT:,} of {redis_data.KEYS_COUNT:,} keys"
_IDLE_SECONDS = 5.0
OWN, PEER = "ClearPattern.write", "django-redis delete_pattern"
#: Nothing but the commands: no bound, no account, no pace, no lock. What this machine's server can do at most.
BARE = "bare SCAN and UNLINK"
#: All that makes it safe may cost so much beside the bare commands.
BARE_RATIO_GOAL = 1.25


@dataclass(frozen=True, slots=True)
class Deletion:
    """One measured deletion: its rate, and what the probe felt while idle and meanwhile."""

    method: str
    keys_count: int
    seconds: float
    idle: Latency
    meanwhile: Latency

    @property
    def keys_per_second(self) -> float:
        """Deleted keys a second of wall time."""
        return self.keys_count / self.seconds

    @property
    def p99_added_ms(self) -> float:
        """How much later the probe's p99 was than idle."""
        return self.meanwhile.p99_ms - self.idle.p99_ms


def measure(rounds: int = ROUNDS) -> list[Deletion]:
    """The own and the bare deletion ``rounds`` times, in turn; the peer's once are enough to show its stall."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        program = compiled(folder)
        _make_data(folder)
        found = [_one(method, folder, program) for _ in range(rounds) for method in (OWN, BARE)]
        return [*found, _one(PEER, folder, program)]


def rows(found: list[Deletion]) -> list[Row]:
    """The promises, in seconds: medians of the own runs, the longest stall beside the peer's."""
    own = [deletion for deletion in found if deletion.method == OWN]
    (peer,) = (deletion for deletion in found if deletion.method == PEER)
    added = statistics.median(deletion.p99_added_ms for deletion in own) / 1000
    limit = P99_GOAL_MS / 1000
    bare = [deletion.seconds for deletion in found if deletion.method == BARE]
    stalls = [deletion.meanwhile.max_ms / 1000 for deletion in own]
    return [
        below(_NAME, [deletion.seconds for deletion in own], redis_data.MATCHING_COUNT / KEYS_PER_SECOND_GOAL),
        against(f"{_NAME}, safely", [deletion.seconds for deletion in own], BARE, bare, BARE_RATIO_GOAL),
        Row("added to another client's p99 by it", round(added, 6), "s", "", None, None, limit, added <= limit),
        against("longest stall of another client", stalls, PEER, [peer.meanwhile.max_ms / 1000], STALL_RATIO_GOAL),
    ]


def table(found: list[Deletion]) -> str:
    """Every run, for people."""
    head = f"{'method':<26} {'keys/s':>9} {'seconds':>8}   {'another client, idle p50 / p99':>30}"
    lines = [f"{head}   meanwhile p50 / p99 / max"]
    for one in found:
        idle, busy = one.idle, one.meanwhile
        felt = f"{idle.p50_ms:.2f} / {idle.p99_ms:.2f} ms"
        meanwhile = f"{busy.p50_ms:.2f} / {busy.p99_ms:.2f} / {busy.max_ms:.1f} ms"
        lines.append(f"{one.method:<26} {one.keys_per_second:>9,.0f} {one.seconds:>8.2f}   {felt:>30}   {meanwhile}")
    return "\n".join(lines)


def _one(method: str, folder: Path, program: Path) -> Deletion:
    with _server(folder) as port:
        probe = Probe(program, port, CLIENT_CORE)
        try:
            time.sleep(_IDLE_SECONDS)
            command = [
                "taskset",
                "-c",
                str(CLIENT_CORE),
                sys.executable,
                "-m",
                "benchmarks.redis_bench",
                method,
                str(port),
            ]
            done = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False)
            if done.returncode:
                raise RuntimeError(f"{method} failed:\n{done.stderr[-3000:]}")
            time.sleep(_IDLE_SECONDS)
        finally:
            felt = probe.stop()
    began, ended, count = json.loads(done.stdout)
    if count != redis_data.MATCHING_COUNT:
        raise RuntimeError(f"{method} deleted {count:,} keys")
    # The child's imports run before it begins: idle is what lies well before and well after.
    quiet = [row for row in felt if row[0] < felt[0][0] + int(_IDLE_SECONDS * 1e9) or row[0] > ended + 1_000_000_000]
    idle = within(quiet, 0, 1 << 62)
    return Deletion(method, count, (ended - began) / 1e9, idle, within(felt, began, ended))


def _make_data(folder: Path) -> None:
    with _server(folder) as port:
        redis_data.load(port)
        subprocess.run(["redis-cli", "-p", str(port), "SAVE"], check=True, capture_output=True)


@contextlib.contextmanager
def _server(folder: Path) -> Iterator[int]:
    """A fresh server with the data of the folder, pinned to its core."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = ["taskset", "-c", str(SERVER_CORE), str(shutil.which("redis-server")), "--port", str(port)]
    command += ["--bind", "127.0.0.1", "--dir", str(folder), "--save", "", "--maxmemory", "4gb"]
    command += ["--maxmemory-policy", "allkeys-lru", "--logfile", str(folder / "redis.log")]
    process = subprocess.Popen(command)
    try:
        _wait_until_loaded(port, process)
        yield port
    finally:
        process.kill()
        process.wait(timeout=30)


def _wait_until_loaded(port: int, process: subprocess.Popen[bytes]) -> None:
    ends = time.monotonic() + 120
    while time.monotonic() < ends and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(b"PING\r\n")
            if connection.recv(100).startswith(b"+PONG"):
                return
        time.sleep(0.05)
    raise RuntimeError("the benchmark's redis-server did not start")


def _delete_own(port: int) -> tuple[int, int, int]:
    """The real write of the action, pace and progress included."""
    from runbooks_lib.actions.keys.clearing import ClearPattern
    from runbooks_lib.actions.site import Site, WritableSite
    from runbooks_lib.config import Environment

    nowhere = "http://127.0.0.1:1"
    url = f"redis://127.0.0.1:{port}/1"
    environment = Environment(
        name="bench", redis_url=url, prometheus_url=nowhere, site_url=nowhere, key_prefix="django"
    )
    action = ClearPattern(pattern=redis_data.PATTERN, max_keys=redis_data.KEYS_COUNT)
    with contextlib.closing(Site(environment)) as reading:
        plan = action.plan(reading)
    told: list[int] = []
    with contextlib.closing(WritableSite(environment, lambda progress: told.append(progress.done))) as site:
        began = time.monotonic_ns()
        written = action.write(plan, site)
        ended = time.monotonic_ns()
    if written.stopped or not told:
        raise RuntimeError(f"the deletion did not reach its end: {written}")
    return began, ended, int(written.data["changed"])


def _delete_bare(port: int) -> tuple[int, int, int]:
    """The same commands in the same steps, and nothing else."""
    import hiredis

    reader = hiredis.Reader()
    with socket.create_connection(("127.0.0.1", port)) as connection:

        def send(*words: bytes) -> None:
            connection.sendall(hiredis.pack_command(words))

        def reply() -> Any:
            while (found := reader.gets()) is False:
                reader.feed(connection.recv(1 << 16))
            return found

        send(b"SELECT", b"1")
        reply()
        count, cursor, names = 0, b"", []
        began = time.monotonic_ns()
        while cursor != b"0" or names:
            scans, unlinked = cursor != b"0", names
            if scans:
                send(b"SCAN", cursor or b"0", b"MATCH", b"django:1:" + redis_data.PATTERN.encode(), b"COUNT", b"100")
            if unlinked:
                send(b"UNLINK", *unlinked)
            cursor, names = reply() if scans else (b"0", [])
            count += reply() if unlinked else 0
        return began, time.monotonic_ns(), count


def _delete_peer(port: int) -> tuple[int, int, int]:
    """What everybody else uses."""
    from django.conf import settings

    backend = {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": f"redis://127.0.0.1:{port}/1"}
    settings.configure(CACHES={"default": {**backend, "KEY_PREFIX": "django"}})
    from django.core.cache import cache

    cache.get("connected")
    began = time.monotonic_ns()
    count = cache.delete_pattern(redis_data.PATTERN)  # type: ignore[attr-defined]
    return began, time.monotonic_ns(), int(count)


def main() -> int:
    """Measure and print; with a method and a port, carry out that deletion alone and print when it ran."""
    if len(sys.argv) == 3:
        method, port = sys.argv[1], int(sys.argv[2])
        deletions = {OWN: _delete_own, BARE: _delete_bare, PEER: _delete_peer}
        print(json.dumps(deletions[method](port)))
        return 0
    found = measure()
    print(table(found))
    promises = rows(found)
    for row in promises:
        print(f"{row.name:<40} {row.value:>10.6f} s   {'holds' if row.holds else 'DOES NOT HOLD'}")
    return 0 if all(row.holds for row in promises) else 1


if __name__ == "__main__":
    sys.exit(main())
