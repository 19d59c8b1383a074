"""Write files whole or not at all, and hash what is kept."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

#: The closing event's place in the ledger, kept beside the files. It cannot be among the files that this event names.
RECEIPT_NAME = "receipt.json"

#: JupyterLab makes these when somebody opens a kept notebook; they are copies, not evidence.
_IGNORED_FOLDERS = (".ipynb_checkpoints",)
#: As ``write_whole`` names what it has not finished.
_UNFINISHED = re.compile(r"\..+\.[0-9a-f]{8}\.tmp")


@dataclass(frozen=True, slots=True)
class KeptFile:
    """One file of a run as it was when the run was closed.

    Attributes:
        path: relative to the run's folder, with ``/``.
        size_bytes: its length.
        sha256: over its bytes (over the target's name for a symbolic link), hex.
        cells: for a notebook, cell id → hash of that cell's source and outputs, in order; else empty.
    """

    path: str
    size_bytes: int
    sha256: str
    cells: dict[str, str] = field(default_factory=dict)


def write_whole(path: Path, text: str) -> None:
    """Write the file so that a reader, or a crash, sees the old content or the new, never a part.

    Raises:
        OSError: it could not be written; the old content, if any, is still there.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Make the new name itself survive a power cut, where the file system can."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def what_to_look_at(error: OSError, folder: object) -> str:
    """The command that shows why a file or folder could not be made there; a full disk only where it is full."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"make room: df -h {folder}"
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        return f"move the file that stands where a folder should be: ls -ld {folder}"
    return f"see whose it is, and whether you may write there: ls -ld {folder}"


def kept_files(folder: Path) -> tuple[KeptFile, ...]:
    """Every file of the run, hashed, in the order of their paths; the receipt and unfinished writes are left out.

    Raises:
        OSError: a file could not be read.
    """
    return tuple(keep(folder, path) for path in sorted(kept_paths(folder)))


def kept_paths(folder: Path) -> Iterator[Path]:
    """The paths of all files that a run keeps."""
    for parent, folders, names in os.walk(folder):
        folders[:] = [
            name for name in folders if name not in _IGNORED_FOLDERS and not (Path(parent) / name).is_symlink()
        ]
        links = [path.name for path in Path(parent).iterdir() if path.is_symlink()]
        for name in {*names, *links}:
            path = Path(parent) / name
            if path != folder / RECEIPT_NAME and not _UNFINISHED.fullmatch(name):
                yield path


def ignored_paths(folder: Path) -> tuple[Path, ...]:
    """What ``kept_paths`` leaves out, but for the receipt: JupyterLab's copies, and writes that never ended."""
    kept = set(kept_paths(folder))
    found = (path for path in sorted(folder.rglob("*")) if path.is_symlink() or not path.is_dir())
    linked = {path for path in kept if path.is_symlink()}
    return tuple(
        path for path in found if path not in kept and path != folder / RECEIPT_NAME and linked.isdisjoint(path.parents)
    )


def keep(folder: Path, path: Path) -> KeptFile:
    """One file, hashed."""
    relative = path.relative_to(folder).as_posix()
    data = os.fsencode(path.readlink()) if path.is_symlink() else path.read_bytes()
    cells = notebook_cells(data) if path.suffix == ".ipynb" else {}
    return KeptFile(relative, len(data), hashlib.sha256(data).hexdigest(), cells)


def notebook_cells(data: bytes) -> dict[str, str]:
    """Cell id → SHA-256 over its type, source and outputs; a cell without an id is called ``#<position>``.

    Empty when the data is not a notebook: the hash of the whole file still stands for it.
    """
    try:
        cells = json.loads(data)["cells"]
        return {str(cell.get("id") or f"#{index}"): _cell_hash(cell) for index, cell in enumerate(cells)}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


def _cell_hash(cell: dict[str, Any]) -> str:
    """Multi-line text is stored as one string or as a list of lines; both are the same cell."""
    outputs = json.dumps(_joined(cell.get("outputs", [])), sort_keys=True, separators=(",", ":"))
    parts = [str(cell.get("cell_type")), _joined(cell.get("source", "")), outputs]
    return hashlib.sha256(json.dumps(parts, separators=(",", ":")).encode("ascii")).hexdigest()


def _joined(value: Any) -> Any:
    if isinstance(value, list):
        return "".join(value) if value and all(isinstance(item, str) for item in value) else [_joined(v) for v in value]
    if isinstance(value, dict):
        return {key: _joined(item) for key, item in value.items()}
    return value
