"""What the traffic generator is asked to do: one small file that others write and it follows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sandbox.files import read_json, write_json
from sandbox.settings import check_exponent, check_rate


@dataclass(frozen=True)
class Load:
    """The load that is asked for.

    Attributes:
        rate_per_second: requests per second at the middle of the daily cycle.
        exponent: of the Zipf curve.
        streams: extra traffic by name, on top of the healthy one; ``kind`` and ``rate_per_second`` are required,
            the rest depends on the kind (see ``streams``).
    """

    rate_per_second: float
    exponent: float
    streams: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def read_load(path: Path) -> Load:
    """Read the load that is asked for; no load where there is no file."""
    return Load(**read_json(path, {"rate_per_second": 0.0, "exponent": 1.0}))


def write_load(path: Path, load: Load) -> None:
    """Ask for a load; the generator follows within half a second.

    Raises:
        UsageError: a rate or the exponent is impossible.
    """
    check_rate(load.rate_per_second)
    check_exponent(load.exponent)
    for stream in load.streams.values():
        check_rate(stream["rate_per_second"])
    write_json(
        path,
        {
            "rate_per_second": load.rate_per_second,
            "exponent": load.exponent,
            "streams": {name: dict(stream) for name, stream in load.streams.items()},
        },
    )
