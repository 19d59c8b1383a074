"""Watching a cache come back after it was emptied."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime

from runbooks_lib import units
from runbooks_lib.errors import SourceError
from runbooks_lib.judgement.recovery import Course, Recovery, judge_recovery
from runbooks_lib.policy import Policy
from runbooks_lib.sources.metrics.cache_metrics import CacheMetrics

_LEAST_LOOKBACK_SECONDS = 60.0


def ignore(_: Recovery) -> None:
    """Tell nobody."""


def watch_recovery(  # noqa: PLR0913 - what to watch, and how long
    metrics: CacheMetrics,
    before_ratio: float | None,
    *,
    since: datetime,
    policy: Policy,
    deadline_seconds: float = 600.0,
    every_seconds: float = 5.0,
    on_look: Callable[[Recovery], None] = ignore,
) -> Recovery:
    """Look at the hit rate until it has come back, rises no more, or the deadline is reached.

    Args:
        metrics: of the site.
        before_ratio: 0..1, the hit rate before the cache was emptied; None when not known.
        since: aware; when it was emptied.
        policy: of the environment; its traffic floor says which samples count.
        deadline_seconds: how long to watch at most.
        every_seconds: between two looks.
        on_look: told after each look.

    Returns:
        The last judgement; ``unknown`` where Prometheus could not be read, with the reason.
    """
    ends = time.monotonic() + deadline_seconds
    while True:
        recovery = look_at_recovery(metrics, before_ratio, since=since, policy=policy)
        on_look(recovery)
        left = ends - time.monotonic()
        if recovery.course in (Course.RECOVERED, Course.PLATEAU) or left <= 0:
            return recovery
        time.sleep(min(every_seconds, left))


def look_at_recovery(metrics: CacheMetrics, before_ratio: float | None, *, since: datetime, policy: Policy) -> Recovery:
    """Where does the hit rate stand now? One look; a failure to read is ``unknown``, never an error."""
    passed = (units.now() - since).total_seconds()
    try:
        history = metrics.history(max(_LEAST_LOOKBACK_SECONDS, passed))
    except SourceError as error:
        return Recovery(Course.UNKNOWN, before_ratio, None, None, None, passed, f"It cannot be told: {error.message}")
    return judge_recovery(history, since=since, before_ratio=before_ratio, min_per_second=policy.min_lookups_per_second)
