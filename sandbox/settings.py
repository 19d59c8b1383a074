"""What one sandbox is made of: sizes, rates and ports that the caller chose."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from sandbox.errors import UsageError
from sandbox.layout import default_cache, default_home
from sandbox.processes.ports import PORT_NAMES


@dataclass(frozen=True)
class Catalogue:
    """How much content the site is seeded with. The sizes are part of the key of the database template."""

    courses: int = 200
    chapters: int = 10  # in each course
    problems: int = 10  # in each chapter
    users: int = 500
    seed: int = 1


@dataclass(frozen=True)
class Settings:
    """Everything `up` needs to know.

    Attributes:
        home: folder of this sandbox.
        cache: folder of database templates, shared by all sandboxes.
        rate_per_second: requests per second at the middle of the daily cycle.
        exponent: exponent of the Zipf popularity curve, 0 (all alike) to 3.
        web_workers: gunicorn worker processes.
        time_scale: the guide's durations are divided by this.
        history_days: how many days of history are told, 0.1 to 7; fewer make a faster start.
        catalogue: amount of content.
        fixed_ports: ports by name that must be exactly these; others are found.
    """

    home: Path
    cache: Path
    rate_per_second: float = 40.0
    exponent: float = 1.0
    web_workers: int = 2
    time_scale: int = 60
    history_days: float = 7.0
    catalogue: Catalogue = field(default_factory=Catalogue)
    fixed_ports: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse impossible values.

        Raises:
            UsageError: names the value and its range.
        """
        check_rate(self.rate_per_second)
        check_exponent(self.exponent)
        if not 0.1 <= self.history_days <= 7:
            raise UsageError(f"history of {self.history_days:g} days is not in 0.1..7.")
        if self.web_workers < 1:
            raise UsageError(f"web_workers={self.web_workers}: at least 1 is needed.")
        for name, port in self.fixed_ports.items():
            if name not in PORT_NAMES:
                raise UsageError(f"Unknown port name {name!r}. Known: {', '.join(PORT_NAMES)}.")
            if not 1 <= port <= 65535:
                raise UsageError(f"Port {port} ({name}) is not in 1..65535.")

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON object that ``from_dict`` reads."""
        return {**asdict(self), "home": str(self.home), "cache": str(self.cache)}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Settings:
        """Read what ``as_dict`` wrote."""
        return cls(
            **{
                **value,
                "home": Path(value["home"]),
                "cache": Path(value["cache"]),
                "catalogue": Catalogue(**value["catalogue"]),
            }
        )


def default_settings(environment: Mapping[str, str] = os.environ, **chosen: Any) -> Settings:
    """Build settings from the environment; a chosen value that is not None wins.

    Args:
        environment: ``SANDBOX_HOME``, ``SANDBOX_CACHE`` and ``SANDBOX_FIXED_<NAME>_PORT`` are read.
        chosen: fields of ``Settings``.

    Raises:
        UsageError: a value is impossible.
    """
    given = {name: value for name, value in chosen.items() if value is not None}
    unknown = set(given) - {field.name for field in fields(Settings)}
    if unknown:
        raise UsageError(f"Unknown setting: {', '.join(sorted(unknown))}.")
    ports = {**fixed_ports_of(environment), **given.pop("fixed_ports", {})}
    given.setdefault("home", default_home(environment))
    given.setdefault("cache", default_cache(environment))
    return Settings(fixed_ports=ports, **given)


def fixed_ports_of(environment: Mapping[str, str]) -> dict[str, int]:
    """Read ``SANDBOX_FIXED_REDIS_PORT`` and its sisters.

    Raises:
        UsageError: a value is not a number.
    """
    ports = {}
    for name in PORT_NAMES:
        variable = f"SANDBOX_FIXED_{name.upper()}_PORT"
        value = environment.get(variable, "")
        if value and not value.isdecimal():
            raise UsageError(f"{variable}={value!r} is not a port number.")
        if value:
            ports[name] = int(value)
    return ports


def check_rate(rate_per_second: float) -> float:
    """Return the rate if the generator can be asked for it (0..500 requests per second).

    Raises:
        UsageError: it cannot.
    """
    if not 0 <= rate_per_second <= 500:
        raise UsageError(f"rate {rate_per_second:g} per second is not in 0..500.")
    return rate_per_second


def check_exponent(exponent: float) -> float:
    """Return the exponent of the popularity curve if it is in 0..3.

    Raises:
        UsageError: it is not.
    """
    if not 0 <= exponent <= 3:
        raise UsageError(f"exponent {exponent:g} is not in 0..3.")
    return exponent
