"""What the supervisor says about itself: read by everybody, written by nobody else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from sandbox.errors import PartFailed, log_text
from sandbox.files import read_json, write_json
from sandbox.processes.tether import ProcessId


class Phase(StrEnum):
    """Where in its life the sandbox is."""

    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"


@dataclass(frozen=True)
class PartState:
    """One part: its process while it runs; stopped on purpose otherwise."""

    name: str
    port: int | None
    process: ProcessId | None
    started_at: float | None


@dataclass(frozen=True)
class State:
    """One run of the sandbox, as last written by its supervisor.

    Attributes:
        run_id: random; every process of the run carries it in its environment.
        phase: where in its life the run is.
        supervisor: the process that wrote this.
        started_at: unix time.
        ports: port by name.
        settings: what the run was started with.
        parts: in the order in which they are shown.
    """

    run_id: str
    phase: Phase
    supervisor: ProcessId
    started_at: float
    ports: Mapping[str, int]
    settings: Mapping[str, Any]
    parts: tuple[PartState, ...] = field(default_factory=tuple)

    @property
    def processes(self) -> list[ProcessId]:
        """Every recorded process but the supervisor."""
        return [part.process for part in self.parts if part.process is not None]


def write_state(path: Path, state: State) -> None:
    """Replace the state file in one step."""
    write_json(path, asdict(state))


def read_state(path: Path) -> State | None:
    """Read the state file; None if there is none."""
    value = read_json(path)
    if value is None:
        return None
    parts = tuple(PartState(**{**part, "process": _process(part["process"])}) for part in value["parts"])
    return State(
        **{
            **value,
            "phase": Phase(value["phase"]),
            "supervisor": ProcessId(**value["supervisor"]),
            "parts": parts,
        }
    )


def _process(value: Mapping[str, Any] | None) -> ProcessId | None:
    return None if value is None else ProcessId(**value)


@dataclass(frozen=True)
class Failure:
    """Why a run ended by itself."""

    at: float
    part: str
    reason: str
    exit_code: int | None
    log: str
    log_tail: tuple[str, ...]

    @property
    def message(self) -> str:
        """Return part, exit code and last log lines as text."""
        return f"{self.part} {self.reason}. Log: {self.log}{log_text(self.log_tail)}"


def write_failure(path: Path, error: PartFailed, *, at: float, log: Path) -> None:
    """Keep why a run ended."""
    write_json(path, asdict(Failure(at, error.part, error.reason, error.ended_with, str(log), error.log_tail)))


def read_failure(path: Path) -> Failure | None:
    """Return why the last run ended by itself; None if it did not."""
    value = read_json(path)
    return None if value is None else Failure(**{**value, "log_tail": tuple(value["log_tail"])})
