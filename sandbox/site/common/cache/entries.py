"""What is stored under a key: an answer with its times, or the note that there is none.

As JSON, an answer is ``{"data": …, "stored_at": unix time, "fresh_seconds": s, "ttl_seconds": s}``. The note is the
string ``NULL_VALUE``; too short to be compressed, it is readable in Redis as the twelve bytes ``"NULL_VALUE"``.
"""

from dataclasses import dataclass
from typing import Any, Literal

from common.cache.resources import Payload

NULL_VALUE: Literal["NULL_VALUE"] = "NULL_VALUE"


@dataclass(frozen=True)
class Entry:
    """A stored answer.

    Attributes:
        data: what the view answers.
        stored_at: unix time.
        fresh_seconds: soft expiry: after it, the entry is served while it is refreshed.
        ttl_seconds: hard expiry, when Redis removes it.
    """

    data: Payload
    stored_at: float
    fresh_seconds: float
    ttl_seconds: float

    def age_seconds(self, *, now: float) -> float:
        """How long ago the answer was made; never negative, although clocks differ between machines."""
        return max(0.0, now - self.stored_at)

    def is_fresh(self, *, now: float) -> bool:
        """Is it before its soft expiry?"""
        return self.age_seconds(now=now) < self.fresh_seconds


def encode(entry: Entry) -> dict[str, Any]:
    """The form that the cache serialises."""
    # Not asdict(): it copies the data, and cannot copy what serializers return.
    return {
        "data": entry.data,
        "stored_at": entry.stored_at,
        "fresh_seconds": entry.fresh_seconds,
        "ttl_seconds": entry.ttl_seconds,
    }


def decode(value: object) -> Entry | Literal["NULL_VALUE"] | None:
    """Read a stored value; None when it is not one of ours."""
    if value == NULL_VALUE:
        return NULL_VALUE
    try:
        return Entry(**value)  # type: ignore[arg-type]
    except TypeError:
        return None
