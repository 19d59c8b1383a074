"""Measure every promise on the running practice site, which is started when it is not up, and print what came out.

The peer is stock papermill on an empty notebook: what everybody else starts from. Run as ``make bench``.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from benchmarks import timing
from benchmarks.timing import Command
from sandbox import Sandbox
from sandbox.show import step_text

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
ROUNDS = 7
EMPTY = {"cells": [], "metadata": {"language_info": {"name": "python"}}, "nbformat": 4, "nbformat_minor": 5}
#: Any verdict is an answer: the benchmark measures how fast it comes.
VERDICTS = frozenset({0, 10, 20, 30})


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


def main() -> int:
    """Time everything, print the table, write ``benchmarks/latest.json``; 1 when a promise does not hold."""
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
    timing.write(rows, ROOT / "benchmarks" / "latest.json")
    print(timing.table(rows, seconds))
    return 0 if all(row.holds for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
