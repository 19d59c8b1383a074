"""When an execution must stop: its time limits, and the signals Ctrl-C, SIGTERM and SIGHUP.

A signal becomes a request that the running cell is told of, instead of an end in the middle of a write.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

_SIGNALS = tuple(
    number for name in ("SIGINT", "SIGTERM", "SIGHUP") if (number := getattr(signal, name, None)) is not None
)


@dataclass(frozen=True, slots=True)
class Limits:
    """How long things may take, in seconds; None for ever.

    Attributes:
        cell_seconds: one cell.
        run_seconds: all cells together, the start of the kernel included.
        grace_seconds: after an interrupt, for the ``finally`` blocks of the running cell.
    """

    cell_seconds: float | None = None
    run_seconds: float | None = None
    grace_seconds: float = 5.0


class StopRequest:
    """Whether, by what, and how often this process was asked to stop.

    Attributes:
        number: the first signal that came; None when none did.
        count: how many came. The second one means *now*.
    """

    def __init__(self) -> None:
        self.number: signal.Signals | None = None
        self.count = 0
        self._wake: Callable[[], object] | None = None

    @property
    def reason(self) -> str:
        """``SIGTERM``, in the words that people read."""
        names = {"SIGINT": "Ctrl-C (SIGINT)", "SIGHUP": "the terminal was closed (SIGHUP)"}
        name = self.number.name if self.number else ""
        return names.get(name, name)

    def wake(self, callback: Callable[[], object] | None) -> None:
        """Have this called, from the signal handler, at each signal; None to end that."""
        self._wake = callback

    @contextmanager
    def listening(self) -> Iterator[StopRequest]:
        """Take the signals until the block ends.

        A signal that is ignored stays ignored (``nohup``). Outside the main thread Python cannot take signals, and
        nothing changes.
        """
        previous = {}
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    previous[number] = signal.signal(number, self._handle)
        try:
            yield self
        finally:
            for number, handler in previous.items():
                # None: the handler was not set from Python and cannot be put back.
                signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        self.number = self.number or signal.Signals(number)
        self.count += 1
        if self._wake is not None:
            self._wake()
