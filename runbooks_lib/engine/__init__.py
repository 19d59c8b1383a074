"""A papermill engine whose record is true.

Papermill saves a notebook whose kernel died, whose cell timed out or that somebody interrupted with every cell
``completed`` and no exception, and writes it in place, so that a full disk leaves half a file. With this engine

* the cell that ended the run is ``failed``, with the reason in its metadata and in an error output,
* cells that never ran are ``not-run``, the notebook has ``exception: true`` and an ``end_time``,
* every save replaces the file as a whole,
* a signal interrupts the kernel, which gets a bounded time for its ``finally`` blocks and is then killed for certain.

``client`` runs the cells, ``notebook`` keeps their state and saves it, ``outputs`` makes what they showed fit to be
kept, ``kernel`` is the process, ``stopping`` knows time limits and signals. Used by ``execution.execute_notebook`` and,
through the entry point group ``papermill.engine``, by ``papermill --engine runbooks NOTEBOOK OUT``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runbooks_lib.engine.kernel import KernelProcess
from runbooks_lib.engine.stopping import Limits, StopRequest

if TYPE_CHECKING:
    from runbooks_lib.engine.client import Ending
    from runbooks_lib.engine.notebook import Saving

NAME = "runbooks"
AUTOSAVE_SECONDS = 5


class Session:
    """What one execution needs besides the notebook, and how it ended.

    Args:
        kernel: already on its way.
        limits: how long cells and the run may take.
        stop: tells whether somebody asked to stop.
        saving: progress, and the secrets to keep out of the file.

    Attributes:
        ending: how it ended; None while it has not.
    """

    def __init__(self, kernel: KernelProcess, limits: Limits, stop: StopRequest, saving: Saving) -> None:
        self.kernel = kernel
        self.limits = limits
        self.stop = stop
        self.saving = saving
        self.ending: Ending | None = None


class RunbooksEngine:
    """See the module. Papermill calls these class methods and nothing else; nobody makes an instance.

    It does not inherit from ``papermill.engines.Engine``: papermill loads every engine while that module is being
    imported, so an engine that imports it could not be imported by itself.
    """

    @classmethod
    def execute_notebook(  # noqa: PLR0913, PLR0917 - papermill's signature
        cls,
        nb: Any,
        kernel_name: str,
        output_path: str | None = None,
        progress_bar: bool | Mapping[str, Any] = True,  # noqa: FBT001, FBT002 - papermill's signature
        log_output: bool = False,  # noqa: FBT001, FBT002
        autosave_cell_every: int = AUTOSAVE_SECONDS,
        session: Session | None = None,
        **options: Any,
    ) -> Any:
        """Execute the notebook and save it as it goes.

        Args:
            nb: with its parameters injected.
            kernel_name: ignored; the kernel is always this Python.
            output_path: where it is saved; None for not at all.
            progress_bar: papermill's own.
            log_output: papermill's own.
            autosave_cell_every: seconds between saves within a cell; at most ``AUTOSAVE_SECONDS``.
            session: from ``execution``; None when papermill was started by itself.
            options: papermill's own; ``execution_timeout`` is honoured.

        Raises:
            PapermillExecutionError: a cell raised, ``sys.exit(0)`` included.
            DeadKernelError: the kernel died.
            CellTimeoutError: a cell, or the run, took too long.
            KeyboardInterrupt: Ctrl-C.
            SystemExit: SIGTERM or SIGHUP (exit code 128 + its number).
            OSError: the notebook could not be saved at its start or its end.
        """
        from runbooks_lib.engine.client import Client
        from runbooks_lib.engine.notebook import Notebook, Saving
        from runbooks_lib.engine.notebook import progress_bar as bar

        del kernel_name
        stop = session.stop if session else StopRequest()
        with stop.listening():
            saving = session.saving if session else Saving(autosave_seconds=min(autosave_cell_every, AUTOSAVE_SECONDS))
            notebook = Notebook(nb, output_path, saving, bar(progress_bar, len(nb.cells)))
            notebook.start()
            own = session or Session(_kernel_here(), Limits(options.get("execution_timeout")), stop, saving)
            ending = None
            try:
                client = Client(notebook, own.kernel, own.limits, stop, {**options, "log_output": log_output})
                own.ending = ending = client.run()
            finally:
                own.kernel.close()
                notebook.complete(early=ending is None or ending.outcome != "finished")
        ending.raise_if_early(nb)
        return nb

    @classmethod
    def nb_kernel_name(cls, nb: Any, name: str | None = None) -> str:
        """Always Python: a notebook without a kernel specification can be executed too."""
        del nb, name
        return "python3"

    @classmethod
    def nb_language(cls, nb: Any, language: str | None = None) -> str:
        """Always Python."""
        del nb, language
        return "python"


def _kernel_here() -> KernelProcess:
    """A kernel in the folder of the nearest ``runbooks.toml``, or where we are when there is none."""
    from runbooks_lib.config import FILE_NAME

    here = Path(os.getcwd())  # noqa: PTH109 - papermill changes it
    root = next((folder for folder in (here, *here.parents) if (folder / FILE_NAME).is_file()), here)
    return KernelProcess(root)
