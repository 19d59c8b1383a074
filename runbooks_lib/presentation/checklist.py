"""The deployment checklist as people read it: in a terminal, and as a table in a notebook."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from runbooks_lib import units
from runbooks_lib.checklist import Checklist, Entry, Phase
from runbooks_lib.judgement.deployment.result import ItemResult
from runbooks_lib.judgement.deployment.standing import Stand, command_for, counts_text, overall_status, remarks
from runbooks_lib.judgement.next_steps import Surroundings
from runbooks_lib.model import Status
from runbooks_lib.presentation.text import paint, plain

if TYPE_CHECKING:
    from runbooks_lib.presentation.display import Shown

_WIDTH = 110
_MARGIN = " " * 11
_PAINT = {
    "done": Status.OK,
    "failed": Status.FAIL,
    "unknown": Status.UNKNOWN,
    "open": Status.WARN,
    "old": Status.WARN,
    "waived": Status.WARN,
}


def checklist_text(
    checklist: Checklist, stands: Sequence[Stand], around: Surroundings, *, protected: bool, colour: bool = False
) -> str:
    """The whole checklist in a terminal: evidence, who and when of each item; then the commands for what is open."""
    where = f"{checklist.environment} (protected)" if protected else checklist.environment
    head = f"CHECKLIST  {plain(checklist.release)} · {plain(where)} · {counts_text(stands)}"
    lines = [paint(head, overall_status(stands), colour=colour, bold=True)]
    for phase in Phase:
        lines += ["", phase.value]
        for stand in stands:
            if stand.item.phase is phase:
                lines += _item_lines(stand, colour=colour)
    return "\n".join([*lines, "", *_next_lines(stands, checklist.release, around)])


def _item_lines(stand: Stand, *, colour: bool) -> list[str]:
    word = paint(stand.word.upper().ljust(8), _PAINT[stand.word], colour=colour)
    lines = [f"  {word} {stand.item.id.ljust(15)} {stand.item.title}"]
    evidence = "" if stand.entry is None else stand.entry.text
    for text in (evidence, *remarks(stand)):
        lines += _wrapped(text)
    return lines


def _next_lines(stands: Sequence[Stand], release: str, around: Surroundings) -> list[str]:
    """Each command once, in the guide's order, with the items that it is for."""
    items: dict[str, list[str]] = {}
    for stand in stands:
        step = command_for(stand, release, around)
        if step is not None and step.command:
            items.setdefault(step.command, []).append(stand.item.id)
    lines = []
    for number, (command, names) in enumerate(items.items(), start=1):
        label = "Next" if number == 1 else ""
        # A command is never wrapped: it is there to be pasted.
        lines += [f"{label:<13}{number}. {', '.join(names)}", f"{' ' * 16}{plain(command, at_most=1_000)}"]
    return lines or ["Next         Nothing is left to do."]


def _wrapped(text: str) -> list[str]:
    return [f"{_MARGIN}{line}" for line in textwrap.wrap(plain(text, at_most=600), _WIDTH - len(_MARGIN))]


def history_text(entries: Sequence[Entry]) -> str:
    """Everything that was ever written about a release, oldest first, one line each."""
    lines = []
    for entry in entries:
        said = "waived" if entry.how.value == "waived" else f"{entry.status.value}, {entry.how.value}"
        text = f"{units.timestamp(entry.at)}  {entry.item}  {said} by {entry.by}: {entry.text}  ({entry.run_id})"
        lines.append(plain(text, at_most=800))
    return "\n".join(lines) or "Nothing was written about this release yet."


def show_stands(checklist: Checklist, stands: Sequence[Stand], *, problem: str = "") -> Shown:
    """The checklist in the guide's order: a table for each phase."""
    # Late: it knows plans and actions, which the command line does not need for this screen.
    from runbooks_lib.presentation.display import Shown, show_text

    unread = f". The ledger could not be read ({problem}): nothing of it is shown" if problem else ""
    caption = f"Checklist {checklist.release} on {checklist.environment}: {counts_text(stands)}{unread}"
    shown = [show_text(caption), *(_phase_table(phase, stands) for phase in Phase)]
    return Shown("\n\n".join(one.text for one in shown), "".join(one.html for one in shown))


def _phase_table(phase: Phase, stands: Sequence[Stand]) -> Shown:
    from runbooks_lib.presentation.display import show_table

    rows = [
        (
            stand.word,
            f"{stand.item.id}: {stand.item.title}",
            "none yet" if stand.entry is None else stand.entry.text,
            "; ".join(remarks(stand)),
        )
        for stand in stands
        if stand.item.phase is phase
    ]
    return show_table(("Status", "Item", "Evidence", "Who and when"), rows, caption=phase.value)


def show_result(result: ItemResult, *, unkept: str = "") -> Shown:
    """One item that was judged just now: status, evidence, what to do."""
    from runbooks_lib.presentation.display import show_table

    rows = [("status", result.status.value), ("evidence", result.text)]
    if result.hint:
        rows.append(("what to do", result.hint))
    if unkept:
        rows.append(("not in the checklist", unkept))
    return show_table(("What", "Measured"), rows, caption=f"{result.item}: {result.status.value}")
