"""A fault that is switched on, seen from outside."""

import json
import tempfile

from django.test import override_settings

from common.faults import _fault_file
from common.publishing import publisher
from common.tests.base import SiteTestCase, make_course, redis_keys
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
