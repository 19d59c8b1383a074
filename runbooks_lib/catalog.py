"""Which runbooks are there? The notebooks under ``notebooks/``, by name, title, purpose and parameters."""

from __future__ import annotations

import difflib
import json
from dataclasses import dataclass
from pathlib import Path

from runbooks_lib import parameters
from runbooks_lib.errors import UsageError
from runbooks_lib.parameters import Parameter

FOLDER_NAME = "notebooks"


@dataclass(frozen=True, slots=True)
class Entry:
    """One runbook.

    Attributes:
        name: the file's name without its ending, ``triage``.
        group: the folder below ``notebooks/``, ``incident``.
        path: the notebook.
        title: its first heading; the name when it has none.
        purpose: the first line of prose below that heading; why it cannot be read when it cannot.
    """

    name: str
    group: str
    path: Path
    title: str
    purpose: str

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """What it takes.

        Raises:
            UsageError: the file is not a notebook, or its parameters cell is not made of literals.
        """
        return parameters.declared(self.path)


def entries(root: Path) -> tuple[Entry, ...]:
    """All runbooks, by group and name. One that cannot be read is listed too, and says so.

    Args:
        root: ``Configuration.root``; the notebooks lie in ``notebooks/`` below it.
    """
    return tuple(_entry(root, path) for path in _paths(root))


def find(root: Path, name: str) -> Entry:
    """The runbook with this name.

    Args:
        root: ``Configuration.root``.
        name: ``triage``, ``incident/triage`` or a path to the notebook; ``-`` stands for ``_``.

    Raises:
        UsageError: there is none, or more than one.
    """
    wanted = name.removesuffix(".ipynb").replace("-", "_").strip("/")
    wanted = wanted.rpartition(f"{FOLDER_NAME}/")[2]
    paths = _paths(root)
    found = [path for path in paths if wanted in (path.stem, _qualified(root, path))]
    if len(found) == 1:
        return _entry(root, found[0])
    if found:
        both = ", ".join(_qualified(root, path) for path in found)
        raise UsageError(f"{name!r} names {len(found)} runbooks: {both}", hint="give the group as well")
    close = difflib.get_close_matches(wanted, [path.stem for path in paths], n=3, cutoff=0.5)
    if not paths:
        raise UsageError(f"there is no runbook {name!r}: {root / FOLDER_NAME} holds no notebook")
    hint = f"did you mean {' or '.join(close)}? " if close else ""
    raise UsageError(f"there is no runbook {name!r}", hint=f"{hint}all runbooks: runbooks list")


def _paths(root: Path) -> list[Path]:
    folder = root / FOLDER_NAME
    found = (path.relative_to(folder) for path in folder.rglob("*.ipynb"))
    return sorted(folder / path for path in found if not any(part.startswith(".") for part in path.parts))


def _qualified(root: Path, path: Path) -> str:
    return path.relative_to(root / FOLDER_NAME).with_suffix("").as_posix()


def _entry(root: Path, path: Path) -> Entry:
    group = path.parent.relative_to(root / FOLDER_NAME).as_posix()
    title, purpose = _heading(path)
    return Entry(path.stem, "" if group == "." else group, path, title or path.stem, purpose)


def _heading(path: Path) -> tuple[str, str]:
    """The first heading and the first line of prose after it, from the markdown cells."""
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        lines = [
            line for cell in cells if cell["cell_type"] == "markdown" for line in "".join(cell["source"]).splitlines()
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        return "", f"cannot be read: {error!r}"
    title = ""
    for line in (line.strip() for line in lines):
        if not title:
            title = line.lstrip("#").strip() if line.startswith("#") else ""
        elif line and not line.startswith(("#", "<", "|", "---", "![", "```")):
            return title, _without_marks(line)
    return title, ""


def _without_marks(line: str) -> str:
    """A line of Markdown for a terminal; every runbook begins with when to use it, so those words say nothing here."""
    return line.lstrip("> ").replace("**", "").replace("`", "").removeprefix("When to use. ").strip()
