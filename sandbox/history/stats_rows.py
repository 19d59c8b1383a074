"""Seven days of rows for the table ``cache_stats``, as a program.

A row for every lookup would be twenty million; of the older ones every 75th is kept, of the last half hour all, so that
durations of the guide divided by ``time_scale`` find every row. Shares and percentiles are right in both stretches;
counting rows across the seam is not.

Run as ``python -m sandbox.history.stats_rows DATABASE END RATE DAYS``.
"""

from __future__ import annotations

import contextlib
import sqlite3
import sys
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sandbox.history.durations import Duration
from sandbox.history.numbers import COHORTS, Array, Week, lookups
from sandbox.history.timeline import RESOLUTION, Deployment, sample_times
from sandbox.traffic.profile import ENDPOINTS

KEPT_SHARE = 1 / 75
STATUS_OF = {
    "hit": "hit",
    "stale": "stale",
    "miss": "miss",
    "missing_miss": "miss",
    "null_value": "null_value",
}
INSERT = "INSERT INTO cache_stats (created_at, view_name, status, duration_ms, cohort) VALUES (?, ?, ?, ?, ?)"
Row = tuple[str, str, str, float, str]


def week_of(end: int, rate_per_second: float, days: float = 7.0) -> Week:
    """Return the same week as the metrics' history, to one sample a minute (two seconds in the last half hour)."""
    recent_seconds, fine = RESOLUTION[-1]
    older = [at for at in sample_times(end, days=days) if at <= end - recent_seconds and (end - at) % 60 == 0]
    times = np.array([*older, *range(end - recent_seconds + fine, end + 1, fine)], dtype=float)
    return Week(times, rate_per_second, Deployment.before(end))


def make_rows(week: Week) -> list[Row]:
    """Draw the rows, oldest first."""
    kept = np.where(week.times > week.times[-1] - RESOLUTION[-1][0], 1.0, KEPT_SHARE)
    stretches = [
        _stretch(week, kept, (endpoint, cohort, outcome), counts)
        for endpoint in ENDPOINTS
        for cohort in COHORTS
        for outcome, counts in lookups(week, endpoint, cohort).by_outcome.items()
    ]
    at = np.concatenate([times for times, *_ in stretches])
    order = np.argsort(at, kind="stable")
    labels = np.repeat(np.arange(len(stretches)), [len(times) for times, *_ in stretches])[order].tolist()
    milliseconds = np.concatenate([durations for _, durations, *_ in stretches])[order].tolist()
    names = [name for *_, name in stretches]
    return [
        (stamp, names[label][0], names[label][1], duration, names[label][2])
        for stamp, label, duration in zip(_stamps(at[order]), labels, milliseconds, strict=True)
    ]


def _stretch(
    week: Week, kept: Array, names: tuple[str, str, str], counts: Array
) -> tuple[Array, Array, tuple[str, str, str]]:
    """Times, durations in ms, and the names of the rows of one endpoint, cohort and outcome."""
    endpoint, cohort, outcome = names
    dice = week.noise("rows", *names)
    number = dice.binomial(counts.astype(int), kept)
    times = np.repeat(week.times, number) - np.repeat(week.seconds, number) * dice.random(number.sum())
    profile = ENDPOINTS[endpoint]
    loads = outcome in ("miss", "missing_miss")
    lookup = Duration(profile.lookup_miss_seconds if loads else profile.lookup_hit_seconds)
    chance = dice.random(len(times))
    durations = 1000 * lookup.median_seconds * (chance / (1 - chance)) ** (1 / lookup.shape)
    return times, np.round(durations, 3), (endpoint, STATUS_OF[outcome], cohort)


def _stamps(at: NDArray[np.float64]) -> list[str]:
    """Write times as Django writes them into SQLite."""
    text = np.datetime_as_string((at * 1e6).astype("int64").astype("datetime64[us]"))
    return [str(stamp) for stamp in np.char.replace(text, "T", " ").tolist()]


def _insert(database: Path, rows: list[Row]) -> None:
    """Insert without a journal: nobody else has the file open, and a half-filled one is thrown away."""
    with contextlib.closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA journal_mode=OFF")
        connection.execute("PRAGMA synchronous=OFF")
        with connection:
            connection.executemany(INSERT, rows)


def main(arguments: list[str]) -> int:
    """Insert the rows in one transaction; return the exit code."""
    began = time.monotonic()
    rows = make_rows(week_of(int(arguments[1]), float(arguments[2]), float(arguments[3])))
    drawn = time.monotonic()
    _insert(Path(arguments[0]), rows)
    print(f"{len(rows)} rows: drawn in {drawn - began:.1f} s, inserted in {time.monotonic() - drawn:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
