"""Django application ``common``."""

from django.apps import AppConfig


class CommonConfig(AppConfig):
    """Holds the tables of feature flags and cache statistics."""

    name = "common"
