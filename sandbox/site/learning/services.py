"""Writes of content. Each ends with the deletion of the answers that show what changed."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from django.db import models, transaction
from django.utils import timezone

from common.cache.invalidation import invalidate
from common.cache.keys import CacheKey
from learning.invalidation import keys_showing_chapter, keys_showing_course, keys_showing_problem
from learning.models import Chapter, Course, Problem

Row = TypeVar("Row", bound=models.Model)


def course_update(*, course: Course, changes: Mapping[str, Any]) -> Course:
    """Change ``course``; its title also shows in lists and recommendations."""
    topics = {course.topic, changes.get("topic", course.topic)}
    return _update(course, changes, lambda: keys_showing_course(course=course, topics=topics))


def chapter_update(*, chapter: Chapter, changes: Mapping[str, Any]) -> Chapter:
    """Change ``chapter``."""
    return _update(chapter, changes, lambda: keys_showing_chapter(chapter=chapter))


def problem_update(*, problem: Problem, changes: Mapping[str, Any]) -> Problem:
    """Change ``problem``."""
    return _update(problem, changes, lambda: keys_showing_problem(problem=problem))


def _update(row: Row, changes: Mapping[str, Any], shown_in: Callable[[], Iterable[CacheKey]]) -> Row:
    """Save ``changes``; after the commit, delete what shows the old state.

    Before the commit would be too early: a reader could store the old state again.
    """
    for name, value in changes.items():
        setattr(row, name, value)
    row.updated_at = timezone.now()
    with transaction.atomic():
        row.save(update_fields=[*changes, "updated_at"])
        transaction.on_commit(lambda: invalidate(keys=shown_in()))
    return row
