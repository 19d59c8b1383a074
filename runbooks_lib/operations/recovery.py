"""Does the site recover after something was cleared? Watched for a bounded time, with one line that updates itself."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from runbooks_lib import units
from runbooks_lib.actions.outcome import Outcome
from runbooks_lib.actions.site import Progress
from runbooks_lib.model import Unreadable
from runbooks_lib.operations.reading import attempt
from runbooks_lib.presentation.display import Shown, show_table, show_text
from runbooks_lib.presentation.live import live_line
from runbooks_lib.recovery import watch_recovery

if TYPE_CHECKING:
    from runbooks_lib.judgement.recovery import Recovery
    from runbooks_lib.view import View

CLEARING = frozenset({"clear_pattern", "clear_all"})
#: Long enough to see where it goes, short enough to wait for; the full window is looked at by triage.
_LONGEST_SECONDS = 120.0
_EVERY_SECONDS = 3.0


def show_recovery(view: View, outcomes: Sequence[Outcome]) -> Shown:
    """Watch the hit rate after something was cleared; says so where nothing was.

    Args:
        view: of the environment.
        outcomes: of this run; only what was cleared is watched.
    """
    cleared = next((one for one in outcomes if one.action in CLEARING and one.changed), None)
    if cleared is None or cleared.plan is None:
        return show_text("Nothing was cleared, so there is nothing to recover from.")
    recovery = _watched(view, cleared, _before_ratio(view, cleared))
    rows = (
        ("in words", recovery.detail),
        ("before", units.percent(recovery.before_ratio)),
        ("enough", units.percent(recovery.target_ratio)),
        ("now", units.percent(recovery.now_ratio)),
        ("watched for", units.duration(recovery.took_seconds)),
    )
    return show_table(("Hit rate", "Value"), rows, caption="How the hit rate came back")


def _before_ratio(view: View, cleared: Outcome) -> float | None:
    """The hit rate just before the plan was read; 0..1, None where it could not be read."""
    metrics, window = view.sources.metrics, view.policy.window_seconds
    at = None if cleared.plan is None else cleared.plan.read_at
    before = attempt(view, "lookups before", "prometheus", lambda: metrics.lookups(window, at=at))
    return None if isinstance(before, Unreadable) else before.hit_ratio


def _watched(view: View, cleared: Outcome, before_ratio: float | None) -> Recovery:
    seconds = min(_LONGEST_SECONDS, view.policy.window_seconds)
    started = time.monotonic()
    with live_line("recovery") as show:
        return watch_recovery(
            view.sources.metrics,
            before_ratio,
            since=cleared.at,
            policy=view.policy,
            deadline_seconds=seconds,
            every_seconds=_EVERY_SECONDS,
            on_look=lambda recovery: show(
                Progress(round(time.monotonic() - started), round(seconds), f"s watched: {recovery.detail}")
            ),
        )
