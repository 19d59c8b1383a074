"""The whole checklist at one moment: what counts for each item, how old it is, what is still open, and what to do."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from runbooks_lib import units
from runbooks_lib.checklist import ITEMS, Checklist, Entry, How, Item, ItemStatus, Phase
from runbooks_lib.judgement.next_steps import Surroundings, run_command
from runbooks_lib.model import Finding, NextStep, Status, worst

_STATUS = {
    ItemStatus.DONE: Status.OK,
    ItemStatus.FAILED: Status.FAIL,
    ItemStatus.OPEN: Status.WARN,
    ItemStatus.UNKNOWN: Status.UNKNOWN,
}

_AGE_WORTH_TELLING = 60.0


@dataclass(frozen=True, slots=True)
class Stand:
    """How one item stands.

    Attributes:
        item: of the checklist.
        status: done, failed, open or unknown. A waived item is open, whatever it was before.
        entry: what counts; None where nothing was ever written.
        against: an earlier entry that says otherwise (done, then failed; failed, then done or waived); else None.
        later: a look after ``entry`` that could not tell; else None.
        age_seconds: of ``entry``, when the next phase began, or now; None without one.
        problem: why an entry that says done is not enough: too old, or from before the deployment; else empty.
    """

    item: Item
    status: ItemStatus
    entry: Entry | None = None
    against: Entry | None = None
    later: Entry | None = None
    age_seconds: float | None = None
    problem: str = ""

    @property
    def is_waived(self) -> bool:
        """Somebody answers for going on without it."""
        return self.entry is not None and self.entry.how is How.WAIVED

    @property
    def word(self) -> str:
        """``done``, ``failed``, ``open``, ``unknown``, ``waived`` or ``old``."""
        if self.is_waived:
            return "waived"
        return "old" if self.problem and self.status is ItemStatus.OPEN else self.status.value


def standing(checklist: Checklist, *, now: datetime, time_scale: float = 1.0) -> tuple[Stand, ...]:
    """How does every item stand, in the guide's order?

    The newest entry that settles an item counts: a later failure takes back what was done, a look that could not tell
    takes nothing back. Evidence is old by the age that it had when the next phase began; what was found after the
    deployment has to be from after the last one.

    Args:
        checklist: everything that is known.
        now: aware UTC.
        time_scale: of the environment; the time for which evidence counts is divided by it.
    """
    return tuple(_stand(checklist, item, now, time_scale) for item in ITEMS)


def _stand(checklist: Checklist, item: Item, now: datetime, time_scale: float) -> Stand:
    history = checklist.history(item.id)
    if not history:
        return Stand(item, ItemStatus.OPEN)
    settled = checklist.settled(item.id)
    if settled is None:
        newest = history[-1]
        return Stand(item, newest.status, newest, age_seconds=_age(newest, now))
    later = history[-1] if history[-1] is not settled else None
    against = _against(history, settled)
    age = _age(settled, min(now, _next_phase_at(checklist, item) or now))
    problem = _problem(checklist, item, settled, age, time_scale)
    waived = settled.how is How.WAIVED or bool(problem)
    return Stand(item, ItemStatus.OPEN if waived else settled.status, settled, against, later, age, problem)


def _age(entry: Entry, moment: datetime) -> float:
    # Written by another machine's clock, it may lie ahead of this one's.
    return max(0.0, (moment - entry.at).total_seconds())


def _against(history: Sequence[Entry], settled: Entry) -> Entry | None:
    """The newest entry before it that settled the item otherwise."""
    for entry in reversed(history[: history.index(settled)]):
        if entry.settles:
            return None if (entry.status, entry.how) == (settled.status, settled.how) else entry
    return None


def _next_phase_at(checklist: Checklist, item: Item) -> datetime | None:
    """When something of a later phase was done for the first time; None while nothing was."""
    found = [checklist.settled(later.id) for later in ITEMS if later.phase.number > item.phase.number]
    return min((one.at for one in found if one is not None and one.status is ItemStatus.DONE), default=None)


def _problem(checklist: Checklist, item: Item, settled: Entry, age: float, time_scale: float) -> str:
    if settled.status is not ItemStatus.DONE:
        return ""
    deployed_at = checklist.deployed_at
    if item.phase is Phase.POST_DEPLOYMENT and deployed_at is not None and settled.at < deployed_at:
        return f"from before the deployment at {units.timestamp(deployed_at)}"
    counts = None if item.counts_seconds is None else item.counts_seconds / time_scale
    if counts is None or age <= counts:
        return ""
    when = " when the next phase began" if _next_phase_at(checklist, item) else ""
    return f"{units.duration(age)} old{when}; it counts for {units.duration(counts)}"


def phase_findings(stands: Sequence[Stand], phase: Phase) -> tuple[Finding, ...]:
    """One finding for each item of a phase; all of them OK only when the phase is done."""
    return tuple(_finding(stand) for stand in stands if stand.item.phase is phase)


def _finding(stand: Stand) -> Finding:
    entry = stand.entry
    return Finding(
        id=f"checklist.{stand.item.id}",
        title=stand.item.id,
        status=_STATUS[stand.status],
        shown=f"{stand.word}: {entry.text}" if entry is not None and entry.text else stand.word,
        limit=stand.item.title,
        detail="; ".join(remarks(stand)),
        reason="guide, Deployment Checklist" if stand.item.in_guide else "this project's choice",
        hint="",
    )


def remarks(stand: Stand) -> tuple[str, ...]:
    """Who and when, and what limits it: age, an earlier entry that says otherwise, a later look that could not tell."""
    entry = stand.entry
    if entry is None:
        return ("nobody measured it yet" if stand.item.measured else "a person signs it off",)
    verb = {How.MEASURED: "measured by", How.SIGNED: "signed by", How.WAIVED: "WAIVED by"}[entry.how]
    # A name is what somebody typed; the account is what he is.
    account = f" from {entry.account}" if entry.account and entry.how is not How.MEASURED else ""
    parts = [f"{verb} {entry.by}{account} at {units.timestamp(entry.at)}"]
    if stand.age_seconds is not None and stand.age_seconds >= _AGE_WORTH_TELLING and not stand.problem:
        parts[0] += f", {units.duration(stand.age_seconds)} old"
    if stand.problem:
        parts.append(stand.problem)
    if stand.against is not None:
        said = "waived" if stand.against.how is How.WAIVED else stand.against.status.value
        parts.append(
            f"before that {said} by {stand.against.by} at {units.timestamp(stand.against.at)}: {stand.against.text}"
        )
    if stand.later is not None:
        looked = f"looked again at {units.timestamp(stand.later.at)} by {stand.later.by}"
        parts.append(f"{looked}, {stand.later.status.value}: {stand.later.text}")
    return tuple(parts)


def phase_status(stands: Sequence[Stand], phase: Phase) -> Status:
    """OK only when every item of the phase is done."""
    return worst(_STATUS[stand.status] for stand in stands if stand.item.phase is phase)


def overall_status(stands: Sequence[Stand]) -> Status:
    """OK only when every item is done."""
    return worst(_STATUS[stand.status] for stand in stands)


def command_for(stand: Stand, release: str, around: Surroundings) -> NextStep | None:
    """What to do about an item that is not done; None for one that is done, or that nothing here can do yet."""
    if stand.status is ItemStatus.DONE or stand.is_waived:
        return None
    title = f"{stand.item.id}: {stand.item.title}"
    if not stand.item.measured:
        return NextStep(
            f"{title}: a person does it and signs", sign_command(stand.item.id, release, around.environment)
        )
    if stand.item.notebook not in around.runbooks:
        return None
    return NextStep(
        title, run_command(stand.item.notebook, around.environment, parameters_of(stand.item.phase, release))
    )


def parameters_of(phase: Phase, release: str) -> dict[str, str | int]:
    """What a phase's notebook is given: a rollout is a campaign of its own, the others take the release."""
    return {} if phase is Phase.ROLLOUT else {"release": release}


def next_phase(phase: Phase) -> Phase | None:
    """The one after it; None after the last."""
    return list(Phase)[phase.number + 1] if phase.number + 1 < len(Phase) else None


def counts_text(stands: Sequence[Stand]) -> str:
    """``4 of 13 done, 1 failed, 1 waived, 7 open``."""
    words = [stand.word for stand in stands]
    others = [f"{words.count(word)} {word}" for word in ("failed", "unknown", "waived", "old", "open") if word in words]
    return ", ".join([f"{words.count('done')} of {len(words)} done", *others])


def sign_command(item: str, release: str, environment: str) -> str:
    """The command that signs an item off, ready to be filled in; nothing in it can be taken for shell syntax."""
    words = ["runbooks", "checklist", release, "--environment", environment, "--sign", item]
    return shlex.join([*words, "--by", "NAME", "--note", "WHAT WAS DONE"])


def waive_command(item: str, release: str, environment: str) -> str:
    """The command that goes on without an item, ready to be filled in."""
    words = ["runbooks", "checklist", release, "--environment", environment, "--sign", item]
    return shlex.join([*words, "--by", "NAME", "--waive", "WHY"])
