"""Who judges a simulated campaign: ``decide`` as it is shipped, naive thresholds, and Kayenta's judge every hour."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmarks.rollout_hours import Array
from benchmarks.rollout_model import Mix, Stage, Traffic, clumped, clustered, quantile
from runbooks_lib.facts import Flag
from runbooks_lib.facts.rollout import RolloutWindow
from runbooks_lib.judgement.rollout.decide import decide
from runbooks_lib.judgement.rollout.model import StageHistory, Stand, Verb
from runbooks_lib.judgement.statistics.kayenta import Direction, Label, MetricRules, Verdict, classify, score
from runbooks_lib.model import Status
from runbooks_lib.rollout_policy import RolloutPolicy

#: Kayenta judges series: so many points of five minutes each hour.
POINTS = 12
#: Points of one hour scatter around it by so much (lognormal), for both cohorts alike.
POINT_SIGMA = 0.10
#: A burst or a stall lasts five minutes, one point; of those who wait for a hanging database, a third takes over 1 s.
STALL_OVER_1S = 0.33
#: What people write first.
NAIVE_ERROR_FACTOR, NAIVE_P95_FACTOR = 1.5, 1.2
#: Its defaults; for errors and durations only an increase is bad.
KAYENTA_RULES = MetricRules(direction=Direction.INCREASE)


@dataclass(frozen=True, slots=True)
class Look:
    """What a judge is shown at one look.

    Attributes:
        traffic: the campaign's world; only for what a window does not hold (Kayenta's points).
        hour: of the window.
        stage: percentage and when it began.
        window: what was measured in that hour.
        history: of the stage, without this window.
        executed_at: the hour at whose beginning it is judged; later than the window's end after a missed execution.
    """

    traffic: Traffic
    hour: int
    stage: Stage
    window: RolloutWindow
    history: StageHistory
    executed_at: int


@dataclass(frozen=True, slots=True)
class Call:
    """What a judge says: hold, promote or rollback; ``complete`` at the end; and why."""

    verb: Verb
    why: str
    complete: bool = False
    healthy: bool = True


Judge = Callable[[Look, RolloutPolicy, int], Call]


def shipped(look: Look, policy: RolloutPolicy, healthy_looks: int) -> Call:
    """``decide``, with the flag as the campaign left it."""
    del healthy_looks  # it counts for itself
    flag = Flag("ENHANCED_CACHE", "gradual", look.stage.percentage, look.history.whitelist_count, enabled=True)
    decision = decide(flag, look.history, look.window, look.traffic.moment(look.executed_at), policy)
    standing = [gate.id for gate in decision.gates if gate.stand in {Stand.FAIL, Stand.WARN, Stand.UNKNOWN}]
    return Call(decision.verb, ", ".join([str(decision.reasons[0]), *standing]), decision.complete)


def naive(look: Look, policy: RolloutPolicy, healthy_looks: int) -> Call:
    """The guide's thresholds on the values of one hour, and two ratios of the cohorts, each time anew."""
    window = look.window
    if window.enhanced is None or window.control is None:
        return Call(Verb.HOLD, "unknown", healthy=False)
    if 0 < look.stage.percentage < 100:
        if _ratio(window.enhanced.errors, window.enhanced.requests) > NAIVE_ERROR_FACTOR * _ratio(
            window.control.errors, window.control.requests
        ):
            return Call(Verb.ROLLBACK, "errors over the control's")
        if quantile(window.enhanced.buckets, 0.95) > NAIVE_P95_FACTOR * quantile(window.control.buckets, 0.95):
            return Call(Verb.ROLLBACK, "p95 over the control's")
    worst = _guide(window, policy, exposed=look.stage.percentage > 0)
    if worst is Status.FAIL:
        return Call(Verb.ROLLBACK, "a threshold of the guide")
    if worst is Status.WARN:
        return Call(Verb.HOLD, "warning", healthy=False)
    return _soaked(look, policy, healthy_looks)


