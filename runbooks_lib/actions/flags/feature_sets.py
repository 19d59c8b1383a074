"""Change several feature flags in one plan: the guide's rollback, and its fallback in a severity 1 incident."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from runbooks_lib.actions.action import Written
from runbooks_lib.actions.flags.plans import Change, plan_states
from runbooks_lib.actions.flags.read_back import read_steps_back
from runbooks_lib.actions.flags.states import OFF, ON, FlagState, parse_states
from runbooks_lib.actions.flags.writes import write_states
from runbooks_lib.actions.outcome import ReadBack
from runbooks_lib.actions.plan import Plan
from runbooks_lib.actions.site import Site, WritableSite
from runbooks_lib.records.campaign_terms import GUIDE_FEATURES

#: Guide, Rolling Back Changes; in its order.
ROLLED_BACK = dict.fromkeys(GUIDE_FEATURES, OFF)
#: Guide, Severity 1. The fallback comes first: killed between the two, a site has both and not neither.
FALLEN_BACK = {"PAGE_CACHE": ON, "ENHANCED_CACHE": OFF}


@dataclass(frozen=True, slots=True, kw_only=True)
class _SeveralFlags:
    """What all actions on several flags share."""

    name: ClassVar[str]
    #: How the flags shall stand, in the order in which they are written.
    aims: ClassVar[Mapping[str, FlagState]]
    accept_volatile: bool = False

    @property
    def wanted(self) -> Mapping[str, FlagState]:
        """How the flags shall stand, in the order in which they are written."""
        return self.aims

    def resources(self) -> tuple[str, ...]:
        """The flags."""
        return tuple(sorted(f"flag:{name}" for name in self.wanted))

    def write(self, plan: Plan, site: WritableSite) -> Written:
        """See ``Action.write``."""
        return write_states(plan, site, self.wanted)

    def read_back(self, plan: Plan, site: Site, written: Mapping[str, Any]) -> ReadBack:
        """See ``Action.read_back``."""
        # Without the features that the site does not have.
        states = {name: state for name, state in self.wanted.items() if f"{name}.strategy" in plan.rests_on}
        return read_steps_back(site, states, written)

    def _planned(self, site: Site, title: str, optional: frozenset[str] = frozenset()) -> Plan:
        intent = dataclasses.asdict(self)
        return plan_states(Change(self.name, title, intent, self.wanted, self.accept_volatile, optional), site)


@dataclass(frozen=True, slots=True, kw_only=True)
class RollBackFeatures(_SeveralFlags):
    """Switch off the three features that the guide lists: enhanced cache, warming, rate limiting.

    Attributes:
        accept_volatile: set them even where flags are kept in the cache and fall back by themselves.
    """

    name: ClassVar[str] = "roll_back_features"
    aims: ClassVar[Mapping[str, FlagState]] = ROLLED_BACK

    def plan(self, site: Site) -> Plan:
        """See ``Action.plan``."""
        optional = frozenset(ROLLED_BACK) - {"ENHANCED_CACHE"}
        plan = self._planned(site, "switch off the three features that the guide lists", optional)
        return dataclasses.replace(plan, notes=(*plan.notes, _still_on(plan)))

    def read_back(self, plan: Plan, site: Site, written: Mapping[str, Any]) -> ReadBack:
        """See ``Action.read_back``."""
        found = _SeveralFlags.read_back(self, plan, site, written)
        return dataclasses.replace(found, detail=f"{found.detail} {_still_on(plan)}") if found.confirmed else found


@dataclass(frozen=True, slots=True, kw_only=True)
class FallBackToPageCache(_SeveralFlags):
    """Severity 1: switch the page cache on and the enhanced cache off. Works while Redis is down.

    Attributes:
        accept_volatile: set them even where flags are kept in the cache and fall back by themselves.
    """

    name: ClassVar[str] = "fall_back_to_page_cache"
    aims: ClassVar[Mapping[str, FlagState]] = FALLEN_BACK

    def plan(self, site: Site) -> Plan:
        """See ``Action.plan``."""
        return self._planned(site, "fall back to the page cache")


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreFeatures(_SeveralFlags):
    """Set several features as they were; what a rollback shows as its undo.

    Attributes:
        states: JSON text, ``{"ENHANCED_CACHE": {"strategy": "gradual", "percentage": 25}}``.
        accept_volatile: set them even where flags are kept in the cache and fall back by themselves.
    """

    name: ClassVar[str] = "restore_features"
    states: str

    def __post_init__(self) -> None:
        """Raises UsageError for a text that is not states by feature."""
        parse_states(self.states)

    @property
    def wanted(self) -> Mapping[str, FlagState]:
        """As the text says."""
        return parse_states(self.states)

    def plan(self, site: Site) -> Plan:
        """See ``Action.plan``."""
        return self._planned(
            site, f"set {', '.join(f'{name} to {state.shown}' for name, state in self.wanted.items())}"
        )


def _still_on(plan: Plan) -> str:
    """The features that the guide does not list, as they stood when it was planned."""
    on = [f"{item.name} ({item.value})" for item in plan.spared if item.value != OFF.shown]
    return f"Still on: {', '.join(on) or 'nothing'}."
