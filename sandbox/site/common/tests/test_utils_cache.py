"""delete_cache_pattern: what it deletes, and above all what it does not."""

import copy

from django.conf import settings
from django.core.cache import cache
from django.test import override_settings

from common.cache.connection import redis_client
from common.tests.base import SiteTestCase, redis_keys
from common.utils.cache import delete_cache_pattern


class DeletePatternTests(SiteTestCase):
    """Scope, size and cost."""

    def test_delete_takes_only_keys_of_this_prefix_and_version(self) -> None:
        """Another site, another version, locks and statistics stay."""
        cache.set("api:A:1", 1)
        cache.set("legacy:A:1", 1)
        cache.set("api:A:1", 1, version=2)
        others = {
            "other:1:api:A:1",
            "django:10:api:A",
            "xdjango:1:api:A",
            "cache_stats:django:1:api:A:1",
            "cache_warming_lock:startup:all",
            "api:A:1",
        }
        for name in others:
            redis_client().set(name, "1")

        self.assertEqual(delete_cache_pattern("api:*"), 1)

        self.assertEqual(redis_keys(), others | {"django:1:legacy:A:1", "django:2:api:A:1"})

    def test_delete_with_a_prefix_full_of_globs_takes_it_literally(self) -> None:
        """A prefix such as * must not reach other sites."""
        caches = copy.deepcopy(settings.CACHES)
        caches["default"]["KEY_PREFIX"] = "*[a-z]?"
        redis_client().set("django:1:api:A", "1")
        with override_settings(CACHES=caches):
            cache.set("api:A", 1)
            self.assertEqual(delete_cache_pattern("api:*"), 1)
        self.assertEqual(redis_keys(), {"django:1:api:A"})

    def test_delete_with_an_empty_prefix_stays_within_its_version(self) -> None:
        """Keys then begin with :1:."""
        caches = copy.deepcopy(settings.CACHES)
        caches["default"]["KEY_PREFIX"] = ""
        redis_client().set("django:1:api:A", "1")
        with override_settings(CACHES=caches):
            cache.set("api:A", 1)
            self.assertEqual(delete_cache_pattern("api:*"), 1)
        self.assertEqual(redis_keys(), {"django:1:api:A"})

    def test_delete_of_many_keys_counts_all_and_uses_neither_keys_nor_transactions(self) -> None:
        """SCAN and UNLINK in batches."""
        pipeline = redis_client().pipeline(transaction=False)
        for number in range(3000):
            pipeline.set(f"django:1:api:A:{number}", "1")
        pipeline.execute()
        redis_client().config_resetstat()

        self.assertEqual(delete_cache_pattern("api:*"), 3000)

        commands = redis_client().info("commandstats")
        self.assertTrue({"cmdstat_scan", "cmdstat_unlink"} <= set(commands))
        self.assertFalse({"cmdstat_keys", "cmdstat_multi", "cmdstat_del"} & set(commands))
        self.assertGreaterEqual(commands["cmdstat_unlink"]["calls"], 6)

    def test_delete_of_nothing(self) -> None:
        """No match is 0; an empty pattern is refused."""
        self.assertEqual(delete_cache_pattern("api:*"), 0)
        for pattern in ("", "  "):
            with self.assertRaises(ValueError):
                delete_cache_pattern(pattern)
