"""How bad is it, since when, what is the most likely cause, and what comes next? From facts alone."""

from __future__ import annotations

from dataclasses import fields
from datetime import datetime

from runbooks_lib import units
from runbooks_lib.facts import Lookups
from runbooks_lib.judgement import checks
from runbooks_lib.judgement.change import contributions
from runbooks_lib.judgement.next_steps import Surroundings, next_steps
from runbooks_lib.judgement.outage import is_down
from runbooks_lib.judgement.severity import ALERTING, Severity, assess_severity
from runbooks_lib.judgement.situation import Situation
from runbooks_lib.judgement.timeline import Rate, rate_breach
from runbooks_lib.model import Finding, Status, Unreadable, Verdict, worst
from runbooks_lib.policy import Policy


def judge_triage(facts: Situation, policy: Policy, around: Surroundings, *, protected: bool = False) -> Verdict:
    """The verdict over all facts.

    Args:
        facts: what was read.
        policy: thresholds and durations, already scaled for the environment.
        around: what the next steps may refer to.
        protected: the environment is protected; shown with the verdict.
    """
    findings = judge_findings(facts, policy)
    severity = assess_severity(facts, findings, policy)
    since, began_earlier = _onset(severity, facts, findings, policy)
    # A rule may apply while each single finding is still fine within its own, longer window.
    by_rule = {1: [Status.FAIL], 2: [Status.FAIL], 3: [Status.WARN]}.get(severity.level or 0, [])
    by_rule = [] if severity.rule == ALERTING else by_rule
    status = worst([*by_rule, *(finding.status for finding in findings)])
    return Verdict(
        runbook="triage",
        environment=around.environment,
        at=facts.at,
        status=status,
        headline=_headline(status, severity, findings),
        severity=severity.level,
        rule=severity.rule,
        findings=findings,
        unread=facts.unread,
        since=since,
        began_earlier=began_earlier,
        likely=likely_cause(facts, findings),
        next_steps=next_steps(severity.level, findings, around),
        time_scale=policy.time_scale,
        protected=protected,
        notes=_notes(facts, policy, severity),
    )


def judge_findings(facts: Situation, policy: Policy) -> tuple[Finding, ...]:
    """All findings of triage, in the order in which they are shown when they are equally bad."""
    return (
        # First what everything else rests on: a cache that is down also has a low hit rate.
        checks.check_redis(facts, policy),
        checks.check_health(facts.health),
        checks.check_hit_rate(facts.lookups, policy),
        checks.check_penetration(facts.lookups, policy),
        checks.check_warming_duration(facts.warming, policy),
        checks.check_warming_failures(facts.warming, facts.warming_store, policy, facts.at),
        checks.check_warming_locks(facts.warming_store),
        checks.check_slow_requests(facts.requests, policy),
        checks.check_request_errors(facts.requests, policy),
        checks.check_memory(facts.server, policy),
        checks.check_throttling(facts.requests, policy),
        checks.check_alerts(facts.alerts),
        checks.check_flags(facts.flags),
    )


def likely_cause(facts: Situation, findings: tuple[Finding, ...]) -> str:
    """The one symptom that explains most, with its numbers; empty when nothing is wrong or nothing points anywhere.

    It names what was measured. Which of the known causes it is, the troubleshooting runbooks decide.
    """
    down = is_down(facts)
    if down:
        return down
    status = {finding.id: finding.status for finding in findings}
    bad = (Status.WARN, Status.FAIL)
    if isinstance(facts.lookups, Unreadable):
        return ""
    if status["cache.penetration"] in bad:
        return _penetration_cause(facts.lookups)
    if status["cache.hit_rate"] in bad:
        return _hit_rate_cause(facts.lookups_before, facts.lookups)
    return ""


