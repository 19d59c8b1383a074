"""The command ``python -m sandbox``. Exit codes: 0 ok, 1 failed, 2 the request is wrong."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sandbox.errors import SandboxError, UsageError
from sandbox.faults.registry import ALL
from sandbox.processes.orders import Step
from sandbox.processes.ports import PORT_NAMES
from sandbox.sandbox import Sandbox
from sandbox.settings import default_settings
from sandbox.show import faults_text, status_text, step_text, up_text


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m sandbox", description="The reference site with its servers, traffic and faults."
    )
    parser.add_argument("--home", type=Path, help="folder of the sandbox (default: $SANDBOX_HOME, else .sandbox)")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_up(commands.add_parser("up", help="start everything and wait until it works"))
    down = commands.add_parser("down", help="end everything and remove its data")
    down.set_defaults(run=run_down)
    status = commands.add_parser("status", help="show what runs, what is broken, and how the site does")
    status.add_argument("--json", action="store_true", help="as JSON, for programs")
    status.set_defaults(run=run_status)
    load = commands.add_parser("load", help="change the traffic")
    load.add_argument("--rate", type=float, help="requests per second at the middle of the daily cycle, 0..500")
    load.add_argument("--exponent", type=float, help="of the Zipf popularity curve, 0..3")
    load.set_defaults(run=run_load)
    fault = commands.add_parser("fault", help="inject a fault; without a name, list them")
    fault.add_argument("name", nargs="?")
    fault.add_argument("parameters", nargs="*", metavar="NAME=VALUE")
    fault.set_defaults(run=run_fault)
    heal = commands.add_parser("heal", help="take a fault away; without a name, all of them")
    heal.add_argument("name", nargs="?")
    heal.set_defaults(run=run_heal)
    return parser


def _add_up(up: argparse.ArgumentParser) -> None:
    up.add_argument("--rate", type=float, help="requests per second at the middle of the daily cycle (40)")
    up.add_argument("--exponent", type=float, help="of the Zipf popularity curve (1.0)")
    up.add_argument("--history-days", type=float, help="days of history, 0.1 to 7 (7); fewer make a faster start")
    for name in PORT_NAMES:
        up.add_argument(f"--{name.replace('_', '-')}-port", type=int, metavar="PORT", help="default: a free one")
    up.set_defaults(run=run_up)


def sandbox_of(arguments: argparse.Namespace) -> Sandbox:
    """Return the sandbox that the arguments mean.

    Raises:
        UsageError: a value is impossible.
    """
    given = vars(arguments)
    ports = {name: given.get(f"{name}_port") for name in PORT_NAMES}
    is_up = arguments.run is run_up
    settings = default_settings(
        home=arguments.home.resolve() if arguments.home else None,
        rate_per_second=given.get("rate") if is_up else None,
        exponent=given.get("exponent") if is_up else None,
        history_days=given.get("history_days"),
        fixed_ports={name: port for name, port in ports.items() if port is not None},
    )
    return Sandbox(settings=settings)


def run_up(sandbox: Sandbox, arguments: argparse.Namespace) -> int:
    """Start everything, telling each step."""
    del arguments
    began = time.monotonic()

    def tell(step: Step) -> None:
        print(step_text(step), flush=True)

    try:
        sandbox.up(on_step=tell)
    except KeyboardInterrupt:
        print("\nInterrupted: everything was taken down again.", file=sys.stderr)
        return 1
    print(up_text(sandbox.status(), time.monotonic() - began))
    return 0


def run_down(sandbox: Sandbox, arguments: argparse.Namespace) -> int:
    """End everything."""
    del arguments
    began = time.monotonic()
    if sandbox.down():
        print(f"Down in {time.monotonic() - began:.1f} s. Logs stay in {sandbox.home.logs}.")
    else:
        print(f"No sandbox was running in {sandbox.home.path}.")
    return 0


def run_status(sandbox: Sandbox, arguments: argparse.Namespace) -> int:
    """Show the sandbox; 0 only if it is up."""
    status = sandbox.status()
    print(json.dumps(status.as_dict(), indent=1) if arguments.json else status_text(status))
    return 0 if status.is_running else 1


def run_load(sandbox: Sandbox, arguments: argparse.Namespace) -> int:
    """Change the traffic."""
    sandbox.load(rate_per_second=arguments.rate, exponent=arguments.exponent)
    print("The traffic follows within a second; see `python -m sandbox status`.")
    return 0


def run_fault(sandbox: Sandbox, arguments: argparse.Namespace) -> int:
    """Inject a fault, or list them."""
    if arguments.name is None:
        print(faults_text(ALL))
        return 0
    fault = sandbox.inject(arguments.name, **parameters_of(arguments.parameters))
    print(f"{fault.name} is active. {fault.description}\nExpect: {fault.symptom}.")
    print(f"Take it away: python -m sandbox heal {fault.name}")
    return 0


def run_heal(sandbox: Sandbox, arguments: argparse.Namespace) -> int:
    """Take one fault away, or all."""
    if arguments.name is None:
        healed = sandbox.heal_all()
        print(f"Healed: {', '.join(healed)}." if healed else "No fault was active.")
    elif sandbox.heal(arguments.name):
        print(f"{arguments.name} is healed.")
    else:
        print(f"{arguments.name} was not active.")
    return 0


def parameters_of(words: Sequence[str]) -> dict[str, Any]:
    """Read ``NAME=VALUE`` words.

    Raises:
        UsageError: a word has no ``=``.
    """
    pairs = [word.partition("=") for word in words]
    wrong = [name for name, sign, _ in pairs if not sign]
    if wrong:
        raise UsageError(f"{wrong[0]!r} is not NAME=VALUE.")
    return {name: value for name, _, value in pairs}


def main(words: Sequence[str] | None = None) -> int:
    """Run one command; return the exit code."""
    arguments = make_parser().parse_args(words)
    try:
        code: int = arguments.run(sandbox_of(arguments), arguments)
    except SandboxError as error:
        print(error, file=sys.stdout if error.exit_code == 0 else sys.stderr)
        return error.exit_code
    return code
