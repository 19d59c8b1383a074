"""Is everything still as it was written? Recompute the chain of events and the hash of every kept file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runbooks_lib.errors import RecordError, UsageError
from runbooks_lib.model import Status
from runbooks_lib.records.chain import find_faults
from runbooks_lib.records.event import Event
from runbooks_lib.records.files import RECEIPT_NAME, KeptFile, ignored_paths, keep, kept_paths
from runbooks_lib.records.leases import Lease, latest_leases
from runbooks_lib.records.ledger import RESTORED, Ledger
from runbooks_lib.records.run_record import read_record, run_folder
from runbooks_lib.records.run_state import RunState, state_of


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is not as it was written.

    Attributes:
        kind: ``removed event``, ``inserted event``, ``reordered event``, ``edited event``, ``edited cell``,
            ``removed cell``, ``added cell``, ``changed file``, ``missing file``, ``extra file``, ``missing folder``,
            ``unknown run`` (a folder that no event belongs to), ``missing table`` or ``missing trigger``.
        run_id: the run; empty where no run can be named.
        name: the event's number, the cell (``triage.ipynb#hit-rate``), the file or the folder.
        detail: one sentence.
    """

    kind: str
    run_id: str
    name: str
    detail: str


@dataclass(frozen=True, slots=True)
class Verification:
    """What was verified, and what was found.

    Attributes:
        faults: everything that is not as it was written.
        unfinished: run id → ``running``, ``interrupted`` or ``unknown``; no faults, but nothing vouches for the files.
        unrecorded: ids of runs that went on although the ledger could not be written; nothing vouches for them either.
        notes: what else nothing vouches for, one line each.
        events_count: events whose hash was recomputed.
        runs_count: finished runs whose files were hashed.
        files_count: kept files that were hashed.
        cells_count: notebook cells among them.
        head: the newest event; None where there is none. An older copy of the whole ledger, with the newer folders
            removed, cannot be told from a ledger that ended there: only its head, kept elsewhere, tells.
    """

    faults: tuple[Fault, ...]
    unfinished: Mapping[str, str]
    unrecorded: tuple[str, ...]
    events_count: int
    runs_count: int
    files_count: int
    cells_count: int
    notes: tuple[str, ...] = ()
    head: Event | None = None

    @property
    def ok(self) -> bool:
        """No fault was found."""
        return not self.faults

    @property
    def status(self) -> Status:
        """FAIL with a fault; UNKNOWN where there was no event that could be verified."""
        if self.faults:
            return Status.FAIL
        return Status.OK if self.events_count else Status.UNKNOWN


def verify(ledger: Ledger, runs_folder: Path, run_id: str | None = None) -> Verification:
    """Recompute the hashes of all events and of every kept file, and name what differs.

    The chain is always checked as a whole; with ``run_id`` only the files of that run are.

    Raises:
        UsageError: neither the ledger nor the folder knows the run.
        RecordError: the ledger or a folder could not be read, or the folder is none.
    """
    if runs_folder.exists() and not runs_folder.is_dir():
        raise RecordError(
            f"UNKNOWN · {runs_folder} is a file, not the folder of runs: nothing was verified",
            hint=f"look what it is, and move it away: ls -l {runs_folder}",
        )
    # Read first: a lock that is taken between the two readings must not look like one whose event is gone.
    leases = latest_leases(ledger)
    events = ledger.events()
    runs: dict[str, list[Event]] = {}
    for event in events:
        runs.setdefault(event.run_id, []).append(event)
    folders = _folders(runs_folder)
    if run_id is not None:
        if run_id not in runs and run_id not in folders:
            raise UsageError(
                f"run {run_id!r} is in neither the ledger nor {runs_folder}",
                hint="check the id; all runs are checked by: runbooks verify",
            )
        runs = {key: value for key, value in runs.items() if key == run_id}
        folders = {key: value for key, value in folders.items() if key == run_id}
    faults = [Fault(f"{f.kind} event", f.run_id, f"event {f.seq}", f.detail) for f in find_faults(events)]
    faults += _lock_faults(leases, events)
    faults += _part_faults(ledger)
    faults += [fault for key, folder in folders.items() for fault in _receipt_faults(key, folder, events, faults)]
    states = {key: state_of(own) for key, own in runs.items()}
    unfinished = {key: str(s) for key, s in states.items() if _closing(runs[key]) is None and _is_run(runs[key])}
    strangers = [key for key in folders if key not in runs]
    unrecorded = [key for key in strangers if _says_unrecorded(folders[key])]
    faults += [
        Fault("unknown run", key, str(folders[key]), "the ledger has no event of this run")
        for key in strangers
        if key not in unrecorded
    ]
    counts = [0, 0, 0]
    closed = {key: closing for key, own in runs.items() if (closing := _closing(own)) is not None}
    for key, closing in closed.items():
        faults += _run_faults(key, closing, runs_folder, counts)
    return Verification(
        faults=tuple(faults),
        unfinished=unfinished,
        unrecorded=tuple(unrecorded),
        events_count=len(events),
        runs_count=counts[0],
        files_count=counts[1],
        cells_count=counts[2],
        notes=(*_ledger_notes(ledger, events), *_ignored_notes(runs_folder, closed)),
        head=events[-1] if events else None,
    )


