"""How fresh are a metric's samples, how often is it scraped, and what to say when there is nothing current?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from runbooks_lib import units
from runbooks_lib.errors import SourceError
from runbooks_lib.facts import Sample
from runbooks_lib.sources.metrics import promql
from runbooks_lib.sources.metrics.prometheus import Prometheus

#: Where the interval between scrapes cannot be learned: three of these are two minutes.
DEFAULT_INTERVAL_SECONDS = 40.0
#: A sample this young is never called stale, however often the metric is scraped.
_ALWAYS_FRESH_SECONDS = 5.0
_MISSED_SCRAPES = 3
#: Stretches of time in which samples are counted to learn the interval: PromQL duration → seconds.
_COUNTED_OVER = {"10s": 10, "1m": 60, "5m": 300}


@dataclass(frozen=True, slots=True)
class Freshness:
    """What Prometheus knows about one metric at one moment.

    Attributes:
        now: aware UTC; the moment, by the server's clock.
        age_seconds: of the newest sample of any instance; None without a current one (none in the last 5 min, or the
            target is known to be gone).
        interval_seconds: between two scrapes, learned from the samples; None when there are too few.
    """

    now: datetime
    age_seconds: float | None
    interval_seconds: float | None

    @property
    def scrape_seconds(self) -> float:
        """The interval between two scrapes, or what to assume for it."""
        return self.interval_seconds or DEFAULT_INTERVAL_SECONDS

    @property
    def is_current(self) -> bool:
        """The newest sample is at most 3 scrapes old, or 2 min where the interval is not known."""
        limit = max(_ALWAYS_FRESH_SECONDS, _MISSED_SCRAPES * self.scrape_seconds)
        return self.age_seconds is not None and self.age_seconds <= limit


def freshness_query(series: Sequence[str]) -> str:
    """One instant query for ``freshness_of``.

    Args:
        series: selectors; the freshest of them counts.
    """
    values = {
        "age": f"time() - {_union('timestamp({})', series)}",
        **{name: _union(f"count_over_time({{}}[{name}])", series) for name in _COUNTED_OVER},
        "now": "vector(time())",
    }
    return " or ".join(f'label_replace({value}, "what", "{name}", "", "")' for name, value in values.items())


def freshness_of(samples: Sequence[Sample]) -> Freshness:
    """What the answer to ``freshness_query`` means.

    Raises:
        SourceError: the answer is empty, although every server knows what time it is.
    """
    if not samples:
        raise SourceError(
            "Prometheus does not know what time it is: the answer to vector(time()) is empty",
            source="prometheus",
            hint="which product answers at prometheus_url? ask it with curl and compare",
        )
    values = {sample.labels.get("what"): sample.value for sample in samples}
    counts = ((seconds, values.get(name) or 0) for name, seconds in _COUNTED_OVER.items())
    # n samples in a stretch have n - 1 intervals inside it, so no stretch gives an interval that is too short; a
    # process that has just started fills only the shortest one.
    interval = min((seconds / (count - 1) for seconds, count in counts if count >= 2), default=None)
    return Freshness(samples[0].at, values.get("age"), None if interval is None else promql.nearby_round_step(interval))


def with_age_of_last(
    prometheus: Prometheus, series: Sequence[str], freshness: Freshness, *, window_seconds: float
) -> Freshness:
    """The same with the age of the newest sample of the last day, when there is no current one.

    One scrape that failed ends all series of its target until the next good one, so no current sample alone does not
    mean that the target is down. The age is exact to half a scrape near the window, to 5 min before it.

    Raises:
        SourceError: Prometheus cannot be read.
    """
    if freshness.age_seconds is not None:
        return freshness
    near = max(window_seconds, 300.0)
    resolution = max(near / 500, min(near / 150, freshness.scrape_seconds / 2))
    ranges = (f"{promql.duration(near)}:{promql.duration(resolution)}", "1d:5m")
    queries = {one: _union(f"max_over_time(timestamp({{}})[{one}])", series) for one in ranges}
    answers = prometheus.query_all(queries, freshness.now).samples
    newest = [sample.value for samples in answers.values() for sample in samples if sample.value is not None]
    if not newest:
        return freshness
    # The interval is the one that was kept until then: the silence since would make it look longer.
    last = datetime.fromtimestamp(max(newest), UTC)
    then = freshness_of(prometheus.query_all({"fresh": freshness_query(series)}, last).samples["fresh"])
    age = (freshness.now - last).total_seconds()
    return replace(freshness, age_seconds=age, interval_seconds=then.interval_seconds or freshness.interval_seconds)


def not_current(metric: str, freshness: Freshness) -> SourceError:
    """Why there is no current sample: the target stopped answering, or the metric never was there.

    Args:
        metric: by name.
        freshness: from ``with_age_of_last``.
    """
    if freshness.age_seconds is None:
        return SourceError(
            f"Prometheus has no series of {metric} (none in the last day)",
            source="prometheus",
            hint="is the site scraped, with all its processes? see Status > Targets; check metrics_selector",
        )
    return SourceError(
        f"{metric} is stale: last sample {units.duration(freshness.age_seconds)} ago; target down?",
        source="prometheus",
        hint="see Status > Targets of Prometheus; if all are up, does the clock here run ahead of its clock?",
    )


def _union(template: str, series: Sequence[str]) -> str:
    """The largest value over all series; ``{}`` in the template stands for each selector, which has braces itself."""
    return f"max({' or '.join(template.replace('{}', one) for one in series)})"
