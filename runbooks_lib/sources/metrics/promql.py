"""Pieces of PromQL: label matchers, durations, and growth that does not overlook a counter's birth."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import datetime

#: Prometheus refuses a range query with more than 11,000 points a series; some room is left for the aligned ends.
MAX_POINTS = 10_900
_MATCHER = re.compile(
    r"""(?P<name>[a-zA-Z_][a-zA-Z0-9_]*)\s*(?P<operator>=~|!~|!=|=)\s*"""
    r"""(?:"(?P<double>(?:[^"\\]|\\.)*)"|'(?P<single>(?:[^'\\]|\\.)*)'|`(?P<raw>[^`]*)`)"""
)
_LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_ROUND_STEPS_SECONDS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21_600, 43_200, 86_400)


def matcher(name: str, value: str, operator: str = "=") -> str:
    r"""One label matcher, ``name="value"``, with the value escaped (``\``, ``"``, line breaks).

    Args:
        name: of the label.
        value: may come from a stranger. With ``=~`` and ``!~`` it is a regular expression and stays one.
        operator: ``=``, ``!=``, ``=~`` or ``!~``.

    Raises:
        ValueError: the name is not one that a label can have, or the operator does not exist.
    """
    if not _LABEL_NAME.fullmatch(name):
        raise ValueError(f"{name!r} is not the name of a label")
    if operator not in ("=", "!=", "=~", "!~"):
        raise ValueError(f"{operator!r} is not one of = != =~ !~")
    escaped = value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n").replace("\r", r"\r")
    return f'{name}{operator}"{escaped}"'


def selector(metric: str, *matchers: str) -> str:
    """``metric{a="b",c="d"}``; empty matchers are left out."""
    inner = ",".join(stripped for text in matchers if (stripped := text.strip().strip(",")))
    return f"{metric}{{{inner}}}" if inner else metric


def contradicts(labels: Mapping[str, str], matchers: str) -> bool:
    """Does one of the labels not fit its matcher? A label that is not there contradicts nothing.

    Args:
        labels: of an alert; written by a stranger.
        matchers: label matchers without braces, all four operators. One that Python cannot understand (RE2 and its own
            expressions differ in rare forms) fits everything.
    """
    for match in _MATCHER.finditer(matchers):
        value = labels.get(match["name"])
        if value is not None and not _fits(value, match["operator"], _unquoted(match)):
            return True
    return False


def _unquoted(match: re.Match[str]) -> str:
    if match["raw"] is not None:
        return match["raw"]
    quoted = match["double"] if match["double"] is not None else match["single"]
    return re.sub(r"\\(.)", lambda escape: {"n": "\n", "t": "\t", "r": "\r"}.get(escape[1], escape[1]), quoted)


def _fits(value: str, operator: str, wanted: str) -> bool:
    if operator in ("=", "!="):
        return (value == wanted) == (operator == "=")
    try:
        return bool(re.fullmatch(wanted, value, re.DOTALL)) == (operator == "=~")
    except re.error:
        return True


def duration(seconds: float) -> str:
    """A PromQL duration: ``900s``, ``1500ms``. At least a millisecond."""
    milliseconds = max(1, round(seconds * 1000))
    return f"{milliseconds}ms" if milliseconds % 1000 else f"{milliseconds // 1000}s"


def growth(series: str, up: str, window_seconds: float) -> str:
    """How much each counter grew over the window, one value a series.

    ``increase()`` for a series that was there before. It extrapolates to the edges of the window, so counts have
    fractions, and it sees through restarts. But it compares samples with each other, so it cannot see the value that a
    series is *born* with: a site that makes ``status="miss"`` at the first miss would lose that miss, and a burst of
    them before the next scrape.

    A series counts as born in the window when it did not exist at the window's start and has fewer samples than its
    target had good scrapes (``up``): Prometheus was already looking when it appeared, so it began at zero and its value
    is its growth. After a gap in scraping, or for a target that is new itself, it has as many: then only
    ``increase()`` counts, and what the process did before its first scrape stays invisible.

    Args:
        series: selector of the counter.
        up: selector of ``up`` for the same targets. Without such series nothing counts as born.
        window_seconds: over 0.
    """
    window = duration(window_seconds)
    seen_late = (
        f"count_over_time({series}[{window}])"
        f" < on (job, instance) group_left () max by (job, instance) (sum_over_time({up}[{window}]))"
    )
    return f"((({series} unless {series} offset {window}) and ({seen_late})) or increase({series}[{window}]))"


def round_step(seconds: float) -> float:
    """The next round step that is not shorter: 1, 2, 5, 10, 15, 30 s, … , whole days."""
    day = _ROUND_STEPS_SECONDS[-1]
    return next(
        (float(step) for step in _ROUND_STEPS_SECONDS if step >= seconds), math.ceil(seconds / day) * float(day)
    )


def nearby_round_step(seconds: float) -> float:
    """The round step that differs by at most a tenth, else the value itself: 15.8 → 15, 75 → 75."""
    return next((float(step) for step in _ROUND_STEPS_SECONDS if abs(step - seconds) <= 0.1 * step), seconds)


def widened_step(range_seconds: float, step_seconds: float) -> float:
    """The step to ask for: the wanted one, or the next round one that keeps a series below 11,000 points.

    Raises:
        ValueError: the step is not over 0.
    """
    if not 0 < step_seconds < math.inf:
        raise ValueError(f"step_seconds must be over 0, not {step_seconds}")
    needed = range_seconds / MAX_POINTS
    # Whole milliseconds, as they travel: a rounded step would otherwise run past the end and lose the last point.
    return max(0.001, round(step_seconds, 3)) if step_seconds >= needed else round_step(needed)


def aligned(start: datetime, end: datetime, step_seconds: float) -> tuple[float, float]:
    """Start and end as unix times, moved down to multiples of the step: a second look gives the same points.

    Raises:
        ValueError: a time has no time zone, or the end is before the start.
    """
    if start.tzinfo is None or end.tzinfo is None:
        raise ValueError("start and end must be aware times: datetime.now(UTC), not datetime.now()")
    if end < start:
        raise ValueError(f"the end {end:%H:%M:%S} is before the start {start:%H:%M:%S}")
    step = round(step_seconds * 1000)
    first, last = (math.floor(at.timestamp() * 1000 + 1e-3) // step * step / 1000 for at in (start, end))
    return first, last
