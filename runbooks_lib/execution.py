"""Execute a notebook into the folder of a run, and say truly how that ended.

The notebook under ``notebooks/`` is read and never written. The kernel is started before papermill is imported, because
both take about as long.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from runbooks_lib.engine.kernel import KernelProcess
from runbooks_lib.engine.stopping import Limits, StopRequest
from runbooks_lib.errors import ExecutionError
from runbooks_lib.records.run_record import Run
from runbooks_lib.redaction import redact
from runbooks_lib.startup import skip_slow_imports

if TYPE_CHECKING:
    from runbooks_lib.engine import Session
    from runbooks_lib.engine.notebook import Progress

#: Tell the notebook which run it belongs to.
RUN_ID_VARIABLE = "RUNBOOKS_RUN_ID"
RUN_FOLDER_VARIABLE = "RUNBOOKS_RUN_FOLDER"

NOTEBOOK_NAME = "notebook.ipynb"
CELL_TIMEOUT_SECONDS = 300.0
RUN_TIMEOUT_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Execution:
    """How an execution ended.

    Attributes:
        outcome: ``finished``: every cell ran, and the notebook was saved; else ``failed``, ``interrupted`` or
            ``timed_out``. It is what ``Run.ended`` and ``Run.finish`` take.
        reason: one line for people; empty when finished.
        cell_id: of the cell that ended it; empty when it was none.
        notebook: the executed notebook.
        started_at: aware UTC.
        took_seconds: wall time, the kernel's end included.
        signal_number: of the signal that ended it; 0 when none did. A caller exits with 128 + this number.
        saved: the notebook on the disk is complete.
    """

    outcome: Literal["finished", "failed", "interrupted", "timed_out"]
    reason: str
    cell_id: str
    notebook: Path
    started_at: datetime
    took_seconds: float
    signal_number: int = 0
    saved: bool = True


def execute_notebook(  # noqa: PLR0913 - keyword-only, each with a meaning of its own
    source: Path,
    run: Run,
    parameters: Mapping[str, Any],
    *,
    cell_timeout_seconds: float | None = CELL_TIMEOUT_SECONDS,
    run_timeout_seconds: float | None = RUN_TIMEOUT_SECONDS,
    on_progress: Callable[[Progress], None] | None = None,
    on_started: Callable[[], None] | None = None,
    variables: Mapping[str, str] | None = None,
) -> Execution:
    """Execute the notebook; when this returns, its kernel is dead.

    Args:
        source: the notebook under ``notebooks/``.
        run: the run it belongs to; the caller closes it, after it has written the report.
        parameters: typed and checked (``parameters.parse_assignments``).
        cell_timeout_seconds: for one cell; None for ever.
        run_timeout_seconds: for all; None for ever.
        on_progress: called at the start and the end of each code cell, in this thread.
        on_started: called once, as soon as the kernel is on its way: a good moment to import in a thread what
            the report will need. Papermill is imported in this thread meanwhile.
        variables: further environment variables of the kernel (``RUNBOOKS_CONFIG`` where it is not the default).

    Raises:
        ExecutionError: the notebook could not be read, the kernel could not be started, or nothing could be saved
            before the first cell. No cell ran.
    """
    started_at = datetime.now(UTC)
    stop, limits = StopRequest(), Limits(cell_timeout_seconds, run_timeout_seconds)
    own = {RUN_ID_VARIABLE: run.id, RUN_FOLDER_VARIABLE: str(run.folder.resolve())}
    with stop.listening():
        try:
            kernel = KernelProcess(run.root, {**(variables or {}), **own})
        except OSError as error:
            raise ExecutionError(f"the kernel could not be started: {error}", hint="is its folder there?") from error
        try:
            if on_started is not None:
                on_started()
            skip_slow_imports()
            from runbooks_lib.engine import Session
            from runbooks_lib.engine.notebook import Saving

            session = Session(kernel, limits, stop, Saving(run.secrets, on_progress))
            _run_papermill(source, run.folder / NOTEBOOK_NAME, parameters, session)
        finally:
            gone = kernel.close()
    remains = "" if gone else f"its kernel, process {kernel.pid}, could not be ended"
    return _execution(session, run.folder / NOTEBOOK_NAME, started_at, remains)


def _run_papermill(source: Path, output: Path, parameters: Mapping[str, Any], session: Session) -> None:
    """Let papermill inject the parameters and run our engine."""
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from papermill.engines import papermill_engines
    from papermill.exceptions import PapermillExecutionError
    from papermill.execute import execute_notebook as papermill_execute
    from papermill.log import logger

    from runbooks_lib.engine import NAME, RunbooksEngine

    papermill_engines.register(NAME, RunbooksEngine)
    if not logger.handlers:
        # Otherwise Python prints papermill's warnings on standard error, where the report of the run belongs.
        logger.addHandler(logging.NullHandler())
    try:
        papermill_execute(
            _literal(source),
            _literal(output),
            parameters=dict(parameters),
            engine_name=NAME,
            progress_bar=False,
            session=session,
        )
    except OSError as error:
        if session.ending is None:
            raise ExecutionError(
                f"nothing was run: {error}", hint=f"look at: ls -ld {output.parent}; df -h {output.parent}"
            ) from error
    except ValueError as error:
        if session.ending is None:
            raise ExecutionError(f"nothing was run: {source} is not a notebook: {error}") from error
    except (PapermillExecutionError, CellTimeoutError, DeadKernelError, KeyboardInterrupt, SystemExit):
        # Raised for papermill, which has no other way to be told; the session says what happened.
        if session.ending is None:
            raise


def _literal(path: Path) -> str:
    """The path for papermill, which would fill in parameters between braces."""
    return str(path).replace("{", "{{").replace("}", "}}")


def _execution(session: Session, path: Path, started_at: datetime, remains: str) -> Execution:
    ending, unsaved = session.ending, session.saving.error
    took = (datetime.now(UTC) - started_at).total_seconds()
    if ending is None:
        raise ExecutionError("papermill ended without executing the notebook")
    outcome = "failed" if ending.outcome == "finished" and (unsaved or remains) else ending.outcome
    told = (redact(ending.reason, session.saving.secrets), unsaved, remains)
    reason = "; ".join(text for text in told if text)
    return Execution(
        outcome, reason, ending.cell_id, path, started_at, took, signal_number=ending.signal_number, saved=not unsaved
    )
