"""How often may the same complaint be logged? An outage must not fill the disk."""

import logging
import threading
import time


class RateLimitedLog:
    """Logs a warning at most once in ``seconds``, and says how many were left out."""

    def __init__(self, *, logger: logging.Logger, seconds: float = 10.0) -> None:
        self._logger = logger
        self._seconds = seconds
        self._lock = threading.Lock()
        self._last_at = float("-inf")
        self._left_out = 0

    def warning(self, message: str) -> None:
        """Log ``message``, or count it."""
        with self._lock:
            now = time.monotonic()
            if now - self._last_at < self._seconds:
                self._left_out += 1
                return
            left_out, self._left_out, self._last_at = self._left_out, 0, now
        self._logger.warning("%s (left out since the last such line: %d)", message, left_out)
