"""The runner behind ``manage.py test``: brings a Redis along, and protects one that is in use."""

import shutil
from collections.abc import Sequence
from unittest import TestSuite

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.test.runner import DiscoverRunner
from redis import Redis

from config.test_redis import RedisServer

# Left in a Redis that tests use, so that a run that was interrupted does not lock the next one out.
OWNER_KEY = "owned-by-tests"
TESTED_PACKAGES = ("accounts", "common", "config", "learning")


class SiteTestRunner(DiscoverRunner):
    """Tests flush their Redis, so they get one of their own, or one that was empty."""

    _server: RedisServer | None = None

    def build_suite(self, test_labels: Sequence[str] | None = None, **kwargs: object) -> TestSuite:
        """Without labels, all tests of the site, from whatever folder the command is called."""
        return super().build_suite(test_labels or TESTED_PACKAGES, **kwargs)

    def setup_test_environment(self, **kwargs: object) -> None:
        """Provide Redis before the first test."""
        super().setup_test_environment(**kwargs)
        url = settings.TEST_REDIS_URL
        if url:
            _claim(url)
        else:
            self._server = RedisServer()
            self._server.start()
            url = self._server.url
        settings.CACHES["default"]["LOCATION"] = url

    def teardown_test_environment(self, **kwargs: object) -> None:
        """Take away what the tests brought along."""
        if self._server is not None:
            self._server.stop()
        else:
            with Redis.from_url(settings.TEST_REDIS_URL) as client:
                client.flushdb()
        shutil.rmtree(settings.CACHES["pages"]["LOCATION"], ignore_errors=True)
        super().teardown_test_environment(**kwargs)


def _claim(url: str) -> None:
    """Mark the database as ours.

    Raises:
        ImproperlyConfigured: it holds keys of somebody else.
    """
    with Redis.from_url(url) as client:
        if client.dbsize() and not client.exists(OWNER_KEY):
            raise ImproperlyConfigured(
                f"SITE_REDIS_URL names a database with {client.dbsize()} keys; tests flush it."
            )
        client.set(OWNER_KEY, "1")
