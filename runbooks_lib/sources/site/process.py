"""One child process: input in, output out, bounded in time and size, ended with everything that it started."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

_CHUNK_BYTES = 64 * 1024
#: How long a process may take to end by itself after its answer.
_GRACE_SECONDS = 1.0
#: How long standard error is still read after standard output was closed, and a group that is ended may clean up.
_COMPLAINT_SECONDS = 0.3


@dataclass(frozen=True, slots=True)
class Limits:
    """What a call is ended by.

    Attributes:
        seconds: for the whole call.
        max_bytes: for each of the two outputs.
        enough: the answer is complete once this stands in standard output; the process may then end in peace for a
            second, whatever it still has running, and is ended after that.
    """

    seconds: float
    max_bytes: int
    enough: bytes


@dataclass(frozen=True, slots=True)
class Finished:
    """How a process ended.

    Attributes:
        exit_code: negative for a signal; None where it was not waited for or not started.
        stdout: what it printed, at most ``max_bytes``.
        stderr: what it complained, at most ``max_bytes``; the last part where it was more.
        timed_out: it was ended because its time was over.
        too_much: it was ended because it printed more than it may.
        not_started: why it could not be started; empty when it was.
    """

    exit_code: int | None
    stdout: bytes = b""
    stderr: bytes = b""
    timed_out: bool = False
    too_much: bool = False
    not_started: str = ""


class Groups:
    """The process groups that are running, so that whoever no longer waits can end them. Serves several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()

    @contextlib.contextmanager
    def holding(self, process: subprocess.Popen[bytes]) -> Iterator[None]:
        """The process counts as running until the end of the block, at which it is ended if it still runs."""
        with self._lock:
            self._running.add(process)
        try:
            yield
        finally:
            # Also when the operator interrupts: nothing may go on in the site without anybody who listens.
            if process.returncode is None:
                _end_group(process)
            with self._lock:
                self._running.discard(process)

    def end(self) -> None:
        """End all of them now, with everything that they started. Takes no longer than sending the signals."""
        with self._lock:
            for process in self._running:
                if process.returncode is None:
                    with contextlib.suppress(ProcessLookupError, PermissionError):
                        os.killpg(process.pid, signal.SIGKILL)


def run_process(
    command: Sequence[str], *, cwd: Path, stdin: bytes, limits: Limits, groups: Groups | None = None
) -> Finished:
    """Run a command in a process group of its own, without a terminal; never raises for what it does.

    Args:
        command: argument list; no shell is involved here.
        cwd: working directory.
        stdin: all of its input; closed afterwards.
        limits: time, size and the end of the answer.
        groups: where the process is listed while it runs.
    """
    try:
        process = subprocess.Popen(  # noqa: S603 - the prefix is the operator's own configuration
            list(command),
            cwd=cwd,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        return Finished(None, not_started=str(error))
    exchange = _Exchange(process, stdin, limits)
    try:
        with (groups or Groups()).holding(process):
            exchange.run()
            exit_code = _wait(process, exchange)
    finally:
        for pipe in (process.stdin, process.stdout, process.stderr):
            _close(pipe)
    return Finished(exit_code, bytes(exchange.out), bytes(exchange.err), exchange.timed_out, exchange.too_much)


class _Exchange:
    """Feeds one process and collects its output until it is done or a limit is reached."""

    def __init__(self, process: subprocess.Popen[bytes], stdin: bytes, limits: Limits) -> None:
        self.process, self.limits, self.enough = process, limits, limits.enough
        self.left = memoryview(stdin)
        self.ends = time.monotonic() + limits.seconds
        self.out, self.err = bytearray(), bytearray()
        self.answered = self.timed_out = self.too_much = False

    def run(self) -> None:
        with selectors.DefaultSelector() as selector:
            for pipe, events in (
                (self.process.stdin, selectors.EVENT_WRITE),
                (self.process.stdout, selectors.EVENT_READ),
                (self.process.stderr, selectors.EVENT_READ),
            ):
                if pipe is not None:
                    os.set_blocking(pipe.fileno(), False)
                    selector.register(pipe, events)
            self.timed_out = not self._pump(selector, self.ends, self.process.stdout)
            if not (self.timed_out or self.answered or self.too_much):
                # Not until its end: the master connection that ssh leaves behind keeps standard error open.
                self._pump(selector, time.monotonic() + _COMPLAINT_SECONDS, self.process.stderr)

    def _pump(self, selector: selectors.BaseSelector, ends: float, until: IO[bytes] | None) -> bool:
        """Move bytes until one output closes, the answer is complete or it is too much; False when time is over."""
        while until is not None and not (until.closed or self.answered or self.too_much):
            left = ends - time.monotonic()
            if left <= 0:
                return False
            for key, _ in selector.select(left):
                if not self._step(key.fileobj):
                    selector.unregister(key.fileobj)
                    _close(key.fileobj)
        return True

    def _step(self, pipe: object) -> bool:
        """Move some bytes; False when this pipe is done."""
        if pipe is self.process.stdin:
            return self._feed(self.process.stdin)
        chunk = os.read(pipe.fileno(), _CHUNK_BYTES)  # type: ignore[attr-defined]  # one of the two output pipes
        if pipe is self.process.stdout:
            # The end marker may lie across two chunks.
            searched = max(0, len(self.out) - len(self.enough))
            self.out += chunk
            self.answered = self.out.find(self.enough, searched) >= 0
            self.too_much = not self.answered and len(self.out) > self.limits.max_bytes
        else:
            self.err += chunk
            del self.err[: -self.limits.max_bytes]
        return bool(chunk)

    def _feed(self, pipe: IO[bytes] | None) -> bool:
        if pipe is None:
            return False
        try:
            self.left = self.left[os.write(pipe.fileno(), self.left[:_CHUNK_BYTES]) :]
        except BrokenPipeError:
            return False  # it does not want more; what it has to say stands in its output
        return len(self.left) > 0


def _wait(process: subprocess.Popen[bytes], exchange: _Exchange) -> int | None:
    """The exit code, if the process ends by itself; None where it has to be ended."""
    if exchange.timed_out or exchange.too_much:
        return None
    left = _GRACE_SECONDS if exchange.answered else max(0.0, exchange.ends - time.monotonic())
    try:
        return process.wait(timeout=left)
    except subprocess.TimeoutExpired:
        exchange.timed_out = not exchange.answered
        return None


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """Ask the whole group to end, then make it. The process is not reaped before, so its number is still its own."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except (ProcessLookupError, PermissionError):
            break  # nobody is left; macOS answers "not permitted" for a group of zombies
        if number == signal.SIGTERM:
            time.sleep(_COMPLAINT_SECONDS)
    with contextlib.suppress(subprocess.TimeoutExpired):  # stuck in the kernel: nothing more can be done to it
        process.wait(timeout=_GRACE_SECONDS)


def _close(pipe: object) -> None:
    if pipe is not None and not pipe.closed:  # type: ignore[attr-defined]
        pipe.close()  # type: ignore[attr-defined]
