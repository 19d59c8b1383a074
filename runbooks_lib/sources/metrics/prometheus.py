"""Prometheus's HTTP API, which Thanos, Mimir and VictoriaMetrics speak as well."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from runbooks_lib.config import Environment
from runbooks_lib.errors import SourceError
from runbooks_lib.facts import Alert, Alerts, Sample, Series
from runbooks_lib.model import Provenance
from runbooks_lib.sources.metrics import promql
from runbooks_lib.sources.metrics.prometheus_http import Reply, Transport
from runbooks_lib.sources.together import side_by_side

if TYPE_CHECKING:
    from prometheus_api_client import PrometheusConnect

T = TypeVar("T")

#: A server without a ruler (Thanos Querier, VictoriaMetrics), or a user who may not see the rules.
_NO_RULES = frozenset({400, 403, 404, 405, 501})


class PrometheusWarning(UserWarning):
    """Prometheus answered, and said that something is missing from the answer."""


@dataclass(frozen=True, slots=True)
class Vectors:
    """The answers to several instant queries.

    Attributes:
        samples: name → result; empty where nothing matched.
        warnings: what the server said is missing from the answers, each once.
    """

    samples: Mapping[str, tuple[Sample, ...]]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Matrices:
    """The answers to several range queries over the same times.

    Attributes:
        series: name → result; empty where nothing matched.
        start_seconds: unix time of the first point asked for.
        end_seconds: unix time of the last point asked for.
        step_seconds: as asked for, after widening.
        warnings: what the server said is missing from the answers, each once.
    """

    series: Mapping[str, tuple[Series, ...]]
    start_seconds: float
    end_seconds: float
    step_seconds: float
    warnings: tuple[str, ...] = ()


class _Data(msgspec.Struct):
    resultType: str  # noqa: N815  # the API's own name
    result: msgspec.Raw


class _Element(msgspec.Struct):
    """One element of a vector or a matrix. Native histograms have neither ``value`` nor ``values``."""

    metric: dict[str, str] = {}
    value: tuple[float, str] | None = None
    values: list[tuple[float, str]] = []


class _Alert(msgspec.Struct):
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    state: str = ""
    activeAt: str | None = None  # noqa: N815  # the API's own name


class _AlertList(msgspec.Struct):
    alerts: list[_Alert]


class _Rule(msgspec.Struct):
    type: str = ""


class _RuleGroup(msgspec.Struct):
    rules: list[_Rule] = []


class _RuleGroups(msgspec.Struct):
    groups: list[_RuleGroup]


class Prometheus:
    """The Prometheus of one environment. Serves several threads; nothing is sent before the first question.

    Args:
        environment: ``prometheus_url``, and ``metrics_selector`` for ``selector``.
        timeout_seconds: deadline of one question, retry included. Only a broken connection, 502 and 504 are tried
            a second time; a query that ran into its time limit is not.

    Raises:
        SourceError: ``prometheus_url`` cannot be understood.
    """

    def __init__(self, environment: Environment, *, timeout_seconds: float = 3.0) -> None:
        self._environment = environment
        self._transport = Transport(
            environment.prometheus_url, timeout_seconds=timeout_seconds, secrets=environment.secrets
        )

    def __repr__(self) -> str:
        """The environment's name only."""
        return f"Prometheus({self._environment.name!r})"

    @property
    def client(self) -> PrometheusConnect:
        """The same session as a ``PrometheusConnect``, for what this class does not offer.

        Its own methods have the timeouts and no retries, but neither the deadline nor the checks of this class.
        """
        return self._transport.connect

    def selector(self, metric: str, *matchers: str) -> str:
        """``metric{…}`` with the environment's ``metrics_selector`` and these matchers; see ``promql.matcher``."""
        return promql.selector(metric, self._environment.metrics_selector, *matchers)

    def query(self, promql: str, at: datetime | None = None) -> tuple[Sample, ...]:
        """The result of one instant query; empty where nothing matched.

        Args:
            promql: is sent as it stands; build selectors with ``selector`` so that ``metrics_selector`` applies.
            at: aware; the server's present moment by default.

        Warns:
            PrometheusWarning: the server says that something is missing from the answer.

        Raises:
            SourceError: no answer, or not one to this question.

        Source:
            /api/v1/query
        """
        result = self.query_all({"query": promql}, at)
        _tell(result.warnings)
        return result.samples["query"]

    def query_all(self, queries: Mapping[str, str], at: datetime | None = None) -> Vectors:
        """The results of several instant queries, asked side by side.

        Args:
            queries: name → PromQL.
            at: aware; by default the server's present moment, which differs by milliseconds from query to query.

        Raises:
            SourceError: one of them has no answer.
        """
        moment = {} if at is None else {"time": f"{_unix(at):.3f}"}
        replies = self._ask_all("/api/v1/query", [{"query": text, **moment} for text in queries.values()])
        samples = {name: _vector(reply) for name, reply in zip(queries, replies, strict=True)}
        return Vectors(samples, _warnings(replies))

    def query_range(self, promql: str, start: datetime, end: datetime, step_seconds: float) -> tuple[Series, ...]:
        """The result of one range query; empty where nothing matched.

        Args:
            promql: is sent as it stands.
            start: aware; moved down to a multiple of the step, so that a second look gives the same points.
            end: aware; likewise.
            step_seconds: widened to a round one where a series would have more than 11,000 points.

        Warns:
            PrometheusWarning: the server says that something is missing from the answer.

        Raises:
            SourceError: no answer, or not one to this question.

        Source:
            /api/v1/query_range
        """
        result = self.query_range_all({"query": promql}, start, end, step_seconds)
        _tell(result.warnings)
        return result.series["query"]

    def query_range_all(
        self, queries: Mapping[str, str], start: datetime, end: datetime, step_seconds: float
    ) -> Matrices:
        """The results of several range queries over the same times, asked side by side. See ``query_range``.

        Raises:
            SourceError: one of them has no answer.
        """
        step = promql.widened_step((end - start).total_seconds(), step_seconds)
        first, last = promql.aligned(start, end, step)
        times = {"start": f"{first:.3f}", "end": f"{last:.3f}", "step": f"{step:.3f}"}
        replies = self._ask_all("/api/v1/query_range", [{"query": text, **times} for text in queries.values()])
        series = {name: _matrix(reply) for name, reply in zip(queries, replies, strict=True)}
        return Matrices(series, first, last, step, _warnings(replies))

    def alerts(self) -> Alerts:
        """Which alerts are firing or pending, and how many alerting rules are evaluated?

        In a shared Prometheus an alert of another site is left out: one whose labels contradict ``metrics_selector``.
        A label that the alert does not have contradicts nothing. ``rules_count`` is None where the server does not show
        its rules.

        Raises:
            SourceError: the alerts cannot be read.

        Source:
            /api/v1/alerts, /api/v1/rules?type=alert
        """
        started, read_at = time.monotonic(), datetime.now(UTC)
        listed, rules = side_by_side(
            [
                lambda: self._transport.get("/api/v1/alerts", {}),
                lambda: self._transport.get(
                    "/api/v1/rules", {"type": "alert", "exclude_alerts": "true"}, tolerate=_NO_RULES
                ),
            ]
        )
        ours = [alert for alert in _decode(listed, _AlertList).alerts if self._is_ours(alert.labels)]
        took = time.monotonic() - started
        return Alerts(
            alerts=tuple(_alert(alert) for alert in ours),
            rules_count=None if rules.data is None else _count_rules(_decode(rules, _RuleGroups)),
            provenance=Provenance("prometheus", "/api/v1/alerts; /api/v1/rules", read_at, took),
            degraded="; ".join(_warnings([listed, rules])),
        )

    def ready(self) -> float:
        """How long does the simplest question take, in seconds?

        It is a query, because behind a path prefix, in Mimir and in Thanos there is no other common one.

        Raises:
            SourceError: it is not reached, or cannot answer.

        Source:
            /api/v1/query?query=1
        """
        started = time.monotonic()
        _vector(self._transport.get("/api/v1/query", {"query": "1"}))
        return time.monotonic() - started

    def _ask_all(self, path: str, parameters: Sequence[dict[str, str]]) -> list[Reply]:
        return side_by_side([lambda one=one: self._transport.get(path, one) for one in parameters])  # type: ignore[misc]

    def _is_ours(self, labels: Mapping[str, str]) -> bool:
        return not promql.contradicts(labels, self._environment.metrics_selector)


