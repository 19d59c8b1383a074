"""Finished answers in files: the fallback for anonymous readers while Redis is gone.

It is slower than Redis and known to one machine only, but it needs nothing besides a disk. Only answers that were
asked for during an outage are in it; nothing writes files while Redis is healthy.
"""

import logging
import time
from dataclasses import dataclass

from django.core.cache import caches

from common.cache.resources import Payload
from common.log_limits import RateLimitedLog

file_log = RateLimitedLog(logger=logging.getLogger(__name__))


@dataclass(frozen=True)
class Page:
    """A stored answer and its age in seconds."""

    data: Payload
    age_seconds: float


def read_page(*, name: str) -> Page | None:
    """The page called ``name``, if there is one that has not expired; None also when the disk fails."""
    try:
        stored = caches["pages"].get(name)
    except OSError as error:
        file_log.warning(f"page cache not readable: {error}")
        return None
    if stored is None:
        return None
    return Page(data=stored["data"], age_seconds=max(0.0, time.time() - stored["stored_at"]))


def write_page(*, name: str, data: Payload) -> None:
    """Keep a page for the ``TIMEOUT`` of the cache ``pages`` (60 s); a full disk is logged, not raised."""
    try:
        caches["pages"].set(name, {"data": dict(data), "stored_at": time.time()})
    except OSError as error:
        file_log.warning(f"page cache not writable: {error}")


def delete_pages(*, names: list[str]) -> None:
    """Forget pages whose content changed, on this machine; elsewhere they expire within the minute."""
    try:
        caches["pages"].delete_many(names)
    except OSError as error:
        file_log.warning(f"page cache not writable: {error}")
