"""Reads the Prometheus text format (0.0.4), and only the metrics that were asked for.

Own code and not ``prometheus_client.parser``, for three reasons that matter here. That parser gives up the whole page
at one bad line. It takes a value that was cut off by a broken connection for a value. And it needs more than a second
for 5 MB, most of which nobody asked for; lines of other metrics are skipped here before they are looked at.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

Labels = tuple[tuple[str, str], ...]

#: Possessive quantifiers keep the time linear whatever the line holds.
_SAMPLE = re.compile(
    r"""(?P<name>[A-Za-z_:][A-Za-z0-9_:]*+)[ \t]*+
        (?:\{(?P<labels>(?:[^"{}]|"(?:[^"\\]|\\.)*+")*+)\})?[ \t]*+
        (?P<value>[^\s{}"\#]++)
        (?:[ \t]++-?[0-9]++)?[ \t]*+      # a timestamp
        (?:\#.*+)?                        # an exemplar
    """,
    re.VERBOSE | re.DOTALL,
)
_LABEL = re.compile(
    r'[ \t]*+(?P<name>[A-Za-z_][A-Za-z0-9_]*+)[ \t]*+=[ \t]*+"(?P<value>(?:[^"\\]|\\.)*+)"[ \t]*+(?:,|$)',
    re.DOTALL,
)
_VALUE = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[+-]?(?:[iI]nf|NaN|nan)")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
#: More lines of one page are not read: a site with that many series has to be read through Prometheus.
_SAMPLES_MAX = 300_000


@dataclass(frozen=True, slots=True)
class Samples:
    """The samples of one page.

    Attributes:
        values: metric name → labels (sorted pairs) → value; the first one where a line is repeated.
        ignored_count: lines of these metrics that were not readable, repeated, or cut off at the end.
        truncated: the page does not end in a newline, or it is longer than what is read of one page.
    """

    values: Mapping[str, Mapping[Labels, float]]
    ignored_count: int
    truncated: bool


def parse_exposition(text: str, names: frozenset[str]) -> Samples:
    """Read the samples of the named metrics; never raises for what a page holds.

    Args:
        text: the page; it may be truncated and hold anything.
        names: sample names as they stand in the lines (``…_total``, ``…_bucket``).
    """
    values: dict[str, dict[Labels, float]] = {name: {} for name in names}
    truncated = bool(text) and not text.endswith("\n")
    ignored = 0
    for position, found in enumerate(_lines_of(names).finditer(text)):
        if position >= _SAMPLES_MAX:
            return _samples(values, ignored, truncated=True)
        # Nobody knows how much of a last line without its newline is missing: "12" may have been 1234.
        sample = None if truncated and found.end() == len(text) else _parse_sample(found["line"].rstrip(" \t\r"))
        if sample is None or sample[0] in values[found["name"]]:
            ignored += 1
        else:
            values[found["name"]][sample[0]] = sample[1]
    return _samples(values, ignored, truncated=truncated)


def _lines_of(names: frozenset[str]) -> re.Pattern[str]:
    """Finds the lines of these metrics. Only a line feed ends one: ``splitlines`` would cut label values too."""
    alternatives = "|".join(sorted(map(re.escape, names)))
    return re.compile(rf"^[ \t]*+(?P<line>(?P<name>{alternatives})(?![A-Za-z0-9_:])[^\n]*+)", re.MULTILINE)


def _samples(values: Mapping[str, Mapping[Labels, float]], ignored_count: int, *, truncated: bool) -> Samples:
    return Samples({name: series for name, series in values.items() if series}, ignored_count, truncated)


def _parse_sample(line: str) -> tuple[Labels, float] | None:
    found = _SAMPLE.fullmatch(line)
    if found is None or not _VALUE.fullmatch(found["value"]):
        return None
    labels = _parse_labels(found["labels"] or "")
    return None if labels is None else (labels, float(found["value"]))


def _parse_labels(text: str) -> Labels | None:
    """Sorted pairs; None where the text is not a list of labels, or names one of them twice."""
    pairs: dict[str, str] = {}
    position = 0
    while position < len(text.rstrip(" \t")):
        found = _LABEL.match(text, position)
        if found is None or found["name"] in pairs:
            return None
        value = found["value"]
        pairs[found["name"]] = _ESCAPE.sub(_unescaped, value) if "\\" in value else value
        position = found.end()
    return tuple(sorted(pairs.items()))


def _unescaped(match: re.Match[str]) -> str:
    return {"n": "\n", "\\": "\\", '"': '"'}.get(match[1], match[0])


def usable(value: float) -> bool:
    """A counter can have this value: finite and not negative."""
    return math.isfinite(value) and value >= 0
