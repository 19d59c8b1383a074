"""One run: its folder, its ``record.json`` and its events.

::

    runs/2026-11-22/0214-triage-7f3a/      run 20261122-0214-triage-7f3a
        record.json                        what was judged, with parameters and versions
        notebook.ipynb  report.html        what the run kept (written by others)
        receipt.json                       where its events stand in the ledger

A run counts as finished only if its closing event is in the ledger. When the ledger cannot be written, a read-only run
goes on: ``Run.ledger_error`` holds the reason for the callers to show, and ``record.json`` says so too.

``record.json``: schema_version, run_id, runbook, environment, operator, parameters, started_at, process, versions,
commit; outcome (``running`` until it ended), detail, finished_at; judged_at, verdict (``model.Verdict``, or null when
none was reached); actions (what came of each change, in their order; ``changes.kept`` documents it); in_ledger
(``run.started`` was written), ledger_error (empty when every event was).
"""

from __future__ import annotations

import json
import re
import secrets as random
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from runbooks_lib.errors import RecordError, UsageError
from runbooks_lib.model import Verdict
from runbooks_lib.records import origin
from runbooks_lib.records.event import plain, storable, utc_text
from runbooks_lib.records.files import RECEIPT_NAME, kept_files, what_to_look_at, write_whole
from runbooks_lib.records.ledger import Ledger
from runbooks_lib.records.run_state import RunState, run_state
from runbooks_lib.redaction import redact, redact_value

__all__ = ["Outcome", "Run", "RunState", "attach_run", "read_record", "run_folder", "run_state", "start_run"]

SCHEMA_VERSION = 1
RECORD_NAME = "record.json"

#: How a run can end. ``superseded``: the notebook was opened again in the same kernel before it reached a verdict.
Outcome = Literal["finished", "failed", "interrupted", "timed_out", "superseded"]

_RUN_ID = re.compile(r"(\d{4})(\d{2})(\d{2})-(\d{4}-[A-Za-z0-9_-]+-[0-9a-f]{4})")
_RUNBOOK = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*")
_ATTEMPTS = 64


