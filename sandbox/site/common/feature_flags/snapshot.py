"""What do the flags say now? All of them, read at once and kept for a moment."""

import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass

from django.conf import settings
from django.db import DatabaseError

from common.feature_flags.buckets import bucket_of
from common.feature_flags.names import DEFAULT_STRATEGY, Feature, Strategy
from common.log_limits import RateLimitedLog
from common.metrics.definitions import FEATURE_FLAG_PERCENTAGE

stale_log = RateLimitedLog(logger=logging.getLogger(__name__))


@dataclass(frozen=True)
class Subject:
    """Whom a flag is asked for. All fields empty: the process itself, for instance a warming task.

    Attributes:
        user_id: of a signed-in user.
        is_staff: whether ``beta`` admits them.
        address: of an anonymous client; used as the bucket when there is no user.
    """

    user_id: int | None = None
    is_staff: bool = False
    address: str | None = None


@dataclass(frozen=True)
class Flag:
    """One flag as it was read.

    ``percentage`` is the share of the public that is served: 100 for ``on``, the share for ``gradual``, else 0.
    """

    feature: Feature
    strategy: Strategy
    percentage: int
    whitelist: frozenset[int]

    def admits(self, subject: Subject) -> bool:
        """Is the feature on for ``subject``?

        The whitelist also counts during a gradual rollout. ``off`` is off for everybody: it is the emergency brake.
        A process without user and address is admitted only when everybody is.
        """
        if self.strategy in {Strategy.OFF, Strategy.ON}:
            return self.strategy is Strategy.ON
        if self.strategy is Strategy.BETA:
            return subject.is_staff
        if subject.user_id in self.whitelist:
            return True
        if self.strategy is Strategy.WHITELIST:
            return False
        name = f"user:{subject.user_id}" if subject.user_id is not None else subject.address
        if name is None:
            return self.percentage == 100
        return bucket_of(feature=self.feature, subject=name) < self.percentage


class FlagCache:
    """This process's copy of the flags."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._flags: Mapping[Feature, Flag] | None = None
        self._read_at = float("-inf")

    def flags(self) -> Mapping[Feature, Flag]:
        """All flags, at most ``FEATURE_FLAG_CACHE_SECONDS`` old.

        While the database is away, the last copy stays in force; without one, the defaults.
        """
        flags = self._flags
        if flags is not None and time.monotonic() - self._read_at < settings.FEATURE_FLAG_CACHE_SECONDS:
            return flags
        with self._lock:
            try:
                self._flags = _read_flags()
            except DatabaseError as error:
                stale_log.warning(f"feature flags not readable, the last known ones stay in force: {error}")
                self._flags = self._flags or _flags_from(rows={}, whitelists={})
            self._read_at = time.monotonic()
            for flag in self._flags.values():
                FEATURE_FLAG_PERCENTAGE.labels(feature=flag.feature.value).set(flag.percentage)
            return self._flags

    def forget(self) -> None:
        """Read again at the next question."""
        self._read_at = float("-inf")


flag_cache = FlagCache()


def _read_flags() -> Mapping[Feature, Flag]:
    """Read both tables: two small queries.

    Raises:
        DatabaseError: the database cannot be read.
    """
    from common.models import FeatureFlag, FeatureFlagMember  # models are loaded later than this module

    rows = {row.feature: (Strategy(row.strategy), row.percentage) for row in FeatureFlag.objects.all()}
    whitelists: dict[str, set[int]] = {}
    for feature, user_id in FeatureFlagMember.objects.values_list("feature", "user_id"):
        whitelists.setdefault(feature, set()).add(user_id)
    return _flags_from(rows=rows, whitelists=whitelists)


def _flags_from(
    *, rows: Mapping[str, tuple[Strategy, int]], whitelists: Mapping[str, set[int]]
) -> Mapping[Feature, Flag]:
    flags = {}
    for feature in Feature:
        strategy, percentage = rows.get(feature, (DEFAULT_STRATEGY[feature], 0))
        served = {Strategy.ON: 100, Strategy.GRADUAL: percentage}.get(strategy, 0)
        flags[feature] = Flag(feature, strategy, served, frozenset(whitelists.get(feature, ())))
    return flags
