"""What would Kayenta say? Its judge over the looks of a stage, to be shown beside a decision; it decides nothing.

Kayenta compares where two series of points lie. It has no answer to being asked every hour, nor to rare errors, so
its word is not taken for a rollback. People know it, though, and where it differs a person should look.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from runbooks_lib import units
from runbooks_lib.facts.rollout import CohortSample, Gap, RolloutWindow
from runbooks_lib.judgement.rollout.comparison import fine
from runbooks_lib.judgement.rollout.exposure import comparable
from runbooks_lib.judgement.rollout.instrument import clean, quantile
from runbooks_lib.judgement.rollout.model import Gate, StageHistory, Stand
from runbooks_lib.judgement.statistics.kayenta import Classification, Direction, Label, MetricRules, classify
from runbooks_lib.rollout_policy import RolloutPolicy

#: Kayenta itself asks for fifty; below this its interval is not what it says.
LEAST_LOOKS = 5

_RULES = MetricRules(direction=Direction.INCREASE)


def second_opinions(history: StageHistory, samples: RolloutWindow | None, policy: RolloutPolicy) -> tuple[Gate, ...]:
    """Kayenta's label for errors, slow requests and p95, one point for each comparable look.

    Args:
        history: of the stage.
        samples: the newest window; None where none is due.
        policy: what a window must have to be used.

    Returns:
        Gates ``kayenta errors``, ``kayenta slow`` and ``kayenta latency``; all WAIT, so that they never decide. Empty
        where there is no control.
    """
    if history.percentage in {0, 100}:
        return ()
    windows = history.windows if samples is None else (*history.windows, samples)
    used = [window for each in windows if comparable(window := clean(each, policy), history.percentage)]
    return (
        _opinion("errors", used, lambda sample: _share(sample, sample.errors, policy), fine),
        _opinion("slow", used, lambda sample: _share(sample, sample.slow, policy), fine),
        _opinion("latency", used, lambda sample: quantile(sample.buckets, 0.95), units.seconds),
    )


def _share(sample: CohortSample, events: float | None, policy: RolloutPolicy) -> float | None:
    if events is None or sample.requests < max(1, policy.min_window_requests):
        return None
    return events / sample.requests


def _opinion(
    name: str,
    used: Sequence[RolloutWindow],
    value: Callable[[CohortSample], float | None],
    show: Callable[[float], str],
) -> Gate:
    pairs = [
        (enhanced, control)
        for window in used
        if window.enhanced
        and window.control
        and (enhanced := value(window.enhanced)) is not None
        and (control := value(window.control)) is not None
    ]
    if len(pairs) < LEAST_LOOKS:
        return Gate(
            f"kayenta {name}",
            Stand.WAIT,
            now="not asked yet",
            evidence=f"{units.things(len(pairs), 'look')} of at least {LEAST_LOOKS}",
            reason=str(Gap.TOO_FEW),
        )
    control_values = [control for _, control in pairs]
    found = classify([enhanced for enhanced, _ in pairs], control_values, _RULES)
    return Gate(
        f"kayenta {name}",
        Stand.WAIT,
        now=_label(found),
        limit=f"control {show(sum(control_values) / len(control_values))}",
        evidence=f"{_interval(found, show)}, {units.things(len(pairs), 'look')}; shown, decides nothing",
        reason="second opinion",
    )


def _label(found: Classification) -> str:
    doubt = "" if found.supported or found.label is not Label.HIGH else ", too few to say"
    return f"{found.label}{doubt}"


def _interval(found: Classification, show: Callable[[float], str]) -> str:
    if found.shift is None:
        return found.reason or "no difference"
    return f"shift {show(found.shift.estimate)} ({show(found.shift.low)} … {show(found.shift.high)})"
