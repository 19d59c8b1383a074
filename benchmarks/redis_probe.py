"""A second client of Redis that feels what other clients feel: one PING each millisecond, open loop."""

from __future__ import annotations

import array
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

_SOURCE = Path(__file__).with_name("latency_probe.c")


@dataclass(frozen=True, slots=True)
class Latency:
    """Latency of PINGs in a stretch of time, in milliseconds."""

    count: int
    p50_ms: float
    p99_ms: float
    max_ms: float


class Probe:
    """A running probe.

    Args:
        program: as ``compiled`` made it.
        port: of Redis on 127.0.0.1.
        core: that it is pinned to.
    """

    def __init__(self, program: Path, port: int, core: int) -> None:
        command = ["taskset", "-c", str(core), str(program), str(port)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def stop(self) -> list[tuple[int, int]]:
        """End it; gives (due at, took), nanoseconds of the monotonic clock."""
        out, _ = self._process.communicate(timeout=30)
        numbers = array.array("q", out)
        return list(zip(numbers[::2], numbers[1::2], strict=True))


def compiled(folder: Path) -> Path:
    """The probe's program.

    Raises:
        RuntimeError: there is no C compiler.
    """
    if shutil.which("cc") is None:
        raise RuntimeError("the latency probe needs a C compiler: apt install gcc")
    program = folder / "latency_probe"
    subprocess.run(["cc", "-O2", "-o", str(program), str(_SOURCE)], check=True)
    return program


def within(rows: list[tuple[int, int]], first_ns: int, last_ns: int) -> Latency:
    """What was felt by the PINGs that were due between two moments."""
    took = sorted(took for due, took in rows if first_ns <= due < last_ns)
    if not took:
        raise RuntimeError("no PING was due in this stretch of time")

    def at(share: float) -> float:
        return took[min(len(took) - 1, int(share * len(took)))] / 1e6

    return Latency(len(took), at(0.5), at(0.99), took[-1] / 1e6)
