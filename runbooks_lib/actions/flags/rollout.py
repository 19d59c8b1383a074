"""A gradual rollout of one feature: its start, which is what people approve, and each of its moves."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar

from runbooks_lib import units
from runbooks_lib.actions.action import Written
from runbooks_lib.actions.flags.plans import Change, expected_of, plan_states
from runbooks_lib.actions.flags.read_back import read_states_back
from runbooks_lib.actions.flags.states import FlagState, require_name, require_percentage
from runbooks_lib.actions.flags.writes import Step, write_states, write_steps
from runbooks_lib.actions.outcome import ReadBack
from runbooks_lib.actions.plan import Guard, Plan
from runbooks_lib.actions.site import Site, WritableSite
from runbooks_lib.errors import UsageError
from runbooks_lib.model import Evidence
from runbooks_lib.records.campaign import Campaign
from runbooks_lib.records.campaign_find import current_campaign
from runbooks_lib.records.campaign_rules import shown_state
from runbooks_lib.records.campaign_terms import GUIDE_FEATURES, rollback_action, terms_of
from runbooks_lib.records.ledger import Ledger


@dataclass(frozen=True, slots=True, kw_only=True)
class StartRollout:
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
    feature: str
    stages: str = "0,10,25,50,75,100"
    soak: str = "24h"
    look: str = "1h"
    rollback: str = "auto"
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
    accept_volatile: bool = False

    def __post_init__(self) -> None:
        """Raises UsageError for what can be no rollout."""
        require_name(self.feature)
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

    def resources(self) -> tuple[str, ...]:
        """The flag."""
        return (f"flag:{self.feature}",)

    def ledger_guards(self, ledger: Ledger, environment: str) -> tuple[Guard, ...]:
        """See ``action.AsksLedger``."""
        return (_alone(current_campaign(ledger, environment, self.feature), self.feature),)

    def plan(self, site: Site) -> Plan:
        """See ``Action.plan``."""
        stages = " → ".join(map(str, self.terms["stages"]))
        change = Change(
            self.name,
            f"roll {self.feature} out step by step: {stages} % of the users",
            dataclasses.asdict(self),
            {self.feature: self.state},
            self.accept_volatile,
        )
        plan = plan_states(change, site)
        # Also where the flag stands so already: what is started, and approved, is what follows.
        return dataclasses.replace(
            plan, no_op=False, blast_radius=(*plan.blast_radius, *_unattended(self.feature, self.terms, plan.read_at))
        )

    def write(self, plan: Plan, site: WritableSite) -> Written:
        """See ``Action.write``."""
        return write_steps(plan, site, [Step(self.feature, *self.state.call)])

    def read_back(self, plan: Plan, site: Site, written: Mapping[str, Any]) -> ReadBack:  # noqa: ARG002 - what it must be stands in the action
        """See ``Action.read_back``."""
        return read_states_back(site, {self.feature: self.state}, written)


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveRollout:
    """Move a gradual rollout from the percentage that was judged to another one.

    Attributes:
        feature: its name, such as ENHANCED_CACHE.
        from_percentage: that was judged, 0..100; the flag must still have it.
        to_percentage: 0..100, whole; the flag stays gradual, at 100 % as well.
        accept_volatile: set it even where flags are kept in the cache and fall back by themselves.
    """

    name: ClassVar[str] = "move_rollout"
    feature: str
    from_percentage: int
    to_percentage: int
    accept_volatile: bool = False

    def __post_init__(self) -> None:
        """Raises UsageError for what can be no move."""
        require_name(self.feature)
        require_percentage(self.from_percentage)
        require_percentage(self.to_percentage)
        if self.from_percentage == self.to_percentage:
            raise UsageError(f"from {self.from_percentage} % to {self.to_percentage} % is no move")

    @property
    def state(self) -> FlagState:
        """Gradual."""
        return FlagState("gradual", self.to_percentage)

    def resources(self) -> tuple[str, ...]:
        """The flag."""
        return (f"flag:{self.feature}",)

    def plan(self, site: Site) -> Plan:
        """See ``Action.plan``."""
        title = f"move the rollout of {self.feature} from {self.from_percentage} % to {self.to_percentage} %"
        intent = dataclasses.asdict(self)
        plan = plan_states(Change(self.name, title, intent, {self.feature: self.state}, self.accept_volatile), site)
        return dataclasses.replace(plan, guards=(*plan.guards, self._as_judged(plan)))

    def _as_judged(self, plan: Plan) -> Guard:
        now = expected_of(plan.rests_on, self.feature)
        found = FlagState(str(now["strategy"]), float(now["percentage"]))
        holds = found == FlagState("gradual", self.from_percentage)
        name = f"the flag still has the {self.from_percentage} % that was judged"
        hint = "" if holds else "look who changed it: runbooks log; a rollout goes on from what it judged itself"
        return Guard(name, holds, found.shown, hint)

    def write(self, plan: Plan, site: WritableSite) -> Written:
        """See ``Action.write``."""
        return write_states(plan, site, {self.feature: self.state})

    def read_back(self, plan: Plan, site: Site, written: Mapping[str, Any]) -> ReadBack:  # noqa: ARG002 - what it must be stands in the action
        """See ``Action.read_back``."""
        return read_states_back(site, {self.feature: self.state}, written)


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