def kayenta(look: Look, policy: RolloutPolicy, healthy_looks: int) -> Call:
    """Kayenta's judge with its defaults over the points of the last hour; each judgement must be over marginal."""
    if look.window.enhanced is None:
        return Call(Verb.HOLD, "unknown", healthy=False)
    if 0 < look.stage.percentage < 100:
        results = {name: classify(*series, KAYENTA_RULES) for name, series in _points(look).items()}
        if score({"cohorts": tuple(results.values())}).verdict() is Verdict.FAIL:
            return Call(Verb.ROLLBACK, ", ".join(name for name, one in results.items() if one.label is Label.HIGH))
    return _soaked(look, policy, healthy_looks)


#: Name in the table → judge; the one that is shipped first.
METHODS: dict[str, Judge] = {
    "decide, as shipped": shipped,
    "naive thresholds": naive,
    "Kayenta, hourly": kayenta,
}


def _guide(window: RolloutWindow, policy: RolloutPolicy, *, exposed: bool) -> Status:
    sample, guide = window.enhanced, policy.thresholds
    stands = [guide.hit_rate.judge(window.hit_ratio), guide.penetration.judge(window.penetration_ratio)]
    stands.append(guide.warming_task.judge(window.warming_slowest_seconds))
    if sample is not None and exposed:
        stands.append(guide.request_errors.judge(_ratio(sample.errors, sample.requests)))
        stands.append(guide.slow_requests.judge(_ratio(sample.slow, sample.requests)))
    return max(stands, key=[Status.OK, Status.UNKNOWN, Status.WARN, Status.FAIL].index)


def _soaked(look: Look, policy: RolloutPolicy, healthy_looks: int) -> Call:
    if healthy_looks + 1 < policy.planned_looks:
        return Call(Verb.HOLD, "soaking")
    done = look.stage.percentage == policy.stages[-1]
    return Call(Verb.HOLD if done else Verb.PROMOTE, "soaked", complete=done)


def _points(look: Look) -> dict[str, tuple[list[float], list[float]]]:
    """Three metrics of the last hour as series of the canary and of its control: errors, p95, slow requests."""
    hours, hour = look.traffic.hours, look.hour
    rng = np.random.default_rng([look.traffic.seed, hour, look.stage.percentage, look.stage.started, POINTS])
    split = look.traffic.cohorts(hour, look.stage.percentage)
    worse, slower = rng.normal(0, POINT_SIGMA, (2, POINTS))
    total, struck = float(hours.requests[hour]), int(rng.integers(POINTS))
    failed = clustered(rng, total * float(hours.burst_ratio[hour]), split.share)
    waited = clustered(rng, total * float(hours.stall_ratio[hour]) * STALL_OVER_1S, split.share)
    series: dict[str, list[list[float]]] = {"errors": [], "p95": [], "slow": []}
    for side, mix in enumerate(look.traffic.mixes(hour, split)):
        counts = np.maximum(1, rng.poisson(mix.requests / POINTS, POINTS))
        errors, slow = clumped(rng, counts * mix.error_ratio * np.exp(worse)), rng.poisson(counts * _over_1s(mix))
        errors[struck] += failed[side]
        slow[struck] += waited[side]
        series["errors"].append(np.minimum(1.0, errors / counts).tolist())
        series["slow"].append(np.minimum(1.0, slow / counts).tolist())
        series["p95"].append(_p95(rng, mix, counts, slower).tolist())
    return {name: (canary, control) for name, (canary, control) in series.items()}


def _p95(rng: np.random.Generator, mix: Mix, counts: Array, slower: Array) -> Array:
    """Of a sample: the distribution's own, give or take its standard error, sqrt(0.05 0.95 / n) / density."""
    blur = np.sqrt(0.05 * 0.95 / counts) * mix.sigma / 0.1031
    return np.exp(mix.log_median + slower + 1.645 * mix.sigma + rng.normal(0, 1, POINTS) * blur)


def _over_1s(mix: Mix) -> float:
    return 0.5 * math.erfc(-mix.log_median / (mix.sigma * math.sqrt(2)))


def _ratio(events: float | None, requests: float) -> float:
    return (events or 0.0) / requests if requests else 0.0
