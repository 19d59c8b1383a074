"""How fast may a long walk over a live server go? As fast as nobody notices; slower when somebody might; else it stops.

Two things are watched: how long the walk's own steps take, and a PING on a second connection, which waits as long as
any other client does. A shorter step shortens the stall of others; a pause only makes it rarer. So the step is cut
first.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from runbooks_lib import units

#: Keys for one SCAN. Up to 100 another client hardly feels it; at 1,000 its p99 rises by 0.7 ms, at 10,000 by 27 ms.
LARGEST_STEP = 100
SMALLEST_STEP = 10
#: A step that takes this much longer than a PING is too long.
_SLOW_STEP_SECONDS = 0.005
_LOOK_EVERY_SECONDS = 0.05
#: Late answers in a row after which it stops; the pauses between them add up to about two seconds.
_STRIKES = 5
_FIRST_PAUSE_SECONDS = 0.1


class Pace:
    """The pace of one walk.

    Args:
        ping: seconds of one PING on a connection of its own.
        bound_seconds: how much later than at the beginning a PING may be answered.

    Attributes:
        step: keys for the next SCAN.
        slowed_count: how often it had to slow down.
        stopped: why it must not go on; empty while it may.
    """

    def __init__(self, ping: Callable[[], float], *, bound_seconds: float) -> None:
        self.step = LARGEST_STEP
        self.slowed_count = 0
        self.stopped = ""
        self._ping, self._bound = ping, bound_seconds
        # A server that is late from the start must not become the measure of what is usual.
        self._usual = min(bound_seconds, *(ping() for _ in range(5)))
        self._strikes = 0
        self._slow_in_a_row = 0
        self._looked_at = time.monotonic()

    def after(self, step_seconds: float) -> None:
        """Judge a step, adapt the next one, and wait where that is called for."""
        is_slow = step_seconds > self._usual + _SLOW_STEP_SECONDS
        self._slow_in_a_row = self._slow_in_a_row + 1 if is_slow else 0
        if self._slow_in_a_row > 1:  # a single one is chance: this process may have had to wait for its own core
            self.step = max(SMALLEST_STEP, self.step // 2)
            self.slowed_count += 1
            time.sleep(min(step_seconds, 0.5))
        elif self.step < LARGEST_STEP:
            self.step = min(LARGEST_STEP, self.step + 5)
        # While it is late, it is looked at after every step.
        if self._strikes or time.monotonic() - self._looked_at > _LOOK_EVERY_SECONDS:
            self._look()

    def _look(self) -> None:
        took = self._ping()
        self._looked_at = time.monotonic()
        if took <= self._usual + self._bound:
            self._strikes = 0
            return
        self._strikes += 1
        self.slowed_count += 1
        if self._strikes >= _STRIKES:
            late, limit = units.seconds(took), units.seconds(self._usual + self._bound)
            self.stopped = f"Redis answers a PING after {late} (limit {limit}): it has other things to do"
        else:
            time.sleep(_FIRST_PAUSE_SECONDS * 2 ** (self._strikes - 1))
