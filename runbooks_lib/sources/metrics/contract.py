"""Does ``/metrics`` hold what the contract of the site says? Read twice, some seconds apart, from every process.

Nothing is judged here. Processes are taken together: what one of them exports is there, and every series of each is
looked at.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from runbooks_lib.facts import SITE_METRICS, ExpectedMetric, MetricsContract, MetricState
from runbooks_lib.model import Provenance
from runbooks_lib.redaction import one_line
from runbooks_lib.sources.metrics.exposition import Labels, Samples, parse_exposition
from runbooks_lib.sources.metrics.growth import Growth, growth_between, total
from runbooks_lib.sources.metrics.scrapes import STARTED, is_another_process, read_twice

if TYPE_CHECKING:
    from runbooks_lib.sources.site.web import Exposition, Expositions, Web

_PARTS = ("_bucket", "_sum", "_count")
_NAMES = frozenset(
    {STARTED}
    | {one.name for one in SITE_METRICS if one.kind != "histogram"}
    | {f"{one.name}{part}" for one in SITE_METRICS if one.kind == "histogram" for part in _PARTS}
)
#: OpenMetrics declares a counter without its ``_total``.
_DECLARED = {alias: one.name for one in SITE_METRICS for alias in (one.name, one.name.removesuffix("_total"))}
_TYPE = re.compile(
    rf"^#[ \t]++TYPE[ \t]++(?P<name>{'|'.join(sorted(_DECLARED, key=len, reverse=True))})[ \t]++(?P<kind>[^\s]++)",
    re.MULTILINE,
)
#: So many words of a stranger are kept of each kind, each so long.
_WORDS_MAX = 5
_LONGEST_WORD = 80


@dataclass(frozen=True, slots=True)
class _Process:
    """One process at its newest look, and what changed since the one before.

    Attributes:
        samples: of the newest look.
        earlier: of the look before; None where it was read only once, or where another process answered.
        growth: between the two; None likewise.
        kinds: metric → types that it is declared with.
        restarted: it began again in between.
    """

    url: str
    samples: Samples
    earlier: Samples | None
    growth: Growth | None
    kinds: Mapping[str, set[str]]
    alternating: bool = False
    restarted: bool = False


def contract_samples(web: Web, *, apart_seconds: float = 5.0) -> MetricsContract:
    """Every metric of the site's contract: is it there, of its type, with its labels, finite, and does it move?

    Args:
        web: the site; ``metrics_urls`` of its environment are read as well.
        apart_seconds: at least, between the two looks, 0.1..60. A quiet site needs more for its counters to move.

    Returns:
        What was seen; a process that could be read only once is part of all but growth.

    Raises:
        SourceError: (source ``web``) not one process could be read.

    Source:
        GET /metrics twice, text format 0.0.4; the contract of the site, Metrics.
    """
    first, second = read_twice(web, apart_seconds=apart_seconds)
    processes = _processes(first, second)
    apart = _apart_seconds(first, second)
    last = second.pages[-1]
    urls = ", ".join(one.url for one in processes)
    return MetricsContract(
        metrics=tuple(_state(expected, processes) for expected in SITE_METRICS),
        apart_seconds=apart,
        processes=tuple(one.url for one in processes),
        alternating=tuple(one.url for one in processes if one.alternating),
        unread=tuple({(one.what, one.reason): one for one in (*first.unread, *second.unread)}.values()),
        notes=tuple(note for one in processes for note in _notes(one)),
        provenance=Provenance("web", f"GET {urls} twice, {apart:.1f} s apart", last.read_at, apart + last.took_seconds),
    )


def _processes(first: Expositions, second: Expositions) -> tuple[_Process, ...]:
    before, after = ({page.url: page for page in look.pages} for look in (first, second))
    return tuple(_process(before.get(url), after.get(url)) for url in dict.fromkeys((*before, *after)))


def _process(first: Exposition | None, second: Exposition | None) -> _Process:
    newest = second or first
    if newest is None:
        raise ValueError("a process is read at least once")
    samples, kinds = parse_exposition(newest.text, _NAMES), _kinds(newest.text)
    if first is None or second is None:
        return _Process(newest.url, samples, None, None, kinds)
    earlier = parse_exposition(first.text, _NAMES)
    if is_another_process(first, earlier, samples):
        return _Process(newest.url, samples, None, None, kinds, alternating=True)
    growth = growth_between(earlier, samples)
    return _Process(newest.url, samples, earlier, growth, kinds, restarted=_restarted(earlier, samples))


def _restarted(earlier: Samples, samples: Samples) -> bool:
    """It says so itself; where it does not say when it started, all of its counters that had counted fell."""
    before, after = (one.values.get(STARTED, {}).get(()) for one in (earlier, samples))
    if before is not None and after is not None:
        return before != after
    counted = [
        (value, samples.values.get(name, {}).get(labels, 0.0))
        for name in (_counter(one) for one in SITE_METRICS if one.kind != "gauge")
        for labels, value in earlier.values.get(name, {}).items()
        if value > 0
    ]
    return bool(counted) and all(now < value for value, now in counted)


def _apart_seconds(first: Expositions, second: Expositions) -> float:
    before = {page.url: page.read_monotonic for page in first.pages}
    gaps = [page.read_monotonic - before[page.url] for page in second.pages if page.url in before]
    return sum(gaps) / len(gaps) if gaps else 0.0


def _kinds(text: str) -> dict[str, set[str]]:
    kinds: dict[str, set[str]] = {}
    for found in _TYPE.finditer(text):
        kinds.setdefault(_DECLARED[found["name"]], set()).add(found["kind"])
    return kinds


def _state(expected: ExpectedMetric, processes: Iterable[_Process]) -> MetricState:
    processes = tuple(processes)
    series = [labels for one in processes for labels in _series(expected, one.samples)]
    kinds = {kind for one in processes for kind in one.kinds.get(expected.name, ())}
    names = {name for labels in series for name, _ in labels}
    values = [value for one in processes for value in _values(expected, one)]
    growths = [one.growth for one in processes if one.growth is not None]
    backwards = [(one.restarted, _backwards(expected, one)) for one in processes if one.earlier is not None]
    return MetricState(
        expected=expected,
        series_count=len(series),
        declared=bool(kinds),
        other_kinds=_words(kinds - {expected.kind}),
        missing_labels=tuple(label for label in expected.labels if any(label not in dict(labels) for labels in series)),
        extra_labels=_words(names - set(expected.labels)),
        other_values=_words(_other_values(expected, series)),
        not_finite_count=sum(not math.isfinite(value) for value in values),
        out_of_range_count=sum(not _in_range(expected, value) for value in values if math.isfinite(value)),
        missing_edges=_missing_edges(expected, processes),
        growth=_grown(expected, growths),
        backwards_count=sum(count for restarted, count in backwards if not restarted),
        restarted_count=sum(count for restarted, count in backwards if restarted),
    )


def _counter(expected: ExpectedMetric) -> str:
    """The name of the samples that count: a histogram's ``_count`` is one of them."""
    return f"{expected.name}_count" if expected.kind == "histogram" else expected.name


