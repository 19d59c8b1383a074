"""The guide's three severity rules, with the durations that they need.

1. The cache system is down for over 5 minutes.
2. The hit rate is under 60 % for over 30 minutes, or more than half of the warming tasks fail.
3. Performance is degraded, or alerting has issues.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from runbooks_lib import units
from runbooks_lib.facts import Health, History, RedisServer, WarmingActivity
from runbooks_lib.judgement.checks import warming_failure_ratio
from runbooks_lib.judgement.situation import Situation
from runbooks_lib.judgement.timeline import hit_rate_breach, last_useful
from runbooks_lib.model import Finding, Status, Unreadable
from runbooks_lib.policy import MIN_WARMING_TASKS, Policy


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
    hit_rate = _hit_rate(situation.history, policy)
    major = [s for s in (hit_rate, _warming(situation.warming, policy)) if s is not None and s.level == 2]
    if major:
        return major[0]
    return down or hit_rate or _degraded(findings)


def is_down(server: RedisServer | Unreadable, health: Health | Unreadable) -> str:
    """Is the cache down, and who says so? Empty when it is not, or when only the path from here is broken."""
    if not isinstance(health, Unreadable):
        if health.redis_reachable is False:
            return "the site does not reach Redis"
        if health.status == "down":
            return "the site reports its cache as down"
        return ""
    if isinstance(server, Unreadable):
        return f"Redis is not reachable ({server.reason}) and the health endpoint does not answer"
    return "Redis is loading its data set" if server.loading else ""


def _down(situation: Situation, policy: Policy) -> Severity | None:
    who = is_down(situation.server, situation.health)
    history, now = situation.history, situation.at
    if not who:
        return None
    limit = units.duration(policy.down_for_seconds)
    rule = f"down for over {limit}"
    useful = None if isinstance(history, Unreadable) else last_useful(history)
    if useful is None:
        # Nobody can say that it is short: the worse case is the safe one to act on.
        return Severity(
            1,
            f"cache down, for how long is not known: {who}",
            f"{rule}; an unknown duration counts as longer",
        )
    since, from_the_start = useful
    lasted = (now - since).total_seconds()
    at_least = "at least " if from_the_start else ""
    what = f"cache down for {at_least}{units.duration(lasted)}: {who}"
    if lasted > policy.down_for_seconds or from_the_start:
        return Severity(1, what, rule, since, from_the_start)
    becomes = units.clock(since + timedelta(seconds=policy.down_for_seconds))
    return Severity(3, what, "degradation", since, becomes=f"severity 1 at {becomes} ({rule})")


def _hit_rate(history: History | Unreadable, policy: Policy) -> Severity | None:
    if isinstance(history, Unreadable):
        return None
    limit = policy.hit_rate.fail
    open_breach = hit_rate_breach(history, policy.hit_rate, limit)
    if open_breach is None:
        return None
    newest = next((value for value in reversed(history.hit_ratio) if value is not None), None)
    at_least = "at least " if open_breach.from_the_start else ""
    what = f"hit rate {units.percent(newest)} for {at_least}{units.duration(open_breach.lasted_seconds)}"
    hold = policy.hit_rate_major_for_seconds
    rule = f"under {units.threshold_percent(limit)} for over {units.duration(hold)}"
    if open_breach.observed_seconds > hold:
        return Severity(2, what, rule, open_breach.since, open_breach.from_the_start)
    at = units.clock(open_breach.since + timedelta(seconds=hold + open_breach.gaps_seconds))
    becomes = f"severity 2 at {at} ({rule})"
    return Severity(3, what, "degradation", open_breach.since, open_breach.from_the_start, becomes)


def _warming(warming: WarmingActivity | Unreadable, policy: Policy) -> Severity | None:
    if isinstance(warming, Unreadable):
        return None
    ratio, attempts = warming_failure_ratio(warming)
    if ratio is None or ratio <= policy.warming_failures.fail or attempts < MIN_WARMING_TASKS:
        return None
    return Severity(
        2,
        f"{units.percent(ratio)} of {units.count(attempts)} warming tasks failed "
        f"in {units.duration(warming.window_seconds)}",
        f"warming failures over {units.threshold_percent(policy.warming_failures.fail)}",
    )


def _degraded(findings: Sequence[Finding]) -> Severity:
    bad = sorted((f for f in findings if f.status in (Status.WARN, Status.FAIL)), key=lambda f: -f.status.rank)
    if bad:
        return Severity(3, f"{bad[0].title} {bad[0].shown}", "degradation")
    blind = [f for f in findings if f.status is Status.UNKNOWN and f.id.startswith("alerting.")]
    if blind:
        return Severity(3, f"{blind[0].title} {blind[0].shown}", "alerting issues")
    return Severity(None)
