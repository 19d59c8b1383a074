"""Views of content: reads come from the cache, writes go through the services."""

from typing import TypeVar

from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import ModelSerializer

from common.cache.views import CachedAPIView
from common.pagination import page_number
from learning import cache_keys as keys
from learning import resources, services
from learning import serializers as shape
from learning.models import Chapter, Course, Problem, Topic
from learning.selectors import chapter_get, course_get, problem_get

Row = TypeVar("Row", Course, Chapter, Problem)


class CourseListView(CachedAPIView):
    """``GET /api/courses/``"""

    resource = resources.COURSE_LIST

    def get(self, request: Request) -> Response:
        """One page of courses; parameters ``page`` and ``topic``."""
        topic = request.query_params.get("topic")
        if topic is not None and topic not in Topic.values:
            raise ValidationError({"topic": f"Must be one of {', '.join(Topic.values)}."})
        return self.answer(request, keys.course_list_key(page=page_number(request), topic=topic))


class CourseDetailView(CachedAPIView):
    """``GET`` and ``PATCH /api/courses/<id>/``"""

    resource = resources.COURSE_DETAIL

    def get(self, request: Request, course_id: int) -> Response:
        """One course."""
        return self.answer(request, keys.course_key(course_id=course_id))

    def patch(self, request: Request, course_id: int) -> Response:
        """Change one course (staff)."""
        course = found(course_get(course_id=course_id))
        changes = checked(shape.CourseChangeSerializer(course, data=request.data, partial=True))
        services.course_update(course=course, changes=changes)
        return Response(shape.CourseDetailSerializer(course).data)


class CourseChaptersView(CachedAPIView):
    """``GET /api/courses/<id>/chapters/``"""

    resource = resources.COURSE_CHAPTERS

    def get(self, request: Request, course_id: int) -> Response:
        """The chapters of one course."""
        return self.answer(request, keys.course_chapters_key(course_id=course_id))


class CourseRecommendationsView(CachedAPIView):
    """``GET /api/courses/<id>/recommendations/``"""

    resource = resources.COURSE_RECOMMENDATIONS

    def get(self, request: Request, course_id: int) -> Response:
        """Other courses for the readers of one course."""
        return self.answer(request, keys.course_recommendations_key(course_id=course_id))


class ChapterDetailView(CachedAPIView):
    """``GET`` and ``PATCH /api/chapters/<id>/``"""

    resource = resources.CHAPTER_DETAIL

    def get(self, request: Request, chapter_id: int) -> Response:
        """One chapter."""
        return self.answer(request, keys.chapter_key(chapter_id=chapter_id))

    def patch(self, request: Request, chapter_id: int) -> Response:
        """Change one chapter (staff)."""
        chapter = found(chapter_get(chapter_id=chapter_id))
        changes = checked(shape.ChapterChangeSerializer(chapter, data=request.data, partial=True))
        services.chapter_update(chapter=chapter, changes=changes)
        return Response(shape.ChapterDetailSerializer(chapter).data)


class ChapterProblemsView(CachedAPIView):
    """``GET /api/chapters/<id>/problems/``"""

    resource = resources.CHAPTER_PROBLEMS

    def get(self, request: Request, chapter_id: int) -> Response:
        """The problems of one chapter."""
        return self.answer(request, keys.chapter_problems_key(chapter_id=chapter_id))


class ProblemDetailView(CachedAPIView):
    """``GET`` and ``PATCH /api/problems/<id>/``"""

    resource = resources.PROBLEM_DETAIL

    def get(self, request: Request, problem_id: int) -> Response:
        """One problem."""
        return self.answer(request, keys.problem_key(problem_id=problem_id))

    def patch(self, request: Request, problem_id: int) -> Response:
        """Change one problem (staff)."""
        problem = found(problem_get(problem_id=problem_id))
        changes = checked(shape.ProblemChangeSerializer(problem, data=request.data, partial=True))
        services.problem_update(problem=problem, changes=changes)
        return Response(shape.ProblemDetailSerializer(problem).data)


def found(row: Row | None) -> Row:
    """``row``, or the answer 404."""
    if row is None:
        raise NotFound
    return row


def checked(serializer: ModelSerializer) -> dict[str, object]:
    """The changes that a client sent, or the answer 400."""
    serializer.is_valid(raise_exception=True)
    return serializer.validated_data
