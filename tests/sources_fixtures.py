"""Fixtures of the sources: environments, servers that misbehave at the socket, a PostgreSQL of our own."""

from __future__ import annotations

import pwd
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runbooks_lib.config import Environment

Handler = Callable[[socket.socket, str], None]
PASSWORD = "p%40ss-w0rd"


def site_environment(**keys: object) -> Environment:
    """An environment whose systems do not exist, but for those that are given."""
    nowhere = {
        "name": "test",
        "redis_url": "redis://127.0.0.1:1/1",
        "prometheus_url": "http://127.0.0.1:1",
        "site_url": "http://127.0.0.1:1",
    }
    return Environment(**{**nowhere, **keys})


class SocketServer:
    """Answers each connection with a handler; what was asked stands in ``requests``."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.requests: list[str] = []
        self.closing = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=16)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self.closing.set()
        self._listener.close()

    def _accept(self) -> None:
        while not self.closing.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            try:
                head = b""
                while b"\r\n\r\n" not in head:
                    chunk = connection.recv(4096)
                    if not chunk:
                        return
                    head += chunk
                request = head.decode("latin-1")
                self.requests.append(request)
                self.handler(connection, request)
            except OSError:
                return  # the client left, which is what it should do


def http_answer(
    body: str | bytes = b"", *, status: int = 200, content_type: str = "application/json", headers: str = ""
) -> bytes:
    """The bytes of one HTTP answer; ``headers`` are further lines, each ended by CRLF."""
    raw = body.encode() if isinstance(body, str) else body
    head = f"HTTP/1.1 {status} X\r\nContent-Type: {content_type}\r\nContent-Length: {len(raw)}\r\n{headers}"
    return f"{head}Connection: close\r\n\r\n".encode() + raw


@pytest.fixture
def socket_server() -> Iterator[Callable[[Handler | bytes], SocketServer]]:
    """Starts servers that send fixed bytes or do whatever a handler does with the connection."""
    servers: list[SocketServer] = []

    def start(handler: Handler | bytes) -> SocketServer:
        act = (lambda connection, _: connection.sendall(handler)) if isinstance(handler, bytes) else handler
        servers.append(SocketServer(act))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A PostgreSQL of our own on a free port, with a password: ``postgresql://runner:…@127.0.0.1:port/postgres``."""
    binaries = _postgres_binaries()
    if binaries is None:
        pytest.skip("PostgreSQL is not installed: apt install postgresql, brew install postgresql or conda install it")
    folder = Path(tempfile.mkdtemp(prefix="runbooks-postgres-"))
    # PostgreSQL refuses to run as root.
    user = _unprivileged_user()
    try:
        if user is not None:
            shutil.chown(folder, user)
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        password_file = folder / "password"
        password_file.write_text("p@ss-w0rd\n")
        data = folder / "data"
        initdb = [binaries / "initdb", "-D", data, "-U", "runner", "-A", "scram-sha-256", "--no-sync", "-E", "UTF8"]
        _run([*initdb, f"--pwfile={password_file}", "--locale=C.UTF-8"], user)
        arguments = ["-D", data, "-p", str(port), "-k", folder, "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]
        server = subprocess.Popen(
            [str(part) for part in [binaries / "postgres", *arguments]],
            user=user,
            extra_groups=[] if user else None,
            stdout=subprocess.DEVNULL,
            stderr=(folder / "log").open("w"),
            cwd="/",
        )
        try:
            _wait_for_port(port, server, folder / "log")
            yield f"postgresql://runner:{PASSWORD}@127.0.0.1:{port}/postgres"
        finally:
            server.terminate()
            server.wait(timeout=20)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _postgres_binaries() -> Path | None:
    found = shutil.which("postgres")
    folders = [Path(found).parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in folders if (folder / "initdb").exists()), None)


def _unprivileged_user() -> str | None:
    import os

    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in ("postgres", "nobody") if name in names)


def _run(command: list[object], user: str | None) -> None:
    subprocess.run(
        [str(part) for part in command],
        check=True,
        user=user,
        extra_groups=[] if user else None,
        capture_output=True,
        cwd="/",
    )


def _wait_for_port(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    import psycopg

    ends = time.monotonic() + 20
    while time.monotonic() < ends and server.poll() is None:
        try:
            psycopg.connect(host="127.0.0.1", port=port, user="runner", password="p@ss-w0rd", dbname="postgres").close()
        except psycopg.OperationalError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"PostgreSQL did not start: {log.read_text()[-2000:]}")
