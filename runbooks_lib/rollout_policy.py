"""How a gradual rollout is judged: stages, soak, looks, error probabilities, the least that matters."""

from __future__ import annotations

from dataclasses import dataclass

from runbooks_lib.policy import Policy

#: Guide, Gradual Rollout; 0 % comes before it: it measures the instrumentation and the noise.
STAGES = (0, 10, 25, 50, 75, 100)


@dataclass(frozen=True, slots=True)
class RolloutPolicy:
    """What one campaign promises. It is part of what is approved, so none of it changes on the way.

    Attributes:
        thresholds: the guide's thresholds, scaled for the environment.
        stages: percentages, rising, whole, 0..100; the last is the goal.
        soak_seconds: healthy, observed time at each stage before the next.
        look_seconds: one look per window of this length; windows do not overlap.
        alpha: probability of a false rollback over the whole campaign, all tests together.
        confirm_looks: looks in a row on which a critical threshold must be crossed before it rolls back.
        pass_looks: looks in a row, the newest included, that must pass before it promotes.
        escalate_looks: looks in a row without an answer after which a person is called.
        min_requests: of a cohort in the looks of a stage together, before cohorts are compared.
        min_window_requests: of a cohort in one look, before its own ratios are judged.
        min_window_lookups: in one look, before hit rate and penetration are judged.
        min_observed_ratio: of a look's window; less observed, it is not known.
        exposure_points: the enhanced share of traffic may differ from the flag's percentage by so many points at 50 %
            (and at 0 and 100 %), between them by less: 3 of 5 at 10 %. Who asks most decides it: with 500 users making
            half of the requests, 4 points at each stage held 3 % of the simulated healthy campaigns for good.
        error_ratio_tolerance: errors up to so many times those of the control cohort do not matter.
        tail_ratio_tolerance: likewise the part of requests beyond the control cohort's p95.
        hit_drop_points: hit rate below the baseline's hour by less than this does not matter, in points; between 0 and
            100 % up to 2 more (two caches beside each other hit less). The hit rate has no control cohort, and one day
            differs from another by about a point: in ``benchmarks/rollout_bench.py`` 3 points rolled back a fifth of
            the campaigns without an effect, 5 points none of 1,000, and a drop of 10 is found at 75 %.
        plateau_points: a cold cohort has warmed once the hit rate rises by less than this from look to look.
        plateau_looks: it is waited for that at most so many looks.
        far_beyond_ratio: a critical threshold passed by this share of its way from warning to critical rolls back at
            the first look.
    """

    thresholds: Policy
    soak_seconds: float
    look_seconds: float
    stages: tuple[int, ...] = STAGES
    alpha: float = 0.05
    confirm_looks: int = 2
    pass_looks: int = 2
    escalate_looks: int = 3
    min_requests: int = 500
    min_window_requests: int = 50
    min_window_lookups: int = 100
    min_observed_ratio: float = 0.75
    exposure_points: float = 5.0
    error_ratio_tolerance: float = 1.25
    tail_ratio_tolerance: float = 1.25
    hit_drop_points: float = 5.0
    plateau_points: float = 0.5
    plateau_looks: int = 6
    far_beyond_ratio: float = 1.0

    @property
    def planned_looks(self) -> int:
        """Looks in a stage that goes well."""
        return max(1, round(self.soak_seconds / self.look_seconds))


def rollout_policy(thresholds: Policy) -> RolloutPolicy:
    """The guide's rollout: 24 h a stage, a look every hour, both divided by the environment's ``time_scale``."""
    return RolloutPolicy(thresholds, thresholds.stage_soak_seconds, thresholds.compare_window_seconds)
