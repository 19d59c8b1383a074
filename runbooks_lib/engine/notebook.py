"""The notebook while it is executed: the state of its cells, and saving it whole.

The metadata are papermill's (``metadata.papermill`` of the notebook and of each cell), so that its tools can read them;
``not-run`` and ``reason`` are new.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nbformat.v4
from papermill.iorw import LocalHandler, papermill_io, write_ipynb

from runbooks_lib.engine.outputs import join_streams, redact_output
from runbooks_lib.records.files import write_whole
from runbooks_lib.redaction import redact

PENDING, RUNNING, COMPLETED, FAILED, NOT_RUN = "pending", "running", "completed", "failed", "not-run"


@dataclass(frozen=True, slots=True)
class Progress:
    """One step of an execution.

    Attributes:
        event: ``started`` or ``ended``.
        cell_id: of the cell.
        position: 1 .. total, counting code cells.
        total: code cells of the notebook.
        status: ``running``, ``completed`` or ``failed``.
        source: the cell's first line.
    """

    event: str
    cell_id: str
    position: int
    total: int
    status: str
    source: str


@dataclass(slots=True)
class Saving:
    """How one notebook is saved, and whether that worked.

    Attributes:
        secrets: removed from every output.
        on_progress: called at the start and the end of each code cell.
        autosave_seconds: between saves within a long cell; 0 for none.
        error: why the last save failed; empty when it did not.
    """

    secrets: tuple[str, ...] = ()
    on_progress: Callable[[Progress], None] | None = None
    autosave_seconds: float = 5.0
    error: str = field(default="", init=False)


class Notebook:
    """A notebook that is being executed.

    Args:
        nb: with its parameters injected.
        output_path: where it is saved; None for not at all.
        saving: how.
        progress_bar: a ``tqdm`` bar to move; None for none.
    """

    def __init__(self, nb: Any, output_path: str | None, saving: Saving, progress_bar: Any = None) -> None:
        self.nb = nb
        self._output_path = output_path
        self._path = _local_path(output_path) if output_path else None
        self._saving = saving
        self._bar = progress_bar
        self._code_cells = [cell for cell in nb.cells if cell.cell_type == "code"]
        self._started_at = self._saved_at = datetime.now(UTC)

    def start(self) -> None:
        """Mark every cell pending, remove old outputs, and save.

        Raises:
            OSError: it could not be saved.
        """
        self.nb.metadata.papermill.update(
            start_time=self._started_at.isoformat(), end_time=None, duration=None, exception=None
        )
        for cell in self.nb.cells:
            cell.metadata.papermill = nbformat.from_dict(
                {"exception": None, "start_time": None, "end_time": None, "duration": None, "status": PENDING}
            )
            if "injected-parameters" in cell.metadata.get("tags", []):
                # Papermill gives it a random id; a name lets people and ``runbooks verify`` speak of it.
                cell["id"] = "injected-parameters"
            if cell.cell_type == "code":
                cell.update(execution_count=None, outputs=[])
        if self._output_path and self._path is not None:
            # Papermill writes the output once more when a run succeeded, in place. Registered under this very path,
            # the handler is found before papermill's own.
            papermill_io.register(self._output_path, _WholeFile(self._path))
        self._save()

    def cell_start(self, cell: Any) -> None:
        """Mark the cell running, and save unless it is prose. The save also holds the end of the cell before."""
        cell.metadata.papermill.update(start_time=datetime.now(UTC).isoformat(), status=RUNNING, exception=False)
        if cell.cell_type == "code":
            self._try_save()
            self._tell("started", cell)

    def cell_end(self, cell: Any) -> None:
        """Mark the cell completed unless it failed. The next cell's start, or the notebook's end, saves it."""
        mark, now = cell.metadata.papermill, datetime.now(UTC)
        mark.update(end_time=now.isoformat())
        mark.update(duration=(now - datetime.fromisoformat(mark["start_time"])).total_seconds())
        if mark["status"] != FAILED:
            mark["status"] = COMPLETED
        if cell.cell_type == "code":
            self._tell("ended", cell)
        if self._bar is not None:
            self._bar.update(1)

    def cell_failed(self, cell: Any, *, kind: str, reason: str) -> None:
        """Mark the cell that ended the run, and show the reason below it where the kernel could not."""
        reason = redact(reason, self._saving.secrets)
        cell.metadata.papermill.update(exception=True, status=FAILED, reason=reason)
        errors = [output for output in cell.outputs if output.output_type == "error"]
        if not any(output.ename == kind for output in errors):
            text = [f"{kind}: {reason}"]
            cell.outputs.append(nbformat.v4.new_output("error", ename=kind, evalue=reason, traceback=text))
        self.cell_end(cell)

    def autosave_cell(self) -> None:
        """Save within a long cell, at most every few seconds."""
        since = (datetime.now(UTC) - self._saved_at).total_seconds()
        if 0 < self._saving.autosave_seconds <= since:
            self._try_save()

    def complete(self, *, early: bool) -> None:
        """Mark what never ran, and save for the last time.

        Args:
            early: the run ended before its last cell.

        Raises:
            OSError: it could not be saved, and nothing else went wrong before.
        """
        now = datetime.now(UTC)
        duration = (now - self._started_at).total_seconds()
        self.nb.metadata.papermill.update(end_time=now.isoformat(), duration=duration, exception=early or None)
        for cell in self.nb.cells:
            if cell.metadata.papermill["status"] in (PENDING, RUNNING):
                cell.metadata.papermill["status"] = NOT_RUN
        for cell in self._code_cells:
            cell.outputs = join_streams(cell.outputs)
        if self._bar is not None:
            self._bar.close()
        if early:
            self._try_save()
        else:
            self._save()

    def _save(self) -> None:
        """Replace the file whole.

        Raises:
            OSError: it could not be written; the file is as it was.
        """
        self._saved_at = datetime.now(UTC)
        # All of them each time: a cell may update what an earlier one displayed.
        for cell in self._code_cells:
            for output in cell.outputs:
                redact_output(output, self._saving.secrets)
        try:
            if self._path is not None:
                write_whole(self._path, nbformat.v4.writes(self.nb))
            elif self._output_path:
                write_ipynb(self.nb, self._output_path)
        except OSError as error:
            self._saving.error = f"{self._output_path} could not be saved: {error.strerror or error}"
            raise
        self._saving.error = ""

    def _try_save(self) -> None:
        """Save; a failure is noted and does not end a run that works: the next save may succeed."""
        try:
            self._save()
        except OSError:
            return

    def _tell(self, event: str, cell: Any) -> None:
        """Tell the caller; a terminal that went away must not end the run."""
        if self._saving.on_progress is None:
            return
        position = next(i for i, other in enumerate(self._code_cells, 1) if other is cell)
        first = next(iter(cell.source.strip().splitlines()), "")
        status = cell.metadata.papermill["status"]
        progress = Progress(event, str(cell.get("id", "")), position, len(self._code_cells), status, first)
        try:
            self._saving.on_progress(progress)
        except OSError:
            self._saving.on_progress = None


class _WholeFile:
    """Papermill's way to a file, but for writing: the file is replaced whole."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self, _path: str) -> str:
        """What stands in the file."""
        return self._path.read_text(encoding="utf-8")

    def write(self, text: str, _path: str) -> None:
        """Replace the file whole."""
        write_whole(self._path, text)

    def pretty_path(self, path: str) -> str:
        """The path as it was given."""
        return path


def progress_bar(wanted: bool | Mapping[str, Any], total: int) -> Any:  # noqa: FBT001 - papermill's value
    """Papermill's progress bar; None when none is wanted."""
    if not wanted:
        return None
    from tqdm.auto import tqdm  # type: ignore[import-untyped]

    options = {"unit": "cell", "desc": "Executing", **(wanted if isinstance(wanted, Mapping) else {})}
    return tqdm(total=total, **options)


def _local_path(output_path: str) -> Path | None:
    """The file behind papermill's output path; None for another kind of storage, which papermill writes itself."""
    if not isinstance(papermill_io.get_handler(output_path), (LocalHandler, _WholeFile)):
        return None
    # Papermill resolves it against the folder in which it was started, although the kernel may run in another one.
    local = papermill_io.get_handler("local")
    base = local.cwd(None)
    local.cwd(base)
    return Path(base or os.getcwd()) / output_path  # noqa: PTH109 - papermill changes it
