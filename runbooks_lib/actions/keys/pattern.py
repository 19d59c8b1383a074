"""Which keys may a pattern reach? Only those of the site's prefix, and never all of them."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from runbooks_lib.errors import RefusedError
from runbooks_lib.redaction import one_line
from runbooks_lib.sources.keyspace import glob_match
from runbooks_lib.sources.keyspace.names import (
    PROTECTED,
    UNPREFIXED,
    KeyNames,
    Kind,
    glob_escape,
    holds_secret,
    masked,
    named_kinds,
    reachable_kinds,
)

_LONGEST = 1000
_OTHER_PREFIX = re.compile(rb"[^:*?\[]*:[0-9]{1,9}:")


@dataclass(frozen=True, slots=True)
class KeyPattern:
    """A Redis glob that is bounded by a site's prefix.

    Attributes:
        text: after the prefix, as it was given: ``api:*``.
        match: the whole glob for SCAN, prefix in front and escaped: ``django:1:api:*``.
        spared: kinds of this site's keys that it can reach without naming them; they are not touched.
        names: of the site.
    """

    text: str
    match: bytes
    spared: frozenset[Kind]
    names: KeyNames

    @property
    def shown(self) -> str:
        """The whole pattern for people."""
        return one_line(self.match.decode("utf-8", "backslashreplace"), longest=200)

    def spares(self, name: bytes) -> bool:
        """Must the key not be touched: is it of another site, or of a kind that the pattern does not name?"""
        if self.names.is_anothers(name):
            return True
        return bool(self.spared) and self.names.group_of(name)[0] in self.spared


def bounded(pattern: str, names: KeyNames) -> KeyPattern:
    """The pattern within the prefix of the site.

    Args:
        pattern: glob over what follows the prefix; the prefix itself may stand in front.
        names: of the site.

    Raises:
        RefusedError: it is empty, can match every key, reaches outside the prefix, holds the key of a session, or is
            not one that can be read.
    """
    raw = _readable(pattern)
    _require_no_secret(raw)
    inside = _without_head(raw, names)
    if not glob_match.literal_beginning(inside):
        raise RefusedError(
            f"the pattern {_shown(pattern)} does not begin with a letter of a name, so it can match every key",
            hint="begin it with what the keys have in common, api:CourseViewSet:*; for all keys there is clear_all",
        )
    _require_own(inside, raw, names)
    literal = glob_match.literal_beginning(inside)
    spared = reachable_kinds(literal) - named_kinds(literal)
    return KeyPattern(inside.decode(), glob_escape(names.head) + inside, frozenset(spared & set(PROTECTED)), names)


def everything(names: KeyNames) -> KeyPattern:
    """All keys of the prefix, of every kind."""
    return KeyPattern("*", glob_escape(names.head) + b"*", frozenset(), names)


def _readable(pattern: str) -> bytes:
    if not pattern.strip():
        raise RefusedError("the pattern is empty", hint="give the beginning of the names, such as api:CourseViewSet:*")
    strange = next((c for c in pattern if unicodedata.category(c)[0] == "C"), "")
    if strange:
        raise RefusedError(
            f"the pattern holds a control character, U+{ord(strange):04X}",
            hint="write ? in its place: it matches any one byte",
        )
    if len(pattern) > _LONGEST:
        raise RefusedError(f"the pattern has {len(pattern):,} characters; at most {_LONGEST:,} are taken")
    raw = pattern.encode()
    begun = glob_match.unfinished(raw)
    if begun:
        raise RefusedError(
            f"the pattern {_shown(pattern)} begins something with {begun} and does not end it",
            hint="write \\[ for a bracket, \\\\ for a backslash",
        )
    return raw


def _require_no_secret(raw: bytes) -> None:
    """Plans and the ledger keep the pattern; whoever reads a session's key there can sign in with it."""
    if holds_secret(raw):
        beginning = _shown_raw(masked(raw.replace(b"\\", b"")))
        raise RefusedError(
            f"the pattern {beginning}… holds what looks like the key of one session, and plans are kept",
            hint="to sign one user out delete the session in the site's own admin or shell; for all sessions write no "
            "more of the name than what they have in common",
        )


def _without_head(raw: bytes, names: KeyNames) -> bytes:
    """What follows the prefix; where the pattern was written whole, the prefix is taken off, escaped or not."""
    for head in (names.head, glob_escape(names.head)):
        if raw.startswith(head):
            return raw[len(head) :]
    return raw


def _require_own(inside: bytes, raw: bytes, names: KeyNames) -> None:
    """It does not name another prefix, another version or what lies outside of any prefix."""
    whole = f"if keys of {names.shown} really go on like this, write it whole: {names.shown}{_shown_raw(inside)}"
    if len(inside) < len(raw):
        return  # written whole: what follows is a name, whatever it looks like
    own = names.head.split(b":")[0]
    if _OTHER_PREFIX.match(raw) or (own and raw.startswith(own + b":")):
        raise RefusedError(
            f"the pattern {_shown_raw(raw)} names another prefix or version; only keys of {names.shown} are touched",
            hint=whole,
        )
    kind, _ = names.group_of(glob_match.literal_beginning(raw))
    if kind in UNPREFIXED:
        raise RefusedError(
            f"the pattern {_shown_raw(raw)} names {kind}, which lie outside {names.shown}",
            hint=f"for these there are remove_warming_lock and remove_warming_statistics; {whole}",
        )


def _shown(pattern: str) -> str:
    return repr(one_line(pattern, longest=100))


def _shown_raw(raw: bytes) -> str:
    return one_line(raw.decode("utf-8", "backslashreplace"), longest=100)
