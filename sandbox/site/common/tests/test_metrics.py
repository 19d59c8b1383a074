"""Metrics: right over several processes, visible from the start."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from django.conf import settings
from django.test import SimpleTestCase

from common.metrics.series import initialise_series
from common.tests.base import SiteTestCase, make_course, metric_value

SETUP = """
import django; django.setup()
from common.metrics.series import initialise_series
from common.metrics.recording import count_lookup, count_penetration_attempt
from common.metrics.labels import LookupStatus
from common.metrics.definitions import FEATURE_FLAG_PERCENTAGE
"""
WORKER = """
initialise_series()
hits, misses = map(int, sys.argv[1:])
for _ in range(hits): count_lookup(endpoint="course-detail", status=LookupStatus.HIT)
for _ in range(misses): count_lookup(endpoint="course-detail", status=LookupStatus.MISS)
count_lookup(endpoint="course-detail", status=LookupStatus.BYPASS)
count_penetration_attempt(endpoint="course-detail")
FEATURE_FLAG_PERCENTAGE.labels(feature="ENHANCED_CACHE").set(hits)
print("ready", flush=True)
sys.stdin.read()
"""
READER = """
from common.metrics.exposition import exposition
from common.metrics.totals import lookup_totals
totals = lookup_totals()
print(totals.count, totals.served_count, totals.hit_ratio)
print(exposition().decode())
"""


class MultiprocessTests(SimpleTestCase):
    """Two real processes and a scrape by a third."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def _start(self, code: str, *arguments: str) -> subprocess.Popen[str]:
        environment = {
            **os.environ,
            "PROMETHEUS_MULTIPROC_DIR": str(self.folder),
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "SITE_DEBUG": "1",
        }
        return subprocess.Popen(
            [sys.executable, "-c", f"import sys{SETUP}{code}", *arguments],
            cwd=settings.BASE_DIR,
            env=environment,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def _scrape(self) -> list[str]:
        with self._start(READER) as process:
            return process.communicate()[0].splitlines()

    def test_counters_of_two_workers_add_up_and_outlive_them(self) -> None:
        """9 hits and 1 miss here, 1 hit and 9 misses there: 10 of 20, whoever is asked, also after one died."""
        workers = [self._start(WORKER, "9", "1"), self._start(WORKER, "1", "9")]
        for worker in workers:
            self.assertEqual(worker.stdout.readline(), "ready\n")

        both = self._scrape()
        workers[0].communicate()
        forget = "from common.metrics.exposition import forget_process; forget_process(pid=int(sys.argv[1]))"
        self._start(f"\n{forget}\n", str(workers[0].pid)).communicate()
        one = self._scrape()
        workers[1].communicate()

        for lines in (both, one):
            self.assertEqual(lines[0], "20 10 0.5")
            self.assertIn('cache_requests_total{endpoint="course-detail",status="hit"} 10.0', lines)
            self.assertIn('cache_requests_total{endpoint="course-detail",status="stale"} 0.0', lines)
            self.assertIn('cache_penetration_attempts_total{endpoint="course-detail"} 2.0', lines)
            self.assertFalse([line for line in lines if "pid=" in line or 'status="bypass"' in line])
        self.assertEqual(len([line for line in both if line.startswith("cache_hit_rate{")]), 1)
        # The live gauge of the worker that died is gone: what is left is the other one's.
        self.assertIn('cache_hit_rate{endpoint="course-detail"} 0.1', one)
        self.assertIn('feature_flag_percentage{feature="ENHANCED_CACHE"} 1.0', one)

    def test_wipe_removes_what_earlier_processes_left(self) -> None:
        """Old files would count for ever."""
        (self.folder / "counter_1.db").write_bytes(b"")
        wipe = (
            "from common.metrics.exposition import wipe_multiprocess_directory; wipe_multiprocess_directory()"
        )

        self._start(f"\n{wipe}\n").communicate()

        self.assertEqual(list(self.folder.iterdir()), [])


class ExpositionTests(SiteTestCase):
    """The text that Prometheus reads."""

    def test_exposition_shows_every_series_before_anything_happened(self) -> None:
        """All statuses of all cached endpoints, all warming types, both scopes and both cohorts, at 0."""
        initialise_series()
        text = self.client.get("/metrics").content.decode()

        expected = [
            'cache_requests_total{endpoint="user-list",status="stale"}',
            'cache_penetration_attempts_total{endpoint="course-recommendations"}',
            'cache_operation_duration_seconds_count{endpoint="user-list",operation="delete"}',
            'cache_warming_tasks_total{status="skipped",warming_type="scheduled"}',
            'cache_warming_items_total{warming_type="on_demand"}',
            'cache_warming_duration_seconds_bucket{le="300.0",warming_type="startup"}',
            'throttled_requests_total{scope="user"}',
            'http_requests_total{code="429",cohort="legacy",endpoint="problem-detail",method="GET"}',
            'http_request_duration_seconds_bucket{cohort="enhanced",endpoint="course-list",le="1.0"}',
        ]
        for name in expected:
            self.assertIn(name, text)

    def test_exposition_labels_are_names_never_ids(self) -> None:
        """Thousands of objects, one label; unknown addresses and methods share one, too."""
        course = make_course()
        for path in (f"/api/courses/{course.id}/", "/api/courses/987654/", "/no/such/987654"):
            self.client.get(path)
        self.client.generic("BREW", "/api/courses/")
        text = self.client.get("/metrics").content.decode()

        self.assertNotIn("987654", text)
        self.assertNotIn("BREW", text)
        self.assertIn('endpoint="unmatched"', text)

    def test_probes_of_operators_are_no_traffic(self) -> None:
        """A failing health check must not look like a failing site."""
        self.client.get("/api/health/cache")
        text = self.client.get("/metrics").content.decode()

        self.assertNotIn('endpoint="health-cache"', text)
        self.assertNotIn('endpoint="metrics"', text)

    def test_gauges_are_ratios_of_this_process(self) -> None:
        """Set with each lookup, 0..1."""
        course = make_course()
        for _ in range(3):
            self.client.get(f"/api/courses/{course.id}/")

        self.assertTrue(0 < metric_value("cache_hit_rate", endpoint="course-detail") <= 1)
        self.assertTrue(0 <= metric_value("cache_penetration_rate", endpoint="course-detail") < 1)
