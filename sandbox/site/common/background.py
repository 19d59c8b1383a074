"""Work that a request hands over and does not wait for."""

import atexit
import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from django.conf import settings

logger = logging.getLogger(__name__)

Item = TypeVar("Item")


class BackgroundBatcher(Generic[Item]):
    """A bounded queue that one thread of each process empties in batches.

    The thread starts with the first item. A fork does not copy threads, and what the parent had queued is the
    parent's business: a child begins empty.

    Args:
        name: name of the thread.
        handle_batch: called with the items, oldest first, outside the request; what it raises is logged.
        max_items: beyond it the oldest item is dropped.
        linger_seconds: how long items are gathered; a callable, because settings may not be read at import.
        on_drop: called once for each dropped item.
    """

    def __init__(
        self,
        *,
        name: str,
        handle_batch: Callable[[Sequence[Item]], None],
        max_items: int,
        linger_seconds: Callable[[], float],
        on_drop: Callable[[], None],
    ) -> None:
        self._name = name
        self._handle_batch = handle_batch
        self._max_items = max_items
        self._linger_seconds = linger_seconds
        self._on_drop = on_drop
        self._start_empty()
        os.register_at_fork(after_in_child=self._start_empty)
        atexit.register(self.flush)

    def add(self, item: Item) -> None:
        """Queue ``item``; takes microseconds and never blocks on what the handler does."""
        dropped = False
        with self._lock:
            if len(self._items) >= self._max_items:
                self._items.popleft()
                dropped = True
            self._items.append(item)
            if self._thread is None and settings.BACKGROUND_THREADS:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
        self._arrived.set()
        if dropped:
            self._on_drop()

    def flush(self) -> int:
        """Handle everything that is queued, in this thread.

        Returns:
            How many items were handed to the handler.
        """
        with self._lock:
            items = list(self._items)
            self._items.clear()
        if items:
            try:
                self._handle_batch(items)
            except Exception:
                # The thread has to outlive a database or a broker that is away for a while.
                logger.exception("%s: a batch of %d items is lost", self._name, len(items))
        return len(items)

    def _start_empty(self) -> None:
        self._lock = threading.Lock()
        self._arrived = threading.Event()
        self._pause = threading.Event()
        self._items: deque[Item] = deque()
        self._thread: threading.Thread | None = None

    def _run(self) -> None:
        while True:
            self._arrived.wait()
            self._arrived.clear()
            # Gather; the event is never set, it only gives a sleep that ends with the process.
            self._pause.wait(self._linger_seconds())
            self.flush()
