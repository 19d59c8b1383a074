"""Run the cells in a kernel under supervision: timeouts, signals, a kernel that dies."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from queue import Empty
from typing import TYPE_CHECKING, Any, Literal, cast

from jupyter_client.asynchronous.client import AsyncKernelClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbclient.util import run_sync
from papermill.clientwrap import PapermillNotebookClient
from papermill.exceptions import PapermillExecutionError
from papermill.log import logger

from runbooks_lib.engine.kernel import KernelProcess
from runbooks_lib.engine.notebook import Notebook
from runbooks_lib.engine.stopping import Limits, StopRequest

if TYPE_CHECKING:
    from jupyter_client.connect import KernelConnectionInfo

#: How often a running cell is looked after; a kernel's death is noticed within this time.
_TICK_SECONDS = 0.2
#: How long messages that a dead kernel still sent are waited for.
_DRAIN_SECONDS = 0.3
_STARTUP_SECONDS = 60.0
_IOPUB_SECONDS = 20


@dataclass(frozen=True, slots=True)
class Ending:
    """How an execution ended.

    Attributes:
        outcome: ``finished``: every cell ran; else ``failed``, ``interrupted`` or ``timed_out``.
        kind: the name of the exception, or of what stands for one; empty when finished.
        reason: one line; empty when finished.
        cell_index: of the cell that ended it; None when it was none.
        cell_id: of that cell; empty when it was none.
        signal_number: of the signal that ended it; 0 when none did.
        kernel_died: the kernel ended by itself.
    """

    outcome: Literal["finished", "failed", "interrupted", "timed_out"] = "finished"
    kind: str = ""
    reason: str = ""
    cell_index: int | None = None
    cell_id: str = ""
    signal_number: int = 0
    kernel_died: bool = False

    def raise_if_early(self, nb: Any) -> None:
        """Raise for papermill what its own engine would have raised; nothing when every cell ran.

        A failed cell is raised here and not by papermill, which takes ``sys.exit(0)`` for success and would write
        the notebook once more with a banner that renumbers its cells.
        """
        if self.outcome == "finished":
            return
        if self.outcome == "interrupted":
            interrupted = self.signal_number == signal.SIGINT
            raise KeyboardInterrupt(self.reason) if interrupted else SystemExit(128 + self.signal_number)
        if self.outcome == "timed_out":
            raise CellTimeoutError(self.reason)
        if self.kernel_died or self.cell_index is None:
            raise DeadKernelError(self.reason)
        cell = nb.cells[self.cell_index]
        errors = [output for output in cell.get("outputs", []) if output.output_type == "error"]
        traceback = list(errors[-1].traceback) if errors else [self.reason]
        raise PapermillExecutionError(
            self.cell_index, cell.execution_count, cell.source, self.kind, self.reason, traceback
        )


class _Early(Exception):  # noqa: N818 - not an error of ours
    """Leaves the loop over the cells."""

    def __init__(self, ending: Ending) -> None:
        super().__init__(ending.reason)
        self.ending = ending


class Client(PapermillNotebookClient):
    """Executes one notebook in one kernel.

    Args:
        notebook: keeps the state of the cells.
        kernel: on its way or ready; the caller closes it.
        limits: how long things may take.
        stop: whether somebody asked to stop.
        options: papermill's own; ``log_output`` and the files for standard output and error are honoured.
    """

    def __init__(
        self,
        notebook: Notebook,
        kernel: KernelProcess,
        limits: Limits,
        stop: StopRequest,
        options: Mapping[str, Any],
    ) -> None:
        honoured = ("log_output", "stdout_file", "stderr_file")
        own = {name: options[name] for name in honoured if options.get(name)}
        super().__init__(  # type: ignore[no-untyped-call]
            notebook, log=logger, iopub_timeout=_IOPUB_SECONDS, **own
        )
        self._notebook = notebook
        self._kernel = kernel
        self._limits = limits
        self._stop = stop
        self._run_ends = time.monotonic() + limits.run_seconds if limits.run_seconds else None

    def run(self) -> Ending:
        """Execute every cell, or as many as can be. Nothing that a notebook does makes this raise."""
        ending: Ending = run_sync(self._run)()
        return ending

    async def _run(self) -> Ending:
        loop = asyncio.get_running_loop()
        stopped = asyncio.Event()
        self._stop.wake(lambda: loop.call_soon_threadsafe(stopped.set))
        before = asyncio.all_tasks()
        try:
            await self._connect(stopped)
            await self._execute_all(stopped)
        except _Early as early:
            return early.ending
        finally:
            self._stop.wake(None)
            await self._leave(before)
        self.set_widgets_metadata()
        return Ending()

    async def _execute_all(self, stopped: asyncio.Event) -> None:
        for index, cell in enumerate(self.nb.cells):
            if (early := self._must_stop()) is not None:
                raise _Early(early)
            self._notebook.cell_start(cell)
            if cell.cell_type == "code":
                await self._execute(index, cell, stopped)
            self._notebook.cell_end(self.nb.cells[index])

    async def _connect(self, stopped: asyncio.Event) -> None:
        """Wait until the kernel answers on both channels."""
        work = asyncio.ensure_future(self._handshake())
        ends = time.monotonic() + _STARTUP_SECONDS
        late = Ending("timed_out", "KernelTimeout", f"the kernel did not start within {_STARTUP_SECONDS:g} s")
        early = await self._watch(work, stopped, ends, late)
        if early is not None:
            work.cancel()
            raise _Early(early)
        work.result()

    async def _handshake(self) -> None:
        while (info := self._kernel.connection()) is None:  # noqa: ASYNC110
            await asyncio.sleep(0.01)  # the kernel is another process: there is nothing to await but time
        client = AsyncKernelClient()
        client.load_connection_info(cast("KernelConnectionInfo", info))
        # Without the heartbeat: the process itself is watched, which knows more and sooner.
        client.start_channels(stdin=False, hb=False, control=False)
        self.kc = client
        heard = replied = False
        while not (heard and replied):
            # Asked again until both were heard: a subscription may take hold only after the first answer was sent.
            client.kernel_info()
            with suppress(Empty):
                reply = await client.get_shell_msg(timeout=1)
                self.nb.metadata["language_info"] = reply["content"]["language_info"]
                replied = True
            with suppress(Empty):
                await client.get_iopub_msg(timeout=0.1)
                heard = True

    async def _execute(self, index: int, cell: Any, stopped: asyncio.Event) -> None:
        """Execute one code cell; whatever ends it early is written down and leaves the loop."""
        work = asyncio.ensure_future(self.async_execute_cell(cell, index))
        seconds = self._limits.cell_seconds
        name = cell.get("id", f"#{index}")
        late = Ending("timed_out", "CellTimeout", f"cell {name} took longer than {seconds or 0:g} s")
        early = await self._watch(work, stopped, time.monotonic() + seconds if seconds else None, late)
        if early is None:
            early = _cell_error(work)
        else:
            await self._give_up(work)
        if early is not None:
            found = replace(early, cell_index=index, cell_id=str(name))
            self._notebook.cell_failed(self.nb.cells[index], kind=found.kind, reason=found.reason)
            raise _Early(found)

    async def _watch(
        self, work: asyncio.Future[Any], stopped: asyncio.Event, ends: float | None, late: Ending
    ) -> Ending | None:
        """Wait for the work; None when it is done, else why it must not be waited for any longer."""
        waiting = asyncio.ensure_future(stopped.wait())
        try:
            while True:
                await asyncio.wait({work, waiting}, timeout=_TICK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                if work.done():
                    return None
                if not self._kernel.is_alive:
                    await asyncio.wait({work}, timeout=_DRAIN_SECONDS)
                if (early := self._must_stop()) is not None:
                    return early
                if ends is not None and time.monotonic() >= ends:
                    return late
                self._notebook.autosave_cell()
        finally:
            waiting.cancel()

    def _must_stop(self) -> Ending | None:
        """Why nothing more may be executed; None when nothing speaks against it."""
        if self._stop.number is not None:
            number = int(self._stop.number)
            return Ending("interrupted", "Interrupted", f"interrupted by {self._stop.reason}", signal_number=number)
        if not self._kernel.is_alive:
            return Ending("failed", "KernelDied", self._kernel.death(), kernel_died=True)
        if self._run_ends is not None and time.monotonic() >= self._run_ends:
            return Ending("timed_out", "RunTimeout", f"the run took longer than {self._limits.run_seconds:g} s")
        return None

    async def _give_up(self, work: asyncio.Future[Any]) -> None:
        """Interrupt the cell, give its ``finally`` blocks a bounded time, then end the kernel."""
        if self._kernel.is_alive:
            self._kernel.interrupt()
            count, ends = self._stop.count, time.monotonic() + self._limits.grace_seconds
            while not work.done() and self._kernel.is_alive and self._stop.count == count:
                if time.monotonic() >= ends:
                    break
                await asyncio.wait({work}, timeout=0.05)
        self._kernel.kill()
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)

    async def _leave(self, before: set[asyncio.Task[Any]]) -> None:
        """Leave nothing behind in the loop: nbclient's own watchers may still wait for a kernel that is gone."""
        self._kernel.kill()
        leftover = asyncio.all_tasks() - before - {asyncio.current_task()}
        for task in leftover:
            task.cancel()
        await asyncio.gather(*leftover, return_exceptions=True)
        if self.kc is not None:
            self.kc.stop_channels()
            self.kc = None


def _cell_error(work: asyncio.Future[Any]) -> Ending | None:
    """What ended a cell that came to its end; None when nothing did."""
    error = work.exception()
    if error is None:
        return None
    if isinstance(error, CellExecutionError):
        return Ending("failed", error.ename, f"{error.ename}: {error.evalue}" if error.evalue else error.ename)
    return Ending("failed", type(error).__name__, f"{type(error).__name__}: {error}")
