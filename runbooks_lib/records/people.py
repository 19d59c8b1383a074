"""Are two names the same person's?"""

from __future__ import annotations

import unicodedata


def same_person(one: str, other: str) -> bool:
    """Names that differ only by case, blanks, width or invisible characters are one person's."""
    return _core(one) == _core(other)


def is_named(name: str) -> bool:
    """Is anything of the name visible?"""
    return bool(_core(name))


def _core(name: str) -> str:
    """What is left of a name without what an eye cannot tell apart."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    return "".join(c for c in folded if unicodedata.category(c)[0] not in "ZC" and not _is_blank(c))


def _is_blank(character: str) -> bool:
    """Letters and marks that are drawn as nothing: fillers, joiners, variation selectors."""
    name = unicodedata.name(character, "")
    return "FILLER" in name or "VARIATION SELECTOR" in name or "JOINER" in name or name == "BRAILLE PATTERN BLANK"
