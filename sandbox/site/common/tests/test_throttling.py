"""Throttling: limits, headers, and asking without paying."""

import datetime as dt

from django.contrib.auth.models import AnonymousUser
from django.test import RequestFactory

from common.cache.connection import redis_client
from common.feature_flags import Feature, FeatureFlagService
from common.tests.base import SiteTestCase, make_course, make_user, metric_value
from common.throttling import get_rate_limit_status, is_throttled
from common.throttling.window import count_request, read_window, window_key


class ThrottlingTests(SiteTestCase):
    """Through the API, with the guide's rates."""

    def setUp(self) -> None:
        super().setUp()
        self.url = f"/api/courses/{make_course().id}/"

    def _use_up(self, *, scope: str, ident: str, count: int) -> None:
        redis_client().set(window_key(scope=scope, ident=ident), count, ex=1800)

    def test_throttle_counts_down_in_the_headers(self) -> None:
        """100 for an address, 1000 for a user; the two do not share."""
        _, headers = make_user()
        anonymous = [self.client.get(self.url) for _ in range(2)]
        signed_in = self.client.get(self.url, headers=headers)

        self.assertEqual([answer["X-RateLimit-Remaining"] for answer in anonymous], ["99", "98"])
        self.assertEqual(anonymous[0]["X-RateLimit-Limit"], "100")
        self.assertEqual(
            (signed_in["X-RateLimit-Limit"], signed_in["X-RateLimit-Remaining"]), ("1000", "999")
        )

    def test_throttle_at_the_limit_answers_429_with_the_time_to_wait(self) -> None:
        """The last allowed request passes, the next one does not, and is counted."""
        self._use_up(scope="anon", ident="127.0.0.1", count=99)
        before = metric_value("throttled_requests_total", scope="anon")

        allowed, refused = self.client.get(self.url), self.client.get(self.url)

        self.assertEqual((allowed.status_code, refused.status_code), (200, 429))
        self.assertEqual((allowed["X-RateLimit-Remaining"], refused["X-RateLimit-Remaining"]), ("0", "0"))
        self.assertTrue(1790 <= int(refused["Retry-After"]) <= 1800)
        self.assertEqual(metric_value("throttled_requests_total", scope="anon") - before, 1)

    def test_throttle_of_one_address_leaves_others_alone(self) -> None:
        """Addresses are told apart behind one trusted proxy."""
        self._use_up(scope="anon", ident="203.0.113.1", count=100)

        codes = [
            self.client.get(self.url, headers={"X-Forwarded-For": address}).status_code
            for address in ("203.0.113.1", "203.0.113.2")
        ]
        self.assertEqual(codes, [429, 200])

    def test_throttle_without_rate_limiting_counts_nothing(self) -> None:
        """Switched off, nobody is refused and no header promises anything."""
        self._use_up(scope="anon", ident="127.0.0.1", count=500)
        FeatureFlagService.disable_feature(Feature.RATE_LIMITING)

        response = self.client.get(self.url)

        self.assertEqual(response.status_code, 200)
        self.assertNotIn("X-RateLimit-Limit", response)

    def test_status_does_not_use_up_the_allowance(self) -> None:
        """Neither the helpers nor the page count."""
        self.client.get(self.url)
        request = RequestFactory().get("/", REMOTE_ADDR="127.0.0.1")
        request.user = AnonymousUser()

        for _ in range(20):
            get_rate_limit_status(request)
            is_throttled(request)
            page = self.client.get("/api/throttle/status")

        status = get_rate_limit_status(request)
        self.assertEqual((status["scope"], status["limit"], status["remaining"]), ("anon", 100, 99))
        self.assertEqual(page.json()["remaining"], 99)
        self.assertEqual(is_throttled(request), (False, None))
        until_reset = status["reset_at"] - dt.datetime.now(dt.UTC)
        self.assertTrue(dt.timedelta(minutes=59) < until_reset <= dt.timedelta(hours=1))

    def test_status_before_the_first_request_has_no_reset(self) -> None:
        """The window starts with the first request."""
        user, _ = make_user()
        request = RequestFactory().get("/")
        request.user = user

        expected = {"scope": "user", "limit": 1000, "remaining": 1000, "reset_at": None, "throttled": False}
        self.assertEqual(get_rate_limit_status(request), expected)

    def test_status_when_used_up_gives_the_reason(self) -> None:
        """In words that can be passed on."""
        self._use_up(scope="anon", ident="127.0.0.1", count=100)
        throttled, reason = is_throttled(RequestFactory().get("/"))

        self.assertTrue(throttled)
        self.assertIn("100 requests of scope anon used up until", reason)

    def test_window_counts_atomically_and_always_ends(self) -> None:
        """A counter that lost its TTL gets one again."""
        first = count_request(scope="t", ident="x", window_seconds=60)
        redis_client().persist(window_key(scope="t", ident="x"))
        second = count_request(scope="t", ident="x", window_seconds=60)

        self.assertEqual((first.count, second.count), (1, 2))
        self.assertTrue(0 < redis_client().ttl(window_key(scope="t", ident="x")) <= 60)
        self.assertEqual(read_window(scope="t", ident="x").count, 2)

    def test_throttle_costs_no_set_command(self) -> None:
        """SETs per miss tell operators what the cache does; counters must not blur that."""
        redis_client().config_resetstat()
        self.client.get("/api/courses/424242/")
        self.client.get("/api/courses/424242/")

        self.assertEqual(redis_client().info("commandstats")["cmdstat_set"]["calls"], 1)
