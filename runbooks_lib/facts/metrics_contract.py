"""What ``/metrics`` must hold (the contract of the site), and what two looks at it showed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from runbooks_lib.model import Provenance, Unreadable


@dataclass(frozen=True, slots=True)
class ExpectedMetric:
    """One metric of the contract.

    Attributes:
        name: as the contract writes it; a histogram without ``_bucket``, ``_sum``, ``_count``.
        kind: ``counter``, ``gauge`` or ``histogram``.
        labels: names of its labels, without ``le``.
        values: label → the only values that it may have; a label that is not here may have any.
        moves: a site with traffic moves it within seconds, whatever its flags are.
        highest: of a gauge, whose values lie between 0 and this; None for others.
        edges: upper edges in seconds that a histogram must have.
        optional: a site may lack it; what needs it is unknown then.
    """

    name: str
    kind: str
    labels: tuple[str, ...]
    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    moves: bool = False
    highest: float | None = None
    edges: tuple[float, ...] = ()
    optional: bool = False


_WARMING_TYPES = {"warming_type": ("startup", "on_demand", "scheduled")}
_COHORTS = {"cohort": ("enhanced", "legacy")}

#: The contract, in its order.
SITE_METRICS: tuple[ExpectedMetric, ...] = (
    ExpectedMetric(
        "cache_requests_total",
        "counter",
        ("endpoint", "status"),
        {"status": ("hit", "miss", "null_value", "stale")},
        moves=True,
    ),
    ExpectedMetric("cache_penetration_attempts_total", "counter", ("endpoint",)),
    ExpectedMetric(
        "cache_operation_duration_seconds",
        "histogram",
        ("operation", "endpoint"),
        {"operation": ("get", "set", "delete")},
    ),
    ExpectedMetric("cache_hit_rate", "gauge", ("endpoint",), highest=1.0),
    ExpectedMetric("cache_penetration_rate", "gauge", ("endpoint",), highest=1.0),
    ExpectedMetric(
        "cache_warming_tasks_total",
        "counter",
        ("warming_type", "status"),
        {**_WARMING_TYPES, "status": ("success", "error", "skipped")},
    ),
    ExpectedMetric("cache_warming_items_total", "counter", ("warming_type",), _WARMING_TYPES),
    ExpectedMetric(
        "cache_warming_duration_seconds",
        "histogram",
        ("warming_type",),
        _WARMING_TYPES,
        edges=(1, 5, 10, 30, 60, 120, 300),
    ),
    ExpectedMetric(
        "http_requests_total",
        "counter",
        ("endpoint", "method", "code", "cohort"),
        _COHORTS,
        moves=True,
        optional=True,
    ),
    ExpectedMetric(
        "http_request_duration_seconds",
        "histogram",
        ("endpoint", "cohort"),
        _COHORTS,
        moves=True,
        edges=(1,),
        optional=True,
    ),
    ExpectedMetric("throttled_requests_total", "counter", ("scope",), {"scope": ("anon", "user")}),
    ExpectedMetric("feature_flag_percentage", "gauge", ("feature",), highest=100.0),
)


@dataclass(frozen=True, slots=True)
class MetricState:
    """One metric of the contract over all processes that were read.

    What a site wrote (label names and values, types) is a stranger's text: shortened, in one line, at most five each.

    Attributes:
        expected: of the contract.
        series_count: series of all processes at the second look; a histogram counts once for each set of labels.
        declared: a process names its type. Declared without a series: nothing has been counted yet.
        other_kinds: types that are declared and are not the expected one.
        missing_labels: expected labels that some series lack.
        extra_labels: labels that the contract does not know.
        other_values: ``label="value"`` that the contract does not allow.
        not_finite_count: values that are NaN or infinite, of both looks.
        out_of_range_count: values of a gauge outside 0..highest, and negative ones of the others, of both looks.
        missing_edges: edges in seconds that some series of a histogram lack; ``inf`` for ``+Inf``.
        growth: of a counter, or of a histogram's count, between the looks; None for a gauge, and where no process
            could be compared.
        backwards_count: series that fell or are gone at the second look, in processes that did not restart.
        restarted_count: series that fell or are gone because their process restarted in between.
    """

    expected: ExpectedMetric
    series_count: int
    declared: bool
    other_kinds: tuple[str, ...] = ()
    missing_labels: tuple[str, ...] = ()
    extra_labels: tuple[str, ...] = ()
    other_values: tuple[str, ...] = ()
    not_finite_count: int = 0
    out_of_range_count: int = 0
    missing_edges: tuple[float, ...] = ()
    growth: float | None = None
    backwards_count: int = 0
    restarted_count: int = 0

    @property
    def present(self) -> bool:
        """Some process exports it."""
        return self.series_count > 0

    @property
    def moved(self) -> bool | None:
        """It grew between the looks; None where that is not known."""
        return None if self.growth is None else self.growth > 0


@dataclass(frozen=True, slots=True)
class MetricsContract:
    """What two looks at ``/metrics`` of every process showed.

    Attributes:
        metrics: one a metric of the contract, in its order.
        apart_seconds: between the looks; 0 where no process was read twice.
        processes: URLs that were read twice, and those that were read only at one look.
        alternating: URLs where another process answers each time: their counters are those of one worker of several.
        unread: processes that could not be read.
        notes: what else was noticed: a page that was cut off, lines that are no metrics.
        provenance: of both looks.
    """

    metrics: tuple[MetricState, ...]
    apart_seconds: float
    processes: tuple[str, ...]
    alternating: tuple[str, ...]
    unread: tuple[Unreadable, ...]
    notes: tuple[str, ...]
    provenance: Provenance

    def of(self, name: str) -> MetricState:
        """The state of one metric of the contract.

        Raises:
            KeyError: the contract has no such metric.
        """
        for state in self.metrics:
            if state.expected.name == name:
                return state
        raise KeyError(name)
