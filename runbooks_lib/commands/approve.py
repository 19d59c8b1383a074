"""``runbooks approve``: somebody else reads the plan as it was proposed, and approves exactly that one, once."""

from __future__ import annotations

import argparse
import select
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runbooks_lib.commands import console
from runbooks_lib.errors import RefusedError, UsageError
from runbooks_lib.model import Status

if TYPE_CHECKING:
    from runbooks_lib.actions.plan import Plan
    from runbooks_lib.records.approvals import Proposal

#: How long a pipe on standard input is waited for; a terminal has all the time it wants.
_PIPE_SECONDS = 2.0
_PROOF_NAMES = "the names that planner and approver give themselves; set [approvals] allowed_signers for signatures"
_PROOF_SIGNED = "a signature of the approver, from another account than the planner's"


def add(commands: Any) -> None:
    """Declare the command."""
    parser = console.command(
        commands, "approve", approve, "read a plan that somebody else proposed, and approve exactly that one, once"
    )
    parser.add_argument("digest", help="of the plan, as its dry run shows it")
    console.environment_option(parser, "")
    parser.add_argument(
        "--expires", default="", help="how long it holds, such as 30m; [approvals] expires by default and at most"
    )
    parser.add_argument("--key", type=Path, help="SSH key to sign with, where [approvals] allowed_signers is set")


def approve(arguments: argparse.Namespace) -> int:
    """Show the plan, have its digest typed once more, approve; 40 when it may not be approved, or was not."""
    from runbooks_lib import units
    from runbooks_lib.parameters import parse_duration
    from runbooks_lib.records import origin
    from runbooks_lib.records.approvals import Approvals
    from runbooks_lib.records.ledger import Ledger

    asked = parse_duration(arguments.expires) if arguments.expires else None
    if not arguments.environment:
        raise UsageError("which environment?", hint="add: --environment NAME")
    configuration = console.load(arguments)
    longest = configuration.approval_seconds
    if asked is not None and asked > longest:
        raise UsageError(
            f"--expires {arguments.expires} is over {units.duration(longest)}",
            hint="ask for less, or set [approvals] expires in runbooks.toml",
        )
    site = configuration.environment(arguments.environment)
    signers = configuration.allowed_signers
    approvals = Approvals(Ledger(configuration.ledger_url), signers, longest_seconds=longest)
    proposal = approvals.proposal(arguments.digest, environment=site.name)
    plan = _proposed_plan(proposal)
    # Asked before the plan is shown, so that nobody reads and types in vain; ``give`` asks again.
    approvals.require_another(proposal, origin.operator(), origin.this_account())
    approvals.require_unspent(proposal)
    _show(plan, proposal, _PROOF_SIGNED if signers else _PROOF_NAMES)
    _require_typed(proposal)
    given = approvals.give(proposal, approver=origin.operator(), seconds=asked or longest, key=arguments.key)
    _say_given(plan, given.expires_at, signed=bool(given.signature))
    return 0


def _proposed_plan(proposal: Proposal) -> Plan:
    """The plan that was proposed; what is shown is what its digest is of.

    Raises:
        RefusedError: the recorded plan does not give the digest: a secret in it was masked, or somebody edited it.
    """
    from runbooks_lib.actions.desk import plan_of

    plan = plan_of(proposal.plan)
    if plan.full_digest != proposal.full_digest:
        raise RefusedError(
            f"the plan in the ledger is not the one that {proposal.digest} is the digest of",
            hint="plan it again without secrets in its parameters, and look at: runbooks verify",
        )
    return plan


def _show(plan: Plan, proposal: Proposal, proof: str) -> None:
    import json

    from runbooks_lib import units
    from runbooks_lib.presentation.plans import plan_rows, where
    from runbooks_lib.presentation.sheet import Row, Sheet, render_sheet
    from runbooks_lib.presentation.text import plain

    ago = units.duration((units.now() - proposal.at).total_seconds())
    exactly = json.dumps({"intent": dict(plan.intent), "rests on": dict(plan.rests_on)}, ensure_ascii=False)
    who = f"{proposal.operator}{f', {proposal.account.shown}' if proposal.account else ''}"
    rows = (
        Row("proposed", plain(f"{units.timestamp(proposal.at)}, {ago} ago, by {who}, {proposal.run_id}")),
        Row("where", plain(plan.scope)),
        *plan_rows(plan),
        Row("exactly", plain(exactly, at_most=1200)),
        Row("rests on", plain(proof)),
    )
    status = Status.WARN if plan.failed_guards else Status.OK
    sheet = Sheet(f"APPROVE?  {plan.digest}", where(plan), status, rows)
    console.say(render_sheet(sheet, width=console.width(), colour=console.colour()))


def _require_typed(proposal: Proposal) -> None:
    """The digest once more: on a terminal it is asked for, a pipe may bring it.

    Raises:
        RefusedError: it was not typed, or is another one. Nothing was approved.
    """
    from runbooks_lib.records.approvals import normalized

    if sys.stdin.isatty():
        sys.stderr.write("Type the digest once more to approve exactly this: ")
        sys.stderr.flush()
        typed = sys.stdin.readline()
    else:
        typed = _piped_line()
    if not typed.strip():
        raise RefusedError(
            "nothing was approved: the digest was not typed",
            hint=f"type it when asked; without a terminal: echo {proposal.digest} | runbooks approve …",
        )
    if not proposal.full_digest.startswith(normalized(typed)):
        raise RefusedError(f"nothing was approved: that is not {proposal.digest}", hint="read the plan again")


def _piped_line() -> str:
    """The first line of a pipe or a file; empty when nothing comes."""
    try:
        ready, _, _ = select.select([sys.stdin], [], [], _PIPE_SECONDS)
    except (OSError, ValueError):
        return ""
    return sys.stdin.readline() if ready else ""


def _say_given(plan: Plan, expires_at: Any, *, signed: bool) -> None:
    import shlex

    from runbooks_lib import units
    from runbooks_lib.actions.registry import command_line
    from runbooks_lib.change_verdict import REASON_TEXT
    from runbooks_lib.presentation.text import plain

    how = "signed" if signed else "not signed: it rests on names"
    console.say(f"Approved once, until {units.timestamp(expires_at)}, {how}. It is applied with:")
    line = f"{command_line(plan.command, plan.environment, confirm=plan.digest)} --reason {shlex.quote(REASON_TEXT)}"
    console.say(f"  {plain(line, at_most=2000)}")
