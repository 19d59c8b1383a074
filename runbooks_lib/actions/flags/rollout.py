"""A gradual rollout of one feature: its start, which is what people approve, and each of its moves."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar

from runbooks_lib import units
from runbooks_lib.actions.action import Written
from runbooks_lib.actions.flags.feature import SetsState
from runbooks_lib.actions.flags.plans import expected_of
from runbooks_lib.actions.flags.states import FlagState, require_percentage
from runbooks_lib.actions.flags.writes import Step, write_steps
from runbooks_lib.actions.plan import Guard, Plan
from runbooks_lib.actions.site import Site, WritableSite
from runbooks_lib.errors import UsageError
from runbooks_lib.model import Evidence
from runbooks_lib.policy import Policy
from runbooks_lib.records.campaign import Campaign
from runbooks_lib.records.campaign_find import current_campaign
from runbooks_lib.records.campaign_rules import shown_state
from runbooks_lib.records.campaign_terms import GUIDE_FEATURES, LOOK, SOAK, rollback_action, terms_of
from runbooks_lib.records.ledger import Ledger
from runbooks_lib.rollout_policy import STAGES, rollout_policy

_USUAL = rollout_policy(Policy())


@dataclass(frozen=True, slots=True, kw_only=True)
class StartRollout(SetsState):
    """Start a gradual rollout: set its first stage, and allow it to go on by itself as the plan says.

    Attributes:
        feature: its name, such as ENHANCED_CACHE.
        stages: percentages that rise, whole, 0..100; the last is the goal.
        soak: healthy, observed time at each stage before the next, such as 24h; taken as it is written.
        look: one look is judged per window of this length, such as 1h.
        rollback: what known harm leads to: guide switches off the three features that the guide lists, feature this one
            alone; auto takes guide for ENHANCED_CACHE.
        alpha: probability of a false rollback over the whole campaign.
        confirm_looks: looks in a row on which a critical threshold is crossed before it rolls back.
        pass_looks: looks in a row that pass before it promotes.
        escalate_looks: looks in a row without an answer after which a person is called.
        min_requests: of a cohort at a stage before cohorts are compared.
        min_window_requests: of a cohort in one look before its ratios are judged.
        min_window_lookups: in one look before hit rate and penetration are judged.
        min_observed_ratio: 0..1 of a look's window that must have been observed.
        exposure_points: the enhanced share of traffic may differ from the percentage by so many points.
        error_ratio_tolerance: errors up to so many times those of the control cohort do not matter.
        tail_ratio_tolerance: likewise slow answers.
        hit_drop_points: a hit rate less than so many points below the baseline does not matter.
        plateau_points: a cold cohort is warm once its hit rate rises by less from look to look.
        plateau_looks: it is waited for that at most so many looks.
        far_beyond_ratio: a critical threshold passed by this share of its way from warning to critical rolls back at
            once.
        accept_volatile: set the flag even where flags are kept in the cache and fall back by themselves.
    """

    name: ClassVar[str] = "start_rollout"
    words: ClassVar[str] = "roll {feature} out step by step: {stages} % of the users"
    stages: str = ",".join(map(str, STAGES))
    soak: str = SOAK
    look: str = LOOK
    rollback: str = "auto"
    alpha: float = _USUAL.alpha
    confirm_looks: int = _USUAL.confirm_looks
    pass_looks: int = _USUAL.pass_looks
    escalate_looks: int = _USUAL.escalate_looks
    min_requests: int = _USUAL.min_requests
    min_window_requests: int = _USUAL.min_window_requests
    min_window_lookups: int = _USUAL.min_window_lookups
    min_observed_ratio: float = _USUAL.min_observed_ratio
    exposure_points: float = _USUAL.exposure_points
    error_ratio_tolerance: float = _USUAL.error_ratio_tolerance
    tail_ratio_tolerance: float = _USUAL.tail_ratio_tolerance
    hit_drop_points: float = _USUAL.hit_drop_points
    plateau_points: float = _USUAL.plateau_points
    plateau_looks: int = _USUAL.plateau_looks
    far_beyond_ratio: float = _USUAL.far_beyond_ratio

    def __post_init__(self) -> None:
        """Raises UsageError for what can be no rollout."""
        SetsState.__post_init__(self)
        if not isinstance(self.accept_volatile, bool):
            raise UsageError(f"accept_volatile {str(self.accept_volatile)[:60]!r} is not true or false")
        terms_of(dataclasses.asdict(self))

    @property
    def terms(self) -> dict[str, Any]:
        """What is asked for, read: see ``records.campaign_terms.terms_of``."""
        return terms_of(dataclasses.asdict(self))

    @property
    def state(self) -> FlagState:
        """The first stage."""
        return FlagState("gradual", self.terms["stages"][0])

    def ledger_guards(self, ledger: Ledger, environment: str) -> tuple[Guard, ...]:
        """See ``action.AsksLedger``."""
        return (_alone(current_campaign(ledger, environment, self.feature), self.feature),)

    def plan(self, site: Site) -> Plan:
        """See ``Action.plan``."""
        plan = SetsState.plan(self, site)
        stages = " → ".join(map(str, self.terms["stages"]))
        return dataclasses.replace(
            plan,
            title=self.words.format(feature=self.feature, stages=stages),
            # Also where the flag stands so already: what is started, and approved, is what follows.
            no_op=False,
            blast_radius=(*plan.blast_radius, *_unattended(self.feature, self.terms, plan.read_at)),
        )

    def write(self, plan: Plan, site: WritableSite) -> Written:
        """See ``Action.write``."""
        return write_steps(plan, site, [Step(self.feature, *self.state.call)])


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveRollout(SetsState):
    """Move a gradual rollout from the percentage that was judged to another one.

    Attributes:
        feature: its name, such as ENHANCED_CACHE.
        from_percentage: that was judged, 0..100; the flag must still have it.
        to_percentage: 0..100, whole; the flag stays gradual, at 100 % as well.
        accept_volatile: set it even where flags are kept in the cache and fall back by themselves.
    """

    name: ClassVar[str] = "move_rollout"
    words: ClassVar[str] = "move the rollout of {feature} from {from_percentage} % to {to_percentage} %"
    from_percentage: int
    to_percentage: int

    def __post_init__(self) -> None:
        """Raises UsageError for what can be no move."""
        SetsState.__post_init__(self)
        require_percentage(self.from_percentage)
        require_percentage(self.to_percentage)
        if self.from_percentage == self.to_percentage:
            raise UsageError(f"from {self.from_percentage} % to {self.to_percentage} % is no move")

    @property
    def state(self) -> FlagState:
        """Gradual."""
        return FlagState("gradual", self.to_percentage)

    def plan(self, site: Site) -> Plan:
        """See ``Action.plan``."""
        plan = SetsState.plan(self, site)
        return dataclasses.replace(plan, guards=(*plan.guards, self._as_judged(plan)))

    def _as_judged(self, plan: Plan) -> Guard:
        now = expected_of(plan.rests_on, self.feature)
        found = FlagState(str(now["strategy"]), float(now["percentage"]))
        holds = found == FlagState("gradual", self.from_percentage)
        name = f"the flag still has the {self.from_percentage} % that was judged"
        hint = "" if holds else "look who changed it: runbooks log; a rollout goes on from what it judged itself"
        return Guard(name, holds, found.shown, hint)


def _alone(campaign: Campaign | None, feature: str) -> Guard:
    """No campaign of the feature is current; one that is paused holds no lock, and is one nevertheless."""
    if campaign is None:
        return Guard("no other rollout of this feature is under way", holds=True)
    hint = f"end that one first: runbooks rollout abort {feature} --environment {campaign.environment} --reason …"
    return Guard("no other rollout of this feature is under way", holds=False, detail=shown_state(campaign), hint=hint)


def _unattended(feature: str, terms: Mapping[str, Any], now: datetime) -> tuple[Evidence, ...]:
    """What may be done without a person once this is approved: when at the earliest, and what takes it back."""
    stages, soak = terms["stages"], terms["soak_seconds"]
    each = [
        Evidence(f"stage {percentage} %", f"{units.timestamp(now + number * timedelta(seconds=soak))} at the earliest")
        for number, percentage in enumerate(stages)
    ]
    done = units.timestamp(now + len(stages) * timedelta(seconds=soak))
    action = rollback_action(terms, feature)
    features = ", ".join(GUIDE_FEATURES) if action == "roll_back_features" else feature
    look = units.duration(terms["look_seconds"])
    return (
        *each,
        Evidence("complete", f"{done} at the earliest"),
        Evidence(
            "unattended, up", f"one stage further after {units.duration(soak)} healthy and observed; looks: {look}"
        ),
        Evidence(
            "unattended, down", f"{action} on known harm: {features} off, or {feature} alone; also when a person aborts"
        ),
        Evidence("false rollback", f"probability {terms['alpha']:g} at most over the whole rollout"),
    )
