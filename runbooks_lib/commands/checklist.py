"""``runbooks checklist``: how a release's deployment checklist stands; sign an item off, or waive one."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from runbooks_lib.commands import console
from runbooks_lib.errors import UsageError

if TYPE_CHECKING:
    from runbooks_lib.config import Configuration, Environment
    from runbooks_lib.records.checklists import Checklists

NAME = "checklist"


def add(commands: Any) -> None:
    """Declare the command."""
    parser = console.command(
        commands, NAME, checklist, "how a release's deployment checklist stands; sign an item off, or waive one"
    )
    parser.add_argument("release", nargs="?", default="", help="its name; without it, the releases are listed")
    console.environment_option(parser, "")
    parser.add_argument("--sign", default="", metavar="ITEM", help="an item that a person signs off")
    parser.add_argument("--by", default="", metavar="NAME", help="the name under the signature")
    parser.add_argument("--note", default="", metavar="TEXT", help="what was done, or seen")
    parser.add_argument("--failed", action="store_true", help="with --sign: it failed; --note says what was seen")
    parser.add_argument(
        "--waive", default="", metavar="REASON", help="with --sign: go on without it; shown as waived, never as done"
    )
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("--history", action="store_true", help="everything that was ever written about it")
    shown.add_argument("--json", action="store_true", help="for machines")


def checklist(arguments: argparse.Namespace) -> int:
    """Show it: 0 all done, 10 something is open or waived, 20 failed, 30 unknown. Signing: 0, or 40 when refused."""
    from runbooks_lib.records.checklists import Checklists
    from runbooks_lib.records.ledger import Ledger

    if not arguments.environment:
        raise UsageError("which environment?", hint="add: --environment NAME")
    configuration = console.load(arguments)
    site = configuration.environment(arguments.environment)
    checklists = Checklists(Ledger(configuration.ledger_url), site.name, site.secrets)
    if not arguments.release:
        _require_nothing_to_sign(arguments)
        return _list(checklists, site)
    if arguments.sign:
        return _sign(arguments, checklists, configuration, site)
    _require_nothing_to_sign(arguments)
    return _show(arguments, checklists, configuration, site)


def _require_nothing_to_sign(arguments: argparse.Namespace) -> None:
    if arguments.sign:
        raise UsageError("which release?", hint="name it first: runbooks checklist RELEASE --sign ITEM …")
    if arguments.by or arguments.note or arguments.failed or arguments.waive:
        raise UsageError("which item?", hint="add: --sign ITEM, as `runbooks checklist RELEASE` names it")


def _list(checklists: Checklists, site: Environment) -> int:
    from runbooks_lib.presentation.text import plain

    found = checklists.releases()
    for name in found:
        console.say(plain(name))
    if not found:
        console.say(f"No release has a checklist on {plain(site.name)} yet.")
        console.say(f"Begin one  runbooks run pre_deployment --environment {plain(site.name)} -p release=NAME")
    return 0


def _sign(
    arguments: argparse.Namespace, checklists: Checklists, configuration: Configuration, site: Environment
) -> int:
    """Sign or waive, in a run of its own, so that it is found in ``runbooks log`` like everything else."""
    from runbooks_lib.checklist import ItemStatus, release_named
    from runbooks_lib.presentation.text import plain
    from runbooks_lib.records import origin
    from runbooks_lib.records.checklists import Who

    release = release_named(arguments.release)
    if not arguments.by.strip():
        raise UsageError("who signs?", hint="add: --by 'Anna Ng'")
    if arguments.failed and arguments.waive:
        raise UsageError("an item that failed is not waived with the same signature", hint="sign it twice")
    who = Who(origin.operator(), _run_id())
    if arguments.waive:
        checklists.waive(release, arguments.sign, by=arguments.by, reason=arguments.waive, who=who)
        said = "Waived, which is not done"
    else:
        status = ItemStatus.FAILED if arguments.failed else ItemStatus.DONE
        checklists.sign(release, arguments.sign, by=arguments.by, note=arguments.note, who=who, status=status)
        said = "Signed as failed" if arguments.failed else "Signed"
    account = f", from {who.account.shown}" if site.protected else ""
    what = f"{said}: {arguments.sign} of {release} on {site.name}, by {arguments.by}{account}; recorded."
    console.say(f"{plain(what)}\n", sys.stderr if arguments.json else sys.stdout)
    _show(arguments, checklists, configuration, site)
    return 0


def _run_id() -> str:
    """Signatures belong to no run; each has an id that nothing else has."""
    import secrets

    from runbooks_lib import units

    return f"sign-{units.now():%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def _show(
    arguments: argparse.Namespace, checklists: Checklists, configuration: Configuration, site: Environment
) -> int:
    from runbooks_lib import units
    from runbooks_lib.judgement.deployment.standing import overall_status, standing
    from runbooks_lib.presentation.checklist import checklist_text, history_text

    found = checklists.read(arguments.release)
    stands = standing(found, now=units.now(), time_scale=site.time_scale)
    if arguments.json:
        console.say(_machine_text(found, stands))
    elif arguments.history:
        console.say(history_text(found.entries))
    else:
        around = _surroundings(configuration, site)
        console.say(checklist_text(found, stands, around, protected=site.protected, colour=console.colour()))
        _say_others(checklists, found)
    return overall_status(stands).exit_code


def _say_others(checklists: Checklists, found: Any) -> None:
    """Most likely a name was mistyped, where nothing was ever written under it."""
    from runbooks_lib.presentation.text import plain

    others = checklists.releases()
    if not found.entries and others:
        console.say(f"\nNothing was written under this name yet; others are: {plain(', '.join(others[-5:]))}")


def _surroundings(configuration: Configuration, site: Environment) -> Any:
    from runbooks_lib.view import View

    return View(NAME, configuration, site, {}).surroundings


def _machine_text(found: Any, stands: Any) -> str:
    import json

    from runbooks_lib.judgement.deployment.standing import overall_status
    from runbooks_lib.records.event import plain

    items = [
        {
            "item": stand.item.id,
            "phase": stand.item.phase,
            "status": stand.status,
            "shown_as": stand.word,
            "measured_by": stand.item.notebook,
            "problem": stand.problem,
            "age_seconds": stand.age_seconds,
            "entry": stand.entry,
            "against": stand.against,
            "later": stand.later,
        }
        for stand in stands
    ]
    whole = {"environment": found.environment, "release": found.release, "status": overall_status(stands)}
    return json.dumps(plain({**whole, "items": items}), indent=2)