class Run:
    """A run that is being recorded. Made by ``start_run`` or ``attach_run``.

    Attributes:
        id: ``20261122-0214-triage-7f3a``.
        folder: where everything the run keeps lies.
        runbook: the name of the runbook.
        environment: the name of the environment.
        operator: who runs it.
        root: the folder of ``runbooks.toml``.
        ledger: where its events go.
        ledger_error: why it is not, or not wholly, in the ledger; empty when all is well.
        secrets: removed from everything that is kept; never part of the ``repr``.
    """

    def __init__(
        self, record: Mapping[str, Any], *, folder: Path, ledger: Ledger, root: Path, secrets: Sequence[str] = ()
    ) -> None:
        self.id: str = record["run_id"]
        self.runbook: str = record["runbook"]
        self.environment: str = record["environment"]
        self.operator: str = record["operator"]
        self.folder = folder
        self.root = root
        self.ledger = ledger
        self.ledger_error: str = record["ledger_error"]
        self._in_ledger = bool(record["in_ledger"])
        self.secrets = tuple(secrets)

    def __repr__(self) -> str:
        return f"Run({self.id!r})"

    @property
    def record(self) -> dict[str, Any]:
        """``record.json`` as it stands now; another process of the same run may have written it.

        Raises:
            RecordError: it is missing or is not what this library writes.
        """
        return read_record(self.folder)

    @property
    def is_open(self) -> bool:
        """Nobody has finished it yet."""
        return bool(self.record["outcome"] == "running")

    def judged(self, verdict: Verdict) -> None:
        """Keep the verdict: in ``record.json``, and in short in the ledger.

        Raises:
            RecordError: ``record.json`` could not be written.
        """
        judged = plain(verdict)
        # Names that programs rely on stay, even where an unlucky secret is a part of one.
        names = {name: judged[name] for name in ("runbook", "environment", "status", "at")}
        kept = {**redact_value(judged, self.secrets), **names}
        self._append("run.judged", _summary(kept))
        self._update(verdict=kept, judged_at=utc_text(datetime.now(UTC)))

    def acted(self, action: Mapping[str, Any]) -> None:
        """Keep what came of one change in ``record.json``; the engine has written it into the ledger already.

        Raises:
            RecordError: ``record.json`` could not be written.
        """
        given = plain(action)
        # As in a verdict: names that programs rely on stay.
        names = {name: given[name] for name in ("action", "environment", "result", "at", "digest", "action_id")}
        kept = {**redact_value(given, self.secrets), **names}
        self._update(actions=[*self.record.get("actions", []), kept])

    def ended(self, outcome: Outcome, detail: str = "") -> dict[str, Any]:
        """Note in ``record.json`` how the run ended, so that a report can say so; ``finish`` closes it.

        Args:
            outcome: ``finished`` (it reached its end, whatever the verdict), or how it was kept from that.
            detail: why, in one line; shown to people.

        Returns:
            The record, for the report.

        Raises:
            RecordError: ``record.json`` could not be written.
        """
        record = self.record
        detail = redact(detail, self.secrets)
        if (record["outcome"], record["detail"]) == (outcome, detail):
            return record
        return self._update(outcome=outcome, detail=detail, finished_at=utc_text(datetime.now(UTC)))

    def finish(self, outcome: Outcome, detail: str = "") -> None:
        """Close the run: hash every file in its folder and write the closing event. Call it last.

        Args:
            outcome: as for ``ended``.
            detail: as for ``ended``.

        Raises:
            RecordError: ``record.json`` could not be written or a kept file could not be read.
        """
        record = self.ended(outcome, detail)
        try:
            files = [asdict(file) for file in kept_files(self.folder)]
        except OSError as error:
            raise RecordError(
                f"a file of run {self.id} could not be read: {error}", hint=f"look at {self.folder}"
            ) from error
        verdict = record["verdict"] or {}
        self._append(
            "run.finished",
            {"outcome": outcome, "detail": record["detail"], "status": verdict.get("status"), "files": files},
        )
        if self.ledger_error:
            self._update()
        else:
            self._write_receipt()

    def _append(self, kind: str, payload: Mapping[str, Any]) -> None:
        """Append unless the run never got into the ledger; a failure is remembered, not raised."""
        if not self._in_ledger:
            return
        try:
            self.ledger.append(
                kind=kind, run_id=self.id, environment=self.environment, operator=self.operator, payload=payload
            )
        except RecordError as error:
            self.ledger_error = redact(error.message, self.secrets)

    def _update(self, **changes: Any) -> dict[str, Any]:
        """Write ``record.json`` with the changes and with what is known of the ledger."""
        record = {**self.record, **changes}
        if self.ledger_error:
            record["ledger_error"] = self.ledger_error
        _write_record(self.folder, record)
        return record

    def _write_receipt(self) -> None:
        """Note beside the files where the events stand, so that removing them from the ledger's end is seen."""
        try:
            events = self.ledger.events(run_id=self.id)
        except RecordError as error:
            self.ledger_error = redact(error.message, self.secrets)
            return
        places = [{"seq": e.seq, "event_id": e.event_id, "kind": e.kind, "hash": e.hash} for e in events]
        text = json.dumps({"run_id": self.id, "events": places}, indent=1) + "\n"
        try:
            write_whole(self.folder / RECEIPT_NAME, text)
        except OSError as error:
            self.ledger_error = f"the receipt could not be written: {error}"


def start_run(  # noqa: PLR0913 - keyword-only, each with a meaning of its own
    *,
    ledger: Ledger,
    runs_folder: Path,
    runbook: str,
    environment: str,
    parameters: Mapping[str, Any] | None = None,
    secrets: Sequence[str] = (),
    root: Path | None = None,
    started_at: datetime | None = None,
) -> Run:
    """Start a run: make its folder and its ``record.json``, and write ``run.started`` to the ledger.

    Args:
        ledger: where events go. When it cannot be written, the run goes on with ``ledger_error`` set.
        runs_folder: ``Configuration.runs_folder``.
        runbook: its name: letters, digits, ``_`` and ``-``.
        environment: the name of the configured environment.
        parameters: typed values; never hold secrets.
        secrets: ``environment.secrets``; removed from everything that is kept.
        root: the folder of ``runbooks.toml``; by default the parent of ``runs_folder``.
        started_at: aware; now by default.

    Raises:
        UsageError: the name cannot be part of a folder name.
        RecordError: the folder or ``record.json`` could not be written.
    """
    if not _RUNBOOK.fullmatch(runbook):
        raise UsageError(f"{runbook!r} cannot name a runbook", hint="use letters, digits, _ and -")
    now = (started_at or datetime.now(UTC)).astimezone(UTC)
    root = runs_folder.parent if root is None else root
    run_id, folder = _new_folder(runs_folder, runbook, now)
    started = {
        "runbook": runbook,
        "parameters": redact_value(plain(parameters or {}), secrets),
        "started_at": utc_text(now),
        "process": asdict(origin.this_process()),
        "versions": origin.versions(),
        "commit": origin.git_commit(root),
    }
    record = _first_record(run_id, environment, started)
    try:
        ledger.append(
            kind="run.started",
            run_id=run_id,
            environment=environment,
            operator=record["operator"],
            payload=started,
        )
    except RecordError as error:
        record |= {"in_ledger": False, "ledger_error": redact(error.message, secrets)}
    _write_record(folder, record)
    return Run(record, folder=folder, ledger=ledger, root=root, secrets=secrets)


