"""Programs of ours that run inside the site, on a database of their own."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

from sandbox.errors import PartFailed
from sandbox.layout import REPOSITORY, SITE, Home

WARM_UP_SECONDS = 60.0


def job_environment(base: Mapping[str, str], home: Home, database: Path) -> dict[str, str]:
    """Return the environment of such a program: the site's own, with another database and our package in reach."""
    paths = [str(REPOSITORY), *filter(None, [base.get("PYTHONPATH")])]
    return {
        **{name: value for name, value in base.items() if name != "PROMETHEUS_MULTIPROC_DIR"},
        "SITE_ENV_FILE": str(home.site_environment),
        "SITE_DATABASE_URL": f"sqlite:///{database}",
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "PYTHONPATH": os.pathsep.join(paths),
    }


def job_command(module: str, *arguments: str) -> tuple[str, ...]:
    """Return the command of such a program; it runs in the site's folder."""
    return (sys.executable, "-m", f"sandbox.{module}", *arguments)


def warm_everything(home: Home) -> None:
    """Fill a cold cache of a running sandbox, as startup warming and some minutes of traffic would.

    Raises:
        PartFailed: the site did not answer everything.
    """
    with _snapshot(home) as database:
        done = subprocess.run(
            job_command("content.warm_up", str(home.path)),
            cwd=SITE,
            env=job_environment(os.environ, home, database),
            capture_output=True,
            text=True,
            timeout=WARM_UP_SECONDS,
            check=False,
        )
    if done.returncode:
        tail = tuple((done.stderr + done.stdout).splitlines()[-8:])
        raise PartFailed("warm_up", f"ended with exit code {done.returncode}", exit_code=done.returncode, log_tail=tail)


@contextmanager
def _snapshot(home: Home) -> Iterator[Path]:
    """Copy the running site's database, consistently; the copy takes the rows that the job's lookups leave."""
    copy = home.path / f"warm-up-{os.getpid()}.sqlite3"
    try:
        with closing(sqlite3.connect(home.database)) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target)
        yield copy
    finally:
        for leftover in home.path.glob(f"{copy.name}*"):
            leftover.unlink(missing_ok=True)
