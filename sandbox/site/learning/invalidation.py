"""Which answers show a piece of content? Exactly these are deleted when it changes."""

import math
from collections.abc import Iterator

from common.cache.keys import CacheKey
from common.pagination import PAGE_SIZE
from learning import cache_keys as keys
from learning.models import Chapter, Course, Problem
from learning.selectors import course_list


def keys_showing_course(*, course: Course, topics: set[str]) -> Iterator[CacheKey]:
    """A course: its own page, all list pages, and the recommendations within ``topics`` (old and new)."""
    yield keys.course_key(course_id=course.id)
    for topic in (None, *sorted(topics)):
        # One page more: the course may have been the last one on it.
        for page in range(1, math.ceil(course_list(topic=topic).count() / PAGE_SIZE) + 2):
            yield keys.course_list_key(page=page if page > 1 else None, topic=topic)
    for topic in sorted(topics):
        for course_id in course_list(topic=topic).values_list("id", flat=True):
            yield keys.course_recommendations_key(course_id=course_id)


def keys_showing_chapter(*, chapter: Chapter) -> Iterator[CacheKey]:
    """A chapter: its own page, and the list of its course."""
    yield keys.chapter_key(chapter_id=chapter.id)
    yield keys.course_chapters_key(course_id=chapter.course_id)


def keys_showing_problem(*, problem: Problem) -> Iterator[CacheKey]:
    """A problem: its own page, and the list of its chapter."""
    yield keys.problem_key(problem_id=problem.id)
    yield keys.chapter_problems_key(chapter_id=problem.chapter_id)
