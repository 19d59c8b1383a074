"""HTML fragments from value objects. The only place in the library that writes HTML.

Everything that is put in is escaped here, since in JupyterLab a freshly run cell is trusted: an endpoint name with a
script in it would drive the operator's kernel.
"""

from __future__ import annotations

import html
from collections.abc import Sequence

from runbooks_lib.model import Evidence, Finding, NextStep, Status, Unreadable, Verdict
from runbooks_lib.presentation.commands import pieces
from runbooks_lib.presentation.sheet import Row, Sheet
from runbooks_lib.presentation.text import began, grouped, heading, plain, visible

#: Words carry the meaning; the colours (over 4.5 : 1 on white) only repeat it.
_COLOURS = {Status.OK: "#166534", Status.WARN: "#92400e", Status.FAIL: "#b91c1c", Status.UNKNOWN: "#6b21a8"}
_BADGE = "color:#fff;padding:1px 7px;border-radius:3px;font-weight:600"
_WORDS = {Status.OK: "OK", Status.WARN: "WARN", Status.FAIL: "FAIL", Status.UNKNOWN: "UNKNOWN"}


def text(value: str, *, at_most: int = 600) -> str:
    """Any string as harmless, readable HTML text."""
    return html.escape(plain(value, at_most=at_most), quote=True)


def sentence(value: str, *, at_most: int = 1_400) -> str:
    """A sentence as HTML text; each command in it in a line of its own to copy."""
    shown = plain(value, at_most=at_most)
    parts = (_command(one.text) if one.command else html.escape(one.text, quote=True) for one in pieces(shown))
    return " ".join(parts)


def block(value: str) -> str:
    """Several lines of any text, kept as lines."""
    return f'<pre style="white-space:pre-wrap;margin:2px 0 8px">{html.escape(visible(value), quote=True)}</pre>'


def badge(status: Status) -> str:
    """The status as a word in its colour."""
    return f'<span style="background:{_COLOURS[status]};{_BADGE}">{_WORDS[status]}</span>'


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, caption: str) -> str:
    """A table of texts; every cell is escaped. ``caption`` says what it shows."""
    head = "".join(f'<th scope="col" style="text-align:left">{text(column)}</th>' for column in columns)
    body = "".join(
        "<tr>" + "".join(f'<td style="text-align:left">{text(cell)}</td>' for cell in row) + "</tr>" for row in rows
    )
    return _table(head, body, caption)


def findings_table(findings: Sequence[Finding]) -> str:
    """Findings, worst first, each with its limit, what it rests on, and why the limit is what it is."""
    columns = ("Status", "What", "Measured", "Limit", "Rests on", "Why this limit")
    head = "".join(f'<th scope="col" style="text-align:left">{column}</th>' for column in columns)
    rows = []
    for finding in sorted(findings, key=lambda f: -f.status.rank):
        cells = (finding.title, finding.shown, finding.limit, finding.detail, finding.reason)
        rest = "".join(f'<td style="text-align:left">{text(cell)}</td>' for cell in cells)
        rows.append(f"<tr><td>{badge(finding.status)}</td>{rest}</tr>")
    return _table(head, "".join(rows), "Findings, worst first")


def evidence_table(evidence: Sequence[Evidence], *, caption: str) -> str:
    """Measured values behind a finding."""
    return table(("What", "Measured"), [(item.name, item.value) for item in evidence], caption=caption)


def unread_table(unread: Sequence[Unreadable]) -> str:
    """What could not be read, why, and what to check."""
    rows = [(item.source, item.what, item.reason, item.hint) for item in unread]
    return table(("Source", "What", "Reason", "Check"), rows, caption="Could not be read")


def steps_list(steps: Sequence[NextStep]) -> str:
    """What to do next, in order, each command in a line of its own to copy."""
    items = "".join(f"<li>{sentence(step.text)}{_command(step.command) if step.command else ''}</li>" for step in steps)
    return f"<ol>{items}</ol>" if items else "<p>Nothing to do.</p>"


