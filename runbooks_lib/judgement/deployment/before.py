"""Before a deployment: is there a proved backup, is the feature at 0 %, is there a baseline to compare with?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from runbooks_lib import units
from runbooks_lib.checklist import ItemStatus
from runbooks_lib.facts import Baseline, BaselineSlot, Flags, FlagService
from runbooks_lib.facts.deployment import BackupProof
from runbooks_lib.judgement.agreement import differing_flags, flag_value
from runbooks_lib.judgement.deployment.result import ItemResult, not_known
from runbooks_lib.model import Unreadable

BACKUP, FLAG, BASELINE = "pre.backup", "pre.flag", "pre.baseline"
#: Of the day that must have been observed for a baseline to stand for it.
COMPLETE_RATIO = 0.90
_SLOT_OBSERVED_RATIO = 0.90
_SHOWN_HOURS = 6
#: What a baseline must hold; memory is taken where it is exported.
_QUANTITIES: tuple[tuple[str, Callable[[BaselineSlot], float | None]], ...] = (
    ("hit rate", lambda slot: slot.hit_ratio),
    ("penetration", lambda slot: slot.penetration_ratio),
    ("latency p95", lambda slot: slot.p95_seconds),
    ("error rate", lambda slot: slot.error_ratio),
)


def judge_backup(backup: BackupProof | Unreadable | None, *, counts_seconds: float, now: datetime) -> ItemResult:
    """Is there a backup that can be restored, and is it young enough?

    Args:
        backup: the newest; None where there is none.
        counts_seconds: an older one is not enough.
        now: aware UTC.
    """
    make = "make one: confirm the plan of back_up"
    if isinstance(backup, Unreadable):
        return not_known(BACKUP, backup)
    if backup is None:
        return ItemResult(BACKUP, ItemStatus.OPEN, "there is no backup of this environment", hint=make)
    age = (now - backup.made_at).total_seconds()
    values = {"folder": backup.folder, "made_at": units.timestamp(backup.made_at), "age_seconds": round(age)}
    made = f"{backup.folder}, made {units.duration(max(age, 0.0))} ago"
    if age > counts_seconds:
        text = f"{made}: older than {units.duration(counts_seconds)}"
        return ItemResult(BACKUP, ItemStatus.OPEN, text, values, make)
    if backup.proved is None:
        return ItemResult(BACKUP, ItemStatus.UNKNOWN, f"{made}, not proved: {backup.detail}", values, make)
    if not backup.proved:
        return ItemResult(BACKUP, ItemStatus.FAILED, f"{made}, its proof failed: {backup.detail}", values, make)
    values["proof"] = [f"{item.name}: {item.value}" for item in backup.evidence]
    text = f"made {units.duration(max(age, 0.0))} ago; {backup.detail}"
    return ItemResult(BACKUP, ItemStatus.DONE, text, values)


def judge_flag(service: FlagService | Unreadable, served: Flags | Unreadable, feature: str) -> ItemResult:
    """Is the feature gradual at 0 %, by what its flag says and by what the site serves?

    Args:
        service: the site's own code.
        served: by the web process that answered the health endpoint.
        feature: its name.
    """
    if isinstance(service, Unreadable):
        return not_known(FLAG, service)
    flag = service.named(feature)
    if flag is None:
        known = ", ".join(one.feature for one in service.flags[:10])
        return ItemResult(FLAG, ItemStatus.UNKNOWN, f"the site has no feature {feature}", hint=f"it has: {known}")
    values = {
        "feature": feature,
        "strategy": flag.strategy,
        "percentage": flag.percentage,
        "whitelist_count": flag.whitelist_count,
    }
    if (flag.strategy, flag.percentage) != ("gradual", 0):
        hint = "find out who set it so, then confirm the plan of set_percentage"
        return ItemResult(FLAG, ItemStatus.FAILED, f"{feature} is {flag_value(flag)}", values, hint)
    stated = Flags(service.flags, service.provenance)
    if feature in differing_flags(stated, served):
        text, hint = f"{feature} says gradual 0 %, and the site serves something else", "look again in a minute"
        return ItemResult(FLAG, ItemStatus.FAILED, text, values, hint)
    listed = f", {units.things(flag.whitelist_count, 'user')} on its whitelist" if flag.whitelist_count else ""
    unserved = (
        f"; what is served was not read ({served.reason})" if isinstance(served, Unreadable) else ", and served so"
    )
    return ItemResult(FLAG, ItemStatus.DONE, f"{feature} is gradual at 0 %{listed}{unserved}", values)


def judge_baseline(baseline: Baseline | Unreadable) -> ItemResult:
    """Was the day before observed well enough to compare with?

    Returns:
        Done with 90 % of the day observed and every quantity in it; failed with less, and which hours are missing;
        unknown where nothing, or none of one quantity, was measured.
    """
    hint = "wait until a whole day is recorded, then execute this again; a gap closes 24 hours after it"
    if isinstance(baseline, Unreadable):
        return not_known(BASELINE, baseline)
    ratio, missing = baseline.complete_ratio, missing_slots(baseline)
    unmeasured = [name for name, read in _QUANTITIES if all(read(slot) is None for slot in baseline.slots)]
    values = {
        "ended_at": units.timestamp(baseline.ended_at),
        "slot_seconds": baseline.slot_seconds,
        "complete_ratio": round(ratio, 4),
        "missing": [units.clock(slot.started_at) for slot in missing],
        "unmeasured": unmeasured,
        "notes": list(baseline.notes),
    }
    span = units.duration(baseline.slot_seconds * len(baseline.slots))
    shown = f"{units.percent(ratio)} of {span} until {units.timestamp(baseline.ended_at)} observed"
    if not ratio or not baseline.slots:
        text = "nothing was observed in the day before"
        return ItemResult(BASELINE, ItemStatus.UNKNOWN, text, values, "does Prometheus scrape the site?")
    if ratio < COMPLETE_RATIO:
        return ItemResult(BASELINE, ItemStatus.FAILED, f"{shown}; missing: {hours_text(missing)}", values, hint)
    if unmeasured:
        text = f"{shown}, but never measured: {', '.join(unmeasured)}"
        return ItemResult(BASELINE, ItemStatus.UNKNOWN, text, values, _why_unmeasured(baseline))
    lacking = f"; not whole: {hours_text(missing)}" if missing else ""
    return ItemResult(BASELINE, ItemStatus.DONE, f"{shown}{lacking}", values)


def _why_unmeasured(baseline: Baseline) -> str:
    return "; ".join(("does the site export those metrics?", *baseline.notes))


def missing_slots(baseline: Baseline) -> tuple[BaselineSlot, ...]:
    """The hours that were not observed, or not well enough."""
    return tuple(slot for slot in baseline.slots if slot.observed_ratio < _SLOT_OBSERVED_RATIO)


def hours_text(slots: Sequence[BaselineSlot]) -> str:
    """Which hours: ``01:00:00Z (40.0 %), 02:00:00Z (0.0 %) and 3 more``."""
    named = [f"{units.clock(slot.started_at)} ({units.percent(slot.observed_ratio)})" for slot in slots[:_SHOWN_HOURS]]
    more = f" and {len(slots) - _SHOWN_HOURS} more" if len(slots) > _SHOWN_HOURS else ""
    return f"{', '.join(named)}{more}"