def _part_faults(ledger: Ledger) -> list[Fault]:
    """What keeps the ledger as it is, and was removed from it."""
    faults = []
    for name in ledger.missing_parts():
        kind = "table" if name == "runbook_leases" else "trigger"
        without = "who holds which lock is not known" if kind == "table" else "events can be changed and removed"
        faults.append(
            Fault(f"missing {kind}", "", name, f"somebody removed it from {ledger.shown}; without it {without}")
        )
    return faults


def _ledger_notes(ledger: Ledger, events: Sequence[Event]) -> list[str]:
    """That there is no ledger, or what had been removed from it and was put back."""
    if not events:
        return [f"there is no ledger at {ledger.shown}, or it is empty: is it the right [ledger] url?"]
    return [
        f"event {event.seq}: {', '.join(map(str, event.payload.get('parts', ())))} had been removed from the ledger by "
        f"somebody, and {event.operator}'s next write at {event.at} put it back"
        for event in events
        if event.kind == RESTORED
    ]


def _ignored_notes(runs_folder: Path, run_ids: Iterable[str]) -> list[str]:
    """Files in the folders of finished runs that are not compared: nobody can hide one there unsaid."""
    folders = [_run_folder(runs_folder, run_id) for run_id in run_ids]
    there = [folder for folder in folders if folder is not None and folder.is_dir()]
    return [f"{path}: no evidence, not compared" for folder in there for path in ignored_paths(folder)]


def _closing(events: Sequence[Event]) -> Event | None:
    return next((event for event in reversed(events) if event.kind == "run.finished"), None)


def _is_run(events: Sequence[Event]) -> bool:
    return state_of(events) is not RunState.FINISHED and any(event.kind == "run.started" for event in events)


def _lock_faults(leases: Sequence[Lease], events: Sequence[Event]) -> list[Fault]:
    """The taking of a lock that its own row remembers and that the ledger has no more: cut off at the end."""
    last = events[-1].seq if events else 0
    newest = {lease.fencing_number: lease for lease in leases if lease.fencing_number > last}
    return [
        Fault("removed event", lease.holder, f"event {seq}", f"event {seq} (lock.acquired, {lease.resource}) is gone")
        for seq, lease in sorted(newest.items())
    ]


def _folders(runs_folder: Path) -> dict[str, Path]:
    """Run id → folder, for every folder that looks like a run's."""
    found = {}
    for folder in sorted(runs_folder.glob("[0-9]*-[0-9]*-[0-9]*/*")):
        run_id = f"{folder.parent.name.replace('-', '')}-{folder.name}"
        if folder.is_dir() and _run_folder(runs_folder, run_id) == folder:
            found[run_id] = folder
    return found


def _run_folder(runs_folder: Path, run_id: str) -> Path | None:
    try:
        return run_folder(runs_folder, run_id)
    except UsageError:
        return None


def _says_unrecorded(folder: Path) -> bool:
    """Does ``record.json`` itself say that the run never got into the ledger?"""
    try:
        return not read_record(folder)["in_ledger"]
    except (RecordError, KeyError):
        return False


