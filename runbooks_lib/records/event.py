"""One event of the ledger, its canonical form and its hash."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any

#: A text as JSON, in ASCII.
_json = json.encoder.encode_basestring_ascii

_encode = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False).encode

#: ``previous_hash`` of the first event.
GENESIS = "0" * 64


@dataclass(frozen=True, slots=True)
class Event:
    """What happened once, as it stands in the ledger.

    Attributes:
        seq: 1, 2, 3 … without gaps.
        event_id: random, never reused.
        run_id: the run it belongs to.
        at: ISO 8601 in UTC with microseconds, ``2026-11-22T02:14:07.123456Z``.
        kind: ``run.started``, ``run.judged``, ``run.finished`` and so on.
        environment: the configured environment.
        operator: who ran it.
        payload_json: canonical JSON; ``payload`` is the parsed form.
        previous_hash: ``hash`` of the event before, ``GENESIS`` for the first.
        hash: SHA-256 over all other fields.
    """

    seq: int
    event_id: str
    run_id: str
    at: str
    kind: str
    environment: str
    operator: str
    payload_json: str
    previous_hash: str
    hash: str

    @property
    def payload(self) -> dict[str, Any]:
        """The payload as a mapping; empty where somebody replaced it by something else."""
        try:
            parsed = json.loads(self.payload_json)
        except (ValueError, RecursionError):
            return {}
        return parsed if isinstance(parsed, dict) else {}

    @property
    def happened_at(self) -> datetime:
        """``at`` as an aware UTC datetime."""
        return datetime.fromisoformat(self.at)

    def computed_hash(self, seq: int | None = None) -> str:
        """What ``hash`` must be for these fields, or would have to be at the place ``seq``."""
        return event_hash(self, seq)


def moment_of(event: Event) -> datetime | None:
    """``happened_at``; None where somebody has edited the ledger, which ``runbooks verify`` says."""
    try:
        return event.happened_at
    except ValueError:
        return None


def event_hash(event: Event, seq: int | None = None) -> str:
    """SHA-256 (hex) over every field but ``hash``, as one JSON array: no value can run into its neighbour.

    Args:
        event: whose ``hash`` is not looked at.
        seq: instead of the event's own.
    """
    number = event.seq if seq is None else seq
    texts = (event.event_id, event.run_id, event.at, event.kind, event.environment, event.operator)
    return fields_hash(number, *texts, event.payload_json, event.previous_hash)


def fields_hash(seq: int, *texts: str) -> str:
    """The same for the fields in their order; the texts are the eight between ``seq`` and ``hash``."""
    return hashlib.sha256(fields_text(seq, *texts)).hexdigest()


def fields_text(seq: int, *texts: str) -> bytes:
    """What is hashed: json.dumps([version, seq, *texts], separators=(",", ":")), made several times as fast."""
    return f'["runbooks-event-1",{seq},{",".join(map(_json, texts))}]'.encode("ascii")


def utc_text(moment: datetime) -> str:
    """An aware datetime as ISO 8601 UTC text of fixed width, so that text order is time order."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no white space; the same value always gives the same text."""
    try:
        text = _encode(value)
    except (TypeError, ValueError):
        return _encode(plain(value))
    # Every event waits for this: ``plain`` is left out where its work shows that it would change nothing.
    return text if text.isascii() and "\\u0000" not in text else _encode(plain(value))


def plain(value: Any) -> Any:
    """A value reduced to what JSON can say.

    Dataclasses become mappings, datetimes ISO text in UTC, enumerations their value, tuples lists. NaN and the
    infinities become None, because a number that is not one was not measured. Anything else becomes its ``str``.
    """
    # By exact type first: it is nearly always one of these, and every event waits for it.
    kind = type(value)
    if kind is str:
        return storable(value)
    if kind is dict:
        return {storable(str(key)): plain(item) for key, item in value.items()}
    if kind is list or kind is tuple:
        return [plain(item) for item in value]
    if value is None or kind is int or kind is bool:
        return value
    return _plain_other(value)


def _plain_other(value: Any) -> Any:  # noqa: PLR0911 - one line for each kind of value
    if isinstance(value, Enum):
        return plain(value.value)
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, datetime) and value.tzinfo:
        return utc_text(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return plain(dict(value))
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return storable(str(value))


def storable(text: str) -> str:
    """Text that UTF-8 and a database column can hold: lone surrogates (from odd file names) and NUL are escaped."""
    if text.isascii() and "\x00" not in text:
        return text
    return text.encode("utf-8", "backslashreplace").decode("utf-8").replace("\x00", "\\x00")
