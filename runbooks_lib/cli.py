"""The command ``runbooks``.

Exit codes: 0 OK, 10 WARN, 20 FAIL, 30 UNKNOWN, 40 refused and nothing changed, 50 something may have changed, 2 usage.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from runbooks_lib.errors import RunbookError
from runbooks_lib.model import Status

if TYPE_CHECKING:
    from runbooks_lib.config import Configuration

#: Chooses the environment where none is given on the command line.
ENVIRONMENT_VARIABLE = "RUNBOOKS_ENVIRONMENT"

app = typer.Typer(
    name="runbooks",
    help="Executable runbooks for operating a Django site's Redis cache.",
    epilog="Exit codes: 0 OK, 10 WARN, 20 FAIL, 30 UNKNOWN, 40 refused, 50 something may have changed, 2 usage.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

ConfigOption = Annotated[Path | None, typer.Option("--config", help="runbooks.toml; the nearest one by default.")]
EnvironmentOption = Annotated[
    str, typer.Option("--environment", "-e", envvar=ENVIRONMENT_VARIABLE, help="A site of runbooks.toml.")
]
ParameterOption = Annotated[list[str], typer.Option("--parameter", "-p", help="name=value; may be repeated.")]
TimeoutOption = Annotated[str, typer.Option(help="For the whole run, such as 90s, 15m or 2h.")]


@app.command("triage")
def triage_command(
    environment: EnvironmentOption = "sandbox",
    window: Annotated[str, typer.Option(help="What rates are taken over; auto is the guide's 15 min.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="The verdict for machines.")] = False,  # noqa: FBT002
    config: ConfigOption = None,
) -> None:
    """How bad is it, since when, why, and what comes next? About half a second, no kernel."""
    from runbooks_lib.runbook import open_runbook
    from runbooks_lib.triage import triage

    runbook = open_runbook("triage", configuration=_load(config), environment=environment, window=window)
    verdict = triage(runbook)
    runbook.close(verdict)
    if as_json:
        from msgspec import json

        sys.stdout.buffer.write(json.format(json.encode(verdict), indent=2) + b"\n")
    else:
        from runbooks_lib.presentation.text import render

        typer.echo(render(verdict, record=_record_line(runbook.run), colour=_colour()))
    raise typer.Exit(verdict.exit_code)


@app.command("run")
def run_command(
    name: Annotated[str, typer.Argument(help="A runbook, as `runbooks list` names it.")],
    environment: EnvironmentOption = "",
    parameter: ParameterOption = [],  # noqa: B006 - typer copies it
    timeout: TimeoutOption = "30m",
    config: ConfigOption = None,
) -> None:
    """Execute a runbook's notebook into a record and a report."""
    from runbooks_lib.presentation.progress import Progress
    from runbooks_lib.running import run_notebook

    given = [*parameter, *([f"environment={environment}"] if environment else [])]
    with Progress(sys.stderr) as progress:
        finished = run_notebook(_load(config), name, given, timeout=timeout, on_progress=progress.update)
    typer.echo(finished.text(record=_record_line(finished.run), colour=_colour()))
    raise typer.Exit(finished.exit_code)


@app.command("list")
def list_command(config: ConfigOption = None) -> None:
    """The runbooks, by purpose."""
    from runbooks_lib.catalog import entries

    group = None
    for entry in entries(_load(config).root):
        if entry.group != group:
            group = entry.group
            typer.echo(f"{group}/")
        typer.echo(f"  {entry.name:<20} {entry.purpose}")


@app.command("show")
def show_command(
    name: Annotated[str, typer.Argument(help="A runbook, as `runbooks list` names it.")], config: ConfigOption = None
) -> None:
    """What a runbook is for and which parameters it takes."""
    from runbooks_lib.catalog import find

    configuration = _load(config)
    entry = find(configuration.root, name)
    typer.echo(f"{entry.title}   {entry.path.relative_to(configuration.root)}\n{entry.purpose}\n\nParameters")
    for parameter in entry.parameters:
        typer.echo(f"  {parameter.name} = {parameter.default!r}")
        typer.echo(f"      {parameter.help}")
        typer.echo(f"      {parameter.expected(configuration.environment_names)}")
    typer.echo(f"\nRun it  runbooks run {entry.name} --environment NAME -p name=value")


@app.command("verify")
def verify_command(
    run: Annotated[str, typer.Argument(help="The id of one run; all runs by default.")] = "",
    config: ConfigOption = None,
) -> None:
    """Recompute the ledger's chain and the hash of every kept file; name what does not fit."""
    from runbooks_lib.presentation.text import render_verification
    from runbooks_lib.records.ledger import Ledger
    from runbooks_lib.records.verify import verify

    configuration = _load(config)
    found = verify(Ledger(configuration.ledger_url), configuration.runs_folder, run_id=run or None)
    typer.echo(render_verification(found))
    raise typer.Exit((Status.OK if found.ok else Status.FAIL).exit_code)


def main() -> None:
    """Run the command line; an error is one readable message on standard error and its exit code."""
    try:
        app()
    except RunbookError as error:
        _complain(error)
        raise SystemExit(error.exit_code) from None
    except BrokenPipeError:
        # The reader of a pipe left (``| head``): not worth a traceback, and nothing more can be said.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None


def _complain(error: RunbookError) -> None:
    from runbooks_lib.presentation.text import visible

    word = "REFUSED, nothing was changed" if error.exit_code == 40 else "ERROR"
    typer.echo(f"{word} (exit {error.exit_code})\n  {visible(str(error))}", err=True)


def _load(config: Path | None) -> Configuration:
    from runbooks_lib.config import load

    return load(config)


def _record_line(run: object) -> str:
    folder, error = getattr(run, "folder", None), getattr(run, "ledger_error", "")
    shown = _relative(Path(folder) / "report.html") if folder else "none"
    return f"{shown}   (NOT in the ledger: {error})" if error else shown


def _relative(path: Path) -> str:
    """Below the working directory as people would type it, else whole."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def _colour() -> bool:
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ
