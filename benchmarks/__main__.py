"""Measure every promise and print what came out; run as ``make bench``, or one part: ``python -m benchmarks ledger``.

The peer of the commands is stock papermill on an empty notebook: what everybody else starts from.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks import backup_bench, ledger_bench, redis_bench, rollout_bench, timing
from benchmarks.timing import Command
from sandbox import Sandbox
from sandbox.show import step_text

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
ROUNDS = 7
EMPTY = {"cells": [], "metadata": {"language_info": {"name": "python"}}, "nbformat": 4, "nbformat_minor": 5}
#: Any verdict is an answer: the benchmark measures how fast it comes.
VERDICTS = frozenset({0, 10, 20, 30})

Measured = tuple[list[timing.Row], str]


def commands(folder: Path) -> list[Command]:
    """What is timed, in the order of each round."""
    empty = folder / "empty.ipynb"
    empty.write_text(json.dumps(EMPTY), encoding="utf-8")
    python, runbooks = str(BIN / "python"), str(BIN / "runbooks")
    stock = [str(BIN / "papermill"), "--no-progress-bar", "--kernel", "python3", str(empty), str(folder / "out.ipynb")]
    return [
        Command("stock papermill, empty notebook", stock),
        Command("runbooks triage", [runbooks, "triage", "--environment", "sandbox"], VERDICTS),
        Command("runbooks run triage", [runbooks, "run", "triage", "--environment", "sandbox"], VERDICTS),
        Command("python -c 'import runbooks_lib'", [python, "-c", "import runbooks_lib"]),
        Command("python -c pass", [python, "-c", "pass"]),
    ]


def measure_commands() -> Measured:
    """Whole commands on the practice site, which is started when it is not up."""
    own = Sandbox()
    started_here = not own.status().is_running
    if started_here:
        own.up(on_step=lambda step: print(step_text(step), flush=True))
    try:
        with tempfile.TemporaryDirectory() as folder:
            seconds = timing.time_side_by_side(commands(Path(folder)), rounds=ROUNDS, folder=ROOT)
    finally:
        if started_here:
            own.down()
    peer = "stock papermill, empty notebook"
    rows = [
        timing.against("runbooks triage", seconds["runbooks triage"], peer, seconds[peer], 0.3),
        timing.against("runbooks run triage", seconds["runbooks run triage"], peer, seconds[peer], 1.25),
        timing.below("import runbooks_lib", seconds["python -c 'import runbooks_lib'"], 0.1),
    ]
    return rows, timing.table(rows, seconds)


def measure_ledger() -> Measured:
    """The ledger beside the database and the hashes that it is made of."""
    rows, seconds = ledger_bench.rows()
    return rows, timing.table(rows, seconds)


def measure_deletion() -> Measured:
    """Clearing by pattern, and what another client feels of it."""
    found = redis_bench.measure()
    return redis_bench.rows(found), redis_bench.table(found)


#: Name → what measures it; ``python -m benchmarks ledger backup`` chooses.
SECTIONS: dict[str, Callable[[], Measured]] = {
    "commands": measure_commands,
    "ledger": measure_ledger,
    "deletion": measure_deletion,
    "backup": backup_bench.measure,
    "rollout": rollout_bench.measure,
}


def main(names: Sequence[str]) -> int:
    """Measure each part by itself, print its table, write ``benchmarks/latest.json``; 1 if a promise does not hold."""
    unknown = sorted(set(names) - SECTIONS.keys())
    if unknown:
        print(f"there is no benchmark {unknown[0]!r}; there are: {', '.join(SECTIONS)}", file=sys.stderr)
        return 2
    kept: list[timing.Row] = []
    for name in names or SECTIONS:
        rows, text = SECTIONS[name]()
        print(f"\n{name}\n{text}", flush=True)
        kept += rows
        timing.write(kept, ROOT / "benchmarks" / "latest.json")
    return 0 if all(row.holds for row in kept) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