def _penetration_cause(lookups: Lookups) -> str:
    attempts = lookups.overall.null_value if lookups.penetration_attempts is None else lookups.penetration_attempts
    to_database = max(0.0, attempts - lookups.overall.null_value)
    window = lookups.window_seconds
    return (
        f"clients ask for resources that do not exist: {units.per_second(attempts / window)} of "
        f"{units.per_second(lookups.total / window)} lookups; {units.per_second(to_database / window)} of them reach "
        f"the database, {units.per_second(lookups.overall.null_value / window)} are answered by a cached NULL_VALUE"
    )


def _hit_rate_cause(before: Lookups | Unreadable, now: Lookups) -> str:
    parts = () if isinstance(before, Unreadable) else contributions(before, now)
    fall = sum(part.points_ratio for part in parts)
    if not parts or fall < 0.01:
        worst_endpoint = max(now.endpoints, key=lambda e: e.miss, default=None)
        if worst_endpoint is None or now.overall.miss <= 0:
            return ""
        return (
            f"{worst_endpoint.endpoint} causes {units.percent(worst_endpoint.miss / now.overall.miss)} of all misses "
            f"(hit rate {units.percent(worst_endpoint.hit_ratio)})"
        )
    top = parts[0]
    new = "a new endpoint" if top.share_before == 0 else f"hit rate before {units.percent(top.hit_before)}"
    part = min(top.points_ratio / fall, 1.0)
    return (
        f"{top.endpoint}: {units.percent(part)} of the fall of the hit rate from {units.percent(_ratio(before))} "
        f"(hit rate now {units.percent(top.hit_now)}, {new}, {units.percent(top.misses_ratio)} of all misses)"
    )


def _ratio(lookups: Lookups | Unreadable) -> float | None:
    return None if isinstance(lookups, Unreadable) else lookups.hit_ratio


def _headline(status: Status, severity: Severity, findings: tuple[Finding, ...]) -> str:
    if severity.what:
        return f"{severity.what}; {severity.becomes}" if severity.becomes else severity.what
    unknown = [finding.title for finding in findings if finding.status is Status.UNKNOWN]
    if status is Status.UNKNOWN:
        return f"no fault seen, but not everything could be judged: {', '.join(unknown)}"
    hit_rate = next(finding for finding in findings if finding.id == "cache.hit_rate")
    return f"all {len(findings)} checks pass, hit rate {hit_rate.shown}"


def _onset(
    severity: Severity, facts: Situation, findings: tuple[Finding, ...], policy: Policy
) -> tuple[datetime | None, bool]:
    """When it began, and whether that is only the first sample: by the severity rule, else by the rates."""
    if severity.since is not None:
        return severity.since, severity.began_earlier
    bad = {f.id for f in findings if f.status in (Status.WARN, Status.FAIL)}
    breaches = []
    if "cache.hit_rate" in bad:
        breaches.append(rate_breach(facts, policy, Rate.HIT, policy.hit_rate.warn))
    if "cache.penetration" in bad:
        breaches.append(rate_breach(facts, policy, Rate.PENETRATION, policy.penetration.warn))
    first = min((b for b in breaches if b is not None), key=lambda b: b.since, default=None)
    return (None, False) if first is None else (first.since, first.from_the_start)


def _notes(facts: Situation, policy: Policy, severity: Severity) -> tuple[str, ...]:
    notes = list(facts.notes)
    if policy.time_scale != 1:
        notes.append(
            f"time scale {policy.time_scale:g}: the guide's durations are divided by it "
            f"(15 min is {units.duration(15 * 60 / policy.time_scale)} here)"
        )
    for fact in (getattr(facts, field.name) for field in fields(facts)):
        limits = (
            getattr(fact, "degraded", ""),
            getattr(fact, "note", ""),
            *getattr(fact, "warnings", ()),
            *getattr(fact, "notes", ()),
        )
        notes.extend(text for text in limits if text and text not in notes)
    if severity.level == 1 and severity.since is None:
        notes.append("severity 1 is assumed, because nothing says how long it has lasted")
    return tuple(notes)
