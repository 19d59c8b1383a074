"""Tells people of a rollout's decisions, over whichever services ``[notify]`` of ``runbooks.toml`` names.

Each address gets each message once: what was sent stands in the ledger, under an id that the database refuses twice. A
message that could not be sent is tried again by the next execution. Nothing here ever fails a run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runbooks_lib.errors import RecordError
from runbooks_lib.presentation.text import plain
from runbooks_lib.records.event import storable
from runbooks_lib.redaction import redact

if TYPE_CHECKING:
    from apprise import AppriseResult

    from runbooks_lib.config import Notify
    from runbooks_lib.records.ledger import Ledger

SENT, FAILED = "notify.sent", "notify.failed"
#: For all addresses together: a service that hangs must not keep a rollback's record waiting.
_DEADLINE_SECONDS = 15.0
#: So many lines of evidence fit on the screen of a telephone.
_EVIDENCE_LINES = 3
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]{0,19}(?=://)")
_HTTP_CODE = re.compile(r"error=(\d{3})\b")
_FIND = "SELECT event_id FROM runbook_events WHERE event_id = ?"


@dataclass(frozen=True, slots=True)
class Message:
    """What people are told.

    Attributes:
        key: names the event within its campaign, ``ended``; the same key is told once.
        title: environment, feature, and what happened.
        verdict: one sentence with the deciding numbers.
        evidence: further lines; the first three are sent.
        report: where the report lies.
        urgent: ``on_call`` is told as well.
    """

    key: str
    title: str
    verdict: str
    evidence: tuple[str, ...] = ()
    report: str = ""
    urgent: bool = False

    @property
    def body(self) -> str:
        """Everything below the title, one line each."""
        lines = [self.verdict, *self.evidence[:_EVIDENCE_LINES], f"Report: {self.report}" if self.report else ""]
        return "\n".join(plain(line) for line in lines if line)


@dataclass(frozen=True, slots=True)
class Sender:
    """On whose behalf it is told, and where that is written down.

    Attributes:
        addresses: of ``[notify]``.
        ledger: of events.
        campaign_id: the campaign.
        run_id: the run.
        environment: its name.
        operator: who runs it.
        secrets: of the environment; removed from the message.
    """

    addresses: Notify
    ledger: Ledger
    campaign_id: str
    run_id: str
    environment: str
    operator: str
    secrets: tuple[str, ...] = ()


def tell(message: Message, sender: Sender) -> tuple[str, ...]:
    """Send the message to everybody who has not got it yet. Never raises for what a service or the ledger does.

    Returns:
        What did not work, one sentence for each address; empty when everybody was told, or there is nobody to tell.
    """
    wanted = _recipients(message, sender.addresses)
    try:
        missing = {url: name for url, name in wanted.items() if not _was_told(message, name, sender)}
        failures = _sent(message, missing, (*sender.addresses.secrets, *sender.secrets))
        _record(message, missing, failures, sender)
    except RecordError as error:
        return (f"the ledger does not know who was told: {error.message}",)
    return tuple(f"{missing[url]} was not told: {reason}" for url, reason in failures.items())


def _recipients(message: Message, addresses: Notify) -> dict[str, str]:
    """Address → its name, which shows no more of it than the service."""
    groups = {"team": addresses.team, "on_call": addresses.on_call if message.urgent else ()}
    named: dict[str, str] = {}
    for group, urls in groups.items():
        for number, url in enumerate(urls, start=1):
            service = _SCHEME.match(url)
            named.setdefault(url, f"{group} {number} ({service[0] if service else 'unknown service'})")
    return named


def _was_told(message: Message, name: str, sender: Sender) -> bool:
    return bool(sender.ledger.rows(_FIND, _event_id(message, name, sender)))


def _event_id(message: Message, name: str, sender: Sender) -> str:
    return storable(f"{sender.campaign_id}:notify:{message.key}:{name.rpartition(' ')[0]}")


def _sent(message: Message, recipients: Mapping[str, str], secrets: Sequence[str]) -> dict[str, str]:
    try:
        return _send(message, recipients, secrets)
    except Exception as error:  # noqa: BLE001 - answered: a hundred services of others must never fail a rollback's run
        # Its words may hold an address.
        return dict.fromkeys(recipients, f"sending ended with {type(error).__name__}")


def _send(message: Message, recipients: Mapping[str, str], secrets: Sequence[str]) -> dict[str, str]:
    """Address → why it could not be told; all are told at once, under one deadline."""
    if not recipients:
        return {}
    # Loading its hundred services takes most of a second, which a look that has nothing to tell does not pay.
    from apprise import Apprise, NotifyFormat

    failures: dict[str, str] = {}
    known = []
    service = Apprise()
    for url in recipients:
        if service.add(url):
            known.append(url)
        else:
            failures[url] = "its address in [notify] is none that Apprise knows"
    if not known:
        return failures
    title, body = (redact(text, secrets) for text in (plain(message.title), message.body))
    found = service.notify(title=title, body=body, body_format=NotifyFormat.TEXT, timeout=_DEADLINE_SECONDS)
    return {**failures, **_failed(known, found)}


def _failed(urls: Sequence[str], found: AppriseResult) -> dict[str, str]:
    """Only what can hold no credential is told of why: an HTTP code, or that nobody answered."""
    results = found.results
    if len(results) != len(urls):
        return {} if found else dict.fromkeys(urls, "the message could not be made")
    return {
        url: _why(result.status.name, result.logs()) for url, result in zip(urls, results, strict=True) if not result
    }


def _why(status: str, logs: object) -> str:
    if status == "TIMEOUT":
        return f"no answer within {_DEADLINE_SECONDS:g} s"
    code = _HTTP_CODE.search(" ".join(str(getattr(entry, "message", entry)) for entry in iter(logs)))  # type: ignore[call-overload]
    return f"the service answered {code[1]}" if code else "the service could not be reached, or did not take it"


def _record(message: Message, tried: Mapping[str, str], failures: Mapping[str, str], sender: Sender) -> None:
    if not tried:
        return
    secrets = (*sender.addresses.secrets, *sender.secrets)
    title = redact(message.title, secrets)
    who = {"run_id": sender.run_id, "environment": sender.environment, "operator": sender.operator}
    with sender.ledger.writing() as writing:
        for url, name in tried.items():
            payload = {"campaign": sender.campaign_id, "event": message.key, "to": name, "title": title}
            if url in failures:
                writing.append(kind=FAILED, payload={**payload, "reason": failures[url]}, **who)
            elif not writing.rows(_FIND, event_id := _event_id(message, name, sender)):
                writing.append(kind=SENT, payload=payload, event_id=event_id, **who)
