"""One warming run: its lock, its work, its outcome in metrics and statistics."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from time import perf_counter

from celery.exceptions import SoftTimeLimitExceeded

from common.cache.enhanced import store_answer
from common.cache.errors import CacheUnavailable
from common.cache.keys import CacheKey
from common.cache.resources import resource_named
from common.feature_flags import Feature
from common.feature_flags.snapshot import Subject, flag_cache
from common.metrics import definitions as metric
from common.metrics.labels import WarmingStatus, WarmingType
from common.warming import locks
from common.warming.statistics import record_run

logger = logging.getLogger(__name__)

# What startup and scheduled runs lock: there is one of each for the whole site.
WHOLE_SITE = "all"


@dataclass(frozen=True)
class WarmingOutcome:
    """What a run did.

    Attributes:
        status: success, error, or skipped.
        items_count: values stored.
        duration_seconds: of the whole run.
        reason: why it was skipped or failed; empty after a success.
    """

    status: WarmingStatus
    items_count: int = 0
    duration_seconds: float = 0.0
    reason: str = ""


def warm(*, warming_type: WarmingType, keys: Iterable[CacheKey]) -> WarmingOutcome:
    """Load and store ``keys`` in their order, and record the run. The caller holds the lock.

    A key that cannot be loaded does not keep the others from being warmed, but the run counts as failed. Without
    Redis the run ends at once. ``keys`` may be lazy; what it raises fails the run as well.
    """
    started = perf_counter()
    stored, failures = 0, []
    features = process_features()
    try:
        for key in keys:
            try:
                stored += _store_one(key=key, features=features)
            except (CacheUnavailable, SoftTimeLimitExceeded):
                raise
            except Exception as error:
                logger.exception("warming %s failed", key)
                failures.append(str(error))
    except Exception as error:
        # Redis is gone, the time is up, or the keys themselves could not be read: the run is over, and counted.
        logger.warning("%s warming ended early: %s", warming_type.value, error, exc_info=True)
        failures.append(f"ended early: {str(error) or type(error).__name__}")
    outcome = WarmingOutcome(
        status=WarmingStatus.ERROR if failures else WarmingStatus.SUCCESS,
        items_count=stored,
        duration_seconds=perf_counter() - started,
        reason="; ".join(failures[:3]),
    )
    _record(warming_type=warming_type, outcome=outcome)
    return outcome


def skipped(*, warming_type: WarmingType, reason: str) -> WarmingOutcome:
    """Record that there was nothing to do, or that somebody else is doing it."""
    logger.info("%s warming skipped: %s", warming_type.value, reason)
    metric.CACHE_WARMING_TASKS.labels(
        warming_type=warming_type.value, status=WarmingStatus.SKIPPED.value
    ).inc()
    return WarmingOutcome(status=WarmingStatus.SKIPPED, reason=reason)


def warm_exclusively(*, warming_type: WarmingType, keys: Iterable[CacheKey]) -> WarmingOutcome:
    """Warm under the lock for the whole site; skipped while another process holds it, or Redis is gone."""
    try:
        token = locks.acquire(warming_type=warming_type, identifier=WHOLE_SITE)
    except CacheUnavailable as error:
        return skipped(warming_type=warming_type, reason=f"no Redis: {error}")
    if token is None:
        return skipped(warming_type=warming_type, reason="another run holds the lock")
    try:
        return warm(warming_type=warming_type, keys=keys)
    finally:
        release_quietly(warming_type=warming_type, identifier=WHOLE_SITE, token=token)


def release_quietly(*, warming_type: WarmingType, identifier: str, token: str) -> None:
    """Release a lock; without Redis it ends by itself."""
    try:
        locks.release(warming_type=warming_type, identifier=identifier, token=token)
    except CacheUnavailable:
        logger.info("lock %s:%s is left to expire", warming_type.value, identifier)


def process_features() -> frozenset[Feature]:
    """The features that everybody gets; what warming stores is for everybody."""
    return frozenset(name for name, flag in flag_cache.flags().items() if flag.admits(Subject()))


def _store_one(*, key: CacheKey, features: frozenset[Feature]) -> int:
    resource = resource_named(key.view)
    if resource is None:
        return 0
    data = resource.load(key)
    return int(store_answer(resource=resource, key=key, data=data, features=features))


def _record(*, warming_type: WarmingType, outcome: WarmingOutcome) -> None:
    label = warming_type.value
    metric.CACHE_WARMING_TASKS.labels(warming_type=label, status=outcome.status.value).inc()
    metric.CACHE_WARMING_ITEMS.labels(warming_type=label).inc(outcome.items_count)
    metric.CACHE_WARMING_DURATION.labels(warming_type=label).observe(outcome.duration_seconds)
    logger.info(
        "%s warming: %s, %d items in %.2f s %s",
        label,
        outcome.status.value,
        outcome.items_count,
        outcome.duration_seconds,
        outcome.reason,
    )
    try:
        record_run(
            warming_type=warming_type,
            items_count=outcome.items_count,
            failures_count=int(outcome.status is WarmingStatus.ERROR),
            duration_seconds=outcome.duration_seconds,
        )
    except CacheUnavailable:
        logger.info("%s warming: statistics not recorded, Redis is gone", label)
