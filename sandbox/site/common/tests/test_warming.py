"""Warming: three strategies, their locks, their statistics."""

import io
from unittest.mock import patch

from django.conf import settings
from django.core.management import CommandError, call_command
from django.test import override_settings
from kombu.exceptions import OperationalError

from common.cache.connection import redis_client
from common.cache.key_names import parse_key
from common.cache.resources import Resource, all_resources
from common.feature_flags import Feature, FeatureFlagService
from common.lifecycle import web_worker_started
from common.metrics.labels import WarmingType
from common.publishing import publisher
from common.tests.base import SiteTestCase, make_course, make_stale, metric_value, redis_keys
from common.warming import locks
from common.warming.on_demand import refresh_answer
from common.warming.refresh_requests import request_refresh
from common.warming.scheduled import warm_on_schedule
from common.warming.startup import request_startup_warming, warm_at_startup
from learning.models import Course
from learning.resources import COURSE_DETAIL

PREFIX = "django:1:api:"


def statistics() -> dict[str, float]:
    """The hash that operators read."""
    return {
        name.decode(): float(value) for name, value in redis_client().hgetall("cache_warming_stats").items()
    }


def limited(**limits: int) -> override_settings:
    """CACHE_WARMING with other limits."""
    return override_settings(CACHE_WARMING={**settings.CACHE_WARMING, **limits})


class LockTests(SiteTestCase):
    """One at a time, and never for ever."""

    def test_lock_is_held_by_one_and_ends_by_itself(self) -> None:
        """The names and times of the contract."""
        for warming_type, seconds in (("startup", 600), ("scheduled", 600), ("on_demand", 60)):
            token = locks.acquire(warming_type=WarmingType(warming_type), identifier="x")
            self.assertIsNotNone(token)
            self.assertIsNone(locks.acquire(warming_type=WarmingType(warming_type), identifier="x"))
            ttl = redis_client().ttl(f"cache_warming_lock:{warming_type}:x")
            self.assertTrue(seconds - 2 <= ttl <= seconds, ttl)

    def test_lock_is_released_by_its_owner_only(self) -> None:
        """After an expiry it may belong to somebody else."""
        token = locks.acquire(warming_type=WarmingType.STARTUP, identifier="x")

        self.assertFalse(locks.release(warming_type=WarmingType.STARTUP, identifier="x", token="other"))
        self.assertTrue(locks.release(warming_type=WarmingType.STARTUP, identifier="x", token=token))
        self.assertEqual(redis_keys("cache_warming_lock:*"), set())


