"""The plain cache, for callers without ENHANCED_CACHE."""

from common.cache.connection import redis_client
from common.feature_flags import FeatureFlagService, disable_cache_feature
from common.feature_flags.names import Feature
from common.tests.base import SiteTestCase, make_course, make_stale, make_user, metric_value, redis_keys


class LegacyTests(SiteTestCase):
    """ENHANCED_CACHE switches between two whole caches."""

    def setUp(self) -> None:
        super().setUp()
        disable_cache_feature()
        self.course = make_course()
        self.url = f"/api/courses/{self.course.id}/"

    def test_legacy_stores_under_its_own_key_for_five_minutes(self) -> None:
        """No statistics, no adaptive TTL, no jitter."""
        first, second = self.client.get(self.url), self.client.get(self.url)

        self.assertEqual((first["X-Cache"], second["X-Cache"]), ("MISS", "HIT"))
        self.assertEqual(redis_keys("*CourseDetail*"), {f"django:1:legacy:CourseDetailView:{self.course.id}"})
        ttl_ms = redis_client().pttl(f"django:1:legacy:CourseDetailView:{self.course.id}")
        self.assertTrue(299_000 <= ttl_ms <= 300_000, ttl_ms)

    def test_legacy_asks_the_database_for_nothing_each_time(self) -> None:
        """There is no NULL_VALUE, but lookups and attempts are counted."""
        before = metric_value("cache_penetration_attempts_total", endpoint="course-detail")

        statuses = [self.client.get("/api/courses/424242/")["X-Cache"] for _ in range(2)]

        self.assertEqual(statuses, ["MISS", "MISS"])
        self.assertEqual(
            metric_value("cache_penetration_attempts_total", endpoint="course-detail") - before, 2
        )

    def test_legacy_serves_no_stale_answers(self) -> None:
        """Until it expires, an answer is a hit."""
        self.client.get(self.url)
        make_stale(f"legacy:CourseDetailView:{self.course.id}")

        self.assertEqual(self.client.get(self.url)["X-Cache"], "HIT")

    def test_cohort_of_a_request_shows_in_the_metrics(self) -> None:
        """The same address counts as legacy or enhanced, by caller."""
        user, headers = make_user()
        FeatureFlagService.set_percentage(Feature.ENHANCED_CACHE, 0)
        FeatureFlagService.add_to_whitelist(Feature.ENHANCED_CACHE, user.id)
        labels = {"endpoint": "course-detail", "method": "GET", "code": "200"}
        before = {
            name: metric_value("http_requests_total", cohort=name, **labels)
            for name in ("enhanced", "legacy")
        }

        self.client.get(self.url)
        self.client.get(self.url, headers=headers)

        for name, count in before.items():
            self.assertEqual(metric_value("http_requests_total", cohort=name, **labels) - count, 1)
