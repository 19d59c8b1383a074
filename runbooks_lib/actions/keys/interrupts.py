"""Ctrl-C waits until a step is done, so that the account of a long write is exact."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def held_interrupts() -> Iterator[Callable[[], bool]]:
    """Ask the yielded function between two steps: has Ctrl-C been pressed? Pressed again, it interrupts at once.

    Outside the main thread, where Python delivers no signal, nothing is held.
    """
    pressed: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    before = signal.getsignal(signal.SIGINT)

    def note(number: int, _: FrameType | None) -> None:
        if pressed:
            raise KeyboardInterrupt
        pressed.append(number)

    if before is signal.SIG_IGN or before is None:
        yield lambda: False  # whoever started this decided that Ctrl-C means nothing here
        return
    signal.signal(signal.SIGINT, note)
    try:
        yield lambda: bool(pressed)
    finally:
        signal.signal(signal.SIGINT, before)
