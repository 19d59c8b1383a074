"""Change one feature flag, through the site's own code."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from runbooks_lib import units
from runbooks_lib.actions.action import Written
from runbooks_lib.actions.flags.plans import (
    Change,
    answering,
    known_flag,
    plan_states,
    read_for,
    resting,
    scope_of,
    traffic,
)
from runbooks_lib.actions.flags.read_back import copy_seconds_of, read_states_back, served_by_metrics
from runbooks_lib.actions.flags.states import OFF, ON, FlagState, require_name, require_percentage, state_of
from runbooks_lib.actions.flags.store import guard_of
from runbooks_lib.actions.flags.writes import Step, write_states, write_steps
from runbooks_lib.actions.outcome import ReadBack
from runbooks_lib.actions.plan import Command, Plan
from runbooks_lib.actions.site import Site, WritableSite
from runbooks_lib.errors import UsageError
from runbooks_lib.facts import Flag
from runbooks_lib.model import Evidence

_LARGEST_ID = 2**63 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class OneFlag:
    """What all actions on one flag share."""

    name: ClassVar[str]
    feature: str
    accept_volatile: bool = False

    def __post_init__(self) -> None:
        """Raises UsageError for what can be no name."""
        require_name(self.feature)

    def resources(self) -> tuple[str, ...]:
        """The flag."""
        return (f"flag:{self.feature}",)


@dataclass(frozen=True, slots=True, kw_only=True)
class SetsState(OneFlag):
    """Makes the flag stand in a given way."""

    #: How the flag shall stand.
    aim: ClassVar[FlagState]
    #: What it does, in the infinitive, with the parameters in braces.
    words: ClassVar[str]

    @property
    def state(self) -> FlagState:
        """How the flag shall stand."""
        return self.aim

    def plan(self, site: Site) -> Plan:
        """See ``Action.plan``."""
        intent = dataclasses.asdict(self)
        title = self.words.format(**intent)
        return plan_states(Change(self.name, title, intent, {self.feature: self.state}, self.accept_volatile), site)

    def write(self, plan: Plan, site: WritableSite) -> Written:
        """See ``Action.write``."""
        return write_states(plan, site, {self.feature: self.state})

    def read_back(self, plan: Plan, site: Site, written: Mapping[str, Any]) -> ReadBack:  # noqa: ARG002 - what it must be stands in the action
        """See ``Action.read_back``."""
        return read_states_back(site, {self.feature: self.state}, written)


@dataclass(frozen=True, slots=True, kw_only=True)
class EnableFeature(SetsState):
    """Serve a feature to everybody.

    Attributes:
        feature: its name, such as ENHANCED_CACHE.
        accept_volatile: set it even where flags are kept in the cache and fall back by themselves.
    """

    name: ClassVar[str] = "enable_feature"
    aim: ClassVar[FlagState] = ON
    words: ClassVar[str] = "serve {feature} to everybody"


@dataclass(frozen=True, slots=True, kw_only=True)
class DisableFeature(SetsState):
    """Take a feature away from everybody, those on its whitelist included.

    Attributes:
        feature: its name, such as ENHANCED_CACHE.
        accept_volatile: set it even where flags are kept in the cache and fall back by themselves.
    """

    name: ClassVar[str] = "disable_feature"
    aim: ClassVar[FlagState] = OFF
    words: ClassVar[str] = "take {feature} away from everybody"


@dataclass(frozen=True, slots=True, kw_only=True)
class SetPercentage(SetsState):
    """Serve a feature to a share of the users; turns its strategy to gradual.

    Attributes:
        feature: its name, such as ENHANCED_CACHE.
        percentage: 0..100, whole.
        accept_volatile: set it even where flags are kept in the cache and fall back by themselves.
    """

    name: ClassVar[str] = "set_percentage"
    words: ClassVar[str] = "serve {feature} to {percentage} % of the users"
    percentage: int

    def __post_init__(self) -> None:
        """Raises UsageError for what can be no name and no percentage."""
        SetsState.__post_init__(self)
        require_percentage(self.percentage)

    @property
    def state(self) -> FlagState:
        """Gradual."""
        return FlagState("gradual", self.percentage)


@dataclass(frozen=True, slots=True, kw_only=True)
class _ChangesMembership(OneFlag):
    """Puts one user on a whitelist or takes one off; how the flag stands otherwise stays."""

    adding: ClassVar[bool]
    user_id: int

    def __post_init__(self) -> None:
        """Raises UsageError for what can be no name and no user."""
        OneFlag.__post_init__(self)
        _require_user(self.user_id)

    def plan(self, site: Site) -> Plan:
        """See ``Action.plan``."""
        return _plan_membership(self, site)

    def write(self, plan: Plan, site: WritableSite) -> Written:
        """See ``Action.write``."""
        return write_steps(plan, site, [Step(self.feature, self.name, (self.user_id,))])

    def read_back(self, plan: Plan, site: Site, written: Mapping[str, Any]) -> ReadBack:
        """See ``Action.read_back``."""
        return _read_membership_back(self, plan, site, written)


@dataclass(frozen=True, slots=True, kw_only=True)
class AddToWhitelist(_ChangesMembership):
    """Put one user on the whitelist of a feature.

    Attributes:
        feature: its name, such as ENHANCED_CACHE.
        user_id: 1 or more.
        accept_volatile: set it even where flags are kept in the cache and fall back by themselves.
    """

    name: ClassVar[str] = "add_to_whitelist"
    adding: ClassVar[bool] = True


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveFromWhitelist(_ChangesMembership):
    """Take one user off the whitelist of a feature.

    Attributes:
        feature: its name, such as ENHANCED_CACHE.
        user_id: 1 or more.
        accept_volatile: set it even where flags are kept in the cache and fall back by themselves.
    """

    name: ClassVar[str] = "remove_from_whitelist"
    adding: ClassVar[bool] = False


def _plan_membership(action: _ChangesMembership, site: Site) -> Plan:
    """One user more or less on a whitelist; how the flag stands otherwise stays."""
    readings = read_for(site, (action.feature,), user_id=action.user_id)
    flag, listed = known_flag(readings.service, action.feature), readings.service.whitelisted
    adding, intent = action.adding, dataclasses.asdict(action)
    verb = "put user {} on" if adding else "take user {} off"
    count = flag.whitelist_count
    after = None if count is None else count + (1 if adding else -1)
    return Plan(
        action=action.name,
        title=f"{verb.format(action.user_id)} the whitelist of {action.feature}",
        environment=site.environment.name,
        protected=site.environment.protected,
        scope=scope_of(site),
        intent=intent,
        rests_on={**resting({action.feature: flag}), "listed": listed},
        resources=action.resources(),
        read_at=readings.read_at,
        before=(
            Evidence("strategy", state_of(flag).shown),
            Evidence("on the whitelist", _listed(listed=listed, count=count)),
        ),
        after=(Evidence("on the whitelist", _listed(listed=adding, count=after)),),
        blast_radius=(Evidence("users", "1"), traffic(readings)),
        undo=Command("remove_from_whitelist" if adding else "add_to_whitelist", intent),
        guards=(answering(readings), guard_of(readings.store, accept_volatile=action.accept_volatile)),
        no_op=listed is adding,
        notes=_membership_notes(flag, listed=listed),
    )


def _read_membership_back(action: _ChangesMembership, plan: Plan, site: Site, written: Mapping[str, Any]) -> ReadBack:
    """By membership where the site can tell it, else by the number of users on the list."""
    wait = copy_seconds_of(written) + 0.1
    first, later = site.django.flags_twice(wait, feature=action.feature, user_id=action.user_id)
    adding = action.adding
    flags = [flag for flag in (first.named(action.feature), *later) if flag and flag.feature == action.feature]
    counts = [flag.whitelist_count for flag in flags]
    before = plan.rests_on.get(f"{action.feature}.whitelist_count")
    known = isinstance(before, int) and len(counts) == 2 and None not in counts
    moved = set(counts) == {before + (1 if adding else -1)} if known and before is not None else None
    right = moved if first.whitelisted is None else first.whitelisted is adding and (moved is not False or not written)
    state = state_of(flags[0]) if flags else OFF
    shown = _listed(listed=first.whitelisted, count=counts[0] if counts else None)
    evidence = (Evidence("read in a second process", shown), *served_by_metrics(site, {action.feature: state}, written))
    if right:
        return ReadBack(confirmed=True, evidence=evidence, detail=f"Done, and read back: {shown}.")
    detail = "this site cannot say who is on a whitelist" if right is None else f"on the whitelist: {shown}"
    return ReadBack(right, evidence, detail)


def _membership_notes(flag: Flag, *, listed: bool | None) -> tuple[str, ...]:
    notes = []
    if flag.strategy in ("off", "on", "beta"):
        notes.append(f"the strategy is {flag.strategy}: a whitelist counts under whitelist and gradual only")
    if listed is None:
        notes.append("this site cannot say who is on a whitelist: whether there is anything to do is not known")
    return tuple(notes)


def _listed(*, listed: bool | None, count: int | None) -> str:
    """``this user is not on it, 3 users are``."""
    who = {True: "this user is on it", False: "this user is not on it", None: "this user: not known"}[listed]
    return who if count is None else f"{who}; {units.things(count, 'user')} in all"


def _require_user(user_id: object) -> None:
    if isinstance(user_id, bool) or not isinstance(user_id, int) or not 0 < user_id <= _LARGEST_ID:
        raise UsageError(f"user_id {str(user_id)[:60]!r} is not a whole number over 0", hint="give the user's id")
