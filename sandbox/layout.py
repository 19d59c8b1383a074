"""Where the files of one sandbox are."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
SITE = REPOSITORY / "sandbox" / "site"


def default_home(environment: Mapping[str, str] = os.environ) -> Path:
    """Return the home folder: ``$SANDBOX_HOME``, else ``.sandbox`` at the root of the repository."""
    return Path(environment.get("SANDBOX_HOME") or REPOSITORY / ".sandbox").expanduser().resolve()


def default_cache(environment: Mapping[str, str] = os.environ) -> Path:
    """Return the folder of reusable templates: ``$SANDBOX_CACHE``, else ``.sandbox-cache`` in the repository."""
    return Path(environment.get("SANDBOX_CACHE") or REPOSITORY / ".sandbox-cache").expanduser().resolve()


@dataclass(frozen=True)
class Home:
    """The folder of one sandbox; two folders make two independent sandboxes."""

    path: Path

    @property
    def state(self) -> Path:
        """What the supervisor says about itself and its parts."""
        return self.path / "state.json"

    @property
    def failure(self) -> Path:
        """Why the last run ended by itself; absent after a clean ``down``."""
        return self.path / "failure.json"

    @property
    def ports(self) -> Path:
        """Ports of the last run, preferred by the next one."""
        return self.path / "ports.json"

    @property
    def lock(self) -> Path:
        """Held while somebody starts or stops this sandbox."""
        return self.path / "up.lock"

    @property
    def control_lock(self) -> Path:
        """Held while somebody injects or heals a fault or changes the load."""
        return self.path / "control.lock"

    @property
    def wanted(self) -> Path:
        """Which parts shall be stopped; written by faults, followed by the supervisor."""
        return self.path / "wanted.json"

    @property
    def active_faults(self) -> Path:
        """Faults that are injected now, with parameters and since when."""
        return self.path / "faults.json"

    @property
    def site_faults(self) -> Path:
        """Faults inside the site; the site reads this file (``SITE_FAULTS_FILE``)."""
        return self.path / "site-faults.json"

    @property
    def traffic_control(self) -> Path:
        """Rate, exponent and extra streams of the traffic generator."""
        return self.path / "traffic.json"

    @property
    def traffic_status(self) -> Path:
        """What the traffic generator counted in the last second."""
        return self.path / "traffic-status.json"

    @property
    def catalogue(self) -> Path:
        """Ids that exist on the site, for the traffic generator."""
        return self.path / "catalogue.json"

    @property
    def variables(self) -> Path:
        """``NAME=value`` lines that ``runbooks.toml`` refers to."""
        return self.path / "variables.env"

    @property
    def site_environment(self) -> Path:
        """``SITE_*`` variables (``SITE_ENV_FILE``)."""
        return self.path / "site.env"

    @property
    def database(self) -> Path:
        """The site's SQLite file."""
        return self.path / "site.sqlite3"

    @property
    def logs(self) -> Path:
        """One log file for each part and job; kept until the next ``up``."""
        return self.path / "logs"

    def log(self, part: str) -> Path:
        """Return the log file of one part."""
        return self.logs / f"{part}.log"

    def folder(self, name: str) -> Path:
        """Return a data folder, made if it does not exist."""
        folder = self.path / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder
