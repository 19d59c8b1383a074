"""What all tests of the site share."""

from typing import Any

from django.core.cache import cache, caches
from django.test import TestCase
from prometheus_client import REGISTRY
from rest_framework.authtoken.models import Token

from accounts.authentication import BrieflyCachedTokenAuthentication
from accounts.models import User
from accounts.seed_users import token_of
from common.cache.connection import breaker, redis_client
from common.cache_log.rows import row_writer
from common.feature_flags import Feature
from common.feature_flags.snapshot import flag_cache
from common.publishing import publisher
from learning.models import Chapter, Course, Problem, Topic
from learning.seed_content import WRITTEN_AT

ALL_FEATURES = frozenset(Feature)


class IsolatedCacheMixin:
    """Begins each test with an empty cache and with nothing remembered in this process."""

    def setUp(self) -> None:
        super().setUp()
        forget_everything()
        self.addCleanup(forget_everything)


class SiteTestCase(IsolatedCacheMixin, TestCase):
    """A test with database and Redis."""


def forget_everything() -> None:
    """Empty Redis and the page cache, close the breaker, drop what this process remembers."""
    breaker.succeeded()
    cache.clear()
    caches["pages"].clear()
    flag_cache.forget()
    BrieflyCachedTokenAuthentication._remembered.clear()
    for batcher in (row_writer, publisher):
        batcher._items.clear()


def make_course(*, chapters: int = 0, problems: int = 0, topic: str = Topic.ALGEBRA) -> Course:
    """A course with ``chapters``, each with ``problems``."""
    course = Course.objects.create(
        title="Sets", topic=topic, description="About sets.", updated_at=WRITTEN_AT
    )
    for position in range(1, chapters + 1):
        chapter = Chapter.objects.create(
            course=course, position=position, title=f"Chapter {position}", body="Text.", updated_at=WRITTEN_AT
        )
        for number in range(1, problems + 1):
            Problem.objects.create(
                chapter=chapter,
                position=number,
                title=f"Problem {number}",
                statement="Why?",
                difficulty=1,
                attempt_count=100 - number,
                updated_at=WRITTEN_AT,
            )
    return course


def make_user(*, name: str = "ada", is_staff: bool = False) -> tuple[User, dict[str, str]]:
    """A user, and the header with which they sign in."""
    user = User.objects.create(username=name, email=f"{name}@example.com", is_staff=is_staff)
    Token.objects.create(user=user, key=token_of(username=name))
    return user, {"Authorization": f"Token {token_of(username=name)}"}


def make_stale(name: str, *, seconds: float = 0.5) -> None:
    """Age the entry ``name`` until it is ``seconds`` past its soft expiry."""
    entry: dict[str, Any] = cache.get(name)
    entry["stored_at"] -= entry["fresh_seconds"] + seconds
    cache.set(name, entry, timeout=60)


def metric_value(name: str, **labels: str) -> float:
    """The value of one series of this process; 0 when it does not exist yet."""
    return REGISTRY.get_sample_value(name, labels) or 0.0


def redis_keys(pattern: str = "*") -> set[str]:
    """Names of the keys in Redis."""
    return {name.decode() for name in redis_client().scan_iter(match=pattern, count=1000)}
