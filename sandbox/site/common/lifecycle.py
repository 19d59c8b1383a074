"""What a process of the site does when it starts and when it stops."""

import logging

from django.conf import settings
from prometheus_client import start_http_server

from common.cache_log.rows import row_writer
from common.feature_flags.snapshot import flag_cache
from common.metrics.exposition import registry
from common.metrics.series import initialise_series
from common.warming.startup import request_startup_warming

logger = logging.getLogger(__name__)


def web_worker_started() -> None:
    """A gunicorn worker is ready: show all series, and have the cache warmed if nobody did yet."""
    _show_series()
    request_startup_warming()


def worker_started() -> None:
    """The Celery worker is ready: serve the metrics of its children."""
    _show_series()
    if settings.WORKER_METRICS_PORT:
        address, port = settings.WORKER_METRICS_ADDRESS, settings.WORKER_METRICS_PORT
        start_http_server(port, addr=address, registry=registry())
        logger.info("worker metrics on %s port %d", address, port)


def worker_child_started() -> None:
    """A child of the Celery worker is ready."""
    _show_series()


def process_stopping() -> None:
    """The process ends in order: write the rows that are still queued."""
    row_writer.flush()


def _show_series() -> None:
    initialise_series()
    # Reading the flags once sets their gauges.
    flag_cache.flags()