def _warnings(replies: Sequence[Reply]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text for reply in replies for text in reply.warnings))


def _tell(texts: Sequence[str]) -> None:
    for text in texts:
        warnings.warn(f"Prometheus: {text}", PrometheusWarning, stacklevel=3)


def _decode(reply: Reply, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(reply.data or b"null", type=kind)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:  # ValueError: not UTF-8
        raise _unexpected(str(error)) from error


def _vector(reply: Reply) -> tuple[Sample, ...]:
    """A vector as it is; a scalar as one sample without labels."""
    data = _decode(reply, _Data)
    raw = Reply(data.result)
    if data.resultType == "scalar":
        return (_sample({}, _decode(raw, tuple[float, str])),)
    if data.resultType != "vector":
        raise _unexpected(f"a {data.resultType} where values were asked for: a range needs a function around it")
    return tuple(_sample(one.metric, one.value) for one in _decode(raw, list[_Element]) if one.value)


def _matrix(reply: Reply) -> tuple[Series, ...]:
    data = _decode(reply, _Data)
    if data.resultType != "matrix":
        raise _unexpected(f"a {data.resultType} where series were asked for")
    found = []
    for one in _decode(Reply(data.result), list[_Element]):
        samples = [_sample({}, pair) for pair in one.values]
        found.append(Series(one.metric, tuple(s.at for s in samples), tuple(s.value for s in samples)))
    return tuple(found)


def _sample(labels: dict[str, str], pair: tuple[float, str]) -> Sample:
    try:
        value = float(pair[1])
        at = datetime.fromtimestamp(pair[0], UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise _unexpected(f"a sample {pair!r:.60}") from error
    return Sample(labels, value if math.isfinite(value) else None, at)


def _alert(alert: _Alert) -> Alert:
    return Alert(
        name=alert.labels.get("alertname", ""),
        state=alert.state,
        severity=alert.labels.get("severity", ""),
        summary=alert.annotations.get("summary") or alert.annotations.get("description", ""),
        active_at=_moment(alert.activeAt),
        labels=alert.labels,
    )


def _moment(text: str | None) -> datetime | None:
    """An RFC 3339 time; None for none, for the year 1 (Go's zero time) and for what is not one."""
    try:
        at = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return None if at.tzinfo is None or at.year == 1 else at.astimezone(UTC)


def _count_rules(groups: _RuleGroups) -> int:
    return sum(rule.type == "alerting" for group in groups.groups for rule in group.rules)


def _unix(at: datetime) -> float:
    if at.tzinfo is None:
        raise ValueError("at must be an aware time: datetime.now(UTC), not datetime.now()")
    return at.timestamp()


def _unexpected(what: Any) -> SourceError:
    return SourceError(
        f"Prometheus answered something that its API does not define: {what}",
        source="prometheus",
        hint="which product and version answers at prometheus_url? ask it with curl and compare",
    )
