"""One run as one HTML file that can be mailed: no script, no code, no address outside the file.

The verdict stands first. A run that did not come to its end says so in red above everything else, whatever its notebook
claims: the record decides.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from runbooks_lib import units
from runbooks_lib.model import Status, Verdict
from runbooks_lib.presentation.report_changes import changes_of
from runbooks_lib.presentation.sections import figures, sections
from runbooks_lib.presentation.text import began, heading, plain

_TONES = {Status.OK: "#166534", Status.WARN: "#92400e", Status.FAIL: "#b91c1c", Status.UNKNOWN: "#6b21a8"}
_ENDED = "finished"


def render_report(record: Mapping[str, Any], notebook: Mapping[str, Any] | None = None) -> str:
    """The report of one run.

    Args:
        record: ``record.json`` as a mapping (``records/run_record.py`` documents it).
        notebook: the executed notebook, nbformat 4; None for a run without one (``runbooks triage``).

    Returns:
        A complete HTML document.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    verdict = None if not record.get("verdict") else msgspec.convert(record["verdict"], Verdict)
    status = Status.UNKNOWN if verdict is None else verdict.status
    line = (
        heading(verdict, date=True)
        if verdict
        else f"{status} · {record['runbook']} · {record['environment']} · verdict not reached"
    )
    badge, _, rest = line.partition(" · ")
    interrupted = _interrupted(record)
    title = f"{'DID NOT FINISH · ' if interrupted else ''}{line}"
    pages = Environment(
        loader=PackageLoader("runbooks_lib.presentation", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        # Nearly every value may hold what a stranger wrote: invisible and direction-changing characters go here too.
        finalize=_finalize,
    )
    return pages.get_template("report.html.j2").render(
        title=title,
        tone=_TONES[status],
        badge=badge,
        heading=rest,
        subtitle=_subtitle(record),
        interrupted=interrupted,
        verdict=verdict,
        findings=sorted(verdict.findings, key=lambda f: -f.status.rank) if verdict else (),
        began="" if verdict is None else began(verdict),
        unchecked=_unchecked(verdict),
        changes=changes_of(record),
        figures=figures(notebook) if notebook else (),
        sections=_Markup(sections(notebook)) if notebook else "",
        provenance=_provenance(record),
    )


def write_report(folder: Path, record: Mapping[str, Any]) -> Path:
    """Write ``report.html`` into a run's folder, from its record and its notebook where there is one.

    Returns:
        The path of the report.

    Raises:
        OSError: the folder cannot be written.
    """
    executed = folder / "notebook.ipynb"
    notebook = json.loads(executed.read_text(encoding="utf-8")) if executed.exists() else None
    path = folder / "report.html"
    path.write_text(render_report(record, notebook), encoding="utf-8")
    return path


class _Markup(str):
    """HTML that was sanitised already, so that the page does not escape it once more."""

    __slots__ = ()

    def __html__(self) -> str:
        return str(self)


def _finalize(value: Any) -> Any:
    return value if isinstance(value, _Markup) or not isinstance(value, str) else plain(value, at_most=4_000_000)


def _interrupted(record: Mapping[str, Any]) -> str:
    outcome = record.get("outcome") or "running"
    if outcome == _ENDED:
        return ""
    what = {
        "failed": "This run FAILED before its end",
        "interrupted": "This run was INTERRUPTED before its end",
        "timed_out": "This run was STOPPED because it took too long",
        "superseded": "This run was STARTED AGAIN before its end",
    }.get(outcome, "This run has NOT FINISHED")
    detail = record.get("detail") or ""
    return f"{what}{': ' if detail else ''}{detail}. What follows is incomplete; do not take it for a verdict."


def _subtitle(record: Mapping[str, Any]) -> str:
    started = _moment(record.get("started_at"))
    parts = [
        f"runbook {record['runbook']}",
        f"environment {record['environment']}",
        f"by {record.get('operator') or '?'}",
    ]
    if started:
        parts.append(f"started {started}")
    return " · ".join([*parts, f"run {record['run_id']}"])


def _unchecked(verdict: Verdict | None) -> str:
    if verdict is None:
        return "everything"
    unknown = [finding.title for finding in verdict.findings if finding.status is Status.UNKNOWN]
    return f"{', '.join(unknown)}." if unknown else "nothing: every source could be read and every check was judged."


def _provenance(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    rows = [
        ("Run", str(record["run_id"])),
        ("Started", _moment(record.get("started_at"))),
        ("Ended", _moment(record.get("finished_at"))),
        ("Outcome", str(record.get("outcome") or "running")),
        ("Operator", str(record.get("operator") or "")),
        ("Parameters", _pairs(record.get("parameters"))),
        ("Versions", _pairs(record.get("versions"))),
        ("Commit", str(record.get("commit") or "")),
        ("Ledger", str(record["ledger_error"] or "recorded")),
    ]
    return [(name, value) for name, value in rows if value]


def _pairs(mapping: Any) -> str:
    return ", ".join(f"{key} = {value}" for key, value in mapping.items()) if isinstance(mapping, Mapping) else ""


def _moment(value: Any) -> str:
    """An ISO time as people read it; what is not one is shown as it is."""
    from datetime import datetime

    try:
        return units.timestamp(datetime.fromisoformat(value)) if value else ""
    except (TypeError, ValueError):
        return str(value)
