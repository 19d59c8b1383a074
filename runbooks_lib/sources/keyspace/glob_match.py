r"""Redis's glob patterns as regular expressions, so that one pass over the keys can tell what would match.

``*`` any text, ``?`` one byte, ``[ab]`` ``[^ab]`` ``[a-z]`` one byte of a class, ``\`` takes the next byte literally.

Source: ``stringmatchlen`` in Redis's ``util.c``; an integration test holds both against each other.
"""

from __future__ import annotations

import re


def compiled(pattern: bytes) -> re.Pattern[bytes]:
    """The pattern as an expression for ``match``: anchored at both ends.

    Text between two stars is taken at its first place and never again, so a hostile pattern takes linear time for each
    star instead of exponential time.
    """
    segments = [b""]
    at = 0
    while at < len(pattern):
        if pattern[at : at + 1] == b"*":
            segments.append(b"")
            at += 1
        else:
            text, at = _one(pattern, at)
            segments[-1] += text
    if len(segments) == 1:
        return re.compile(segments[0] + rb"\Z", re.DOTALL)
    first, *middle, last = segments
    between = b"".join(b"(?>.*?%s)" % text for text in middle if text)
    return re.compile(b"%s%s.*%s\\Z" % (first, between, last), re.DOTALL)


def literal_beginning(pattern: bytes) -> bytes:
    """The text that every match begins with: what stands before the first wildcard, escapes taken away."""
    text, at = b"", 0
    while at < len(pattern) and pattern[at : at + 1] not in (b"*", b"?", b"["):
        at += 1 if pattern[at : at + 1] == b"\\" and at + 1 < len(pattern) else 0
        text += pattern[at : at + 1]
        at += 1
    return text


def unfinished(pattern: bytes) -> str:
    r"""What is begun and not ended, ``[`` or ``\``; empty where all is well."""
    at = 0
    while at < len(pattern):
        byte = pattern[at : at + 1]
        if byte == b"\\" and at + 1 == len(pattern):
            return "\\"
        if byte == b"[":
            _, end = _class(pattern, at)
            if pattern[end - 1 : end] != b"]":
                return "["
            at = end
        else:
            at += 2 if byte == b"\\" else 1
    return ""


def _one(pattern: bytes, at: int) -> tuple[bytes, int]:
    """One unit other than a star: its expression, and where the next one begins."""
    byte = pattern[at : at + 1]
    if byte == b"?":
        return b".", at + 1
    if byte == b"[":
        return _class(pattern, at)
    if byte == b"\\" and at + 1 < len(pattern):
        return re.escape(pattern[at + 1 : at + 2]), at + 2
    return re.escape(byte), at + 1


def _class(pattern: bytes, at: int) -> tuple[bytes, int]:
    """A class as Redis reads it: it ends at the first ``]`` that is neither escaped nor the end of a range."""
    at += 1
    negated = pattern[at : at + 1] == b"^"
    at += negated
    members: set[int] = set()
    while at < len(pattern) and pattern[at : at + 1] != b"]":
        if pattern[at : at + 1] == b"\\" and at + 1 < len(pattern):
            members.add(pattern[at + 1])
            at += 2
        elif pattern[at + 1 : at + 2] == b"-" and at + 2 < len(pattern):
            low, high = sorted((pattern[at], pattern[at + 2]))
            members.update(range(low, high + 1))
            at += 3
        else:
            members.add(pattern[at])
            at += 1
    chosen = set(range(256)) - members if negated else members
    text = b"".join(b"\\x%02x" % member for member in sorted(chosen))
    return (b"[%s]" % text if text else b"(?!)"), at + 1
