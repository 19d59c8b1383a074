"""A workplace of its own for each test: runbooks.toml, the notebooks and an empty ``runs/``."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PATIENCE_SECONDS = 90
RUNBOOKS = str(Path(sys.executable).parent / "runbooks")


@dataclass(frozen=True)
class Workplace:
    """A folder in which the command ``runbooks`` is used as people use it."""

    folder: Path
    variables: dict[str, str]

    def run(self, *arguments: str, timeout: float = 90, **variables: str) -> subprocess.CompletedProcess[str]:
        """The command with these arguments, to its end."""
        return subprocess.run(
            [RUNBOOKS, *arguments],
            cwd=self.folder,
            env={**self.variables, **variables},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def records(self) -> list[dict]:
        """All ``record.json``, oldest first."""
        paths = sorted(self.folder.glob("runs/*/*/record.json"), key=lambda path: path.stat().st_mtime)
        return [json.loads(path.read_text(encoding="utf-8")) for path in paths]

    def run_folder(self) -> Path:
        """The folder of the only run."""
        (folder,) = self.folder.glob("runs/*/*")
        return folder


@pytest.fixture
def workplace(tmp_path: Path) -> Workplace:
    """A fresh clone as far as ``runbooks`` is concerned; runs and ledger are the test's own."""
    return new_workplace(tmp_path)


def new_workplace(tmp_path: Path) -> Workplace:
    """A workplace in an empty folder; for a fixture that serves a whole module."""
    (tmp_path / "runbooks.toml").write_text((ROOT / "runbooks.toml").read_text(encoding="utf-8"), encoding="utf-8")
    for name in ("notebooks", "sandbox"):
        (tmp_path / name).symlink_to(ROOT / name, target_is_directory=True)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RUNBOOKS_", "SANDBOX_"))}
    return Workplace(tmp_path, {**kept, "RUNBOOKS_OPERATOR": "tester"})


@pytest.fixture
def at_sandbox(workplace: Workplace, healthy_sandbox) -> Workplace:
    """The workplace beside the session's sandbox, once triage itself finds nothing wrong with it any more.

    What the test before broke lingers in windows of up to four minutes here; its runs are not this test's.
    """
    return beside(healthy_sandbox, workplace)


@pytest.fixture
def by_sandbox(workplace: Workplace, sandbox) -> Workplace:
    """The workplace beside the session's sandbox, however the site does."""
    return pointed_at(sandbox, workplace)


def pointed_at(sandbox, workplace: Workplace) -> Workplace:
    """The workplace, pointed at a sandbox, however the site does."""
    return Workplace(workplace.folder, {**workplace.variables, "SANDBOX_HOME": str(sandbox.home.path)})


def beside(healthy_sandbox, workplace: Workplace) -> Workplace:
    """The workplace, pointed at a sandbox that triage has found healthy."""
    place = pointed_at(healthy_sandbox, workplace)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (done := place.run("triage", "--environment", "sandbox")).returncode and time.monotonic() < deadline:
        time.sleep(2)
    assert done.returncode == 0, f"the sandbox did not become healthy:\n{done.stdout}{done.stderr}"
    shutil.rmtree(place.folder / "runs")
    return place


@pytest.fixture
def nowhere(workplace: Workplace, tmp_path: Path) -> Workplace:
    """A workplace whose environment ``sandbox`` points at ports where nothing listens."""
    names = ("REDIS", "BROKER", "PROMETHEUS", "WEB", "WORKER_METRICS")
    ports = {f"SANDBOX_{name}_PORT": "9" for name in names}
    others = {"SANDBOX_HOME": str(tmp_path), "SANDBOX_PYTHON": sys.executable, "SANDBOX_DATABASE": "/nonexistent/db"}
    return Workplace(workplace.folder, {**workplace.variables, **ports, **others})
