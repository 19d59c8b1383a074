"""Facts for a gradual rollout: what one look measured, by cohort, and the baseline that was recorded before it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

#: The baseline is kept by hour of day; in a sandbox, where time runs faster, by a twenty-fourth of its day.
SLOTS_COUNT = 24


class Gap(StrEnum):
    """Why something could not be measured. The values stand in the ledger."""

    NO_SERIES = "no series"
    STALE = "stale"
    TARGET_DOWN = "target down"
    QUERY_FAILED = "query failed"
    TOO_FEW = "too few"
    NOT_LABELLED = "not labelled"
    NO_BUCKET = "no bucket"
    NONSENSE = "nonsense"


@dataclass(frozen=True, slots=True)
class CohortSample:
    """The requests of one cohort in one window, summed over all instances.

    Attributes:
        requests: answered requests.
        errors: answers with a 5xx code; None where not known.
        slow: requests over the guide's slow limit (1 s); None where not known.
        buckets: upper edge in seconds (``inf`` last) → requests at or below it, cumulative; empty where not known.
    """

    requests: float
    errors: float | None = None
    slow: float | None = None
    buckets: Mapping[float, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RolloutWindow:
    """What one look measured over its window. Windows of one stage follow each other and never overlap.

    Attributes:
        started_at: aware UTC.
        ended_at: aware UTC.
        enhanced: the cohort that gets the feature; None where it could not be read. Without traffic it is 0 requests.
        control: the cohort that does not; likewise.
        served_percent: lowest and highest ``feature_flag_percentage`` of any instance in the window; None where no
            instance shows it.
        hit_ratio: (hit + stale + null_value) / lookups, of both cohorts, which share one Redis; None when unread.
        lookups: of both cohorts together.
        penetration_ratio: lookups of missing resources / lookups; None when unread.
        warming_slowest_seconds: the slowest warming task took longer than this (a lower bucket edge); None where no
            task ended in the window or it could not be read.
        observed_ratio: the part of the window in which the site was scraped, 0..1.
        gaps: what could not be measured (``cohorts``, ``errors``, ``latency``, ``slow``, ``hit rate``, ``penetration``,
            ``warming``, ``flag``, ``scrapes``) → why. ``errors``, ``latency`` and ``slow`` are of both cohorts, whose
            requests are known; without ``scrapes`` the window counts as not observed.
        queries: name → PromQL, for the record.
        notes: reasons in words: what Prometheus answered instead, what it said is missing from an answer.
    """

    started_at: datetime
    ended_at: datetime
    enhanced: CohortSample | None = None
    control: CohortSample | None = None
    served_percent: tuple[float, float] | None = None
    hit_ratio: float | None = None
    lookups: float | None = None
    penetration_ratio: float | None = None
    warming_slowest_seconds: float | None = None
    observed_ratio: float = 1.0
    gaps: Mapping[str, Gap] = field(default_factory=dict)
    queries: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        """Its length."""
        return (self.ended_at - self.started_at).total_seconds()


@dataclass(frozen=True, slots=True)
class BaselineSlot:
    """One hour of day of the baseline; a value is None where it was not measured.

    Attributes:
        started_at: aware UTC, of the hour that was measured.
        observed_ratio: the part of the hour in which the site was scraped, 0..1.
        hit_ratio: 0..1.
        penetration_ratio: 0..1.
        p95_seconds: of all requests.
        error_ratio: 5xx / requests.
        slow_ratio: requests over 1 s / requests.
        requests: answered requests.
        used_memory_bytes: of Redis, at the end of the hour.
    """

    started_at: datetime
    observed_ratio: float
    hit_ratio: float | None = None
    penetration_ratio: float | None = None
    p95_seconds: float | None = None
    error_ratio: float | None = None
    slow_ratio: float | None = None
    requests: float | None = None
    used_memory_bytes: float | None = None


@dataclass(frozen=True, slots=True)
class Baseline:
    """How the site did over a day before a release, by hour of day (UTC).

    Attributes:
        ended_at: aware UTC, the end of the newest slot.
        slot_seconds: 3,600; less where time runs faster.
        slots: ``SLOTS_COUNT`` of them; the one for a moment is ``at(moment)``.
        notes: what is missing from it, and why; empty when nothing is.
    """

    ended_at: datetime
    slot_seconds: float
    slots: tuple[BaselineSlot, ...]
    notes: tuple[str, ...] = ()

    def at(self, moment: datetime) -> BaselineSlot | None:
        """The slot of the same hour of day; None where it was not measured."""
        wanted = int(moment.timestamp() // self.slot_seconds) % SLOTS_COUNT
        for slot in self.slots:
            if int(slot.started_at.timestamp() // self.slot_seconds) % SLOTS_COUNT == wanted:
                return slot
        return None

    @property
    def complete_ratio(self) -> float:
        """How much of the day was observed, 0..1."""
        return sum(slot.observed_ratio for slot in self.slots) / SLOTS_COUNT
