"""Keys, TTL, breaker, addresses, faults: pure parts."""

import json
import random
import tempfile
import time
from pathlib import Path

from django.test import RequestFactory, SimpleTestCase, override_settings

from common.cache.access_stats import AccessStats
from common.cache.breaker import CircuitBreaker
from common.cache.key_names import parse_key
from common.cache.keys import CacheKey, query_of
from common.cache.resources import all_resources
from common.cache.ttl import Tier, adaptive_tier, jittered, null_ttl_seconds
from common.callers import client_address
from common.endpoints import http_endpoints
from common.faults import CHECK_INTERVAL_SECONDS, Fault, FaultFile
from common.utils.glob import glob_escape


class KeyTests(SimpleTestCase):
    """Names of answers."""

    def test_key_names_have_the_form_of_the_contract(self) -> None:
        """Each optional part in its place."""
        key = CacheKey("V", parent=("course", 3), pk=7, query=(("page", "2"), ("topic", "a b")), user_id=9)

        self.assertEqual(str(key), "api:V:course=3:7:page=2&topic=a+b:user_id=9")
        self.assertEqual(key.name(namespace="legacy"), "legacy:V:course=3:7:page=2&topic=a+b:user_id=9")

    def test_key_query_is_sorted_and_leaves_defaults_out(self) -> None:
        """One answer, one key."""
        self.assertEqual(
            query_of(values={"topic": "x", "page": 2, "level": None}), (("page", "2"), ("topic", "x"))
        )

    def test_key_survives_the_way_to_text_and_back(self) -> None:
        """Warming knows names only."""
        for name in (
            "api:CourseListView",
            "api:CourseListView:page=2&topic=history",
            "api:ProblemDetailView:5",
            "api:CourseChaptersView:course=5",
            "api:UserDetailView:5:user_id=5",
        ):
            parsed = parse_key(name)
            self.assertIsNotNone(parsed, name)
            self.assertEqual(str(parsed[1]), name)

    def test_key_of_another_version_is_not_understood(self) -> None:
        """A view that is gone, or a form that we do not write."""
        for name in ("api:GoneView:5", "legacy:CourseDetailView:5", "api", "api:CourseDetailView:5:6"):
            self.assertIsNone(parse_key(name), name)

    def test_resources_name_existing_views_and_addresses(self) -> None:
        """The key's view is the class, the label is the URL name."""
        from accounts import views as people
        from learning import views as content

        for resource in all_resources().values():
            view = getattr(content, resource.view, None) or getattr(people, resource.view)
            self.assertIs(view.resource, resource)
            self.assertIn(resource.endpoint, http_endpoints())


class TtlTests(SimpleTestCase):
    """How long answers are kept."""

    def test_tier_by_access_pattern(self) -> None:
        """The contract's tiers at their borders."""
        cases = [
            (AccessStats(), False, Tier.COLD),
            (AccessStats(1, 1), False, Tier.COLD),
            (AccessStats(1, 2), False, Tier.NORMAL),
            (AccessStats(100, 1), False, Tier.NORMAL),
            (AccessStats(101, 1), False, Tier.HOT),
            (AccessStats(101, 101), False, Tier.NORMAL),
            (AccessStats(101, 1), True, Tier.EMPTY_LIST),
        ]
        for access, is_empty_list, expected in cases:
            self.assertIs(adaptive_tier(access=access, is_empty_list=is_empty_list), expected)
        self.assertEqual([int(tier) for tier in Tier], [60, 300, 900, 1800])

    def test_jitter_spreads_over_ten_percent_both_ways(self) -> None:
        """What is stored together does not expire together."""
        random.seed(1)
        values = [jittered(1000) for _ in range(500)]

        self.assertTrue(900 <= min(values) < 920 and 1080 < max(values) <= 1100)
        self.assertTrue(all(null_ttl_seconds(configured=300) <= 300 for _ in range(100)))


