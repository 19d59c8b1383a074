"""Which requests visitors make: who they are, what they look at, and now and then what staff changes."""

from __future__ import annotations

import hashlib
import random
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sandbox.popularity import Zipf
from sandbox.profile import (
    ANONYMOUS_ADDRESSES,
    DEAD_LINKS,
    DETAILS,
    ENDPOINTS,
    MISSING_ID_BASE,
    MISSING_SHARE,
    SIGNED_IN_SHARE,
)

BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
STAFF = "sandbox-staff"
LIST_PAGES = 3
RECENT_MISSING = 60


@dataclass(frozen=True)
class Request:
    """One HTTP request to the site."""

    path: str
    headers: Mapping[str, str]
    method: str = "GET"
    body: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Content:
    """Ids that exist on the site, most popular first."""

    courses: Sequence[int]
    chapters: Sequence[int]
    problems: Sequence[int]
    users: Sequence[int]

    def ids(self, of: str) -> Sequence[int]:
        """Return the ids of ``course``, ``chapter``, ``problem`` or ``user``."""
        ids: Sequence[int] = getattr(self, f"{of}s")
        return ids


def token(name: str) -> str:
    """Return the token of a seeded user; the seed command derives it in the same way."""
    return hashlib.sha256(name.encode()).hexdigest()[:40]


def anonymous_address(number: int) -> str:
    """Return the address of an anonymous visitor, from the range of carriers (100.64.0.0/10)."""
    return f"100.{64 + number // 62_500}.{number // 250 % 250}.{1 + number % 250}"


def bot_address(number: int) -> str:
    """Return the address of a bot, from the range for measurements (198.18.0.0/15)."""
    return f"198.{18 + number // 62_500}.{number // 250 % 250}.{1 + number % 250}"


@dataclass
class Visitors:
    """Makes requests of the healthy mix.

    Every visitor has an address of its own (``X-Forwarded-For``), and the visitors are many, so that nobody
    comes near the site's limits of 100 (anonymous) and 1000 (signed in) requests per hour at the default rate.
    """

    content: Content
    exponent: float
    users: int
    dice: random.Random = field(default_factory=random.Random)

    def __post_init__(self) -> None:
        """Prepare the popularity curves and the headers that are sent again and again."""
        self._names = list(ENDPOINTS)
        self._shares = [endpoint.share for endpoint in ENDPOINTS.values()]
        self._curves = {
            of: Zipf(len(self.content.ids(of)), self.exponent) for of in ("course", "chapter", "problem", "user")
        }
        self._pages, self._links = Zipf(LIST_PAGES, 2.0), Zipf(DEAD_LINKS, self.exponent)
        self.recent_missing: deque[int] = deque(maxlen=RECENT_MISSING)
        self._tokens = [token(f"sandbox-user-{number}") for number in range(1, self.users + 1)]

    def read(self) -> Request:
        """Make one request of the healthy mix; a few of them follow a link to something that is gone."""
        if self.dice.random() < MISSING_SHARE:
            return self.missing(MISSING_ID_BASE + self._links.draw(self.dice), self.headers())
        return self.view(self.dice.choices(self._names, self._shares)[0])

    def view(self, endpoint: str) -> Request:
        """Make one request to an endpoint, for a thing drawn from the popularity curve."""
        profile = ENDPOINTS[endpoint]
        if profile.of is None:
            page = self._pages.draw(self.dice) + 1
            return Request(profile.path + (f"?page={page}" if page > 1 else ""), self.headers())
        ids = self.content.ids(profile.of)
        return Request(profile.path.format(ids[self._curves[profile.of].draw(self.dice)]), self.headers())

    def missing(self, number: int, headers: Mapping[str, str]) -> Request:
        """Ask for a thing that does not exist."""
        return Request(ENDPOINTS[self.dice.choice(DETAILS)].path.format(number), headers)

    def write(self) -> Request:
        """Let staff change the title of a course, chapter or problem, popular ones more often."""
        of = self.dice.choice(("course", "chapter", "problem"))
        number = self.content.ids(of)[self._curves[of].draw(self.dice)]
        return Request(
            ENDPOINTS[f"{of}-detail"].path.format(number),
            {**_signed_in(token(STAFF)), "X-Forwarded-For": anonymous_address(0)},
            method="PATCH",
            body={"title": f"{of.capitalize()} {number}, revision {self.dice.randrange(1000)}"},
        )

    def headers(self) -> dict[str, str]:
        """Draw a visitor: signed in or not, with an address of its own."""
        if self.dice.random() < SIGNED_IN_SHARE:
            user = self.dice.randrange(self.users)
            return {**_signed_in(self._tokens[user]), "X-Forwarded-For": anonymous_address(10_000 + user)}
        number = 1 + self.dice.randrange(ANONYMOUS_ADDRESSES)
        return {"X-Forwarded-For": anonymous_address(number), "User-Agent": BROWSER}


def _signed_in(key: str) -> dict[str, str]:
    return {"Authorization": f"Token {key}", "User-Agent": BROWSER}
