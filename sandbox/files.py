"""Files that several processes read and one writes: whole or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sandbox.errors import SandboxError


def write_text(path: Path, text: str) -> None:
    """Replace a file in one step; a reader sees the old text or the new one, never half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_json(path: Path, value: Any) -> None:
    """Replace a JSON file in one step."""
    write_text(path, json.dumps(value, indent=1, sort_keys=True) + "\n")


def read_json(path: Path, default: Any = None) -> Any:
    """Return the content of a JSON file, or the default where the file is absent.

    Raises:
        SandboxError: the file is there and is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return default
    except json.JSONDecodeError as error:
        raise SandboxError(
            f"{path} is not valid JSON ({error}). Remove it, then run `python -m sandbox down`."
        ) from error


def last_lines(path: Path, count: int = 12) -> tuple[str, ...]:
    """Return the last lines of a log that are not empty, oldest first; none where there is no log."""
    try:
        with path.open("rb") as stream:
            stream.seek(max(0, path.stat().st_size - 16_384))
            lines = stream.read().decode("utf-8", "replace").splitlines()
    except FileNotFoundError:
        return ()
    return tuple(line.rstrip()[:300] for line in lines if line.strip())[-count:]


@contextlib.contextmanager
def locked(path: Path, *, timeout_seconds: float, busy: str) -> Iterator[None]:
    """Hold an advisory lock; it ends with the process, whatever ends the process.

    Raises:
        SandboxError: somebody else held it for longer than the timeout; ``busy`` is the message.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + timeout_seconds
    with path.open("a") as stream:
        while True:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() >= deadline:
                    raise SandboxError(busy) from error
                time.sleep(0.05)
        try:
            yield
        finally:
            fcntl.flock(stream, fcntl.LOCK_UN)
