"""Made-up users of a sandbox, with tokens that its traffic generator can work out by itself."""

import datetime as dt
import hashlib
from collections.abc import Iterator

from django.contrib.auth.hashers import make_password

from accounts.models import User

JOINED_AT = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
STAFF_NAME = "sandbox-staff"


def token_of(*, username: str) -> str:
    """The token of a sandbox user: the first 40 hexadecimal digits of the name's SHA-256.

    Everybody can work it out, so it protects nothing; seed no site with it that strangers can reach.
    """
    return hashlib.sha256(username.encode()).hexdigest()[:40]


def users(*, count: int) -> Iterator[User]:
    """Users 1..count, called ``sandbox-user-<id>``, and one member of staff. Nobody has a password."""
    for number in range(1, count + 1):
        yield _user(number=number, username=f"sandbox-user-{number}", is_staff=False)
    yield _user(number=count + 1, username=STAFF_NAME, is_staff=True)


def _user(*, number: int, username: str, is_staff: bool) -> User:
    return User(
        id=number,
        username=username,
        display_name=username.replace("-", " ").title(),
        bio=f"Learner number {number}.",
        email=f"{username}@example.com",
        password=make_password(None),
        is_staff=is_staff,
        date_joined=JOINED_AT,
    )
