"""Feature flags: who gets what, and what operators can change."""

import subprocess
import sys
from unittest.mock import patch

from django.conf import settings
from django.db import DatabaseError
from django.test import SimpleTestCase

from accounts.models import User
from common.feature_flags import (
    Feature,
    FeatureFlagService,
    Strategy,
    disable_cache_feature,
    enable_cache_feature,
    is_cache_feature_enabled,
)
from common.feature_flags.buckets import bucket_of
from common.feature_flags.snapshot import flag_cache
from common.models import FeatureFlag
from common.tests.base import SiteTestCase, make_user, metric_value


class BucketTests(SimpleTestCase):
    """The stable hash behind percentages."""

    def test_bucket_in_another_process_is_the_same(self) -> None:
        """A hash that is salted for each process would move users around."""
        code = "from common.feature_flags.buckets import bucket_of; print(bucket_of(feature='F', subject='user:7'))"
        result = subprocess.run(
            [sys.executable, "-c", f"import django; django.setup(); {code}"],
            cwd=settings.BASE_DIR,
            capture_output=True,
            text=True,
            check=True,
            env={"DJANGO_SETTINGS_MODULE": "config.settings_test", "PYTHONHASHSEED": "7", "PATH": ""},
        )
        self.assertEqual(int(result.stdout), bucket_of(feature="F", subject="user:7"))

    def test_buckets_of_many_users_are_even_and_differ_between_features(self) -> None:
        """Ten percent of the users are about ten percent, and not always the same ones."""
        first = {n for n in range(5000) if bucket_of(feature="A", subject=f"user:{n}") < 10}
        second = {n for n in range(5000) if bucket_of(feature="B", subject=f"user:{n}") < 10}

        self.assertTrue(400 < len(first) < 600, len(first))
        self.assertTrue(len(first & second) < 100)


class FeatureFlagTests(SiteTestCase):
    """The service that operators use."""

    def test_flags_without_rows_are_those_of_a_healthy_site(self) -> None:
        """All on, the page cache off."""
        on = {
            name for name, status in FeatureFlagService.get_all_features_status().items() if status["enabled"]
        }

        self.assertEqual(on, set(Feature) - {Feature.PAGE_CACHE})

    def test_percentage_when_raised_keeps_everybody_who_was_in(self) -> None:
        """Monotone: in at 10 % means in at 25 %, 50 % and 75 %."""
        users = [User(id=number) for number in range(1, 301)]
        inside: set[int] = set()
        for percentage in (0, 10, 25, 50, 75, 100):
            FeatureFlagService.set_percentage(Feature.ENHANCED_CACHE, percentage)
            now = {user.pk for user in users if is_cache_feature_enabled(user)}
            self.assertLessEqual(inside, now)
            inside = now
        self.assertEqual(len(inside), 300)

    def test_percentage_places_anonymous_callers_by_address(self) -> None:
        """The same address gets the same answer; a process without either is in at 100 % only."""
        FeatureFlagService.set_percentage(Feature.ENHANCED_CACHE, 50)
        addresses = [f"10.0.{number}.1" for number in range(200)]
        inside = [
            FeatureFlagService.is_enabled(Feature.ENHANCED_CACHE, address=address) for address in addresses
        ]

        self.assertTrue(60 < sum(inside) < 140)
        self.assertFalse(is_cache_feature_enabled())

    def test_percentage_outside_0_to_100_changes_nothing(self) -> None:
        """A slip of the finger is refused before anything is written."""
        for value in (-1, 101, 10.5, "10", True):
            with self.assertRaises(ValueError):
                FeatureFlagService.set_percentage(Feature.ENHANCED_CACHE, value)
        self.assertFalse(FeatureFlag.objects.exists())

    def test_whitelist_admits_its_users_except_when_off(self) -> None:
        """Off is the emergency brake: it also stops those on the list."""
        user, _ = make_user()
        FeatureFlagService.add_to_whitelist(Feature.ENHANCED_CACHE, user.id)
        FeatureFlagService.add_to_whitelist(Feature.ENHANCED_CACHE, user.id)
        for strategy, expected in (("whitelist", True), ("gradual", True), ("off", False)):
            status = FeatureFlagService.set_strategy(Feature.ENHANCED_CACHE, strategy)
            self.assertEqual(is_cache_feature_enabled(user), expected)
            self.assertEqual((status["whitelist_count"], status["enabled"]), (1, expected))
        FeatureFlagService.set_strategy(Feature.ENHANCED_CACHE, Strategy.WHITELIST)
        self.assertTrue(FeatureFlagService.is_whitelisted(Feature.ENHANCED_CACHE, user.id))
        FeatureFlagService.remove_from_whitelist(Feature.ENHANCED_CACHE, user.id)
        self.assertFalse(FeatureFlagService.is_whitelisted(Feature.ENHANCED_CACHE, user.id))
        self.assertFalse(is_cache_feature_enabled(user))

    def test_beta_admits_staff(self) -> None:
        """Staff tries first."""
        FeatureFlagService.set_strategy(Feature.ENHANCED_CACHE, Strategy.BETA)

        self.assertTrue(is_cache_feature_enabled(User(id=1, is_staff=True)))
        self.assertFalse(is_cache_feature_enabled(User(id=2)))

    def test_shortcuts_switch_the_enhanced_cache(self) -> None:
        """The guide's three functions."""
        self.assertEqual(disable_cache_feature()["strategy"], "off")
        self.assertFalse(is_cache_feature_enabled())
        expected = {
            "feature": "ENHANCED_CACHE",
            "strategy": "on",
            "percentage": 100,
            "whitelist_count": 0,
            "enabled": True,
        }
        self.assertEqual(enable_cache_feature(), expected)

    def test_feature_by_name_works_and_an_unknown_one_is_refused(self) -> None:
        """Operators type strings."""
        self.assertEqual(FeatureFlagService.set_percentage("ADAPTIVE_TTL", 5)["percentage"], 5)
        with self.assertRaises(ValueError):
            FeatureFlagService.enable_feature("NO_SUCH_FEATURE")

    def test_reading_flags_sets_the_gauge(self) -> None:
        """What this process serves is visible."""
        FeatureFlagService.set_percentage(Feature.ENHANCED_CACHE, 25)
        self.assertEqual(metric_value("feature_flag_percentage", feature="ENHANCED_CACHE"), 25)
        FeatureFlagService.disable_feature(Feature.ENHANCED_CACHE)
        self.assertEqual(metric_value("feature_flag_percentage", feature="ENHANCED_CACHE"), 0)
        self.assertEqual(metric_value("feature_flag_percentage", feature="CACHE_WARMING"), 100)

    def test_flags_while_the_database_is_away_stay_as_they_were(self) -> None:
        """An outage of the database must not switch features."""
        disable_cache_feature()
        flag_cache.forget()
        with patch("common.feature_flags.snapshot._read_flags", side_effect=DatabaseError("away")):
            self.assertFalse(is_cache_feature_enabled())

    def test_flags_are_read_once_for_many_questions(self) -> None:
        """Two small queries, then none for two seconds."""
        flag_cache.forget()
        with self.assertNumQueries(2):
            for _ in range(50):
                is_cache_feature_enabled()
