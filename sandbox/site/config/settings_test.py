"""Settings of the tests. Nothing of a live site is touched: its SITE_ENV_FILE is ignored.

``SITE_REDIS_URL`` and ``SITE_DATABASE_URL`` of the process environment are used when they are given; otherwise the
runner starts a Redis of its own, and the database is in memory.
"""

import os
import secrets
import tempfile
from pathlib import Path

# PROMETHEUS_MULTIPROC_DIR goes as well: counts of tests must not end up among those of a live site.
for _name in ("SITE_ENV_FILE", "PROMETHEUS_MULTIPROC_DIR"):
    os.environ.pop(_name, None)
os.environ.setdefault("SITE_SECRET_KEY", secrets.token_urlsafe(50))

from config.settings import *  # noqa: E402, F403
from config.settings import CACHES, LOGGING, REST_FRAMEWORK  # noqa: E402

TEST_RUNNER = "config.test_runner.SiteTestRunner"
TEST_REDIS_URL = os.environ.get("SITE_REDIS_URL", "")

SITE_VERSION = "test"
FAULTS_FILE = ""
# Queued work runs when a test says so, and tasks run where they are published.
BACKGROUND_THREADS = False
CELERY_TASK_ALWAYS_EAGER = True
CELERY_TASK_EAGER_PROPAGATES = True
WORKER_METRICS_PORT = 0
# Made by the first write, removed by the runner.
CACHES["pages"]["LOCATION"] = str(Path(tempfile.gettempdir()) / f"site-test-pages-{os.getpid()}")
REST_FRAMEWORK["NUM_PROXIES"] = 1
LOGGING["root"] = {"handlers": [], "level": "CRITICAL"}
LOGGING["loggers"] = {}
