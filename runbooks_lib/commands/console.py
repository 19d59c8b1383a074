"""What every command shares: its options, how it prints, and how it complains."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import shutil
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from runbooks_lib.errors import RefusedError, RunbookError, UsageError

if TYPE_CHECKING:
    from runbooks_lib.config import Configuration

#: Chooses the environment where none is given on the command line.
ENVIRONMENT_VARIABLE = "RUNBOOKS_ENVIRONMENT"

CODES = "Exit codes: 0 OK, 10 WARN, 20 FAIL, 30 UNKNOWN, 40 refused, 50 something may have changed, 2 usage."
_EARLIEST_YEAR = 2000


def command(commands: Any, name: str, work: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
    """A command's parser, with what every command takes.

    Args:
        commands: what ``add_subparsers`` gave.
        name: of the command.
        work: carries it out and gives the exit code.
        text: what it is for, in one line.
    """
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=text, description=f"{text[0].upper()}{text[1:]}.", epilog=CODES
    )
    parser.add_argument("--config", type=Path, help="runbooks.toml; the nearest one by default")
    parser.set_defaults(work=work)
    return parser


def environment_option(parser: argparse.ArgumentParser, default: str) -> None:
    """The option that names a site, with what stands for it where it is not given."""
    parser.add_argument(
        "-e",
        "--environment",
        default=os.environ.get(ENVIRONMENT_VARIABLE) or default,
        help=f"a site of runbooks.toml (default: ${ENVIRONMENT_VARIABLE}{f', else {default}' * bool(default)})",
    )


def load(arguments: argparse.Namespace) -> Configuration:
    """The configuration that the command was given."""
    from runbooks_lib.config import load as load_configuration

    return load_configuration(arguments.config)


def say(text: str, stream: TextIO | None = None) -> None:
    """Print, as far as it can be: an output that is full, closed or not read costs neither exit code nor record."""
    target = stream or sys.stdout
    try:
        target.write(f"{text}\n")
        target.flush()
    except BrokenPipeError:
        silence(target)  # whoever read it has left (``| head``), which is no fault
    except (OSError, ValueError) as error:
        silence(target)
        if target is not sys.stderr:
            say(f"The output could not be written ({getattr(error, 'strerror', None) or error}).", sys.stderr)


def open_streams() -> None:
    """Standard streams that were closed (``>&-``) lead nowhere, and what is printed is printed as far as it can be.

    Else the next file that is opened takes the place of one, and what is printed goes into it: into the ledger.
    """
    names = ("stdin", "stdout", "stderr")
    closed = [number for number in range(len(names)) if getattr(sys, names[number]) is None]
    for number in closed:
        nowhere = os.open(os.devnull, os.O_RDWR)
        if nowhere != number:
            os.dup2(nowhere, number)
            os.close(nowhere)
        setattr(sys, names[number], open(number, "w" if number else "r", encoding="utf-8"))  # noqa: SIM115, PTH123 - open to the end
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal or a pipe that cannot show a sign gets a question mark; the answer is worth more than the sign.
            stream.reconfigure(errors="replace")
    if 1 in closed:
        say("Standard output is closed: the answer is shown nowhere, but it is recorded.", sys.stderr)


def silence(stream: TextIO) -> None:
    """Send the rest nowhere, also what the interpreter writes out at its end."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def complain(error: RunbookError) -> None:
    """An error on standard error: whether anything changed, what it is, and the next step."""
    from runbooks_lib.presentation.commands import pieces
    from runbooks_lib.presentation.text import visible

    word = "REFUSED, nothing was changed" if isinstance(error, RefusedError) else "ERROR"
    lines = [f"{word} (exit {error.exit_code})"]
    for line in visible(str(error)).splitlines():
        # Prose is the terminal's to wrap; a command has a line of its own, to be pasted.
        lines += [f"    {part.text}" if part.command else f"  {part.text}" for part in pieces(line)]
    say("\n".join(lines), sys.stderr)


def record_line(folder: Path | None, error: str) -> str:
    """Where the report is, and whether the ledger knows of it."""
    shown = "none" if folder is None else _relative(folder / "report.html")
    return f"{shown}   (NOT in the ledger: {error})" if error else shown


def colour() -> bool:
    """Are colours wanted?"""
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ


def width() -> int:
    """Of the terminal, in characters; 100 where there is none."""
    return shutil.get_terminal_size((100, 24)).columns


def moment(text: str, now: datetime) -> datetime:
    """A time from the command line: ``2h`` ago, or ISO 8601, which is UTC where it names no zone.

    Raises:
        UsageError: it is neither.
    """
    from datetime import UTC, timedelta

    from runbooks_lib.parameters import parse_duration

    try:
        return now - timedelta(seconds=parse_duration(text))
    except UsageError:
        pass
    try:
        given = datetime.fromisoformat(text)
        found = given.replace(tzinfo=UTC) if given.tzinfo is None else given.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise _no_time(text) from error
    if found.year < _EARLIEST_YEAR:
        raise _no_time(text)
    return found


def _no_time(text: str) -> UsageError:
    return UsageError(f"{text[:80]!r} is not a time", hint="write 2h for two hours ago, or 2026-11-22T02:14 (UTC)")


def _relative(path: Path) -> str:
    """Below the working directory as people would type it, else whole."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
