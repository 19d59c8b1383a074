"""What was done to a chain of events? Pure: events in, faults out.

The events are followed by their hashes, not by their numbers. That is how a moved event is told from an edited one,
and an inserted one from a removed one. Two things cannot be seen here: an event removed from the very end, and a chain
that somebody rewrote from some point to the end with new hashes. ``verify`` finds both by the receipts in the run
folders.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import Any

from runbooks_lib.records.event import GENESIS, Event, fields_hash

_FIELDS = attrgetter(*(name.name for name in fields(Event)))

#: How far from its own number the original place of a renumbered event is looked for.
_SEARCH = 200


@dataclass(frozen=True, slots=True)
class ChainFault:
    """One thing that is wrong with the chain.

    Attributes:
        kind: ``removed``, ``inserted``, ``reordered`` or ``edited``.
        seq: the number it concerns: as stored, or the missing one.
        event_id: of the event; empty for a removed one.
        run_id: of the event; empty for a removed one.
        detail: one sentence.
    """

    kind: str
    seq: int
    event_id: str
    run_id: str
    detail: str


@dataclass(slots=True)
class _Walk:
    """The events put back into the order of their hashes."""

    places: list[tuple[int, Event]] = field(default_factory=list)
    faults: list[ChainFault] = field(default_factory=list)


def is_whole(rows: Iterable[Sequence[Any]]) -> bool:
    """Is every event where it was written, as it was written? What nearly always holds, told with one hash each.

    Args:
        rows: the fields of all events, in the order of ``seq``.
    """
    previous = GENESIS
    for expected, row in enumerate(rows, 1):
        if row[0] != expected or row[-2] != previous or fields_hash(*row[:-1]) != row[-1]:
            return False
        previous = row[-1]
    return True


def find_faults(events: Iterable[Event]) -> tuple[ChainFault, ...]:
    """Everything that is wrong with the chain, in the order of ``seq``; empty when it is as it was written."""
    ordered = sorted(events, key=lambda event: event.seq)
    if is_whole(map(_FIELDS, ordered)):
        return ()
    walk = _follow(ordered)
    placed = {id(event) for _, event in walk.places}
    faults = walk.faults
    faults += [
        _fault("inserted", event, "it hangs beside the chain: no later event builds on it")
        for event in ordered
        if id(event) not in placed
    ]
    faults += _content_faults(walk.places)
    faults += _moved_faults(walk.places)
    unique = {(fault.kind, fault.seq): fault for fault in reversed(faults)}
    return tuple(sorted(unique.values(), key=lambda fault: (fault.seq, fault.kind)))


def _follow(ordered: Sequence[Event]) -> _Walk:
    """Follow the hashes from the first event; where a link is broken, say why and go on behind it."""
    children: dict[str, list[Event]] = defaultdict(list)
    for written in ordered:
        children[written.previous_hash].append(written)
    known = {event.hash for event in ordered} | {GENESIS}
    heads = [event for event in ordered if event.previous_hash not in known]
    walk, seen, expected = _Walk(), set[int](), 1
    last: Event | None = None
    while True:
        following = [child for child in children[last.hash if last else GENESIS] if id(child) not in seen]
        event = _true_one(following, children, expected)
        event = event or next((head for head in heads if id(head) not in seen), None)
        if event is None:
            return walk
        seen.add(id(event))
        if not following:
            place = _original_place(event)
            if place < expected:
                continue
            walk.faults += _broken_link(last, event, expected, place)
            expected = place
        walk.places.append((expected, event))
        last, expected = event, expected + 1


def _true_one(following: list[Event], children: Mapping[str, list[Event]], expected: int) -> Event | None:
    """Where two events follow the same one, the true one is that on which others build; None where none follows."""

    def rank(event: Event) -> tuple[bool, bool, int]:
        return (not children.get(event.hash), event.computed_hash(expected) != event.hash, event.seq)

    return min(following, key=rank, default=None)


def _original_place(event: Event) -> int:
    """The number under which the event's hash is right; its own number when there is none."""
    offsets = (sign * distance for distance in range(1, _SEARCH) for sign in (1, -1))
    candidates = (event.seq, *(event.seq + offset for offset in offsets if event.seq + offset > 0))
    return next((seq for seq in candidates if event.computed_hash(seq) == event.hash), event.seq)


def _broken_link(last: Event | None, event: Event, expected: int, place: int) -> list[ChainFault]:
    """Why does nothing lead to this event? Something is missing before it, or one of the two was rewritten."""
    if place > expected:
        return [
            ChainFault("removed", seq, "", "", f"event {seq} is gone: event {event.seq} was written after it")
            for seq in range(expected, place)
        ]
    if last is None or event.computed_hash(place) != event.hash:
        return [_fault("edited", event, "the link to the event before it was changed")]
    detail = f"its hash was made anew: event {event.seq} was written after an event with another hash"
    return [_fault("edited", last, detail)]


def _content_faults(places: Sequence[tuple[int, Event]]) -> list[ChainFault]:
    return [
        _fault("edited", event, "its fields do not give its hash")
        for place, event in places
        if event.hash not in (event.computed_hash(place), event.computed_hash())
    ]


def _moved_faults(places: Sequence[tuple[int, Event]]) -> list[ChainFault]:
    """Events that stand at another number than they were written with; neighbours that moved together are one fault."""
    faults: list[ChainFault] = []
    start = 0
    while start < len(places):
        place, event = places[start]
        end = start + 1
        while end < len(places) and places[end][1].seq - places[end][0] == event.seq - place:
            end += 1
        if event.seq != place:
            before = f"event {place}" if end - start == 1 else f"events {place} to {places[end - 1][0]}"
            after = f"{event.seq}" if end - start == 1 else f"{event.seq} to {places[end - 1][1].seq}"
            faults.append(_fault("reordered", event, f"{before} now stands as {after}"))
        start = end
    return faults


def _fault(kind: str, event: Event, detail: str) -> ChainFault:
    return ChainFault(kind, event.seq, event.event_id, event.run_id, f"event {event.seq} ({event.kind}): {detail}")
