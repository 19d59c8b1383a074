"""Which failures are switched on deliberately, so that operators can practise on known causes?

``SITE_FAULTS_FILE`` names a JSON object ``{fault name: {parameter: value}}``. It is read again when it changed; a
process looks at most every half second, so a fault is in force everywhere after that time. No file, no fault.
"""

import json
import logging
import threading
import time
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

from django.conf import settings

logger = logging.getLogger(__name__)

CHECK_INTERVAL_SECONDS = 0.5


class Fault(StrEnum):
    """The faults that this site knows, each with the parameters that it reads."""

    # endpoint (URL name, default course-recommendations): looks the cache up, and never stores.
    UNCACHED_ENDPOINT = "uncached_endpoint"
    # error_ratio (0..1): that share of the requests of callers with ENHANCED_CACHE is answered 500.
    ENHANCED_ERRORS = "enhanced_errors"
    # share (0..1) of their requests takes so many seconds longer.
    ENHANCED_SLOW = "enhanced_slow"
    # share (0..1) of their lookups overlooks what is stored, and loads it again.
    ENHANCED_MISSES = "enhanced_misses"


class FaultFile:
    """The faults in one file, as of at most ``CHECK_INTERVAL_SECONDS`` ago."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._path = ""
        self._checked_at = float("-inf")
        self._signature: tuple[int, int, int] | None = None
        self._faults: Mapping[str, Mapping[str, Any]] = {}

    def read(self, *, path: str) -> Mapping[str, Mapping[str, Any]]:
        """The faults that ``path`` names now: parameters by name; empty when there is no file."""
        with self._lock:
            now = time.monotonic()
            if path == self._path and now - self._checked_at < CHECK_INTERVAL_SECONDS:
                return self._faults
            signature = _signature(path)
            if path != self._path or signature != self._signature:
                self._faults = _load(path, kept=self._faults) if signature else {}
            self._path, self._signature, self._checked_at = path, signature, now
            return self._faults


_fault_file = FaultFile()


def fault_parameters(fault: Fault) -> Mapping[str, Any] | None:
    """The parameters of ``fault``, possibly empty; None when it is not switched on."""
    if not settings.FAULTS_FILE:
        return None
    return _fault_file.read(path=settings.FAULTS_FILE).get(fault)


def _signature(path: str) -> tuple[int, int, int] | None:
    """What changes when a file is written or replaced; None when it does not exist."""
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _load(path: str, *, kept: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Mapping[str, Any]]:
    """Parse the file. One that cannot be read leaves the faults as they were, and says so."""
    try:
        text = Path(path).read_text(encoding="utf-8")
        faults = json.loads(text) if text.strip() else {}
    except (OSError, ValueError) as error:
        logger.warning("faults file not readable, faults stay as they were: %s", error)
        return kept
    if not isinstance(faults, dict) or not all(isinstance(value, dict) for value in faults.values()):
        logger.warning("faults file must hold an object of objects, faults stay as they were")
        return kept
    unknown = sorted(set(faults) - set(Fault))
    if unknown:
        logger.warning("faults that this site does not know are ignored: %s", ", ".join(unknown))
    logger.info("faults in force: %s", ", ".join(sorted(set(faults) & set(Fault))) or "none")
    return faults
