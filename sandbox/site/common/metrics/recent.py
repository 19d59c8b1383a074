"""How have lookups gone of late? The counters only grow; a difference of two readings speaks of the time between."""

from collections import deque
from threading import Lock
from time import monotonic

from django.conf import settings

from common.metrics.totals import LookupTotals, lookup_totals

# One reading a second is enough to find one of the right age.
MIN_SECONDS_BETWEEN = 1.0


class RecentLookups:
    """Readings of the counters over the last ``SITE_HEALTH_WINDOW_SECONDS``, kept by each process for itself.

    Every health check and every scrape takes one, so that a site that is monitored always has one of some age. The
    first answer of a process, which has nothing to compare with, is over everything since the start.
    """

    def __init__(self) -> None:
        self._readings: deque[tuple[float, LookupTotals]] = deque()
        self._lock = Lock()

    def observe(self) -> LookupTotals:
        """Take a reading, and return the lookups since the oldest one that is kept (or since the start)."""
        now, totals = monotonic(), lookup_totals()
        with self._lock:
            # One reading from before the window stays: a worker that was seldom asked compares with that one, and not
            # with its start, which may hold an outage that is long over.
            while len(self._readings) > 1 and now - self._readings[1][0] > settings.HEALTH_WINDOW_SECONDS:
                self._readings.popleft()
            oldest = self._readings[0][1] if self._readings else None
            if not self._readings or now - self._readings[-1][0] >= MIN_SECONDS_BETWEEN:
                self._readings.append((now, totals))
        # Fewer than before: the counters began again, and what they show now is all there is.
        return totals if oldest is None or oldest.count > totals.count else totals.since(oldest)


recent_lookups = RecentLookups()
