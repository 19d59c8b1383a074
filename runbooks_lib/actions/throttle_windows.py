"""Is a throttle counter that is there again the one that was removed, or did it begin anew?"""

from __future__ import annotations

from dataclasses import dataclass

from runbooks_lib import units

#: Redis counts whole milliseconds, by a clock that it may look at once for several commands.
_CLOCK_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class CounterSeen:
    """One counter at one moment.

    Attributes:
        key: its name.
        count: requests; None for a list of times.
        size_bytes: of its value.
        ends_after: unix time; the window ends at this moment or later. None where it never ends.
        ends_before: unix time; the window ends at this moment or earlier: between the two lies the way of the answer.
    """

    key: str
    count: int | None
    size_bytes: int | None
    ends_after: float | None = None
    ends_before: float | None = None

    def is_smaller(self, other: CounterSeen) -> bool:
        """Does it hold fewer requests, by its count, or for a list of times by its length?"""
        if self.count is not None and other.count is not None:
            return self.count < other.count
        return self.size_bytes is not None and other.size_bytes is not None and self.size_bytes < other.size_bytes

    def ends_with(self, other: CounterSeen) -> bool:
        """Does its window end at the same moment, as far as could be measured?"""
        if self.ends_after is None or self.ends_before is None or other.ends_after is None or other.ends_before is None:
            return self.ends_after is other.ends_after is None
        earlier, later = sorted((self, other), key=lambda one: one.ends_after or 0)
        return (later.ends_after or 0) <= (earlier.ends_before or 0) + _CLOCK_SECONDS


def is_anew(before: CounterSeen, now: CounterSeen) -> bool | None:
    """Has a counter that is there again begun anew since it was removed? None where that cannot be told.

    A window that began anew holds fewer requests. That the end of the window moved says nothing: some sites move it
    with each request, and a request that was under way may have put the old list back with a later end.
    """
    if now.is_smaller(before):
        return True
    return False if now.ends_with(before) else None


def held(seen: CounterSeen) -> str:
    """What it holds, in words."""
    if seen.count is not None:
        return units.things(seen.count, "request")
    return "a value that cannot be read" if seen.size_bytes is None else f"a list of {seen.size_bytes} bytes"
