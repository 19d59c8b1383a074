"""A gradual rollout on one screen: stages, soak, gates with their margins, the next look, and how to stop it."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from runbooks_lib import units
from runbooks_lib.judgement.rollout.model import Gate, Stand
from runbooks_lib.model import NextStep, Status
from runbooks_lib.presentation import markup
from runbooks_lib.presentation.sheet import Row, Sheet, command_row
from runbooks_lib.presentation.text import paint, plain

if TYPE_CHECKING:
    from runbooks_lib.presentation.display import Shown

_COLUMNS = ("gate", "now", "limit", "margin", "evidence")
_BETWEEN_STAGES = " ─── "
_DONE, _HERE, _STOPPED = "✓", "●", "×"
_WORDS = {Stand.PASS: "OK", Stand.WAIT: "wait", Stand.UNKNOWN: "?", Stand.WARN: "WARN", Stand.FAIL: "FAIL"}
_COLOURS = {Stand.UNKNOWN: Status.UNKNOWN, Stand.WARN: Status.WARN, Stand.FAIL: Status.FAIL}
#: A wider value is cut; what it is cut to stands whole in the record.
_CELL_CHARACTERS = 32
_WIDTH = 118
#: Beside narrower evidence, nobody can read it: it gets lines of its own.
_NARROWEST_EVIDENCE = 30


@dataclass(frozen=True, slots=True)
class RolloutStatus:
    """Where a campaign stands, from the ledger alone.

    Attributes:
        feature: that is rolled out.
        environment: its name.
        campaign_id: ``rollout-1a2b3c4d``.
        state: ``running``, ``paused`` or ``ended``.
        word: what it does, for the heading: ``HOLD, soaking``; ``PAUSED``; ``ROLLED BACK``.
        status: chooses the colour, which only repeats the words.
        text: one sentence with the deciding numbers.
        stages: percentages, rising.
        percentage: the stage it is at.
        stage_started_at: aware UTC.
        healthy_seconds: observed and healthy at this stage.
        soak_seconds: that each stage needs.
        uncounted_seconds: at this stage, that do not count.
        uncounted_looks: looks that do not count.
        gates: of the newest look.
        looks: how many were taken at this stage.
        planned_looks: in a stage that goes well.
        next_look_at: aware UTC; None where none is to come.
        began_at: aware UTC.
        operator: who began it.
        ends_at_earliest: aware UTC, when the goal can have soaked; None where it has ended or stands still.
        steps: what to do, with the commands.
        notes: what limits it.
        at: aware UTC, of this screen.
    """

    feature: str
    environment: str
    campaign_id: str
    state: str
    word: str
    status: Status
    text: str
    stages: tuple[int, ...]
    percentage: int
    stage_started_at: datetime
    healthy_seconds: float
    soak_seconds: float
    uncounted_seconds: float
    uncounted_looks: int
    gates: tuple[Gate, ...]
    looks: int
    planned_looks: int
    next_look_at: datetime | None
    began_at: datetime
    operator: str
    at: datetime
    ends_at_earliest: datetime | None = None
    steps: tuple[NextStep, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def was_stopped(self) -> bool:
        """It ended before everybody had the feature for as long as it takes."""
        return self.state == "ended" and self.status is not Status.OK

    @property
    def heading(self) -> str:
        """``ENHANCED_CACHE · production · rollout-1a2b3c4d · 25 % of 100 %``."""
        place = f"ended at {self.percentage} %" if self.was_stopped else f"{self.percentage} % of {self.stages[-1]} %"
        return " · ".join(plain(part) for part in (self.feature, self.environment, self.campaign_id, place))


def render_status(status: RolloutStatus, *, colour: bool = False, width: int = _WIDTH) -> str:
    """The screen in a terminal.

    Args:
        status: what to show.
        colour: use ANSI colours; the words say the same without.
        width: of the terminal, in characters; nothing but a command, which is there to be pasted, is longer.
    """
    width = max(2 * _NARROWEST_EVIDENCE, min(width, _WIDTH))
    head = f"{status.heading}   {plain(status.word)}"
    lines = [paint(head, status.status, colour=colour, bold=True), *_wrapped(status.text, width, indent="  ")]
    lines += [f"  {line}" for line in stage_lines(status, width=width - 2)]
    lines += gate_lines(status.gates, colour=colour, width=width)
    lines += [line for text in (next_look_text(status), *status.notes) for line in _wrapped(text, width)]
    for step in status.steps:
        lines += [*_wrapped(step.text, width), *([f"  {plain(step.command, at_most=1_000)}"] if step.command else [])]
    return "\n".join(lines)


def show_status(status: RolloutStatus) -> Shown:
    """The same in a notebook."""
    # Late: it knows plans and actions, which the command line does not need for this screen.
    from runbooks_lib.presentation.display import Shown

    row = [_mark(status, stage) for stage in status.stages]
    stages = markup.table([f"{stage} %" for stage in status.stages], [row], caption="Stages")
    rows = [Row("", plain(status.text)), Row("soak", soak_text(status)), Row("look", plain(next_look_text(status)))]
    rows += [Row("note", plain(note)) for note in status.notes]
    steps = [piece for step in status.steps for piece in _step_rows(step)]
    sheet = Sheet(plain(status.word), status.heading, status.status, (*(row for row in rows if row.text), *steps))
    return Shown(render_status(status), f"{markup.sheet_card(sheet)}{stages}{show_gates(status.gates).html}")


def show_gates(gates: Sequence[Gate]) -> Shown:
    """All gates of one look: how each stands, its value, its limit, its margin, and what it rests on."""
    from runbooks_lib.presentation.display import Shown, show_text

    if not gates:
        return show_text("No gate was judged at this stage yet.")
    rows = [(_WORDS[gate.stand], *_cells(gate)) for gate in gates]
    return Shown("\n".join(gate_lines(gates)), markup.table(("", *_COLUMNS), rows, caption="Gates"))


def stage_lines(status: RolloutStatus, *, width: int = _WIDTH) -> tuple[str, ...]:
    """The stages, below each what became of it, and the soak: beside the last mark where there is room."""
    names = [str(stage) for stage in status.stages]
    reached = [(name, _mark(status, stage)) for name, stage in zip(names, status.stages, strict=True)]
    marks = "".join(mark.ljust(len(name) + len(_BETWEEN_STAGES)) for name, mark in reached if mark).rstrip()
    soak = soak_text(status)
    beside = len(marks) + len(soak) + 2 <= width
    return (_BETWEEN_STAGES.join(names), *([f"{marks}  {soak}"] if beside else [marks, *textwrap.wrap(soak, width)]))


def _mark(status: RolloutStatus, stage: int) -> str:
    if stage < status.percentage or (stage == status.percentage and status.state == "ended" and not status.was_stopped):
        return _DONE
    return (_STOPPED if status.was_stopped else _HERE) if stage == status.percentage else ""


def soak_text(status: RolloutStatus) -> str:
    """``17 h 20 min of 24 h observed healthy (2 looks, 40 min, not counted)``."""
    healthy, soak = units.duration(status.healthy_seconds), units.duration(status.soak_seconds)
    gaps = f" ({units.things(status.uncounted_looks, 'look')}, " if status.uncounted_looks else " ("
    missing = f"{gaps}{units.duration(status.uncounted_seconds)}, not counted)" if status.uncounted_seconds else ""
    return f"{healthy} of {soak} observed healthy{missing}"


def next_look_text(status: RolloutStatus) -> str:
    """When the next look is due, and how long the rest takes at best; empty where none is to come."""
    if status.next_look_at is None:
        return ""
    due = "is due now" if status.next_look_at <= status.at else f"{units.timestamp(status.next_look_at)}"
    text = f"Next look {due} (look {status.looks + 1} at this stage, {status.planned_looks} planned)."
    if status.ends_at_earliest is None:
        return text
    return (
        f"{text} {status.stages[-1]} % can have soaked at {units.timestamp(status.ends_at_earliest)} at the earliest."
    )


def gate_lines(gates: Sequence[Gate], *, colour: bool = False, width: int = _WIDTH) -> list[str]:
    """The table of gates for a terminal; empty without a gate. Where it is narrow, evidence stands below its gate."""
    if not gates:
        return []
    table = [("", *_COLUMNS), *((_WORDS[gate.stand], *_cells(gate)) for gate in gates)]
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]) - 1)]
    margin = " " * (sum(widths) + 2 * len(widths) + 2)
    beside = width - len(margin) >= _NARROWEST_EVIDENCE
    if not beside:
        margin = " " * (widths[0] + 6)
    lines = []
    for row, gate in zip(table, (None, *gates), strict=True):
        cells = [cell.ljust(width) for cell, width in zip(row[:-1], widths, strict=True)]
        if gate is not None and gate.stand in _COLOURS:
            cells[0] = paint(cells[0], _COLOURS[gate.stand], colour=colour)
        told = textwrap.wrap(row[-1], width - len(margin)) if beside or gate is not None else []
        first, *rest = told if beside and told else ["", *told]
        lines.append(f"  {'  '.join(cells)}  {first}".rstrip())
        lines += [f"{margin}{line}" for line in rest]
    return lines


def _cells(gate: Gate) -> tuple[str, ...]:
    margin = gate.margin or (_DONE if gate.stand is Stand.PASS else "")
    because = f"{gate.reason}; " if gate.reason and gate.evidence else gate.reason
    cells = (gate.id, gate.now, gate.limit, margin)
    return (*(plain(cell, at_most=_CELL_CHARACTERS) for cell in cells), plain(f"{because}{gate.evidence}"))


def _step_rows(step: NextStep) -> tuple[Row, ...]:
    told = Row("next", plain(step.text))
    return (told, command_row("next", step.command)) if step.command else (told,)


def _wrapped(text: str, width: int, *, indent: str = "") -> list[str]:
    return [f"{indent}{line}" for line in textwrap.wrap(plain(text), width - len(indent))]
