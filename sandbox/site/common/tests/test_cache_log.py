"""The table cache_stats and the queue in front of it."""

import datetime as dt
import io
import threading
import time

from django.core.management import call_command
from django.test import SimpleTestCase, TransactionTestCase, override_settings
from django.utils import timezone

from common.background import BackgroundBatcher
from common.cache_log.rows import row_writer
from common.cache_log.services import prune_cache_stats
from common.feature_flags import Feature, FeatureFlagService
from common.models import CacheStat
from common.tests.base import IsolatedCacheMixin, SiteTestCase, make_course, metric_value


def make_batcher(handled: list[list[int]], **options: object) -> BackgroundBatcher[int]:
    """A batcher that keeps what it handles."""
    values = {
        "name": "test",
        "handle_batch": lambda items: handled.append(list(items)),
        "max_items": 3,
        "linger_seconds": lambda: 0.01,
        "on_drop": lambda: None,
    }
    return BackgroundBatcher(**{**values, **options})


class BatcherTests(SimpleTestCase):
    """The queue between a request and its work."""

    def test_batcher_when_full_drops_the_oldest_and_says_so(self) -> None:
        """Memory is bounded, and what was lost is counted."""
        handled: list[list[int]] = []
        dropped: list[int] = []
        batcher = make_batcher(handled, on_drop=lambda: dropped.append(1))
        for number in range(5):
            batcher.add(number)

        self.assertEqual(batcher.flush(), 3)
        self.assertEqual((handled, len(dropped)), ([[2, 3, 4]], 2))

    @override_settings(BACKGROUND_THREADS=True)
    def test_batcher_thread_handles_items_in_the_background(self) -> None:
        """The thread starts with the first item, and survives a failing batch."""
        done = threading.Event()
        seen: list[int] = []

        def handle(items: list[int]) -> None:
            if not seen:
                seen.extend(items)
                raise RuntimeError("database away")
            seen.extend(items)
            done.set()

        batcher = make_batcher([], handle_batch=handle)
        with self.assertLogs("common.background", "ERROR"):
            batcher.add(1)
            deadline = time.monotonic() + 2
            while not seen and time.monotonic() < deadline:
                time.sleep(0.005)
            time.sleep(0.02)
        batcher.add(2)

        self.assertTrue(done.wait(2))
        self.assertEqual(seen, [1, 2])

    def test_batcher_after_a_fork_begins_empty(self) -> None:
        """A child neither writes its parent's items nor waits for a thread that it has not."""
        batcher = make_batcher([])
        batcher.add(1)
        batcher._start_empty()

        self.assertEqual(batcher.flush(), 0)


class CacheStatTests(SiteTestCase):
    """One row per lookup."""

    def test_rows_are_written_off_the_request_and_in_one_insert(self) -> None:
        """A request writes nothing; a flush writes all."""
        course = make_course()
        for _ in range(3):
            self.client.get(f"/api/courses/{course.id}/")
        self.client.get("/api/courses/424242/")
        self.client.get("/api/courses/424242/")
        self.assertEqual(CacheStat.objects.count(), 0)

        with self.assertNumQueries(1):
            row_writer.flush()

        rows = list(CacheStat.objects.order_by("id").values_list("view_name", "status", "cohort"))
        statuses = ["miss", "hit", "hit", "miss", "null_value"]
        self.assertEqual(rows, [("course-detail", status, "enhanced") for status in statuses])
        row = CacheStat.objects.first()
        self.assertTrue(0 < row.duration_ms < 1000)
        self.assertLess(abs(timezone.now() - row.created_at), dt.timedelta(seconds=10))

    def test_rows_without_monitoring_are_not_written(self) -> None:
        """CACHE_MONITORING switches rows and the histogram; the counters go on."""
        course = make_course()
        labels = {"endpoint": "course-detail"}
        self.client.get(f"/api/courses/{course.id}/")
        row_writer.flush()
        observed = metric_value("cache_operation_duration_seconds_count", operation="get", **labels)
        hits = metric_value("cache_requests_total", status="hit", **labels)
        FeatureFlagService.disable_feature(Feature.CACHE_MONITORING)

        self.client.get(f"/api/courses/{course.id}/")

        self.assertEqual(row_writer.flush(), 0)
        self.assertEqual(
            metric_value("cache_operation_duration_seconds_count", operation="get", **labels), observed
        )
        self.assertEqual(metric_value("cache_requests_total", status="hit", **labels) - hits, 1)

    def test_prune_deletes_old_rows_only(self) -> None:
        """In batches, by age."""
        now = timezone.now()
        CacheStat.objects.bulk_create(
            CacheStat(
                created_at=now - dt.timedelta(days=days),
                view_name="v",
                status="hit",
                duration_ms=1,
                cohort="c",
            )
            for days in (1, 13, 15, 40)
        )
        call_command("prune_cache_stats", stdout=io.StringIO())
        self.assertEqual(CacheStat.objects.count(), 2)
        self.assertEqual(prune_cache_stats(older_than=dt.timedelta(hours=1)), 2)


class CacheStatThreadTests(IsolatedCacheMixin, TransactionTestCase):
    """With the real thread and its own database connection."""

    @override_settings(BACKGROUND_THREADS=True, CACHE_STATS_FLUSH_SECONDS=0.05)
    def test_rows_arrive_without_anybody_flushing(self) -> None:
        """Within the flush interval and a little."""
        course = make_course()
        self.client.get(f"/api/courses/{course.id}/")

        deadline = time.monotonic() + 3
        while not CacheStat.objects.exists() and time.monotonic() < deadline:
            time.sleep(0.02)

        self.assertEqual(CacheStat.objects.count(), 1)
