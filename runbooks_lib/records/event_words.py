"""What an event of the ledger says, in words, on one line. Payloads are read defensively: one may have been edited."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from runbooks_lib import units
from runbooks_lib.records.event import Event
from runbooks_lib.redaction import one_line

_LONGEST = 500
_FOUND = {True: "it was made", False: "it is not as planned", None: "could not be read, so still open"}
#: Looks, plans and ordinary locks: without them a timeline still tells what happened.
_ROUTINE = ("run.started", "plan.proposed", "lock.acquired", "lock.released")


def said(event: Event) -> str:
    """One event as a sentence without its time and operator."""
    words = _WORDS.get(event.kind)
    text = words(event.payload) if words else _unknown(event.kind, event.payload)
    return one_line(text, longest=_LONGEST)


def matters(event: Event) -> bool:
    """Did it change the site, or may it have; was it said by a person; or was something found wrong?"""
    if event.kind == "run.judged":
        return event.payload.get("status") != "OK"
    if event.kind == "run.finished":
        return event.payload.get("outcome") != "finished"
    if event.kind == "campaign.looked":
        return _verb(event) != "hold"
    return not event.kind.startswith(_ROUTINE)


def _verb(event: Event) -> str:
    decision = event.payload.get("decision")
    return str(decision.get("verb", "?")) if isinstance(decision, Mapping) else "?"


def _started(payload: Mapping[str, Any]) -> str:
    given = payload.get("parameters")
    what = given.get("action") if isinstance(given, Mapping) else None
    return f"started {payload.get('runbook', '?')}{f' {what}' if what else ''}"


def _judged(payload: Mapping[str, Any]) -> str:
    severity = payload.get("severity")
    level = f", severity {severity}" if severity else ""
    return f"judged {payload.get('status', '?')}{level}: {payload.get('headline', '')}"


def _finished(payload: Mapping[str, Any]) -> str:
    detail = payload.get("detail")
    return f"run {payload.get('outcome', '?')}{f': {detail}' if detail else ''}"


def _refused(payload: Mapping[str, Any]) -> str:
    return f"refused {payload.get('action', 'a change')}, nothing changed: {payload.get('detail', '')}"


def _plan(payload: Mapping[str, Any]) -> str:
    found = payload.get("plan")
    plan = found if isinstance(found, Mapping) else {}
    return f"{plan.get('title') or plan.get('action') or 'a change'} [{plan.get('digest', '?')}]"


def _proposed(payload: Mapping[str, Any]) -> str:
    return f"planned to {_plan(payload)}"


def _intended(payload: Mapping[str, Any]) -> str:
    reason, approval = payload.get("reason"), payload.get("approval")
    approver = approval.get("approver") if isinstance(approval, Mapping) else ""
    because = f", reason: {reason}" if reason else ""
    return f"began to {_plan(payload)}{because}{f', approved by {approver}' if approver else ''}"


def _ended(payload: Mapping[str, Any]) -> str:
    result = str(payload.get("result", "?"))
    shown = "CHECK THIS, something may have changed" if result == "may have changed" else result
    action_id = payload.get("action_id")
    return f"{shown}: {payload.get('detail', '')}{f' (action {action_id})' if action_id else ''}"


def _checked(payload: Mapping[str, Any]) -> str:
    confirmed = payload.get("confirmed")
    words = _FOUND[confirmed] if confirmed is None or isinstance(confirmed, bool) else "?"
    return f"checked action {payload.get('action_id', '?')}: {words}: {payload.get('detail', '')}"


def _approved(payload: Mapping[str, Any]) -> str:
    signed, until = "signed" if payload.get("signature") else "not signed", payload.get("expires_at")
    return f"approved plan {payload.get('digest', '?')}{f' until {_moment(until)}' if until else ''}, {signed}"


def _lock(verb: str) -> Callable[[Mapping[str, Any]], str]:
    def words(payload: Mapping[str, Any]) -> str:
        resources = payload.get("resources", payload.get("resource", "?"))
        named = ", ".join(str(name) for name in resources) if isinstance(resources, list) else str(resources)
        lease = payload.get("lease")
        purpose = payload.get("purpose") or (lease.get("purpose") if isinstance(lease, Mapping) else "")
        return f"{verb} {named}{f' for {purpose}' if purpose else ''}"

    return words


def _taken(verb: str) -> Callable[[Mapping[str, Any]], str]:
    def words(payload: Mapping[str, Any]) -> str:
        previous, reason = payload.get("previous"), payload.get("reason")
        holder = previous.get("operator", "?") if isinstance(previous, Mapping) else "?"
        because = f", reason: {reason}" if reason else ""
        return f"{verb} the lock {payload.get('resource', '?')} of {holder}{because}"

    return words


def _opened(payload: Mapping[str, Any]) -> str:
    return f"incident opened, severity {payload.get('severity', '?')}: {payload.get('title', '')}"


def _noted(payload: Mapping[str, Any]) -> str:
    return f"note: {payload.get('text', '')}"


def _closed(payload: Mapping[str, Any]) -> str:
    return f"incident closed: {payload.get('summary', '')}"


def _started_rollout(payload: Mapping[str, Any]) -> str:
    terms = payload.get("parameters")
    stages = terms.get("stages", "?") if isinstance(terms, Mapping) else "?"
    approver = payload.get("approver")
    approved = f", approved by {approver}" if approver else ""
    return f"rollout {payload.get('campaign', '?')} of {payload.get('feature', '?')} opened: {stages} %{approved}"


def _looked(payload: Mapping[str, Any]) -> str:
    found = payload.get("decision")
    decision = found if isinstance(found, Mapping) else {}
    which = f"{payload.get('percentage', '?')} %, look {payload.get('look', '?')}"
    return f"rollout {payload.get('campaign', '?')}, {which}: {decision.get('verb', '?')}: {decision.get('text', '')}"


def _moved(payload: Mapping[str, Any]) -> str:
    return f"rollout {payload.get('campaign', '?')} moved {payload.get('from', '?')} → {payload.get('to', '?')} %"


def _campaign(verb: str) -> Callable[[Mapping[str, Any]], str]:
    def words(payload: Mapping[str, Any]) -> str:
        what = f"{verb} {payload['end']}" if payload.get("end") else verb
        return f"rollout {payload.get('campaign', '?')} {what}: {payload.get('reason', '')}"

    return words


def _told(payload: Mapping[str, Any]) -> str:
    return f"told {payload.get('to', '?')}: {payload.get('title', '')}"


def _not_told(payload: Mapping[str, Any]) -> str:
    return f"could NOT tell {payload.get('to', '?')}: {payload.get('reason', '')}: {payload.get('title', '')}"


def _restored(payload: Mapping[str, Any]) -> str:
    parts = payload.get("parts")
    named = ", ".join(str(part) for part in parts) if isinstance(parts, list) else "?"
    return f"parts of the ledger had been removed by somebody and were put back: {named}"


def _checklist_item(payload: Mapping[str, Any]) -> str:
    how, status = str(payload.get("how", "?")), str(payload.get("status", "?"))
    said = "waived" if how == "waived" else f"{status} ({how})"
    by = f" by {payload.get('by')}" if how in ("signed", "waived") else ""
    return f"checklist {payload.get('release', '?')}: {payload.get('item', '?')} {said}{by}: {payload.get('text', '')}"


def _baseline(payload: Mapping[str, Any]) -> str:
    ratio = payload.get("complete_ratio")
    shown = units.percent(ratio) if isinstance(ratio, int | float) else "?"
    return f"baseline recorded, {shown} of the day observed"


def _unknown(kind: str, payload: Mapping[str, Any]) -> str:
    shown = ", ".join(f"{name} {value}" for name, value in payload.items() if isinstance(value, str | int) and value)
    return f"{kind.replace('.', ' ')} {one_line(shown, longest=200)}".strip()


def _moment(value: Any) -> str:
    try:
        return units.timestamp(datetime.fromisoformat(str(value)))
    except ValueError:
        return str(value)


_WORDS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "run.started": _started,
    "run.judged": _judged,
    "run.finished": _finished,
    "plan.proposed": _proposed,
    "approval.given": _approved,
    "action.intended": _intended,
    "action.ended": _ended,
    "action.checked": _checked,
    "action.refused": _refused,
    "lock.acquired": _lock("locked"),
    "lock.released": _lock("released"),
    "lock.taken_over": _taken("took over"),
    "lock.broken": _taken("broke"),
    "ledger.restored": _restored,
    "incident.opened": _opened,
    "incident.noted": _noted,
    "incident.closed": _closed,
    "checklist.item": _checklist_item,
    "baseline.recorded": _baseline,
    "notify.sent": _told,
    "notify.failed": _not_told,
    "campaign.opened": _started_rollout,
    "campaign.looked": _looked,
    "campaign.moved": _moved,
    "campaign.paused": _campaign("paused"),
    "campaign.resumed": _campaign("resumed"),
    "campaign.aborting": _campaign("is being aborted"),
    "campaign.ended": _campaign("ended:"),
}
