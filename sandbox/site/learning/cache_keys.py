"""The key of each answer about content, in one place: views, warming and invalidation must agree."""

from common.cache.keys import CacheKey, query_of


def course_list_key(*, page: int | None = None, topic: str | None = None) -> CacheKey:
    """One page of courses; ``page`` is None for the first."""
    return CacheKey(view="CourseListView", query=query_of(values={"page": page, "topic": topic}))


def course_key(*, course_id: int) -> CacheKey:
    """One course."""
    return CacheKey(view="CourseDetailView", pk=course_id)


def course_chapters_key(*, course_id: int) -> CacheKey:
    """The chapters of one course."""
    return CacheKey(view="CourseChaptersView", parent=("course", course_id))


def course_recommendations_key(*, course_id: int) -> CacheKey:
    """Other courses for the readers of one course."""
    return CacheKey(view="CourseRecommendationsView", parent=("course", course_id))


def chapter_key(*, chapter_id: int) -> CacheKey:
    """One chapter."""
    return CacheKey(view="ChapterDetailView", pk=chapter_id)


def chapter_problems_key(*, chapter_id: int) -> CacheKey:
    """The problems of one chapter."""
    return CacheKey(view="ChapterProblemsView", parent=("chapter", chapter_id))


def problem_key(*, problem_id: int) -> CacheKey:
    """One problem."""
    return CacheKey(view="ProblemDetailView", pk=problem_id)
