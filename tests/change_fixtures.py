"""A workplace with two environments on one real Redis: ``site`` is free to change, ``guarded`` is protected."""

from __future__ import annotations

import contextlib
import io
import os
import re
import sqlite3
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import pytest
from servers_fixtures import RunningRedis
from workplace_fixtures import Workplace

_ATTEMPTS = 10
PATTERN = ("-p", "pattern=api:Course:*")
_TOML = """
[environments.{name}]
redis_url = "{url}"
prometheus_url = "http://127.0.0.1:9"
site_url = "http://127.0.0.1:9"
key_prefix = "django"
{more}
"""


@dataclass(frozen=True)
class ChangePlace(Workplace):
    """A workplace beside a Redis with five cached answers and a session."""

    redis: RunningRedis | None = None

    def call(self, *arguments: str, typed: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
        """The same as ``run`` without a process of its own, which takes most of the time of a short command.

        ``typed`` comes through a pipe on standard input.
        """
        from runbooks_lib.cli import main

        out, err = io.StringIO(), io.StringIO()
        reads, writes = os.pipe()
        os.write(writes, typed.encode())
        os.close(writes)
        with (
            os.fdopen(reads, encoding="utf-8") as piped,
            mock.patch("sys.stdin", piped),
            contextlib.chdir(self.folder),
            mock.patch.dict(os.environ, {**self.variables, **variables}, clear=True),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            code = main(arguments)
        return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())

    def plan(self, environment: str, operator: str = "anna", *more: str) -> str:
        """The digest of a plan to clear the cached answers."""
        for _ in range(_ATTEMPTS):
            done = self.call("change", "clear_pattern", "-e", environment, *PATTERN, *more, RUNBOOKS_OPERATOR=operator)
            if "✗ redis answers within" not in done.stdout:
                break
            time.sleep(0.2)  # a machine that does much else: the guard is right, and the test is about something else
        assert done.returncode == 0, done.stdout + done.stderr
        return re.match(r"PLAN +([0-9a-f-]+)", done.stdout)[1]

    def keys(self) -> int:
        """How many cached answers there are."""
        return len(self.redis.client().keys("django:1:api:Course:*"))

    def fill(self, count: int) -> None:
        """Cache so many answers."""
        pipeline = self.redis.client().pipeline(transaction=False)
        for number in range(count):
            pipeline.set(f"django:1:api:Course:{number}", "x")
        pipeline.execute()

    def in_the_middle_of(self, command: Callable[[], Sequence[str]]) -> subprocess.Popen[str]:
        """A process whose change is written down and being made; refused first, where the machine is busy.

        Args:
            command: makes its arguments anew for each attempt: a digest is good for one.
        """
        self.fill(30_000)
        for _ in range(_ATTEMPTS):
            process = subprocess.Popen(
                list(command()),
                cwd=self.folder,
                env={**self.variables, "RUNBOOKS_OPERATOR": "anna"},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            while not self.ledger_rows("action.intended") and process.poll() is None:
                time.sleep(0.002)
            if process.poll() is None:
                return process
            out, err = process.communicate(timeout=10)
            assert "redis answers within" in out, out + err
        pytest.fail(f"refused {_ATTEMPTS} times: {out}")

    def ledger_rows(self, kind: str) -> list[tuple[str, str]]:
        """Id and run of the events of a kind, read around the library; nothing before there is a ledger."""
        path = self.folder / "runs" / "ledger.sqlite3"
        if not path.exists():
            return []
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
            try:
                query = "SELECT event_id, run_id FROM runbook_events WHERE kind = ? ORDER BY seq"
                return connection.execute(query, (kind,)).fetchall()
            except sqlite3.OperationalError:
                return []


@pytest.fixture
def configured(workplace: Workplace) -> Callable[..., Path]:
    """Writes ``runbooks.toml`` for a Redis; ``more`` follows at its end."""

    def write(redis: RunningRedis, more: str = "") -> Path:
        path = workplace.folder / "runbooks.toml"
        site = _TOML.format(name="site", url=redis.url(), more="allow_auto = true")
        # By a second name of the server: by the same one, ``site`` would be as protected as this.
        elsewhere = redis.url().replace("127.0.0.1", "127.1")
        guarded = _TOML.format(name="guarded", url=elsewhere, more="protected = true")
        path.write_text(f"{site}{guarded}{more}", encoding="utf-8")
        return path

    return write


@pytest.fixture
def unread(workplace: Workplace) -> ChangePlace:
    """The workplace as it is shipped, for commands that end before they contact anything."""
    return ChangePlace(workplace.folder, workplace.variables)


@pytest.fixture
def changeable(
    workplace: Workplace, redis_server: Callable[..., RunningRedis], configured: Callable[..., Path]
) -> ChangePlace:
    """The workplace, with a Redis of its own that holds five cached answers and a session."""
    redis = redis_server()
    configured(redis)
    place = ChangePlace(workplace.folder, workplace.variables, redis)
    place.fill(5)
    redis.client().set("django:1:session:1", "s")
    return place
