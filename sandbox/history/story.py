"""What happened on the site in one week, drawn once, so that series which count the same thing agree."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from sandbox.history.durations import Duration
from sandbox.history.numbers import COHORTS, ERROR_SHARE, Array, Lookups, Week, lookups, sum_of, writes
from sandbox.traffic.profile import ENDPOINTS

THROTTLED_SHARE = 1e-5
REFRESHES_PER_STALE_ANSWER = 0.8

Spread = list[tuple[Array, Duration]]  # so often, and how long each took


@dataclass
class Story:
    """Everything that happened in one week, drawn once, so that series which count the same thing agree."""

    week: Week
    scheduled_seconds: float
    _spreads: dict[tuple[object, ...], Spread] = field(default_factory=dict)

    @cached_property
    def lookups(self) -> Mapping[tuple[str, str], Lookups]:
        """Lookups by endpoint and cohort."""
        return {(name, cohort): lookups(self.week, name, cohort) for name in ENDPOINTS for cohort in COHORTS}

    @cached_property
    def writes(self) -> Mapping[str, Array]:
        """Changes by staff, by endpoint."""
        return {name: writes(self.week, name) for name in ENDPOINTS}

    @cached_property
    def nothing(self) -> Array:
        """Zero at every sample."""
        return np.zeros_like(self.week.times)

    def status(self, endpoint: str, status: str) -> Array:
        """Lookups of an endpoint by status, both cohorts."""
        return sum_of(self.lookups[endpoint, cohort].status(status) for cohort in COHORTS)

    def all_lookups(self, endpoint: str) -> Array:
        """Lookups of an endpoint, both cohorts."""
        return sum_of(self.lookups[endpoint, cohort].all for cohort in COHORTS)

    def answers(self, endpoint: str, method: str, code: str, cohort: str) -> Array:
        """Answered requests."""
        if endpoint not in ENDPOINTS:
            return self.nothing
        found = self.lookups[endpoint, cohort]
        ratio = self.week.enhanced_ratio if cohort == "enhanced" else 1 - self.week.enhanced_ratio
        expected = self.week.requests * ENDPOINTS[endpoint].share * ratio
        answers = self.nothing
        match method, code:
            case "GET", "200":
                answers = found.all - found.missing
            case "GET", "404":
                answers = found.missing
            case "GET", "429":
                answers = self.week.happened(expected * THROTTLED_SHARE, endpoint, cohort, code)
            case "GET", "500":
                answers = self.week.happened(expected * ERROR_SHARE, endpoint, cohort, code)
            case "PATCH", "200" if cohort == "enhanced":
                answers = self.writes[endpoint]
        return answers

    def refreshes(self, endpoint: str) -> Array:
        """Background refreshes in the worker: a stale value is refreshed once, however often it is asked for."""
        refreshed = self.lookups[endpoint, "enhanced"].by_outcome["stale"] * REFRESHES_PER_STALE_ANSWER
        return np.diff(np.floor(np.cumsum(refreshed)), prepend=0.0)

    def remembered(self, key: tuple[object, ...], draw: Callable[[], Spread]) -> Spread:
        """Return what a histogram counts and how long it took; drawn once for all its buckets."""
        if key not in self._spreads:
            self._spreads[key] = draw()
        return self._spreads[key]

    @cached_property
    def scheduled_runs(self) -> Array:
        """Scheduled warming runs: one whenever an interval is full."""
        return np.diff(
            np.floor(self.week.times / self.scheduled_seconds),
            prepend=np.floor(self.week.times[0] / self.scheduled_seconds),
        )

    @cached_property
    def startup_runs(self) -> Array:
        """Startup warming runs: one, at the deployment."""
        runs = self.nothing.copy()
        if 0 < self.week.restart < len(runs):
            runs[self.week.restart] = 1
        return runs

    def warming_runs(self, warming_type: str) -> Array:
        """Warming runs of one type."""
        match warming_type:
            case "scheduled":
                return self.scheduled_runs
            case "startup":
                return self.startup_runs
        return sum_of(self.refreshes(name) for name in ENDPOINTS)
