"""One line that says what is being done and for how long; it leaves nothing behind where nobody watches."""

from __future__ import annotations

import contextlib
import threading
import time
from types import TracebackType
from typing import Self, TextIO

_EVERY_SECONDS = 0.2


class Progress:
    """A line on a terminal that updates itself, also while one step takes long. Silent when it is not a terminal.

    Args:
        stream: usually standard error, so that a pipe gets the result alone.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._live = stream.isatty()
        self._text = "starting"
        self._started = time.monotonic()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._draw, name="progress", daemon=True)

    def __enter__(self) -> Self:
        if self._live:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._done.set()
            self._thread.join()
            self._write("\r\x1b[K")

    def update(self, text: str) -> None:
        """Say what is being done now, in a few words."""
        self._text = text

    def _draw(self) -> None:
        while not self._done.wait(_EVERY_SECONDS):
            seconds = time.monotonic() - self._started
            self._write(f"\r\x1b[K{self._text[:100]} … {seconds:.1f} s")

    def _write(self, text: str) -> None:
        # A terminal that is gone (the end of an ssh session) must not keep a change from being accounted for.
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(text)
            self._stream.flush()
