"""The metrics of all processes of one program, as one text.

With ``PROMETHEUS_MULTIPROC_DIR`` each process writes files there and a scrape merges them; without it, a scrape shows
the process that happens to answer. Nothing here needs Django: the gunicorn master uses it, too.
"""

import os
from pathlib import Path

from prometheus_client import REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead


def multiprocess_directory() -> Path | None:
    """Where the processes of this program write their metrics; None for a single process."""
    name = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    return Path(name) if name else None


def wipe_multiprocess_directory() -> None:
    """Make the directory, and remove the files of earlier processes; call it before the first process starts.

    Left there, they would be added to the counters for ever, and each scrape would take longer.
    """
    directory = multiprocess_directory()
    if directory is None:
        return
    directory.mkdir(parents=True, exist_ok=True)
    for file in directory.glob("*.db"):
        file.unlink(missing_ok=True)


def forget_process(*, pid: int) -> None:
    """Remove the live gauges of a process that ended. Its counters stay: they happened."""
    if multiprocess_directory() is not None:
        mark_process_dead(pid)


def registry() -> CollectorRegistry:
    """What a scrape of this program shows."""
    if multiprocess_directory() is None:
        return REGISTRY
    merged = CollectorRegistry()
    MultiProcessCollector(merged)
    return merged


def exposition() -> bytes:
    """All metrics in the text format."""
    return generate_latest(registry())
