"""Why has a metric no sample in a window: was it never there, has it ended, or does its target not answer?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from runbooks_lib.facts import Gap
from runbooks_lib.sources.metrics import promql
from runbooks_lib.sources.metrics.prometheus import Prometheus

#: Looked back so far, in steps at which an instant query still sees the sample before.
_LOOKBACK = "1d:5m"


@dataclass(frozen=True, slots=True)
class Missing:
    """Why a metric has no sample.

    Attributes:
        gap: the reason.
        target_answers: the job that exported it within the last day is scraped successfully: its processes show no
            such series any more. A counter with labels has none before the first event that it counts.
    """

    gap: Gap
    target_answers: bool = False


def why_missing(
    prometheus: Prometheus, metrics: Mapping[str, str], window_seconds: float, at: datetime
) -> dict[str, Missing]:
    """Name → why its metric has no sample in the window that ends at ``at``.

    Args:
        prometheus: of this environment.
        metrics: name → selector.
        window_seconds: over 0.
        at: aware; the end of the window.

    Raises:
        SourceError: Prometheus cannot be read.

    Source:
        The metric over the last day in steps of 5 min, and ``up`` of the jobs that exported it.
    """
    up = f"max_over_time({prometheus.selector('up')}[{promql.duration(window_seconds)}])"
    queries = {"up": f"max({up})"}
    for name, series in metrics.items():
        before = f"max by (job) (max_over_time(timestamp({series})[{_LOOKBACK}]))"
        queries[f"{name} before"] = f"max({before})"
        queries[f"{name} up"] = f"max({up} and on (job) {before})"
    samples = prometheus.query_all(queries, at).samples
    values = {name: found[0].value if found else None for name, found in samples.items()}
    return {name: _missing(values[f"{name} before"], values[f"{name} up"], values["up"]) for name in metrics}


def _missing(before: float | None, its_up: float | None, any_up: float | None) -> Missing:
    if its_up == 0 or (before is None and any_up == 0):
        return Missing(Gap.TARGET_DOWN)
    if before is None:
        return Missing(Gap.NO_SERIES)
    return Missing(Gap.STALE, target_answers=its_up is not None)
