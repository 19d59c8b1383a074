"""One execution from the command line: check, start the run, execute, report, close. What ``runbooks run`` does."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runbooks_lib import catalog
from runbooks_lib.changes import exit_code
from runbooks_lib.config import Configuration, Environment
from runbooks_lib.errors import ExecutionError, RunbookError
from runbooks_lib.execution import Execution, execute_notebook
from runbooks_lib.model import Verdict
from runbooks_lib.parameters import parse_assignments, parse_duration
from runbooks_lib.records.ledger import Ledger
from runbooks_lib.records.run_record import Outcome, Run, start_run
from runbooks_lib.runbook import conclude

if TYPE_CHECKING:
    from runbooks_lib.engine.notebook import Progress


@dataclass(frozen=True, slots=True)
class Finished:
    """A run that is closed, however it ended.

    Attributes:
        run: its folder holds notebook, report and record.
        outcome: ``finished``, ``failed``, ``interrupted`` or ``timed_out``.
        reason: why it did not finish, in one line; empty when it did.
        verdict: None when it was not reached.
        actions: what came of its changes, as ``record.json`` keeps them.
    """

    run: Run
    outcome: Outcome
    reason: str
    verdict: Verdict | None
    actions: Sequence[Mapping[str, Any]] = ()

    @property
    def exit_code(self) -> int:
        """50 or 40 when a change calls for it; else the verdict's, or 30 without one: what is not known is not OK."""
        if self.outcome != "finished" or self.verdict is None:
            return exit_code(ExecutionError.exit_code, self.actions)
        return exit_code(self.verdict.exit_code, self.actions)

    def text(self, *, record: str, colour: bool = False) -> str:
        """The result in a terminal."""
        from runbooks_lib.presentation.text import plain, render

        if self.outcome == "finished" and self.verdict is not None:
            return render(self.verdict, record=record, colour=colour)
        from runbooks_lib.presentation.log import change_lines

        reason = self.reason or "the notebook closed no verdict"
        reached = "" if self.verdict is None else f"\n  It had judged: {plain(self.verdict.headline)}"
        reached += "".join(f"\n  {line}" for action in self.actions for line in change_lines(action))
        return (
            f"UNKNOWN · {self.run.environment} · {self.run.runbook} did not come to its end ({self.outcome})\n"
            f"  {plain(reason)}{reached}\n\nRecord       {record}"
        )


def run_notebook(
    configuration: Configuration,
    name: str,
    assignments: Sequence[str],
    *,
    timeout: str,
    on_progress: Callable[[str], None],
) -> Finished:
    """Execute a runbook's notebook into a run with its report.

    Args:
        configuration: the parsed ``runbooks.toml``.
        name: of the runbook.
        assignments: ``name=value`` texts; refused before a kernel starts when one does not fit.
        timeout: for the whole run, such as ``30m``.
        on_progress: told in a few words what is being done.

    Raises:
        UsageError, ConfigurationError: nothing was started.
        ExecutionError, RecordError: no cell was run; the run is closed as failed.
    """
    entry = catalog.find(configuration.root, name)
    seconds = parse_duration(timeout)
    declared = entry.parameters
    values = parse_assignments(declared, assignments, configuration.environment_names)
    defaults = {parameter.name: parameter.default for parameter in declared}
    site = configuration.environment({**defaults, **values}["environment"])
    run = _start(configuration, entry.name, site, {**defaults, **values})
    try:
        execution = execute_notebook(
            entry.path,
            run,
            values,
            run_timeout_seconds=seconds,
            on_progress=lambda progress: on_progress(_words(entry.name, progress)),
            on_started=_load_report_in_background,
            variables={"RUNBOOKS_CONFIG": str(configuration.path.resolve())},
        )
    except RunbookError as error:
        conclude(run, "failed", error.message)
        raise
    return _finish(run, execution)


def _start(configuration: Configuration, name: str, site: Environment, values: dict[str, object]) -> Run:
    return start_run(
        ledger=Ledger(configuration.ledger_url),
        runs_folder=configuration.runs_folder,
        runbook=name,
        environment=site.name,
        parameters=values,
        secrets=site.secrets,
        root=configuration.root,
    )


def _finish(run: Run, execution: Execution) -> Finished:
    verdict = run.record["verdict"]
    reason = execution.reason
    if execution.cell_id:
        reason = f"cell {execution.cell_id}: {reason}"
    conclude(run, execution.outcome, reason)
    actions = tuple(run.record.get("actions", ()))
    if verdict is None:
        return Finished(run, execution.outcome, reason, None, actions)
    import msgspec

    return Finished(run, execution.outcome, reason, msgspec.convert(verdict, Verdict), actions)


def _words(name: str, progress: Progress) -> str:
    return f"{name}: cell {progress.position} of {progress.total}, {progress.cell_id}"


def _load_report_in_background() -> None:
    """Import what the report needs while the kernel works: the two take turns on no lock that matters."""

    def load() -> None:
        import jinja2  # noqa: F401
        import mistune  # noqa: F401
        import nh3  # noqa: F401

        from runbooks_lib.presentation import report  # noqa: F401

    threading.Thread(target=load, name="load-report", daemon=True).start()
