"""The grid of a rollout's looks: which windows have ended since the newest one.

Looks lie on a grid from the start of the stage: window *k* reaches from ``start + (k - 1) * look`` to ``start + k *
look``. Whoever executes late judges all windows that have ended since, oldest first; whoever executes twice finds none.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from runbooks_lib.records.campaign import Campaign

#: Further back than so many looks a window is a gap: nobody was there to judge it, and nothing is gained by it now.
MOST_CAUGHT_UP = 24
#: A window is complete when its last scrape has arrived: a twentieth of the look, within these bounds.
_ARRIVAL_SECONDS = (3.0, 60.0)


@dataclass(frozen=True, slots=True)
class DueWindow:
    """A window that is to be judged.

    Attributes:
        look: its number in the stage.
        started_at: aware UTC.
        ended_at: aware UTC.
        is_gap: it is too long ago; it is recorded as a gap, and may be longer than a look.
    """

    look: int
    started_at: datetime
    ended_at: datetime
    is_gap: bool = False


def due_windows(campaign: Campaign, now: datetime) -> tuple[DueWindow, ...]:
    """The windows that have ended since the newest look, oldest first; empty when none is due."""
    length, taken = _length(campaign), _taken(campaign)
    complete = int((now - _arrival(length) - campaign.stage_started_at) / length)
    first = max(taken, complete - MOST_CAUGHT_UP)
    gap = (_window(campaign, taken + 1, first, is_gap=True),) if first > taken else ()
    return (*gap, *(_window(campaign, number, number) for number in range(first + 1, complete + 1)))


def next_look_at(campaign: Campaign) -> datetime:
    """When the next look is due: its window has ended, and its last scrape has arrived."""
    length = _length(campaign)
    return campaign.stage_started_at + (_taken(campaign) + 1) * length + _arrival(length)


def _taken(campaign: Campaign) -> int:
    """How many windows of the grid were judged or skipped."""
    return campaign.last_look.look if campaign.last_look else 0


def _window(campaign: Campaign, first: int, last: int, *, is_gap: bool = False) -> DueWindow:
    began, length = campaign.stage_started_at, _length(campaign)
    return DueWindow(last, began + (first - 1) * length, began + last * length, is_gap)


def _length(campaign: Campaign) -> timedelta:
    return timedelta(seconds=campaign.parameters["look_seconds"])


def _arrival(length: timedelta) -> timedelta:
    low, high = _ARRIVAL_SECONDS
    return timedelta(seconds=min(high, max(low, length.total_seconds() / 20)))
