"""The tasks that Celery runs. Each is one call into the package that does the work."""

import datetime as dt
from typing import Any

from celery import Task, shared_task
from django.conf import settings

from common.cache import store
from common.cache.errors import CacheUnavailable
from common.cache_log.services import prune_cache_stats as prune
from common.warming.on_demand import refresh_answer as refresh
from common.warming.runs import WarmingOutcome
from common.warming.scheduled import warm_on_schedule
from common.warming.startup import warm_at_startup


@shared_task
def run_startup_warming() -> dict[str, Any]:
    """Warm what the startup plan names."""
    return _summary(warm_at_startup())


@shared_task
def run_scheduled_warming() -> dict[str, Any]:
    """Warm what is asked for often."""
    return _summary(warm_on_schedule())


# A refresh that waited longer than its lock may be running a second time already.
@shared_task(expires=60)
def refresh_answer(name: str, token: str) -> dict[str, Any]:
    """Refresh the answer called ``name``, for which the caller holds the lock ``token``."""
    return _summary(refresh(name=name, token=token))


@shared_task(bind=True, max_retries=20)
def invalidate_names(self: Task, endpoint: str, names: list[str]) -> int:
    """Delete answers that could not be deleted when their content changed; tries for about ten minutes."""
    try:
        return store.delete(names=names, endpoint=endpoint)
    except CacheUnavailable as error:
        raise self.retry(exc=error, countdown=min(2**self.request.retries, 45)) from error


@shared_task
def prune_cache_stats() -> int:
    """Delete old rows of the table ``cache_stats``."""
    return prune(older_than=dt.timedelta(days=settings.CACHE_STATS_RETENTION_DAYS))


def _summary(outcome: WarmingOutcome) -> dict[str, Any]:
    return {"status": outcome.status.value, "items": outcome.items_count, "reason": outcome.reason}
