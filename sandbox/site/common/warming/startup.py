"""Startup warming: what most visitors will ask for first, in the order of its importance."""

from django.conf import settings
from django.utils.module_loading import import_string

from common.cache.errors import CacheUnavailable
from common.metrics.labels import WarmingType
from common.publishing import publish
from common.warming import locks
from common.warming.runs import WarmingOutcome, skipped, warm_exclusively
from common.warming.switches import warming_is_enabled, warming_limits

TASK = "common.tasks.run_startup_warming"
# Every worker of every machine asks when it starts; within this time one of them is enough.
QUEUE_LOCK_SECONDS = 60


def warm_at_startup() -> WarmingOutcome:
    """Warm the site's plan (``CACHE_STARTUP_PLAN``) within the limits of ``CACHE_WARMING``."""
    if not warming_is_enabled():
        return skipped(warming_type=WarmingType.STARTUP, reason="warming is switched off")
    plan = import_string(settings.CACHE_STARTUP_PLAN)
    return warm_exclusively(warming_type=WarmingType.STARTUP, keys=plan(limits=warming_limits()))


def request_startup_warming() -> bool:
    """Queue one startup run for the Celery worker; returns whether this process was the one to do it."""
    if not warming_is_enabled():
        return False
    try:
        token = locks.acquire(
            warming_type=WarmingType.STARTUP, identifier="queue", seconds=QUEUE_LOCK_SECONDS
        )
    except CacheUnavailable:
        return False
    if token is None:
        return False
    publish(task=TASK)
    return True
