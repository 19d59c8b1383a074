"""Commands inside sentences: found, and set on lines of their own, so that they can be pasted from any terminal."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

_QUOTED = r"(?:'[^']*'|\"[^\"]*\"|[^\s;,()`'\"])+"
_OPTION = rf"(?:-p|-e|--parameter|--environment|--confirm|--reason|--since|--kind|--run) {_QUOTED}|--json"
#: How many words follow each command of ``runbooks`` that are not options, and how such a word looks.
_NAME, _ID = r"[a-z]+(?:_[a-z]+)*", r"(?=\S*\d)[\w-]+"
_COMMANDS = {
    "approve": rf" {_ID}",
    "change": rf" {_NAME}",
    "check": rf"(?: {_ID})?",
    "lab": "",
    "list": "",
    "locks": "",
    "log": "",
    "rollout": rf" [a-z]+(?: (?!-){_QUOTED})?",
    "run": rf" {_NAME}",
    "show": rf" {_NAME}",
    "triage": "",
    "unlock": rf" {_QUOTED} {_QUOTED}",
    "verify": rf"(?: {_ID})?",
}
_OURS = "|".join(f"{name}{words}" for name, words in _COMMANDS.items())
#: Commands of others end a sentence, after a colon.
_OTHERS = r"(?:ls -|df -|fuser |createdb |sqlite3 |kill -|redis-cli |ssh-keygen |psql |curl |GRANT |select )"
_COMMAND = re.compile(rf"\brunbooks (?:{_OURS})(?: (?:{_OPTION}))*(?![\w…])|(?<=: ){_OTHERS}.*\Z")


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a sentence: words, or a command."""

    text: str
    command: bool = False


def pieces(sentence: str) -> tuple[Piece, ...]:
    """The sentence in parts, in order; brackets or backticks around a command are left out.

    Args:
        sentence: harmless, on one line.
    """
    found: list[Piece] = []
    at = 0
    for match in _COMMAND.finditer(sentence):
        begin, end = match.span()
        if sentence[begin - 1 : begin] + sentence[end : end + 1] in ("()", "``"):
            begin, end = begin - 1, end + 1
        found += [Piece(sentence[at:begin].strip()), Piece(match[0].rstrip("."), command=True)]
        at = end
    found.append(Piece(sentence[at:].strip()))
    kept = [one if one.command or not number else Piece(one.text.lstrip(",;. ")) for number, one in enumerate(found)]
    return tuple(piece for piece in kept if piece.text)


def lines_of(sentence: str, width: int, *, between: str = "") -> list[str]:
    """Lines of at most ``width`` characters, but for commands: each has a line of its own, however long it is.

    Args:
        sentence: harmless, on one line.
        width: in characters.
        between: what stands between the items of a list; it is broken there, where they fit.
    """
    lines: list[str] = []
    for piece in pieces(sentence):
        if piece.command:
            lines.append(piece.text)
        else:
            lines += _wrapped(piece.text.split(between) if between else [piece.text], between, width)
    return lines


def _wrapped(items: Sequence[str], between: str, width: int) -> list[str]:
    lines: list[str] = []
    for item in items:
        if lines and len(lines[-1]) + len(between) + len(item) <= width:
            lines[-1] += f"{between}{item}"
        else:
            lines += textwrap.wrap(item, width, break_on_hyphens=False)
    return lines
