"""The health address while Redis is there; without it, see test_outage."""

from unittest.mock import patch

from django.test import SimpleTestCase

from common.feature_flags import Feature
from common.health.judgement import judge
from common.health.selectors import RedisReading
from common.metrics.labels import WarmingType
from common.metrics.recent import RecentLookups
from common.metrics.totals import LookupTotals
from common.tests.base import SiteTestCase, make_course
from common.warming.locks import acquire
from common.warming.startup import warm_at_startup


def reading(*, latency_ms: float = 1.0) -> RedisReading:
    """A look at a Redis that is well."""
    return RedisReading(latency_ms, 1, 0, None, warming_running=False)


class JudgementTests(SimpleTestCase):
    """The thresholds."""

    def test_judge_by_redis_latency_and_ratios(self) -> None:
        """Each cause alone; too few lookups say nothing."""
        cases = [
            (None, LookupTotals(1000, 990, 0), "down"),
            (reading(), LookupTotals(1000, 990, 0), "healthy"),
            (reading(), LookupTotals(1000, 799, 0), "degraded"),
            (reading(), LookupTotals(1000, 990, 101), "degraded"),
            (reading(latency_ms=101), LookupTotals(1000, 990, 0), "degraded"),
            (reading(), LookupTotals(50, 0, 0), "healthy"),
            (reading(), LookupTotals(0, 0, 0), "healthy"),
        ]
        for redis, totals, expected in cases:
            self.assertEqual(judge(redis=redis, totals=totals), expected)
        self.assertIsNone(LookupTotals(0, 0, 0).hit_ratio)


class RecentTests(SimpleTestCase):
    """The ratios are those of the last minutes."""

    def observe(self, *readings: tuple[float, LookupTotals]) -> LookupTotals:
        """The last answer of a process that took these readings, each (seconds, totals since start)."""
        recent, answer = RecentLookups(), LookupTotals(0, 0, 0)
        for seconds, totals in readings:
            with (
                patch("common.metrics.recent.monotonic", return_value=seconds),
                patch("common.metrics.recent.lookup_totals", return_value=totals),
            ):
                answer = recent.observe()
        return answer

    def test_recent_forgets_what_is_older_than_its_window(self) -> None:
        """An outage that is over does not keep the site degraded for hours, nor a good day hide a new one."""
        outage, better = LookupTotals(10_000, 1_000, 0), LookupTotals(11_000, 2_000, 0)
        self.assertEqual(self.observe((0, outage), (200, better)), LookupTotals(1_000, 1_000, 0))
        self.assertEqual(self.observe((0, LookupTotals(0, 0, 0)), (1000, outage)), outage)

    def test_recent_of_a_worker_that_was_seldom_asked_compares_with_its_last_reading(self) -> None:
        """Not with its start, which holds the outage."""
        outage, better = LookupTotals(10_000, 1_000, 0), LookupTotals(11_000, 2_000, 0)
        self.assertEqual(self.observe((0, outage), (900, better)), LookupTotals(1_000, 1_000, 0))

    def test_recent_begins_with_everything_and_starts_again_with_the_counters(self) -> None:
        """Nothing to compare with, or counters that fell."""
        first, restarted = LookupTotals(500, 400, 3), LookupTotals(20, 19, 0)
        self.assertEqual(self.observe((0, first)), first)
        self.assertEqual(self.observe((0, first), (30, restarted)), restarted)


class HealthTests(SiteTestCase):
    """The answer itself."""

    def test_health_has_the_form_of_the_contract(self) -> None:
        """All fields, and needs neither a token nor an allowance."""
        self.client.get(f"/api/courses/{make_course().id}/")
        response = self.client.get("/api/health/cache")
        body = response.json()

        self.assertEqual(response.status_code, 200)
        self.assertIn(body["status"], {"healthy", "degraded"})
        self.assertEqual(
            set(body),
            {"status", "redis", "hit_rate", "penetration_rate", "warming", "features", "version"},
        )
        self.assertEqual(
            set(body["redis"]), {"reachable", "latency_ms", "used_memory_bytes", "maxmemory_bytes"}
        )
        self.assertEqual(set(body["features"]), set(Feature))
        self.assertTrue(0 <= body["hit_rate"] <= 1)
        self.assertGreater(body["redis"]["used_memory_bytes"], 0)
        self.assertNotIn("X-RateLimit-Limit", response)

    def test_health_shows_warming(self) -> None:
        """When it ran last, and whether it runs now."""
        before = self.client.get("/api/health/cache").json()["warming"]
        warm_at_startup()
        acquire(warming_type=WarmingType.STARTUP, identifier="all")
        after = self.client.get("/api/health/cache").json()["warming"]

        self.assertEqual(before, {"last_run": None, "running": False})
        self.assertGreater(after["last_run"], 1_700_000_000)
        self.assertTrue(after["running"])
