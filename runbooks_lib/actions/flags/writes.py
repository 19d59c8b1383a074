"""Writing feature flags: one start of the site for all of them, and an exact account of what was done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runbooks_lib import units
from runbooks_lib.actions.action import Written
from runbooks_lib.actions.flags.plans import expected_of
from runbooks_lib.actions.flags.states import FlagState, is_so, state_of
from runbooks_lib.actions.plan import Plan
from runbooks_lib.actions.site import WritableSite
from runbooks_lib.actions.site_program import program
from runbooks_lib.errors import MayHaveChangedError, RefusedError, SourceError
from runbooks_lib.model import Evidence
from runbooks_lib.redaction import one_line

WRITE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Step:
    """One call of the site's flag service."""

    feature: str
    method: str
    arguments: tuple[Any, ...]

    @property
    def shown(self) -> str:
        """``set_percentage(ENHANCED_CACHE, 25)``."""
        return f"{self.method}({', '.join(map(str, (self.feature, *self.arguments)))})"


def write_states(plan: Plan, site: WritableSite, states: Mapping[str, FlagState]) -> Written:
    """Set the flags of the plan that do not stand so already, in the given order.

    Raises:
        RefusedError: a flag is not as planned any more, or the first call failed and changed nothing.
        MayHaveChangedError: the site gave no answer.
    """
    before = {name: expected_of(plan.rests_on, name) for name in states if f"{name}.strategy" in plan.rests_on}
    steps = [Step(name, *states[name].call) for name, now in before.items() if not _stands(now, states[name])]
    return write_steps(plan, site, steps)


def write_steps(plan: Plan, site: WritableSite, steps: Sequence[Step]) -> Written:
    """Send the steps; the program takes none of them unless every flag still is as the plan rests on.

    Raises:
        RefusedError: nothing was changed.
        MayHaveChangedError: the site gave no answer.
    """
    sent_at = units.now()
    orders = [
        {
            "feature": step.feature,
            "method": step.method,
            "arguments": list(step.arguments),
            "expected": expected_of(plan.rests_on, step.feature),
        }
        for step in steps
    ]
    shown = ", ".join(step.shown for step in steps)
    try:
        answer = site.run_in_site(program(), {"steps": orders}, timeout_seconds=WRITE_SECONDS)
    except SourceError as error:
        message = f"{shown} was sent {units.clock(sent_at)}: {error.message}. {_looked_again(plan, site, steps)}"
        raise MayHaveChangedError(message, hint=error.hint) from error
    return _account(answer, plan, site, steps)


def _account(answer: Any, plan: Plan, site: WritableSite, steps: Sequence[Step]) -> Written:
    """What the program says that it did."""
    if not isinstance(answer, dict) or not isinstance(answer.get("done"), list):
        raise MayHaveChangedError(f"the site answered {one_line(repr(answer), longest=120)}; look how the flags are")
    if answer.get("unread"):
        why = one_line(str(answer["unread"]), site.environment.secrets)
        raise RefusedError(f"the flags could not be read again right before the write: {why}; nothing was written")
    if answer.get("differs"):
        raise RefusedError(
            f"a flag changed since it was planned: {one_line(str(answer['differs']))}; nothing was written",
            hint="look who changed it, then plan again",
        )
    done = [steps[number] for number in answer["done"] if isinstance(number, int) and number < len(steps)]
    left = steps[len(done) :]
    changed = [step.feature for step in done]
    data = {
        "done": changed,
        "copy_seconds": answer.get("copy_seconds"),
        "store_changed_at": units.now().timestamp(),
    }
    account = (Evidence("called", ", ".join(step.shown for step in done), "manage.py shell"),)
    if not left:
        return Written(account, data)
    why = one_line(str(answer.get("error")), site.environment.secrets)
    if not done and _is_untouched(plan, site, left[0].feature):
        raise RefusedError(f"{left[0].shown} failed: {why}; read again, the flag is as it was", hint="")
    not_done = ", ".join(step.feature for step in left)
    stopped = f"{left[0].shown} failed: {why}. Changed: {', '.join(changed) or 'none'}. Not changed: {not_done}"
    return Written((*account, Evidence("not called", not_done)), data, stopped=stopped)


def _is_untouched(plan: Plan, site: WritableSite, feature: str) -> bool:
    """Read in another process: does the flag stand as the plan rests on? A failed read says no."""
    try:
        flag = site.django.flag_service().named(feature)
    except SourceError:
        return False
    now = {} if flag is None else {"strategy": flag.strategy, "percentage": flag.percentage}
    expected = expected_of(plan.rests_on, feature)
    return bool(now) and all(expected[name] == value for name, value in now.items())


def _looked_again(plan: Plan, site: WritableSite, steps: Sequence[Step]) -> str:
    """How the flags are now, as another process reads them: changed or not, one by one."""
    try:
        service = site.django.flag_service()
    except SourceError as error:
        return f"Looking again failed as well: {error.message}"
    lines = []
    for step in steps:
        flag, before = service.named(step.feature), expected_of(plan.rests_on, step.feature)
        same = flag is not None and (flag.strategy, flag.percentage) == (before["strategy"], before["percentage"])
        shown = "gone" if flag is None else state_of(flag).shown
        lines.append(f"{step.feature} is {shown} ({'not changed' if same else 'changed'})")
    return f"Looked again {units.clock(units.now())}: {', '.join(lines)}"


def _stands(now: Mapping[str, Any], state: FlagState) -> bool:
    from runbooks_lib.facts import Flag

    return is_so(Flag("", str(now["strategy"]), float(now["percentage"]), None, None), state)
