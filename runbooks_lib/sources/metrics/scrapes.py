"""The answer without Prometheus: two expositions of every process, some seconds apart.

Less than Prometheus in three ways, and the facts say so in ``degraded``: seconds instead of a window, only the
processes that are configured, no history.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from runbooks_lib.errors import SourceError
from runbooks_lib.facts import Lookups, Requests, WarmingActivity
from runbooks_lib.model import Kind, Provenance, Unreadable
from runbooks_lib.redaction import one_line
from runbooks_lib.sources.metrics import histogram
from runbooks_lib.sources.metrics.endpoints import by_endpoint
from runbooks_lib.sources.metrics.exposition import Samples, parse_exposition
from runbooks_lib.sources.metrics.growth import Growth, by_label, growth_between, total
from runbooks_lib.sources.together import Begun, Read

if TYPE_CHECKING:
    from runbooks_lib.sources.site.web import Exposition, Expositions, Web

T = TypeVar("T")

LOOKUPS = "cache_requests_total"
ATTEMPTS = "cache_penetration_attempts_total"
REQUESTS = "http_requests_total"
REQUEST_SECONDS = "http_request_duration_seconds"
THROTTLED = "throttled_requests_total"
WARMING_TASKS = "cache_warming_tasks_total"
WARMING_ITEMS = "cache_warming_items_total"
WARMING_SECONDS = "cache_warming_duration_seconds"
STARTED = "process_start_time_seconds"
_NAMES = frozenset(
    {LOOKUPS, ATTEMPTS, REQUESTS, THROTTLED, WARMING_TASKS, WARMING_ITEMS, STARTED}
    | {f"{name}{part}" for name in (REQUEST_SECONDS, WARMING_SECONDS) for part in ("_bucket", "_sum", "_count")}
)
#: A process that says it started this long before we first looked may still have started in between (clocks differ).
_CLOCK_TOLERANCE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Scraped:
    """What two expositions tell; a part that they do not hold is ``Unreadable`` with the reason."""

    lookups: Lookups | Unreadable
    requests: Requests | Unreadable
    warming: WarmingActivity | Unreadable


@dataclass(frozen=True, slots=True)
class _Pair:
    """Growth over all processes that were read twice, and what limits it."""

    growths: list[Growth]
    window_seconds: float
    degraded: str
    provenance: Provenance


class EarlyScrape:
    """The first of the two expositions, taken while Prometheus is still being asked.

    Prometheus may hang for as long as it is waited for; with both scrapes after that, a slow ``/metrics`` would not fit
    into the time of a triage. It is taken only where Prometheus fails or is slow, so that a healthy site pays nothing.

    Args:
        web: the site.
        patience_seconds: Prometheus may take so long before the scrape is begun.
        secrets: values to remove from a reason (``environment.secrets``).
    """

    def __init__(self, web: Web, *, patience_seconds: float, secrets: Sequence[str] = ()) -> None:
        self._web = web
        self._patience_seconds = patience_seconds
        self._secrets = secrets
        self._begun: Begun[Expositions] | None = None
        self._beginning = threading.Lock()

    def beside(self, ask_prometheus: Callable[[], T]) -> T:
        """What Prometheus answers; the scrape is begun when it fails, or has not answered in time."""
        waiting = threading.Timer(self._patience_seconds, self._begin)
        waiting.daemon = True
        waiting.start()
        try:
            return ask_prometheus()
        except SourceError:
            self._begin()
            raise
        finally:
            waiting.cancel()

    def exposition(self, seconds: float) -> Expositions | Unreadable:
        """The exposition, begun now if it was not before; waits at most so long. Ask once."""
        return self._begin().fact(seconds)

    def _begin(self) -> Begun[Expositions]:
        with self._beginning:
            if self._begun is None:
                self._begun = Begun(
                    Read("first scrape of /metrics", "web", self._web.exposition), secrets=self._secrets
                )
            return self._begun


def two_scrapes(
    web: Web, *, apart_seconds: float, slow_above_seconds: float, first: Expositions | None = None
) -> Scraped:
    """Lookups, requests and warming from the growth of the counters between two expositions.

    Args:
        web: the site; ``metrics_urls`` of its environment are read as well.
        apart_seconds: at least, between the two reads, 0.1..60; without ``first`` the call takes a little longer.
        slow_above_seconds: a request over it is slow; the next higher edge of the histogram is used, and it is said.
        first: the first of the two, where it was read before.

    Raises:
        SourceError: (source ``web``) no process could be read twice.

    Source:
        GET /metrics twice; a rate is growth / seconds between the two reads of the same process.
    """
    pair = _compare(*read_twice(web, apart_seconds=apart_seconds, first=first))
    return Scraped(_lookups(pair), _requests(pair, slow_above_seconds), _warming(pair))


def read_twice(web: Web, *, apart_seconds: float, first: Expositions | None = None) -> tuple[Expositions, Expositions]:
    """Every exposition of the site, and again after a while.

    Args:
        web: the site; ``metrics_urls`` of its environment are read as well.
        apart_seconds: at least, between the two reads, 0.1..60.
        first: the first of the two, where it was read before.

    Raises:
        SourceError: (source ``web``) not one process could be read.
    """
    if not 0.1 <= apart_seconds <= 60:
        raise ValueError(f"apart_seconds must be 0.1..60, not {apart_seconds}")
    first = first or web.exposition()
    since_first = time.monotonic() - max(page.read_monotonic for page in first.pages)
    time.sleep(max(0.0, apart_seconds - since_first))
    return first, web.exposition()


def _compare(first: Expositions, second: Expositions) -> _Pair:
    before = {page.url: page for page in first.pages}
    growths, gaps, notes, dropped = [], [], [], []
    for page in second.pages:
        earlier = before.get(page.url)
        if earlier is None:
            dropped.append(f"{page.url} could only be read once")
            continue
        old, new = parse_exposition(earlier.text, _NAMES), parse_exposition(page.text, _NAMES)
        if is_another_process(earlier, old, new):
            dropped.append(f"{page.url} answers from a different process each time, so its counters do not compare")
            continue
        growths.append(growth_between(old, new))
        gaps.append(page.read_monotonic - earlier.read_monotonic)
        notes += _page_notes(page.url, (old, new), growths[-1])
    dropped += [one_line(unread.reason) for unread in second.unread]
    if not growths:
        raise SourceError(
            f"no process could be compared over two scrapes: {'; '.join(dropped)}",
            source="web",
            hint="with several workers, set PROMETHEUS_MULTIPROC_DIR so that /metrics answers for all of them",
        )
    window = sum(gaps) / len(gaps)
    processes = f"{len(growths)} process{'es' if len(growths) > 1 else ''}"
    degraded = f"two scrapes {window:.1f} s apart, of {processes}; Prometheus could not be read"
    last = second.pages[-1]
    query = f"GET {', '.join(page.url for page in second.pages)} twice, {window:.1f} s apart"
    provenance = Provenance("web", query, last.read_at, window + last.took_seconds)
    return _Pair(growths, window, "; ".join([degraded, *dropped, *notes]), provenance)


def is_another_process(earlier: Exposition, old: Samples, new: Samples) -> bool:
    """Two workers answered in turn. One that was restarted in between is not meant: it began after the first read."""
    started_before = old.values.get(STARTED, {}).get(())
    started_after = new.values.get(STARTED, {}).get(())
    if started_before is None or started_after is None or started_before == started_after:
        return False
    return started_after < earlier.read_at.timestamp() - _CLOCK_TOLERANCE_SECONDS


def _page_notes(url: str, pages: tuple[Samples, Samples], growth: Growth) -> list[str]:
    """What was noticed while one process was compared."""
    notes = []
    if growth.restarts_count:
        notes.append(f"{url} restarted in between ({growth.restarts_count} counters fell): counted from zero")
    if any(page.truncated for page in pages):
        notes.append(f"{url} was cut off")
    ignored = max(page.ignored_count for page in pages) + growth.unusable_count
    if ignored:
        notes.append(f"{url} has {ignored} unreadable or repeated lines, left out")
    return notes


def _lookups(pair: _Pair) -> Lookups | Unreadable:
    if total(pair.growths, LOOKUPS) is None:
        return _missing(
            "lookups", LOOKUPS, "does the site have the enhanced cache? add further processes to metrics_urls"
        )
    counts = (
        (named.get("endpoint", ""), named.get("status", ""), change)
        for growth in pair.growths
        for labels, change in growth.series.get(LOOKUPS, {}).items()
        for named in (dict(labels),)
    )
    return Lookups(
        window_seconds=pair.window_seconds,
        endpoints=by_endpoint(counts),
        penetration_attempts=total(pair.growths, ATTEMPTS),
        instances=len(pair.growths),
        provenance=pair.provenance,
        degraded=pair.degraded,
    )


def _requests(pair: _Pair, slow_above_seconds: float) -> Requests | Unreadable:
    answered = total(pair.growths, REQUESTS)
    counted = total(pair.growths, f"{REQUEST_SECONDS}_count")
    if answered is None and counted is None:
        return _missing("requests", REQUESTS, "the site exports no http_* metrics: read the log of its proxy instead")
    buckets = histogram.sum_buckets(_series(pair.growths, f"{REQUEST_SECONDS}_bucket")) or {}
    (slow, slow_note), (p95, p95_note) = histogram.slow(buckets, slow_above_seconds), histogram.p95(buckets)
    by_code = by_label(pair.growths, REQUESTS, "code")
    no_codes = "" if any(by_code) else f"{REQUESTS} has no label code: errors are not known"
    return Requests(
        window_seconds=pair.window_seconds,
        total=answered if answered is not None else counted or 0.0,
        errors=sum(n for code, n in by_code.items() if code.startswith("5")) if any(by_code) else None,
        slow=slow,
        slow_above_seconds=slow_above_seconds,
        p95_seconds=p95,
        # A counter with a label has no series before its first 429: where there are requests, none means none.
        throttled=by_label(pair.growths, THROTTLED, "scope"),
        provenance=pair.provenance,
        degraded="; ".join(note for note in (pair.degraded, no_codes, slow_note, p95_note) if note),
    )


def _warming(pair: _Pair) -> WarmingActivity | Unreadable:
    if total(pair.growths, WARMING_TASKS) is None:
        return _missing("warming", WARMING_TASKS, "warming runs in the task worker: add its /metrics to metrics_urls")
    tasks: dict[str, dict[str, float]] = {}
    for growth in pair.growths:
        for labels, change in growth.series.get(WARMING_TASKS, {}).items():
            named = dict(labels)
            statuses = tasks.setdefault(named.get("warming_type", ""), {})
            status = named.get("status", "")
            statuses[status] = statuses.get(status, 0.0) + change
    return WarmingActivity(
        window_seconds=pair.window_seconds,
        tasks=tasks,
        items=by_label(pair.growths, WARMING_ITEMS, "warming_type"),
        mean_duration_seconds={name: _mean_seconds(pair.growths, name) for name in tasks},
        slowest_over_seconds={name: _slowest_over(pair.growths, name) for name in tasks},
        provenance=pair.provenance,
        degraded=pair.degraded,
    )


def _mean_seconds(growths: list[Growth], warming_type: str) -> float | None:
    count = total(growths, f"{WARMING_SECONDS}_count", warming_type=warming_type)
    seconds = total(growths, f"{WARMING_SECONDS}_sum", warming_type=warming_type)
    return seconds / count if count and seconds is not None else None


def _slowest_over(growths: list[Growth], warming_type: str) -> float | None:
    series = [
        (labels, change)
        for labels, change in _series(growths, f"{WARMING_SECONDS}_bucket")
        if dict(labels).get("warming_type") == warming_type
    ]
    buckets = histogram.sum_buckets(series)
    return histogram.highest_lower_edge(buckets) if buckets else None


def _series(growths: list[Growth], name: str) -> Iterable[tuple[tuple[tuple[str, str], ...], float]]:
    """All series of one metric; each process keeps its own, so that equal labels do not replace each other."""
    for number, growth in enumerate(growths):
        for labels, change in growth.series.get(name, {}).items():
            yield (*labels, ("process", str(number))), change


def _missing(what: str, metric: str, hint: str) -> Unreadable:
    return Unreadable("web", what, f"no process that could be read exports {metric}", hint, Kind.WRONG)
