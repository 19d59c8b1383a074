"""Redis goes away and comes back, for real."""

import copy
from time import perf_counter, sleep

from django.conf import settings
from django.test import RequestFactory, override_settings

from common.cache.connection import breaker
from common.cache_log.rows import row_writer
from common.feature_flags import Feature, FeatureFlagService
from common.models import CacheStat
from common.publishing import publisher
from common.tests.base import SiteTestCase, make_course, make_stale, make_user, metric_value, redis_keys
from common.throttling import get_rate_limit_status
from common.throttling.throttles import fail_open_log
from common.warming.startup import warm_at_startup
from config.test_redis import RedisServer
from learning.models import Course


class OutageTests(SiteTestCase):
    """Each test has a Redis of its own, which it may stop."""

    def setUp(self) -> None:
        super().setUp()
        self.server = RedisServer()
        self.server.start()
        self.addCleanup(self.server.stop)
        caches = copy.deepcopy(settings.CACHES)
        caches["default"]["LOCATION"] = self.server.url
        override = override_settings(CACHES=caches)
        override.enable()
        # Runs before the clean-up of the base class, which needs the Redis that still lives.
        self.addCleanup(override.disable)
        self.course = make_course()
        self.url = f"/api/courses/{self.course.id}/"

    def test_outage_is_bypassed_quickly_and_ends_by_itself(self) -> None:
        """BYPASS from the database while Redis is gone; a hit again within two seconds of its return."""
        self.client.get(self.url)
        self.server.stop()

        started = perf_counter()
        answers = [self.client.get(self.url) for _ in range(10)]
        seconds = perf_counter() - started

        self.assertEqual({(answer.status_code, answer["X-Cache"]) for answer in answers}, {(200, "BYPASS")})
        self.assertEqual({answer["Cache-Control"] for answer in answers}, {"no-store"})
        self.assertLess(seconds, 1.0)
        self.server.start()
        sleep(1.1)
        self.assertEqual([self.client.get(self.url)["X-Cache"] for _ in range(2)], ["MISS", "HIT"])

    def test_outage_lookups_are_rows_but_no_lookups_of_the_metrics(self) -> None:
        """A bypass is in cache_stats; cache_requests_total does not know it."""

        def lookups() -> float:
            return sum(
                metric_value("cache_requests_total", endpoint="course-detail", status=status)
                for status in ("hit", "miss", "null_value", "stale")
            )

        self.server.stop()
        before = lookups()
        self.client.get(self.url)
        self.client.get("/api/courses/424242/")

        self.assertEqual(lookups(), before)
        row_writer.flush()
        self.assertEqual(list(CacheStat.objects.values_list("status", flat=True)), ["bypass", "bypass"])

    def test_outage_during_legacy_is_bypassed_too(self) -> None:
        """Both caches fall back to the database."""
        FeatureFlagService.disable_feature(Feature.ENHANCED_CACHE)
        self.server.stop()

        self.assertEqual(self.client.get(self.url)["X-Cache"], "BYPASS")

    def test_outage_with_page_cache_serves_anonymous_readers_from_files(self) -> None:
        """The second reader costs no query; signed-in ones read the database."""
        _, headers = make_user()
        FeatureFlagService.enable_feature(Feature.PAGE_CACHE)
        self.server.stop()

        first = self.client.get(self.url)
        with self.assertNumQueries(0):
            second = self.client.get(self.url)
        signed_in = self.client.get(self.url, headers=headers)

        self.assertEqual((first["X-Page-Cache"], second["X-Page-Cache"]), ("MISS", "HIT"))
        self.assertEqual(second["X-Cache"], "BYPASS")
        self.assertEqual(first.json(), second.json())
        self.assertNotIn("X-Page-Cache", signed_in)

    def test_outage_without_page_cache_writes_no_files(self) -> None:
        """The flag is off by default, and off means off."""
        self.server.stop()

        self.assertNotIn("X-Page-Cache", self.client.get(self.url))

    def test_outage_opens_throttling_and_says_so(self) -> None:
        """Nobody is refused because a counter is away; the log tells."""
        self.server.stop()
        request = RequestFactory().get("/")

        with self.assertLogs("common.throttling.throttles", "WARNING") as logs:
            # The complaint is limited in time for the whole process; make it due.
            fail_open_log._last_at = float("-inf")
            response = self.client.get(self.url)

        self.assertEqual(response.status_code, 200)
        self.assertNotIn("X-RateLimit-Limit", response)
        self.assertIn("fails open", logs.output[0])
        status = get_rate_limit_status(request)
        self.assertEqual((status["throttled"], status["remaining"], status["reset_at"]), (False, None, None))

    def test_outage_makes_health_503_and_fast(self) -> None:
        """Down is said in the contract's form."""
        self.server.stop()
        started = perf_counter()

        response = self.client.get("/api/health/cache")

        self.assertLess(perf_counter() - started, 1.0)
        self.assertEqual((response.status_code, response.json()["status"]), (503, "down"))
        self.assertEqual(response.json()["redis"]["reachable"], False)
        self.assertIsNone(response.json()["redis"]["latency_ms"])

    def test_outage_leaves_flags_changeable(self) -> None:
        """The first step of an incident is to switch a feature off; that needs no Redis."""
        self.server.stop()

        status = FeatureFlagService.disable_feature(Feature.ENHANCED_CACHE)

        self.assertEqual(status["strategy"], "off")

    def test_outage_during_a_change_has_the_deletion_repeated(self) -> None:
        """What could not be deleted then is deleted by a worker later."""
        _, headers = make_user(is_staff=True)
        self.client.get(self.url)
        self.server.stop()
        breaker.succeeded()
        with self.captureOnCommitCallbacks(execute=True):
            self.client.patch(self.url, {"title": "New"}, content_type="application/json", headers=headers)

        self.assertEqual(Course.objects.get().title, "New")
        tasks = {task.path for task in publisher._items}
        self.assertEqual(tasks, {"common.tasks.invalidate_names"})
        self.server.start()
        breaker.succeeded()
        self.assertGreater(publisher.flush(), 0)

    def test_outage_makes_warming_skip(self) -> None:
        """Without Redis there is nothing to warm, and no lock to take."""
        self.server.stop()

        self.assertEqual(warm_at_startup().status, "skipped")

    def test_outage_of_a_stale_answer_serves_what_was_read(self) -> None:
        """A breaker that opens between two commands does not lose the answer."""
        self.client.get(self.url)
        make_stale(f"api:CourseDetailView:{self.course.id}")

        self.assertEqual(self.client.get(self.url)["X-Cache"], "STALE")
        self.assertTrue(redis_keys("cache_warming_lock:*"))