def _receipt_faults(run_id: str, folder: Path, events: Sequence[Event], known: Iterable[Fault]) -> list[Fault]:
    """Events that the run's receipt names and that the ledger no longer has, or has with another hash."""
    try:
        receipt = json.loads((folder / RECEIPT_NAME).read_text(encoding="utf-8"))
        places = [(int(item["seq"]), str(item["kind"]), str(item["hash"])) for item in receipt["events"]]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError):
        return [Fault("changed file", run_id, RECEIPT_NAME, f"{folder / RECEIPT_NAME} is no receipt any more")]
    hashes = {event.hash for event in events}
    numbers = {event.seq for event in events}
    said = {fault.name for fault in known}
    faults = []
    for seq, kind, value in places:
        name = f"event {seq}"
        if value not in hashes and name not in said:
            gone = seq not in numbers
            detail = "is gone" if gone else "is not the one that was written: its hash differs from the receipt"
            faults.append(Fault("removed event" if gone else "edited event", run_id, name, f"{name} ({kind}) {detail}"))
    return faults


def _run_faults(run_id: str, closing: Event, runs_folder: Path, counts: list[int]) -> list[Fault]:
    """Compare the run's folder with its closing event; adds to the counts of runs, files and cells."""
    folder = _run_folder(runs_folder, run_id)
    counts[0] += 1
    if folder is None or not folder.is_dir():
        detail = f"the ledger has {len(closing.payload.get('files', []))} files of this run"
        return [Fault("missing folder", run_id, str(folder or run_id), detail)]
    kept = {str(item["path"]): _kept(item) for item in closing.payload.get("files", [])}
    present = {path.relative_to(folder).as_posix(): path for path in kept_paths(folder)}
    faults = [
        Fault("missing file", run_id, name, f"{folder / name} is gone") for name in sorted(kept.keys() - present.keys())
    ]
    faults += [
        Fault("extra file", run_id, name, f"{present[name]} was added after the run was closed")
        for name in sorted(present.keys() - kept.keys())
    ]
    for name in sorted(kept.keys() & present.keys()):
        try:
            now = keep(folder, present[name])
        except OSError as error:
            raise RecordError(f"{present[name]} cannot be read: {error}", hint="check its permissions") from error
        counts[1] += 1
        counts[2] += len(now.cells)
        faults += _file_faults(run_id, kept[name], now)
    return faults


def _kept(item: Mapping[str, Any]) -> KeptFile:
    cells = {str(key): str(value) for key, value in dict(item.get("cells") or {}).items()}
    return KeptFile(str(item["path"]), int(item.get("size_bytes", -1)), str(item.get("sha256")), cells)


def _file_faults(run_id: str, kept: KeptFile, now: KeptFile) -> list[Fault]:
    """Nothing for the same bytes; for a notebook the cells that differ, else the file."""
    if kept.sha256 == now.sha256:
        return []
    faults = []
    for cell in (*kept.cells, *(cell for cell in now.cells if cell not in kept.cells)):
        name = f"{kept.path}#{cell}"
        if cell not in now.cells:
            faults.append(Fault("removed cell", run_id, name, f"cell {cell} of {kept.path} is gone"))
        elif cell not in kept.cells:
            faults.append(Fault("added cell", run_id, name, f"cell {cell} of {kept.path} was added after the run"))
        elif kept.cells[cell] != now.cells[cell]:
            faults.append(
                Fault("edited cell", run_id, name, f"source or outputs of cell {cell} of {kept.path} were changed")
            )
    if kept.cells and now.cells and list(kept.cells) != list(now.cells) and not faults:
        faults.append(Fault("changed file", run_id, kept.path, f"the cells of {kept.path} stand in another order"))
    if faults:
        return faults
    outside = "only outside its cells' source and outputs" if kept.cells and now.cells else ""
    sizes = f"{kept.size_bytes} bytes then, {now.size_bytes} now"
    detail = f"{kept.path} is not what was kept ({', '.join(text for text in (sizes, outside) if text)})"
    return [Fault("changed file", run_id, kept.path, detail)]