class StartupWarmingTests(SiteTestCase):
    """The plan of the site."""

    def test_startup_within_limits_stores_in_order_of_priority(self) -> None:
        """Course details, course lists, chapters, problems; no more than the settings allow."""
        for _ in range(3):
            make_course(chapters=3, problems=2)
        order: list[str] = []

        def record(*, name: str, **_rest: object) -> None:
            order.append(name.split(":")[1])

        with (
            limited(STARTUP_COURSE_LIMIT=2, CHAPTERS_PER_COURSE=2, PROBLEM_LIMIT=3),
            patch("common.cache.store._set", side_effect=record),
        ):
            outcome = warm_at_startup()

        self.assertEqual(outcome.items_count, 2 + 1 + 2 + 4 + 3)
        chapters = ["CourseChaptersView", "ChapterDetailView", "ChapterDetailView"] * 2
        self.assertEqual(
            order, ["CourseDetailView"] * 2 + ["CourseListView"] + chapters + ["ProblemDetailView"] * 3
        )

    def test_startup_fills_the_cache_and_the_statistics(self) -> None:
        """The next reader has a hit; hash, counters and histogram tell the same."""
        course = make_course(chapters=2)
        labels = {"warming_type": "startup"}
        before = metric_value("cache_warming_tasks_total", status="success", **labels)
        items = metric_value("cache_warming_items_total", **labels)

        outcome = warm_at_startup()
        again = warm_at_startup()

        self.assertEqual((outcome.status, outcome.items_count), ("success", 5))
        self.assertEqual(self.client.get(f"/api/courses/{course.id}/")["X-Cache"], "HIT")
        self.assertEqual(metric_value("cache_warming_tasks_total", status="success", **labels) - before, 2)
        self.assertEqual(metric_value("cache_warming_items_total", **labels) - items, 10)
        found = statistics()
        self.assertEqual(
            (found["startup_count"], found["startup_tasks"], found["startup_failures"]), (10, 2, 0)
        )
        self.assertGreater(found["startup_last_run"], 1_700_000_000)
        total = outcome.duration_seconds + again.duration_seconds
        self.assertAlmostEqual(found["startup_duration"], total, delta=0.005)
        self.assertEqual(redis_keys("cache_warming_lock:*"), set())

    def test_startup_while_the_lock_is_held_is_skipped(self) -> None:
        """Skipped is counted, and is no run of the statistics."""
        before = metric_value("cache_warming_tasks_total", warming_type="startup", status="skipped")
        redis_client().set("cache_warming_lock:startup:all", "somebody", ex=600)

        self.assertEqual(warm_at_startup().status, "skipped")

        self.assertEqual(
            metric_value("cache_warming_tasks_total", warming_type="startup", status="skipped") - before, 1
        )
        self.assertEqual(statistics(), {})
        self.assertEqual(redis_client().get("cache_warming_lock:startup:all"), b"somebody")

    def test_startup_with_one_broken_answer_warms_the_others_and_counts_as_failed(self) -> None:
        """One bad row must not leave the site cold, nor go unnoticed."""
        make_course()
        broken = make_course()
        load = COURSE_DETAIL.load

        def fail_for_one(key: object) -> object:
            if key.pk == broken.id:
                raise RuntimeError("broken row")
            return load(key)

        replaced = dict(all_resources())
        replaced["CourseDetailView"] = Resource(
            "CourseDetailView", "course-detail", fail_for_one, warming_priority=1
        )
        with patch("common.cache.resources.all_resources", return_value=replaced):
            outcome = warm_at_startup()

        self.assertEqual(outcome.status, "error")
        self.assertIn("broken row", outcome.reason)
        self.assertEqual(outcome.items_count, 4)
        self.assertEqual(statistics()["startup_failures"], 1)

    def test_startup_when_switched_off_by_flag_or_setting_is_skipped(self) -> None:
        """Both switches stop every strategy."""
        with limited(ENABLED=False):
            self.assertEqual(warm_at_startup().status, "skipped")
        FeatureFlagService.disable_feature(Feature.CACHE_WARMING)
        outcomes = [warm_at_startup(), warm_on_schedule(), refresh_answer(name="api:X:1", token="t")]
        self.assertEqual({outcome.status for outcome in outcomes}, {"skipped"})
        self.assertFalse(request_startup_warming())

    def test_startup_of_many_workers_queues_one_run(self) -> None:
        """Every gunicorn worker asks; one is heard."""
        make_course()
        for _ in range(4):
            web_worker_started()

        self.assertEqual([task.path for task in publisher._items], ["common.tasks.run_startup_warming"])
        publisher.flush()
        self.assertEqual(statistics()["startup_tasks"], 1)

    def test_command_warms_and_reports(self) -> None:
        """An operator sees what was done; a failure is a failed command."""
        make_course()
        call_command("warm_cache", "startup", stdout=io.StringIO())
        self.assertEqual(statistics()["startup_tasks"], 1)
        call_command("warm_cache", "startup", "--queue", stdout=io.StringIO())
        self.assertEqual(statistics()["startup_tasks"], 2)
        with patch("common.tasks.run_startup_warming.apply_async", side_effect=OperationalError("no broker")):
            self.assertRaises(CommandError, call_command, "warm_cache", "startup", "--queue")
        with patch("learning.warming_plan.course_list", side_effect=RuntimeError("no database")):
            self.assertRaises(CommandError, call_command, "warm_cache", "startup")


