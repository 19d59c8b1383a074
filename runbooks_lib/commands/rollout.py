"""``runbooks rollout``: where a gradual rollout stands, a person's orders to it, and what another policy had done."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from runbooks_lib.commands import console
from runbooks_lib.errors import RunbookError, UsageError

if TYPE_CHECKING:
    from runbooks_lib.operations.rollout import RolloutRun
    from runbooks_lib.records.campaign import Campaign
    from runbooks_lib.records.campaigns import Campaigns
    from runbooks_lib.runbook import Runbook

#: Under which name these runs are kept.
NAME = "rollout"
_ORDERS = {
    "pause": "stop it at its percentage until somebody resumes it",
    "resume": "go on after a pause; the stage begins anew",
    "abort": "take the feature away from everybody now, and end it",
    "promote": "plan the next stage now; with --confirm, go there",
}


def add(commands: Any) -> None:
    """Declare the commands."""
    parser = commands.add_parser(
        NAME,
        help="gradual rollouts: where they stand, pause, resume, abort, promote, replay",
        description="Gradual rollouts.",
        epilog=console.CODES,
    )
    orders = parser.add_subparsers(metavar="ORDER", required=True)
    shown = console.command(orders, "status", status, "stage, soak, margin to each gate, next look; from the ledger")
    shown.add_argument("feature", nargs="?", default="", help="such as ENHANCED_CACHE; all rollouts by default")
    _common(shown)
    for name, text in _ORDERS.items():
        order = console.command(orders, name, carry_out, text)
        order.set_defaults(order=name)
        order.add_argument("feature", help="such as ENHANCED_CACHE")
        order.add_argument("--reason", default="", help="why; required")
        _common(order)
        if name == "promote":
            order.add_argument(
                "--confirm", default="", metavar="DIGEST", help="the digest that the plan shows, or auto"
            )
    again = console.command(orders, "replay", replay, "what would this policy have done over the looks that were kept")
    again.add_argument("feature", help="such as ENHANCED_CACHE")
    again.add_argument("--campaign", default="", metavar="ID", help="the newest by default")
    again.add_argument("-p", "--parameter", action="append", default=[], metavar="NAME=VALUE", help="may be repeated")
    _common(again)


def _common(parser: argparse.ArgumentParser) -> None:
    console.environment_option(parser, "")
    parser.add_argument("--json", action="store_true", help="for machines")


def status(arguments: argparse.Namespace) -> int:
    """Show one rollout, or list all of them; 0 also where it is paused or was rolled back: the screen says so."""
    from runbooks_lib import units
    from runbooks_lib.operations.rollout_status import status_of
    from runbooks_lib.presentation.rollout import render_status

    campaigns = _campaigns(arguments)
    if not arguments.feature:
        return _list(campaigns.all(arguments.environment or None), as_json=arguments.json)
    found = campaigns.latest(_environment(arguments), arguments.feature)
    if found is None:
        raise UsageError(
            f"no rollout of {arguments.feature[:80]} was ever begun on {arguments.environment}",
            hint="all rollouts: runbooks rollout status",
        )
    shown = status_of(found, units.now())
    console.say(
        _json(shown) if arguments.json else render_status(shown, colour=console.colour(), width=console.width())
    )
    return 0


def carry_out(arguments: argparse.Namespace) -> int:
    """Carry out a person's order; 0, 10, 20, 30, 40 or 50 as everywhere."""
    from runbooks_lib.commands.change import every_end_is_an_interrupt, unconfirmed_lines
    from runbooks_lib.operations.rollout import execute_rollout
    from runbooks_lib.runbook import open_runbook

    environment = _environment(arguments)
    # What is typed with a reason is meant; only the next stage, which nobody approved yet, is planned first.
    confirm = arguments.confirm if arguments.order == "promote" else "auto"
    given = {"action": arguments.order, "feature": arguments.feature, "reason": arguments.reason}
    runbook = open_runbook(
        NAME, environment=environment, configuration=console.load(arguments), parameters={**given, "confirm": confirm}
    )
    for line in unconfirmed_lines(runbook):
        console.say(line, sys.stderr)
    try:
        with every_end_is_an_interrupt():
            came = execute_rollout(
                runbook, arguments.feature, action=arguments.order, confirm=confirm, reason=arguments.reason
            )
    except KeyboardInterrupt:
        return _interrupted(runbook)
    return _finished(runbook, came, arguments)


