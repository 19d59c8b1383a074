"""Does the share of traffic in the enhanced cohort follow the flag? Judged before any other metric of a cohort.

``expected share = w + (1 - w) · p`` with ``w`` the share that is enhanced at 0 %: whitelisted users, who are in the
cohort whatever the percentage. Cookies, cached flags or instances with an old flag show here first, and whoever is in
the wrong cohort spoils every comparison between the cohorts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from runbooks_lib import units
from runbooks_lib.facts import Flag
from runbooks_lib.facts.rollout import Gap, RolloutWindow
from runbooks_lib.judgement.rollout.instrument import gap_of, serves
from runbooks_lib.judgement.rollout.model import Gate, StageHistory, Stand
from runbooks_lib.judgement.rollout.track import Track
from runbooks_lib.model import Unreadable
from runbooks_lib.rollout_policy import RolloutPolicy

#: At 0 %, more than this is no whitelist: the label says something else than the flag.
MOST_WHITELISTED = 0.25

#: The share of a sample scatters; a mismatch is one beyond three standard errors as well.
_STANDARD_ERRORS = 3.0


@dataclass(frozen=True, slots=True)
class Expected:
    """Which share of the traffic should be enhanced.

    Attributes:
        share: 0..1; None where it cannot be said.
        tolerance: 0..1, how far it may be off.
        reason: why it cannot be said; empty where it can.
    """

    share: float | None
    tolerance: float
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Exposed:
    """Requests of both cohorts since the stage began, up to one look."""

    enhanced: float
    total: float

    @property
    def share(self) -> float:
        """Of the enhanced cohort, 0..1."""
        return self.enhanced / self.total


def comparable(window: RolloutWindow, percentage: int) -> bool:
    """May its cohorts be compared: both were read, and no instance served another percentage?"""
    return window.enhanced is not None and window.control is not None and serves(window, percentage) is not False


def whitelisted_share(history: StageHistory, zero_windows: Sequence[RolloutWindow], policy: RolloutPolicy) -> Expected:
    """The enhanced share at 0 %: measured there, or nothing where the whitelist is empty; else not known."""
    tolerance = policy.exposure_points / 100
    usable = [window for window in zero_windows if comparable(window, 0)]
    enhanced = sum(window.enhanced.requests for window in usable if window.enhanced)
    total = enhanced + sum(window.control.requests for window in usable if window.control)
    if total >= policy.min_requests:
        return Expected(enhanced / total, tolerance)
    if history.whitelist_count == 0:
        return Expected(0.0, tolerance)
    return Expected(None, tolerance, "whitelist not measured")


def expected_share(history: StageHistory, zero_windows: Sequence[RolloutWindow], policy: RolloutPolicy) -> Expected:
    """The enhanced share at this stage, from the percentage and the whitelist."""
    if history.percentage == 0:
        tolerance = policy.exposure_points / 100 if history.whitelist_count == 0 else MOST_WHITELISTED
        return Expected(0.0, tolerance)
    if history.percentage == 100:
        return Expected(1.0, policy.exposure_points / 100)
    whitelisted = whitelisted_share(history, zero_windows, policy)
    if whitelisted.share is None:
        return whitelisted
    part = history.percentage / 100
    # Cohorts are people, and a few hundred of them ask most: the share scatters as sqrt(p (1 - p)), most at 50 %.
    scatter = 2 * math.sqrt(max(0.0, part * (1 - part)))
    return Expected(whitelisted.share + (1 - whitelisted.share) * part, whitelisted.tolerance * scatter)


def exposure(
    history: StageHistory,
    windows: Sequence[RolloutWindow],
    zero_windows: Sequence[RolloutWindow],
    flag: Flag | Unreadable,
    policy: RolloutPolicy,
) -> Track:
    """Is the right share of the traffic enhanced?

    Judged on all comparable looks of the stage together.

    Args:
        history: of the stage.
        windows: of the stage, cleaned, the newest included.
        zero_windows: of the 0 % stage, cleaned.
        flag: as it is now; another whitelist than at the beginning makes the expected share unknown.
        policy: tolerance in points, least number of requests.

    Returns:
        Gate ``exposure``: WARN on a mismatch, which holds.
    """
    expected = expected_share(history, zero_windows, policy)
    cumulated, stands = [], []
    enhanced = total = 0.0
    for window in windows:
        if window.enhanced and window.control and serves(window, history.percentage) is not False:
            enhanced += window.enhanced.requests
            total += window.enhanced.requests + window.control.requests
        cumulated.append(Exposed(enhanced, total))
        stands.append(_stand(window, cumulated[-1], expected, policy))
    changed = _whitelist_changed(history, flag)
    if changed and history.percentage < 100:
        expected = Expected(None, expected.tolerance, "whitelist changed")
        stands[-1] = _stand(windows[-1], cumulated[-1], expected, policy)
    gate = _gate(windows[-1], cumulated[-1], expected, stands[-1])
    return Track(gate, tuple(stands), blocks=stands[-1] is Stand.WAIT)


def _stand(window: RolloutWindow, exposed: Exposed, expected: Expected, policy: RolloutPolicy) -> Stand:
    if window.enhanced is None or window.control is None or expected.share is None:
        return Stand.UNKNOWN
    if exposed.total < max(1, policy.min_requests):
        return Stand.WAIT
    within = abs(exposed.share - expected.share) <= _allowed(exposed, expected)
    return Stand.PASS if within else Stand.WARN


def _allowed(exposed: Exposed, expected: Expected) -> float:
    share = expected.share or 0.0
    return expected.tolerance + _STANDARD_ERRORS * math.sqrt(share * (1 - share) / max(1.0, exposed.total))


def _whitelist_changed(history: StageHistory, flag: Flag | Unreadable) -> bool:
    if isinstance(flag, Unreadable) or flag.whitelist_count is None or history.whitelist_count is None:
        return False
    return flag.whitelist_count != history.whitelist_count


def _gate(window: RolloutWindow, exposed: Exposed, expected: Expected, stand: Stand) -> Gate:
    unread = window.enhanced is None or window.control is None
    reasons = {
        Stand.PASS: "",
        Stand.WAIT: str(Gap.TOO_FEW),
        Stand.WARN: "exposure",
        Stand.UNKNOWN: gap_of(window, "cohorts") if unread else expected.reason,
    }
    allowed = _allowed(exposed, expected) * 100
    off = None if expected.share is None or not exposed.total else abs(exposed.share - expected.share) * 100
    return Gate(
        "exposure",
        stand,
        now=units.percent(exposed.share) if exposed.total else "no requests",
        limit="not known" if expected.share is None else f"{expected.share * 100:.3g} ± {_points(allowed)} %",
        margin="" if off is None else f"{allowed - off:+.1f}",
        evidence=f"{units.count(exposed.total)} requests of this stage",
        reason=reasons[stand],
    )


def _points(allowed: float) -> str:
    """Two digits; of hardly any requests every share is possible, which is no 1.6e+02."""
    return f"{allowed:.2g}" if allowed < 99 else "100"
