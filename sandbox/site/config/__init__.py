"""Project configuration; the Celery application is imported so that tasks bind to it."""

from config.celery import app as celery_app

__all__ = ["celery_app"]
