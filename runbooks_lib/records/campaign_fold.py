"""The campaigns that events make. What was edited, or makes no sense, is passed over: ``runbooks verify`` names it.

Every event has an id that says what it is (``<campaign>:look:2:17``), so the database itself refuses a second one, and
an event that was added around ``Campaigns`` does not count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import msgspec

from runbooks_lib.errors import UsageError
from runbooks_lib.facts.rollout import Baseline, RolloutWindow
from runbooks_lib.records import campaign as words
from runbooks_lib.records.campaign import Campaign, CampaignState, KeptLook, Move, campaign_id, is_campaign_id
from runbooks_lib.records.campaign_terms import terms_of
from runbooks_lib.records.event import Event

_NONSENSE = (KeyError, TypeError, ValueError, OverflowError, UsageError)


def as_data(value: Any) -> Any:
    """A window or a baseline as JSON can say it; infinite bucket edges become texts."""
    return msgspec.to_builtins(value, str_keys=True)


def window_of(data: Any) -> RolloutWindow:
    """The window that ``as_data`` wrote, exactly.

    Raises:
        ValueError: it is none, or its times are not in order and aware.
    """
    window = msgspec.convert(data, RolloutWindow, strict=False, str_keys=True)
    times = (window.started_at, window.ended_at)
    if any(moment.tzinfo is None for moment in times) or times[0] >= times[1]:
        raise ValueError(f"a window from {times[0]} to {times[1]}")
    return replace(window, started_at=times[0].astimezone(UTC), ended_at=times[1].astimezone(UTC))


def baseline_of(data: Any) -> Baseline | None:
    """The baseline that ``as_data`` wrote.

    Raises:
        ValueError: it is none.
    """
    return None if data is None else msgspec.convert(data, Baseline, strict=False, str_keys=True)


def opened_id(action_id: str) -> str:
    """Id of the event that opens a campaign: it is the campaign's own."""
    return campaign_id(action_id)


def look_id(campaign: Campaign, stage_number: int, look: int) -> str:
    """Id of a look's event."""
    return f"{campaign.id}:look:{stage_number}:{look}"


def next_id(campaign: Campaign, kind: str) -> str:
    """Id of the next event of any other kind."""
    numbered = {
        words.MOVED: f"move:{len(campaign.moves) + 1}",
        words.PAUSED: f"pause:{campaign.pauses_count + 1}",
        words.RESUMED: f"resume:{campaign.pauses_count}",
        words.ABORTING: "abort",
        words.ENDED: "end",
    }
    return f"{campaign.id}:{numbered[kind]}"


def folded(events: Iterable[Event]) -> tuple[Campaign, ...]:
    """The campaigns that these events make, in the order of their opening.

    Args:
        events: of the kinds in ``campaign.KINDS``, in their order.
    """
    found: dict[str, Campaign] = {}
    for event in events:
        name = event.event_id.partition(":")[0]
        try:
            if event.kind == words.OPENED:
                found.setdefault(name, _opened(event, event.payload))
            elif name in found and found[name].environment == event.environment:
                found[name] = _changed(found[name], event, event.payload)
        except _NONSENSE:
            continue
    return tuple(found.values())


def _opened(event: Event, payload: Mapping[str, Any]) -> Campaign:
    action_id, feature, intent = str(payload["action_id"]), payload["feature"], payload["parameters"]
    _require(event.event_id == opened_id(action_id) == payload["campaign"] and is_campaign_id(event.event_id))
    _require(isinstance(feature, str) and isinstance(intent, Mapping) and intent.get("feature") == feature)
    terms, count = terms_of(intent), payload.get("whitelist_count")
    _require(count is None or (isinstance(count, int) and not isinstance(count, bool)))
    return Campaign(
        id=event.event_id,
        environment=event.environment,
        feature=feature,
        parameters=terms,
        opened_at=event.happened_at,
        opened_by=event.operator,
        action_id=action_id,
        full_digest=str(payload.get("full_digest", "")),
        approver=str(payload.get("approver", "")),
        baseline=baseline_of(payload.get("baseline")),
        whitelist_count=count,
        state=CampaignState.RUNNING,
        state_reason="",
        state_by="",
        state_at=event.happened_at,
        end="",
        aborting=False,
        percentage=terms["stages"][0],
        stage_started_at=_moment(payload["stage_started_at"]),
        stage_number=0,
        looks=(),
        moves=(),
        pauses_count=0,
        opened_seq=event.seq,
        ended_seq=0,
    )


def _changed(campaign: Campaign, event: Event, payload: Mapping[str, Any]) -> Campaign:
    _require(campaign.state is not CampaignState.ENDED and payload.get("campaign") == campaign.id)
    return _CHANGES[event.kind](campaign, event, payload)


