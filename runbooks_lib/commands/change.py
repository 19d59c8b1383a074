"""``runbooks change``: one action, planned or applied, without a kernel; recorded and reported like a runbook."""

from __future__ import annotations

import argparse
import contextlib
import inspect
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import MISSING, fields
from types import FrameType
from typing import TYPE_CHECKING, Any

from runbooks_lib.commands import console
from runbooks_lib.errors import UsageError

if TYPE_CHECKING:
    from runbooks_lib.actions.action import Action
    from runbooks_lib.actions.outcome import Outcome
    from runbooks_lib.runbook import Runbook

#: Under which name these runs are kept.
NAME = "change"


def add(commands: Any) -> None:
    """Declare the command."""
    parser = console.command(commands, NAME, change, "plan a change to a site; with --confirm, make it")
    parser.add_argument("action", nargs="?", help="what to do; without it, all actions are listed")
    console.environment_option(parser, "")
    parser.add_argument("-p", "--parameter", action="append", default=[], metavar="NAME=VALUE", help="may be repeated")
    parser.add_argument(
        "--confirm", default="", metavar="DIGEST", help="the digest that the plan shows; auto where the site allows it"
    )
    parser.add_argument("--reason", default="", help="why; required in a protected environment")
    parser.add_argument("--json", action="store_true", help="the outcome for machines")


def change(arguments: argparse.Namespace) -> int:
    """Plan, or apply and read back; 0, 10, 30, 40 or 50, and nothing is written without ``--confirm``."""
    from runbooks_lib.actions.registry import action_class, make_action

    if not arguments.action:
        console.say(_all_actions())
        return 0
    given = _parameters(arguments.parameter)
    kind = action_class(arguments.action)
    missing = [field.name for field in fields(kind) if _required(field) and field.name not in given]
    if missing:
        console.say(_help(arguments.action, kind))
        raise UsageError(
            f"{arguments.action} needs {', '.join(missing)}",
            hint=f"add: {' '.join(f'-p {name}=…' for name in missing)}",
        )
    action = make_action(arguments.action, given)
    if not arguments.environment:
        raise UsageError("which environment?", hint="add: --environment NAME")
    return _carry_out(arguments, action, given)


def _carry_out(arguments: argparse.Namespace, action: Action, given: dict[str, str]) -> int:
    from runbooks_lib.runbook import open_runbook

    runbook = open_runbook(
        NAME,
        environment=arguments.environment,
        configuration=console.load(arguments),
        parameters={"action": action.name, "parameters": given},
    )
    for line in unconfirmed_lines(runbook):
        console.say(line, sys.stderr)
    try:
        with every_end_is_an_interrupt():
            outcome = _apply(runbook, action, arguments)
    except KeyboardInterrupt:
        return _interrupted(runbook)
    return _finished(runbook, outcome, arguments)


@contextlib.contextmanager
def every_end_is_an_interrupt() -> Iterator[None]:
    """SIGINT, SIGTERM and SIGHUP interrupt, so that a long write ends with an exact account.

    SIGINT also where a shell started this in the background, and had it ignored: what was asked to end must not run on
    to its end. SIGHUP stays ignored where it is (``nohup``): that is what somebody asked for.
    """
    handlers: dict[signal.Signals, Any] = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: _as_interrupt}
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        handlers[signal.SIGHUP] = _as_interrupt
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            # None: the handler was not set from Python and cannot be put back.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def _as_interrupt(number: int, frame: FrameType | None) -> None:
    """To whoever takes interrupts just now: at once, or between two steps of a write."""
    handler = signal.getsignal(signal.SIGINT)
    (handler if callable(handler) else signal.default_int_handler)(number, frame)


def _apply(runbook: Runbook, action: Action, arguments: argparse.Namespace) -> Outcome:
    from runbooks_lib.changes import apply_in_run
    from runbooks_lib.presentation.live import progress_text
    from runbooks_lib.presentation.progress import Progress

    with Progress(sys.stderr) as progress:
        progress.update(f"{action.name}: reading")
        return apply_in_run(
            action,
            runbook.run,
            runbook.environment,
            confirm=arguments.confirm,
            reason=arguments.reason,
            allowed_signers=runbook.configuration.allowed_signers,
            approval_seconds=runbook.configuration.approval_seconds,
            on_progress=lambda told: progress.update(f"{action.name}: {progress_text(told)}"),
        )


