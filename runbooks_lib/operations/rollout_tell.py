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
_WARNED = frozenset({Reason.WARNING.value, Reason.EXPOSURE.value, Reason.NOT_CONFIRMED.value})
#: A stage that takes twice its soak, or three times and so on, is told of once each time, whatever keeps it.
_LATE_SOAKS = 2


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
    if not (addresses.team or addresses.on_call) and any(message.urgent for message in messages):
        work.notes.append("nobody is told: [notify] of runbooks.toml names nobody")
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
    if campaign.state is CampaignState.ENDED or work.came in (Came.ROLLED_BACK, Came.ABORTED):
        return (_ended(work, campaign),)
    if campaign.state is CampaignState.PAUSED:
        return (_paused(work, campaign),)
    if work.came in (Came.FAILED, Came.UNSETTLED):
        return (_failed(work, campaign),)
    if work.came is Came.HINDERED:
        title, verdict = f"WARN · {_where(campaign)} holds at {campaign.percentage} %", f"WARN: {work.text}"
        key = f"hindered:{campaign.stage_number}"
        return (Message(key, title, verdict, _told(campaign), str(work.runbook.report)),)
    held = hold_message(campaign, str(work.runbook.report))
    return (held,) if held else ()


def _ended(work: Work, campaign: Campaign) -> Message:
    """Also where the feature is off and the ledger could not be told yet."""
    end, reason = campaign.end or work.came.value, campaign.state_reason if campaign.end else work.text
    urgent = end != COMPLETE
    status = (Status.FAIL if urgent else Status.OK).value
    title = f"{status} · {_where(campaign)} {end} at {campaign.percentage} %"
    return Message("end", title, f"{status}: {reason}", _told(campaign), str(work.runbook.report), urgent)


def _paused(work: Work, campaign: Campaign) -> Message:
    title = f"WARN · {_where(campaign)} is paused at {campaign.percentage} %"
    verdict = f"WARN, a person must decide: {campaign.state_reason}"
    orders = tuple(order_line(campaign, action) for action in ("resume", "abort"))
    return Message(f"pause:{campaign.pauses_count}", title, verdict, orders, str(work.runbook.report), urgent=True)


def _failed(work: Work, campaign: Campaign) -> Message:
    unsettled = work.came is Came.UNSETTLED
    title = f"FAIL · {_where(campaign)} could not be {'settled' if unsettled else 'changed'} at {campaign.percentage} %"
    look = campaign.last_look.look if campaign.last_look else 0
    key = f"{'unsettled' if unsettled else 'failed'}:{campaign.stage_number}:{look}"
    return Message(key, title, f"FAIL: {work.text}", _told(campaign), str(work.runbook.report), urgent=True)


def hold_message(campaign: Campaign, report: str) -> Message | None:
    """A hold that lasts: blind, with warnings, or far beyond its soak; None while it is as it should be.

    Args:
        campaign: running.
        report: where the report lies.
    """
    stage = campaign.stage_number
    place, most = f"{_where(campaign)} holds at {campaign.percentage} %", campaign.parameters["escalate_looks"]
    last = campaign.last_look
    text = str(last.decision.get("text", "")) if last else ""
    if len(blind := blind_looks(campaign)) >= most:
        title = f"UNKNOWN · {_where(campaign)} sees nothing at {campaign.percentage} %"
        verdict = f"UNKNOWN, held for {units.things(len(blind), 'look')}: {text}"
        return Message(f"unknown:{stage}:{blind[0].look}", title, verdict, _told(campaign), report, urgent=True)
    if len(warned := _row(campaign, _WARNED)) >= most:
        verdict = f"WARN, held for {units.things(len(warned), 'look')}: {text}"
        return Message(f"warned:{stage}:{warned[0].look}", f"WARN · {place}", verdict, _told(campaign), report)
    planned = max(1, round(campaign.parameters["soak_seconds"] / campaign.parameters["look_seconds"]))
    if last is not None and last.look >= _LATE_SOAKS * planned:
        lasts = units.duration(last.look * campaign.parameters["look_seconds"])
        verdict = f"WARN, at this stage for {lasts}, soak {units.duration(campaign.parameters['soak_seconds'])}: {text}"
        return Message(f"late:{stage}:{last.look // planned}", f"WARN · {place}", verdict, _told(campaign), report)
    return None


def blind_looks(campaign: Campaign) -> tuple[KeptLook, ...]:
    """The newest looks in a row at which something that must be known was not, the flag among it."""
    return _row(campaign, _BLIND)


def _row(campaign: Campaign, reasons: frozenset[str]) -> tuple[KeptLook, ...]:
    """The newest looks in a row that had one of these reasons, oldest first."""
    found = itertools.takewhile(
        lambda look: not reasons.isdisjoint(look.decision.get("reasons") or ()), reversed(campaign.stage_looks)
    )
    return tuple(found)[::-1]


def _told(campaign: Campaign) -> tuple[str, ...]:
    return evidence_lines(gates_of(campaign.last_look))


def _where(campaign: Campaign) -> str:
    return f"{campaign.environment}: rollout of {campaign.feature}"
