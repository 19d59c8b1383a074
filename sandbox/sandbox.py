"""The sandbox as an object: what the command line, the tests and the demo use."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sandbox.content.site_job import warm_everything
from sandbox.errors import AlreadyRunning, FaultAlreadyActive, NotRunning, SandboxError, UsageError
from sandbox.faults.model import Fault
from sandbox.faults.registry import fault_named
from sandbox.faults.stack import Stack
from sandbox.files import locked, read_json, write_json
from sandbox.layout import Home
from sandbox.processes.cleaning import clear_home, end_leftovers
from sandbox.processes.launch import launch, make_order
from sandbox.processes.orders import Lifetime, Step
from sandbox.processes.state import Phase, State, read_state
from sandbox.processes.tether import end_all, members_of_run
from sandbox.settings import Settings, default_settings
from sandbox.status import Status, read_status
from sandbox.traffic.control import read_load, write_load

TAKE_DOWN_SECONDS = 20.0
BUSY = "Another command is changing this sandbox. Wait for it to end, then try again."


def _say_nothing(step: Step) -> None:
    del step


class Sandbox:
    """One sandbox, in a folder of its own.

    ``up`` starts it to stay. As a context manager (``hold``, which tells the steps, or the object itself) it is up
    inside the ``with`` block and ends with it, or with this process, however that ends.
    """

    def __init__(self, home: Path | None = None, *, settings: Settings | None = None) -> None:
        """Name the sandbox; nothing is started.

        Args:
            home: its folder; None for ``$SANDBOX_HOME`` or ``.sandbox``.
            settings: everything else; None for the defaults.
        """
        chosen = settings or default_settings()
        self.settings = chosen if home is None else replace(chosen, home=Path(home).resolve())
        self.home = Home(self.settings.home)
        self._supervisor: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        """Start it, owned by this process."""
        self._up(_say_nothing, Lifetime.OWNED)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Take it down."""
        self.down()

    @contextmanager
    def hold(self, on_step: Callable[[Step], None] = _say_nothing) -> Iterator[Self]:
        """Have it up inside a ``with`` block; it ends with the block, or with this process, however that ends.

        Raises:
            AlreadyRunning: it is up, by somebody else; nothing was changed.
            MissingServer: a server program is missing.
            PortInUse: a fixed port is taken.
            SandboxError: a part failed; nothing is left running.
        """
        self._up(on_step, Lifetime.OWNED)
        try:
            yield self
        finally:
            self.down()

    def up(self, on_step: Callable[[Step], None] = _say_nothing) -> None:
        """Start it and wait until it works; it stays when this process ends.

        Raises:
            AlreadyRunning: it is up; nothing was changed.
            MissingServer: a server program is missing.
            PortInUse: a fixed port is taken.
            SandboxError: a part failed; nothing is left running.
        """
        self._up(on_step, Lifetime.DETACHED)

    def _up(self, on_step: Callable[[Step], None], lifetime: Lifetime) -> None:
        self._refuse_if_running()
        busy = f"Another `up` is starting the sandbox in {self.home.path}. Wait for it, or run `down`."
        existed = self.home.path.exists()
        try:
            with locked(self.home.lock, timeout_seconds=0.5, busy=busy):
                self._refuse_if_running()
                self._clear_leftovers(on_step)
                self._supervisor = launch(make_order(self.settings, lifetime), on_step)
        except SandboxError:
            if not existed and not (self.home.path / "logs").exists():
                self.home.lock.unlink(missing_ok=True)
                self.home.path.rmdir()
            raise

    def _refuse_if_running(self) -> None:
        state = read_state(self.home.state)
        if state is None or not state.supervisor.alive:
            return
        if state.phase is Phase.STOPPING:
            self._wait_until_gone(state)
            return
        verb = "running already" if state.phase is Phase.RUNNING else "being started already"
        raise AlreadyRunning(
            f"The sandbox in {self.home.path} is {verb} (supervisor pid {state.supervisor.pid}). "
            "See `python -m sandbox status`; `down` ends it."
        )

    def _clear_leftovers(self, on_step: Callable[[Step], None]) -> None:
        state = read_state(self.home.state)
        if state is not None:
            began = time.monotonic()
            count = end_leftovers(self.home, state)
            note = f"{count} processes were still running"
            on_step(Step("cleared what a crashed sandbox left", time.monotonic() - began, note))

    def down(self) -> bool:
        """End it and remove its data; logs and remembered ports stay.

        Returns:
            Whether there was anything to end.

        Raises:
            SandboxError: something could not be ended.
        """
        state = read_state(self.home.state)
        if state is not None and state.supervisor.alive:
            self._end_supervisor(state)
        elif state is not None:
            end_leftovers(self.home, state)
        self.home.failure.unlink(missing_ok=True)
        if state is None:
            clear_home(self.home)
        self._let_go()
        return state is not None

    def _let_go(self) -> None:
        """Collect the exit code of a supervisor that we started, so that no zombie stays."""
        if self._supervisor is not None:
            if self._supervisor.stdin is not None:
                self._supervisor.stdin.close()
            self._supervisor.wait(timeout=TAKE_DOWN_SECONDS)
            self._supervisor = None

    def _end_supervisor(self, state: State) -> None:
        state.supervisor.send(signal.SIGTERM)
        self._wait_until_gone(state)
        if end_all(members_of_run(state.run_id), grace_seconds=1):
            raise SandboxError(f"Some processes of the sandbox in {self.home.path} could not be ended.")
        clear_home(self.home)

    def _wait_until_gone(self, state: State) -> None:
        deadline = time.monotonic() + TAKE_DOWN_SECONDS
        while state.supervisor.alive and time.monotonic() < deadline:
            time.sleep(0.05)
        if state.supervisor.alive:
            end_all([state.supervisor], grace_seconds=0)
            end_leftovers(self.home, state)

    def status(self) -> Status:
        """Look at it; works in every phase."""
        return read_status(self.home)

    def stack(self) -> Stack:
        """Return handles to the running servers.

        Raises:
            NotRunning: it is not up.
        """
        state = read_state(self.home.state)
        if state is None or not state.supervisor.alive or state.phase is not Phase.RUNNING:
            raise NotRunning(f"No sandbox is running in {self.home.path}. Start it: python -m sandbox up")
        return Stack(self.home, state.ports)

    def inject(self, name: str, **parameters: Any) -> Fault:
        """Inject a fault.

        Raises:
            UsageError: unknown fault or parameter.
            NotRunning: the sandbox is not up.
            FaultAlreadyActive: it is active; nothing was changed.
        """
        fault = fault_named(name)
        chosen = fault.parameters(parameters)
        stack = self.stack()
        with locked(self.home.control_lock, timeout_seconds=10, busy=BUSY):
            active = self.active_faults()
            if name in active:
                raise FaultAlreadyActive(f"{name} is active already. Heal it first: python -m sandbox heal {name}")
            # Noted first: if injecting fails half way, `heal` still knows what to take away.
            write_json(self.home.active_faults, {**active, name: {"since": time.time(), "parameters": chosen}})
            fault.inject(stack, chosen)
        return fault

    def heal(self, name: str) -> bool:
        """Take a fault away.

        Returns:
            Whether it was active; healing one that is not changes nothing.

        Raises:
            UsageError: unknown fault.
            NotRunning: the sandbox is not up.
        """
        fault = fault_named(name)
        stack = self.stack()
        with locked(self.home.control_lock, timeout_seconds=10, busy=BUSY):
            active = self.active_faults()
            if name not in active:
                return False
            fault.heal(stack)
            write_json(self.home.active_faults, {other: value for other, value in active.items() if other != name})
        return True

    def heal_all(self) -> list[str]:
        """Take every active fault away; return their names."""
        return [name for name in sorted(self.active_faults()) if self.heal(name)]

    def warm_up(self) -> None:
        """Fill a cold cache at once, for whoever does not want to wait some minutes for the traffic to do it.

        Raises:
            NotRunning: the sandbox is not up.
            PartFailed: the site did not answer everything.
        """
        warm_everything(self.stack().home)

    def active_faults(self) -> Mapping[str, Mapping[str, Any]]:
        """Return active faults with their parameters and since when."""
        active: Mapping[str, Mapping[str, Any]] = read_json(self.home.active_faults, {})
        return active

    def load(self, *, rate_per_second: float | None = None, exponent: float | None = None) -> None:
        """Change the traffic; None leaves a value as it is.

        Raises:
            UsageError: a value is impossible, or none is given.
            NotRunning: the sandbox is not up.
        """
        if rate_per_second is None and exponent is None:
            raise UsageError("Nothing to change: give a rate, an exponent or both.")
        path = self.stack().home.traffic_control
        with locked(self.home.control_lock, timeout_seconds=10, busy=BUSY):
            load = read_load(path)
            rate = load.rate_per_second if rate_per_second is None else rate_per_second
            write_load(
                path,
                replace(load, rate_per_second=rate, exponent=load.exponent if exponent is None else exponent),
            )
