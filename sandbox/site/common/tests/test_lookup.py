"""The path of one lookup through the enhanced cache."""

from django.core.cache import cache
from django.test import override_settings

from common.cache.connection import redis_client
from common.feature_flags import Feature, FeatureFlagService
from common.publishing import publisher
from common.tests.base import SiteTestCase, make_course, make_stale, metric_value, redis_keys
from learning.models import Course


class LookupTests(SiteTestCase):
    """Hit, miss, NULL_VALUE and stale, seen from outside."""

    def setUp(self) -> None:
        super().setUp()
        self.course = make_course(chapters=1)
        self.url = f"/api/courses/{self.course.id}/"
        self.key = f"api:CourseDetailView:{self.course.id}"

    def test_lookup_first_and_second_is_miss_then_hit(self) -> None:
        """The second reader gets what the first one had loaded."""
        first, second = self.client.get(self.url), self.client.get(self.url)

        self.assertEqual((first["X-Cache"], second["X-Cache"]), ("MISS", "HIT"))
        self.assertEqual(first.json(), second.json())
        self.assertEqual(second["Age"], "0")
        self.assertEqual(second["Cache-Control"], "public, max-age=60")

    def test_lookup_hit_asks_no_database(self) -> None:
        """A hit costs no query at all."""
        self.client.get(self.url)

        with self.assertNumQueries(0):
            self.client.get(self.url)

    def test_lookup_counts_each_status_once(self) -> None:
        """One lookup, one count, under the URL name."""
        labels = {"endpoint": "course-detail"}
        before = {
            name: metric_value("cache_requests_total", status=name, **labels) for name in ("hit", "miss")
        }

        for _ in range(3):
            self.client.get(self.url)

        self.assertEqual(metric_value("cache_requests_total", status="miss", **labels) - before["miss"], 1)
        self.assertEqual(metric_value("cache_requests_total", status="hit", **labels) - before["hit"], 2)

    def test_lookup_of_nothing_is_cached_as_null_value(self) -> None:
        """What does not exist is asked of the database once, and counted as an attempt each time."""
        before = metric_value("cache_penetration_attempts_total", endpoint="course-detail")
        first = self.client.get("/api/courses/424242/")
        with self.assertNumQueries(0):
            second = self.client.get("/api/courses/424242/")

        self.assertEqual([first.status_code, second.status_code], [404, 404])
        self.assertEqual((first["X-Cache"], second["X-Cache"]), ("MISS", "NULL"))
        self.assertNotIn("Age", second)
        self.assertEqual(second["Cache-Control"], "no-store")
        self.assertEqual(redis_client().get("django:1:api:CourseDetailView:424242"), b'"NULL_VALUE"')
        self.assertEqual(
            metric_value("cache_penetration_attempts_total", endpoint="course-detail") - before, 2
        )

    @override_settings(CACHE_NULL_TTL_SECONDS=9999)
    def test_lookup_null_ttl_however_configured_is_at_most_300_seconds(self) -> None:
        """Nobody can hide a new object for longer than five minutes."""
        self.client.get("/api/courses/424242/")

        self.assertLessEqual(redis_client().pttl("django:1:api:CourseDetailView:424242"), 300_000)

    def test_lookup_null_ttl_by_default_is_about_a_minute(self) -> None:
        """60 s with ten percent of jitter."""
        self.client.get("/api/courses/424242/")

        ttl_ms = redis_client().pttl("django:1:api:CourseDetailView:424242")
        self.assertTrue(53_000 <= ttl_ms <= 66_000, ttl_ms)

    def test_lookup_of_impossible_ids_asks_nobody(self) -> None:
        """Zero and numbers beyond any table are refused without a key of their own."""
        for number in ("0", "99999999999999999999"):
            response = self.client.get(f"/api/courses/{number}/")
            self.assertEqual(response.status_code, 404)
            self.assertNotIn("X-Cache", response)
        self.assertEqual(redis_keys("django:1:api:*"), set())

    def test_lookup_without_penetration_protection_stores_no_null_value(self) -> None:
        """Switched off, each lookup of nothing reaches the database, impossible ids included."""
        FeatureFlagService.disable_feature(Feature.PENETRATION_PROTECTION)

        for number in ("424242", "424242", "0", "99999999999999999999"):
            response = self.client.get(f"/api/courses/{number}/")
            self.assertEqual((response.status_code, response["X-Cache"]), (404, "MISS"))
        self.assertEqual(redis_keys("django:1:api:*"), set())

    def test_lookup_without_penetration_protection_ignores_stored_null_values(self) -> None:
        """A NULL_VALUE of before the switch does not live on."""
        self.client.get("/api/courses/424242/")
        FeatureFlagService.disable_feature(Feature.PENETRATION_PROTECTION)

        self.assertEqual(self.client.get("/api/courses/424242/")["X-Cache"], "MISS")

    def test_lookup_past_soft_expiry_serves_stale_and_queues_one_refresh(self) -> None:
        """However many read the stale answer, it is refreshed once, with what the database says now."""
        self.client.get(self.url)
        make_stale(self.key)
        Course.objects.filter(id=self.course.id).update(title="Changed")

        stale = [self.client.get(self.url) for _ in range(5)]

        self.assertEqual([response["X-Cache"] for response in stale], ["STALE"] * 5)
        self.assertEqual({response.json()["title"] for response in stale}, {"Sets"})
        self.assertTrue(stale[0]["Cache-Control"].endswith("max-age=0"))
        lock = f"cache_warming_lock:on_demand:{self.key}"
        self.assertTrue(0 < redis_client().ttl(lock) <= 60)
        self.assertEqual(publisher.flush(), 1)
        fresh = self.client.get(self.url)
        self.assertEqual((fresh["X-Cache"], fresh.json()["title"]), ("HIT", "Changed"))
        self.assertEqual(redis_client().exists(lock), 0)

    def test_lookup_past_soft_expiry_without_warming_is_a_hit(self) -> None:
        """Without background refresh, an answer is good until it expires."""
        self.client.get(self.url)
        make_stale(self.key)
        FeatureFlagService.disable_feature(Feature.CACHE_WARMING)

        self.assertEqual(self.client.get(self.url)["X-Cache"], "HIT")
        # Nor while warming is rolled out: it is done by processes, which are in at 100 % only.
        FeatureFlagService.set_percentage(Feature.CACHE_WARMING, 99)
        self.assertEqual(self.client.get(self.url)["X-Cache"], "HIT")
        self.assertEqual(publisher.flush(), 0)

    def test_lookup_of_a_foreign_value_is_a_miss(self) -> None:
        """Something else under our key is overwritten, not served and no error."""
        for value in (b"\x80\x04no json", b"12", b'{"other": 1}'):
            redis_client().set(f"django:1:{self.key}", value)
            response = self.client.get(self.url)
            self.assertEqual((response.status_code, response["X-Cache"]), (200, "MISS"))

    def test_lookup_that_cannot_store_still_answers(self) -> None:
        """A Redis that is full and refuses writes costs the store, not the answer, and reads go on."""
        client = redis_client()
        names = ("maxmemory", "maxmemory-policy")
        before = {name: client.config_get(name)[name] for name in names}
        for name, value in zip(names, ("1", "noeviction"), strict=True):
            client.config_set(name, value)
        try:
            response = self.client.get(self.url)
        finally:
            for name, value in before.items():
                client.config_set(name, value)
        self.assertEqual((response.status_code, response["X-Cache"]), (200, "MISS"))

    def test_lookup_unknown_parameters_share_one_key(self) -> None:
        """Tracking parameters do not make new keys."""
        self.client.get("/api/courses/")

        response = self.client.get("/api/courses/?utm_source=x&page=1&_=123")

        self.assertEqual(response["X-Cache"], "HIT")

    def test_lookup_of_an_empty_list_is_kept_for_a_minute(self) -> None:
        """An empty list may fill soon."""
        empty = make_course()
        self.client.get(f"/api/courses/{empty.id}/chapters/")

        ttl_ms = redis_client().pttl(f"django:1:api:CourseChaptersView:course={empty.id}")
        self.assertTrue(53_000 <= ttl_ms <= 66_000, ttl_ms)

    def test_lookup_ttl_follows_the_access_statistics(self) -> None:
        """Cold at first, hot after many hits."""
        self.client.get(self.url)
        cold_ms = redis_client().pttl(f"django:1:{self.key}")
        redis_client().hset(f"cache_stats:django:1:{self.key}", mapping={"hits": 101, "misses": 2})
        cache.delete(self.key)
        self.client.get(self.url)
        hot_ms = redis_client().pttl(f"django:1:{self.key}")

        self.assertTrue(269_000 <= cold_ms <= 330_000, cold_ms)
        self.assertTrue(1_619_000 <= hot_ms <= 1_980_000, hot_ms)

    def test_lookup_without_adaptive_ttl_uses_one_ttl(self) -> None:
        """Switched off, a cold answer is kept as long as any other."""
        FeatureFlagService.disable_feature(Feature.ADAPTIVE_TTL)
        self.client.get(self.url)

        ttl_ms = redis_client().pttl(f"django:1:{self.key}")
        self.assertTrue(809_000 <= ttl_ms <= 990_000, ttl_ms)

    def test_lookup_keeps_statistics_of_what_exists_only(self) -> None:
        """Hits, misses and last access for a day; nothing for ids that are not there."""
        for _ in range(3):
            self.client.get(self.url)
        self.client.get("/api/courses/424242/")

        name = f"cache_stats:django:1:{self.key}"
        counts = redis_client().hgetall(name)
        self.assertEqual((counts[b"hits"], counts[b"misses"]), (b"2", b"1"))
        self.assertIn(b"last_access", counts)
        self.assertTrue(86_000 < redis_client().ttl(name) <= 86_400)
        self.assertEqual(redis_keys("cache_stats:*"), {name})
