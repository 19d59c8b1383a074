"""The command ``runbooks``.

Exit codes: 0 OK, 10 WARN, 20 FAIL, 30 UNKNOWN, 40 refused and nothing changed, 50 something may have changed, 2 usage.

Written with argparse: the libraries that make nicer help take a tenth of a second to load, a sixth of what triage takes
in all.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from runbooks_lib import __version__
from runbooks_lib.commands import approve, change, check, checklist, locks, log, restore, rollout
from runbooks_lib.commands.console import (
    CODES,
    colour,
    command,
    complain,
    environment_option,
    load,
    open_streams,
    record_line,
    say,
)
from runbooks_lib.errors import RunbookError


def make_parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    parser = argparse.ArgumentParser(
        prog="runbooks", description="Executable runbooks for operating a Django site's Redis cache.", epilog=CODES
    )
    parser.add_argument("--version", action="version", version=f"runbooks {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    triage = command(commands, "triage", triage_command, "how bad is it, since when, why, and what comes next")
    environment_option(triage, "sandbox")
    triage.add_argument(
        "--window", default="auto", help="what rates are taken over, such as 5m (auto: the guide's 15m)"
    )
    triage.add_argument("--json", action="store_true", help="the verdict for machines")

    run = command(commands, "run", run_command, "execute a runbook's notebook into a record and a report")
    run.add_argument("name", help="a runbook, as `runbooks list` names it")
    environment_option(run, "")
    run.add_argument("-p", "--parameter", action="append", default=[], metavar="NAME=VALUE", help="may be repeated")
    run.add_argument("--timeout", default="30m", help="for the whole run, such as 90s, 15m or 2h (30m)")

    command(commands, "list", list_command, "the runbooks, by purpose")
    show = command(commands, "show", show_command, "what a runbook is for and which parameters it takes")
    show.add_argument("name", help="a runbook, as `runbooks list` names it")
    verify = command(commands, "verify", verify_command, "recompute the ledger and the hash of every kept file")
    verify.add_argument("run", nargs="?", default="", help="the id of one run; all runs by default")
    for module in (change, approve, check, checklist, rollout, locks, log, restore):
        module.add(commands)
    lab = command(commands, "lab", lab_command, "open JupyterLab on working copies of the notebooks")
    lab.add_argument("jupyter", nargs="*", help="options for Jupyter, after --, such as -- --no-browser --port=8890")
    return parser


def triage_command(arguments: argparse.Namespace) -> int:
    """Read, judge, print; the record is kept meanwhile by a second process."""
    from runbooks_lib.presentation.text import render
    from runbooks_lib.recording import Recorder
    from runbooks_lib.unconfirmed import with_unconfirmed
    from runbooks_lib.view import open_view

    given = {"environment": arguments.environment, "window": arguments.window}
    view = open_view(load(arguments), "triage", given)
    recorder = Recorder(view)
    try:
        from runbooks_lib.triage import triage

        verdict = with_unconfirmed(triage(view), recorder.unconfirmed())
        if arguments.json:
            from msgspec import json

            say(json.format(json.encode(verdict), indent=2).decode())
        else:
            say(render(verdict, colour=colour()))
        kept = recorder.keep(verdict)
    finally:
        recorder.abandon()
    line = record_line(kept.folder, kept.error)
    if arguments.json:
        say(line, sys.stderr)
    else:
        say(f"\nRecord       {line}")
    return verdict.exit_code


def run_command(arguments: argparse.Namespace) -> int:
    """Execute a notebook; its progress goes to standard error, its verdict to standard output."""
    from runbooks_lib.presentation.progress import Progress
    from runbooks_lib.running import run_notebook

    environment = [f"environment={arguments.environment}"] if arguments.environment else []
    with Progress(sys.stderr) as progress:
        finished = run_notebook(
            load(arguments),
            arguments.name,
            [*arguments.parameter, *environment],
            timeout=arguments.timeout,
            on_progress=progress.update,
        )
    record = record_line(finished.run.folder, finished.run.ledger_error)
    say(finished.text(record=record, colour=colour()))
    return finished.exit_code


def list_command(arguments: argparse.Namespace) -> int:
    """Print the runbooks by group."""
    from runbooks_lib.catalog import entries

    group = None
    for entry in entries(load(arguments).root):
        if entry.group != group:
            group = entry.group
            say(f"{group}/")
        say(f"  {entry.name:<20} {entry.purpose}")
    return 0


def show_command(arguments: argparse.Namespace) -> int:
    """Print one runbook's purpose and parameters."""
    from runbooks_lib.catalog import find

    configuration = load(arguments)
    entry = find(configuration.root, arguments.name)
    say(f"{entry.title}   {entry.path.relative_to(configuration.root)}\n{entry.purpose}\n\nParameters")
    for parameter in entry.parameters:
        say(f"  {parameter.name} = {parameter.default!r}")
        say(f"      {parameter.help}")
        say(f"      {parameter.expected(configuration.environment_names)}")
    say(f"\nRun it  runbooks run {entry.name} --environment NAME -p name=value")
    return 0


def verify_command(arguments: argparse.Namespace) -> int:
    """Recompute everything that is kept; 20 when something does not fit, 30 when there is nothing to verify."""
    from runbooks_lib.presentation.text import render_verification
    from runbooks_lib.records.ledger import Ledger
    from runbooks_lib.records.verify import verify

    configuration = load(arguments)
    found = verify(Ledger(configuration.ledger_url), configuration.runs_folder, run_id=arguments.run or None)
    say(render_verification(found))
    return found.status.exit_code


def lab_command(arguments: argparse.Namespace) -> int:
    """Become JupyterLab."""
    from runbooks_lib.lab import open_lab

    return open_lab(load(arguments), arguments.jupyter)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: the arguments after the program's name; those of the process by default.

    Returns:
        The exit code. An error is one readable message on standard error.
    """
    open_streams()
    arguments = make_parser().parse_args(argv)
    try:
        code = int(arguments.work(arguments))
    except RunbookError as error:
        complain(error)
        return error.exit_code
    except KeyboardInterrupt:
        say("Interrupted.", sys.stderr)
        return RunbookError.exit_code
    return code
