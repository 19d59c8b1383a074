"""Note each lookup for the table ``cache_stats``, off the request path."""

import datetime as dt
from collections.abc import Sequence

from django.conf import settings
from django.db import close_old_connections

from common.background import BackgroundBatcher
from common.feature_flags import Feature, FeatureFlagService
from common.metrics.definitions import CACHE_STATS_ROWS
from common.metrics.labels import Cohort, LookupStatus
from common.models import CacheStat

MAX_QUEUED_ROWS = 10_000
INSERT_BATCH = 500


def record_row(
    *, view_name: str, status: LookupStatus, duration_ms: float, cohort: Cohort, created_at: float
) -> None:
    """Queue one row, if CACHE_MONITORING is on.

    Args:
        duration_ms: of the lookup, loading included.
        created_at: unix time.
    """
    if FeatureFlagService.is_enabled(Feature.CACHE_MONITORING):
        row_writer.add(
            CacheStat(
                created_at=dt.datetime.fromtimestamp(created_at, tz=dt.UTC),
                view_name=view_name,
                status=status.value,
                duration_ms=round(duration_ms, 3),
                cohort=cohort.value,
            )
        )


def _insert(rows: Sequence[CacheStat]) -> None:
    close_old_connections()
    try:
        CacheStat.objects.bulk_create(rows, batch_size=INSERT_BATCH)
    except Exception:
        CACHE_STATS_ROWS.labels(outcome="dropped").inc(len(rows))
        raise
    finally:
        close_old_connections()
    CACHE_STATS_ROWS.labels(outcome="written").inc(len(rows))


row_writer: BackgroundBatcher[CacheStat] = BackgroundBatcher(
    name="cache-stats-writer",
    handle_batch=_insert,
    max_items=MAX_QUEUED_ROWS,
    linger_seconds=lambda: settings.CACHE_STATS_FLUSH_SECONDS,
    on_drop=lambda: CACHE_STATS_ROWS.labels(outcome="dropped").inc(),
)