def verdict_card(verdict: Verdict) -> str:
    """The verdict as one block: the heading line, the rule, the likely cause, since when, and what limits it."""
    lines = []
    if verdict.rule:
        lines.append(("Rule", verdict.rule))
    if verdict.likely:
        lines.append(("Most likely", verdict.likely))
    if verdict.since is not None:
        lines.append(("Began", began(verdict)))
    if verdict.unread:
        groups = grouped(verdict.unread).items()
        lines.append(("Not read", "; ".join(f"{source} ({', '.join(whats)})" for (source, _), whats in groups)))
    lines += [("Note", note) for note in verdict.notes]
    body = "".join(f'<div style="margin-top:4px"><b>{label}.</b> {text(value)}</div>' for label, value in lines)
    return _card(_COLOURS[verdict.status], f"{badge(verdict.status)} {_after_status(verdict)}", body)


def pending_card(runbook: str, environment: str) -> str:
    """What stands in the verdict's place until there is one, so that a run that died says so."""
    title = f"{badge(Status.UNKNOWN)} verdict not reached · {text(runbook)} · {text(environment)}"
    return _card(_COLOURS[Status.UNKNOWN], title, "If this line is still here, the run did not come to its end.")


def check_first_card(findings: Sequence[Finding]) -> str:
    """Earlier changes that may have been made, each with the command that checks."""
    word = f'<span style="{_BADGE};background:{_COLOURS[Status.WARN]}">CHECK FIRST</span>'
    body = "".join(f"<div>{text(f.shown)}. {text(f.detail)}</div>{_command(f.hint)}" for f in findings)
    return _card(_COLOURS[Status.WARN], f"{word} an earlier change may have been made, and was never checked", body)


def sheet_card(sheet: Sheet) -> str:
    """A plan, or what came of one, as one block; commands stand in lines of their own to copy."""
    above, rows = "", []
    for row in sheet.rows:
        rows.append(_sheet_row(row, "" if row.label == above else row.label))
        above = row.label
    body = f'<table style="border-collapse:collapse">{"".join(rows)}</table>' if rows else ""
    closing = f'<div style="margin-top:4px;font-weight:600">{text(sheet.closing)}</div>' if sheet.closing else ""
    commands = "".join(_command(row.text) for row in sheet.commands)
    word = f'<span style="{_BADGE};background:{_COLOURS[sheet.status]}">{text(sheet.word)}</span>'
    return _card(_COLOURS[sheet.status], f"{word} {text(sheet.title)}", f"{body}{closing}{commands}")


def _sheet_row(row: Row, label: str) -> str:
    shown = _command(row.text) if row.kind == "command" else sentence(row.text, at_most=1_400)
    if row.kind == "failed":
        shown = f"<b>{shown}</b>"
    if not row.label:
        return f'<tr><td colspan="2" style="text-align:left">{shown}</td></tr>'
    # Both cells are padded alike: JupyterLab and the report pad a cell that says nothing more than its label.
    style = "text-align:left;vertical-align:top;padding:1px 12px 1px 0"
    name = f'<td style="{style};white-space:nowrap"><i>{text(label)}</i></td>'
    return f'<tr>{name}<td style="{style}">{shown}</td></tr>'


def _command(command: str) -> str:
    return f'<pre style="white-space:pre-wrap;margin:2px 0"><code>{text(command, at_most=4_200)}</code></pre>'


def _after_status(verdict: Verdict) -> str:
    """The heading without its first word, which the badge already shows."""
    return text(heading(verdict).partition(" · ")[2])


def _card(colour: str, title: str, body: str) -> str:
    style = f"border-left:6px solid {colour};padding:8px 14px;margin:4px 0;line-height:1.5"
    return f'<div style="{style}"><div style="font-size:1.1em;font-weight:600">{title}</div>{body}</div>'


def _table(head: str, body: str, caption: str) -> str:
    return (
        '<div style="overflow-x:auto"><table style="border-collapse:collapse">'
        f'<caption style="text-align:left;font-weight:600">{text(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )
