"""Starts the supervisor, follows its steps, and leaves it alone or takes it down again."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import IO

from sandbox.errors import SandboxError
from sandbox.files import read_json
from sandbox.layout import REPOSITORY, SITE, Home
from sandbox.processes.orders import Lifetime, Order, Outcome, Step, read_report
from sandbox.processes.ports import choose_ports
from sandbox.processes.servers import find_servers
from sandbox.processes.tether import RUN_ID
from sandbox.settings import Settings

Report = Callable[[Step], None]
TAKE_DOWN_SECONDS = 30


def make_order(settings: Settings, lifetime: Lifetime) -> Order:
    """Look for everything that must be there before anything is started.

    Raises:
        MissingServer: a server program is missing.
        PortInUse: a fixed port is taken.
        SandboxError: the site is missing.
    """
    if not (SITE / "manage.py").exists():
        raise SandboxError(f"{SITE / 'manage.py'} is missing. Is this a complete copy of the repository?")
    servers = find_servers()
    remembered = read_json(Home(settings.home).ports, {})
    ports = choose_ports(fixed=settings.fixed_ports, remembered=remembered)
    return Order(settings, ports, servers, secrets.token_hex(8), lifetime)


def launch(order: Order, report: Report) -> subprocess.Popen[str]:
    """Start a supervisor and wait until the sandbox works.

    Returns:
        The supervisor. Closing its standard input ends a sandbox that is owned, and no other.

    Raises:
        SandboxError: it could not start; nothing is left running.
        KeyboardInterrupt: the caller was interrupted; nothing is left running.
    """
    home = Home(order.settings.home)
    home.folder("logs")
    supervisor = _start(order, home)
    try:
        outcome = _hand_over(supervisor, order, report)
    except BaseException:
        _end(supervisor)
        raise
    if outcome.failure is not None:
        _end(supervisor)
        raise SandboxError(f"The sandbox did not start, and nothing is left running: {outcome.failure}")
    return supervisor


def _start(order: Order, home: Home) -> subprocess.Popen[str]:
    with home.log("supervisor").open("w") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "sandbox.processes.supervisor", str(home.path)],
            cwd=REPOSITORY,
            env={**os.environ, RUN_ID: order.run_id},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            start_new_session=True,
        )


def _hand_over(supervisor: subprocess.Popen[str], order: Order, report: Report) -> Outcome:
    if supervisor.stdin is None or supervisor.stdout is None:
        raise SandboxError("The supervisor was started without pipes.")
    with supervisor.stdout:
        supervisor.stdin.write(order.to_line())
        supervisor.stdin.flush()
        return _follow(supervisor.stdout, report)


def _follow(reports: IO[str], report: Report) -> Outcome:
    """Pass steps on until the outcome is known."""
    for line in reports:
        said = read_report(line)
        if isinstance(said, Outcome):
            return said
        report(said)
    return Outcome("the supervisor ended without a word")


def _end(supervisor: subprocess.Popen[str]) -> None:
    """Have the supervisor take everything down, and wait for it."""
    if supervisor.poll() is None:
        supervisor.send_signal(signal.SIGTERM)
    try:
        supervisor.wait(timeout=TAKE_DOWN_SECONDS)
    except subprocess.TimeoutExpired:
        supervisor.kill()
        supervisor.wait()
    finally:
        if supervisor.stdin is not None:
            supervisor.stdin.close()
