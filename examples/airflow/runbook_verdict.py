"""What an executed notebook came to: the exit code that ``runbooks run`` would have had.

Needs nothing but Python, because Airflow has an environment of its own.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

#: The last cell of every runbook says where it is recorded.
_RECORDED = re.compile(r"^Recorded in (.+); the report to share is report\.html\.$", re.MULTILINE)
_VERDICTS = {"OK": 0, "WARN": 10, "FAIL": 20, "UNKNOWN": 30}
_UNKNOWN, _REFUSED, _MAY_HAVE_CHANGED = 30, 40, 50


def run_folder(notebook: Path) -> Path | None:
    """Where the run is recorded that an executed notebook belongs to; None where it was not closed."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    outputs = [output for cell in cells for output in cell.get("outputs", ())]
    texts = ["".join(output.get("data", {}).get("text/plain", "")) for output in outputs]
    found = [match[1] for text in texts for match in _RECORDED.finditer(text)]
    return Path(found[-1]) if found else None


def exit_code(record: dict[str, Any]) -> int:
    """0 OK, 10 WARN, 20 FAIL, 30 UNKNOWN, 40 refused, 50 something may have changed, of a ``record.json``."""
    codes = {int(action["exit_code"]) for action in record.get("actions", ())}
    for code in (_MAY_HAVE_CHANGED, _REFUSED):
        if code in codes:
            return code
    if record["outcome"] != "finished" or record["verdict"] is None:
        return _UNKNOWN
    code = _VERDICTS[record["verdict"]["status"]]
    if code == _VERDICTS["OK"]:
        return _UNKNOWN if _UNKNOWN in codes else max(codes, default=code)
    return code


def read_record(folder: Path) -> dict[str, Any]:
    """``record.json`` of a run."""
    record: dict[str, Any] = json.loads((folder / "record.json").read_text(encoding="utf-8"))
    return record
