"""Which series does the site expose? Learned from its own /metrics, so that history and live data agree."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

from sandbox.errors import SandboxError


@dataclass(frozen=True)
class Target:
    """What Prometheus adds to everything that it scrapes from one place."""

    job: str
    instance: str


WEB = Target("site", "web")
WORKER = Target("worker", "worker")


@dataclass(frozen=True)
class Series:
    """One series as exposed, without the labels of its target.

    Attributes:
        family: name without ``_total``, ``_bucket``, ``_sum`` or ``_count``.
        kind: ``counter``, ``gauge`` or ``histogram``; anything else counts as a gauge.
        name: full name of the sample.
        labels: as exposed.
        value: at the time of reading.
    """

    family: str
    kind: str
    name: str
    labels: Mapping[str, str]
    value: float

    @property
    def key(self) -> tuple[str, tuple[tuple[str, str], ...]]:
        """Name and labels, to compare and to look up."""
        return self.name, tuple(sorted(self.labels.items()))


def read_exposition(text: str) -> list[Series]:
    """Parse the text format.

    Raises:
        SandboxError: it is not the text format.
    """
    try:
        return [
            Series(family.name, family.type, sample.name, dict(sample.labels), sample.value)
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        ]
    except ValueError as error:
        raise SandboxError(f"The site's /metrics is not in Prometheus's text format: {error}") from error


def with_ratio_gauges(series: Iterable[Series]) -> list[Series]:
    """Add the ratio gauges of every endpoint: the site shows them from the first lookup on only."""
    complete = {one.key: one for one in series}
    endpoints = {one.labels["endpoint"] for one in complete.values() if one.family == "cache_requests"}
    for name in ("cache_hit_rate", "cache_penetration_rate"):
        for endpoint in sorted(endpoints):
            gauge = Series(name, "gauge", name, {"endpoint": endpoint}, 0.0)
            complete.setdefault(gauge.key, gauge)
    return list(complete.values())
