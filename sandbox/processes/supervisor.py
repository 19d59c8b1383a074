"""The process that owns a sandbox: it starts the parts, watches them, and takes all of them down with it.

Run as ``python -m sandbox.processes.supervisor`` in a session of its own; the order comes as the first line of
standard input. While it starts, the end of that input (whoever ran `up` is gone, for whatever reason) means:
take it all down.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Coroutine
from typing import Any

from sandbox.errors import PartFailed, SandboxError
from sandbox.files import read_json, write_json
from sandbox.layout import Home
from sandbox.processes.bring_up import BringUp
from sandbox.processes.cleaning import clear_home
from sandbox.processes.orders import Lifetime, Order, Outcome, Step, report_line
from sandbox.processes.parts import Blueprint
from sandbox.processes.ports import choose_ports
from sandbox.processes.runner import Runner
from sandbox.processes.state import Phase, State, write_failure, write_state
from sandbox.processes.tether import ProcessId

WATCH_SECONDS = 0.1


class Stopped(Exception):
    """Somebody asked the sandbox to end."""


class Supervisor:
    """One run of one sandbox."""

    def __init__(self, order: Order) -> None:
        """Take the order; nothing is started yet."""
        self.order, self.ports = order, order.ports
        self.home = Home(order.settings.home)
        self.runner = Runner(self.home, order.run_id)
        self._phase, self._started_at = Phase.STARTING, time.time()
        self._stop = asyncio.Event()
        self._states: object = None

    async def run(self) -> int:
        """Live until asked to end or until a part fails; return the exit code."""
        self._listen()
        try:
            await self._start_with_one_retry()
            self._announce()
            await self._until_stopped(asyncio.Event().wait())
        except Stopped:
            self._report(Outcome("was asked to end while it started"))
            return 0
        except PartFailed as error:
            log = self.home.log(error.part)
            write_failure(self.home.failure, error, at=time.time(), log=log)
            self._report(Outcome(f"{error}\n  Log: {log}"))
            return 1
        except SandboxError as error:
            self._report(Outcome(str(error)))
            return 1
        finally:
            await self._take_down()
        return 0

    def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_reader(sys.stdin.fileno(), self._owner_is_gone)

    def _owner_is_gone(self) -> None:
        if not os.read(sys.stdin.fileno(), 1024):
            asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
            self._stop.set()

    async def _start_with_one_retry(self) -> None:
        """Start everything; if a chosen port was taken in the meantime, once more with other ports."""
        try:
            await self._until_stopped(self._bring_up())
        except PartFailed as error:
            if not error.lost_a_port:
                raise
            await self.runner.end_everything()
            self.ports = choose_ports(fixed=self.order.settings.fixed_ports, remembered={})
            self._report(Step("a port was taken meanwhile, starting again with others", 0.0))
            await self._until_stopped(self._bring_up())

    async def _bring_up(self) -> None:
        order = self.order
        blueprint = Blueprint(order.settings, self.home, self.ports, order.servers, order.run_id)
        await BringUp(blueprint, self.runner, self._report).run()

    async def _until_stopped(self, work: Coroutine[Any, Any, Any]) -> None:
        """Do some work, unless a part fails or somebody asks to end first.

        Raises:
            PartFailed: a part ended.
            Stopped: somebody asked.
        """
        working, watching = asyncio.create_task(work), asyncio.create_task(self._watch())
        stopping = asyncio.create_task(self._stop.wait())
        tasks = {working, watching, stopping}
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if stopping.done():
                raise Stopped
            await (watching if watching.done() else working)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _watch(self) -> None:
        """Look after the parts, follow what is wanted, keep the state file true."""
        while True:
            self.runner.check()
            await self._follow_wanted()
            self._save()
            await asyncio.sleep(WATCH_SECONDS)

    async def _follow_wanted(self) -> None:
        """Stop and start parts as faults ask for it."""
        stopped = set(read_json(self.home.wanted, {}).get("stopped", ()))
        for part in self.runner.states():
            if part.name in stopped and self.runner.is_running(part.name):
                await self.runner.stop(part.name)
            description = self.runner.stopped_part(part.name)
            if description is not None and part.name not in stopped:
                self.runner.start(description)
                await self.runner.wait_until_ready(part.name)

    def _save(self) -> None:
        states = (self._phase, self.ports, self.runner.states())
        if states == self._states:
            return
        own = ProcessId.of(os.getpid())
        if own is None:
            raise SandboxError("The supervisor cannot read its own start time; is /proc mounted?")
        settings = self.order.settings.as_dict()
        write_state(
            self.home.state,
            State(
                *(self.order.run_id, self._phase, own, self._started_at),
                *(self.ports.as_dict(), settings, self.runner.states()),
            ),
        )
        self._states = states

    def _announce(self) -> None:
        """Say that everything is up; from now on whoever ran `up` may leave."""
        write_json(self.home.ports, self.ports.as_dict())
        self._phase = Phase.RUNNING
        self._save()
        if self.order.lifetime is Lifetime.DETACHED:
            asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
        self._report(Outcome())

    def _report(self, report: Step | Outcome) -> None:
        with contextlib.suppress(OSError, ValueError):  # nobody may be reading any more
            sys.stdout.write(report_line(report))
            sys.stdout.flush()

    async def _take_down(self) -> None:
        self._phase = Phase.STOPPING
        self._save()
        self.home.variables.unlink(missing_ok=True)
        await self.runner.end_everything()
        clear_home(self.home)


def main() -> int:
    """Read the order and live."""
    order = Order.from_line(sys.stdin.readline())
    return asyncio.run(Supervisor(order).run())


if __name__ == "__main__":
    sys.exit(main())
