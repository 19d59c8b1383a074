"""The guide's three severity rules, with the durations that they need.

1. The cache system is down for over 5 minutes.
2. The hit rate is under 60 % for over 30 minutes, or more than half of the warming tasks fail.
3. Performance is degraded, or alerting has issues.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from runbooks_lib import units
from runbooks_lib.facts import WarmingActivity
from runbooks_lib.judgement.checks import worst_warming
from runbooks_lib.judgement.outage import is_down, last_hit
from runbooks_lib.judgement.situation import Situation
from runbooks_lib.judgement.timeline import Rate, rate_breach
from runbooks_lib.model import Finding, Status, Unreadable
from runbooks_lib.policy import MIN_WARMING_TASKS, Policy

#: The rule of severity 3 that concerns the watching, not the site.
ALERTING = "alerting issues"


@dataclass(frozen=True, slots=True)
class Severity:
    """What the rules give.

    Attributes:
        level: 1, 2, 3, or None when no rule applies.
        what: the fact that decided, with its numbers (``hit rate 54.2 % for 41 min``).
        rule: the rule that applied, with its limit.
        since: when it began, aware UTC, as far as it is known.
        began_earlier: ``since`` is only the first sample that was read.
        becomes: what it turns into if it goes on, and when; empty when nothing is coming.
    """

    level: int | None
    what: str = ""
    rule: str = ""
    since: datetime | None = None
    began_earlier: bool = False
    becomes: str = ""


def assess_severity(situation: Situation, findings: Sequence[Finding], policy: Policy) -> Severity:
    """How bad is it by the guide's rules? The worst rule that applies decides.

    Args:
        situation: what was read.
        findings: everything that was judged; any WARN or FAIL, or alerting that cannot be read, is severity 3.
        policy: limits and durations, already scaled for the environment.
    """
    down = _down(situation, policy)
    if down is not None and down.level == 1:
        return down
    hit_rate = _hit_rate(situation, policy)
    major = next((s for s in (hit_rate, _warming(situation.warming, policy)) if s is not None and s.level == 2), None)
    if major is not None and down is not None:
        # The outage is not the worst rule yet, and the most urgent thing to know all the same.
        return replace(major, what=f"{down.what}; {major.what}", becomes=down.becomes)
    return major or down or hit_rate or _degraded(findings)


def _down(situation: Situation, policy: Policy) -> Severity | None:
    who = is_down(situation)
    if not who:
        return None
    rule = f"down for over {units.duration(policy.down_for_seconds)}"
    since = None if isinstance(situation.history, Unreadable) else last_hit(situation.history)
    if since is None:
        # Nobody can say that it is short: the worse case is the safe one to act on.
        return Severity(1, f"cache down, for how long is not known: {who}", f"{rule}; not known counts as longer")
    lasted = max(0.0, (situation.at - since).total_seconds())
    what = f"cache down, no hit for {units.duration(lasted)}: {who}"
    if lasted > policy.down_for_seconds:
        return Severity(1, what, rule, since)
    becomes = units.clock(since + timedelta(seconds=policy.down_for_seconds))
    return Severity(3, what, "degradation", since, becomes=f"severity 1 at {becomes} ({rule})")


def _hit_rate(situation: Situation, policy: Policy) -> Severity | None:
    limit = policy.hit_rate.fail
    found = rate_breach(situation, policy, Rate.HIT, limit)
    if found is None:
        return None
    at_least = "at least " if found.from_the_start else ""
    what = f"hit rate {units.percent(_present(situation, limit))} for {at_least}{units.duration(found.lasted_seconds)}"
    hold = policy.hit_rate_major_for_seconds
    rule = f"under {units.threshold_percent(limit)} for over {units.duration(hold)}"
    if found.observed_seconds > hold:
        return Severity(2, what, rule, found.since, found.from_the_start)
    at = units.clock(found.since + timedelta(seconds=hold + found.gaps_seconds))
    return Severity(3, what, "degradation", found.since, found.from_the_start, f"severity 2 at {at} ({rule})")


def _present(situation: Situation, limit: float) -> float | None:
    """The hit rate to name: the window's, as the table shows it; the newest sample while the window lags behind."""
    window = None if isinstance(situation.lookups, Unreadable) else situation.lookups.hit_ratio
    if window is not None and window < limit:
        return window
    ratios = () if isinstance(situation.history, Unreadable) else situation.history.hit_ratio
    return next((value for value in reversed(ratios) if value is not None), None)


def _warming(warming: WarmingActivity | Unreadable, policy: Policy) -> Severity | None:
    if isinstance(warming, Unreadable):
        return None
    worst = worst_warming(warming)
    if worst is None or worst.ratio <= policy.warming_failures.fail or worst.attempts < MIN_WARMING_TASKS:
        return None
    window = units.duration(warming.window_seconds)
    return Severity(
        2,
        f"{units.percent(worst.ratio)} of {units.count(worst.attempts)} {worst.name} warming tasks failed in {window}",
        f"warming failures over {units.threshold_percent(policy.warming_failures.fail)}",
    )


def _degraded(findings: Sequence[Finding]) -> Severity:
    bad = sorted((f for f in findings if f.status in (Status.WARN, Status.FAIL)), key=lambda f: -f.status.rank)
    if bad:
        return Severity(3, f"{bad[0].title} {bad[0].shown}", "degradation")
    blind = [f for f in findings if f.status is Status.UNKNOWN and f.id.startswith("alerting.")]
    if blind:
        return Severity(3, f"{blind[0].title} {blind[0].shown}", ALERTING)
    return Severity(None)