def _finished(runbook: Runbook, outcome: Outcome, arguments: argparse.Namespace) -> int:
    from runbooks_lib.change_verdict import confirm_line, judge_change
    from runbooks_lib.presentation.plans import sheet_of
    from runbooks_lib.presentation.secrets import outcome_without_secrets
    from runbooks_lib.presentation.sheet import render_sheet
    from runbooks_lib.redaction import redact
    from runbooks_lib.unconfirmed import check_line

    # Shown before it is kept: what was done to a site is not told later because a report is being written.
    if not arguments.json:
        check = check_line(outcome.action_id, outcome.environment) if outcome.action_id else ""
        shown = outcome_without_secrets(outcome, runbook.environment.secrets)
        sheet = sheet_of(shown, confirm=confirm_line(runbook, outcome), check=check)
        text = render_sheet(sheet, width=console.width(), colour=console.colour())
        console.say(redact(text, runbook.environment.secrets))
    runbook.close(judge_change(runbook, outcome))
    line = f"Record  {console.record_line(runbook.run.folder, runbook.run.ledger_error)}"
    if arguments.json:
        console.say(_machine_text(runbook))
    console.say(line, sys.stderr if arguments.json else sys.stdout)
    return outcome.exit_code


def _interrupted(runbook: Runbook) -> int:
    """It was interrupted: what was sent by then is in the ledger, and is told."""
    from runbooks_lib.errors import MayHaveChangedError, RunbookError
    from runbooks_lib.presentation.log import change_lines
    from runbooks_lib.runbook import conclude

    conclude(runbook.run, "interrupted", "it was interrupted")
    left = [kept for kept in runbook.run.record["actions"] if kept["exit_code"] == MayHaveChangedError.exit_code]
    if not left:
        console.say("Interrupted; nothing was changed.", sys.stderr)
        return RunbookError.exit_code
    console.say("CHECK THIS, something may have changed (exit 50)", sys.stderr)
    for kept in left:
        console.say("\n".join(f"  {line}" for line in change_lines(kept)), sys.stderr)
    return MayHaveChangedError.exit_code


def unconfirmed_lines(runbook: Runbook) -> Sequence[str]:
    """What an earlier change left unconfirmed on this environment, to be read before anything else is done."""
    from runbooks_lib.presentation.text import plain

    lines = []
    for finding in runbook.unconfirmed.findings:
        lines += [f"CHECK FIRST  {plain(finding.title)}: {plain(finding.shown)}", f"  {plain(finding.hint)}"]
    return [*lines, *(f"Note  {plain(note)}" for note in runbook.unconfirmed.notes)]


def _machine_text(runbook: Runbook) -> str:
    import json

    return json.dumps(runbook.run.record["actions"][-1], indent=2)


def _parameters(assignments: Sequence[str]) -> dict[str, str]:
    given: dict[str, str] = {}
    for assignment in assignments:
        name, separator, value = assignment.partition("=")
        if not separator:
            raise UsageError(f"{assignment[:80]!r} is not of the form name=value", hint="such as -p percentage=25")
        if name in given:
            raise UsageError(f"parameter {name[:80]!r} is given twice", hint="give it once")
        given[name] = value
    return given


def _required(field: Any) -> bool:
    return field.init and field.default is MISSING and field.default_factory is MISSING


def _all_actions() -> str:
    from runbooks_lib.actions.registry import ACTIONS, action_class

    lines = []
    for name in ACTIONS:
        kind = action_class(name)
        needs = " ".join(field.name for field in fields(kind) if _required(field))
        lines.append(f"  {name:<27} {_summary(kind)}{f'   ({needs})' if needs else ''}")
    lines += [
        "",
        "What one takes  runbooks change ACTION",
        "Plan it         runbooks change ACTION -e NAME -p name=value",
    ]
    return "\n".join(["Actions; each is planned first, and made only with --confirm", *lines])


def _help(name: str, kind: type[Any]) -> str:
    """What an action does and takes; its docstring is its help."""
    from runbooks_lib.actions.registry import expected

    text = inspect.cleandoc(kind.__doc__ or "").partition("Attributes:")[0]
    lines = [f"{name}: {text.strip()}", "", "Parameters"]
    for field in fields(kind):
        default = "required" if _required(field) else f"default {field.default!r}"
        lines.append(f"  {field.name} ({field.type}, {default})")
        lines.append(f"      {expected(kind, field.name)}")
    return "\n".join(lines)


def _summary(kind: type[Any]) -> str:
    return inspect.cleandoc(kind.__doc__ or "").partition("\n")[0]
