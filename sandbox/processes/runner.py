"""Starts, watches and stops the parts of one run; the supervisor's hands."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sandbox.errors import PartFailed
from sandbox.files import last_lines
from sandbox.layout import Home
from sandbox.processes.http import accepts, fetch
from sandbox.processes.parts import Part
from sandbox.processes.state import PartState
from sandbox.processes.tether import ProcessId, end_all, members_of_run, signal_group, start_tethered

POLL_SECONDS = 0.05
GRACE_SECONDS = 6.0


@dataclass
class Child:
    """A process we started, with its description."""

    part: Part
    popen: subprocess.Popen[bytes]
    process: ProcessId | None
    started_at: float = field(default_factory=time.time)


class Runner:
    """Holds the children of this process. Use from the main thread (see ``start_tethered``)."""

    def __init__(self, home: Home, run_id: str) -> None:
        """Start with no children."""
        self.home, self.run_id = home, run_id
        self._children: dict[str, Child] = {}
        self._stopped: dict[str, Part] = {}
        self._jobs: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, part: Part) -> None:
        """Start a part; it is not ready yet."""
        popen = start_tethered(part.argv, cwd=part.cwd, environment=part.environment, log=self.home.log(part.name))
        self._children[part.name] = Child(part, popen, ProcessId.of(popen.pid))
        self._stopped.pop(part.name, None)

    async def wait_until_ready(self, name: str) -> None:
        """Wait until a started part serves.

        Raises:
            PartFailed: it ended first, or took too long.
        """
        part = self._children[name].part
        deadline = time.monotonic() + part.ready_seconds
        while not await _is_ready(part):
            self._check(name)
            if time.monotonic() > deadline:
                raise self._failed(name, f"was not ready after {part.ready_seconds:g} s", None)
            await asyncio.sleep(POLL_SECONDS)
        self._check(name)  # a server of somebody else may have answered on the port

    async def stop(self, name: str) -> None:
        """Stop a part on purpose and remember that it shall be down."""
        child = self._children.pop(name)
        self._stopped[name] = child.part
        await self._end({name: child.popen}, GRACE_SECONDS)

    async def run_job(
        self,
        name: str,
        argv: tuple[str, ...],
        *,
        cwd: Path,
        environment: Mapping[str, str],
        timeout_seconds: float,
    ) -> None:
        """Run a program to its end.

        Raises:
            PartFailed: it ended with another exit code than 0, or took too long.
        """
        popen = start_tethered(argv, cwd=cwd, environment=environment, log=self.home.log(name))
        self._jobs[name] = popen
        try:
            async with asyncio.timeout(timeout_seconds):
                while popen.poll() is None:  # noqa: ASYNC110 - an asyncio child would need a watcher of its own
                    await asyncio.sleep(POLL_SECONDS / 2)
        except TimeoutError as error:
            raise self._failed(name, f"took longer than {timeout_seconds:g} s", None) from error
        if popen.returncode:
            raise self._failed(name, _how_it_ended(popen.returncode), popen.returncode)
        del self._jobs[name]

    def check(self) -> None:
        """Look after every part that shall run.

        Raises:
            PartFailed: one of them ended.
        """
        for name in list(self._children):
            self._check(name)

    def _check(self, name: str) -> None:
        code = self._children[name].popen.poll()
        if code is not None:
            raise self._failed(name, _how_it_ended(code), code)

    def _failed(self, name: str, reason: str, code: int | None) -> PartFailed:
        return PartFailed(name, reason, exit_code=code, log_tail=last_lines(self.home.log(name)))

    def states(self) -> tuple[PartState, ...]:
        """Describe every part, running ones first."""
        running = [
            PartState(name, child.part.port, child.process, child.started_at) for name, child in self._children.items()
        ]
        stopped = [PartState(name, part.port, None, None) for name, part in self._stopped.items()]
        return (*running, *stopped)

    def stopped_part(self, name: str) -> Part | None:
        """Return the description of a part that is stopped on purpose."""
        return self._stopped.get(name)

    def is_running(self, name: str) -> bool:
        """Whether a part was started and not stopped."""
        return name in self._children

    async def end_everything(self) -> None:
        """End all parts and jobs: those that use the servers first, the servers after them, then what is left."""
        everything = {**{name: child.popen for name, child in self._children.items()}, **self._jobs}
        servers = {name: popen for name, popen in everything.items() if name in ("redis", "broker")}
        await self._end({name: p for name, p in everything.items() if name not in servers}, GRACE_SECONDS)
        await self._end(servers, GRACE_SECONDS)
        self._children.clear()
        self._jobs.clear()
        end_all(members_of_run(self.run_id), grace_seconds=0.5)

    async def _end(self, children: Mapping[str, subprocess.Popen[bytes]], grace_seconds: float) -> None:
        """Ask process groups to end, wait, then make every group end that still has members."""
        for popen in children.values():
            if popen.poll() is None:
                popen.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + grace_seconds
        while any(popen.poll() is None for popen in children.values()) and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(POLL_SECONDS)
        for popen in children.values():
            signal_group(popen.pid, signal.SIGKILL)
        for popen in children.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                popen.wait(timeout=3)


async def _is_ready(part: Part) -> bool:
    if part.port is None:
        return True
    if part.ready_path is None:
        return await accepts(part.port)
    answer = await fetch(part.port, part.ready_path)
    return answer is not None and answer[0] == 200


def _how_it_ended(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"
