"""Ledgers, runs, notebooks and a PostgreSQL server for the tests of the records and of the engine."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from runbooks_lib.model import Evidence, Finding, Status, Verdict
from runbooks_lib.records.ledger import Ledger
from runbooks_lib.records.run_record import Run, start_run

TOML = """
[environments.sandbox]
redis_url = "redis://127.0.0.1:1/1"
prometheus_url = "http://127.0.0.1:1"
site_url = "http://127.0.0.1:1"
time_scale = 60

[environments.staging]
redis_url = "redis://:${TEST_REDIS_PASSWORD}@127.0.0.1:1/1"
prometheus_url = "http://127.0.0.1:1"
site_url = "http://127.0.0.1:1"
"""


def notebook_document(*cells: str | dict[str, Any], kernel: str | None = "python3") -> dict[str, Any]:
    """A notebook: code cells as text (called ``c0``, ``c1`` …), or whole cells."""
    made = [
        cell if isinstance(cell, dict) else code_cell(cell, cell_id=f"c{index}") for index, cell in enumerate(cells)
    ]
    metadata = {"kernelspec": {"name": kernel, "display_name": kernel, "language": "python"}} if kernel else {}
    return {"cells": made, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def code_cell(source: str, *, cell_id: str, tags: tuple[str, ...] = ()) -> dict[str, Any]:
    """One code cell without outputs."""
    metadata = {"tags": list(tags)} if tags else {}
    return {
        "cell_type": "code",
        "id": cell_id,
        "metadata": metadata,
        "source": source,
        "outputs": [],
        "execution_count": None,
    }


def prose_cell(source: str, *, cell_id: str = "prose") -> dict[str, Any]:
    """One markdown cell."""
    return {"cell_type": "markdown", "id": cell_id, "metadata": {}, "source": source}


def verdict_of(status: Status = Status.WARN, **changes: Any) -> Verdict:
    """A verdict with one finding."""
    finding = Finding(
        "cache.hit_rate",
        "hit rate",
        status,
        "72.0 %",
        limit="< 80 %",
        value=0.72,
        unit="ratio",
        evidence=(Evidence("lookups", "1200"),),
    )
    fields: dict[str, Any] = {
        "runbook": "triage",
        "environment": "sandbox",
        "at": datetime(2026, 11, 22, 2, 14, 7, tzinfo=UTC),
        "status": status,
        "headline": "hit rate 72.0 %",
        "findings": (finding,),
    }
    return Verdict(**{**fields, **changes})


@pytest.fixture
def runs_folder(tmp_path: Path) -> Path:
    """An empty place for runs."""
    return tmp_path / "site" / "runs"


@pytest.fixture
def ledger(runs_folder: Path) -> Iterator[Ledger]:
    """A fresh SQLite ledger beside the runs."""
    made = Ledger(f"sqlite:///{runs_folder / 'ledger.sqlite3'}")
    yield made
    made.close()


@pytest.fixture
def begin(ledger: Ledger, runs_folder: Path) -> Callable[..., Run]:
    """Starts a run; keyword arguments replace the usual ones."""

    def start(**changes: Any) -> Run:
        usual: dict[str, Any] = {
            "ledger": ledger,
            "runs_folder": runs_folder,
            "runbook": "triage",
            "environment": "sandbox",
            "parameters": {"window": "15m"},
        }
        return start_run(**{**usual, **changes})

    return start


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with ``runbooks.toml`` and an empty ``notebooks/incident``, which is the working directory."""
    root = tmp_path / "site"
    (root / "notebooks" / "incident").mkdir(parents=True)
    (root / "runbooks.toml").write_text(TOML, encoding="utf-8")
    monkeypatch.chdir(root)
    for name in ("RUNBOOKS_CONFIG", "RUNBOOKS_RUN_ID", "RUNBOOKS_RUN_FOLDER", "RUNBOOKS_OPERATOR"):
        monkeypatch.delenv(name, raising=False)
    return root


@pytest.fixture
def write_notebook(repository: Path) -> Callable[..., Path]:
    """Writes a notebook into ``notebooks/``; its path is returned."""

    def write(*cells: str | dict[str, Any], name: str = "incident/triage", kernel: str | None = "python3") -> Path:
        path = repository / "notebooks" / f"{name}.ipynb"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(notebook_document(*cells, kernel=kernel)), encoding="utf-8")
        return path

    return write


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[dict[str, Any]]:
    """A PostgreSQL server of our own on a free port: user ``runbooks``, password ``hunter2``; ended by its pid."""
    initdb, postgres = _postgresql_programs()
    # Not among pytest's folders: those may be closed to the user that it runs as.
    folder = Path(tempfile.mkdtemp(prefix="runbooks-postgresql-"))
    user = _not_root(folder)
    (folder / "password").write_text("hunter2\n", encoding="utf-8")
    command = [initdb, "-D", str(folder / "data"), "-U", "runbooks", "-A", "scram-sha-256", "--no-sync"]
    command += ["-E", "UTF8", "--locale=C.UTF-8"]
    subprocess.run([*command, "--pwfile", str(folder / "password")], check=True, capture_output=True, **user)
    port = free_port()
    options = ["-p", str(port), "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-k", str(folder)]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [postgres, "-D", str(folder / "data"), *options], stdout=log, stderr=log, cwd=folder, **user
        )
    try:
        _wait_for_port(port, server, folder / "log")
        yield {"port": port, "user": "runbooks", "password": "hunter2"}
    finally:
        # A fast shutdown: it does not wait for connections that a pool still holds.
        server.send_signal(signal.SIGINT)
        try:
            server.wait(timeout=10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait(timeout=10)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgresql_url(postgresql_server: dict[str, Any]) -> str:
    """The URL of an empty database."""
    import psycopg

    server = postgresql_server
    name = f"ledger_{time.monotonic_ns()}"
    where = f"host=127.0.0.1 port={server['port']} user=runbooks password=hunter2 dbname=postgres"
    with psycopg.connect(where, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return f"postgresql+psycopg://runbooks:hunter2@127.0.0.1:{server['port']}/{name}"


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _postgresql_programs() -> tuple[str, str]:
    folders = [str(path) for path in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]
    search = os.pathsep.join([*folders, os.environ.get("PATH", "")])
    found = [shutil.which(name, path=search) for name in ("initdb", "postgres")]
    if found[0] is None or found[1] is None:
        pytest.skip("PostgreSQL is not installed: neither on the path nor under /usr/lib/postgresql")
    return found[0], found[1]


def _not_root(folder: Path) -> dict[str, Any]:
    """PostgreSQL refuses to run as root: give the folder to its own user, and run as that one."""
    if os.geteuid() != 0:
        return {}
    try:
        shutil.chown(folder, "postgres")
    except LookupError:
        pytest.skip("PostgreSQL does not run as root, and there is no user postgres to run it as")
    return {"user": "postgres", "group": "postgres", "extra_groups": []}


def _wait_for_port(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    ends = time.monotonic() + 20
    while time.monotonic() < ends:
        if server.poll() is not None:
            pytest.fail(f"postgres ended: {log.read_text(encoding='utf-8')[-2000:]}")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0 and "ready to accept" in log.read_text(encoding="utf-8"):
                return
        time.sleep(0.05)
    pytest.fail("postgres did not start within 20 s")