def _series(expected: ExpectedMetric, samples: Samples) -> list[Labels]:
    """The label sets of one metric; those of a histogram without ``le``."""
    if expected.kind != "histogram":
        return list(samples.values.get(expected.name, ()))
    parts = (samples.values.get(f"{expected.name}{part}", {}) for part in _PARTS)
    return list(dict.fromkeys(_without_edge(labels) for part in parts for labels in part))


def _without_edge(labels: Labels) -> Labels:
    return tuple(pair for pair in labels if pair[0] != "le")


def _values(expected: ExpectedMetric, process: _Process) -> Iterator[float]:
    """All values of both looks."""
    names = [f"{expected.name}{part}" for part in _PARTS] if expected.kind == "histogram" else [expected.name]
    for samples in (process.earlier, process.samples):
        for name in names if samples is not None else ():
            yield from samples.values.get(name, {}).values() if samples is not None else ()


def _in_range(expected: ExpectedMetric, value: float) -> bool:
    return 0 <= value <= (math.inf if expected.highest is None else expected.highest)


def _other_values(expected: ExpectedMetric, series: Iterable[Labels]) -> set[str]:
    return {
        f'{name}="{value}"'
        for labels in series
        for name, value in labels
        if name in expected.values and value not in expected.values[name]
    }


def _missing_edges(expected: ExpectedMetric, processes: Iterable[_Process]) -> tuple[float, ...]:
    """Edges that some series of a histogram lack; empty for other metrics, and without a series."""
    if expected.kind != "histogram":
        return ()
    missing: set[float] = set()
    for samples in (one.samples for one in processes):
        edges: dict[Labels, set[float]] = {labels: set() for labels in _series(expected, samples)}
        for labels in samples.values.get(f"{expected.name}_bucket", ()):
            edges[_without_edge(labels)].add(_edge(dict(labels).get("le", "")))
        for found in edges.values():
            missing |= {*expected.edges, math.inf} - found
    return tuple(sorted(missing))


def _edge(text: str) -> float:
    """An upper edge; NaN for what is none, which is equal to nothing."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def _grown(expected: ExpectedMetric, growths: list[Growth]) -> float | None:
    if expected.kind == "gauge" or not growths:
        return None
    return total(growths, _counter(expected))


def _backwards(expected: ExpectedMetric, process: _Process) -> int:
    """Series that fell or are gone."""
    if expected.kind == "gauge" or process.earlier is None:
        return 0
    name = _counter(expected)
    before, after = process.earlier.values.get(name, {}), process.samples.values.get(name, {})
    return sum(labels not in after or after[labels] < value for labels, value in before.items())


def _words(texts: Iterable[str]) -> tuple[str, ...]:
    """A stranger's words: sorted, the first few, shortened, in one line."""
    return tuple(one_line(text, longest=_LONGEST_WORD) for text in islice(sorted(texts), _WORDS_MAX))


def _notes(process: _Process) -> Iterator[str]:
    if process.alternating:
        yield f"{process.url} answers from a different process each time, so its counters do not compare"
    elif process.earlier is None:
        yield f"{process.url} could be read only once"
    if process.restarted:
        yield f"{process.url} restarted between the two looks"
    if process.samples.truncated:
        yield f"{process.url} was cut off"
    if process.samples.ignored_count:
        yield f"{process.url} has {process.samples.ignored_count} unreadable or repeated lines of these metrics"
