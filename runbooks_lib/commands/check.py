"""``runbooks check``: was a change made that was never confirmed? Look, say, and settle it in the ledger."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from runbooks_lib.commands import console
from runbooks_lib.model import Status

if TYPE_CHECKING:
    from runbooks_lib.actions.outcome import Outcome
    from runbooks_lib.records.ledger import Ledger
    from runbooks_lib.runbook import Runbook

#: Under which name these runs are kept.
NAME = "check"
#: So many that ended otherwise are shown; ``runbooks log`` has all.
_MOST = 5


def add(commands: Any) -> None:
    """Declare the command."""
    parser = console.command(commands, NAME, check, "look whether a change that was never confirmed was made")
    parser.add_argument("action_id", nargs="?", default="", help="of the change; without it, all such are listed")
    parser.add_argument("-e", "--environment", default="", help="only of this environment")


def check(arguments: argparse.Namespace) -> int:
    """List what is open: 10 when there is any. Look at one: 0 made or not made, 20 otherwise, 50 not readable."""
    from runbooks_lib.records.intentions import Intentions
    from runbooks_lib.records.ledger import Ledger

    configuration = console.load(arguments)
    if arguments.environment:
        configuration.environment(arguments.environment)
    ledger = Ledger(configuration.ledger_url)
    if not arguments.action_id:
        return _list(ledger, arguments.environment or None)
    environment = arguments.environment or Intentions(ledger).find(arguments.action_id).environment
    return _check_one(arguments, environment)


def _list(ledger: Ledger, environment: str | None) -> int:
    from runbooks_lib import units
    from runbooks_lib.presentation.text import plain
    from runbooks_lib.records.intentions import open_intentions
    from runbooks_lib.unconfirmed import check_line, title_of

    found = open_intentions(ledger, environment)
    if not found:
        return _nothing_open(ledger, environment)
    console.say(f"WARN · {units.things(len(found), 'change')} may have been made and not confirmed")
    for one in found:
        state = "is being made now" if one.running else one.detail or "its process ended before it could say"
        what = f"{units.timestamp(one.at)}  {one.environment}  {one.operator}  {title_of(one)}: {state}"
        console.say(f"  {plain(what)}\n    {plain(check_line(one.action_id, one.environment))}")
    return Status.WARN.exit_code


def _nothing_open(ledger: Ledger, environment: str | None) -> int:
    """Every change is known; those that did not end as planned are named."""
    from runbooks_lib import units
    from runbooks_lib.presentation.text import plain
    from runbooks_lib.records.intentions import ended_otherwise

    otherwise = ended_otherwise(ledger, environment)
    if not otherwise:
        console.say("Nothing is open: of every change it is known what came of it.")
        return Status.OK.exit_code
    console.say(f"Nothing is open; {units.things(len(otherwise), 'change')} ended otherwise than planned:")
    for event in otherwise[-_MOST:]:
        what = f"{units.timestamp(event.happened_at)}  {event.environment}  checked by {event.operator}"
        console.say(f"  {plain(what)}: {plain(str(event.payload.get('detail', '')))}")
    return Status.OK.exit_code


def _check_one(arguments: argparse.Namespace, environment: str) -> int:
    from runbooks_lib.actions.check import check as look
    from runbooks_lib.actions.desk import Desk
    from runbooks_lib.changes import kept
    from runbooks_lib.errors import RunbookError
    from runbooks_lib.runbook import conclude, open_runbook

    given = {"action_id": arguments.action_id}
    runbook = open_runbook(NAME, environment=environment, configuration=console.load(arguments), parameters=given)
    run = runbook.run
    try:
        outcome = look(arguments.action_id, Desk(runbook.environment, run.ledger, run.id, run.operator))
    except RunbookError as error:
        conclude(run, "failed", error.message)
        raise
    run.acted(kept(outcome))
    _say_found(runbook, outcome)
    return outcome.exit_code


def _say_found(runbook: Runbook, outcome: Outcome) -> None:
    from runbooks_lib.change_verdict import judge_change
    from runbooks_lib.presentation.plans import sheet_of
    from runbooks_lib.presentation.sheet import render_sheet
    from runbooks_lib.redaction import redact
    from runbooks_lib.unconfirmed import check_line, read_unconfirmed

    # Read again: what was settled a moment ago is not to be checked any more.
    runbook.unconfirmed = read_unconfirmed(runbook.run.ledger, runbook.environment.name)
    line = check_line(outcome.action_id, outcome.environment)
    still_open = any(finding.hint == line for finding in runbook.unconfirmed.findings)
    sheet = sheet_of(outcome, check=line if still_open else "")
    shown = render_sheet(sheet, width=console.width(), colour=console.colour())
    console.say(redact(shown, runbook.environment.secrets))
    console.say("Still open: check it again when it can be read." if still_open else "Settled in the ledger.")
    runbook.close(judge_change(runbook, outcome))
    console.say(f"Record  {console.record_line(runbook.run.folder, runbook.run.ledger_error)}")
