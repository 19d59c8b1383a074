"""``runbooks locks`` and ``runbooks unlock``: who holds what, until when; and taking it from a holder that is gone."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from runbooks_lib.commands import console
from runbooks_lib.errors import RefusedError

if TYPE_CHECKING:
    from runbooks_lib.records.leases import Lease


def add(commands: Any) -> None:
    """Declare the commands."""
    parser = console.command(commands, "locks", locks, "who holds which lock, since when and until when")
    parser.add_argument("-e", "--environment", default="", help="only of this environment")
    parser = console.command(commands, "unlock", unlock, "break a lock whose holder is gone; recorded with the reason")
    parser.add_argument("environment", help="a site of runbooks.toml")
    parser.add_argument("resource", help="as `runbooks locks` names it, such as redis:keys")
    parser.add_argument("--reason", required=True, help="why its holder cannot give it back")


def locks(arguments: argparse.Namespace) -> int:
    """Print the locks that keep others out, one block each."""
    from runbooks_lib.records.leases import Leases
    from runbooks_lib.records.ledger import Ledger

    configuration = console.load(arguments)
    if arguments.environment:
        configuration.environment(arguments.environment)
    held = Leases(Ledger(configuration.ledger_url)).held(arguments.environment or None)
    for lease in held:
        console.say(_lease_text(lease))
    if not held:
        console.say("No lock is held.")
    return 0


def unlock(arguments: argparse.Namespace) -> int:
    """Break the lock; 40 when nobody holds it, or its process still runs on this machine."""
    from runbooks_lib.presentation.text import plain
    from runbooks_lib.records import origin
    from runbooks_lib.records.leases import Leases
    from runbooks_lib.records.ledger import Ledger
    from runbooks_lib.redaction import redact

    configuration = console.load(arguments)
    site = configuration.environment(arguments.environment)
    leases = Leases(Ledger(configuration.ledger_url))
    for lease in leases.held(site.name):
        if lease.resource == arguments.resource and origin.is_alive(lease.process):
            raise RefusedError(
                f"the process that holds {lease.resource} still runs here: {lease.process.pid}, "
                f"of {lease.operator}, for {lease.purpose or 'no purpose given'}",
                hint=f"end it first, it then gives the lock back: kill -INT {lease.process.pid}",
            )
    run_id = next((lease.holder for lease in leases.held(site.name) if lease.resource == arguments.resource), "")
    broken = leases.break_lease(
        site.name,
        arguments.resource,
        operator=origin.operator(),
        reason=redact(arguments.reason, site.secrets),
        run_id=run_id,
    )
    console.say(f"Broken: {plain(broken.resource)} on {plain(site.name)}, held by {plain(broken.operator)}; recorded.")
    console.say(f"What its holder may have left open: runbooks check -e {plain(site.name)}")
    return 0


def _lease_text(lease: Lease) -> str:
    from runbooks_lib import units
    from runbooks_lib.presentation.text import plain
    from runbooks_lib.records import origin

    left = units.duration(max(0.0, (lease.expires_at - units.now()).total_seconds()))
    alive = {True: "runs", False: "is gone", None: "cannot be seen from here"}[origin.is_alive(lease.process)]
    keeps = ", stays when it ends" if lease.outlives_process else ""
    rows = (
        ("held by", f"{lease.operator}, {lease.holder}"),
        ("for", lease.purpose or "no purpose given"),
        ("since", units.timestamp(lease.acquired_at)),
        ("until", f"{units.timestamp(lease.expires_at)} (in {left})"),
        ("process", f"{lease.process.pid} on {lease.process.host}, {alive}{keeps}"),
        ("fencing", str(lease.fencing_number)),
    )
    head = f"{plain(lease.environment)}  {plain(lease.resource)}"
    return "\n".join([head, *(f"  {label:<8} {plain(text)}" for label, text in rows)])
