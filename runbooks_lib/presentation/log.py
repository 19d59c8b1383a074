"""The ledger's events in words: one line each, times in UTC, nothing of a stranger's that moves the cursor."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from runbooks_lib import units
from runbooks_lib.presentation.text import plain
from runbooks_lib.records.event import Event

_DETAIL_CHARACTERS = 160


def line(event: Event) -> str:
    """``2026-11-22 02:31:07Z  production  anna  applied set_percentage 3f9a… : Done, and read back.  (run …)``."""
    words = _WORDS.get(event.kind, _unknown)
    parts = (
        _time(event),
        plain(event.environment or "-", at_most=24),
        plain(event.operator, at_most=32),
        plain(words(event.kind, event.payload), at_most=_DETAIL_CHARACTERS * 2),
    )
    return f"{'  '.join(parts)}   [{plain(event.run_id, at_most=64)}]"


def change_lines(kept: Mapping[str, Any]) -> list[str]:
    """What came of one change of a run, as ``record.json`` keeps it, with the commands that follow from it."""
    result = str(kept["result"])
    lines = [plain(f"{result.upper()}: {kept['title']}. {kept['detail']}", at_most=400)]
    if result == "may have changed":
        lines.append(f"  see        {plain(kept['check'], at_most=2000)}")
    if result in ("applied", "stopped", "may have changed"):
        lines.append(f"  put back   {plain(kept['undo'] or kept['irreversible'], at_most=2000)}")
    return lines


def _time(event: Event) -> str:
    try:
        return units.timestamp(event.happened_at)
    except ValueError:
        # Somebody has edited the ledger: ``runbooks verify`` says so, and the log still shows what stands there.
        return plain(event.at, at_most=32)


def _started(_: str, payload: Mapping[str, Any]) -> str:
    given = payload.get("parameters")
    what = given.get("action") if isinstance(given, Mapping) else None
    return f"started {payload.get('runbook')}{f' {what}' if what else ''}"


def _judged(_: str, payload: Mapping[str, Any]) -> str:
    severity = payload.get("severity")
    return f"judged {payload.get('status')}{f', severity {severity}' if severity else ''}: {payload.get('headline')}"


def _finished(_: str, payload: Mapping[str, Any]) -> str:
    detail = payload.get("detail")
    return f"run {payload.get('outcome')}{f': {detail}' if detail else ''}"


def _proposed(_: str, payload: Mapping[str, Any]) -> str:
    return f"planned {_titled(payload.get('plan'))}"


def _approved(_: str, payload: Mapping[str, Any]) -> str:
    signed = "signed" if payload.get("signature") else "not signed"
    return f"approved plan {payload.get('digest')} until {_moment(payload.get('expires_at'))}, {signed}"


def _intended(_: str, payload: Mapping[str, Any]) -> str:
    reason, approval = payload.get("reason"), payload.get("approval")
    approver = approval.get("approver") if isinstance(approval, Mapping) else ""
    because = f", reason: {reason}" if reason else ""
    return f"began to {_titled(payload.get('plan'))}{because}{f', approved by {approver}' if approver else ''}"


def _ended(_: str, payload: Mapping[str, Any]) -> str:
    return f"{payload.get('result')}: {payload.get('detail')} (action {payload.get('action_id')})"


def _refused(_: str, payload: Mapping[str, Any]) -> str:
    return f"refused {payload.get('action')}: {payload.get('detail')}"


def _checked(_: str, payload: Mapping[str, Any]) -> str:
    found = {True: "it was made", False: "it is not as planned", None: "could not be read, so still open"}
    confirmed = payload.get("confirmed")
    words = found[confirmed] if confirmed is None or isinstance(confirmed, bool) else "?"
    return f"checked action {payload.get('action_id')}: {words}: {payload.get('detail')}"


def _locked(kind: str, payload: Mapping[str, Any]) -> str:
    verb = {"lock.acquired": "locked", "lock.released": "released"}.get(kind, kind)
    resources = payload.get("resources")
    named = ", ".join(str(name) for name in resources) if isinstance(resources, list) else str(resources)
    lease = payload.get("lease")
    purpose = payload.get("purpose") or (lease.get("purpose") if isinstance(lease, Mapping) else "")
    return f"{verb} {named}{f' for {purpose}' if purpose else ''}"


def _taken(kind: str, payload: Mapping[str, Any]) -> str:
    previous = payload.get("previous")
    holder = previous.get("operator") if isinstance(previous, Mapping) else "?"
    verb = "took over" if kind == "lock.taken_over" else "broke"
    reason = payload.get("reason")
    return f"{verb} the lock {payload.get('resource')} of {holder}{f', reason: {reason}' if reason else ''}"


def _titled(plan: Any) -> str:
    """A recorded plan in a few words."""
    if not isinstance(plan, Mapping):
        return "?"
    return f"{plan.get('title')} [{plan.get('digest')}]"


def _moment(value: Any) -> str:
    try:
        return units.timestamp(datetime.fromisoformat(str(value)))
    except ValueError:
        return str(value)


def _unknown(kind: str, payload: Mapping[str, Any]) -> str:
    shown = ", ".join(f"{name}={_short(value)}" for name, value in payload.items() if value not in ("", None, [], {}))
    return f"{kind} {shown}".strip()


def _short(value: Any) -> str:
    return plain(str(value), at_most=60)


_WORDS: Mapping[str, Callable[[str, Mapping[str, Any]], str]] = {
    "run.started": _started,
    "run.judged": _judged,
    "run.finished": _finished,
    "plan.proposed": _proposed,
    "approval.given": _approved,
    "action.intended": _intended,
    "action.ended": _ended,
    "action.refused": _refused,
    "action.checked": _checked,
    "lock.acquired": _locked,
    "lock.released": _locked,
    "lock.taken_over": _taken,
    "lock.broken": _taken,
}
