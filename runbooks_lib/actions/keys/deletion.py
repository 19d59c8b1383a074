"""Deleting every key that matches, and looking afterwards whether they are gone.

While a site is in use, keys come back: its next miss writes one of them anew. That is not a failure, so what is read
back is judged by proportion. Confirmed means: of the names that were deleted and kept as a sample, at most half exist
again, and at most half as many keys match as were deleted. A restored copy, or a deletion that did not happen, is far
beyond that; a site's traffic brings back its few most popular keys in the moment between.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from runbooks_lib.actions.action import Written
from runbooks_lib.actions.keys.pattern import KeyPattern
from runbooks_lib.actions.keys.plans import counted
from runbooks_lib.actions.keys.sweep import Sweep, carry_out, unpacked
from runbooks_lib.actions.outcome import ReadBack
from runbooks_lib.actions.site import Site, WritableSite
from runbooks_lib.model import Evidence
from runbooks_lib.sources.keyspace.scan import count_matching, existing
from runbooks_lib.sources.redis.nodes import Command, Nodes

_BACK_RATIO = 0.5


def delete(pattern: KeyPattern, site: WritableSite, *, max_keys: int) -> Written:
    """UNLINK every key that matches; see ``sweep.carry_out`` for how it ends."""
    return carry_out(Sweep(pattern, unlinking(site.nodes), max_keys, "deleted"), site)


def unlinking(nodes: Nodes) -> Callable[[Sequence[bytes]], list[Command]]:
    """UNLINK for some names: in one command, or one for each on a cluster, where a command reaches one slot only."""
    if nodes.topology.kind == "cluster":
        return lambda names: [("UNLINK", name) for name in names]
    return lambda names: [("UNLINK", *names)]


def look_again(pattern: KeyPattern, site: Site, written: Mapping[str, Any]) -> ReadBack:
    """Are the keys gone?

    Args:
        pattern: which keys.
        site: to look at.
        written: what ``delete`` gave as data; empty when nobody knows whether it ran.
    """
    left, ended = count_matching(site.nodes, pattern.match, lambda name: not pattern.spares(name))
    names = [unpacked(text) for text in written.get("sample", ())]
    return judged(written, left=left, ended=ended, sampled=len(names), back=existing(site.nodes, names))


def judged(written: Mapping[str, Any], *, left: int, ended: str, sampled: int, back: int) -> ReadBack:
    """Is it as it should be after a deletion?

    Args:
        written: ``changed`` and ``complete`` of the deletion; empty when nobody knows whether it ran.
        left: keys that match now.
        ended: why they were not all counted; empty when they were.
        sampled: deleted names that were looked at again.
        back: how many of these exist.
    """
    least = "at least " if ended else ""
    evidence = [Evidence("keys that match now", f"{least}{counted(left)}", "SCAN")]
    if sampled:
        evidence.append(Evidence("deleted names that exist again", f"{back} of {sampled} looked at", "MEMORY USAGE"))
    confirmed: bool | None
    confirmed, detail = _judgement(written, left, sampled, back) if written else _unaided(left)
    if confirmed and ended and (not left or not written):
        confirmed, detail = None, f"not all keys were seen: {ended}"
    return ReadBack(confirmed, tuple(evidence), detail)


def _unaided(left: int) -> tuple[bool, str]:
    """Nobody knows whether the deletion ran."""
    if left:
        return False, f"{counted(left)} match: they were not all deleted, or have been written since"
    return True, "No key matches."


def _judgement(written: Mapping[str, Any], left: int, sampled: int, back: int) -> tuple[bool, str]:
    changed, complete = int(written.get("changed", 0)), bool(written.get("complete"))
    if back > _BACK_RATIO * sampled:
        return False, f"{back} of {sampled} deleted keys that were looked at exist again: something put them back"
    if complete and left > _BACK_RATIO * changed:
        return False, f"{counted(left)} match, though {counted(changed)} were deleted a moment ago"
    if not complete:
        return True, f"{counted(changed)} deleted; {counted(left)} still match."
    written_since = f"new keys written meanwhile: {left:,}" if left else "none is left"
    return True, f"{counted(changed)} deleted; {written_since}."
