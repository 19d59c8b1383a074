"""Every action by name. Commands, undos and checks are written as text, so an action can be made from text again."""

from __future__ import annotations

import dataclasses
import difflib
import inspect
import re
import shlex
from collections.abc import Mapping
from importlib import import_module
from typing import Any, cast

import msgspec

from runbooks_lib.actions.action import Action
from runbooks_lib.actions.plan import Command
from runbooks_lib.errors import UsageError
from runbooks_lib.redaction import one_line

#: Name → module and class. Modules are imported when an action is made: most commands need none, or one.
ACTIONS: Mapping[str, tuple[str, str]] = {
    "enable_feature": ("flags.feature", "EnableFeature"),
    "disable_feature": ("flags.feature", "DisableFeature"),
    "set_percentage": ("flags.feature", "SetPercentage"),
    "add_to_whitelist": ("flags.feature", "AddToWhitelist"),
    "remove_from_whitelist": ("flags.feature", "RemoveFromWhitelist"),
    "start_rollout": ("flags.rollout", "StartRollout"),
    "move_rollout": ("flags.rollout", "MoveRollout"),
    "roll_back_features": ("flags.feature_sets", "RollBackFeatures"),
    "fall_back_to_page_cache": ("flags.feature_sets", "FallBackToPageCache"),
    "restore_features": ("flags.feature_sets", "RestoreFeatures"),
    "trigger_warming": ("warming.actions", "TriggerWarming"),
    "remove_warming_lock": ("warming.actions", "RemoveWarmingLock"),
    "remove_warming_statistics": ("warming.actions", "RemoveWarmingStatistics"),
    "restore_warming_statistics": ("warming.actions", "RestoreWarmingStatistics"),
    "clear_pattern": ("keys.clearing", "ClearPattern"),
    "clear_all": ("keys.clearing", "ClearAll"),
    "expire_keys": ("keys.expiry", "ExpireKeys"),
    "reset_throttle": ("throttling", "ResetThrottle"),
    "tune_redis": ("redis_settings", "TuneRedis"),
    "back_up": ("backup.back_up", "BackUp"),
}

_TYPES = {"int": "a whole number", "float": "a number", "bool": "true or false", "str": "a text"}


def action_class(name: str) -> type[Any]:
    """The class of an action.

    Raises:
        UsageError: there is no such action.
    """
    if name not in ACTIONS:
        close = difflib.get_close_matches(name, ACTIONS, n=1)
        meant = f"; did you mean {close[0]}?" if close else ""
        raise UsageError(f"there is no action {name[:80]!r}{meant}", hint=f"actions: {', '.join(ACTIONS)}")
    module, class_name = ACTIONS[name]
    return cast("type[Any]", getattr(import_module(f"runbooks_lib.actions.{module}"), class_name))


def make_action(name: str, parameters: Mapping[str, Any]) -> Action:
    """An action with its parameters.

    Args:
        name: out of ``ACTIONS``.
        parameters: typed values, or texts as they come from a command line.

    Raises:
        UsageError: there is no such action, a parameter is missing, unknown, or not what the action takes.
    """
    kind = action_class(name)
    fields = [field.name for field in dataclasses.fields(kind)]
    unknown = sorted(parameters.keys() - set(fields))
    if unknown:
        raise UsageError(
            f"{name} takes no parameter {unknown[0][:80]!r}", hint=f"it takes: {', '.join(fields) or 'none'}"
        )
    try:
        return cast("Action", msgspec.convert(dict(parameters), kind, strict=False))
    except msgspec.ValidationError as error:
        raise _wrong(name, kind, parameters, error) from error


def _wrong(name: str, kind: type[Any], parameters: Mapping[str, Any], error: msgspec.ValidationError) -> UsageError:
    """Which parameter, its value, and what it takes; msgspec names only a path."""
    found = re.search(r"`\$\.(\w+)", str(error))
    missing = re.search(r"missing required field `(\w+)`", str(error))
    if missing:
        return UsageError(f"{name} needs {missing[1]}", hint=f"{missing[1]}: {expected(kind, missing[1])}")
    if not found or found[1] not in parameters:
        return UsageError(f"{name}: {error}", hint="what it takes: runbooks change " + name)
    parameter = found[1]
    value = one_line(str(parameters[parameter]), longest=80)
    return UsageError(
        f"{name}: {parameter} {value!r} is not {_type_words(kind, parameter)}",
        hint=f"{parameter}: {expected(kind, parameter)}",
    )


def expected(kind: type[Any], parameter: str) -> str:
    """What a parameter takes, in the words of the action's docstring."""
    _, _, attributes = inspect.cleandoc(kind.__doc__ or "").partition("Attributes:")
    found = re.search(rf"(?m)^    {re.escape(parameter)}: (.*(?:\n     +.*)*)", attributes)
    return " ".join(found[1].split()) if found else _type_words(kind, parameter)


def _type_words(kind: type[Any], parameter: str) -> str:
    """``a whole number``; the type's own name where there are no words for it."""
    found = next((str(field.type) for field in dataclasses.fields(kind) if field.name == parameter), "")
    return _TYPES.get(found, found or "what it takes")


def command_line(command: Command, environment: str, *, confirm: str = "") -> str:
    """The command that plans this action, ready to paste; nothing in it can be taken for shell syntax."""
    words = ["runbooks", "change", command.action, "--environment", environment]
    for name, value in command.parameters.items():
        text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
        words += ["-p", f"{name}={text}"]
    return shlex.join([*words, *(["--confirm", confirm] if confirm else [])])
