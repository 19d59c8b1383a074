"""Whom an execution of a rollout tells of what: an end, a pause, a rollback that failed, and having seen nothing."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from runbooks_lib import units
from runbooks_lib.errors import ConfigurationError
from runbooks_lib.judgement.rollout.model import Gate, Reason, Stand
from runbooks_lib.model import Status
from runbooks_lib.operations.rollout_status import gates_of, order_line
from runbooks_lib.operations.rollout_work import Came, Work
from runbooks_lib.presentation.notify import Message, Sender, tell
from runbooks_lib.records.campaign import COMPLETE, Campaign, CampaignState, KeptLook

_WORST_FIRST = (Stand.FAIL, Stand.WARN, Stand.UNKNOWN, Stand.PASS, Stand.WAIT)
_BLIND = frozenset({Reason.UNKNOWN.value, Reason.FLAG_UNREAD.value, Reason.NO_STAGE.value})


def tell_people(work: Work) -> None:
    """Tell everybody whom it concerns and who has not been told; what does not work is a note of the outcome.

    Which messages are due follows from where the campaign stands, so what an execution that was killed could not tell
    is told by the next.
    """
    campaign = work.campaigns.latest(work.environment.name, work.order.feature)
    messages = () if campaign is None else _messages(work, campaign)
    if campaign is None or not messages:
        return
    try:
        addresses = work.runbook.configuration.notify
    except ConfigurationError as error:
        work.notes.append(f"nobody was told: {error.message}")
        return
    sender = Sender(
        addresses,
        work.ledger,
        campaign.id,
        work.run_id,
        work.environment.name,
        work.operator,
        work.environment.secrets,
    )
    for message in messages:
        work.notes += tell(message, sender)


def evidence_lines(gates: Sequence[Gate]) -> tuple[str, ...]:
    """The gates, those that decided first: ``FAIL errors: 1.9 % (limit control 0.4 %), e-value 43``."""
    ordered = sorted(gates, key=lambda gate: _WORST_FIRST.index(gate.stand))
    return tuple(
        f"{gate.stand.upper()} {gate.id}: {gate.now}"
        + (f" (limit {gate.limit})" if gate.limit else "")
        + (f", {gate.evidence}" if gate.evidence else "")
        for gate in ordered
    )


def _messages(work: Work, campaign: Campaign) -> tuple[Message, ...]:
    """What follows from where the campaign stands, with the newest look as evidence."""
    told = evidence_lines(gates_of(campaign.last_look))
    where, report = f"{campaign.environment}: rollout of {campaign.feature}", str(work.runbook.report)
    if campaign.state is CampaignState.ENDED:
        urgent = campaign.end != COMPLETE
        status = (Status.FAIL if urgent else Status.OK).value
        title = f"{status} · {where} {campaign.end} at {campaign.percentage} %"
        return (Message("end", title, f"{status}: {campaign.state_reason}", told, report, urgent),)
    if campaign.state is CampaignState.PAUSED:
        title = f"WARN · {where} is paused at {campaign.percentage} %"
        verdict = f"WARN, a person must decide: {campaign.state_reason}"
        orders = tuple(order_line(campaign, action) for action in ("resume", "abort"))
        return (Message(f"pause:{campaign.pauses_count}", title, verdict, orders, report, urgent=True),)
    if work.came is Came.FAILED:
        title = f"FAIL · {where} could not be changed at {campaign.percentage} %"
        key = f"failed:{campaign.stage_number}:{campaign.last_look.look if campaign.last_look else 0}"
        return (Message(key, title, f"FAIL: {work.text}", told, report, urgent=True),)
    blind = blind_looks(campaign)
    if len(blind) >= campaign.parameters["escalate_looks"]:
        title = f"UNKNOWN · {where} sees nothing at {campaign.percentage} %"
        verdict = f"UNKNOWN, held for {units.things(len(blind), 'look')}: {blind[-1].decision.get('text', '')}"
        key = f"unknown:{campaign.stage_number}:{blind[0].look}"
        return (Message(key, title, verdict, told, report, urgent=True),)
    return ()


def blind_looks(campaign: Campaign) -> tuple[KeptLook, ...]:
    """The newest looks in a row at which something that must be known was not, the flag among it."""
    blind = itertools.takewhile(
        lambda look: not _BLIND.isdisjoint(look.decision.get("reasons") or ()), reversed(campaign.stage_looks)
    )
    return tuple(blind)[::-1]