def replay(arguments: argparse.Namespace) -> int:
    """Judge the kept looks again, by the campaign's own policy or another one; changes nothing."""
    from runbooks_lib.operations.rollout_replay import policy_for_replay, replay_campaign, show_replay
    from runbooks_lib.policy import policy_for

    campaigns, environment = _campaigns(arguments), _environment(arguments)
    found = (
        campaigns.find(arguments.campaign) if arguments.campaign else campaigns.latest(environment, arguments.feature)
    )
    if found is None or (found.environment, found.feature) != (environment, arguments.feature):
        raise UsageError(
            f"there is no such rollout of {arguments.feature[:80]} on {environment}",
            hint="all rollouts: runbooks rollout status",
        )
    site = console.load(arguments).environment(environment)
    policy = policy_for_replay(found, policy_for(site.time_scale), arguments.parameter)
    replayed = replay_campaign(found, policy)
    console.say(_json(replayed) if arguments.json else show_replay(found, replayed))
    return 0


def _finished(runbook: Runbook, came: RolloutRun, arguments: argparse.Namespace) -> int:
    from runbooks_lib.changes import exit_code
    from runbooks_lib.operations.rollout_verdict import judge_rollout
    from runbooks_lib.presentation.text import render
    from runbooks_lib.redaction import redact

    verdict = runbook.checked_first(judge_rollout(runbook, came))
    # Shown before it is kept: what was done to a site is not told later because a report is being written.
    if not arguments.json:
        console.say(redact(render(verdict, colour=console.colour()), runbook.environment.secrets))
    runbook.close(verdict)
    record = runbook.run.record
    if arguments.json:
        console.say(_json({"verdict": record["verdict"], "actions": record["actions"], "came": came.came.value}))
    line = f"\nRecord       {console.record_line(runbook.run.folder, runbook.run.ledger_error)}"
    console.say(line, sys.stderr if arguments.json else sys.stdout)
    return exit_code(verdict.exit_code, record["actions"])


def _interrupted(runbook: Runbook) -> int:
    """What was sent by then is in the ledger, and the next execution settles it."""
    from runbooks_lib.runbook import conclude

    conclude(runbook.run, "interrupted", "it was interrupted")
    console.say("Interrupted. What it left is settled by the next execution; see: runbooks check", sys.stderr)
    left = [kept for kept in runbook.run.record["actions"] if kept["exit_code"] > RunbookError.exit_code]
    return max((int(kept["exit_code"]) for kept in left), default=RunbookError.exit_code)


def _list(found: Sequence[Campaign], *, as_json: bool) -> int:
    from runbooks_lib import units
    from runbooks_lib.operations.rollout_status import status_of
    from runbooks_lib.presentation.text import plain

    shown = [status_of(campaign, units.now()) for campaign in found]
    if as_json:
        console.say(_json(shown))
        return 0
    for one in shown:
        console.say(
            f"{one.heading}   {plain(one.word)}   begun {units.timestamp(one.began_at)} by {plain(one.operator)}"
        )
    if shown:
        console.say("One of them, with its gates: runbooks rollout status FEATURE --environment NAME")
    else:
        console.say("No rollout was ever begun. To plan one: runbooks run gradual_rollout --environment NAME")
    return 0


def _campaigns(arguments: argparse.Namespace) -> Campaigns:
    from runbooks_lib.records.campaigns import Campaigns
    from runbooks_lib.records.ledger import Ledger

    configuration = console.load(arguments)
    if arguments.environment and arguments.environment not in configuration.environment_names:
        configuration.environment(arguments.environment)  # says which there are
    return Campaigns(Ledger(configuration.ledger_url))


def _environment(arguments: argparse.Namespace) -> str:
    if not arguments.environment:
        raise UsageError("which environment?", hint="add: --environment NAME")
    return str(arguments.environment)


def _json(value: object) -> str:
    from msgspec import json

    return json.format(json.encode(value), indent=2).decode()
