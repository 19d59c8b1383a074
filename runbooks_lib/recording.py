"""Record a run in a second process, while the first one reads and judges.

Loading the database layer takes about as long as reading a whole site. On call that is time spent before the answer,
so ``runbooks triage`` forks at its very start: the child opens the ledger, starts the run and later keeps verdict and
report; the parent reads and prints. A child that dies costs the record, never the answer, and the parent says so.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any

from runbooks_lib import units
from runbooks_lib.errors import RunbookError
from runbooks_lib.model import Verdict
from runbooks_lib.unconfirmed import Unconfirmed, read_unconfirmed, unread, with_unconfirmed
from runbooks_lib.view import View

#: How long the parent waits for earlier changes, the record and the child's end together, once it has judged. The
#: child has had all the time of reading before that; with everything down, the command still ends in under ten seconds.
_PATIENCE_SECONDS = 3.0
#: How much of that the parent, once it has judged, waits to be told of earlier changes. The child knows them a tenth of
#: a second after it was started, so this is waited for only where the ledger is slow or does not answer.
_UNCONFIRMED_SECONDS = 1.0
#: How long a killed child is waited for: one that is stuck in the kernel is left to the system.
_KILLED_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Kept:
    """What became of the record.

    Attributes:
        folder: of the run; None when there is none.
        error: why it is not, or not wholly, recorded; empty when all is well.
    """

    folder: Path | None
    error: str = ""


class Recorder:
    """The parent's end. Use it once: ``keep`` the verdict, or ``abandon`` the run.

    Attributes:
        pid: of the child; 0 once it has ended, or when there is none.

    Args:
        view: of the runbook; names the environment and the parameters, and where runs and ledger are.
    """

    def __init__(self, view: View) -> None:
        self.pid = 0
        self._pipe: Connection[Any, Any] | None = None
        self._failure = ""
        self._ends: float | None = None
        self._told: Unconfirmed | Kept | None = None
        try:
            self._start(view)
        except OSError as error:  # no process or no file descriptor left: the answer is still worth having
            self._failure = f"no second process could be started to record: {error.strerror or error}"

    def unconfirmed(self) -> Unconfirmed:
        """Earlier changes that must be checked first, as the child read them; a note where it could not in time."""
        if self._pipe is None:
            return unread(self._failure)
        try:
            if self._told is None and self._pipe.poll(min(_UNCONFIRMED_SECONDS, self._deadline() - time.monotonic())):
                self._told = self._pipe.recv()
        except (OSError, EOFError, pickle.PickleError) as error:
            return unread(f"the recording process ended early: {type(error).__name__}")
        if isinstance(self._told, Kept):
            return unread(self._told.error)
        return self._told or unread(f"the ledger did not answer in time (the verdict waits {_UNCONFIRMED_SECONDS:g} s)")

    def keep(self, verdict: Verdict) -> Kept:
        """Keep the verdict and its report; waits until they are on the disk, or its patience is at its end."""
        answer = Kept(None, self._failure) if self._pipe is None else self._exchange(self._pipe, verdict)
        self.abandon()
        return answer

    def abandon(self) -> None:
        """Let go: without a verdict the child closes the run as interrupted and ends; one that hangs is killed.

        After ``keep`` it waits only for what ``keep`` left of the patience.
        """
        if self._pipe is not None:
            self._pipe.close()
        if self.pid and not _ended(self.pid, self._deadline()):
            os.kill(self.pid, signal.SIGKILL)
            _ended(self.pid, time.monotonic() + _KILLED_SECONDS)
        self.pid = 0

    def _start(self, view: View) -> None:
        started_at = units.now()
        pipe, child_end = Pipe()

        def work() -> None:
            pipe.close()
            _record(child_end, view, started_at)

        try:
            self.pid = _fork(work)
        except OSError:
            pipe.close()
            raise
        finally:
            child_end.close()
        self._pipe = pipe

    def _exchange(self, pipe: Connection[Any, Any], verdict: Verdict) -> Kept:
        try:
            # A child that has ended already does not take it; what it said last is still there to be read.
            with contextlib.suppress(OSError):
                pipe.send(verdict)
            answer = self._told
            while not isinstance(answer, Kept) and pipe.poll(max(0.0, self._deadline() - time.monotonic())):
                answer = pipe.recv()
        except (OSError, EOFError, pickle.PickleError) as error:
            return Kept(None, f"the recording process ended early: {type(error).__name__}")
        return answer if isinstance(answer, Kept) else Kept(None, f"no record within {_PATIENCE_SECONDS:g} s")

    def _deadline(self) -> float:
        """One for everything that is waited for; it begins with the first question for it."""
        if self._ends is None:
            self._ends = time.monotonic() + _PATIENCE_SECONDS
        return self._ends


def _ended(pid: int, deadline: float) -> bool:
    """Has the child ended, by the deadline at the latest?"""
    while os.waitpid(pid, os.WNOHANG) == (0, 0):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.002)
    return True


def _fork(work: Callable[[], None]) -> int:
    """Run ``work`` in a child and end it without the parent's clean-up; returns the child's pid."""
    # What is in the buffers would otherwise be written twice.
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        # Ctrl-C reaches both; the parent decides, and its end of the pipe tells the child.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        work()
        code = 0
    finally:
        os._exit(code)


def _record(pipe: Connection[Any, Any], view: View, started_at: datetime) -> None:
    """The child: start the run, wait for the verdict, keep it, and say what became of it."""
    try:
        pipe.send(_keep(pipe, view, started_at))
    except RunbookError as error:
        pipe.send(Kept(None, error.message))
    except BrokenPipeError:
        return  # the parent is gone; the run is closed all the same
    except Exception as error:  # noqa: BLE001 - the edge of a process: what is not sent from here is lost
        pipe.send(Kept(None, f"bug in the library: {type(error).__name__}: {error}"))


def _keep(pipe: Connection[Any, Any], view: View, started_at: datetime) -> Kept:
    from runbooks_lib.records.ledger import Ledger
    from runbooks_lib.records.run_record import start_run
    from runbooks_lib.runbook import conclude

    configuration = view.configuration
    run = start_run(
        ledger=Ledger(configuration.ledger_url),
        runs_folder=configuration.runs_folder,
        runbook=view.name,
        environment=view.environment.name,
        parameters=view.parameters,
        secrets=view.environment.secrets,
        root=configuration.root,
        started_at=started_at,
    )
    found = unread(run.ledger_error) if run.ledger_error else read_unconfirmed(run.ledger, run.environment)
    with contextlib.suppress(BrokenPipeError):
        pipe.send(found)
    import runbooks_lib.presentation.report as _report  # noqa: F401 - loaded while the parent still reads

    try:
        verdict = pipe.recv()
    except (EOFError, OSError):
        conclude(run, "interrupted", "it was ended before it had judged")
    else:
        run.judged(with_unconfirmed(verdict, found))
        conclude(run, "finished")
    return Kept(run.folder, run.ledger_error)