def _looked(campaign: Campaign, event: Event, payload: Mapping[str, Any]) -> Campaign:
    window, decision = window_of(payload["window"]), payload["decision"]
    look = KeptLook(
        stage_number=int(payload["stage_number"]),
        look=int(payload["look"]),
        percentage=int(payload["percentage"]),
        at=_moment(payload["at"]),
        window=window,
        decision=decision,
        run_id=event.run_id,
        operator=event.operator,
    )
    _require(event.event_id == look_id(campaign, look.stage_number, look.look) and isinstance(decision, Mapping))
    _require(follows(campaign, look))
    return replace(campaign, looks=(*campaign.looks, look))


def follows(campaign: Campaign, look: KeptLook) -> bool:
    """Is it of the present stage, with a number and a window after those of the look before?"""
    last = campaign.last_look
    if (look.stage_number, look.percentage) != (campaign.stage_number, campaign.percentage):
        return False
    if last is None:
        return look.look >= 1 and look.window.started_at >= campaign.stage_started_at
    return look.look > last.look and look.window.started_at >= last.window.ended_at


def _moved(campaign: Campaign, event: Event, payload: Mapping[str, Any]) -> Campaign:
    _require(event.event_id == next_id(campaign, words.MOVED))
    move = Move(
        from_percentage=payload["from"],
        to_percentage=payload["to"],
        at=_moment(payload["at"]),
        action_id=str(payload["action_id"]),
        run_id=event.run_id,
        operator=event.operator,
    )
    _require(is_move(campaign, move.from_percentage, move.to_percentage))
    return replace(
        campaign,
        moves=(*campaign.moves, move),
        percentage=move.to_percentage,
        stage_started_at=move.at,
        stage_number=campaign.stage_number + 1,
    )


def is_move(campaign: Campaign, from_percentage: object, to_percentage: object) -> bool:
    """From where it is to another of its stages?"""
    return (
        type(from_percentage) is type(to_percentage) is int
        and from_percentage == campaign.percentage != to_percentage
        and to_percentage in campaign.stages
    )


def _paused(campaign: Campaign, event: Event, payload: Mapping[str, Any]) -> Campaign:
    _require(event.event_id == next_id(campaign, words.PAUSED) and campaign.state is CampaignState.RUNNING)
    changed = _said(campaign, event, payload)
    return replace(changed, state=CampaignState.PAUSED, pauses_count=campaign.pauses_count + 1)


def _resumed(campaign: Campaign, event: Event, payload: Mapping[str, Any]) -> Campaign:
    _require(event.event_id == next_id(campaign, words.RESUMED) and campaign.state is CampaignState.PAUSED)
    percentage = payload.get("percentage", campaign.percentage)
    _require(not campaign.aborting and type(percentage) is int and percentage in campaign.stages)
    return replace(
        _said(campaign, event, payload),
        state=CampaignState.RUNNING,
        percentage=percentage,
        # A person may have done anything meanwhile: what was observed before says nothing about what comes.
        stage_started_at=event.happened_at,
        stage_number=campaign.stage_number + 1,
    )


def _aborting(campaign: Campaign, event: Event, payload: Mapping[str, Any]) -> Campaign:
    _require(event.event_id == next_id(campaign, words.ABORTING))
    return replace(_said(campaign, event, payload), aborting=True)


def _ended(campaign: Campaign, event: Event, payload: Mapping[str, Any]) -> Campaign:
    end = payload.get("end")
    _require(event.event_id == next_id(campaign, words.ENDED) and end in words.ENDS)
    return replace(_said(campaign, event, payload), state=CampaignState.ENDED, end=str(end), ended_seq=event.seq)


def _said(campaign: Campaign, event: Event, payload: Mapping[str, Any]) -> Campaign:
    reason = str(payload.get("reason", ""))
    return replace(campaign, state_reason=reason, state_by=event.operator, state_at=event.happened_at)


def _moment(text: Any) -> datetime:
    moment = datetime.fromisoformat(text)
    _require(moment.tzinfo is not None)
    return moment.astimezone(UTC)


def _require(holds: bool) -> None:  # noqa: FBT001 - the condition itself
    if not holds:
        raise ValueError("the event does not follow")


_CHANGES: Mapping[str, Callable[[Campaign, Event, Mapping[str, Any]], Campaign]] = {
    words.LOOKED: _looked,
    words.MOVED: _moved,
    words.PAUSED: _paused,
    words.RESUMED: _resumed,
    words.ABORTING: _aborting,
    words.ENDED: _ended,
}
