"""A day by the hour: as a table, and as one calm figure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from runbooks_lib import units
from runbooks_lib.facts import Baseline, BaselineSlot
from runbooks_lib.model import Unreadable
from runbooks_lib.policy import Policy
from runbooks_lib.presentation.display import Shown, ShownFigure, show_figure, show_table, show_text
from runbooks_lib.presentation.plots import HIT, INK, MISS, QUIET, WARN

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLUMNS = ("From (UTC)", "Observed", "Requests", "Hit rate", "Penetration", "p95", "Errors", "Slow")
_MEMORY = "Redis memory"


def show_baseline(baseline: Baseline | Unreadable) -> Shown:
    """One line for each hour: hit rate, penetration, latency, errors, memory, and how much of it was observed."""
    if isinstance(baseline, Unreadable):
        return show_text(f"No baseline: {baseline.what} could not be read ({baseline.reason}). {baseline.hint}")
    rows = [_row(slot) for slot in baseline.slots]
    columns: tuple[str, ...] = _COLUMNS
    # Few sites export it; the note says so once, and no column of 24 times nothing.
    if any(slot.used_memory_bytes is not None for slot in baseline.slots):
        columns = (*columns, _MEMORY)
        rows = [(*row, units.size(slot.used_memory_bytes)) for row, slot in zip(rows, baseline.slots, strict=True)]
    notes = "".join(f"; {note}" for note in baseline.notes)
    caption = (
        f"{units.duration(baseline.slot_seconds)} a line, until {units.timestamp(baseline.ended_at)}, "
        f"{units.percent(baseline.complete_ratio)} observed{notes}"
    )
    return show_table(columns, rows, caption=caption)


def _row(slot: BaselineSlot) -> tuple[str, ...]:
    return (
        units.clock(slot.started_at),
        units.percent(slot.observed_ratio),
        units.count(slot.requests),
        units.percent(slot.hit_ratio),
        units.percent(slot.penetration_ratio),
        units.seconds(slot.p95_seconds),
        units.percent(slot.error_ratio),
        units.percent(slot.slow_ratio),
    )


def show_baseline_figure(baseline: Baseline | Unreadable, policy: Policy) -> Shown | ShownFigure:
    """Hit rate, latency and errors over the day, with gaps as gaps."""
    if isinstance(baseline, Unreadable) or not baseline.complete_ratio:
        return show_text("No figure: nothing was observed.")
    return show_figure(plot_baseline(baseline, policy), alt=describe_baseline(baseline))


def describe_baseline(baseline: Baseline) -> str:
    """What the figure shows, as a sentence that replaces it for those who cannot see it."""
    hits = _known(baseline, lambda slot: slot.hit_ratio)
    latencies = _known(baseline, lambda slot: slot.p95_seconds)
    errors = _known(baseline, lambda slot: slot.error_ratio)
    parts = (
        _span("hit rate", hits, units.percent),
        _span("latency p95", latencies, units.seconds),
        _span("errors", errors, units.percent),
    )
    observed = units.percent(baseline.complete_ratio)
    return f"The day until {units.timestamp(baseline.ended_at)}: {'; '.join(parts)}; {observed} observed."


def plot_baseline(baseline: Baseline, policy: Policy) -> Figure:
    """Three quantities by hour, one above the other.

    Args:
        baseline: 24 slots; what was not measured is a gap.
        policy: gives the thresholds that are drawn.

    Returns:
        A figure of three axes that share the time axis: percent, milliseconds, percent.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.2, 4.8), layout="constrained", facecolor="white")
    hit, latency, errors = figure.subplots(3, 1, sharex=True)
    _draw(hit, _values(baseline, lambda slot: slot.hit_ratio, 100), HIT, "hit rate, %")
    _limit(hit, policy.hit_rate.warn * 100, f"warning {policy.hit_rate.warn * 100:g} %")
    _draw(latency, _values(baseline, lambda slot: slot.p95_seconds, 1000), INK, "p95, ms")
    latency.set_ylim(bottom=0)
    _draw(errors, _values(baseline, lambda slot: slot.error_ratio, 100), MISS, "errors, %")
    _limit(errors, policy.request_errors.warn * 100, f"warning {policy.request_errors.warn * 100:g} %")
    errors.set_ylim(bottom=0)
    ticks = list(range(0, len(baseline.slots), 4))
    errors.set_xticks(ticks, [f"{units.clock(baseline.slots[tick].started_at)}" for tick in ticks])
    errors.set_xlabel("UTC", color=QUIET, fontsize=8.5)
    return figure


def _draw(axes: Axes, values: Sequence[float], colour: str, label: str) -> None:
    # A step for each hour: the value is one of the whole hour, and of no moment in it.
    axes.step(range(len(values)), values, where="mid", color=colour, linewidth=1.6, marker="o", markersize=2.5)
    axes.set_ylabel(label, color=INK, fontsize=9)
    axes.tick_params(colors=QUIET, labelsize=8.5)
    axes.grid(axis="y", color="#e5e7eb", linewidth=0.8)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _limit(axes: Axes, value: float, word: str) -> None:
    axes.axhline(value, color=WARN, linewidth=1, linestyle=(0, (6, 3)))
    axes.annotate(
        word,
        (1, value),
        xycoords=("axes fraction", "data"),
        xytext=(4, 0),
        textcoords="offset points",
        va="center",
        fontsize=8,
        color=WARN,
        annotation_clip=False,
    )


def _values(baseline: Baseline, read: Callable[[BaselineSlot], float | None], factor: float) -> list[float]:
    return [float("nan") if (value := read(slot)) is None else value * factor for slot in baseline.slots]


def _known(baseline: Baseline, read: Callable[[BaselineSlot], float | None]) -> list[float]:
    return [value for slot in baseline.slots if (value := read(slot)) is not None]


def _span(name: str, values: Sequence[float], show: Callable[[float | None], str]) -> str:
    return f"{name} {show(min(values))} to {show(max(values))}" if values else f"{name} not measured"
