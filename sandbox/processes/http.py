"""The smallest HTTP reader for our own servers on loopback, for a process that must not start threads."""

from __future__ import annotations

import asyncio
import contextlib

from sandbox.processes.ports import LOOPBACK


async def fetch(port: int, path: str, *, timeout_seconds: float = 2.0) -> tuple[int, str] | None:
    """Ask a server on loopback.

    Returns:
        Status code and body; None if nobody answers in time.
    """
    with contextlib.suppress(OSError, TimeoutError, ValueError, IndexError, asyncio.IncompleteReadError):
        async with asyncio.timeout(timeout_seconds):
            return await _fetch(port, path)
    return None


async def _fetch(port: int, path: str) -> tuple[int, str]:
    reader, writer = await asyncio.open_connection(LOOPBACK, port)
    try:
        # HTTP/1.0: the answer ends with the connection, so there are no chunks to decode.
        writer.write(f"GET {path} HTTP/1.0\r\nHost: {LOOPBACK}\r\n\r\n".encode())
        await writer.drain()
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    finally:
        writer.close()
    return int(head.split(b" ", 2)[1]), body.decode("utf-8", "replace")


async def accepts(port: int) -> bool:
    """Whether a server accepts connections on a port of loopback."""
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(1.0):
            _, writer = await asyncio.open_connection(LOOPBACK, port)
            writer.close()
            return True
    return False
