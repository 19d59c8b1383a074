"""What is a key, by its name? Keys are bytes that strangers may have chosen; nothing here decodes them to decide."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum

from runbooks_lib.config import Environment
from runbooks_lib.redaction import one_line

_GLOB_SPECIAL = re.compile(rb"([*?\[\]\\])")
_LONGEST_SHOWN = 120


class Kind(StrEnum):
    """What a key is for, as people say it."""

    ANSWERS = "answers"
    PAGES = "pages"
    SESSIONS = "sessions"
    THROTTLE = "throttle counters"
    FLAGS = "flags"
    LOCKS = "locks"
    STATISTICS = "statistics"
    OTHER = "other keys of this site"
    FOREIGN = "keys of others"


#: What must not go by accident: a session signs a user out, a counter gives an attacker his allowance back, a flag
#: falls back to its default, a lock lets work run twice.
PROTECTED = (Kind.SESSIONS, Kind.THROTTLE, Kind.FLAGS, Kind.LOCKS)

#: Kind → how its names begin after the prefix, and how much of the name says which of its groups it is.
_BEGINNINGS: dict[Kind, bytes] = {
    Kind.ANSWERS: rb"api:[^:]{0,100}",
    Kind.PAGES: rb"views\.decorators\.cache\.cache_(?:page|header)",
    Kind.SESSIONS: rb"django\.contrib\.sessions\.(?:cached_db|cache)|sess(?:ions?)?(?:[_-]?(?:id|key|data))?[:_=./|-]",
    Kind.THROTTLE: rb"throttle[:_][A-Za-z]{0,40}",
    Kind.FLAGS: rb"feature_?flags?[:_.]|features?[:_.]|flags?[:_.]|waffle[.:]",
    Kind.LOCKS: rb"cache_warming_lock:[^:]{0,40}|locks?[:_.]",
    Kind.STATISTICS: rb"cache_stats:|cache_warming_stats\Z",
}
#: The same kinds by the literal text that all their names begin with.
_LITERALS: dict[Kind, tuple[bytes, ...]] = {
    Kind.SESSIONS: (b"django.contrib.sessions.", b"session", b"sess:", b"sess_"),
    Kind.THROTTLE: (b"throttle",),
    Kind.FLAGS: (b"feature", b"flag", b"waffle"),
    Kind.LOCKS: (b"cache_warming_lock:", b"lock"),
}
#: Whoever knows what follows one of these can act as somebody else: it is a session's cookie, or a token.
_TELLTALE = re.compile(
    rb"(?i)sessions\.(?:cached_db|cache)|session(?=[a-z0-9]{20})"
    rb"|(?:sessions?|(?<![a-z0-9])(?:sess|sid|tokens?))(?:[_-]?(?:id|key|data))?[:_=./|-]"
)
#: No word: so many letters and digits in a row. The key of a session has 32.
_SECRET_RUN = re.compile(rb"(?=[A-Za-z]*[0-9])[A-Za-z0-9]{12}|[A-Za-z0-9]{24}")
#: A name within our prefix that goes on like this is of a site whose own prefix begins with ours: beside KEY_PREFIX
#: ``django`` another one may have ``django:1``. With a word in between it may be ours, unless a cache's name follows.
#: ``api:`` is ours whatever follows: an answer's name may hold an id at that place.
_ANOTHERS = rb"(?!api:)(?:[0-9]{1,9}:|[^:]{1,40}+:[0-9]{1,9}:(?=%s))" % b"|".join(_BEGINNINGS.values())
#: What this site keeps outside its prefix.
UNPREFIXED = (Kind.LOCKS, Kind.STATISTICS)


def glob_escape(name: bytes) -> bytes:
    r"""The name as a pattern that matches only itself: ``a[1]*`` becomes ``a\[1\]\*``."""
    return _GLOB_SPECIAL.sub(rb"\\\1", name)


def shown(name: bytes) -> str:
    """A key for people: one line, at most 120 characters, bytes that are not UTF-8 as escapes."""
    return one_line(name[: 4 * _LONGEST_SHOWN].decode("utf-8", "backslashreplace"), longest=_LONGEST_SHOWN)


def masked(name: bytes) -> bytes:
    """The name without what follows a word such as ``session:``: that lets its holder in."""
    found = _TELLTALE.search(name)
    return name[: found.end()] if found else name


def holds_secret(pattern: bytes) -> bool:
    """Does a glob hold the key of one session, so that it must be neither shown nor kept?"""
    plain = pattern.replace(b"\\", b"")
    found = _TELLTALE.search(plain)
    return found is not None and _SECRET_RUN.search(plain, found.start() + len(b"session")) is not None


def literals_of(kind: Kind, literal: bytes) -> tuple[bytes, ...]:
    """How a pattern that begins with ``literal`` must go on to name the kind: ``django.contrib.sessions.``."""
    return tuple(text for text in _LITERALS.get(kind, ()) if text.startswith(literal))


def named_kinds(literal: bytes) -> frozenset[Kind]:
    """The protected kinds that a text, written literally at the beginning of a pattern, names: ``throttle:anon``."""
    return frozenset(kind for kind, texts in _LITERALS.items() if literal.startswith(texts))


def reachable_kinds(literal: bytes) -> frozenset[Kind]:
    """The protected kinds whose names can begin with this text, or with which it begins."""
    return frozenset(
        kind
        for kind, texts in _LITERALS.items()
        if any(literal.startswith(text) or text.startswith(literal) for text in texts)
    )


@dataclass(frozen=True, slots=True)
class KeyNames:
    """The names that one site's cache gives its keys.

    Attributes:
        head: what django-redis puts before each key, ``django:1:``; ``:1:`` where there is no prefix.
    """

    head: bytes
    _inside: re.Pattern[bytes] = field(init=False, repr=False, compare=False)
    _outside: re.Pattern[bytes] = field(init=False, repr=False, compare=False)
    _anothers: re.Pattern[bytes] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """One expression for each side of the prefix: a million names are told apart in about a second."""
        others = {kind: text for kind, text in _BEGINNINGS.items() if kind is not Kind.ANSWERS}
        inside = [(Kind.ANSWERS, _BEGINNINGS[Kind.ANSWERS]), (Kind.FOREIGN, _ANOTHERS), *others.items()]
        inside.append((Kind.OTHER, rb"[^:]{0,40}"))
        outside = [(kind, _BEGINNINGS[kind]) for kind in UNPREFIXED]
        # Digits end it: a name without a prefix may be a secret from its beginning on.
        outside.append((Kind.FOREIGN, rb"[^:]{0,40}:[0-9]{1,9}:|[^:0-9]{0,40}"))
        object.__setattr__(self, "_inside", _alternatives(inside))
        object.__setattr__(self, "_outside", _alternatives(outside))
        object.__setattr__(self, "_anothers", re.compile(re.escape(self.head) + b"(?:%s)" % _ANOTHERS, re.DOTALL))

    @property
    def shown(self) -> str:
        """The head for people."""
        return shown(self.head)

    def group_of(self, name: bytes) -> tuple[Kind, bytes]:
        """The kind of a key, and the beginning of its name that tells its group: (answers, ``api:CourseViewSet``)."""
        inside = name.startswith(self.head)
        found = self._inside.match(name, len(self.head)) if inside else self._outside.match(name)
        # Each side ends in an alternative that matches everything.
        assert found is not None and found.lastgroup is not None  # noqa: S101, PT018 - for the type checker
        kind = Kind[found.lastgroup]
        return kind, name[: found.end()] if kind is Kind.FOREIGN else found.group()

    def is_anothers(self, name: bytes) -> bool:
        """Does the key begin with our prefix and look like one of another site all the same: ``django:1:1:api:x``?"""
        return self._anothers.match(name) is not None

    def tellable(self, name: bytes) -> bytes:
        """As much of a name as may be shown and kept; the whole name where nothing in it lets anybody in.

        Of a session its beginning only; of what belongs to others their prefix only: nobody here knows what it means.
        """
        kind, group = self.group_of(name)
        if kind is Kind.FOREIGN:
            return masked(group)
        return masked(self.head + group if kind is Kind.SESSIONS else name)

    def told(self, name: bytes) -> str:
        """The same for people; ``…`` where something is left out."""
        part = self.tellable(name)
        return shown(part) if part == name else f"{shown(part)}…"


def key_names(environment: Environment) -> KeyNames:
    """The names that the environment's site uses."""
    return KeyNames(f"{environment.key_prefix}:{environment.key_version}:".encode())


def _alternatives(kinds: list[tuple[Kind, bytes]]) -> re.Pattern[bytes]:
    return re.compile(b"|".join(b"(?P<%s>%s)" % (kind.name.encode(), text) for kind, text in kinds), re.DOTALL)
