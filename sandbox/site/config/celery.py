"""The Celery application, and what its processes do when they start and stop."""

import os

from celery import Celery
from celery.signals import celeryd_init, worker_process_init, worker_process_shutdown, worker_ready

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("site")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


# The imports below wait until a worker starts: a metric may not open its file before the directory was wiped.
@celeryd_init.connect
def wipe_metrics(**_signal: object) -> None:
    """Remove the metric files of an earlier worker, whose process numbers mean nothing any more."""
    from common.metrics.exposition import wipe_multiprocess_directory

    wipe_multiprocess_directory()


@worker_ready.connect
def serve_metrics(**_signal: object) -> None:
    """Serve /metrics from the parent, once its children exist: they would inherit an open socket."""
    from common.lifecycle import worker_started

    worker_started()


@worker_process_init.connect
def start_child(**_signal: object) -> None:
    """Show every series at 0 from the first scrape of a new child."""
    from common.lifecycle import worker_child_started

    worker_child_started()


@worker_process_shutdown.connect
def stop_child(pid: int, **_signal: object) -> None:
    """Forget the live gauges of a child that ended."""
    from common.metrics.exposition import forget_process

    forget_process(pid=pid)
