"""What a notebook opens and closes.

::

    runbook = open_runbook("low_hit_rate", environment=environment, window=window)
    memory = runbook.sources.redis.server()
    …
    runbook.close(verdict)

Under ``runbooks run`` the notebook belongs to a run that is recorded already. Under bare papermill and in JupyterLab it
starts a run of its own, so that it is recorded all the same.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runbooks_lib import config
from runbooks_lib.config import Configuration, Environment
from runbooks_lib.errors import RecordError, UsageError
from runbooks_lib.execution import RUN_FOLDER_VARIABLE, RUN_ID_VARIABLE
from runbooks_lib.model import Verdict
from runbooks_lib.records import origin
from runbooks_lib.records.ledger import Ledger
from runbooks_lib.records.run_record import Outcome, Run, attach_run, run_folder, start_run
from runbooks_lib.unconfirmed import Unconfirmed, read_unconfirmed, unread, with_unconfirmed
from runbooks_lib.view import View, open_view

if TYPE_CHECKING:
    from runbooks_lib.actions.action import Action
    from runbooks_lib.actions.outcome import Outcome as ActionOutcome

#: How many started runs are looked at for one that this very process left open.
_LOOK_BACK_EVENTS = 200


class Runbook(View):
    """An opened runbook: a view of its environment that is recorded. Made by ``open_runbook``.

    Attributes:
        run: where it is recorded. ``run.ledger_error`` is worth showing when it is not empty.
        unconfirmed: earlier changes of this environment that may have happened or not; shown when it is opened.
    """

    def __init__(self, view: View, run: Run, *, owns_run: bool, unconfirmed: Unconfirmed) -> None:
        super().__init__(view.name, view.configuration, view.environment, view.parameters)
        self.run = run
        self.unconfirmed = unconfirmed
        self._owns_run = owns_run
        self._closed = False

    def __repr__(self) -> str:
        return f"Runbook({self.name!r}, environment={self.environment.name!r}, run={self.run.id!r})"

    @property
    def report(self) -> Path:
        """Where the report is, or will be once the run is closed."""
        return self.run.folder / "report.html"

    def apply(self, action: Action, *, confirm: str = "", reason: str = "") -> ActionOutcome:
        """Plan a change, or carry it out; what came of it is kept in the record, for the report and the exit code.

        Args:
            action: with its parameters; ``make_action`` makes one by name.
            confirm: blank: a dry run. The digest that the dry run showed: it is applied if everything is still as it
                was. ``auto``: applied at once, where the environment's ``allow_auto`` says so.
            reason: why; required in a protected environment.

        Returns:
            The outcome. Refusals and systems that cannot be read are outcomes too, never exceptions.

        Raises:
            RecordError: the run's folder could not be written. The ledger holds what was done.
        """
        from runbooks_lib.changes import apply_in_run
        from runbooks_lib.presentation.live import live_line

        self._open_again()
        with live_line(action.name) as show:
            return apply_in_run(
                action,
                self.run,
                self.environment,
                confirm=confirm,
                reason=reason,
                allowed_signers=self.configuration.allowed_signers,
                approval_seconds=self.configuration.approval_seconds,
                on_progress=show,
            )

    def _open_again(self) -> None:
        """A run of its own again, when it was closed: in JupyterLab a plan is often confirmed below the last cell."""
        if self.run.is_open:
            return
        self.run = _start(self.configuration, self.environment, self.name, self.parameters)
        self._owns_run, self._closed = True, False

    def checked_first(self, verdict: Verdict) -> Verdict:
        """The verdict with the earlier changes that must be checked before anything else is done."""
        return with_unconfirmed(verdict, self.unconfirmed)

    def close(self, verdict: Verdict) -> None:
        """Record the verdict; the first one counts. A run of its own is finished with it.

        Raises:
            RecordError: the run's folder could not be written.
        """
        if self._closed or not self.run.is_open:
            return
        self.run.judged(self.checked_first(verdict))
        if self._owns_run:
            conclude(self.run, "finished")
        self._closed = True


def conclude(run: Run, outcome: Outcome, reason: str = "") -> None:
    """Write the report and close the run, in this order: the closing event holds the report's hash.

    A report that cannot be written never loses the run: the reason is kept in the record instead.

    Raises:
        RecordError: the run's folder could not be written.
    """
    from runbooks_lib.changes import keep_unconfirmed
    from runbooks_lib.presentation.report import write_report

    keep_unconfirmed(run)
    record = run.ended(outcome, reason)
    try:
        write_report(run.folder, record)
    except (OSError, ValueError) as error:
        reason = f"{reason}; " * bool(reason) + f"the report could not be written: {error}"
    run.finish(outcome, reason)


def open_runbook(
    name: str,
    /,
    *,
    environment: str,
    configuration: Configuration | None = None,
    parameters: Mapping[str, Any] | None = None,
    **named: Any,
) -> Runbook:
    """Open a runbook on one environment. Nothing is contacted but the ledger.

    Args:
        name: of the runbook, as its file is named.
        environment: a configured environment.
        configuration: the parsed ``runbooks.toml``; the nearest one by default.
        parameters: the notebook's other parameters, as a mapping …
        named: … or one by one; both are checked against what the notebook declares, and recorded.

    Raises:
        UsageError: the environment or a parameter is not one, or does not fit.
        ConfigurationError: ``runbooks.toml`` is wrong.
        RecordError: the folder of a run of its own could not be made.
    """
    configuration = configuration or config.load()
    view = open_view(configuration, name, {**(parameters or {}), **named, "environment": environment})
    site = view.environment
    ledger = Ledger(configuration.ledger_url)
    given = _given_run(name, configuration, site, ledger)
    if given is not None:
        return _opened(view, given, owns_run=False)
    run = _start(configuration, site, name, view.parameters)
    _supersede_earlier(run, configuration, site)
    return _opened(view, run, owns_run=True)


def _start(configuration: Configuration, site: Environment, name: str, parameters: Mapping[str, Any]) -> Run:
    return start_run(
        ledger=Ledger(configuration.ledger_url),
        runs_folder=configuration.runs_folder,
        runbook=name,
        environment=site.name,
        parameters=parameters,
        secrets=site.secrets,
        root=configuration.root,
    )


def _opened(view: View, run: Run, *, owns_run: bool) -> Runbook:
    """The runbook, after it was shown what an earlier change left to be checked."""
    from runbooks_lib.presentation.live import show_first

    name = view.environment.name
    found = unread(run.ledger_error) if run.ledger_error else read_unconfirmed(run.ledger, name)
    show_first(found)
    return Runbook(view, run, owns_run=owns_run, unconfirmed=found)


def _given_run(name: str, configuration: Configuration, site: Environment, ledger: Ledger) -> Run | None:
    """The run that ``runbooks run`` started for this notebook; None when this process was started otherwise.

    A notebook that starts another notebook hands the variables on, so the name must fit and the run must be open.
    """
    folder = os.environ.get(RUN_FOLDER_VARIABLE)
    if not folder:
        return None
    try:
        run = attach_run(Path(folder), ledger=ledger, root=configuration.root, secrets=site.secrets)
        mine = run.is_open and run.id == os.environ.get(RUN_ID_VARIABLE)
    except RecordError:
        return None
    return run if mine and run.runbook == name and run.environment == site.name else None


def _supersede_earlier(run: Run, configuration: Configuration, site: Environment) -> None:
    """Close runs of this runbook that this very process opened and never closed: the cell was executed again."""
    if run.ledger_error:
        return
    try:
        process = asdict(origin.this_process())
        for event in run.ledger.events(kind="run.started", operator=run.operator, limit=_LOOK_BACK_EVENTS):
            payload = event.payload
            if event.run_id != run.id and (payload.get("process"), payload.get("runbook")) == (process, run.runbook):
                folder = run_folder(configuration.runs_folder, event.run_id)
                earlier = attach_run(folder, ledger=run.ledger, root=configuration.root, secrets=site.secrets)
                if earlier.is_open:
                    earlier.finish("superseded", f"opened again as {run.id}")
    except (RecordError, UsageError):
        # The earlier run stays without a closing event, which says the same with fewer words.
        return
