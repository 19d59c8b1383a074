"""Baselines in the ledger: how a site did over a day before a release, so that a rollout can be held against it."""

from __future__ import annotations

from datetime import datetime

import msgspec

from runbooks_lib.facts import Baseline
from runbooks_lib.records.checklists import Who
from runbooks_lib.records.event import plain
from runbooks_lib.records.ledger import Ledger

RECORDED = "baseline.recorded"


def record_baseline(ledger: Ledger, environment: str, baseline: Baseline, *, who: Who, release: str = "") -> None:
    """Keep a baseline. The newest one of an environment counts.

    Args:
        ledger: of events.
        environment: the configured environment.
        baseline: as it was read.
        who: writes it.
        release: that it was recorded for; may be empty.

    Raises:
        RecordError: the ledger could not be written; nothing was kept.
    """
    payload = {"baseline": plain(baseline), "release": release, "complete_ratio": baseline.complete_ratio}
    ledger.append(kind=RECORDED, run_id=who.run_id, environment=environment, operator=who.operator, payload=payload)


def latest_baseline(ledger: Ledger, environment: str, *, until: datetime | None = None) -> Baseline | None:
    """The newest baseline of an environment that can be read; None where there is none.

    Args:
        ledger: of events.
        environment: the configured environment.
        until: aware; only of a day that had ended by then (the deployment): a later one is of something else.

    Raises:
        RecordError: the ledger could not be read.
    """
    for event in reversed(ledger.events(environment=environment, kind=RECORDED)):
        try:
            found = msgspec.convert(event.payload.get("baseline"), Baseline)
        except (msgspec.ValidationError, ValueError):
            continue  # somebody edited it, or another release wrote it; an earlier one may still be read
        if until is None or found.ended_at <= until:
            return found
    return None
