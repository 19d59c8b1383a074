"""Writes the history as OpenMetrics text and lets promtool make blocks of it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from sandbox.errors import PartFailed
from sandbox.history.series import Detail, Line
from sandbox.history.timeline import RESOLUTION

# Every n-th point of the grid, in its older, middle and recent stretch.
THINNING = {
    Detail.FINE: (1, 1, 1),
    Detail.MIDDLE: (5, 2, 2),
    Detail.COARSE: (5, 4, 2),
    Detail.RARE: (10, 8, 5),
    Detail.CONSTANT: (5, 8, 30),
}
# promtool reads the whole text once for each block, so one block it shall be.
ONE_BLOCK = "--max-block-duration=100000h"


def points_of(times: NDArray[np.float64], detail: Detail) -> NDArray[np.intp]:
    """Return the indices of the samples that a series of some detail gets; the last one is always among them."""
    ages = times[-1] - times
    stretches = np.zeros(len(times), dtype=int)
    for index, (age, _) in enumerate(RESOLUTION):
        stretches[ages <= age] = index
    position = np.arange(len(times) - 1, -1, -1)
    steps = np.array(THINNING[detail])[stretches]
    return np.flatnonzero(position % steps == 0)


def write_open_metrics(stream: TextIO, lines: Iterable[Line], times: NDArray[np.float64], part: slice) -> int:
    """Write the samples of one stretch of the grid.

    Args:
        stream: where to write.
        lines: the series.
        times: the grid, unix seconds.
        part: the stretch, as indices of the grid.

    Returns:
        How many samples were written.
    """
    stamps = np.array([f" {int(at)}\n" for at in times], dtype=object)
    points = {detail: _within(points_of(times, detail), part) for detail in Detail}
    count = 0
    for (family, kind), members in _families(lines):
        stream.write(f"# TYPE {family} {kind}\n")
        for line in members:
            chosen = points[line.detail]
            prefix = f"{line.series.name}{{{_labels(line)}}} "
            stream.write(
                "".join(
                    [
                        f"{prefix}{value}{stamp}"
                        for value, stamp in zip(_numbers(line.values[chosen]), stamps[chosen].tolist(), strict=True)
                    ]
                )
            )
            count += len(chosen)
    stream.write("# EOF\n")
    return count


def _within(points: NDArray[np.intp], part: slice) -> NDArray[np.intp]:
    chosen: NDArray[np.intp] = points[(points >= part.start) & (points < part.stop)]
    return chosen


def _families(lines: Iterable[Line]) -> Iterator[tuple[tuple[str, str], list[Line]]]:
    """Group by family: the samples of one family must stand together."""

    def family(line: Line) -> tuple[str, str]:
        kind = line.series.kind if line.series.kind in ("counter", "histogram") else "gauge"
        return line.series.family, kind

    for name, members in groupby(sorted(lines, key=family), key=family):
        yield name, list(members)


def _numbers(values: NDArray[np.float64]) -> list[int] | list[float]:
    """Whole numbers without a decimal point: shorter text, less to parse."""
    whole = np.rint(values)
    numbers: list[int] | list[float] = (
        whole.astype(np.int64).tolist() if np.array_equal(whole, values) else values.tolist()
    )
    return numbers


def _labels(line: Line) -> str:
    labels = {**line.series.labels, "job": line.target.job, "instance": line.target.instance}
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in sorted(labels.items()))


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def make_blocks(promtool: str, text: Path, folder: Path) -> None:
    """Turn OpenMetrics text into blocks of Prometheus's database.

    Raises:
        PartFailed: promtool refused the text.
    """
    folder.mkdir(parents=True, exist_ok=True)
    command = [promtool, "tsdb", "create-blocks-from", "openmetrics", ONE_BLOCK, str(text), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        tail = tuple((done.stderr or done.stdout).splitlines()[-5:])
        raise PartFailed("promtool", f"ended with exit code {done.returncode}", log_tail=tail)
