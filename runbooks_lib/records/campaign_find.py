"""Campaigns as they are in the ledger now: by id, the current one of a feature, a start that opened none."""

from __future__ import annotations

from runbooks_lib.records import campaign as words
from runbooks_lib.records.campaign import Campaign, CampaignState, is_campaign_id
from runbooks_lib.records.campaign_fold import folded
from runbooks_lib.records.campaign_steps import Step, StepState, opened, starts
from runbooks_lib.records.event import Event, storable
from runbooks_lib.records.ledger import Ledger, Writing
from runbooks_lib.records.schema import COLUMNS

# ruff: noqa: S608 - every query is made of constants; values are bound
_OPENINGS = f"SELECT {COLUMNS} FROM runbook_events WHERE kind = '{words.OPENED}'"
_KINDS = ", ".join(f"'{kind}'" for kind in words.KINDS)
_OF = f"SELECT {COLUMNS} FROM runbook_events WHERE kind IN ({_KINDS}) AND event_id LIKE ? ORDER BY seq"


def all_campaigns(reader: Ledger | Writing) -> tuple[Campaign, ...]:
    """Every campaign, oldest first.

    Raises:
        RecordError: the ledger could not be read.
    """
    return folded(Event(*row) for row in reader.rows(_OF, "rollout-%"))


def find_campaign(reader: Ledger | Writing, name: str) -> Campaign | None:
    """The campaign with this id, read now; None where there is none.

    Raises:
        RecordError: the ledger could not be read.
    """
    if not is_campaign_id(name):
        return None
    found = folded(Event(*row) for row in reader.rows(_OF, f"{name}%"))
    return found[0] if found else None


def names_of(reader: Ledger | Writing, environment: str, feature: str) -> list[str]:
    """Ids of the campaigns of a feature, newest first."""
    rows = reader.rows(f"{_OPENINGS} AND environment = ? ORDER BY seq DESC", storable(environment))
    return [event.event_id for event in (Event(*row) for row in rows) if event.payload.get("feature") == feature]


def current_campaign(reader: Ledger | Writing, environment: str, feature: str) -> Campaign | None:
    """The campaign of a feature that has not ended; None where there is none.

    Raises:
        RecordError: the ledger could not be read.
    """
    found = (find_campaign(reader, name) for name in names_of(reader, environment, feature))
    return next((one for one in found if one and one.state is not CampaignState.ENDED), None)


def overtaking(reader: Ledger | Writing, step: Step) -> Campaign | None:
    """A campaign of the same feature that was current when the start was begun, or was opened since."""
    names = names_of(reader, step.environment, str(step.parameters.get("feature")))
    found = [one for one in (find_campaign(reader, name) for name in names) if one is not None]
    return next((one for one in found if one.opened_seq > step.seq or not 0 < one.ended_seq < step.seq), None)


def unopened_start(reader: Ledger | Writing, environment: str, feature: str) -> Step | None:
    """The newest start that was applied and whose campaign was never opened: its process was killed in between.

    A start that was applied while another campaign was current, or before one was opened, opens nothing any more.

    Raises:
        RecordError: the ledger could not be read.
    """
    step = next(reversed(starts(reader, environment, feature)), None)
    if step is None or step.state is not StepState.APPLIED or opened(reader, step.action_id):
        return None
    return None if overtaking(reader, step) else step
