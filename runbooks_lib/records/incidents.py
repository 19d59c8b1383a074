"""Incidents in the ledger: opened, noted, closed, and everything that happened in between.

::

    incidents = Incidents(ledger)
    incident = incidents.open(environment="production", severity=1, title="Redis is down", run_id=…, operator="anna")
    incidents.note(incident, "failed over to the replica", run_id=…, operator="anna")
    incidents.timeline(incident)
    incidents.close(incident, summary="the host had lost its disk", run_id=…, operator="anna")
"""

from __future__ import annotations

import re
import secrets as random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from runbooks_lib import units
from runbooks_lib.errors import RefusedError, UsageError
from runbooks_lib.facts import Entry, Incident
from runbooks_lib.records.event import Event, moment_of
from runbooks_lib.records.event_words import matters, said
from runbooks_lib.records.ledger import Ledger
from runbooks_lib.redaction import one_line, redact

OPENED, NOTED, CLOSED = "incident.opened", "incident.noted", "incident.closed"
SEVERITIES = (1, 2, 3)
_LONGEST_TITLE = 200
_LONGEST_TEXT = 4_000
#: A timeline holds at most so many events, the newest, after the opening.
MOST_ENTRIES = 2_000
_CLOCKS_DIFFER = timedelta(minutes=10)
_ID = re.compile(r"inc-\d{8}-\d{6}-[0-9a-f]{4}")


class Incidents:
    """The incidents of all environments. Whatever is written here only adds events.

    Args:
        ledger: of events.
        secrets: values to remove from titles, notes and summaries; longest first.
    """

    def __init__(self, ledger: Ledger, secrets: Sequence[str] = ()) -> None:
        self._ledger = ledger
        self._secrets = tuple(secrets)

    def open(self, environment: str, severity: int, title: str, run_id: str, operator: str) -> Incident:
        """Open an incident, or give the one that is open under this title.

        Two operators who open the same one at once get the same one: the first in the ledger counts. With another
        severity than before, the change is noted.

        Raises:
            UsageError: the severity is not 1, 2 or 3, or the title is empty.
            RecordError: the ledger could not be read or written.
        """
        title = one_line(title, self._secrets, longest=_LONGEST_TITLE)
        if severity not in SEVERITIES or not title:
            raise UsageError(f"an incident needs a severity of 1, 2 or 3 and a title, not {severity} and {title!r}")
        found = self._open_under(environment, title)
        if found is None:
            made = f"inc-{units.now():%Y%m%d-%H%M%S}-{random.token_hex(2)}"
            payload = {"incident": made, "severity": severity, "title": title}
            self._append(OPENED, environment, payload, run_id, operator)
            found = self._open_under(environment, title)
        if found is None:
            raise RefusedError(f"incident {title!r} was closed in the same moment", hint="open it again")
        if found.severity != severity:
            text = f"severity {found.severity} → {severity}"
            payload = {"incident": found.id, "severity": severity, "text": text}
            self._append(NOTED, environment, payload, run_id, operator)
        return replace(found, severity=severity)

    def note(self, incident: Incident, text: str, run_id: str, operator: str) -> None:
        """Add a sentence to an open incident.

        Raises:
            UsageError: the note is empty.
            RefusedError: the incident is not open; nothing was noted.
            RecordError: the ledger could not be read or written.
        """
        self._require_open(incident)
        payload = {"incident": incident.id, "text": self._text(text, "a note")}
        self._append(NOTED, incident.environment, payload, run_id, operator)

    def close(self, incident: Incident, summary: str, run_id: str, operator: str) -> Incident:
        """Close it, with what was found and done.

        Raises:
            UsageError: the summary is empty.
            RefusedError: the incident is not open; nothing was written.
            RecordError: the ledger could not be read or written.
        """
        self._require_open(incident)
        payload = {"incident": incident.id, "summary": self._text(summary, "a summary")}
        self._append(CLOSED, incident.environment, payload, run_id, operator)
        return self.find(incident.id, incident.environment)

    def open_ones(self, environment: str) -> tuple[Incident, ...]:
        """Which incidents are open here? Oldest first."""
        return tuple(one for one in self.all(environment) if one.closed_at is None)

    def all(self, environment: str) -> tuple[Incident, ...]:
        """Every incident of an environment, oldest first.

        Raises:
            RecordError: the ledger could not be read.
        """
        events = [
            e for kind in (OPENED, NOTED, CLOSED) for e in self._ledger.events(environment=environment, kind=kind)
        ]
        return _folded(sorted(events, key=lambda event: event.seq))

    def find(self, incident_id: str, environment: str) -> Incident:
        """The incident with this id.

        Raises:
            UsageError: there is none.
        """
        shown = one_line(incident_id, longest=60)
        for incident in self.all(environment) if _ID.fullmatch(incident_id) else ():
            if incident.id == incident_id:
                return incident
        raise UsageError(
            f"there is no incident {shown!r} on {environment}", hint="ids look like inc-20261122-021407-9c1f"
        )

    def timeline(self, incident: Incident) -> tuple[Entry, ...]:
        """What happened on this environment from the opening to the closing, in words, in order.

        Every event of the ledger counts, whoever caused it, but for notes of other incidents. Of very many, the newest
        ``MOST_ENTRIES`` are given, after the opening.

        Raises:
            RecordError: the ledger could not be read.
        """
        # The ledger's order decides, not the clocks; times only keep the search short.
        until = None if incident.closed_at is None else incident.closed_at + _CLOCKS_DIFFER
        since = incident.opened_at - _CLOCKS_DIFFER
        events = self._ledger.events(environment=incident.environment, since=since, until=until, limit=MOST_ENTRIES)
        if not any(event.seq == incident.opened_seq for event in events):
            opening = self._ledger.events(environment=incident.environment, kind=OPENED)
            events = (*(event for event in opening if event.seq == incident.opened_seq), *events)
        return tuple(_entry(event) for event in events if _belongs(event, incident))

    def _open_under(self, environment: str, title: str) -> Incident | None:
        same = (one for one in self.open_ones(environment) if one.title.casefold() == title.casefold())
        return next(same, None)

    def _require_open(self, incident: Incident) -> None:
        now = self.find(incident.id, incident.environment)
        if now.closed_at is not None:
            raise RefusedError(
                f"incident {now.id} ({now.title}) was closed {units.timestamp(now.closed_at)} by {now.closed_by}",
                hint="open it again under the same title",
            )

    def _text(self, text: str, what: str) -> str:
        kept = redact(text.strip()[:_LONGEST_TEXT], self._secrets)
        if not kept:
            raise UsageError(f"{what} must not be empty")
        return kept

    def _append(self, kind: str, environment: str, payload: Mapping[str, Any], run_id: str, operator: str) -> None:
        self._ledger.append(kind=kind, run_id=run_id, environment=environment, operator=operator, payload=payload)


