"""How often is the site scraped, and in which part of a stretch of time was it? Seen from the samples themselves.

Prometheus does not tell its scrape interval to everybody (its servers and agents differ), and neither does a server
that only stores. So the interval is learned from ``up``, and a stretch is cut into bins that are a little longer than
it: a bin without a sample was not observed. Counting samples instead would double what two targets cover and halve what
a rolling deployment replaces.
"""

from __future__ import annotations

from dataclasses import dataclass

from runbooks_lib.sources.metrics import promql

#: A growth from fewer samples than this says nothing: two are the least that can be compared at all.
MIN_SCRAPES = 4
#: A regular scrape falls into every bin that is this much longer than the interval, however the two lie.
_BIN_INTERVALS = 1.5
_FINEST_BINS = 60
_LOOKBACK_WINDOWS = 2
#: Windows before the end at which targets are seen, besides the end itself.
_SEEN_BEFORE = (0.5, 1.0, 2.0)


@dataclass(frozen=True, slots=True)
class Selectors:
    """Selectors of one site: ``up``, the counters of requests and of cache lookups."""

    up: str
    requests: str
    lookups: str


def serving(selectors: Selectors, window_seconds: float) -> str:
    """The targets (job, instance) that had answered requests or looked values up, seen around a window.

    They are seen at its end, its middle and its start, and one window before: four instants cost far less than all
    samples. A task worker that only exports the names of the counters, at 0, is not among them; neither is a process
    that began and ended between two of the instants.
    """
    instants = ["", *(f" offset {promql.duration(part * window_seconds)}" for part in _SEEN_BEFORE)]
    counters = (f"{one}{at} > 0" for at in instants for one in (selectors.requests, selectors.lookups))
    return f"max by (job, instance) ({' or '.join(counters)})"


def succeeded(selectors: Selectors, window_seconds: float) -> str:
    """The part of the scrapes of serving targets that succeeded, 0..1; nothing where there is no ``up``."""
    window = promql.duration(window_seconds)
    targets = serving(selectors, window_seconds)
    good, all_of_them = (
        f"sum({function}({selectors.up}[{window}]) and on (job, instance) {targets})"
        for function in ("sum_over_time", "count_over_time")
    )
    return f"{good} / {all_of_them}"


def most_scrapes(selectors: Selectors, stretch_seconds: float, window_seconds: float) -> str:
    """How many scrapes of one serving target the busiest stretch had, in the last two windows.

    Two, because a Prometheus that was away for most of one window still shows its interval in the other.
    """
    stretch, step = promql.duration(stretch_seconds), promql.duration(stretch_seconds / 2)
    lookback = _LOOKBACK_WINDOWS * window_seconds
    busiest = f"max_over_time(count_over_time({selectors.up}[{stretch}])[{promql.duration(lookback)}:{step}])"
    return f"max({busiest} and on (job, instance) {serving(selectors, window_seconds)})"


def interval_seconds(counts: dict[float, float | None]) -> float | None:
    """The interval between two scrapes, rather too long than too short; None where there were fewer than two.

    Args:
        counts: length of a stretch in seconds → samples in the busiest one.
    """
    # n samples have n - 1 intervals between them, and those fit into the stretch.
    return min((stretch / (count - 1) for stretch, count in counts.items() if count and count >= 2), default=None)


def bin_seconds(window_seconds: float, interval: float) -> float:
    """How long a bin must be, so that every regular scrape falls into one: a sixtieth of the window or longer."""
    return min(window_seconds, max(window_seconds / _FINEST_BINS, _BIN_INTERVALS * interval))


def seen_in_bin(counter: str, bin_length_seconds: float) -> str:
    """How many targets' series of a counter were scraped in the bin that ends now; nothing where none was.

    A millisecond is left out at the start: Prometheus 2 counts a sample there, which belongs to the bin before.
    """
    return f"count(last_over_time({counter}[{promql.duration(bin_length_seconds - 0.001)}]) > 0)"


def covered(counter: str, window_seconds: float, bin_length_seconds: float) -> str:
    """The part of the bins of a window in which a counter of any target that had counted was scraped, 0..1."""
    bins = f"[{promql.duration(window_seconds)}:{promql.duration(bin_length_seconds)}]"
    # Both are cut into the same bins, which begin at multiples of their length, not at the window's start.
    return f"count_over_time({seen_in_bin(counter, bin_length_seconds)}{bins}) / count_over_time(vector(1){bins})"
