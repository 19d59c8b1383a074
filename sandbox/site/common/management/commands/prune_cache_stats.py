"""``manage.py prune_cache_stats``."""

import datetime as dt

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from common.cache_log.services import prune_cache_stats


class Command(BaseCommand):
    """Deletes old rows of the table cache_stats."""

    help = "Delete rows of cache_stats that are older than the retention time."

    def add_arguments(self, parser: CommandParser) -> None:
        """Retention in days."""
        parser.add_argument("--days", type=float, default=settings.CACHE_STATS_RETENTION_DAYS)

    def handle(self, *args: object, **options: object) -> None:
        """Prune, and say how many rows went."""
        deleted = prune_cache_stats(older_than=dt.timedelta(days=float(str(options["days"]))))
        self.stdout.write(f"{deleted} rows deleted")
