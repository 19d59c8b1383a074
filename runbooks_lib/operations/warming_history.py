"""How long warming tasks took over the last day, as a figure against the guide's thresholds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from runbooks_lib import units
from runbooks_lib.facts import Series
from runbooks_lib.model import Unreadable
from runbooks_lib.operations.reading import attempt
from runbooks_lib.policy import Threshold
from runbooks_lib.presentation.display import Shown, ShownFigure, show_figure, show_text
from runbooks_lib.sources.metrics.cache_metrics import WARMING_SECONDS
from runbooks_lib.view import View

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Points of the figure: enough to see a change, few enough that each holds some tasks.
_POINTS = 48
#: One look holds some intervals of the schedule, so that a point is seldom empty.
_INTERVALS = 2
_SHORTEST_SECONDS = 60.0
_COLOURS = ("#0b62a4", "#9a3412", "#166534", "#6b21a8", "#6b7280")
_MARKERS = ("o", "s", "^", "D", "v")


def read_durations(view: View) -> tuple[Series, ...] | Unreadable:
    """How long did a warming task take, by strategy, over the guide's 24 h?

    Returns:
        Mean seconds of the tasks that ended in each window; no point where none did.

    Source:
        increase() of cache_warming_duration_seconds_sum / _count, by warming_type.
    """
    end, span = units.now(), view.policy.baseline_seconds
    window = max(_INTERVALS * view.policy.warming_interval_seconds, _SHORTEST_SECONDS)
    step = max(span / _POINTS, window / _INTERVALS)
    total, count = (view.sources.prometheus.selector(f"{WARMING_SECONDS}_{part}") for part in ("sum", "count"))
    grown = [f"sum by (warming_type) (increase({series}[{window:.0f}s]))" for series in (total, count)]
    query = f"{grown[0]} / ({grown[1]} > 0)"
    prometheus = view.sources.prometheus
    start = end - timedelta(seconds=span)
    return attempt(view, "warming durations", "prometheus", lambda: prometheus.query_range(query, start, end, step))


def show_durations(view: View) -> Shown | ShownFigure:
    """The figure, or why there is none."""
    series = read_durations(view)
    if isinstance(series, Unreadable):
        return show_text(f"No figure: durations could not be read ({series.reason}). {series.hint}")
    drawn = {one.labels.get("warming_type", "?"): one for one in series if any(v is not None for v in one.values)}
    if not drawn:
        return show_text(f"No figure: no warming task ended in {units.duration(view.policy.baseline_seconds)}.")
    threshold = view.policy.warming_task
    return show_figure(plot_durations(drawn, threshold), alt=describe_durations(drawn, threshold))


def describe_durations(series: Mapping[str, Series], threshold: Threshold) -> str:
    """What the figure shows, as a sentence that replaces it for those who cannot see it."""
    parts = [f"{name} {_span(_values(one))}" for name, one in sorted(series.items())]
    return (
        f"Mean duration of warming tasks: {'; '.join(parts)} (warning over {units.seconds(threshold.warn)}, "
        f"critical over {units.seconds(threshold.fail)})."
    )


def plot_durations(series: Mapping[str, Series], threshold: Threshold) -> Figure:
    """Seconds over time, one line for each strategy, with the guide's two limits."""
    from matplotlib.dates import AutoDateLocator, DateFormatter
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.2, 2.8), layout="constrained", facecolor="white")
    axes = figure.subplots()
    for number, (name, one) in enumerate(sorted(series.items())):
        points = [(at, value) for at, value in zip(one.times, one.values, strict=True) if value is not None]
        times: Sequence[datetime] = [at for at, _ in points]
        look = {"color": _COLOURS[number % len(_COLOURS)], "marker": _MARKERS[number % len(_MARKERS)]}
        axes.plot(times, [value for _, value in points], markersize=3, linewidth=1.2, label=name[:40], **look)  # type: ignore[arg-type]
    limits = ((threshold.warn, "warning", "#b45309", "top"), (threshold.fail, "critical", "#b91c1c", "bottom"))
    for limit, word, shade, side in limits:
        axes.axhline(limit, color=shade, linewidth=1, linestyle="--")
        axes.annotate(
            f"{word} {units.seconds(limit)}",
            (1, limit),
            xycoords=("axes fraction", "data"),
            xytext=(4, 0),
            textcoords="offset points",
            va=side,
            fontsize=8.5,
            color=shade,
            annotation_clip=False,
        )
    # From a refresh of some milliseconds to a startup of minutes: only a logarithm shows them all.
    axes.set_yscale("log")
    everything = [value for one in series.values() for value in _values(one) if value > 0]
    axes.set_ylim(min([*everything, 1.0]) / 2, max([threshold.fail, *everything]) * 2)
    axes.yaxis.set_major_formatter(lambda value, _: units.seconds(value))
    axes.set_ylabel("mean of a task (log)", fontsize=9)
    axes.tick_params(labelsize=8.5)
    axes.xaxis.set_major_locator(AutoDateLocator(tz=UTC, minticks=3, maxticks=7))
    axes.xaxis.set_major_formatter(DateFormatter("%d %b %H:%M", tz=UTC))
    axes.set_xlabel("UTC", fontsize=8.5)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=len(series), frameon=False, fontsize=8.5)
    return figure


def _values(series: Series) -> list[float]:
    return [value for value in series.values if value is not None]


def _span(values: Sequence[float]) -> str:
    return f"{units.seconds(min(values))} to {units.seconds(max(values))}, last {units.seconds(values[-1])}"
