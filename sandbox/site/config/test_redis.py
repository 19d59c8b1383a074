"""A redis-server for tests: real, on a free port of this machine, without a file on disk."""

import shutil
import socket
import subprocess
import time

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

START_TIMEOUT_SECONDS = 5.0


class RedisServer:
    """Starts and stops one server; the port stays the same over restarts.

    Raises:
        RuntimeError: redis-server is not installed, or does not answer.
    """

    def __init__(self) -> None:
        self.port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it listens, database 1."""
        return f"redis://127.0.0.1:{self.port}/1"

    def start(self) -> None:
        """Start, and wait until it answers."""
        program = shutil.which("redis-server")
        if program is None:
            raise RuntimeError(
                "The tests need redis-server on the path, or SITE_REDIS_URL of an empty Redis."
            )
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self._process = subprocess.Popen(
            [program, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        client = Redis(port=self.port, retry=Retry(NoBackoff(), 0))
        while time.monotonic() < deadline:
            try:
                client.ping()
            except RedisError:
                time.sleep(0.02)
            else:
                client.close()
                return
        self.stop()
        raise RuntimeError(f"redis-server did not answer on port {self.port}.")

    def stop(self) -> None:
        """Stop this server, and only this one."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=10)
            self._process = None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
