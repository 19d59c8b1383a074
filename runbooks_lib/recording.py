"""Record a run in a second process, while the first one reads and judges.

Loading the database layer takes about as long as reading a whole site. On call that is time spent before the answer,
so ``runbooks triage`` forks at its very start: the child opens the ledger, starts the run and later keeps verdict and
report; the parent reads and prints. A child that dies costs the record, never the answer, and the parent says so.
"""

from __future__ import annotations

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
from runbooks_lib.view import View

#: How long the parent waits for the record after it has printed the verdict. The child has had all the time of reading
#: before that; with everything down, the whole command still ends in under ten seconds.
_PATIENCE_SECONDS = 3.0


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
        pid: of the child; 0 once it has ended.

    Args:
        view: of the runbook; names the environment and the parameters, and where runs and ledger are.
    """

    def __init__(self, view: View) -> None:
        started_at = units.now()
        self._pipe, child_end = Pipe()

        def work() -> None:
            self._pipe.close()
            _record(child_end, view, started_at)

        self.pid = _fork(work)
        child_end.close()

    def keep(self, verdict: Verdict) -> Kept:
        """Keep the verdict and its report; waits until they are on the disk."""
        try:
            self._pipe.send(verdict)
            answer = self._pipe.recv() if self._pipe.poll(_PATIENCE_SECONDS) else None
        except (OSError, EOFError, pickle.PickleError) as error:
            answer = Kept(None, f"the recording process ended early: {type(error).__name__}")
        self.abandon()
        return answer if isinstance(answer, Kept) else Kept(None, f"no record within {_PATIENCE_SECONDS:g} s")

    def abandon(self) -> None:
        """Let go: without a verdict the child closes the run as interrupted and ends; one that hangs is killed."""
        self._pipe.close()
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while self.pid and os.waitpid(self.pid, os.WNOHANG) == (0, 0):
            if time.monotonic() > deadline:
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
                break
            time.sleep(0.002)
        self.pid = 0


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
    import runbooks_lib.presentation.report as _report  # noqa: F401 - loaded while the parent still reads

    try:
        verdict = pipe.recv()
    except (EOFError, OSError):
        conclude(run, "interrupted", "it was ended before it had judged")
    else:
        run.judged(verdict)
        conclude(run, "finished")
    return Kept(run.folder, run.ledger_error)
