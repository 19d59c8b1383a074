"""What tests of the operating notebooks share: what a run left behind, and the site's flags read around the library."""

from __future__ import annotations

import json
import shlex
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any


def newest_record(place: Any) -> dict[str, Any]:
    """``record.json`` of the run that was started last."""
    return max(place.records(), key=lambda record: record["started_at"])


def cell_text(place: Any, record: dict[str, Any], cell_id: str) -> str:
    """What one cell of an executed notebook shows, as text."""
    (folder,) = place.folder.glob(f"runs/*/{record['run_id'][9:]}")
    notebook = json.loads((folder / "notebook.ipynb").read_text(encoding="utf-8"))
    (cell,) = [cell for cell in notebook["cells"] if cell["id"] == cell_id]
    return "\n".join("".join(output["data"]["text/plain"]) for output in cell["outputs"] if "data" in output)


def digest_of(record: dict[str, Any]) -> str:
    """Of the only plan in a run."""
    (action,) = record["actions"]
    return str(action["digest"])


def undo(place: Any, record: dict[str, Any]) -> Any:
    """Carry out the undo that a run showed, exactly as it was shown."""
    words = shlex.split(record["actions"][0]["undo"])
    return place.run(*words[1:], "--confirm", "auto")


def variable(sandbox: Any, name: str) -> str:
    """A variable of the sandbox, as ``runbooks.toml`` gets it."""
    lines = (Path(sandbox.home.path) / "variables.env").read_text(encoding="utf-8").splitlines()
    found = dict(line.partition("=")[::2] for line in lines)
    return shlex.split(found[name])[0]


def flags_of(sandbox: Any) -> dict[str, tuple[str, int]]:
    """Feature → (strategy, percentage), read from the site's own database."""
    with closing(sqlite3.connect(f"file:{variable(sandbox, 'SANDBOX_DATABASE')}?mode=ro", uri=True)) as database:
        rows = database.execute("SELECT feature, strategy, percentage FROM common_featureflag").fetchall()
    return {feature: (strategy, percentage) for feature, strategy, percentage in rows}
