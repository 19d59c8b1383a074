"""Where the server programs are, and how to get one that is missing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sandbox.errors import MissingServer

HOW_TO_INSTALL = """\
  Debian, Ubuntu   sudo apt install redis-server prometheus
  macOS            brew install redis prometheus
  conda            conda install -c conda-forge redis-server prometheus"""

OVERRIDES = {
    "redis-server": "SANDBOX_REDIS_SERVER",
    "prometheus": "SANDBOX_PROMETHEUS",
    "promtool": "SANDBOX_PROMTOOL",
}


@dataclass(frozen=True)
class Servers:
    """Absolute paths of the server programs."""

    redis_server: str
    prometheus: str
    promtool: str


def find_servers(environment: Mapping[str, str] = os.environ) -> Servers:
    """Find every server program, in its override variable or on the path.

    Raises:
        MissingServer: names all that are missing at once, and how to install them.
    """
    found = {name: _find(name, variable, environment) for name, variable in OVERRIDES.items()}
    missing = [name for name, path in found.items() if path is None]
    if missing:
        variables = ", ".join(OVERRIDES[name] for name in missing)
        raise MissingServer(
            f"Not found: {', '.join(missing)}. Nothing was started. Install with one of\n{HOW_TO_INSTALL}\n"
            f"or name the program in the environment ({variables}). promtool comes with Prometheus."
        )
    return Servers(found["redis-server"] or "", found["prometheus"] or "", found["promtool"] or "")


def _find(name: str, variable: str, environment: Mapping[str, str]) -> str | None:
    override = environment.get(variable)
    if override:
        path = shutil.which(override)
        if path is None:
            raise MissingServer(f"{variable}={override}: no such program. Correct it or unset it.")
        return str(Path(path).resolve())
    return shutil.which(name, path=environment.get("PATH")) or _usual_place(name)


def _usual_place(name: str) -> str | None:
    """Debian keeps servers in sbin, which the path of a plain user may lack."""
    return shutil.which(name, path="/usr/sbin:/usr/local/sbin:/opt/homebrew/bin:/usr/local/bin")
