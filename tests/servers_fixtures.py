"""Fixtures that start real servers on free ports of 127.0.0.1, and a TCP server that misbehaves on purpose.

A server is ended by the pid that was started, never by its name. Where its binary is missing, the test is skipped and
the message says how to get it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import pytest

HOST = "127.0.0.1"
_HOW_TO_GET = {
    "redis-server": "apt install redis-server, brew install redis or conda install -c conda-forge redis-server",
    "prometheus": "apt install prometheus, brew install prometheus or conda install -c conda-forge prometheus",
    "promtool": "apt install prometheus, brew install prometheus or conda install -c conda-forge prometheus",
    "openssl": "apt install openssl",
}


def free_port() -> int:
    """A port that nothing listened on a moment ago."""
    with socket.create_server((HOST, 0)) as probe:
        return probe.getsockname()[1]


def binary(name: str) -> str:
    """The path of a server's binary; skips the test where it is missing."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed: {_HOW_TO_GET[name]}")
    return found


@dataclass
class Server:
    """A started process. ``stop`` may be called twice; the fixture does it for whoever forgets."""

    process: subprocess.Popen[bytes]
    port: int
    folder: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    def freeze(self) -> None:
        """Stop the process as a debugger does: connections stay open, nothing is answered."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def stop(self) -> None:
        if self.process.poll() is None:
            self.thaw()
            self.process.kill()
        self.process.wait(timeout=20)


@dataclass
class RunningRedis(Server):
    """A redis-server of our own, without persistence."""

    password: str = ""
    folder_tls: Path | None = None
    _clients: list[object] = field(default_factory=list)

    def url(self, database: int = 1, *, user: str = "", password: str | None = None) -> str:
        """Its address; with its own password unless another one is given (an empty one for none)."""
        secret = self.password if password is None else password
        login = f"{quote(user, safe='')}:{quote(secret, safe='')}@" if secret else ""
        return f"{'rediss' if self.folder_tls else 'redis'}://{login}{HOST}:{self.port}/{database}"

    def client(self, database: int = 1):
        """A redis-py client to prepare data with."""
        import redis

        tls = {"ssl": True, "ssl_ca_certs": str(self.folder_tls / "cert.pem")} if self.folder_tls else {}
        made = redis.Redis(
            host=HOST, port=self.port, db=database, password=self.password or None, socket_timeout=5, **tls
        )
        self._clients.append(made)
        return made

    def stop(self) -> None:
        for client in self._clients:
            client.close()
        super().stop()


@dataclass
class RunningPrometheus(Server):
    """A Prometheus of our own."""

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=2) as answer:
                return answer.status == 200
        except (urllib.error.URLError, OSError):
            return False


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory) -> Iterator[Callable[..., RunningRedis]]:
    """Starts redis-servers: ``redis_server("--maxmemory", "4mb", password="…", tls=True)``. They end with the module."""
    with redis_servers(tmp_path_factory) as start:
        yield start


@contextlib.contextmanager
def redis_servers(tmp_path_factory) -> Iterator[Callable[..., RunningRedis]]:
    """The same for a fixture of another scope: the servers end with the ``with`` statement."""
    running: list[RunningRedis] = []

    def start(*options: str, password: str = "", tls: bool = False, configuration: Path | None = None) -> RunningRedis:
        folder = tmp_path_factory.mktemp("redis")
        port = free_port()
        ports = ["--port", str(port)]
        if tls:
            make_certificate(folder)
            ports = ["--port", "0", "--tls-port", str(port), "--tls-auth-clients", "no"]
            ports += ["--tls-cert-file", "cert.pem", "--tls-key-file", "key.pem", "--tls-ca-cert-file", "cert.pem"]
        file = [str(configuration)] if configuration else []
        command = [binary("redis-server"), *file, *ports, "--bind", HOST, "--dir", str(folder), "--appendonly", "no"]
        command += ["--save", "", *(["--requirepass", password] if password else []), *options]
        server = RunningRedis(_spawn(command, folder), port, folder, password, folder if tls else None)
        running.append(server)
        _wait(server, lambda: _accepts(port), folder / "log")
        return server

    try:
        yield start
    finally:
        for server in running:
            server.stop()


@pytest.fixture(scope="module")
def prometheus_server(tmp_path_factory) -> Iterator[Callable[..., RunningPrometheus]]:
    """Starts Prometheus servers, filled with history: ``prometheus_server(openmetrics(samples))``. They end with the module.

    Args of the factory:
        text: OpenMetrics with timestamps, ended by ``# EOF``; empty for no history.
        scrape: ``host:port`` targets to scrape each second.
        rules: the text of a rules file.
    """
    running: list[RunningPrometheus] = []

    def start(text: str = "", *, scrape: Sequence[str] = (), rules: str = "") -> RunningPrometheus:
        folder = tmp_path_factory.mktemp("prometheus")
        (folder / "data").mkdir()
        if text:
            backfill(text, folder)
        (folder / "rules.yml").write_text(rules or "groups: []\n")
        targets = ", ".join(f"'{target}'" for target in scrape)
        jobs = f"[{{job_name: site, static_configs: [{{targets: [{targets}]}}]}}]" if scrape else "[]"
        config = "global: {scrape_interval: 1s, evaluation_interval: 1s}\n"
        (folder / "prometheus.yml").write_text(f"{config}rule_files: [rules.yml]\nscrape_configs: {jobs}\n")
        port = free_port()
        options = ["--config.file=prometheus.yml", "--storage.tsdb.path=data", "--storage.tsdb.retention.time=30d"]
        options += [f"--web.listen-address={HOST}:{port}", "--log.level=warn"]
        server = RunningPrometheus(_spawn([binary("prometheus"), *options], folder), port, folder)
        running.append(server)
        _wait(server, server.is_ready, folder / "log")
        return server

    yield start
    for server in running:
        server.stop()


def openmetrics(samples: Mapping[str, Sequence[tuple[str, float, float]]]) -> str:
    """OpenMetrics text to backfill.

    Args:
        samples: family → (labels without braces, value, unix time), in the order of time within a series. A family that ends in
            ``_total`` is a counter; any other a gauge. A histogram is given by its parts, as gauges.
    """
    lines = []
    for family, values in samples.items():
        kind = "counter" if family.endswith("_total") else "gauge"
        lines.append(f"# TYPE {family.removesuffix('_total')} {kind}")
        lines += [f"{family}{{{labels}}} {value!r} {at:.3f}" for labels, value, at in values]
    return "\n".join([*lines, "# EOF", ""])


def backfill(text: str, folder: Path) -> None:
    """Write blocks for ``folder/data``. One block a day: the default of 2 h reads the text once for each block."""
    source = folder / "history.txt"
    source.write_text(text)
    command = [binary("promtool"), "tsdb", "create-blocks-from", "openmetrics", "--max-block-duration=24h", "--quiet"]
    done = subprocess.run([*command, str(source), str(folder / "data")], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"promtool refused the history: {done.stdout}{done.stderr}")


def make_certificate(folder: Path) -> None:
    """A self-signed ``cert.pem`` and ``key.pem`` for 127.0.0.1."""
    name = ["-subj", "/CN=test", "-addext", f"subjectAltName=IP:{HOST}"]
    kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    files = ["-keyout", "key.pem", "-out", "cert.pem"]
    subprocess.run([binary("openssl"), "req", *kind, *name, *files], cwd=folder, check=True, capture_output=True)


class TcpServer:
    """Hands every connection to ``act`` in a thread of its own and counts them."""

    def __init__(self, act: Callable[[socket.socket], None]) -> None:
        self.connections_count = 0
        self._act = act
        self._listener = socket.create_server((HOST, 0), backlog=16)
        self.port: int = self._listener.getsockname()[1]
        self.closing = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def http_url(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def redis_url(self) -> str:
        return f"redis://{HOST}:{self.port}/0"

    def close(self) -> None:
        self.closing.set()
        self._listener.close()

    def _accept(self) -> None:
        while not self.closing.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections_count += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            try:
                self._act(connection)
            except OSError:
                return  # the client left, which is what it should do

    def drip(self, connection: socket.socket, text: bytes, *, seconds: float = 0.2) -> None:
        """Send one byte at a time until the client leaves."""
        for index in range(len(text)):
            connection.sendall(text[index : index + 1])
            if self.closing.wait(seconds):
                return


@pytest.fixture
def tcp_server() -> Iterator[Callable[[Callable[[socket.socket], None]], TcpServer]]:
    """Starts TCP servers that do with each connection whatever they are told."""
    servers: list[TcpServer] = []

    def start(act: Callable[[socket.socket], None]) -> TcpServer:
        servers.append(TcpServer(act))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def black_hole() -> Iterator[int]:
    """A port of 127.0.0.1 where nobody takes a connection: its queue is full, so further ones get no answer at all."""
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        listener.listen(0)
        waiting = []
        for _ in range(8):
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
            waiting.append(one)
        time.sleep(0.05)
        yield listener.getsockname()[1]
        for one in waiting:
            one.close()


def _spawn(command: Sequence[str], folder: Path) -> subprocess.Popen[bytes]:
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex((HOST, port)) == 0


def _wait(server: Server, is_up: Callable[[], bool], log: Path) -> None:
    ends = time.monotonic() + 20
    while time.monotonic() < ends and server.process.poll() is None:
        if is_up():
            return
        time.sleep(0.02)
    raise RuntimeError(f"the server did not start: {log.read_text(errors='replace')[-2000:]}")
