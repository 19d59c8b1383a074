"""Hand a task to Celery without waiting for its broker.

A publisher that waits turns a broker outage into a site outage. A request therefore only appends to a queue in
memory; one thread of the process talks to the broker. What cannot be published is logged and forgotten: all tasks
that are published here are improvements, and the next occasion asks for them again.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.module_loading import import_string
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from common.background import BackgroundBatcher
from common.log_limits import RateLimitedLog

broker_log = RateLimitedLog(logger=logging.getLogger(__name__))


@dataclass(frozen=True)
class PublishedTask:
    """One call of a task: its dotted path and its positional arguments."""

    path: str
    arguments: Sequence[Any]


def publish(*, task: str, arguments: Sequence[Any] = ()) -> None:
    """Queue a call of ``task``, a dotted path; returns within microseconds and never fails."""
    publisher.add(PublishedTask(path=task, arguments=arguments))


def _send(tasks: Sequence[PublishedTask]) -> None:
    for index, task in enumerate(tasks):
        try:
            import_string(task.path).apply_async(args=list(task.arguments), retry=False)
        except (OperationalError, RedisError, OSError) as error:
            # The others would wait for the same timeout.
            broker_log.warning(f"broker away, {len(tasks) - index} tasks not published: {error}")
            return


publisher: BackgroundBatcher[PublishedTask] = BackgroundBatcher(
    name="publisher",
    handle_batch=_send,
    max_items=1000,
    linger_seconds=lambda: 0.0,
    on_drop=lambda: broker_log.warning("too many tasks wait for the broker, the oldest is dropped"),
)
