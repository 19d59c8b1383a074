"""Keep the table ``cache_stats`` small."""

import datetime as dt

from django.utils import timezone

from common.models import CacheStat

DELETE_BATCH = 5000


def prune_cache_stats(*, older_than: dt.timedelta) -> int:
    """Delete rows older than ``older_than``, in batches, so that writers get their turn; returns how many."""
    expired = CacheStat.objects.filter(created_at__lt=timezone.now() - older_than).order_by("created_at")
    deleted = 0
    while ids := list(expired.values_list("id", flat=True)[:DELETE_BATCH]):
        deleted += CacheStat.objects.filter(id__in=ids).delete()[0]
    return deleted
