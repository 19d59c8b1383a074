"""What a judgement says about one item of the checklist."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from runbooks_lib.checklist import ItemStatus
from runbooks_lib.model import Unreadable


@dataclass(frozen=True, slots=True)
class ItemResult:
    """One item, judged on what was measured a moment ago.

    Attributes:
        item: its id.
        status: done, failed, open (not yet) or unknown.
        text: the evidence in one line, with its numbers.
        values: the evidence as data, JSON types.
        hint: what to do or to check; empty when it is done.
    """

    item: str
    status: ItemStatus
    text: str
    values: Mapping[str, Any] = field(default_factory=dict)
    hint: str = ""


def not_known(item: str, unreadable: Unreadable) -> ItemResult:
    """The result that stands for something that could not be read."""
    text = f"{unreadable.what} could not be read: {unreadable.reason}"
    return ItemResult(item, ItemStatus.UNKNOWN, text, {"source": unreadable.source}, unreadable.hint)
