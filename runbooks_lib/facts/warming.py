"""Facts about warming: its statistics, locks, runs and workers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from runbooks_lib.facts.site import Flag
from runbooks_lib.model import Provenance


@dataclass(frozen=True, slots=True)
class WarmingType:
    """Accumulated statistics of one warming strategy, from the hash ``cache_warming_stats``.

    ``runs_count``, ``tasks_count``, ``failures_count`` and ``duration_seconds`` (a sum) grow for ever;
    ``last_run_at`` is aware UTC, None when it never ran.
    """

    name: str
    runs_count: int
    tasks_count: int
    failures_count: int
    duration_seconds: float
    last_run_at: datetime | None


@dataclass(frozen=True, slots=True)
class WarmingLock:
    """One key ``cache_warming_lock:<type>:<identifier>``. ``ttl_seconds`` is None for a lock that never expires."""

    name: str
    ttl_seconds: float | None


@dataclass(frozen=True, slots=True)
class Warming:
    """What Redis knows about warming: the statistics by strategy and the locks that are held now.

    ``warnings`` name what could not be understood, and say when the search for locks ended early; ``complete`` is
    False then.
    """

    types: tuple[WarmingType, ...]
    locks: tuple[WarmingLock, ...]
    provenance: Provenance
    warnings: tuple[str, ...] = ()
    complete: bool = True


@dataclass(frozen=True, slots=True)
class WarmingActivity:
    """Warming by strategy over a window, from the metrics.

    Attributes:
        tasks: strategy → status (``success``, ``error``, ``skipped``) → count.
        items: strategy → items warmed.
        mean_duration_seconds: strategy → mean duration of a task; None where nothing ran.
        slowest_over_seconds: strategy → lower edge of the highest histogram bucket that a task fell into (0, 1,
            5, 10, 30, 60, 120 or 300): the slowest task took longer than this. None where nothing ran.
        degraded: why this is less than it should be; empty when it is not.
    """

    window_seconds: float
    tasks: Mapping[str, Mapping[str, float]]
    items: Mapping[str, float]
    mean_duration_seconds: Mapping[str, float | None]
    slowest_over_seconds: Mapping[str, float | None]
    provenance: Provenance
    degraded: str = ""


@dataclass(frozen=True, slots=True)
class WarmingPermission:
    """May the site warm? By its settings (None where they do not say), by its flag, and is there a command for it?"""

    enabled: bool | None
    flag: Flag
    has_command: bool
    provenance: Provenance


@dataclass(frozen=True, slots=True)
class WorkerTask:
    """One task that a Celery worker is working on."""

    worker: str
    name: str


@dataclass(frozen=True, slots=True)
class WorkerTasks:
    """What the Celery workers that answered are working on; a worker that did not answer is not counted."""

    workers_count: int
    tasks: tuple[WorkerTask, ...]
    provenance: Provenance
