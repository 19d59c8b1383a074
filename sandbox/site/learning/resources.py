"""The cached answers about content: how each is loaded, and its rank in warming."""

from common.cache.keys import CacheKey
from common.cache.resources import Payload, Resource
from common.pagination import page_of
from learning import selectors
from learning import serializers as shape


def load_course_list(key: CacheKey) -> Payload | None:
    """One page of courses, optionally of one topic."""
    query = dict(key.query)
    courses = selectors.course_list(topic=query.get("topic"))
    return page_of(queryset=courses, query=query, serializer=shape.CourseSummarySerializer)


def load_course(key: CacheKey) -> Payload | None:
    """One course."""
    course = selectors.course_get(course_id=key.pk or 0)
    return None if course is None else shape.CourseDetailSerializer(course).data


def load_course_chapters(key: CacheKey) -> Payload | None:
    """The chapters of one course."""
    course_id = parent_id(key)
    chapters = list(selectors.chapters_of(course_id=course_id))
    if not chapters and not selectors.course_exists(course_id=course_id):
        return None
    return {"count": len(chapters), "results": shape.ChapterSummarySerializer(chapters, many=True).data}


def load_course_recommendations(key: CacheKey) -> Payload | None:
    """Other courses for the readers of one course."""
    courses = selectors.course_recommendations(course_id=parent_id(key))
    if courses is None:
        return None
    return {"count": len(courses), "results": shape.CourseSummarySerializer(courses, many=True).data}


def load_chapter(key: CacheKey) -> Payload | None:
    """One chapter."""
    chapter = selectors.chapter_get(chapter_id=key.pk or 0)
    return None if chapter is None else shape.ChapterDetailSerializer(chapter).data


def load_chapter_problems(key: CacheKey) -> Payload | None:
    """The problems of one chapter."""
    chapter_id = parent_id(key)
    problems = list(selectors.problems_of(chapter_id=chapter_id))
    if not problems and not selectors.chapter_exists(chapter_id=chapter_id):
        return None
    return {"count": len(problems), "results": shape.ProblemSummarySerializer(problems, many=True).data}


def load_problem(key: CacheKey) -> Payload | None:
    """One problem."""
    problem = selectors.problem_get(problem_id=key.pk or 0)
    return None if problem is None else shape.ProblemDetailSerializer(problem).data


def parent_id(key: CacheKey) -> int:
    """The id of the object that the list belongs to; 0, which nothing has, for a key without one."""
    return key.parent[1] if key.parent is not None else 0


# The guide's order: course details, course lists, chapters, problems; what it does not name comes last.
COURSE_DETAIL = Resource("CourseDetailView", "course-detail", load_course, warming_priority=1)
COURSE_LIST = Resource("CourseListView", "course-list", load_course_list, warming_priority=2)
COURSE_CHAPTERS = Resource(
    "CourseChaptersView", "course-chapters", load_course_chapters, warming_priority=3, parent="course"
)
CHAPTER_DETAIL = Resource("ChapterDetailView", "chapter-detail", load_chapter, warming_priority=3)
CHAPTER_PROBLEMS = Resource(
    "ChapterProblemsView", "chapter-problems", load_chapter_problems, warming_priority=4, parent="chapter"
)
PROBLEM_DETAIL = Resource("ProblemDetailView", "problem-detail", load_problem, warming_priority=4)
COURSE_RECOMMENDATIONS = Resource(
    "CourseRecommendationsView",
    "course-recommendations",
    load_course_recommendations,
    warming_priority=5,
    parent="course",
)

RESOURCES = (
    COURSE_DETAIL,
    COURSE_LIST,
    COURSE_CHAPTERS,
    CHAPTER_DETAIL,
    CHAPTER_PROBLEMS,
    PROBLEM_DETAIL,
    COURSE_RECOMMENDATIONS,
)
