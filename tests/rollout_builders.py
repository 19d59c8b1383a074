"""Windows, histories and policies of a rollout for tests: a healthy one, and the smallest change that makes it ill."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from statistics import NormalDist
from types import MappingProxyType
from typing import Any

from runbooks_lib.facts import Flag
from runbooks_lib.facts.rollout import SLOTS_COUNT, Baseline, BaselineSlot, CohortSample, RolloutWindow
from runbooks_lib.judgement.rollout.decide import decide
from runbooks_lib.judgement.rollout.model import Decision, Gate, StageHistory
from runbooks_lib.model import Unreadable
from runbooks_lib.policy import Policy
from runbooks_lib.rollout_policy import RolloutPolicy, rollout_policy

BEGAN = datetime(2026, 11, 20, tzinfo=UTC)
LOOK = timedelta(hours=1)
EDGES = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
POLICY = rollout_policy(Policy())
NO_FLAG = Unreadable("django", "flags", "manage.py shell timed out", "is the site up?")
HIT_RATIO = 0.91


def flag(percentage: float = 25, strategy: str = "gradual", whitelist_count: int | None = 0) -> Flag:
    """The feature's flag as the campaign left it."""
    return Flag("ENHANCED_CACHE", strategy, percentage, whitelist_count, enabled=True)


@lru_cache(maxsize=512)
def buckets(requests: float, *, p95_seconds: float = 0.18, sigma: float = 0.8) -> Mapping[float, float]:
    """A histogram of log-normal latencies with this p95."""
    normal = NormalDist()
    centre = math.log(p95_seconds) - sigma * normal.inv_cdf(0.95)
    below = {float(edge): requests * normal.cdf((math.log(edge) - centre) / sigma) for edge in EDGES}
    return MappingProxyType({**below, math.inf: requests})


def cohort(requests: float, *, errors: float = 0.004, slow: float = 0.001, p95_seconds: float = 0.18) -> CohortSample:
    """Requests of one cohort; errors and slow requests as ratios."""
    return CohortSample(requests, requests * errors, requests * slow, buckets(requests, p95_seconds=p95_seconds))


def window(
    number: int = 0,
    *,
    percentage: int = 25,
    requests: float = 20_000,
    enhanced: Mapping[str, Any] | None = None,
    control: Mapping[str, Any] | None = None,
    began: datetime = BEGAN,
    **fields: Any,
) -> RolloutWindow:
    """A healthy look of a stage; ``enhanced`` and ``control`` are arguments of ``cohort``."""
    started_at = began + number * LOOK
    share = percentage / 100
    whole = RolloutWindow(
        started_at,
        started_at + LOOK,
        enhanced=cohort(**{"requests": requests * share, **(enhanced or {})}),
        control=cohort(**{"requests": requests * (1 - share), **(control or {})}),
        served_percent=(percentage, percentage),
        hit_ratio=HIT_RATIO,
        lookups=requests * 1.5,
        penetration_ratio=0.02,
        warming_slowest_seconds=10,
    )
    return replace(whole, **fields)


def unknown(number: int = 0, **fields: Any) -> RolloutWindow:
    """A look at which Prometheus said nothing."""
    started_at = BEGAN + number * LOOK
    return replace(RolloutWindow(started_at, started_at + LOOK, observed_ratio=0.0), **fields)


def baseline(**fields: Any) -> Baseline:
    """A day before the rollout, every hour alike; the arguments are fields of each slot."""
    began = BEGAN - timedelta(days=2)
    values: dict[str, Any] = {
        "hit_ratio": HIT_RATIO,
        "penetration_ratio": 0.02,
        "p95_seconds": 0.18,
        "error_ratio": 0.004,
        "slow_ratio": 0.001,
        "requests": 20_000.0,
        **fields,
    }
    slots = tuple(BaselineSlot(began + hour * LOOK, 1.0, **values) for hour in range(SLOTS_COUNT))
    return Baseline(began + timedelta(days=1), 3600.0, slots)


def zero_stage(looks: int = 24, **fields: Any) -> tuple[RolloutWindow, ...]:
    """The 0 % stage of the day before, without whitelisted users; the hit rate scatters by a point."""
    began = BEGAN - timedelta(days=1)
    return tuple(
        window(number, percentage=0, began=began, hit_ratio=HIT_RATIO + 0.005 * (-1) ** number, **fields)
        for number in range(looks)
    )


ZERO, BASELINE = zero_stage(), baseline()


def history(windows: Sequence[RolloutWindow] = (), *, percentage: int = 25, **fields: Any) -> StageHistory:
    """A stage with a baseline, a 0 % stage before it and no whitelist."""
    zero = () if percentage == 0 else ZERO
    whole = StageHistory(percentage, BEGAN, tuple(windows), zero, BASELINE, 0)
    return replace(whole, **fields)


def healthy(looks: int, *, percentage: int = 25, first: int = 0) -> tuple[RolloutWindow, ...]:
    """So many healthy looks in a row."""
    return tuple(window(number, percentage=percentage) for number in range(first, first + looks))


def judged(
    windows: Sequence[RolloutWindow],
    *,
    percentage: int = 25,
    policy: RolloutPolicy = POLICY,
    flagged: Flag | Unreadable | None = None,
    **fields: Any,
) -> Decision:
    """The decision at the last of these windows."""
    past = history(windows[:-1], percentage=percentage, **fields)
    return decide(flagged or flag(percentage), past, windows[-1], windows[-1].ended_at, policy)


def gate(decision: Decision, name: str) -> Gate:
    """One gate of a decision."""
    return next(each for each in decision.gates if each.id == name)
