"""Figures in one calm style: readable in grey, thresholds labelled, gaps shown as gaps, times in UTC.

Figures are made without pyplot: no global state, and no window system is looked for.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from runbooks_lib import units
from runbooks_lib.facts import History
from runbooks_lib.policy import Policy, Threshold

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, QUIET, HIT, MISS, WARN, FAIL = "#1b1f24", "#6b7280", "#0b62a4", "#9a3412", "#b45309", "#b91c1c"


def plot_rates(history: History, policy: Policy, *, since: datetime | None = None) -> Figure:
    """Hit rate and penetration over the window, each against its thresholds, with the onset marked.

    Args:
        history: ratios 0..1 over time; gaps are None.
        policy: gives the thresholds.
        since: when it began, aware UTC; None draws no mark.

    Returns:
        A figure of two axes that share the time axis, in percent.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.2, 4.0), layout="constrained", facecolor="white")
    upper, lower = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": [3, 2]})
    # A line that only touches 100 % or 0 % is still seen with a margin.
    _draw(upper, history.times, history.hit_ratio, _Look("hit rate", HIT, policy.hit_rate))
    upper.set_ylim(min(50.0, _lowest(history.hit_ratio) - 5), 102)
    _draw(lower, history.times, history.penetration_ratio, _Look("penetration", MISS, policy.penetration))
    lower.set_ylim(-1, max(25.0, _highest(history.penetration_ratio) + 5))
    if since is not None and history.times and history.times[0] <= since <= history.times[-1]:
        for axes in (upper, lower):
            axes.axvline(since, color=INK, linewidth=1, linestyle=(0, (4, 3)))
        # Above the axes, where no line can run through it; towards the middle, so that it is never cut off.
        late = since > history.times[len(history.times) // 2]
        upper.annotate(
            f"began {units.clock(since)}",
            (since, 1),
            xycoords=("data", "axes fraction"),
            xytext=(2 if late else -2, 3),
            textcoords="offset points",
            ha="right" if late else "left",
            fontsize=9,
            color=INK,
        )
    _time_axis(lower, history)
    return figure


def describe_rates(history: History, policy: Policy, *, since: datetime | None = None) -> str:
    """What the figure shows, as a sentence that replaces it for those who cannot see it."""
    hit, penetration = _newest(history.hit_ratio), _newest(history.penetration_ratio)
    span = "no samples" if not history.times else f"{units.clock(history.times[0])} to {units.clock(history.times[-1])}"
    lowest = min((v for v in history.hit_ratio if v is not None), default=None)
    began = f", it left its healthy range about {units.clock(since)}" if since is not None else ""
    gaps = sum(value is None for value in history.hit_ratio)
    return (
        f"Hit rate and penetration, {span}: hit rate now {units.percent(hit)}, lowest {units.percent(lowest)} "
        f"(warning under {units.threshold_percent(policy.hit_rate.warn)}, critical under "
        f"{units.threshold_percent(policy.hit_rate.fail)}); penetration now {units.percent(penetration)} "
        f"(warning over {units.threshold_percent(policy.penetration.warn)}){began}"
        + (f"; {gaps} of {len(history.times)} samples are missing." if gaps else ".")
    )


def to_png(figure: Figure) -> bytes:
    """The figure as PNG at 100 dpi: the smallest size that stays sharp enough for any number of points."""
    buffer = io.BytesIO()
    # No metadata: matplotlib would otherwise write its version, and anything put there would be easy to forget.
    figure.savefig(buffer, format="png", dpi=100, metadata={"Software": None})
    return buffer.getvalue()


@dataclass(frozen=True, slots=True)
class _Look:
    """How one rate is drawn."""

    name: str
    colour: str
    threshold: Threshold


def _draw(axes: Axes, times: Sequence[datetime], ratios: Sequence[float | None], look: _Look) -> None:
    values = [float("nan") if ratio is None else ratio * 100 for ratio in ratios]
    # A marker as well as a line: a single sample between two gaps would otherwise be invisible.
    lonely = "o" if sum(ratio is not None for ratio in ratios) < 3 else None
    moments: Any = list(times)
    axes.plot(moments, values, color=look.colour, linewidth=1.8, marker=lonely, markersize=3)
    threshold = look.threshold
    for limit, word, shade, dashes in (
        (threshold.warn, "warning", WARN, (0, (6, 3))),
        (threshold.fail, "critical", FAIL, (0, (2, 2))),
    ):
        axes.axhline(limit * 100, color=shade, linewidth=1, linestyle=dashes)
        axes.annotate(
            f"{word} {limit * 100:g} %",
            (1, limit * 100),
            xycoords=("axes fraction", "data"),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=8.5,
            color=shade,
            annotation_clip=False,
        )
    axes.set_ylabel(f"{look.name}, %", color=INK, fontsize=9.5)
    axes.tick_params(colors=QUIET, labelsize=8.5)
    axes.grid(axis="y", color="#e5e7eb", linewidth=0.8)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _time_axis(axes: Axes, history: History) -> None:
    from matplotlib.dates import AutoDateLocator, DateFormatter

    axes.xaxis.set_major_locator(AutoDateLocator(tz=UTC, minticks=4, maxticks=8))
    span = (history.times[-1] - history.times[0]).total_seconds() if history.times else 0
    shown = "%H:%M:%S" if span < 1800 else "%H:%M" if span < 2 * 86400 else "%d %b"
    axes.xaxis.set_major_formatter(DateFormatter(shown, tz=UTC))
    axes.set_xlabel("UTC", color=QUIET, fontsize=8.5)


def _newest(values: Sequence[float | None]) -> float | None:
    return next((value for value in reversed(values) if value is not None), None)


def _lowest(values: Sequence[float | None]) -> float:
    return min((value * 100 for value in values if value is not None), default=100.0)


def _highest(values: Sequence[float | None]) -> float:
    return max((value * 100 for value in values if value is not None), default=0.0)
