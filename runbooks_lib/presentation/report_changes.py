"""The changes of a run as its report shows them: before → after, who, why, whether it holds, how to undo it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from runbooks_lib import units
from runbooks_lib.presentation.text import plain

_GOOD, _CAREFUL, _BAD, _UNKNOWN = "#166534", "#92400e", "#b91c1c", "#6b21a8"
#: By ``actions.outcome.Result``: its words in a report, and their colour.
_RESULTS = {
    "planned": ("PLANNED, nothing was changed", _UNKNOWN),
    "unchanged": ("UNCHANGED, it was so already", _GOOD),
    "applied": ("APPLIED and read back", _GOOD),
    "stopped": ("STOPPED before its end", _CAREFUL),
    "refused": ("REFUSED, nothing was changed", _BAD),
    "unread": ("NOT PLANNED, nothing was changed", _UNKNOWN),
    "ended otherwise": ("ENDED OTHERWISE than planned", _BAD),
    "may have changed": ("CHECK THIS, something may have changed", _BAD),
}
_VALUE_CHARACTERS = 300


@dataclass(frozen=True, slots=True)
class Line:
    """One labelled line; a command stands apart, to be copied."""

    label: str
    text: str
    command: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """One change: how it ended, what it was, and its lines."""

    result: str
    tone: str
    title: str
    rows: tuple[Line, ...]


def changes_of(record: Mapping[str, Any]) -> tuple[Change, ...]:
    """The changes of a run, in their order.

    A dry run that was followed by anything else of the same plan is left out: what came of it tells it all.

    Args:
        record: ``record.json``; one that an older version wrote has no ``actions``.
    """
    kept = list(record.get("actions") or ())
    shown = [item for at, item in enumerate(kept) if not _followed(item, kept[at + 1 :])]
    return tuple(_change(item) for item in shown)


def _followed(item: Mapping[str, Any], later: Sequence[Mapping[str, Any]]) -> bool:
    return item["result"] == "planned" and any(other["digest"] == item["digest"] for other in later)


def _change(kept: Mapping[str, Any]) -> Change:
    words, tone = _RESULTS.get(kept["result"], (str(kept["result"]).upper(), _UNKNOWN))
    rows = [
        *_values(kept),
        Line("Account", _pairs(kept["account"])),
        Line("Result", kept["detail"]),
        Line("Next", kept["hint"]),
        Line("Who, when", f"{kept['operator']}, {_moment(kept['at'])}"),
        Line("Checked", _checked(kept.get("checked"))),
        Line("Reason", kept["reason"]),
        Line("Approved by", kept.get("approved_by", "")),
        Line("Needs", "; ".join(kept["needs"])),
        Line("Plan", kept["digest"]),
        *_after(kept),
        Line("Ledger", f"NOT in the ledger: {kept['ledger_error']}" if kept["ledger_error"] else ""),
    ]
    return Change(words, tone, plain(kept["title"]), tuple(row for row in rows if row.text))


def _checked(kept: Mapping[str, Any] | None) -> str:
    return f"{kept['operator']}, {_moment(kept['at'])}" if kept else ""


def _values(kept: Mapping[str, Any]) -> list[Line]:
    """Before → after: a line for each value that has both, else the two apart."""
    after = {item["name"]: item for item in kept["after"]}
    before = {item["name"]: item for item in kept["before"]}
    if before and before.keys() == after.keys():
        return [
            Line(name or "Before → after", f"{_cut(item['value'])} → {_cut(after[name]['value'])}")
            for name, item in before.items()
        ]
    return [Line("Before", _pairs(kept["before"])), Line("After", _pairs(kept["after"]))]


def _after(kept: Mapping[str, Any]) -> list[Line]:
    """What can be done about it; a plan that was not made needs no undo."""
    if kept["result"] not in ("applied", "stopped", "may have changed", "ended otherwise"):
        return []
    undo = Line("Undo", kept["undo"], command=True)
    if not kept["undo"]:
        undo = Line("Undo", f"irreversible: {kept['irreversible']}" if kept["irreversible"] else "it no longer holds")
    check = kept["check"] if kept["result"] == "may have changed" else ""
    return [Line("Check", check, command=True), undo]


def _pairs(items: Sequence[Mapping[str, Any]]) -> str:
    return " · ".join(f"{item['name']} {_cut(item['value'])}".strip() for item in items)


def _cut(value: Any) -> str:
    return plain(str(value), at_most=_VALUE_CHARACTERS)


def _moment(value: Any) -> str:
    try:
        return units.timestamp(datetime.fromisoformat(value))
    except (TypeError, ValueError):
        return str(value)
