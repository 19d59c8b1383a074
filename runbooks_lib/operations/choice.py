"""From a notebook's parameters to the one change that they ask for, planned or applied.

A notebook holds no branch: its cell names what was asked for, and gets outcomes back, of which there are none when it
was only asked to look.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from runbooks_lib import units
from runbooks_lib.actions.outcome import Outcome, Result
from runbooks_lib.actions.plan import Command
from runbooks_lib.actions.registry import make_action
from runbooks_lib.changes import kept
from runbooks_lib.errors import UsageError
from runbooks_lib.redaction import redact

if TYPE_CHECKING:
    from runbooks_lib.runbook import Runbook

T = TypeVar("T")

#: Words that ask for no change at all.
LOOKING = frozenset({"none", "look"})


def choose(word: str, choices: Mapping[str, Command]) -> Command | None:
    """The change that a word asks for; None for the words that only look.

    Args:
        word: the value of the notebook's parameter.
        choices: word → the action with its parameters.

    Raises:
        UsageError: it is none of them.
    """
    if word in LOOKING:
        return None
    if word not in choices:
        raise UsageError(f"{word[:80]!r} is nothing that can be done here", hint=f"one of: {', '.join(choices)}")
    return choices[word]


def carry_out(runbook: Runbook, command: Command | None, *, confirm: str = "", reason: str = "") -> tuple[Outcome, ...]:
    """Plan or apply what was chosen.

    Args:
        runbook: the opened runbook.
        command: the action with its parameters; None leads to no outcome.
        confirm: blank for a dry run, the digest that a dry run showed, or ``auto``.
        reason: why.

    Returns:
        None or one outcome. Parameters that the action does not take are a refusal, recorded like every other.
    """
    if command is None:
        # A digest without the parameters that it belongs to: somebody thinks that he has changed something.
        return (_nothing_chosen(runbook, reason),) if confirm.strip() else ()
    try:
        action = make_action(command.action, command.parameters)
    except UsageError as error:
        return (_refused(runbook, command.action, error, reason),)
    return (runbook.apply(action, confirm=confirm, reason=reason),)


def look_again(runbook: Runbook, before: T, outcomes: Sequence[Outcome], read: Callable[[Runbook], T]) -> T:
    """The state after the change: read again where something changed or may have, else what was read before."""
    return read(runbook) if any(outcome.changed is not False for outcome in outcomes) else before


def _nothing_chosen(runbook: Runbook, reason: str) -> Outcome:
    error = UsageError(
        "confirm was given, but the other parameters ask for no change",
        hint="give the parameters of the dry run as well; its last lines are the whole command",
    )
    return _refused(runbook, "no_change", error, reason)


def _refused(runbook: Runbook, action: str, error: UsageError, reason: str) -> Outcome:
    """A refusal before there is an action, recorded like every other."""
    secrets = runbook.environment.secrets
    outcome = Outcome(
        Result.REFUSED,
        action,
        runbook.environment.name,
        units.now(),
        runbook.run.operator,
        redact(error.message, secrets),
        hint=redact(error.hint, secrets),
        reason=redact(reason, secrets),
    )
    runbook.run.acted(kept(outcome))
    return outcome
