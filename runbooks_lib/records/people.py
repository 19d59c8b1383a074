"""Are two names the same person's, and can a name be told from another by eye?"""

from __future__ import annotations

import unicodedata

LONGEST_NAME = 100
#: One writing system with several scripts, and none of them looks like Latin.
_EAST_ASIAN = frozenset({"CJK", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO", "KATAKANA-HIRAGANA"})
#: Small Cyrillic and Greek letters that are drawn like Latin ones: а is not a.
_LOOK_ALIKES = str.maketrans(
    "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0458\u0455\u0501\u04bb\u051b\u051d\u03bf\u03b1\u03bd\u03c1\u03b9",
    "aeopcyxijsdhqwoavpi",
)


def same_person(one: str, other: str) -> bool:
    """Names that differ only by case, blanks, width, invisible characters or look-alikes are one person's."""
    return _core(one) == _core(other)


def unfit(name: str) -> str:
    """Why a name cannot stand under an approval; empty when it can: it must be short, and nobody else's look-alike."""
    folded = _folded(name)
    if not is_named(name):
        return "an approval needs the approver's name"
    if len(folded) > LONGEST_NAME:
        return f"a name of {len(folded)} characters is none; at most {LONGEST_NAME} are read"
    scripts = sorted({_script(c) for c in folded if unicodedata.category(c)[0] == "L"} - _EAST_ASIAN)
    return f"a name that mixes {' and '.join(scripts)} letters can pass for another one" if len(scripts) > 1 else ""


def is_named(name: str) -> bool:
    """Is anything of the name visible?"""
    return bool(_core(name))


def _core(name: str) -> str:
    """What is left of a name without what an eye cannot tell apart."""
    folded = _folded(name).translate(_LOOK_ALIKES)
    return "".join(c for c in folded if unicodedata.category(c)[0] not in "ZC" and not _is_blank(c))


def _folded(name: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


def _script(letter: str) -> str:
    """``LATIN``, ``CYRILLIC``: the first word of the letter's name."""
    return unicodedata.name(letter, "UNKNOWN").partition(" ")[0]


def _is_blank(character: str) -> bool:
    """Letters and marks that are drawn as nothing: fillers, joiners, variation selectors."""
    name = unicodedata.name(character, "")
    return "FILLER" in name or "VARIATION SELECTOR" in name or "JOINER" in name or name == "BRAILLE PATTERN BLANK"
