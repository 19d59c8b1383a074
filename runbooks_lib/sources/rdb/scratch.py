"""A Redis of our own that a backup is loaded into: for proof, or to look at what is in it.

It listens on a Unix socket in a folder that only its owner may enter, and on no port; it saves nothing; it reads the
file through a link with another name, so that even a SAVE sent to it replaces the link and not the backup.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from redis import UnixDomainSocketConnection, exceptions

from runbooks_lib.errors import SourceError
from runbooks_lib.redaction import one_line
from runbooks_lib.sources.rdb.file import SLOWEST_BYTES_PER_SECOND, shown_path
from runbooks_lib.sources.redis.client import Address, ask, client_for
from runbooks_lib.sources.redis.programs import program
from runbooks_lib.sources.redis.replies import Info

if TYPE_CHECKING:
    import redis

_SOCKET = "redis.sock"
_POLL_SECONDS = 0.02
_END_SECONDS = 5.0
#: A file may hold databases beyond the default 16.
_OPTIONS = ("--port", "0", "--unixsocket", _SOCKET, "--unixsocketperm", "600", "--save", "", "--appendonly", "no")
_MORE_OPTIONS = (
    "--dir",
    ".",
    "--dbfilename",
    "dump.rdb",
    "--databases",
    "10000",
    "--maxmemory",
    "0",
    "--daemonize",
    "no",
)
#: Ends the server and removes its folder ($0) when the process that started it is gone, however that ended: its end of
#: the pipe is closed then.
_WATCHED = """
exec 3<&0
"$@" </dev/null 3<&- & server=$!
( read -r line <&3; rm -rf -- "$0"; kill -KILL $server 2>/dev/null ) & watcher=$!
wait $server; code=$?
kill $watcher 2>/dev/null
exit $code
"""


class ScratchRedis:
    """A running scratch server. Made by ``scratch_redis`` or ``start_scratch``.

    Attributes:
        folder: its own; removed by ``close``.
        process_id: of redis-server.
        loading_seconds: how long it took to load the file.
    """

    def __init__(self, process: subprocess.Popen[bytes], folder: Path) -> None:
        self.folder = folder
        self.process_id = process.pid
        self.loading_seconds = 0.0
        self._process = process

    @property
    def socket(self) -> Path:
        """The path to connect to."""
        return self.folder / _SOCKET

    def address(self, database: int = 0) -> Address:
        """For ``ReadNode`` and ``client_for``."""
        options = {"connection_class": UnixDomainSocketConnection, "path": str(self.socket), "db": database}
        return Address(str(self.socket), database, tls=False, options=options)

    def close(self) -> None:
        """End it and remove its folder. It has nothing that is worth saving."""
        if self._process.stdin is not None:
            self._process.stdin.close()  # the one who watches the pipe ends it
        else:
            self._process.kill()
        try:
            self._process.wait(timeout=_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(timeout=_END_SECONDS)
        shutil.rmtree(self.folder, ignore_errors=True)

    def wait_loaded(self, seconds: float) -> None:
        """Until all of the file is loaded.

        Raises:
            SourceError: it could not be loaded, or not in time.
        """
        started = time.monotonic()
        with contextlib.closing(client_for(self.address(), connect_seconds=2.0, reply_seconds=10.0)) as client:
            while not self._is_loaded(client):
                if self._process.poll() is not None:
                    raise self._failed()
                if time.monotonic() - started > seconds:
                    raise _bad(
                        f"the scratch server had not loaded the file after {seconds:.0f} s", "is memory short here?"
                    )
                time.sleep(_POLL_SECONDS)
        self.loading_seconds = time.monotonic() - started

    def _is_loaded(self, client: redis.Redis) -> bool:
        try:
            info = Info(ask(client, "INFO"))
        except exceptions.RedisError:
            return False  # it does not listen yet
        self.process_id = info.integer("process_id") or self.process_id
        return info.integer("loading") == 0

    def _failed(self) -> SourceError:
        with contextlib.suppress(OSError):
            log = (self.folder / "log").read_text(encoding="utf-8", errors="backslashreplace")
            said = [line.partition(" # ")[2] for line in log.splitlines() if " # " in line and "WARNING" not in line]
            errors = [line for line in said if re.search(r"RDB|DB|module|memory|socket|[Ee]rror|[Cc]an't", line)]
            reason = one_line("; ".join(errors[-2:]) or log[-200:], longest=250)
            return _bad(
                f"the scratch server could not load the file: {reason}", "is it whole, and of a version known here?"
            )
        return _bad("the scratch server ended while it was loading the file", "is memory short here?")


@contextlib.contextmanager
def scratch_redis(rdb: Path) -> Iterator[ScratchRedis]:
    """A server that has loaded the file; ended with the block, and with this process however that ends.

    Raises:
        SourceError: redis-server is not installed, or cannot load the file.
    """
    server = _start(rdb, ("/bin/sh", "-c", _WATCHED), stdin=subprocess.PIPE)
    try:
        server.wait_loaded(_deadline_seconds(rdb))
        yield server
    finally:
        server.close()


def start_scratch(rdb: Path) -> ScratchRedis:
    """A server that has loaded the file and stays up after this process, until it is ended.

    Raises:
        SourceError: redis-server is not installed, or cannot load the file; nothing is left behind.
    """
    server = _start(rdb, (), stdin=subprocess.DEVNULL)
    try:
        server.wait_loaded(_deadline_seconds(rdb))
    except BaseException:
        server.close()
        raise
    return server


def _start(rdb: Path, wrapper: tuple[str, ...], *, stdin: int) -> ScratchRedis:
    server = program("redis-server")
    folder = Path(tempfile.mkdtemp(prefix="runbooks-scratch-"))  # 0700; short, for a socket's path has 100 characters
    try:
        command = [*wrapper, *([str(folder)] if wrapper else []), server, *_OPTIONS, *_MORE_OPTIONS]
        (folder / "dump.rdb").symlink_to(rdb.resolve())
        log = os.open(folder / "log", os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            process = subprocess.Popen(  # noqa: S603 - our own arguments; the file's name is not among them
                command, cwd=folder, stdin=stdin, stdout=log, stderr=log, start_new_session=True
            )
        finally:
            os.close(log)
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise _bad(
            f"the scratch server for {shown_path(rdb)} could not be started: {error}", "look at TMPDIR"
        ) from error
    return ScratchRedis(process, folder)


def _deadline_seconds(rdb: Path) -> float:
    return 60.0 + rdb.stat().st_size / SLOWEST_BYTES_PER_SECOND


def _bad(message: str, hint: str) -> SourceError:
    return SourceError(message, source="redis", hint=hint)
