"""Which requests visitors make: who they are, what they look at, and now and then what staff changes."""

from __future__ import annotations

import hashlib
import random
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from sandbox.traffic.popularity import FALL_OFF, Nested, Zipf
from sandbox.traffic.profile import (
    ANONYMOUS_ADDRESSES,
    DEAD_LINKS,
    DETAILS,
    ENDPOINTS,
    MISSING_ID_BASE,
    MISSING_SHARE,
    SIGNED_IN_SHARE,
    WRITE_SHARES,
)

BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
STAFF = "sandbox-staff"
LIST_PAGES = 3
RECENT_MISSING = 60
INSIDE_COURSES = ("course", "chapter", "problem")  # each level inside the one before


@dataclass(frozen=True)
class Request:
    """One HTTP request to the site."""

    path: str
    headers: Mapping[str, str]
    method: str = "GET"
    body: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Content:
    """Ids that exist on the site.

    Courses and users stand most popular first, chapters course by course, problems chapter by chapter. Every course has
    as many chapters as the others, every chapter as many problems.
    """

    courses: Sequence[int]
    chapters: Sequence[int]
    problems: Sequence[int]
    users: Sequence[int]

    def ids(self, of: str) -> Sequence[int]:
        """Return the ids of ``course``, ``chapter``, ``problem`` or ``user``."""
        ids: Sequence[int] = getattr(self, f"{of}s")
        return ids

    def curve(self, of: str, exponent: float) -> Nested:
        """Return the popularity of the ids of one kind, as places in ``ids``.

        Courses and users follow a Zipf curve; inside a course the first chapters, and inside a chapter the first
        problems, are read most (``FALL_OFF``).

        Args:
            of: ``course``, ``chapter``, ``problem`` or ``user``.
            exponent: of the Zipf curve.
        """
        if of not in INSIDE_COURSES:
            return Nested([Zipf(len(self.ids(of)), exponent)])
        sizes = [len(self.ids(level)) for level in INSIDE_COURSES[: INSIDE_COURSES.index(of) + 1]]
        inner = [Zipf(size // outer, FALL_OFF) for outer, size in pairwise(sizes)]
        return Nested([Zipf(sizes[0], exponent), *inner])


@dataclass(frozen=True)
class Popularity:
    """How often visitors ask one endpoint for one thing.

    Attributes:
        endpoint: a name of ``profile.ENDPOINTS``.
        number: id of the thing; the page of a list.
        asked_per_second: requests that existing things get.
    """

    endpoint: str
    number: int
    asked_per_second: float


def popularity_of(content: Content, exponent: float, rate_per_second: float) -> Iterator[Popularity]:
    """Yield the popularity of everything that visitors look at, by endpoint, the most popular course first."""
    pages = range(1, LIST_PAGES + 1)
    for name, endpoint in ENDPOINTS.items():
        curve = page_curve() if endpoint.of is None else content.curve(endpoint.of, exponent)
        numbers = pages if endpoint.of is None else content.ids(endpoint.of)
        rate = rate_per_second * (1 - MISSING_SHARE) * endpoint.share
        for place, number in enumerate(numbers):
            yield Popularity(name, number, rate * curve.share(place))


def page_curve() -> Nested:
    """Return the popularity of the pages of a list: nearly everybody stays on the first one."""
    return Nested([Zipf(LIST_PAGES, 2.0)])


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
        self._curves = {of: self.content.curve(of, self.exponent) for of in (*INSIDE_COURSES, "user")}
        self._pages, self._links = page_curve(), Zipf(DEAD_LINKS, self.exponent)
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
        (of,) = self.dice.choices(list(WRITE_SHARES), list(WRITE_SHARES.values()))
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
