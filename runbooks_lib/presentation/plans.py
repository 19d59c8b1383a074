"""A plan, or what came of one, on one sheet: words first, and the last line says what was changed and what to type.

The same ``Sheet`` is rendered as text for a terminal and (``markup.sheet_card``) as HTML for a notebook. Every string
that a stranger may have written passes ``plain``.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from runbooks_lib import units
from runbooks_lib.actions.outcome import Outcome, Result
from runbooks_lib.actions.plan import Guard, Plan
from runbooks_lib.actions.registry import command_line
from runbooks_lib.model import Evidence, Status
from runbooks_lib.presentation.sheet import BETWEEN, NARROWEST, Row, Sheet, command_row
from runbooks_lib.presentation.text import plain

#: A value of a site may be a megabyte; what it begins with tells which one it is.
_VALUE_CHARACTERS = 160
_LINE_CHARACTERS = 1200
#: From so many values on that change, each has a line of its own.
_FEW = 2


def sheet_of_plan(plan: Plan, *, needs: Sequence[str] = (), reason: str = "", confirm: str = "") -> Sheet:
    """A plan that nobody has confirmed.

    Args:
        plan: what would be done.
        needs: what is missing: a reason, an approval.
        reason: the operator's, where one was given.
        confirm: the command that applies it; empty in a notebook, where the digest is the parameter ``confirm``.
    """
    status = Status.WARN if plan.failed_guards else Status.OK
    wanted = needs if not plan.no_op and not plan.failed_guards else ()
    rows = (*plan_rows(plan), *_reason(reason), *_needs(plan, wanted))
    if plan.no_op:
        return Sheet(_word("PLAN", plan), where(plan), status, rows, "It is so already; there is nothing to change.")
    if plan.failed_guards:
        closing = "Nothing was changed. As it stands it would be refused (exit 40)."
        return Sheet(_word("PLAN", plan), where(plan), status, rows, closing)
    then = f"To apply{', once it is approved' if any('approval' in need for need in wanted) else ''}:"
    if not confirm:
        closing = f'Nothing was changed. {then} confirm = "{plan.digest}"'
        return Sheet(_word("PLAN", plan), where(plan), status, rows, closing)
    closing = f"Nothing was changed. {then}"
    return Sheet(_word("PLAN", plan), where(plan), status, rows, closing, (command_row("", confirm),))


def sheet_of(outcome: Outcome, *, confirm: str = "", check: str = "") -> Sheet:
    """What came of an action.

    Args:
        outcome: of ``apply``.
        confirm: the command that applies it, where it was only planned.
        check: the command that looks how it is now, where that is not known.
    """
    plan = outcome.plan
    if outcome.result is Result.PLANNED and plan is not None:
        return sheet_of_plan(plan, needs=outcome.needs, reason=outcome.reason, confirm=confirm)
    if outcome.result is Result.MAY_HAVE_CHANGED:
        return _check_this(outcome, check)
    if outcome.check is not None and plan is not None:
        return _settled(outcome, plan)
    if outcome.result in (Result.APPLIED, Result.STOPPED) and plan is not None:
        return _done(outcome, plan)
    title = where(plan) if plan else f"{plain(outcome.action)}   on {plain(outcome.environment)}"
    words = {
        Result.REFUSED: ("REFUSED, nothing was changed (exit 40)", Status.FAIL),
        Result.UNREAD: ("NOT PLANNED, nothing was changed (exit 30)", Status.UNKNOWN),
    }
    word, status = words.get(outcome.result, ("UNCHANGED", Status.OK))
    rows = [Row("", _text(outcome.detail)), *_hint(outcome), *_reason(outcome.reason), *_not_in_ledger(outcome)]
    return Sheet(word, title, status, tuple(rows))


def plan_rows(plan: Plan) -> tuple[Row, ...]:
    """Now, after, what is touched and what is not, how it is undone, and its guards."""
    return (
        *_before_and_after(plan),
        *_evidence("touches", plan.blast_radius),
        *_evidence("not", plan.spared),
        *_undo(plan),
        *_guards(plan.guards),
        *(Row("note", _text(note)) for note in plan.notes),
    )


def where(plan: Plan) -> str:
    """What is to be done, and on which environment."""
    return f"{_text(plan.title)}   on {plain(plan.environment)}{' (protected)' if plan.protected else ''}"


def approve_line(plan: Plan) -> str:
    """The command with which somebody else approves the plan."""
    return shlex.join(["runbooks", "approve", plan.digest, "--environment", plan.environment])


def _word(word: str, plan: Plan) -> str:
    return f"{word}  {plan.digest}"


def _done(outcome: Outcome, plan: Plan) -> Sheet:
    stopped = outcome.result is Result.STOPPED
    word = _word("STOPPED before its end (exit 10)" if stopped else "APPLIED", plan)
    rows = [
        *_before_and_after(plan, now="before"),
        *_evidence("account", outcome.account),
        Row("stopped" if stopped else "read back", _text(outcome.detail)),
        *_hint(outcome),
        *_when(outcome),
        *_undo_of(outcome),
        *_offers(plan),
        *_not_in_ledger(outcome),
    ]
    return Sheet(word, where(plan), Status.WARN if stopped else Status.OK, tuple(rows))


_SETTLED = {
    Result.APPLIED: ("SETTLED, it was made (exit 0)", Status.OK),
    Result.UNCHANGED: ("SETTLED, it was not made (exit 0)", Status.OK),
    Result.OTHERWISE: ("SETTLED, it ended otherwise than planned (exit 20)", Status.FAIL),
}


def _settled(outcome: Outcome, plan: Plan) -> Sheet:
    """What was found when somebody looked afterwards."""
    word, status = _SETTLED[outcome.result]
    otherwise = outcome.result is Result.OTHERWISE
    rows = [Row("", _text(outcome.detail)), *_hint(outcome), *_evidence("account", outcome.account)]
    rows += _when(outcome)
    if otherwise and outcome.undo:
        rows.append(command_row("put back", command_line(outcome.undo, outcome.environment)))
    elif outcome.result is not Result.UNCHANGED:
        rows += _undo_of(outcome)
    return Sheet(word, where(plan), status, (*rows, *_not_in_ledger(outcome)))


def _check_this(outcome: Outcome, check: str) -> Sheet:
    plan = outcome.plan
    title = where(plan) if plan else f"{plain(outcome.action)}   on {plain(outcome.environment)}"
    rows = [Row("", _text(outcome.detail)), *_hint(outcome), *_evidence("account", outcome.account)]
    rows += [*_when(outcome), *_not_in_ledger(outcome)]
    rows += [command_row("see", check)] if check else []
    if outcome.undo:
        rows.append(command_row("put back", command_line(outcome.undo, outcome.environment)))
    elif plan:
        rows.append(Row("put back", _text(plan.irreversible or "its undo no longer holds")))
    return Sheet("CHECK THIS, something may have changed (exit 50)", title, Status.FAIL, tuple(rows))


def _before_and_after(plan: Plan, *, now: str = "now") -> list[Row]:
    """``now`` and ``after``; many values that change get a line each, with both."""
    after = {item.name: item for item in plan.after}
    both = [item for item in plan.before if item.name in after]
    read = Row("read", units.timestamp(plan.read_at))
    if len(both) <= _FEW:
        return [*_evidence(now, plan.before), *_evidence("after", plan.after), read]
    width = min(max(len(_name(item)) for item in both), 40)
    pairs = [Row("change", f"{_name(item):<{width}}  {_value(item)} → {_value(after[item.name])}") for item in both]
    names = {item.name for item in both}
    return [
        *pairs,
        *_evidence(now, [item for item in plan.before if item.name not in names]),
        *_evidence("after", [item for item in plan.after if item.name not in names]),
        read,
    ]


def _evidence(label: str, items: Sequence[Evidence]) -> list[Row]:
    """All of them in one row while they are few and short, else one row each."""
    together = BETWEEN.join(f"{_name(item)} {_value(item)}{_source(item)}".strip() for item in items)
    if len(together) <= NARROWEST:
        return [Row(label, together)] if together else []
    return [Row(label, f"{_name(item)}: {_value(item)}{_source(item)}".removeprefix(": ")) for item in items]


def _name(item: Evidence) -> str:
    return plain(item.name, at_most=80)


def _value(item: Evidence) -> str:
    return plain(item.value, at_most=_VALUE_CHARACTERS)


def _source(item: Evidence) -> str:
    return f" ({plain(item.source, at_most=80)})" if item.source else ""


def _undo(plan: Plan) -> list[Row]:
    if plan.undo is None:
        return [Row("undo", f"irreversible: {_text(plan.irreversible)}"), *_offers(plan)]
    return [command_row("undo", command_line(plan.undo, plan.environment))]


def _undo_of(outcome: Outcome) -> list[Row]:
    if outcome.undo is not None:
        return [command_row("undo", command_line(outcome.undo, outcome.environment))]
    plan = outcome.plan
    return [Row("undo", f"irreversible: {_text(plan.irreversible)}")] if plan and plan.irreversible else []


def _offers(plan: Plan) -> list[Row]:
    rows = []
    for offer in plan.offers:
        rows.append(Row("offered", _text(offer.text)))
        rows += [command_row("offered", offer.command)] if offer.command else []
    return rows


def _guards(guards: Sequence[Guard]) -> list[Row]:
    """What holds on one line; what does not, and what could not be told, on its own, with what to do."""
    held = BETWEEN.join(f"✓ {plain(guard.name)}" for guard in guards if guard.holds is True)
    rows = [Row("guards", held)] if held else []
    for guard in guards:
        if guard.holds is not True:
            text = ": ".join(plain(part) for part in (guard.name, guard.detail) if part)
            hint = f"; {plain(guard.hint)}" if guard.hint else ""
            label, sign = ("not met", "✗") if guard.holds is False else ("not known", "?")
            rows.append(Row(label, f"{sign} {text}{hint}", "failed"))
    return rows


def _needs(plan: Plan, needs: Sequence[str]) -> list[Row]:
    rows = [Row("needs", _text(need)) for need in needs]
    if any("approval" in need for need in needs):
        rows.append(command_row("approve", approve_line(plan)))
    return rows


def _reason(reason: str) -> list[Row]:
    return [Row("reason", _text(reason))] if reason else []


def _hint(outcome: Outcome) -> list[Row]:
    return [Row("", _text(outcome.hint))] if outcome.hint else []


def _when(outcome: Outcome) -> list[Row]:
    because = f", reason: {_text(outcome.reason)}" if outcome.reason else ""
    made = f"{units.timestamp(outcome.at)} by {plain(outcome.operator)}{because}"
    if outcome.check is None:
        return [Row("made", made)]
    looked = f"{units.timestamp(outcome.check.at)} by {plain(outcome.check.operator)}"
    return [Row("made", made), Row("checked", looked)]


def _not_in_ledger(outcome: Outcome) -> list[Row]:
    error = outcome.ledger_error
    return [Row("ledger", f"NOT in the ledger: {_text(error)}", "failed")] if error else []


def _text(text: str) -> str:
    return plain(text, at_most=_LINE_CHARACTERS)
