"""Deleting every key that matches, and looking afterwards whether they are gone.

That they were deleted is proved by UNLINK's replies. Looking again asks something else: are they still gone? While a
site is in use keys come back, because its next miss writes one of them anew, and of a small pattern on a busy site all
of them can be back at once. Names and values do not tell such a key from one that was put back out of a copy, and
neither does OBJECT IDLETIME: both were written after the deletion. Lookups do: a site writes a key anew after a lookup
that found nothing, and Redis counts those. So what came back is taken for the site's own doing

- where it is at most half of what was deleted, or at most ten keys, or
- where at least as many lookups have missed since, on the whole server, as keys came back.

Anything else is not confirmed: something wrote many of these keys without asking for them first, as a restored copy
does, and a warming run. What this cannot see: a copy put back while as many lookups miss.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from runbooks_lib import units
from runbooks_lib.actions.action import Written
from runbooks_lib.actions.keys.pattern import KeyPattern
from runbooks_lib.actions.keys.sweep import Sweep, carry_out, nothing_sent_yet, unpacked
from runbooks_lib.actions.outcome import ReadBack
from runbooks_lib.actions.site import Site, WritableSite
from runbooks_lib.model import Evidence
from runbooks_lib.sources.keyspace.asking import Answers, existing, misses_count
from runbooks_lib.sources.keyspace.scan import count_matching
from runbooks_lib.sources.redis.nodes import Command, Nodes

_NOT_ASKED = Answers()
_BACK_RATIO = 0.5
#: So few keys are back by themselves after any deletion on a site that is in use.
_FEW_COUNT = 10


@dataclass(frozen=True, slots=True)
class Found:
    """What was found after a deletion.

    Attributes:
        left: keys that match now.
        ended: why they were not all counted; empty when they were.
        again: which of the deleted names that were kept exist.
        misses: lookups that found nothing so far; None where that is not told.
    """

    left: int
    ended: str = ""
    again: Answers = _NOT_ASKED
    misses: int | None = None


def delete(pattern: KeyPattern, site: WritableSite, *, max_keys: int) -> Written:
    """UNLINK every key that matches; see ``sweep.carry_out`` for how it ends."""
    with nothing_sent_yet():
        before, commands = misses_count(site.nodes), unlinking(site.nodes)
    written = carry_out(Sweep(pattern, commands, max_keys, "deleted"), site)
    return replace(written, data={**written.data, "misses_before": before})


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
    names = list(dict.fromkeys(unpacked(text) for text in written.get("sample", ())))
    return judged(written, Found(left, ended, existing(site.nodes, names), misses_count(site.nodes)))


def judged(written: Mapping[str, Any], found: Found) -> ReadBack:
    """Is it as it should be after a deletion?

    Args:
        written: ``changed``, ``complete``, ``misses_before`` of the deletion; empty when nobody knows whether it ran.
        found: what is there now.
    """
    least = "at least " if found.ended else ""
    evidence = [Evidence("keys that match now", f"{least}{units.exactly(found.left, 'key')}", "SCAN")]
    again = found.again
    if again.answered or again.unanswered:
        looked_at = f"{again.yes} of {again.answered} looked at{again.limits}"
        evidence.append(Evidence("deleted names that exist again", looked_at, "MEMORY USAGE"))
    missed = _missed(written, found)
    if missed is not None:
        evidence.append(Evidence("lookups that missed since", f"{missed:,}", "INFO stats, all databases"))
    confirmed: bool | None
    confirmed, detail = _judgement(written, found, missed) if written else _unaided(found.left)
    if confirmed and found.ended and (not found.left or not written):
        confirmed, detail = None, f"not all keys were seen: {found.ended}"
    return ReadBack(confirmed, tuple(evidence), detail)


def _missed(written: Mapping[str, Any], found: Found) -> int | None:
    """Lookups that found nothing since the deletion began; None where it is not known, or was counted from 0 again."""
    before = written.get("misses_before")
    if not isinstance(before, int) or found.misses is None or found.misses < before:
        return None
    return found.misses - before


def _unaided(left: int) -> tuple[bool, str]:
    """Nobody knows whether the deletion ran."""
    if left:
        return False, f"{units.exactly(left, 'key')} match: they were not all deleted, or have been written since"
    return True, "No key matches."


def _judgement(written: Mapping[str, Any], found: Found, missed: int | None) -> tuple[bool | None, str]:
    changed, complete = int(written.get("changed", 0)), bool(written.get("complete"))
    again, left, deleted = found.again, found.left, f"{units.exactly(changed, 'key')} deleted"
    share = again.yes / again.answered if again.answered else 0.0
    # A deletion that stopped early left others behind, so there only the sample tells how many are back.
    back = left if complete else round(share * changed)
    if not complete and again.unanswered and not again.answered:
        return None, f"{deleted}, as Redis answered; whether they are still gone could not be looked at: {again.reason}"
    if max(share, back / max(1, changed)) > _BACK_RATIO:
        if back <= _FEW_COUNT:
            return True, f"{deleted}; {back} there again: too few to tell keys in use from a copy that was put back."
        if missed is None or missed < back:
            lookups = "how many lookups missed is not told" if missed is None else f"only {missed:,} lookups missed"
            return False, f"{deleted}, and {back:,} are there again; {lookups}: something put them back"
        return True, f"{deleted}; {back:,} are there again, written anew: {missed:,} lookups have missed since."
    if not complete:
        return True, f"{deleted}; {units.exactly(left, 'key')} still match."
    return True, f"{deleted}; {f'new keys written meanwhile: {left:,}' if left else 'none is left'}."
