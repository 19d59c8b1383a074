"""Fixtures of the sources: environments, servers that misbehave at the socket, a PostgreSQL of our own."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

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
def postgres_url(postgresql_server: dict[str, Any]) -> str:
    """A database whose URL holds a password with a special character: ``postgresql://runner:…@127.0.0.1:port/postgres``."""
    import psycopg

    port, name, password = (postgresql_server[key] for key in ("port", "user", "password"))
    where = f"host=127.0.0.1 port={port} user={name} password={password} dbname=postgres"
    with psycopg.connect(where, autocommit=True) as connection:
        connection.execute("CREATE ROLE runner SUPERUSER LOGIN PASSWORD 'p@ss-w0rd'")
    return f"postgresql://runner:{PASSWORD}@127.0.0.1:{port}/postgres"
