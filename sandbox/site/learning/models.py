"""The content of the platform."""

from django.db import models


class Topic(models.TextChoices):
    """What a course is about."""

    ALGEBRA = "algebra", "Algebra"
    BIOLOGY = "biology", "Biology"
    CHEMISTRY = "chemistry", "Chemistry"
    GEOMETRY = "geometry", "Geometry"
    HISTORY = "history", "History"
    LANGUAGES = "languages", "Languages"
    PHYSICS = "physics", "Physics"
    PROGRAMMING = "programming", "Programming"


class Difficulty(models.IntegerChoices):
    """How hard a problem is."""

    EASY = 1, "Easy"
    MEDIUM = 2, "Medium"
    HARD = 3, "Hard"


class Course(models.Model):
    """A course, made of chapters."""

    title = models.CharField(max_length=200)
    topic = models.CharField(max_length=20, choices=Topic, db_index=True)
    description = models.TextField()
    # How many learners take part; courses are listed and warmed in this order.
    enrolled_count = models.PositiveIntegerField(default=0, db_index=True)
    updated_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.title


class Chapter(models.Model):
    """A chapter of a course, made of problems."""

    course = models.ForeignKey(Course, on_delete=models.CASCADE, related_name="chapters")
    position = models.PositiveSmallIntegerField()
    title = models.CharField(max_length=200)
    body = models.TextField()
    updated_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["course", "position"], name="one_chapter_per_position")
        ]

    def __str__(self) -> str:
        return self.title


class Problem(models.Model):
    """A problem of a chapter."""

    chapter = models.ForeignKey(Chapter, on_delete=models.CASCADE, related_name="problems")
    position = models.PositiveSmallIntegerField()
    title = models.CharField(max_length=200)
    statement = models.TextField()
    difficulty = models.PositiveSmallIntegerField(choices=Difficulty)
    # How often it was tried; problems are warmed in this order.
    attempt_count = models.PositiveIntegerField(default=0, db_index=True)
    updated_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["chapter", "position"], name="one_problem_per_position")
        ]

    def __str__(self) -> str:
        return self.title
