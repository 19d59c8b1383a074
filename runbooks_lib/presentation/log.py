"""The ledger's events in words: one line each, times in UTC, nothing of a stranger's that moves the cursor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runbooks_lib import units
from runbooks_lib.presentation.text import plain
from runbooks_lib.records.event import Event
from runbooks_lib.records.event_words import said

_LONGEST = 320


def line(event: Event) -> str:
    """``2026-11-22 02:31:07Z  production  anna  applied set_percentage 3f9a… : Done, and read back.  (run …)``."""
    parts = (
        _time(event),
        plain(event.environment or "-", at_most=24),
        plain(event.operator, at_most=32),
        plain(said(event), at_most=_LONGEST),
    )
    return f"{'  '.join(parts)}   [{plain(event.run_id, at_most=64)}]"


def change_lines(kept: Mapping[str, Any]) -> list[str]:
    """What came of one change of a run, as ``record.json`` keeps it, with the commands that follow from it."""
    result = str(kept["result"])
    lines = [plain(f"{result.upper()}: {kept['title']}. {kept['detail']}", at_most=400)]
    if result == "may have changed":
        lines.append(f"  see        {plain(kept['check'], at_most=2000)}")
    if result in ("applied", "stopped", "may have changed"):
        lines.append(f"  put back   {plain(kept['undo'] or kept['irreversible'], at_most=2000)}")
    return lines


def _time(event: Event) -> str:
    try:
        return units.timestamp(event.happened_at)
    except ValueError:
        # Somebody has edited the ledger: ``runbooks verify`` says so, and the log still shows what stands there.
        return plain(event.at, at_most=32)
