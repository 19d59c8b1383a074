"""How content looks from outside."""

from rest_framework import serializers

from learning.models import Chapter, Course, Problem


class CourseSummarySerializer(serializers.ModelSerializer):
    """A course in a list."""

    class Meta:
        model = Course
        fields = ["id", "title", "topic", "enrolled_count"]


class CourseDetailSerializer(serializers.ModelSerializer):
    """One course."""

    chapter_count = serializers.IntegerField()

    class Meta:
        model = Course
        fields = ["id", "title", "topic", "description", "enrolled_count", "chapter_count", "updated_at"]


class ChapterSummarySerializer(serializers.ModelSerializer):
    """A chapter in the list of its course."""

    class Meta:
        model = Chapter
        fields = ["id", "position", "title"]


class ChapterDetailSerializer(serializers.ModelSerializer):
    """One chapter."""

    problem_count = serializers.IntegerField()

    class Meta:
        model = Chapter
        fields = ["id", "course_id", "position", "title", "body", "problem_count", "updated_at"]


class ProblemSummarySerializer(serializers.ModelSerializer):
    """A problem in the list of its chapter."""

    class Meta:
        model = Problem
        fields = ["id", "position", "title", "difficulty"]


class ProblemDetailSerializer(serializers.ModelSerializer):
    """One problem."""

    class Meta:
        model = Problem
        fields = [
            "id",
            "chapter_id",
            "position",
            "title",
            "statement",
            "difficulty",
            "attempt_count",
            "updated_at",
        ]


class CourseChangeSerializer(serializers.ModelSerializer):
    """What staff may change of a course."""

    class Meta:
        model = Course
        fields = ["title", "description", "topic"]


class ChapterChangeSerializer(serializers.ModelSerializer):
    """What staff may change of a chapter."""

    class Meta:
        model = Chapter
        fields = ["title", "body"]


class ProblemChangeSerializer(serializers.ModelSerializer):
    """What staff may change of a problem."""

    class Meta:
        model = Problem
        fields = ["title", "statement", "difficulty"]
