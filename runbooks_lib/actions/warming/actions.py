"""Warming: start a run, remove a lock that a dead worker left, remove old statistics and bring them back."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from runbooks_lib.actions.action import Written
from runbooks_lib.actions.outcome import ReadBack
from runbooks_lib.actions.plan import Plan
from runbooks_lib.actions.site import Site, WritableSite
from runbooks_lib.actions.warming import lock as warming_lock
from runbooks_lib.actions.warming import run as warming_run
from runbooks_lib.actions.warming import statistics as warming_statistics
from runbooks_lib.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class TriggerWarming:
    """Have the site's task worker warm the cache now, and watch the run to its end.

    Attributes:
        strategy: ``startup`` (the site's plan, 3 to 5 min) or ``scheduled`` (what is asked for often, 1 to 2 min).
        wait_seconds: how long the run is watched, 1..3600; it goes on afterwards.
    """

    name: ClassVar[str] = "trigger_warming"
    strategy: str
    wait_seconds: int = 600

    def __post_init__(self) -> None:
        """Raises UsageError for another strategy or an impossible time."""
        if self.strategy not in warming_run.STRATEGIES:
            raise UsageError(
                f"strategy {str(self.strategy)[:60]!r} is not one that can be started",
                hint=f"choose {' or '.join(warming_run.STRATEGIES)}",
            )
        seconds = self.wait_seconds
        if isinstance(seconds, bool) or not isinstance(seconds, int) or not 1 <= seconds <= 3600:
            raise UsageError(f"wait_seconds {str(seconds)[:60]!r} is not in 1..3600", hint="600 is the default")

    def resources(self) -> tuple[str, ...]:
        """Warming."""
        return ("warming",)

    def plan(self, site: Site) -> Plan:
        """See ``Action.plan``."""
        return warming_run.plan_run(self.name, dataclasses.asdict(self), self.strategy, site)

    def write(self, plan: Plan, site: WritableSite) -> Written:
        """See ``Action.write``."""
        return warming_run.start_and_watch(plan, site, self.strategy, self.wait_seconds)

    def read_back(self, plan: Plan, site: Site, written: Mapping[str, Any]) -> ReadBack:
        """See ``Action.read_back``."""
        return warming_run.read_run_back(plan, site, self.strategy, written)


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveWarmingLock:
    """Remove a warming lock, only where it is proven that its owner is gone.

    Attributes:
        lock: its whole name, ``cache_warming_lock:<type>:<identifier>``.
    """

    name: ClassVar[str] = "remove_warming_lock"
    lock: str

    def __post_init__(self) -> None:
        """Raises UsageError for a name that is not that of a warming lock."""
        warming_lock.require_lock_name(self.lock)

    def resources(self) -> tuple[str, ...]:
        """Warming."""
        return ("warming",)

    def plan(self, site: Site) -> Plan:
        """See ``Action.plan``."""
        return warming_lock.plan_removal(self.name, dataclasses.asdict(self), self.lock, site)

    def write(self, plan: Plan, site: WritableSite) -> Written:
        """See ``Action.write``."""
        return warming_lock.remove(plan, site, self.lock)

    def read_back(self, plan: Plan, site: Site, written: Mapping[str, Any]) -> ReadBack:
        """See ``Action.read_back``."""
        return warming_lock.read_removal_back(plan, site, self.lock, written)


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveWarmingStatistics:
    """Remove the statistics of warming strategies that did not run for a long time.

    Attributes:
        older_than: a strategy whose last run is longer ago, such as 36h or 7d.
    """

    name: ClassVar[str] = "remove_warming_statistics"
    older_than: str = "7d"

    def __post_init__(self) -> None:
        """Raises UsageError for a text that is not a duration."""
        warming_statistics.seconds_of(self.older_than)

    def resources(self) -> tuple[str, ...]:
        """The statistics."""
        return ("warming",)

    def plan(self, site: Site) -> Plan:
        """See ``Action.plan``."""
        return warming_statistics.plan_removal(self.name, dataclasses.asdict(self), self.older_than, site)

    def write(self, plan: Plan, site: WritableSite) -> Written:
        """See ``Action.write``."""
        return warming_statistics.remove(plan, site)

    def read_back(self, plan: Plan, site: Site, written: Mapping[str, Any]) -> ReadBack:
        """See ``Action.read_back``."""
        return warming_statistics.read_removal_back(plan, site, written)


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreWarmingStatistics:
    """Write removed statistics of warming back, for strategies that have none by now.

    Attributes:
        fields: JSON text, ``{"startup_count": "100", …}``.
    """

    name: ClassVar[str] = "restore_warming_statistics"
    fields: str

    def __post_init__(self) -> None:
        """Raises UsageError for a text that is not fields and values."""
        warming_statistics.parse_fields(self.fields)

    def resources(self) -> tuple[str, ...]:
        """The statistics."""
        return ("warming",)

    def plan(self, site: Site) -> Plan:
        """See ``Action.plan``."""
        fields = warming_statistics.parse_fields(self.fields)
        return warming_statistics.plan_restoring(self.name, dataclasses.asdict(self), fields, site)

    def write(self, plan: Plan, site: WritableSite) -> Written:
        """See ``Action.write``."""
        return warming_statistics.restore(plan, site, warming_statistics.parse_fields(self.fields))

    def read_back(self, plan: Plan, site: Site, written: Mapping[str, Any]) -> ReadBack:  # noqa: ARG002 - the fields stand in the action
        """See ``Action.read_back``."""
        return warming_statistics.read_restored_back(site, warming_statistics.parse_fields(self.fields), written)