class BreakerTests(SimpleTestCase):
    """The circuit breaker, with a clock of our own."""

    def test_breaker_when_open_lets_one_probe_through_per_second(self) -> None:
        """All others go on at once without Redis."""
        now = [0.0]
        breaker = CircuitBreaker(recovery_seconds=1.0, clock=lambda: now[0])
        self.assertTrue(breaker.allows())

        self.assertTrue(breaker.failed())
        self.assertFalse(breaker.failed())
        self.assertFalse(breaker.allows())
        now[0] = 1.0
        self.assertEqual([breaker.allows() for _ in range(3)], [True, False, False])
        self.assertTrue(breaker.succeeded())
        self.assertTrue(breaker.allows() and not breaker.is_open)
        self.assertFalse(breaker.succeeded())


class AddressTests(SimpleTestCase):
    """Whom is an anonymous request from?"""

    def _address(self, forwarded: str | None) -> str:
        headers = {} if forwarded is None else {"HTTP_X_FORWARDED_FOR": forwarded}
        return client_address(RequestFactory().get("/", REMOTE_ADDR="192.0.2.1", **headers))

    def test_address_is_what_the_trusted_proxy_saw(self) -> None:
        """What a client claims further left is not believed, nor is nonsense."""
        self.assertEqual(self._address("203.0.113.9"), "203.0.113.9")
        self.assertEqual(self._address("1.1.1.1, 203.0.113.9"), "203.0.113.9")
        self.assertEqual(self._address("2001:db8::1"), "2001:db8::1")
        for nonsense in ("*", "x" * 5000, "", None, "10.0.0.1:80"):
            self.assertEqual(self._address(nonsense), "192.0.2.1")

    def test_address_without_trusted_proxies_is_the_connection(self) -> None:
        """By default nobody may choose the address under which they are counted."""
        with override_settings(REST_FRAMEWORK={"NUM_PROXIES": 0}):
            self.assertEqual(self._address("203.0.113.9"), "192.0.2.1")


class FaultTests(SimpleTestCase):
    """The file of deliberate failures."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name) / "faults.json"
        self.file = FaultFile()

    def _read(self) -> dict:
        self.file._checked_at = float("-inf")
        return dict(self.file.read(path=str(self.path)))

    def test_faults_follow_the_file(self) -> None:
        """No file, a fault, another, an empty file, gone again."""
        self.assertEqual(self._read(), {})
        self.path.write_text(
            json.dumps({"uncached_endpoint": {"endpoint": "course-list"}, "later": {"x": 1}})
        )
        self.assertEqual(self._read()[Fault.UNCACHED_ENDPOINT], {"endpoint": "course-list"})
        self.path.write_text("")
        self.assertEqual(self._read(), {})
        self.path.write_text('{"uncached_endpoint": {}}')
        self.assertEqual(self._read(), {"uncached_endpoint": {}})
        self.path.unlink()
        self.assertEqual(self._read(), {})

    def test_faults_of_a_broken_file_stay_as_they_were(self) -> None:
        """Half a file is no reason to heal."""
        self.path.write_text('{"uncached_endpoint": {}}')
        self._read()
        for broken in ("{", "[1, 2]", '{"a": 1}'):
            self.path.write_text(broken)
            self.assertEqual(self._read(), {"uncached_endpoint": {}})

    def test_faults_are_looked_up_at_most_every_half_second(self) -> None:
        """A request costs no system call."""
        self.file.read(path=str(self.path))
        self.path.write_text('{"uncached_endpoint": {}}')
        self.assertEqual(self.file.read(path=str(self.path)), {})
        time.sleep(CHECK_INTERVAL_SECONDS + 0.05)
        self.assertEqual(self.file.read(path=str(self.path)), {"uncached_endpoint": {}})


class GlobTests(SimpleTestCase):
    """Literal names in patterns."""

    def test_glob_escape_covers_every_special_character(self) -> None:
        """Brackets, stars, question marks and the backslash itself."""
        self.assertEqual(glob_escape(r"a*b?c[d]e\f"), r"a\*b\?c\[d\]e\\f")
