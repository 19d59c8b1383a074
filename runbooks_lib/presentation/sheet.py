"""A sheet: a heading, labelled rows, and a last line with what to type; as text for a terminal.

``markup.sheet_card`` renders the same sheet as HTML for a notebook.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from runbooks_lib.model import Status
from runbooks_lib.presentation.commands import lines_of
from runbooks_lib.presentation.text import paint, plain

#: Between the items of a row.
BETWEEN = " · "
#: Terminals are taken to be at least and at most so many characters wide.
NARROWEST, WIDEST = 80, 120
_LABEL_WIDTH = 10
_UNSHOWN = "   # not for pasting: it holds characters that cannot be shown"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a sheet.

    Attributes:
        label: ``now``, ``after``, ``undo`` …; the same label in the row above is not shown again.
        text: harmless, on one line.
        kind: a command is never wrapped; a failed row is what keeps the change from being made.
    """

    label: str
    text: str
    kind: Literal["text", "command", "failed"] = "text"


@dataclass(frozen=True, slots=True)
class Sheet:
    """Everything that is shown of one plan or outcome.

    Attributes:
        word: the first word: ``PLAN``, ``APPLIED``, ``REFUSED, nothing was changed (exit 40)``.
        title: what is to be done, and where.
        status: chooses the colour, which only repeats the words.
        rows: in their order.
        closing: the last line: whether anything was changed, and what to type.
        commands: below it, to paste.
    """

    word: str
    title: str
    status: Status
    rows: tuple[Row, ...]
    closing: str = ""
    commands: tuple[Row, ...] = ()


def render_sheet(sheet: Sheet, *, width: int = 100, colour: bool = False) -> str:
    """The sheet in a terminal.

    Args:
        sheet: what to show.
        width: of the terminal in characters; commands may be longer, so that they can be pasted.
        colour: use ANSI colours; the words say the same without.
    """
    width = max(NARROWEST, min(width, WIDEST))
    together = f"{sheet.word}   {sheet.title}"
    first, *rest = (
        [together] if len(together) <= width else [sheet.word, *lines_of(sheet.title, width - 2, between=BETWEEN)]
    )
    lines = [paint(first, sheet.status, colour=colour, bold=True), *(f"  {line}" for line in rest)]
    above = ""
    for row in sheet.rows:
        lines += _row_lines(row, "" if row.label == above else row.label, width, colour=colour)
        above = row.label
    lines += lines_of(sheet.closing, width, between=BETWEEN)
    return "\n".join([*lines, *(f"  {row.text}" for row in sheet.commands)])


def _row_lines(row: Row, label: str, width: int, *, colour: bool) -> list[str]:
    margin = " " * (_LABEL_WIDTH + 3) if row.label else "  "
    lead = f"  {label:<{_LABEL_WIDTH}} " if row.label else margin
    if row.kind == "command":
        # Never wrapped: it is there to be pasted.
        return [f"{lead}{row.text}"]
    lines = lines_of(row.text, width - len(margin), between=BETWEEN)
    if row.kind == "failed":
        lines = [paint(line, Status.FAIL, colour=colour) for line in lines]
    return [f"{lead if number == 0 else margin}{line}" for number, line in enumerate(lines)]


def command_row(label: str, command: str) -> Row:
    """A command to paste; one that holds what cannot be shown says so."""
    shown = plain(command, at_most=4_000)
    return Row(label, shown if shown == command else f"{shown}{_UNSHOWN}", "command")
