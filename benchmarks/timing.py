"""Whole commands, timed side by side: A B C, A B C, …, so that a machine that changes its speed changes all of them."""

from __future__ import annotations

import json
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Command:
    """One command to time.

    Attributes:
        name: what it is called in the table.
        arguments: how it is started, without a shell.
        accepted: exit codes that count as done; any other one ends the benchmark.
    """

    name: str
    arguments: Sequence[str]
    accepted: frozenset[int] = frozenset({0})


@dataclass(frozen=True, slots=True)
class Row:
    """One promise: the median beside its peer's from the same rounds.

    ``ratio`` is value / peer_value; ``goal`` is the highest ratio, or the highest value where there is no ratio.
    """

    name: str
    value: float
    unit: str
    peer: str
    peer_value: float | None
    ratio: float | None
    goal: float
    holds: bool


def time_side_by_side(commands: Sequence[Command], *, rounds: int, folder: Path) -> dict[str, list[float]]:
    """Wall seconds of each command, one warm-up round and then ``rounds`` counted ones.

    Raises:
        RuntimeError: a command ended with an exit code that it does not accept; its output is in the message.
    """
    seconds: dict[str, list[float]] = {command.name: [] for command in commands}
    for number in range(rounds + 1):
        for command in commands:
            started = time.perf_counter()
            done = subprocess.run(command.arguments, cwd=folder, capture_output=True, text=True, check=False)
            took = time.perf_counter() - started
            if done.returncode not in command.accepted:
                last = done.stdout[-2000:] + done.stderr[-2000:]
                raise RuntimeError(f"{command.name} ended with {done.returncode}:\n{last}")
            if number:
                seconds[command.name].append(took)
    return seconds


def against(name: str, own: list[float], peer: str, other: list[float], goal: float) -> Row:
    """A row that holds when the ratio of the medians is at most ``goal``."""
    value, peer_value = statistics.median(own), statistics.median(other)
    ratio = value / peer_value
    return Row(name, round(value, 7), "s", peer, round(peer_value, 7), round(ratio, 3), goal, ratio <= goal)


def below(name: str, own: list[float], goal: float) -> Row:
    """A row that holds when the median is under ``goal`` seconds."""
    value = statistics.median(own)
    return Row(name, round(value, 7), "s", "", None, None, goal, value < goal)


def write(rows: Sequence[Row], path: Path) -> None:
    """Keep the rows as JSON."""
    path.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n", encoding="utf-8")


def table(rows: Sequence[Row], seconds: Mapping[str, list[float]]) -> str:
    """The rows and the spread of what was measured, for people."""
    lines = [f"{'what':<44} {'median':>9} {'peer':>9} {'ratio':>7} {'goal':>7}"]
    for row in rows:
        peer = "" if row.peer_value is None else _shown(row.peer_value)
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}x"
        goal = f"{row.goal:g}x" if row.ratio is not None else _shown(row.goal)
        word = "holds" if row.holds else "DOES NOT HOLD"
        lines.append(f"{row.name:<44} {_shown(row.value):>9} {peer:>9} {ratio:>7} {goal:>7}  {word}")
    lines += ["", f"{'spread':<44} {'min':>9} {'median':>9} {'max':>9}"]
    for name, values in seconds.items():
        low, middle, high = _shown(min(values)), _shown(statistics.median(values)), _shown(max(values))
        lines.append(f"{name:<44} {low:>9} {middle:>9} {high:>9}")
    return "\n".join(lines)


def _shown(seconds: float) -> str:
    return f"{seconds:.3f} s" if seconds >= 0.1 else f"{seconds * 1000:.2f} ms"
