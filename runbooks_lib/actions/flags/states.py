"""How a feature flag can stand, and the call of the site's flag service that makes it stand so."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runbooks_lib.actions.plan import Command
from runbooks_lib.errors import UsageError
from runbooks_lib.facts import Flag, FlagService

#: Not in the contract's list of methods; a site that has it can bring back ``whitelist`` and ``beta`` as well.
SET_STRATEGY = "set_strategy"
_STRATEGIES = frozenset({"on", "off", "gradual", "whitelist", "beta"})
_LONGEST_NAME = 100
_FEATURES_MAX = 50


@dataclass(frozen=True, slots=True)
class FlagState:
    """Strategy, and for ``gradual`` the percentage 0..100 of the users, as exact as the site has it."""

    strategy: str
    percentage: float = 0

    @property
    def shown(self) -> str:
        """``on``, ``off``, ``gradual, 12.5 %``."""
        return f"gradual, {percent_shown(self.percentage)}" if self.strategy == "gradual" else self.strategy

    @property
    def served_percent(self) -> float:
        """The share of the public that gets the feature, 0..100; those on a whitelist and staff come on top."""
        return {"on": 100, "gradual": self.percentage}.get(self.strategy, 0)

    @property
    def is_fractional(self) -> bool:
        """Is it a percentage that ``set_percentage`` does not take? It takes whole numbers."""
        return self.strategy == "gradual" and self.percentage != int(self.percentage)

    @property
    def call(self) -> tuple[str, tuple[Any, ...]]:
        """The method of the flag service that sets it so, with its arguments."""
        if self.strategy == "gradual":
            return "set_percentage", (int(self.percentage),)
        simple = {"on": "enable_feature", "off": "disable_feature"}.get(self.strategy)
        return (simple, ()) if simple else (SET_STRATEGY, (self.strategy,))

    def as_data(self) -> dict[str, Any]:
        """For the parameter of ``restore_features``."""
        return {"strategy": self.strategy, "percentage": int(self.percentage)}


ON, OFF = FlagState("on", 100), FlagState("off", 0)


def state_of(flag: Flag) -> FlagState:
    """How a flag stands."""
    return FlagState(flag.strategy, flag.percentage)


def percent_shown(percentage: float) -> str:
    """``25 %``, ``12.5 %``: every digit that the site has."""
    return f"{int(percentage) if percentage == int(percentage) else percentage} %"


def is_so(flag: Flag | None, state: FlagState) -> bool:
    """Does the flag stand so? What a percentage says under another strategy than ``gradual`` is not looked at."""
    if flag is None or flag.strategy != state.strategy:
        return False
    return state.strategy != "gradual" or flag.percentage == state.percentage


def can_set(state: FlagState, service: FlagService) -> bool:
    """Has the site a method that sets exactly this?"""
    return not state.is_fractional and (state.call[0] != SET_STRATEGY or SET_STRATEGY in service.methods)


def restoring(flags: Mapping[str, Flag], *, accept_volatile: bool) -> Command:
    """The action that sets several flags as they are now."""
    states = {name: state_of(flag).as_data() for name, flag in sorted(flags.items())}
    parameters: dict[str, Any] = {"states": json.dumps(states, separators=(",", ":"))}
    return Command("restore_features", {**parameters, **({"accept_volatile": True} if accept_volatile else {})})


def restoring_one(feature: str, flag: Flag, *, accept_volatile: bool) -> Command:
    """The action that sets one flag as it is now."""
    state = state_of(flag)
    method, arguments = state.call
    if method == SET_STRATEGY:
        return restoring({feature: flag}, accept_volatile=accept_volatile)
    parameters: dict[str, Any] = {"feature": feature}
    if arguments:
        parameters["percentage"] = arguments[0]
    return Command(method, {**parameters, **({"accept_volatile": True} if accept_volatile else {})})


def require_name(feature: object) -> None:
    """A feature's name can be anything printable; whether the site has such a feature is asked later.

    Raises:
        UsageError: it is empty, too long or not printable.
    """
    if not isinstance(feature, str) or not feature.strip() or len(feature) > _LONGEST_NAME or not feature.isprintable():
        raise UsageError(
            f"feature {str(feature)[:60]!r} is not the name of a feature", hint="give a name such as ENHANCED_CACHE"
        )


def require_percentage(percentage: object) -> None:
    """A whole number 0..100.

    Raises:
        UsageError: it is not.
    """
    if isinstance(percentage, bool) or not isinstance(percentage, int) or not 0 <= percentage <= 100:
        raise UsageError(
            f"percentage {str(percentage)[:60]!r} is not a whole number in 0..100",
            hint="0 serves nobody, 100 everybody",
        )


def parse_states(text: str) -> dict[str, FlagState]:
    """``{"ENHANCED_CACHE": {"strategy": "gradual", "percentage": 25}}`` → states by feature.

    Raises:
        UsageError: it is something else.
    """
    hint = 'expected is {"FEATURE": {"strategy": "on|off|gradual|whitelist|beta", "percentage": 0..100}}'
    try:
        parsed = json.loads(text)
    except (ValueError, TypeError, RecursionError) as error:
        raise UsageError(f"states is not JSON: {str(text)[:80]!r}", hint=hint) from error
    if not isinstance(parsed, dict) or not 0 < len(parsed) <= _FEATURES_MAX:
        raise UsageError(f"states is not a table of 1 to {_FEATURES_MAX} features: {text[:80]!r}", hint=hint)
    states = {}
    for name, value in parsed.items():
        require_name(name)
        strategy = value.get("strategy") if isinstance(value, dict) else None
        if strategy not in _STRATEGIES:
            raise UsageError(f"states: the strategy of {name!r} is {str(strategy)[:40]!r}", hint=hint)
        percentage = value.get("percentage", 0)
        require_percentage(percentage)
        states[name] = FlagState(strategy, percentage)
    return states
