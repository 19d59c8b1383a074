"""Watching a hit rate come back, on a real Prometheus."""

import time
from datetime import timedelta

import pytest
from servers_fixtures import openmetrics
from sources_fixtures import site_environment

from runbooks_lib import units
from runbooks_lib.judgement.recovery import Course
from runbooks_lib.policy import policy_for
from runbooks_lib.recovery import watch_recovery
from runbooks_lib.sources.metrics.cache_metrics import CacheMetrics
from runbooks_lib.sources.metrics.prometheus import Prometheus


def metrics(url):
    """The metrics of a site in this Prometheus."""
    environment = site_environment(prometheus_url=url)
    return CacheMetrics(Prometheus(environment), environment)


@pytest.fixture(scope="module")
def emptied(prometheus_server):
    """Ten lookups a second; the cache was emptied 10 min ago, and four minutes later nine of ten hit again."""
    began = time.time() - 1200
    hits, misses, samples = 0.0, 0.0, []
    for tick in range(0, 1201, 15):
        share = 0.9 if tick < 600 else min(0.9, (tick - 600) / 240 * 0.9)
        hits, misses = hits + 150 * share, misses + 150 * (1 - share)
        samples.append((began + tick, hits, misses))
    labels = 'instance="web",job="site",endpoint="course-detail",status='
    series = [(f'{labels}"hit"', hit, at) for at, hit, _ in samples]
    series += [(f'{labels}"miss"', miss, at) for at, _, miss in samples]
    up = [('instance="web",job="site"', 1.0, at) for at, _, _ in samples]
    return prometheus_server(openmetrics({"cache_requests_total": series, "up": up}))


def test_watch_recovery_ends_when_the_rate_is_back(emptied):
    """At the first look, because it has been back for minutes."""
    seen = []

    found = watch_recovery(
        metrics(emptied.url),
        0.9,
        since=units.now() - timedelta(seconds=600),
        policy=policy_for(1.0),
        deadline_seconds=30,
        on_look=seen.append,
    )

    assert found.course is Course.RECOVERED
    assert 150 <= found.took_seconds <= 330
    assert seen == [found]


def test_watch_recovery_to_more_than_it_was_ends_on_the_plateau(emptied):
    """A deadline of an hour is not waited for when nothing rises any more."""
    began = time.monotonic()

    found = watch_recovery(
        metrics(emptied.url),
        0.99,
        since=units.now() - timedelta(seconds=600),
        policy=policy_for(1.0),
        deadline_seconds=3600,
    )

    assert found.course is Course.PLATEAU
    assert time.monotonic() - began < 20


def test_watch_recovery_without_prometheus_is_unknown_until_the_deadline():
    """It looks again, in case it comes back, and says in the end why it cannot be told."""
    seen = []

    found = watch_recovery(
        metrics("http://127.0.0.1:1"),
        0.9,
        since=units.now(),
        policy=policy_for(1.0),
        deadline_seconds=0.4,
        every_seconds=0.1,
        on_look=seen.append,
    )

    assert found.course is Course.UNKNOWN
    assert "127.0.0.1:1" in found.detail
    assert len(seen) >= 2
