"""What startup warming loads, most important first: course details, course lists, chapters, problems."""

import math
from collections.abc import Iterator

from common.cache.keys import CacheKey
from common.pagination import PAGE_SIZE
from common.warming.switches import WarmingLimits
from learning import cache_keys as keys
from learning.selectors import chapters_of, course_list, popular_problem_ids


def startup_keys(*, limits: WarmingLimits) -> Iterator[CacheKey]:
    """The keys to warm, within ``limits``: of the most popular courses, and the most tried problems."""
    course_ids = list(course_list().values_list("id", flat=True)[: limits.course_count])
    for course_id in course_ids:
        yield keys.course_key(course_id=course_id)
    # The list pages on which these courses stand.
    for page in range(1, math.ceil(len(course_ids) / PAGE_SIZE) + 1):
        yield keys.course_list_key(page=page if page > 1 else None)
    for course_id in course_ids:
        yield keys.course_chapters_key(course_id=course_id)
        first = chapters_of(course_id=course_id).values_list("id", flat=True)[: limits.chapters_per_course]
        for chapter_id in first:
            yield keys.chapter_key(chapter_id=chapter_id)
    for problem_id in popular_problem_ids(limit=limits.problem_count):
        yield keys.problem_key(problem_id=problem_id)
