"""Live settings of Redis and Django against the guide's, and the change of Redis's."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from runbooks_lib import units
from runbooks_lib.actions.outcome import Outcome, Result
from runbooks_lib.actions.plan import Command
from runbooks_lib.facts import RedisSettings
from runbooks_lib.judgement.tuning import judge_redis_settings
from runbooks_lib.judgement.tuning_site import SiteSettings, judge_site_settings
from runbooks_lib.model import Finding, Status, Unreadable, Verdict
from runbooks_lib.operations.reading import side_by_side
from runbooks_lib.operations.verdict import judge_operation
from runbooks_lib.presentation.display import Shown, show_table, show_text
from runbooks_lib.runbook import Runbook
from runbooks_lib.sources.redis.nodes import open_nodes
from runbooks_lib.sources.redis.settings import redis_settings
from runbooks_lib.sources.together import Read
from runbooks_lib.view import View

#: The site's shell takes a second to start; on a busy machine several.
_SHELL_SECONDS = 15.0
_REDIS_SECONDS = 5.0
_SITE_READS = ("caches", "throttling", "cache_warming", "sessions")
_MOST_ROWS = 12
_MOST_NAMED = 3
#: Sizes are shown exactly where there is room.
_BYTES = re.compile(r" \(\d+ bytes\)")


@dataclass(frozen=True, slots=True)
class TuningState:
    """The settings at one moment.

    Attributes:
        redis: of every primary, with the numbers that say what they do.
        site: of Django.
    """

    redis: RedisSettings | Unreadable
    site: SiteSettings


def read_tuning(view: View) -> TuningState:
    """How are Redis and Django set now?

    Source:
        CONFIG GET, INFO and CLIENT LIST of every primary; settings.CACHES, REST_FRAMEWORK, CACHE_WARMING and
        SESSION_ENGINE in ``manage.py shell``.
    """
    django = view.sources.django
    reads = {
        **_redis_read(view),
        "site": Read("settings of Django", "django", lambda: django.call(_SITE_READS)),
    }
    try:
        found = side_by_side(view, reads, deadline_seconds=_SHELL_SECONDS)
    finally:
        # Also when the operator interrupts: a shell of the site that nobody waits for must not live on.
        django.end()
    site = found["site"]
    answers = dict.fromkeys(_SITE_READS, site) if isinstance(site, Unreadable) else site
    return TuningState(found["redis"], SiteSettings(**{name: answers[name] for name in _SITE_READS}))


def read_tuning_after(view: View, state: TuningState, outcomes: Sequence[Outcome]) -> TuningState:
    """How is Redis set now, after what was done? Where nothing changed it is as it was read before.

    Django is not asked again: its settings change with a deployment only.
    """
    if all(outcome.changed is False for outcome in outcomes):
        return state
    found = side_by_side(view, _redis_read(view), deadline_seconds=_REDIS_SECONDS)
    return replace(state, redis=found["redis"])


def judge_tuning(state: TuningState, view: View) -> tuple[Finding, ...]:
    """One finding for each setting of Redis and of Django."""
    return (*judge_redis_tuning(state, view), *judge_site_tuning(state, view))


def judge_redis_tuning(state: TuningState, view: View) -> tuple[Finding, ...]:
    """One finding for each setting of Redis."""
    return judge_redis_settings(state.redis, view.policy)


def judge_site_tuning(state: TuningState, view: View) -> tuple[Finding, ...]:
    """One finding for each setting of Django."""
    return judge_site_settings(state.site, state.redis, view.policy, key_prefix=view.environment.key_prefix)


def judge_tuning_run(runbook: Runbook, outcomes: Sequence[Outcome], findings: Sequence[Finding]) -> Verdict:
    """The comparison first, since that is what is asked for; what was planned or changed after it."""
    headline = tuning_headline(findings)
    verdict = judge_operation(runbook, outcomes, findings=findings, headline=headline)
    if all(outcome.result is Result.PLANNED for outcome in outcomes):
        return replace(verdict, headline=headline)
    changed = any(outcome.changed is not False for outcome in outcomes)
    notes = (
        *verdict.notes,
        *(["sections 1 to 3 show the settings before the change; the verdict is on those after it"] if changed else []),
    )
    return replace(verdict, headline=f"{verdict.headline}; {headline}", notes=notes)


def tuning_headline(findings: Sequence[Finding]) -> str:
    """How many settings hurt, how many are not known, which differ from the guide and do no harm.

    ``2 of 17 settings need attention, 1 could not be read; 1 differs from the guide and does no harm here: …``.
    """
    bad = [finding for finding in findings if finding.status in (Status.WARN, Status.FAIL)]
    unread = [finding for finding in findings if finding.status is Status.UNKNOWN]
    first = f": {bad[0].title} {bad[0].shown}" if bad else ""
    rest = f", {len(unread)} could not be read" if unread else ""
    return f"{len(bad)} of {len(findings)} settings need attention{rest}{first}{_harmless(findings)}"


def _harmless(findings: Sequence[Finding]) -> str:
    """What differs from the guide and is OK: the plan on the same page would change it."""
    differing = [
        _BYTES.sub("", f"{finding.title} {finding.shown} ({finding.limit})")
        for finding in findings
        if finding.status is Status.OK and finding.limit.startswith("guide: ") and finding.limit[7:] != finding.shown
    ]
    if not differing:
        return ""
    verb = "differs from the guide and does" if len(differing) == 1 else "differ from the guide and do"
    more = ", …" if len(differing) > _MOST_NAMED else ""
    return f"; {len(differing)} {verb} no harm here: {', '.join(differing[:_MOST_NAMED])}{more}"


def tune_command(maxmemory: str, policy: str, timeout_seconds: int, tcp_keepalive_seconds: int) -> Command:
    """The change that the notebook's parameters ask for."""
    return Command(
        "tune_redis",
        {
            "maxmemory": maxmemory,
            "policy": policy,
            "timeout_seconds": timeout_seconds,
            "tcp_keepalive_seconds": tcp_keepalive_seconds,
        },
    )


def show_redis_use(state: TuningState) -> Shown:
    """What each primary holds, and how much room it has."""
    if isinstance(state.redis, Unreadable):
        return show_text(f"No table: Redis could not be read ({state.redis.reason}). {state.redis.hint}")
    rows = [
        (
            node.node,
            units.size(node.evictable_bytes),
            "no limit" if not node.maxmemory_bytes else units.size(node.maxmemory_bytes),
            "not known" if node.host_memory_bytes is None else units.size(node.host_memory_bytes),
            f"{units.count(node.without_ttl_count)} of {units.count(node.keys_count)}",
            f"{units.count(node.evicted_count)} in {units.duration(node.uptime_seconds)}",
            units.count(node.clients_count),
        )
        for node in state.redis.nodes[:_MOST_ROWS]
    ]
    columns = ("Primary", "In use", "Limit", "RAM of the host", "Keys without TTL", "Evicted", "Connections")
    return show_table(columns, rows, caption=f"{units.things(len(state.redis.nodes), 'primary server')} of Redis")


def _redis_read(view: View) -> dict[str, Read[RedisSettings]]:
    return {"redis": Read("settings", "redis", lambda: _redis(view))}


def _redis(view: View) -> RedisSettings:
    with open_nodes(view.environment) as nodes:
        return redis_settings(nodes)
