"""The guide's deployment checklist as data: its items, and what is known of each in one release on one environment.

Each line of the guide is an item. Most are measured by a notebook, two are a person's to sign off. What has no line of
its own in the guide (does the site answer with the new version?) is an item as well, and says so.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from runbooks_lib.errors import UsageError
from runbooks_lib.redaction import one_line

_HOUR, _DAY = 3600.0, 24 * 3600.0
#: It stands in commands and keys a checklist: two names that look alike would be two checklists.
_RELEASE = re.compile(r"[0-9A-Za-z][0-9A-Za-z._+-]{0,79}")


class Phase(StrEnum):
    """The parts of the checklist, in their order."""

    PRE_DEPLOYMENT = "pre-deployment"
    DEPLOYMENT = "deployment"
    POST_DEPLOYMENT = "post-deployment"
    ROLLOUT = "gradual rollout"

    @property
    def number(self) -> int:
        """0 for the first."""
        return list(Phase).index(self)


#: Phase → the notebook that measures it.
NOTEBOOKS = {
    Phase.PRE_DEPLOYMENT: "pre_deployment",
    Phase.DEPLOYMENT: "deployment",
    Phase.POST_DEPLOYMENT: "post_deployment",
    Phase.ROLLOUT: "gradual_rollout",
}


class ItemStatus(StrEnum):
    """How an item stands. The values stand in the ledger."""

    DONE = "done"
    FAILED = "failed"
    OPEN = "open"
    UNKNOWN = "unknown"


class How(StrEnum):
    """What an entry rests on. The values stand in the ledger."""

    MEASURED = "measured"
    SIGNED = "signed"
    WAIVED = "waived"


@dataclass(frozen=True, slots=True)
class Item:
    """One line of the checklist.

    Attributes:
        id: stable; commands and the ledger name it.
        title: in the guide's words.
        phase: of which it is a part.
        measured: by the phase's notebook; else a person signs it off.
        counts_seconds: evidence older than this, when the next phase begins, is not enough; None for no such limit.
            Divided by the environment's ``time_scale``.
        in_guide: the guide has this line; else it is this project's.
    """

    id: str
    title: str
    phase: Phase
    measured: bool = True
    counts_seconds: float | None = None
    in_guide: bool = True

    @property
    def notebook(self) -> str:
        """That measures it; empty for a person's item."""
        return NOTEBOOKS[self.phase] if self.measured else ""


DEPLOY = "deploy.staging"
ITEMS = (
    # What Redis holds changes all day: by the next day a backup is of something else.
    Item("pre.backup", "Backup current Redis data", Phase.PRE_DEPLOYMENT, counts_seconds=12 * _HOUR),
    # Anybody may set a flag: it is read again right before the deployment.
    Item("pre.flag", "Verify feature flags are set to GRADUAL (0%)", Phase.PRE_DEPLOYMENT, counts_seconds=_HOUR),
    Item("pre.baseline", "Monitor baseline performance for 24 hours", Phase.PRE_DEPLOYMENT, counts_seconds=_DAY),
    Item(DEPLOY, "Deploy new code to staging", Phase.DEPLOYMENT, measured=False),
    Item("deploy.answers", "The site answers with the new version", Phase.DEPLOYMENT, in_guide=False),
    Item("deploy.tests", "Run tests: manage.py test", Phase.DEPLOYMENT),
    Item("deploy.metrics", "Check metrics", Phase.DEPLOYMENT, counts_seconds=_DAY),
    Item("post.errors", "Monitor error rates for 1 hour", Phase.POST_DEPLOYMENT),
    Item("post.warming", "Check cache warming startup tasks", Phase.POST_DEPLOYMENT),
    Item("post.headers", "Verify cache headers are present", Phase.POST_DEPLOYMENT, counts_seconds=_DAY),
    Item("rollout.first", "Set feature flag to 10% for 24 hours", Phase.ROLLOUT),
    Item("rollout.issues", "Monitor for any issues", Phase.ROLLOUT, measured=False),
    Item("rollout.stages", "Gradually increase: 25% → 50% → 75% → 100%", Phase.ROLLOUT),
)


@dataclass(frozen=True, slots=True)
class Entry:
    """What was found out or said about an item, once.

    Attributes:
        item: its id.
        status: what was found.
        text: the evidence in one line; holds what people and sites wrote.
        values: the evidence in numbers, JSON types.
        how: measured, signed or waived.
        by: who: the operator of the run, or the name under the signature.
        at: aware UTC.
        run_id: the run that it belongs to.
        account: of the operating system that it was written from, as people read it; empty where none is kept.
    """

    item: str
    status: ItemStatus
    text: str
    how: How
    by: str
    at: datetime
    run_id: str
    values: Mapping[str, Any] = field(default_factory=dict)
    account: str = ""

    @property
    def settles(self) -> bool:
        """It says how the item stands; a look that could not tell settles nothing, and takes nothing back."""
        return self.how is How.WAIVED or self.status in (ItemStatus.DONE, ItemStatus.FAILED)


@dataclass(frozen=True, slots=True)
class Checklist:
    """All that is known of one release on one environment.

    Attributes:
        environment: its name.
        release: as people call it.
        entries: in the ledger's order, oldest first.
    """

    environment: str
    release: str
    entries: tuple[Entry, ...] = ()

    def history(self, item: str) -> tuple[Entry, ...]:
        """Everything about one item, oldest first."""
        return tuple(entry for entry in self.entries if entry.item == item)

    def settled(self, item: str) -> Entry | None:
        """The entry that counts: the newest that settles the item; None where none does."""
        return next((entry for entry in reversed(self.history(item)) if entry.settles), None)

    @property
    def deployed_at(self) -> datetime | None:
        """When the deployment was signed off, the last time; None while it was not."""
        found = self.settled(DEPLOY)
        return found.at if found is not None and found.status is ItemStatus.DONE else None


def item_of(name: str) -> Item:
    """The item with this id.

    Raises:
        UsageError: there is none.
    """
    for item in ITEMS:
        if item.id == name:
            return item
    raise UsageError(
        f"the checklist has no item {one_line(name, longest=60)!r}", hint=f"items: {', '.join(i.id for i in ITEMS)}"
    )


def items_of(phase: Phase) -> tuple[Item, ...]:
    """The items of one phase, in the guide's order."""
    return tuple(item for item in ITEMS if item.phase is phase)


def release_named(text: str) -> str:
    """The name of a release, checked.

    Raises:
        UsageError: it is blank, too long, or holds more than ASCII letters, digits and ``. _ + -``.
    """
    if not _RELEASE.fullmatch(text):
        raise UsageError(
            f"release is {one_line(text, longest=60)!r}: it needs a name of at most 80 letters, digits and . _ + -",
            hint="name it by date or version, and always the same: -p release=2026-11-23",
        )
    return text
