"""A fault that is switched on, seen from outside."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

from django.test import override_settings

from common.faults import _fault_file
from common.feature_flags import Feature, FeatureFlagService
from common.publishing import publisher
from common.tests.base import SiteTestCase, make_course, metric_value, redis_keys
from common.warming.startup import warm_at_startup


class UncachedEndpointTests(SiteTestCase):
    """``uncached_endpoint``: somebody forgot to store."""

    def test_uncached_endpoint_looks_up_and_never_stores(self) -> None:
        """Misses without sets, and no keys; other endpoints are as before, and healing heals."""
        course = make_course()
        url = f"/api/courses/{course.id}/recommendations/"
        self.client.get(url)
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump({"uncached_endpoint": {}}, file)
            file.flush()
            with override_settings(FAULTS_FILE=file.name):
                _fault_file._checked_at = float("-inf")
                statuses = [self.client.get(url)["X-Cache"] for _ in range(3)]
                missing = [self.client.get("/api/courses/4242/recommendations/")["X-Cache"] for _ in range(2)]
                warm_at_startup()
                publisher.flush()
                keys = redis_keys("django:1:api:CourseRecommendations*")
                other = [self.client.get("/api/courses/")["X-Cache"] for _ in range(2)]
        healed = [self.client.get(url)["X-Cache"] for _ in range(2)]

        self.assertEqual((statuses, missing, keys), (["MISS"] * 3, ["MISS"] * 2, set()))
        self.assertEqual(other[-1], "HIT")
        self.assertEqual(healed, ["MISS", "HIT"])


@contextmanager
def faults_on(faults: dict[str, dict[str, float]]) -> Iterator[None]:
    """The site while ``faults`` are in force."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(faults, file)
        file.flush()
        with override_settings(FAULTS_FILE=file.name):
            _fault_file._checked_at = float("-inf")
            yield


class EnhancedFaultTests(SiteTestCase):
    """``enhanced_errors``, ``enhanced_slow``, ``enhanced_misses``: callers without ENHANCED_CACHE never notice."""

    def setUp(self) -> None:
        super().setUp()
        self.url = f"/api/courses/{make_course().id}/"

    def legacy(self) -> None:
        """From here on nobody has the enhanced cache."""
        FeatureFlagService.disable_feature(Feature.ENHANCED_CACHE)

    def test_enhanced_errors_answers_500_and_counts_it_in_the_cohort(self) -> None:
        """The answer is no crash: JSON, and the metric shows cohort and code."""
        labels = {"endpoint": "course-detail", "method": "GET", "code": "500"}
        before = metric_value("http_requests_total", cohort="enhanced", **labels)
        with faults_on({"enhanced_errors": {"error_ratio": 1.0}}):
            answers = [self.client.get(self.url) for _ in range(3)]
        counted = metric_value("http_requests_total", cohort="enhanced", **labels) - before

        self.assertEqual([answer.status_code for answer in answers], [500] * 3)
        self.assertIn("enhanced_errors", answers[0].json()["detail"])
        self.assertEqual(counted, 3)
        self.assertEqual(self.client.get(self.url).status_code, 200)

    def test_enhanced_errors_strikes_the_share_that_was_asked_for(self) -> None:
        """A share of 0 strikes nobody; half of 200 requests is 100, give or take five standard deviations."""
        with faults_on({"enhanced_errors": {"error_ratio": 0.0}}):
            none = [self.client.get(self.url).status_code for _ in range(20)]
        FeatureFlagService.disable_feature(Feature.RATE_LIMITING)
        with faults_on({"enhanced_errors": {"error_ratio": 0.5}}):
            half = [self.client.get(self.url).status_code for _ in range(200)]

        self.assertEqual(set(none), {200})
        self.assertTrue(65 <= half.count(500) <= 135, half.count(500))

    def test_enhanced_slow_delays_the_request(self) -> None:
        """The duration that the metric shows contains the delay."""
        labels = {"endpoint": "course-detail", "cohort": "enhanced"}
        before = metric_value("http_request_duration_seconds_sum", **labels)
        with faults_on({"enhanced_slow": {"seconds": 0.05, "share": 1.0}}):
            started = perf_counter()
            status = self.client.get(self.url).status_code
            seconds = perf_counter() - started
        measured = metric_value("http_request_duration_seconds_sum", **labels) - before

        self.assertEqual(status, 200)
        self.assertGreaterEqual(seconds, 0.05)
        self.assertGreaterEqual(measured, 0.05)

    def test_enhanced_misses_loads_again_what_is_stored(self) -> None:
        """Every lookup misses, the entry stays, and a NULL_VALUE is overlooked as well."""
        missing = "/api/courses/424242/"
        for url in (self.url, missing):
            self.client.get(url)
        with faults_on({"enhanced_misses": {"share": 1.0}}):
            struck = [self.client.get(url)["X-Cache"] for url in (self.url, self.url, missing)]
        healed = [self.client.get(url)["X-Cache"] for url in (self.url, missing)]

        self.assertEqual(struck, ["MISS"] * 3)
        self.assertEqual(healed, ["HIT", "NULL"])

    def test_enhanced_faults_leave_legacy_callers_alone(self) -> None:
        """All three at full strength: not one request of the other cohort is broken, slow or a miss."""
        self.legacy()
        self.client.get(self.url)
        faults = {
            "enhanced_errors": {"error_ratio": 1.0},
            "enhanced_slow": {"seconds": 5.0, "share": 1.0},
            "enhanced_misses": {"share": 1.0},
        }
        with faults_on(faults):
            started = perf_counter()
            answers = [self.client.get(self.url) for _ in range(5)]
            seconds = perf_counter() - started

        self.assertEqual([(answer.status_code, answer["X-Cache"]) for answer in answers], [(200, "HIT")] * 5)
        self.assertLess(seconds, 5.0)
