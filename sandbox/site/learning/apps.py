"""Django application ``learning``."""

from django.apps import AppConfig


class LearningConfig(AppConfig):
    """Holds the content of the platform."""

    name = "learning"