def _folded(events: Sequence[Event]) -> tuple[Incident, ...]:
    """The incidents that these events make; events that make no sense are passed over."""
    found: dict[str, Incident] = {}
    for event in events:
        payload = event.payload
        name = str(payload.get("incident", ""))
        if event.kind == OPENED:
            made = _opened(event, name, payload)
            # The second opening under a title that is open is the same incident, so its id is never used.
            if made is not None and not any(_same(made, other) for other in found.values()):
                found.setdefault(name, made)
        elif name in found and found[name].closed_at is None:
            found[name] = _changed(found[name], event)
    return tuple(found.values())


def _same(made: Incident, other: Incident) -> bool:
    return other.closed_at is None and made.title.casefold() == other.title.casefold()


def _opened(event: Event, name: str, payload: Mapping[str, Any]) -> Incident | None:
    at = moment_of(event)
    severity = payload.get("severity")
    if at is None or severity not in SEVERITIES or not _ID.fullmatch(name):
        return None
    return Incident(name, event.environment, severity, str(payload.get("title", "")), at, event.operator, event.seq)


def _changed(incident: Incident, event: Event) -> Incident:
    if event.kind == CLOSED:
        summary = str(event.payload.get("summary", ""))
        at = moment_of(event) or incident.opened_at
        return replace(incident, closed_at=at, closed_by=event.operator, summary=summary, closed_seq=event.seq)
    severity = event.payload.get("severity")
    return replace(incident, severity=severity) if severity in SEVERITIES else incident


def _belongs(event: Event, incident: Incident) -> bool:
    if event.seq < incident.opened_seq or (incident.closed_seq is not None and event.seq > incident.closed_seq):
        return False
    return not event.kind.startswith("incident.") or event.payload.get("incident") == incident.id


def _entry(event: Event) -> Entry:
    at = moment_of(event)
    return Entry(
        at=at or datetime.fromtimestamp(0, units.now().tzinfo),
        operator=one_line(event.operator, longest=60),
        text=said(event),
        run_id=event.run_id,
        kind=event.kind,
        matters=matters(event),
    )
