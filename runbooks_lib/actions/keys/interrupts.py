"""An interrupt waits until a step is done, so that the account of a long write is exact."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

#: A kernel is sent SIGINT at a time limit as well, so that it is not always somebody's Ctrl-C.
_WORDS = {signal.SIGINT: "an interrupt (SIGINT, as by Ctrl-C)", signal.SIGHUP: "the end of its session (SIGHUP)"}


@contextmanager
def held_interrupts() -> Iterator[Callable[[], str]]:
    """Ask the yielded function between two steps: by what was it interrupted? Empty while it was not.

    The second interrupt ends it at once. Outside the main thread, where Python delivers no signal, nothing is held.
    Whoever makes SIGTERM or SIGHUP an interrupt hands it to the handler of SIGINT, with its own number.
    """
    pressed: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield lambda: ""
        return
    before = signal.getsignal(signal.SIGINT)

    def note(number: int, _: FrameType | None) -> None:
        if pressed:
            raise KeyboardInterrupt
        pressed.append(number)

    if before is signal.SIG_IGN or before is None:
        yield lambda: ""  # whoever started this decided that an interrupt means nothing here
        return
    signal.signal(signal.SIGINT, note)
    try:
        yield lambda: _by(pressed[0]) if pressed else ""
    finally:
        signal.signal(signal.SIGINT, before)


def _by(number: int) -> str:
    found = signal.Signals(number)
    return _WORDS.get(found, found.name)
