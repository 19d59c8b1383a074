"""One half of the history, as a program: two run side by side, one for each core.

Run as ``python -m sandbox.history.halves HOME END RATE SCHEDULED_SECONDS DAYS PROMTOOL older|newer``. Both halves
draw the same week and write different stretches of it. The supervisor put the site's expositions into ``HOME/history``.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sandbox.history.exposition import WEB, WORKER, Series, Target, read_exposition, with_ratio_gauges
from sandbox.history.numbers import Week
from sandbox.history.series import Detail, Line, lines_of
from sandbox.history.story import Story
from sandbox.history.text import make_blocks, points_of, write_open_metrics
from sandbox.history.timeline import Deployment, sample_times
from sandbox.layout import Home

HALVES = ("older", "newer")


@dataclass(frozen=True)
class Plan:
    """What the history is made from.

    Attributes:
        end: unix time of its last sample.
        rate_per_second: requests per second at the middle of the daily cycle.
        scheduled_seconds: between two scheduled warming runs.
        days: how far back it goes.
    """

    end: int
    rate_per_second: float
    scheduled_seconds: float
    days: float = 7.0

    def week(self) -> Week:
        """Return the week that ends now."""
        times = np.array(sample_times(self.end, days=self.days), dtype=float)
        return Week(times, self.rate_per_second, Deployment.before(self.end))


def make_lines(plan: Plan, web: str, worker: str) -> tuple[Week, list[Line]]:
    """Return the week and the history of every series in two expositions.

    Raises:
        SandboxError: one is not an exposition.
    """
    week = plan.week()
    learned: list[tuple[Target, Series]] = [(WEB, series) for series in with_ratio_gauges(read_exposition(web))]
    learned += [(WORKER, series) for series in read_exposition(worker)]
    learned += [(target, Series("up", "gauge", "up", {}, 1.0)) for target in (WEB, WORKER)]
    return week, lines_of(Story(week, plan.scheduled_seconds), learned)


def split_point(week: Week, lines: list[Line]) -> int:
    """Return the index of the grid that parts the samples of all series into two halves of equal work."""
    work = np.zeros(len(week.times))
    for detail in Detail:
        work[points_of(week.times, detail)] += sum(line.detail is detail for line in lines)
    return int(np.searchsorted(np.cumsum(work), work.sum() / 2))


def main(arguments: list[str]) -> int:
    """Write one half and make blocks of it; return the exit code."""
    home, half = Home(Path(arguments[0])), arguments[6]
    plan = Plan(int(arguments[1]), *map(float, arguments[2:5]))
    folder = home.folder("history")
    began = time.monotonic()
    week, lines = make_lines(plan, (folder / "web.txt").read_text(), (folder / "worker.txt").read_text())
    middle = split_point(week, lines)
    part = slice(0, middle) if half == "older" else slice(middle, len(week.times))
    text = folder / f"{half}.txt"
    with text.open("w", encoding="utf-8", buffering=1 << 20) as stream:
        count = write_open_metrics(stream, lines, week.times, part)
    written = time.monotonic()
    make_blocks(arguments[5], text, home.folder("prometheus") / "data")
    text.unlink()
    done = time.monotonic()
    print(f"{len(lines)} series, {count} samples: text {written - began:.1f} s, blocks {done - written:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
