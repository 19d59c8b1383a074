"""How did the site do over the last day, hour by hour? Recorded before a release, to hold the release against.

Eight questions, whatever the size of the site: range queries with one point an hour, and one with up to twelve points
an hour for how much of it was observed. The heaviest one reads every bucket of ``http_request_duration_seconds`` once
over 24 h; for a large site, give a ``Prometheus`` with a longer ``timeout_seconds``.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

from runbooks_lib.config import Environment
from runbooks_lib.errors import SourceError
from runbooks_lib.facts import Baseline, Series
from runbooks_lib.facts.rollout import SLOTS_COUNT
from runbooks_lib.model import Unreadable
from runbooks_lib.redaction import one_line
from runbooks_lib.sources.metrics import promql, scraping
from runbooks_lib.sources.metrics.baseline_slots import Columns, by_slot, slots_of
from runbooks_lib.sources.metrics.prometheus import Matrices, Prometheus
from runbooks_lib.sources.metrics.scraping import Selectors
from runbooks_lib.sources.together import Read, read_together

#: Exported by redis_exporter.
REDIS_MEMORY = "redis_memory_used_bytes"
#: How finely it is looked whether an hour was observed: bins that fill it without a rest.
_BINS_OF_A_SLOT = (12, 10, 6, 5, 4, 3, 2, 1)
_DEADLINE_SECONDS = 120.0
#: Query → what the baseline lacks without it.
_WHAT = {
    "codes": "requests and errors",
    "lookups": "hit rate",
    "attempts": "penetration",
    "buckets": "p95 and slow requests",
    "memory": "Redis memory",
    "scrapes": "how often the site was scraped",
    "succeeded": "how many scrapes succeeded",
}
#: Query → the metric without which there is nothing to tell.
_NEEDED = {
    "codes": "http_requests_total",
    "lookups": "cache_requests_total",
    "buckets": "http_request_duration_seconds",
    "memory": REDIS_MEMORY,
}


@dataclass(frozen=True, slots=True)
class _Day:
    """The hours to read: ends of the slots as moments, their length in whole milliseconds."""

    slot_seconds: float
    ended_at: datetime

    @property
    def first_end(self) -> datetime:
        return self.ended_at - timedelta(seconds=(SLOTS_COUNT - 1) * self.slot_seconds)

    @property
    def started_at(self) -> datetime:
        return self.ended_at - timedelta(seconds=SLOTS_COUNT * self.slot_seconds)


def read_baseline(
    prometheus: Prometheus,
    environment: Environment,
    *,
    ended_at: datetime | None = None,
    slot_seconds: float = 3600.0,
) -> Baseline:
    """How did the site do in each hour of the last day?

    Ratios are those of the counts of the whole hour, over all instances. An hour that was not scraped has
    ``observed_ratio`` 0 and None for every value; one that was scraped in part has the values of that part. What could
    not be read at all is None in every hour, and ``notes`` says why.

    Memory is that of the only Redis whose exporter Prometheus scrapes and whose labels do not contradict the
    environment's ``metrics_selector``; where there is none or several, it is None.

    Args:
        prometheus: of this environment.
        environment: whose secrets are removed from notes, and whose selector picks the Redis exporter.
        ended_at: aware; the newest hour ends there or before. The present moment by default.
        slot_seconds: length of an hour, where time runs faster; rounded to milliseconds. Hours begin at its multiples
            of unix time.

    Returns:
        24 slots, oldest first.

    Raises:
        SourceError: nothing could be read, or not what was observed.
        ValueError: ``ended_at`` has no time zone, or a slot is shorter than a second.

    Source:
        increase() over each hour of http_requests_total by code, cache_requests_total by status,
        cache_penetration_attempts_total, http_request_duration_seconds_bucket by le; redis_memory_used_bytes of
        redis_exporter; up.
    """
    day = _day(ended_at, slot_seconds)
    queries = _queries(prometheus, day.slot_seconds)
    reads = {
        name: Read(
            _WHAT[name],
            "prometheus",
            partial(prometheus.query_range_all, {name: query}, day.first_end, day.ended_at, day.slot_seconds),
        )
        for name, query in queries.items()
    }
    answers = read_together(reads, deadline_seconds=_DEADLINE_SECONDS, secrets=environment.secrets)
    failed = {name: answer for name, answer in answers.items() if isinstance(answer, Unreadable)}
    if len(failed) == len(answers):
        first = next(iter(failed.values()))
        raise SourceError(first.reason, source="prometheus", hint=first.hint, kind=first.kind)
    found = {name: answer.series[name] for name, answer in answers.items() if isinstance(answer, Matrices)}
    covered = _covered(prometheus, day, found)
    memory, memory_note = _one_redis(found.get("memory", ()), environment.metrics_selector)
    columns = Columns(
        codes=found.get("codes"),
        lookups=found.get("lookups"),
        attempts=found.get("attempts"),
        buckets=found.get("buckets"),
        memory=memory,
        succeeded=found.get("succeeded", ()),
        covered=covered,
    )
    slots = slots_of(columns, day.started_at.timestamp(), day.slot_seconds)
    return Baseline(day.ended_at, day.slot_seconds, slots, (*_notes(answers), *memory_note))


def _notes(answers: Mapping[str, Matrices | Unreadable]) -> tuple[str, ...]:
    """What is missing and why, each once: failed queries, metrics that are not there, warnings of the server."""
    notes: dict[str, None] = {}
    for name, answer in answers.items():
        if isinstance(answer, Unreadable):
            notes[f"{_WHAT[name]} could not be read: {one_line(answer.reason)}"] = None
            continue
        if name in _NEEDED and not answer.series[name]:
            notes[f"no {_WHAT[name]}: Prometheus has no {_NEEDED[name]} in this time"] = None
        notes |= dict.fromkeys(map(one_line, answer.warnings))
    return tuple(notes)


def _day(ended_at: datetime | None, slot_seconds: float) -> _Day:
    if not 1 <= slot_seconds <= 86_400:
        raise ValueError(f"slot_seconds must be 1..86400, not {slot_seconds}")
    if ended_at is not None and ended_at.tzinfo is None:
        raise ValueError("ended_at must be an aware time: datetime.now(UTC), not datetime.now()")
    milliseconds = round(slot_seconds * 1000)
    now = time.time() if ended_at is None else ended_at.timestamp()
    end = int(now * 1000) // milliseconds * milliseconds
    return _Day(milliseconds / 1000, datetime.fromtimestamp(end / 1000, UTC))


def _queries(prometheus: Prometheus, slot_seconds: float) -> dict[str, str]:
    slot, up = promql.duration(slot_seconds), prometheus.selector("up")
    selectors = _selectors(prometheus)

    def growth(metric: str) -> str:
        return promql.growth(prometheus.selector(metric), up, slot_seconds)

    return {
        "codes": f"sum by (code) ({growth('http_requests_total')})",
        "lookups": f"sum by (status) ({growth('cache_requests_total')})",
        "attempts": f"sum ({growth('cache_penetration_attempts_total')})",
        # Plain increase(): what a histogram is born with does not matter in an hour, and this is the heaviest query.
        "buckets": f"sum by (le) (increase({prometheus.selector('http_request_duration_seconds_bucket')}[{slot}]))",
        # Without the site's selector: the exporter is another job.
        "memory": f"last_over_time({REDIS_MEMORY}[{slot}])",
        "scrapes": f"max(count_over_time({up}[{slot}]) and on (job, instance) "
        f"{scraping.serving(selectors, slot_seconds)})",
        "succeeded": scraping.succeeded(selectors, slot_seconds),
    }


def _selectors(prometheus: Prometheus) -> Selectors:
    return Selectors(*(prometheus.selector(name) for name in ("up", "http_requests_total", "cache_requests_total")))


def _covered(prometheus: Prometheus, day: _Day, found: Mapping[str, Sequence[Series]]) -> tuple[float, ...]:
    """The part of each slot in which a counter of any target was scraped.

    Raises:
        SourceError: Prometheus cannot be read.
    """
    counts = [value for one in found.get("scrapes", ()) for value in one.values if value]
    interval = scraping.interval_seconds({day.slot_seconds: max(counts, default=None)})
    # Without two scrapes in any hour the interval is not known: an hour is observed or not.
    bins = 1 if interval is None else _bins(day.slot_seconds, interval)
    length = day.slot_seconds / bins
    selectors = _selectors(prometheus)
    counter = selectors.requests if found.get("codes") else selectors.lookups
    query = scraping.seen_in_bin(counter, length)
    first = day.started_at + timedelta(seconds=length)
    seen = prometheus.query_range_all({"seen": query}, first, day.ended_at, length).series["seen"]
    return by_slot(seen, day.started_at.timestamp(), day.slot_seconds, bins)


def _bins(slot_seconds: float, interval_seconds: float) -> int:
    """Into how many bins of whole milliseconds a slot is cut, so that a regular scrape falls into every one."""
    shortest = scraping.bin_seconds(slot_seconds, interval_seconds)
    milliseconds = round(slot_seconds * 1000)
    return next(n for n in _BINS_OF_A_SLOT if n == 1 or (milliseconds % n == 0 and slot_seconds / n >= shortest))


def _one_redis(found: Sequence[Series], selector: str) -> tuple[Series | None, tuple[str, ...]]:
    """The memory of the site's Redis, and a note where nobody can tell which one that is."""
    ours = [one for one in found if not promql.contradicts(one.labels, selector)] or list(found)
    if len(ours) > 1:
        return None, (f"no Redis memory: {REDIS_MEMORY} of {len(ours)} servers, and nothing tells which is the site's",)
    return (ours[0] if ours else None), ()
