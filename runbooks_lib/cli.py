"""The command ``runbooks``.

Exit codes: 0 OK, 10 WARN, 20 FAIL, 30 UNKNOWN, 40 refused and nothing changed, 50 something may have changed, 2 usage.

Written with argparse: the libraries that make nicer help take a tenth of a second to load, a sixth of what triage takes
in all.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from runbooks_lib import __version__
from runbooks_lib.errors import RefusedError, RunbookError
from runbooks_lib.model import Status

if TYPE_CHECKING:
    from runbooks_lib.config import Configuration

#: Chooses the environment where none is given on the command line.
ENVIRONMENT_VARIABLE = "RUNBOOKS_ENVIRONMENT"

CODES = "Exit codes: 0 OK, 10 WARN, 20 FAIL, 30 UNKNOWN, 40 refused, 50 something may have changed, 2 usage."


def make_parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    parser = argparse.ArgumentParser(
        prog="runbooks", description="Executable runbooks for operating a Django site's Redis cache.", epilog=CODES
    )
    parser.add_argument("--version", action="version", version=f"runbooks {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    triage = _command(commands, "triage", triage_command, "how bad is it, since when, why, and what comes next")
    _environment(triage, "sandbox")
    triage.add_argument(
        "--window", default="auto", help="what rates are taken over, such as 5m (auto: the guide's 15m)"
    )
    triage.add_argument("--json", action="store_true", help="the verdict for machines")

    run = _command(commands, "run", run_command, "execute a runbook's notebook into a record and a report")
    run.add_argument("name", help="a runbook, as `runbooks list` names it")
    _environment(run, "")
    run.add_argument("-p", "--parameter", action="append", default=[], metavar="NAME=VALUE", help="may be repeated")
    run.add_argument("--timeout", default="30m", help="for the whole run, such as 90s, 15m or 2h (30m)")

    _command(commands, "list", list_command, "the runbooks, by purpose")
    show = _command(commands, "show", show_command, "what a runbook is for and which parameters it takes")
    show.add_argument("name", help="a runbook, as `runbooks list` names it")
    verify = _command(commands, "verify", verify_command, "recompute the ledger and the hash of every kept file")
    verify.add_argument("run", nargs="?", default="", help="the id of one run; all runs by default")
    lab = _command(commands, "lab", lab_command, "open JupyterLab on working copies of the notebooks")
    lab.add_argument("jupyter", nargs="*", help="options for Jupyter, after --, such as -- --no-browser --port=8890")
    return parser


def triage_command(arguments: argparse.Namespace) -> int:
    """Read, judge, print; the record is kept meanwhile by a second process."""
    from runbooks_lib.presentation.text import render
    from runbooks_lib.recording import Recorder
    from runbooks_lib.view import open_view

    given = {"environment": arguments.environment, "window": arguments.window}
    view = open_view(_load(arguments), "triage", given)
    recorder = Recorder(view)
    try:
        from runbooks_lib.triage import triage

        verdict = triage(view)
        if arguments.json:
            from msgspec import json

            _say(json.format(json.encode(verdict), indent=2).decode())
        else:
            _say(render(verdict, colour=_colour()))
        kept = recorder.keep(verdict)
    finally:
        recorder.abandon()
    line = _record_line(kept.folder, kept.error)
    if arguments.json:
        _say(line, sys.stderr)
    else:
        _say(f"\nRecord       {line}")
    return verdict.exit_code


def run_command(arguments: argparse.Namespace) -> int:
    """Execute a notebook; its progress goes to standard error, its verdict to standard output."""
    from runbooks_lib.presentation.progress import Progress
    from runbooks_lib.running import run_notebook

    environment = [f"environment={arguments.environment}"] if arguments.environment else []
    with Progress(sys.stderr) as progress:
        finished = run_notebook(
            _load(arguments),
            arguments.name,
            [*arguments.parameter, *environment],
            timeout=arguments.timeout,
            on_progress=progress.update,
        )
    record = _record_line(finished.run.folder, finished.run.ledger_error)
    _say(finished.text(record=record, colour=_colour()))
    return finished.exit_code


def list_command(arguments: argparse.Namespace) -> int:
    """Print the runbooks by group."""
    from runbooks_lib.catalog import entries

    group = None
    for entry in entries(_load(arguments).root):
        if entry.group != group:
            group = entry.group
            print(f"{group}/")
        print(f"  {entry.name:<20} {entry.purpose}")
    return 0


def show_command(arguments: argparse.Namespace) -> int:
    """Print one runbook's purpose and parameters."""
    from runbooks_lib.catalog import find

    configuration = _load(arguments)
    entry = find(configuration.root, arguments.name)
    print(f"{entry.title}   {entry.path.relative_to(configuration.root)}\n{entry.purpose}\n\nParameters")
    for parameter in entry.parameters:
        print(f"  {parameter.name} = {parameter.default!r}")
        print(f"      {parameter.help}")
        print(f"      {parameter.expected(configuration.environment_names)}")
    print(f"\nRun it  runbooks run {entry.name} --environment NAME -p name=value")
    return 0


