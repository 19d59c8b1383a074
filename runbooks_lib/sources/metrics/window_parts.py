"""The parts of a rollout's window, made of the answers of Prometheus: values where there are numbers, else gaps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from runbooks_lib.facts import EndpointLookups, Gap, Sample
from runbooks_lib.model import Unreadable
from runbooks_lib.redaction import one_line
from runbooks_lib.sources.metrics import histogram, scraping
from runbooks_lib.sources.metrics.cohort_counts import CohortCounts, cohort_counts
from runbooks_lib.sources.metrics.missing import Missing
from runbooks_lib.sources.metrics.prometheus import Vectors

_STATUSES = ("hit", "miss", "null_value", "stale")


@dataclass(slots=True)
class Answers:
    """What came back for a window, and what did not."""

    samples: dict[str, tuple[Sample, ...]] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)

    def take(self, part: str, answer: Vectors | Unreadable) -> None:
        """Keep the samples of one part, or why there are none."""
        if isinstance(answer, Unreadable):
            self.failed.add(part)
            self.notes.append(one_line(answer.reason))
        else:
            self.samples.update(answer.samples)
            self.notes += [one_line(text) for text in answer.warnings]

    def one(self, name: str) -> float | None:
        """The only value; None where there is none or it is not finite."""
        return next((sample.value for sample in self.samples.get(name, ())), None)

    def all(self, name: str) -> tuple[Sample, ...]:
        """All samples of one query."""
        return self.samples.get(name, ())


class Parts:
    """Reads the parts of one window out of the answers; each method once.

    Args:
        answers: of Prometheus.
        missing: part → why its main metric has no sample in the window.

    Attributes:
        gaps: part → why it has no value; complete when all methods were called.
    """

    def __init__(self, answers: Answers, missing: Mapping[str, Missing]) -> None:
        self._answers = answers
        self.gaps = dict.fromkeys(answers.failed, Gap.QUERY_FAILED)
        for part, found in missing.items():
            # Processes that warmed before and now show no task of any kind have not warmed since they began.
            if part != "warming" or not found.target_answers:
                self.gaps[part] = found.gap
        for part, name in (("cohorts", "requests scrapes"), ("hit rate", "lookups scrapes")):
            scrapes = answers.one(name)
            if scrapes is not None and scrapes < scraping.MIN_SCRAPES:
                self.gaps[part] = Gap.TOO_FEW

    def cohorts(self) -> CohortCounts:
        """Both cohorts. Whatever their requests lack, their errors and durations lack as well."""
        counts = CohortCounts()
        if "cohorts" not in self.gaps:
            counts = cohort_counts(self._answers.all("requests"), self._answers.all("latency"))
            failed = dict.fromkeys(("latency", "slow"), Gap.QUERY_FAILED) if "latency" in self.gaps else {}
            self.gaps.update({**counts.gaps, **failed})
        if "cohorts" in self.gaps:
            self.gaps.update(dict.fromkeys(("errors", "latency", "slow"), self.gaps["cohorts"]))
        return counts

    def lookups(self) -> EndpointLookups | None:
        """All lookups by status; None where they were not read. An unknown status is a miss."""
        if "hit rate" in self.gaps:
            return None
        sums = dict.fromkeys(_STATUSES, 0.0)
        for sample in self._answers.all("lookups"):
            if sample.value is None:
                self.gaps["hit rate"] = Gap.NONSENSE
                return None
            status = sample.labels.get("status", "")
            sums[status if status in _STATUSES else "miss"] += sample.value
        found = EndpointLookups("all", **sums)
        if found.hit_ratio is None:
            self.gaps["hit rate"] = Gap.TOO_FEW
        return found

    def penetration_ratio(self, lookups: EndpointLookups | None) -> float | None:
        """Lookups of missing resources / lookups; without the counter of attempts a ``null_value`` is one."""
        if "penetration" in self.gaps:
            return None
        if lookups is None or not lookups.total:
            self.gaps["penetration"] = self.gaps["hit rate"]
            return None
        counted = self._answers.all("penetration")
        attempts = counted[0].value if counted else lookups.null_value
        if attempts is None:
            self.gaps["penetration"] = Gap.NONSENSE
            return None
        return min(1.0, attempts / lookups.total)

    def warming_slowest_seconds(self) -> float | None:
        """The lower edge of the highest bucket that a task fell into; None where no task ended."""
        samples = self._answers.all("warming")
        if any(sample.value is None for sample in samples):
            self.gaps["warming"] = Gap.NONSENSE
        if "warming" in self.gaps:
            return None
        series = [((("le", one.labels.get("le", "")),), round(one.value or 0.0, 6)) for one in samples]
        return histogram.highest_lower_edge(histogram.sum_buckets(series) or {})

    def served_percent(self) -> tuple[float, float] | None:
        """Lowest and highest percentage of any process; None where one of them shows no number."""
        values = [one.value for name in ("flag lowest", "flag highest") for one in self._answers.all(name)]
        known = [value for value in values if value is not None]
        if values and len(known) < len(values):
            self.gaps["flag"] = Gap.NONSENSE
        return None if "flag" in self.gaps or not known else (min(known), max(known))