class OnDemandWarmingTests(SiteTestCase):
    """Refreshing what was served stale."""

    def test_refresh_is_queued_once_while_it_is_under_way(self) -> None:
        """The lock is named after the answer."""
        _, key = parse_key("api:CourseDetailView:1")

        self.assertEqual([request_refresh(key=key) for _ in range(3)], [True, False, False])
        self.assertEqual(
            redis_keys("cache_warming_lock:*"), {"cache_warming_lock:on_demand:api:CourseDetailView:1"}
        )

    def test_refresh_of_something_deleted_removes_it(self) -> None:
        """A course that is gone must not be served stale for ever."""
        course = make_course()
        self.client.get(f"/api/courses/{course.id}/")
        make_stale(f"api:CourseDetailView:{course.id}")
        Course.objects.all().delete()

        self.client.get(f"/api/courses/{course.id}/")
        publisher.flush()

        self.assertEqual(redis_keys(f"{PREFIX}CourseDetailView*"), set())

    def test_refresh_of_an_unknown_name_is_skipped_and_releases_its_lock(self) -> None:
        """A task of another version of the site does no harm."""
        token = locks.acquire(warming_type=WarmingType.ON_DEMAND, identifier="api:GoneView:1")

        self.assertEqual(refresh_answer(name="api:GoneView:1", token=token).status, "skipped")
        self.assertEqual(redis_keys("cache_warming_lock:*"), set())

    def test_refresh_with_the_broker_away_costs_the_request_nothing(self) -> None:
        """Publishing is not part of the request; what fails is logged and left."""
        course = make_course()
        self.client.get(f"/api/courses/{course.id}/")
        make_stale(f"api:CourseDetailView:{course.id}")
        with patch("common.tasks.refresh_answer.apply_async", side_effect=OSError("no broker")):
            self.assertEqual(self.client.get(f"/api/courses/{course.id}/")["X-Cache"], "STALE")
            publisher.flush()
        self.assertEqual(self.client.get(f"/api/courses/{course.id}/")["X-Cache"], "STALE")


class ScheduledWarmingTests(SiteTestCase):
    """Keeping what is asked for often."""

    def _asked(self, name: str, *, hits: int, misses: int) -> None:
        redis_client().hset(f"cache_stats:django:1:{name}", mapping={"hits": hits, "misses": misses})

    def test_scheduled_picks_by_hit_rate_and_number_of_requests(self) -> None:
        """Over 30 % and over 100 requests; borders stay out, and so do others' keys."""
        for _ in range(6):
            make_course()
        first = Course.objects.order_by("id").first().id
        self._asked(f"api:CourseDetailView:{first}", hits=100, misses=1)
        self._asked(f"api:CourseDetailView:{first + 1}", hits=50, misses=50)
        self._asked(f"api:CourseDetailView:{first + 2}", hits=300, misses=700)
        self._asked(f"api:CourseDetailView:{first + 3}", hits=301, misses=699)
        self._asked("api:UserDetailView:1:user_id=1", hits=500, misses=1)
        self._asked("api:GoneView:1", hits=500, misses=1)
        redis_client().hset("cache_stats:other:1:api:CourseDetailView:1", mapping={"hits": 500, "misses": 1})

        outcome = warm_on_schedule()

        self.assertEqual((outcome.status, outcome.items_count), ("success", 2))
        expected = {f"{PREFIX}CourseDetailView:{first}", f"{PREFIX}CourseDetailView:{first + 3}"}
        self.assertEqual(redis_keys(f"{PREFIX}*"), expected)
        self.assertEqual(statistics()["scheduled_count"], 2)

    def test_scheduled_goes_by_priority_then_by_requests(self) -> None:
        """Course details before lists before chapters before problems."""
        names = [
            "api:ProblemDetailView:1",
            "api:ChapterDetailView:1",
            "api:CourseListView",
            "api:CourseDetailView:1",
        ]
        for name in names:
            self._asked(name, hits=500, misses=1)
        self._asked("api:CourseDetailView:2", hits=900, misses=1)
        seen: list[str] = []
        with patch(
            "common.warming.runs._store_one", side_effect=lambda *, key, **_: seen.append(str(key)) or 1
        ):
            warm_on_schedule()

        self.assertEqual(seen, ["api:CourseDetailView:2", *reversed(names)])

    def test_scheduled_while_another_runs_is_skipped(self) -> None:
        """One schedule for the whole site."""
        redis_client().set("cache_warming_lock:scheduled:all", "somebody", ex=600)

        self.assertEqual(warm_on_schedule().status, "skipped")
