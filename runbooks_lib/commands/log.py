"""``runbooks log``: what happened, newest last."""

from __future__ import annotations

import argparse
from typing import Any

from runbooks_lib.commands import console
from runbooks_lib.errors import UsageError

_MOST = 100_000


def add(commands: Any) -> None:
    """Declare the command."""
    parser = console.command(commands, "log", log, "what happened, by whom and when (UTC), newest last")
    parser.add_argument("-e", "--environment", help="only on this environment")
    parser.add_argument("--operator", metavar="NAME", help="only by this operator")
    parser.add_argument("--run", metavar="ID", help="only of this run")
    parser.add_argument("--kind", help="only events of this kind, such as run.judged")
    parser.add_argument("--since", metavar="TIME", help="from then on: 2h for two hours ago, or 2026-11-22T02:14 (UTC)")
    parser.add_argument("--until", metavar="TIME", help="before then, written likewise")
    parser.add_argument("--limit", type=int, default=50, metavar="N", help="at most the newest N (50)")
    parser.add_argument("--json", action="store_true", help="one JSON object a line, with everything that is kept")


def log(arguments: argparse.Namespace) -> int:
    """Print the events that fit, one line each."""
    from runbooks_lib import units
    from runbooks_lib.presentation.log import line
    from runbooks_lib.records.ledger import Ledger

    if not 0 < arguments.limit <= _MOST:
        raise UsageError(f"--limit {arguments.limit} is not a number from 1 to {_MOST:,}")
    now = units.now()
    since = console.moment(arguments.since, now) if arguments.since else None
    until = console.moment(arguments.until, now) if arguments.until else None
    if since and until and since >= until:
        raise UsageError(f"--since {arguments.since} is not before --until {arguments.until}")
    events = Ledger(console.load(arguments).ledger_url).events(
        run_id=arguments.run,
        environment=arguments.environment,
        operator=arguments.operator,
        kind=arguments.kind,
        since=since,
        until=until,
        limit=arguments.limit,
    )
    for event in events:
        console.say(_machine_line(event) if arguments.json else line(event))
    if not events and not arguments.json:
        console.say("Nothing in the ledger fits.")
    return 0


def _machine_line(event: Any) -> str:
    """Everything that the event holds; escaped, so that nothing in it reaches a terminal as it is."""
    import json

    fields = {name: getattr(event, name) for name in ("seq", "at", "kind", "environment", "operator", "run_id")}
    return json.dumps({**fields, "payload": event.payload, "hash": event.hash}, ensure_ascii=True)
