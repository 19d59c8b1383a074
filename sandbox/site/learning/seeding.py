"""Fill an empty database with a whole platform."""

import random
from collections.abc import Iterable, Mapping
from itertools import islice

from django.core.management.color import no_style
from django.db import connection, models, transaction
from rest_framework.authtoken.models import Token

from accounts.models import User
from accounts.seed_users import token_of, users
from common.feature_flags import FeatureFlagService
from common.feature_flags.names import DEFAULT_STRATEGY
from learning.models import Chapter, Course, Problem
from learning.seed_content import ContentSize, chapters, courses, problems

INSERT_BATCH = 1000
SEEDED_MODELS = (User, Token, Course, Chapter, Problem)


def is_empty() -> bool:
    """Does nothing stand in the way of seeding?"""
    return not any(model.objects.exists() for model in SEEDED_MODELS)


def remove_everything() -> None:
    """Delete all content and all users."""
    for model in reversed(SEEDED_MODELS):
        model.objects.all().delete()


@transaction.atomic
def seed(*, size: ContentSize, user_count: int, seed_number: int) -> Mapping[str, int]:
    """Insert content, users, tokens and the flags of a healthy site.

    The same arguments give the same rows. The passwords are an exception: they are random, and none can be used.

    Returns:
        How many rows of each kind there are.
    """
    rng = random.Random(seed_number)
    _insert(Course, courses(size=size, rng=rng))
    _insert(Chapter, chapters(size=size, rng=rng))
    _insert(Problem, problems(size=size, rng=rng))
    people = list(users(count=user_count))
    _insert(User, people)
    _insert(Token, (Token(key=token_of(username=user.username), user_id=user.id) for user in people))
    for feature, strategy in DEFAULT_STRATEGY.items():
        FeatureFlagService.set_strategy(feature, strategy)
    _continue_sequences()
    return {
        "courses": size.courses,
        "chapters": size.courses * size.chapters,
        "problems": size.courses * size.chapters * size.problems,
        "users": len(people),
    }


def _insert(model: type[models.Model], rows: Iterable[models.Model]) -> None:
    remaining = iter(rows)
    while batch := list(islice(remaining, INSERT_BATCH)):
        model._default_manager.bulk_create(batch)  # noqa: SLF001 - documented, in spite of its name


def _continue_sequences() -> None:
    """The ids were chosen here; PostgreSQL has to be told where to go on."""
    statements = connection.ops.sequence_reset_sql(no_style(), [User, Course, Chapter, Problem])
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
