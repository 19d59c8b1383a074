"""What runs, how much it takes, what is broken on purpose, and how the site does."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sandbox.errors import log_text
from sandbox.files import last_lines, read_json
from sandbox.layout import Home
from sandbox.measure import Vitals, vitals
from sandbox.processes.ports import LOOPBACK
from sandbox.processes.state import PartState, State, read_failure, read_state
from sandbox.processes.tether import resident_bytes, resident_bytes_of_family


@dataclass(frozen=True)
class PartStatus:
    """One part as it is now; ``state`` is ``running``, ``stopped`` (on purpose) or ``gone``."""

    name: str
    state: str
    pid: int | None
    port: int | None
    memory_bytes: int
    uptime_seconds: float | None


@dataclass(frozen=True)
class Status:
    """The sandbox as it is now.

    Attributes:
        phase: ``starting``, ``running``, ``stopping``, ``down``, ``failed`` (a part ended, so all was taken down)
            or ``crashed`` (the supervisor is gone without taking the rest down).
        home: folder of the sandbox.
        parts: every part, the supervisor first.
        faults: active faults with their parameters.
        vitals: the site's vital signs; None unless running.
        urls: where to look.
        load: what the traffic generator did in its last second.
        failure: why the last run ended, if it ended by itself.
    """

    phase: str
    home: str
    parts: tuple[PartStatus, ...] = ()
    faults: Mapping[str, Mapping[str, Any]] | None = None
    vitals: Vitals | None = None
    urls: Mapping[str, str] | None = None
    load: Mapping[str, Any] | None = None
    failure: str | None = None

    @property
    def is_running(self) -> bool:
        """Whether the sandbox is up."""
        return self.phase == "running"

    @property
    def memory_bytes(self) -> int:
        """Resident memory of all parts (pages that processes share are counted in each)."""
        return sum(part.memory_bytes for part in self.parts)

    def as_dict(self) -> dict[str, Any]:
        """Return everything as JSON-able data."""
        return {**asdict(self), "memory_bytes": self.memory_bytes}


def read_status(home: Home) -> Status:
    """Look at a sandbox; works in every phase."""
    state = read_state(home.state)
    if state is None:
        failure = read_failure(home.failure)
        if failure is None:
            return Status("down", str(home.path))
        return Status("failed", str(home.path), failure=failure.message)
    if not state.supervisor.alive:
        tail = log_text(last_lines(home.log("supervisor")))
        return Status(
            "crashed",
            str(home.path),
            parts=_parts(state),
            failure=f"The supervisor (pid {state.supervisor.pid}) is gone. `down` clears what it left.{tail}",
        )
    return Status(
        state.phase,
        str(home.path),
        parts=_parts(state),
        faults=read_json(home.active_faults, {}),
        vitals=vitals(state.ports["prometheus"]) if state.phase == "running" else None,
        urls=urls_of(state.ports),
        load=read_json(home.traffic_status),
    )


def urls_of(ports: Mapping[str, int]) -> dict[str, str]:
    """Return the addresses that people open or connect to."""
    return {
        "site": f"http://{LOOPBACK}:{ports['web']}/api/courses/",
        "health": f"http://{LOOPBACK}:{ports['web']}/api/health/cache",
        "metrics": f"http://{LOOPBACK}:{ports['web']}/metrics",
        "prometheus": f"http://{LOOPBACK}:{ports['prometheus']}/",
        "redis": f"redis://{LOOPBACK}:{ports['redis']}/1",
    }


def _parts(state: State) -> tuple[PartStatus, ...]:
    supervisor = PartState("supervisor", None, state.supervisor, state.started_at)
    return tuple(_part(part) for part in (supervisor, *state.parts))


def _part(part: PartState) -> PartStatus:
    if part.process is None:
        return PartStatus(part.name, "stopped", None, part.port, 0, None)
    if not part.process.alive:
        return PartStatus(part.name, "gone", part.process.pid, part.port, 0, None)
    uptime = None if part.started_at is None else time.time() - part.started_at
    # The other parts are the supervisor's children; they stand for themselves.
    measure = resident_bytes if part.name == "supervisor" else resident_bytes_of_family
    memory = measure(part.process.pid)
    return PartStatus(part.name, "running", part.process.pid, part.port, memory, uptime)
