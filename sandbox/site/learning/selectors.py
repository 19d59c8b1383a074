"""Reads of content."""

from collections.abc import Sequence

from django.db.models import Count, QuerySet

from learning.models import Chapter, Course, Problem

RECOMMENDATION_COUNT = 5


def course_list(*, topic: str | None = None) -> QuerySet[Course]:
    """Courses, most popular first, optionally of one topic."""
    courses = Course.objects.order_by("-enrolled_count", "id")
    return courses.filter(topic=topic) if topic is not None else courses


def course_get(*, course_id: int) -> Course | None:
    """One course, with ``chapter_count``."""
    return Course.objects.annotate(chapter_count=Count("chapters")).filter(id=course_id).first()


def course_exists(*, course_id: int) -> bool:
    """Is there such a course?"""
    return Course.objects.filter(id=course_id).exists()


def course_recommendations(*, course_id: int) -> Sequence[Course] | None:
    """The most popular other courses of the same topic; None when there is no such course."""
    topic = Course.objects.filter(id=course_id).values_list("topic", flat=True).first()
    if topic is None:
        return None
    return list(course_list(topic=topic).exclude(id=course_id)[:RECOMMENDATION_COUNT])


def chapters_of(*, course_id: int) -> QuerySet[Chapter]:
    """The chapters of one course in their order."""
    return Chapter.objects.filter(course_id=course_id).order_by("position")


def chapter_get(*, chapter_id: int) -> Chapter | None:
    """One chapter, with ``problem_count``."""
    return Chapter.objects.annotate(problem_count=Count("problems")).filter(id=chapter_id).first()


def chapter_exists(*, chapter_id: int) -> bool:
    """Is there such a chapter?"""
    return Chapter.objects.filter(id=chapter_id).exists()


def problems_of(*, chapter_id: int) -> QuerySet[Problem]:
    """The problems of one chapter in their order."""
    return Problem.objects.filter(chapter_id=chapter_id).order_by("position")


def problem_get(*, problem_id: int) -> Problem | None:
    """One problem."""
    return Problem.objects.filter(id=problem_id).first()


def popular_problem_ids(*, limit: int) -> Sequence[int]:
    """The ids of the problems that were tried most often."""
    return list(Problem.objects.order_by("-attempt_count", "id").values_list("id", flat=True)[:limit])