def verify_command(arguments: argparse.Namespace) -> int:
    """Recompute everything that is kept; 20 when something does not fit."""
    from runbooks_lib.presentation.text import render_verification
    from runbooks_lib.records.ledger import Ledger
    from runbooks_lib.records.verify import verify

    configuration = _load(arguments)
    found = verify(Ledger(configuration.ledger_url), configuration.runs_folder, run_id=arguments.run or None)
    _say(render_verification(found))
    return (Status.OK if found.ok else Status.FAIL).exit_code


def lab_command(arguments: argparse.Namespace) -> int:
    """Become JupyterLab."""
    from runbooks_lib.lab import open_lab

    return open_lab(_load(arguments), arguments.jupyter)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: the arguments after the program's name; those of the process by default.

    Returns:
        The exit code. An error is one readable message on standard error.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal or a pipe that cannot show a sign gets a question mark; the answer is worth more than the sign.
            stream.reconfigure(errors="replace")
    arguments = make_parser().parse_args(argv)
    try:
        code = int(arguments.work(arguments))
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader of a pipe left (``| head``): not worth a traceback, and nothing more can be said.
        _silence(sys.stdout)
        return RunbookError.exit_code
    except RunbookError as error:
        _complain(error)
        return error.exit_code
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return RunbookError.exit_code
    return code


def _say(text: str, stream: TextIO | None = None) -> None:
    """Print, as far as anybody still reads: a reader that left (``| head``) costs neither exit code nor record."""
    stream = stream or sys.stdout
    try:
        print(text, file=stream, flush=True)
    except BrokenPipeError:
        _silence(stream)


def _silence(stream: TextIO) -> None:
    """Send the rest nowhere, also what the interpreter writes out at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def _command(commands: Any, name: str, work: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=text, description=f"{text.capitalize()}.", epilog=CODES
    )
    parser.add_argument("--config", type=Path, help="runbooks.toml; the nearest one by default")
    parser.set_defaults(work=work)
    return parser


def _environment(parser: argparse.ArgumentParser, default: str) -> None:
    parser.add_argument(
        "-e",
        "--environment",
        default=os.environ.get(ENVIRONMENT_VARIABLE) or default,
        help=f"a site of runbooks.toml (${ENVIRONMENT_VARIABLE}, else sandbox)",
    )


def _complain(error: RunbookError) -> None:
    from runbooks_lib.presentation.text import visible

    word = "REFUSED, nothing was changed" if isinstance(error, RefusedError) else "ERROR"
    print(f"{word} (exit {error.exit_code})\n  {visible(str(error))}", file=sys.stderr)


def _load(arguments: argparse.Namespace) -> Configuration:
    from runbooks_lib.config import load

    return load(arguments.config)


def _record_line(folder: Path | None, error: str) -> str:
    """Where the report is, and whether the ledger knows of it."""
    shown = "none" if folder is None else _relative(folder / "report.html")
    return f"{shown}   (NOT in the ledger: {error})" if error else shown


def _relative(path: Path) -> str:
    """Below the working directory as people would type it, else whole."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def _colour() -> bool:
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ
