"""How do the cache counters of all processes stand?"""

from dataclasses import dataclass

from prometheus_client import REGISTRY
from prometheus_client.multiprocess import MultiProcessCollector

from common.metrics.exposition import multiprocess_directory
from common.metrics.labels import LookupStatus
from common.metrics.recording import SERVED_FROM_CACHE

COUNTER_NAME = "cache_requests_total"


@dataclass(frozen=True)
class LookupTotals:
    """Lookups of all processes over some time, weighted by traffic.

    Attributes:
        count: all lookups.
        served_count: answered from the cache: hit, stale and null_value.
        null_count: answered with a NULL_VALUE.
    """

    count: int
    served_count: int
    null_count: int

    @property
    def hit_ratio(self) -> float | None:
        """served / all, 0..1; None when there were no lookups."""
        return self.served_count / self.count if self.count else None

    @property
    def penetration_ratio(self) -> float | None:
        """null_value / all, 0..1; None when there were no lookups."""
        return self.null_count / self.count if self.count else None

    def since(self, earlier: "LookupTotals") -> "LookupTotals":
        """What came after an earlier reading of the same counters."""
        return LookupTotals(
            count=self.count - earlier.count,
            served_count=self.served_count - earlier.served_count,
            null_count=self.null_count - earlier.null_count,
        )


def lookup_totals() -> LookupTotals:
    """Add the counter up over endpoints and processes; only counter files are read, so it takes milliseconds."""
    counts: dict[str, float] = {}
    directory = multiprocess_directory()
    if directory is None:
        metrics = REGISTRY.collect()
    else:
        metrics = MultiProcessCollector.merge([str(file) for file in directory.glob("counter_*.db")])
    for metric in metrics:
        for sample in metric.samples:
            if sample.name == COUNTER_NAME:
                status = sample.labels["status"]
                counts[status] = counts.get(status, 0) + sample.value
    return LookupTotals(
        count=int(sum(counts.values())),
        served_count=int(sum(counts.get(status, 0) for status in SERVED_FROM_CACHE)),
        null_count=int(counts.get(LookupStatus.NULL_VALUE, 0)),
    )