def _first_record(run_id: str, environment: str, started: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "schema_version": SCHEMA_VERSION,
        "run_id": run_id,
        "environment": environment,
        "operator": storable(origin.operator()),
        **started,
        "outcome": "running",
        "detail": "",
        "judged_at": None,
        "finished_at": None,
        "verdict": None,
        "actions": [],
        "in_ledger": True,
        "ledger_error": "",
    }


def attach_run(folder: Path, *, ledger: Ledger, root: Path, secrets: Sequence[str] = ()) -> Run:
    """The run that another process started in this folder.

    Raises:
        RecordError: the folder holds no ``record.json`` that this library wrote.
    """
    return Run(read_record(folder), folder=folder, ledger=ledger, root=root, secrets=secrets)


def read_record(folder: Path) -> dict[str, Any]:
    """``record.json`` of a run.

    Raises:
        RecordError: it is missing, is not JSON, or is of a kind that this version does not know.
    """
    path = folder / RECORD_NAME
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise RecordError(f"{path} does not exist", hint="is this the folder of a run?") from error
    except (OSError, ValueError) as error:
        raise RecordError(f"{path} cannot be read: {error}", hint=f"runbooks verify {folder.name}") from error
    version = record.get("schema_version") if isinstance(record, dict) else None
    if version != SCHEMA_VERSION:
        raise RecordError(
            f"{path} has schema_version {version!r}, not {SCHEMA_VERSION}", hint="use the version that wrote it"
        )
    return dict(record)


def run_folder(runs_folder: Path, run_id: str) -> Path:
    """Where the run lies: ``20261122-0214-triage-7f3a`` → ``runs/2026-11-22/0214-triage-7f3a``.

    Raises:
        UsageError: that is not the id of a run.
    """
    match = _RUN_ID.fullmatch(run_id)
    if not match:
        raise UsageError(f"{run_id!r} is not the id of a run", hint="ids look like 20261122-0214-triage-7f3a")
    year, month, day, rest = match.groups()
    return runs_folder / f"{year}-{month}-{day}" / rest


def _new_folder(runs_folder: Path, runbook: str, now: datetime) -> tuple[str, Path]:
    """A run id that nobody has, and its folder, made. An existing folder is never used."""
    for _ in range(_ATTEMPTS):
        run_id = f"{now:%Y%m%d-%H%M}-{runbook}-{random.token_hex(2)}"
        folder = run_folder(runs_folder, run_id)
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileExistsError):
                folder.mkdir()
                return run_id, folder
        except OSError as error:
            raise RecordError(
                f"the folder of the run, {folder}, could not be made: {error}",
                hint=what_to_look_at(error, runs_folder),
            ) from error
    raise RecordError(f"no free run id in {runs_folder} after {_ATTEMPTS} attempts", hint="wait a minute and try again")


def _write_record(folder: Path, record: Mapping[str, Any]) -> None:
    path = folder / RECORD_NAME
    try:
        write_whole(path, json.dumps(record, ensure_ascii=False, indent=1) + "\n")
    except OSError as error:
        raise RecordError(f"{path} could not be written: {error}", hint=what_to_look_at(error, folder)) from error


def _summary(verdict: Mapping[str, Any]) -> dict[str, Any]:
    """What the ledger keeps of a verdict: enough to compare runs when their folders are gone."""
    names = ("status", "severity", "headline", "rule", "since", "likely", "at", "time_scale", "protected")
    finding = ("id", "status", "shown", "limit", "value", "unit")
    findings = [{name: item[name] for name in finding} for item in verdict["findings"]]
    unread = [{name: item[name] for name in ("source", "what", "reason")} for item in verdict["unread"]]
    return {**{name: verdict[name] for name in names}, "findings": findings, "unread": unread}
