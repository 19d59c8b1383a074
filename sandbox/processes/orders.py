"""What `up` hands to the supervisor, and what the supervisor says back while it starts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from sandbox.processes.ports import Ports
from sandbox.processes.servers import Servers
from sandbox.settings import Settings


class Lifetime(StrEnum):
    """How long a sandbox lives."""

    DETACHED = "detached"  # until somebody says `down`
    OWNED = "owned"  # as long as the process that started it


@dataclass(frozen=True)
class Order:
    """Everything the supervisor needs to start."""

    settings: Settings
    ports: Ports
    servers: Servers
    run_id: str
    lifetime: Lifetime

    def to_line(self) -> str:
        """Return the order as one line of JSON."""
        value = {
            "settings": self.settings.as_dict(),
            "ports": self.ports.as_dict(),
            "servers": asdict(self.servers),
            "run_id": self.run_id,
            "lifetime": self.lifetime,
        }
        return json.dumps(value) + "\n"

    @classmethod
    def from_line(cls, line: str) -> Order:
        """Read what ``to_line`` wrote."""
        value: Mapping[str, Any] = json.loads(line)
        return cls(
            settings=Settings.from_dict(value["settings"]),
            ports=Ports(**value["ports"]),
            servers=Servers(**value["servers"]),
            run_id=value["run_id"],
            lifetime=Lifetime(value["lifetime"]),
        )


@dataclass(frozen=True)
class Step:
    """One finished step of `up`.

    Attributes:
        name: what was done.
        seconds: how long it took; steps overlap, so these do not add up to the whole.
        note: a detail worth reading, or empty.
    """

    name: str
    seconds: float
    note: str = ""


@dataclass(frozen=True)
class Outcome:
    """How starting ended: ready, or failed with a message."""

    failure: str | None = None


def report_line(report: Step | Outcome) -> str:
    """Return a report as one line of JSON."""
    return json.dumps({"kind": type(report).__name__, **asdict(report)}) + "\n"


def read_report(line: str) -> Step | Outcome:
    """Read what ``report_line`` wrote."""
    value = json.loads(line)
    return Step(**value) if value.pop("kind") == "Step" else Outcome(**value)
