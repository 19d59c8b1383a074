"""The verdict in a terminal: words first, colour second, nothing that needs more than 80 columns to be understood.

Every string that a stranger may have written passes ``plain``: control characters could otherwise move the cursor, hide
text or retitle the operator's terminal.
"""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING

from runbooks_lib import units
from runbooks_lib.model import Finding, Status, Unreadable, Verdict
from runbooks_lib.presentation.commands import lines_of

if TYPE_CHECKING:
    from runbooks_lib.records.verify import Verification

_COLOURS = {Status.OK: "32", Status.WARN: "33", Status.FAIL: "31;1", Status.UNKNOWN: "35"}
#: Control, format (direction), surrogate, private and unassigned characters, line and paragraph separators.
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_WIDTH = 110
_WORDS = {Status.OK: "OK  ", Status.WARN: "WARN", Status.FAIL: "FAIL", Status.UNKNOWN: "?   "}


def plain(text: str, *, at_most: int = 300) -> str:
    """Text on one line without control, direction-changing or invisible characters, cut at ``at_most`` characters."""
    kept = visible(" ".join(text.split("\n"))).replace("\t", " ")
    return kept if len(kept) <= at_most else f"{kept[: at_most - 1]}…"


def visible(text: str) -> str:
    """Text in which every character that cannot be seen, but for line ends and tabs, is replaced by ``\ufffd``."""
    return "".join(c if c in "\n\t" or unicodedata.category(c) not in _INVISIBLE else "\ufffd" for c in text)


def heading(verdict: Verdict, *, date: bool = False) -> str:
    """The first line: how bad, where, when, what. ``FAIL · severity 2 · production · 02:14:07Z · hit rate 54.2 %``.

    ``date`` shows the day as well, for what is read later.
    """
    severity = "" if verdict.severity is None else f"severity {verdict.severity}"
    environment = f"{verdict.environment} (protected)" if verdict.protected else verdict.environment
    parts = (
        verdict.status.value,
        severity,
        environment,
        (units.timestamp if date else units.clock)(verdict.at),
        verdict.headline,
    )
    return " · ".join(plain(part) for part in parts if part)


def began(verdict: Verdict) -> str:
    """When it began, as far as it is known: ``about 2026-11-22 01:33:00Z, 41 min before``; empty when nothing did."""
    if verdict.since is None:
        return ""
    ago = units.duration((verdict.at - verdict.since).total_seconds())
    if verdict.began_earlier:
        return f"before {units.timestamp(verdict.since)}, where the history that was read begins; over {ago} ago"
    return f"about {units.timestamp(verdict.since)}, {ago} before this verdict"


def render(verdict: Verdict, *, record: str = "", colour: bool = False) -> str:
    """The whole screen.

    Args:
        verdict: what to show.
        record: where the record is kept, or why it is not; empty to leave the line out.
        colour: use ANSI colours; the words say the same without.
    """
    lines = [paint(heading(verdict), verdict.status, colour=colour, bold=True)]
    if verdict.rule:
        lines.append(f"  rule: {plain(verdict.rule)}")
    lines += ["", *_finding_lines(verdict.findings, colour=colour)] if verdict.findings else []
    context = _context_lines(verdict)
    lines += ["", *context] if context else []
    lines += ["", *_step_lines(verdict)] if verdict.next_steps else []
    lines += ["", *_labelled("Record", record)] if record else []
    return "\n".join(lines)


def grouped(unread: Sequence[Unreadable]) -> dict[tuple[str, str], list[str]]:
    """What could not be read, by source and reason: one broken system is one line."""
    groups: dict[tuple[str, str], list[str]] = {}
    for missing in unread:
        groups.setdefault((missing.source, missing.reason), []).append(missing.what)
    return groups


def _context_lines(verdict: Verdict) -> list[str]:
    lines = _labelled("Most likely", verdict.likely) if verdict.likely else []
    lines += _labelled("Began", began(verdict)) if verdict.since is not None else []
    for (source, reason), whats in grouped(verdict.unread).items():
        lines += _labelled("Not read", f"{source} ({', '.join(whats)}): {reason}")
    for note in verdict.notes:
        lines += _labelled("Note", note)
    return lines


def _finding_lines(findings: Sequence[Finding], *, colour: bool) -> list[str]:
    ordered = sorted(findings, key=lambda finding: -finding.status.rank)
    name_width = max((len(finding.title) for finding in ordered), default=0)
    value_width = min(max((len(plain(finding.shown)) for finding in ordered), default=0), 20)
    margin = " " * (name_width + 10)
    lines, told = [], set()
    for finding in ordered:
        parts = [plain(part) for part in (finding.shown, finding.limit, finding.detail) if part]
        if finding.status is Status.UNKNOWN and parts[0] in told:
            # One broken source silences many checks; its reason is told once.
            parts = ["could not be read, as above"]
        told.add(parts[0])
        text = "  ".join([parts[0].ljust(value_width), " · ".join(parts[1:])]).rstrip()
        word = paint(_WORDS[finding.status], finding.status, colour=colour)
        wrapped = textwrap.wrap(text, _WIDTH + 10, drop_whitespace=True, break_long_words=False, break_on_hyphens=False)
        # ``wrap`` joins runs of blanks at a break only, so a line that fits keeps its columns.
        first, rest = (text, []) if len(text) <= _WIDTH + 10 else (wrapped[0], wrapped[1:])
        lines.append(f"  {word}  {finding.title.ljust(name_width)}  {first}")
        lines += [f"{margin}{' ' * (value_width + 2)}{line}" for line in rest]
    return lines


def _step_lines(verdict: Verdict) -> list[str]:
    lines = []
    for number, step in enumerate(verdict.next_steps, start=1):
        lines += _labelled("Next" if number == 1 else "", f"{number}. {step.text}")
        if step.command:
            # Never wrapped: it is there to be pasted.
            lines.append(f"{'':<12}    {step.command}")
    return lines


def _labelled(label: str, text: str) -> list[str]:
    """The text in lines of at most ``_WIDTH`` characters, beside its label."""
    lines = lines_of(plain(text, at_most=2_000), _WIDTH - 13)
    return [f"{label if number == 0 else '':<12} {line}" for number, line in enumerate(lines)]


def paint(text: str, status: Status, *, colour: bool, bold: bool = False) -> str:
    """The text in the status's colour; unchanged without colour."""
    return f"\x1b[{_COLOURS[status]}{';1' if bold else ''}m{text}\x1b[0m" if colour else text


def render_verification(found: Verification) -> str:
    """What verifying gave: what was recomputed, every fault by name, and what nothing vouches for."""
    counts = (
        f"{found.events_count} events, {found.runs_count} finished runs, {found.files_count} files, "
        f"{found.cells_count} notebook cells recomputed"
    )
    lines = [f"{found.status.value} · {counts}" + ("" if found.ok else f" · {len(found.faults)} faults")]
    lines += [f"  FAIL  {f.kind:<16} {plain(f.run_id)} {plain(f.name)}: {plain(f.detail)}" for f in found.faults]
    lines += [
        f"  note  {state:<16} {plain(run)}: nothing vouches for its files" for run, state in found.unfinished.items()
    ]
    lines += [f"  note  {'not in the ledger':<16} {plain(run)}: nothing vouches for it" for run in found.unrecorded]
    lines += [f"  note  {plain(note)}" for note in found.notes]
    if found.head is not None:
        lines += [
            f"Head  event {found.head.seq:,} at {found.head.at}, {found.head.hash}",
            "      An older copy of the whole ledger looks like this, too: compare the head with one kept elsewhere.",
        ]
    return "\n".join(lines)
