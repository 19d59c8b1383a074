"""What an event of the ledger says, in words, on one line. Payloads are read defensively: one may have been edited."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from runbooks_lib.records.event import Event
from runbooks_lib.redaction import one_line

_LONGEST = 500
_FOUND = {"True": "it was done", "False": "it is not as it should be"}
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
    return not event.kind.startswith(_ROUTINE)


def _started(payload: Mapping[str, Any]) -> str:
    return f"opened runbook {payload.get('runbook', '?')}"


def _judged(payload: Mapping[str, Any]) -> str:
    severity = payload.get("severity")
    level = f", severity {severity}" if severity else ""
    return f"judged {payload.get('status', '?')}{level}: {payload.get('headline', '')}"


def _finished(payload: Mapping[str, Any]) -> str:
    detail = payload.get("detail")
    return f"run {payload.get('outcome', '?')}{f': {detail}' if detail else ''}"


def _refused(payload: Mapping[str, Any]) -> str:
    return f"{payload.get('action', 'a change')} was refused, nothing changed: {payload.get('detail', '')}"


def _plan(payload: Mapping[str, Any], before: str) -> str:
    plan = payload.get("plan")
    plan = plan if isinstance(plan, Mapping) else {}
    reason = f"; reason: {payload['reason']}" if payload.get("reason") else ""
    return f"{before} {plan.get('title') or plan.get('action') or 'a change'} [{plan.get('digest', '?')}]{reason}"


def _proposed(payload: Mapping[str, Any]) -> str:
    return _plan(payload, "was shown the plan to")


def _intended(payload: Mapping[str, Any]) -> str:
    return _plan(payload, "confirmed, and began to")


def _ended(payload: Mapping[str, Any]) -> str:
    result = str(payload.get("result", "?"))
    shown = "CHECK THIS, something may have changed" if result == "may have changed" else result
    return f"{shown}: {payload.get('detail', '')}"


def _checked(payload: Mapping[str, Any]) -> str:
    found = _FOUND.get(str(payload.get("confirmed")), "still not known")
    return f"checked a change of which it was not known: {found}. {payload.get('detail', '')}"


def _approved(payload: Mapping[str, Any]) -> str:
    return f"approved plan {payload.get('digest', '?')}"


def _lock(word: str) -> Callable[[Mapping[str, Any]], str]:
    return lambda payload: f"lock on {payload.get('resource', payload.get('resources', '?'))} {word}"


def _opened(payload: Mapping[str, Any]) -> str:
    return f"incident opened, severity {payload.get('severity', '?')}: {payload.get('title', '')}"


def _noted(payload: Mapping[str, Any]) -> str:
    return f"note: {payload.get('text', '')}"


def _closed(payload: Mapping[str, Any]) -> str:
    return f"incident closed: {payload.get('summary', '')}"


def _unknown(kind: str, payload: Mapping[str, Any]) -> str:
    shown = ", ".join(f"{name} {value}" for name, value in payload.items() if isinstance(value, str | int) and value)
    return f"{kind.replace('.', ' ')} {one_line(shown, longest=200)}".strip()


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
    "lock.acquired": _lock("taken"),
    "lock.released": _lock("given back"),
    "lock.taken_over": _lock("taken over from a holder whose time had run out"),
    "lock.broken": _lock("broken by an operator"),
    "incident.opened": _opened,
    "incident.noted": _noted,
    "incident.closed": _closed,
}
