"""What one look of a gradual rollout measured: one window, by cohort, out of the site's metrics in Prometheus.

Nothing is raised for what is missing. Each part of a window that could not be measured has a gap with its reason, so
that judgement can hold and say why.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial

from runbooks_lib.config import Environment
from runbooks_lib.errors import SourceError
from runbooks_lib.facts import Gap, RolloutWindow
from runbooks_lib.redaction import one_line
from runbooks_lib.sources.metrics import promql, scraping
from runbooks_lib.sources.metrics.missing import Missing, why_missing
from runbooks_lib.sources.metrics.prometheus import Prometheus
from runbooks_lib.sources.metrics.scraping import Selectors
from runbooks_lib.sources.metrics.window_parts import Answers, Parts
from runbooks_lib.sources.together import Read, read_together

REQUESTS = "http_requests_total"
REQUEST_SECONDS = "http_request_duration_seconds"
LOOKUPS = "cache_requests_total"
ATTEMPTS = "cache_penetration_attempts_total"
WARMING_SECONDS = "cache_warming_duration_seconds"
FLAG = "feature_flag_percentage"

#: Part of a window → the metric without which it is not known.
_MAIN_METRICS = {
    "cohorts": REQUESTS,
    "hit rate": LOOKUPS,
    "warming": f"{WARMING_SECONDS}_count",
    "flag": FLAG,
}
#: Every question has a deadline of its own; this one is only there so that nothing waits for ever.
_DEADLINE_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class _Observed:
    """Which part of a window was observed, 0..1, and by which query it is known; 0 where it is not."""

    ratio: float = 0.0
    queries: Mapping[str, str] = field(default_factory=dict)
    gap: Gap | None = None


class RolloutMetrics:
    """The site's metrics as a gradual rollout needs them. Serves several threads.

    Args:
        prometheus: of this environment.
        environment: whose secrets are removed from notes.
    """

    def __init__(self, prometheus: Prometheus, environment: Environment) -> None:
        self._prometheus = prometheus
        self._environment = environment
        self._selectors = Selectors(*(prometheus.selector(metric) for metric in ("up", REQUESTS, LOOKUPS)))

    def __repr__(self) -> str:
        """The environment's name only."""
        return f"RolloutMetrics({self._environment.name!r})"

    def window(self, feature: str, started_at: datetime, ended_at: datetime) -> RolloutWindow:
        """What happened between two moments, to those who got the feature and to those who did not?

        Counts are the growth of counters over exactly this window (see ``promql.growth``), so they have fractions.
        A window should have ended some scrapes ago: Prometheus shows a sample when it is stored, and servers that
        receive samples (remote write, Thanos, Mimir) may store one a minute late. A window that is read too early is
        read as it is, with less observed; the same window read again later can differ by its last samples.

        ``observed_ratio`` is the part of the window in which the counters of any serving target were scraped, times
        the part of the serving targets' scrapes that succeeded. Serving are those that had counted requests or
        lookups when they were seen in this window or at the start of the one before. Where nobody stores ``up``, the
        first factor alone.

        Args:
            feature: name of the flag; may hold anything.
            started_at: aware.
            ended_at: aware, after ``started_at``, in the past.

        Returns:
            The window; a part that could not be measured is None and stands in ``gaps``.

        Raises:
            ValueError: a moment has no time zone, or the window has no length.

        Source:
            http_requests_total by cohort and code; http_request_duration_seconds_bucket by cohort and le;
            cache_requests_total by status; cache_penetration_attempts_total; cache_warming_duration_seconds_bucket
            by le; feature_flag_percentage; up.
        """
        seconds = _length(started_at, ended_at)
        parts = self._questions(feature, seconds)
        answers = self._ask(parts, ended_at)
        read = Parts(answers, self._why_missing(answers, feature, seconds, ended_at))
        counts, lookups = read.cohorts(), read.lookups()
        observed = self._observed(answers, seconds, ended_at)
        values = RolloutWindow(
            started_at=started_at,
            ended_at=ended_at,
            enhanced=counts.enhanced,
            control=counts.control,
            served_percent=read.served_percent(),
            hit_ratio=None if lookups is None else lookups.hit_ratio,
            lookups=None if lookups is None else lookups.total,
            penetration_ratio=read.penetration_ratio(lookups),
            warming_slowest_seconds=read.warming_slowest_seconds(),
            observed_ratio=observed.ratio,
        )
        return replace(
            values,
            gaps={**read.gaps, **({"scrapes": observed.gap} if observed.gap else {})},
            queries={name: text for asked in (*parts.values(), observed.queries) for name, text in asked.items()},
            notes=tuple(dict.fromkeys(answers.notes)),
        )

    def _questions(self, feature: str, seconds: float) -> dict[str, dict[str, str]]:
        """Part → name → PromQL. A part is asked on its own, so that one query that is refused fails no other."""
        window, flag = promql.duration(seconds), self._flag(feature)
        stretches = {f"scrapes in {promql.duration(one)}": one for one in _stretches(seconds)}
        return {
            "cohorts": {
                "requests": self._growth(REQUESTS, seconds, "cohort", "code"),
                "requests scrapes": f"max(count_over_time({self._selectors.requests}[{window}]))",
            },
            "latency": {"latency": self._growth(f"{REQUEST_SECONDS}_bucket", seconds, "cohort", "le")},
            "hit rate": {
                "lookups": self._growth(LOOKUPS, seconds, "status"),
                "lookups scrapes": f"max(count_over_time({self._selectors.lookups}[{window}]))",
            },
            "penetration": {"penetration": self._growth(ATTEMPTS, seconds)},
            "warming": {"warming": self._growth(f"{WARMING_SECONDS}_bucket", seconds, "le")},
            "flag": {
                "flag lowest": self._of_serving(f"min_over_time({flag}[{window}])", window),
                "flag highest": self._of_serving(f"max_over_time({flag}[{window}])", window),
            },
            "scrapes": {
                "scrapes succeeded": scraping.succeeded(self._selectors, seconds),
                **{name: scraping.most_scrapes(self._selectors, one, seconds) for name, one in stretches.items()},
            },
        }

    def _ask(self, parts: Mapping[str, Mapping[str, str]], at: datetime) -> Answers:
        reads = {
            part: Read(part, "prometheus", partial(self._prometheus.query_all, queries, at))
            for part, queries in parts.items()
        }
        answers = Answers()
        secrets = self._environment.secrets
        for part, answer in read_together(reads, deadline_seconds=_DEADLINE_SECONDS, secrets=secrets).items():
            answers.take(part, answer)
        return answers

    def _why_missing(self, answers: Answers, feature: str, seconds: float, at: datetime) -> dict[str, Missing]:
        """Part → why its main metric has no sample in the window, where it has none; asked only then."""
        first_answers = {
            "cohorts": "requests scrapes",
            "hit rate": "lookups scrapes",
            "warming": "warming",
            "flag": "flag lowest",
        }
        empty = [part for part, name in first_answers.items() if part not in answers.failed and not answers.all(name)]
        if not empty:
            return {}
        metrics = {part: self._prometheus.selector(_MAIN_METRICS[part]) for part in empty}
        metrics |= {"flag": self._flag(feature)} if "flag" in metrics else {}
        try:
            return why_missing(self._prometheus, metrics, seconds, at)
        except SourceError as error:
            answers.notes.append(one_line(error.message))
            return {part: Missing(Gap.QUERY_FAILED) for part in metrics}

    def _observed(self, answers: Answers, seconds: float, at: datetime) -> _Observed:
        """How much of the window was observed; asked second, because it needs the interval between two scrapes."""
        if "scrapes" in answers.failed:
            return _Observed(gap=Gap.QUERY_FAILED)
        requests, lookups = answers.one("requests scrapes"), answers.one("lookups scrapes")
        counter, scrapes = (self._selectors.requests, requests) if requests else (self._selectors.lookups, lookups)
        in_stretches = {one: answers.one(f"scrapes in {promql.duration(one)}") for one in _stretches(seconds)}
        interval = scraping.interval_seconds(in_stretches) or scraping.interval_seconds({seconds: scrapes})
        if interval is None:
            return _Observed()
        query = scraping.covered(counter, seconds, scraping.bin_seconds(seconds, interval))
        try:
            answers.take("covered", self._prometheus.query_all({"covered": query}, at))
        except SourceError as error:
            answers.notes.append(one_line(error.message))
            return _Observed(queries={"covered": query}, gap=Gap.QUERY_FAILED)
        succeeded = answers.one("scrapes succeeded")
        ratio = (answers.one("covered") or 0.0) * (1.0 if succeeded is None else succeeded)
        return _Observed(min(1.0, max(0.0, ratio)), {"covered": query})

    def _growth(self, metric: str, seconds: float, *labels: str) -> str:
        by = f" by ({', '.join(labels)})" if labels else ""
        return f"sum{by} ({promql.growth(self._prometheus.selector(metric), self._selectors.up, seconds)})"

    def _of_serving(self, values: str, window: str) -> str:
        """Of the targets that answered requests in the window; of all where none did.

        An idle process (a worker without tasks) shows what it served last, perhaps hours ago, and serves nobody.
        """
        serving = f"sum by (job, instance) (increase({self._selectors.requests}[{window}])) > 0"
        return f"({values} and on (job, instance) ({serving})) or ({values} unless on () count({serving}))"

    def _flag(self, feature: str) -> str:
        return self._prometheus.selector(FLAG, promql.matcher("feature", feature))


def _length(started_at: datetime, ended_at: datetime) -> float:
    if started_at.tzinfo is None or ended_at.tzinfo is None:
        raise ValueError("started_at and ended_at must be aware times: datetime.now(UTC), not datetime.now()")
    seconds = (ended_at - started_at).total_seconds()
    if not seconds > 0:
        raise ValueError(f"the window must end after it began, not {seconds:g} s later")
    return seconds


def _stretches(seconds: float) -> tuple[float, float]:
    """The scrape interval is learned from the whole window and from a quarter, which an outage may leave whole."""
    return seconds, seconds / 4
