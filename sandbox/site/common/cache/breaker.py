"""Should Redis be asked at all? After a failure, one caller tries again each second and the others do without."""

import threading
import time
from collections.abc import Callable


class CircuitBreaker:
    """One per process. Closed: everybody may ask. Open: nobody, but one probe per ``recovery_seconds``.

    A single failure opens it: with a socket timeout of half a second, waiting for a second proof costs each thread
    more than a second of reading from the database does.

    Args:
        recovery_seconds: how long the breaker stays open before one caller may try.
        clock: monotonic seconds.
    """

    def __init__(self, *, recovery_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._recovery_seconds = recovery_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._probe_at: float | None = None

    @property
    def is_open(self) -> bool:
        """Did the last answer fail?"""
        return self._probe_at is not None

    def allows(self) -> bool:
        """May this caller ask? While open, True makes the caller the probe."""
        if self._probe_at is None:
            return True
        with self._lock:
            if self._probe_at is None:
                return True
            now = self._clock()
            if now < self._probe_at:
                return False
            self._probe_at = now + self._recovery_seconds
            return True

    def succeeded(self) -> bool:
        """Close the breaker; returns whether it was open."""
        if self._probe_at is None:
            return False
        with self._lock:
            was_open, self._probe_at = self._probe_at is not None, None
        return was_open

    def failed(self) -> bool:
        """Open the breaker; returns whether it was closed."""
        with self._lock:
            was_closed = self._probe_at is None
            self._probe_at = self._clock() + self._recovery_seconds
        return was_closed
