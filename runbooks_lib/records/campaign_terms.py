"""What a gradual rollout was allowed to do, read from the parameters of ``start_rollout`` as they were approved."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

from runbooks_lib import units
from runbooks_lib.errors import UsageError
from runbooks_lib.policy import Policy
from runbooks_lib.redaction import one_line
from runbooks_lib.rollout_policy import STAGES, RolloutPolicy

#: Guide, Rolling Back Changes: the features that it switches off together.
GUIDE_FEATURES = ("ENHANCED_CACHE", "CACHE_WARMING", "RATE_LIMITING")
ROLLBACKS = ("auto", "guide", "feature")
_STAGES_MAX = 50
#: Of a stage that goes well: one every five minutes of a day, and a few.
LOOKS_MAX = 300
#: How long a stage soaks and a look is where nothing else is asked for.
SOAK, LOOK = "24h", "1h"
_DURATION_HINT = "write it such as 90s, 15m, 2h or 7d"

#: Field of ``RolloutPolicy`` → its lowest and highest value; whole where its default is.
LIMITS: Mapping[str, tuple[float, float]] = {
    "alpha": (1e-6, 0.5),
    "confirm_looks": (1, 100),
    "pass_looks": (1, 1_000),
    "escalate_looks": (1, 1_000),
    "min_requests": (1, 1e9),
    "min_window_requests": (1, 1e9),
    "min_window_lookups": (1, 1e9),
    "min_observed_ratio": (0.01, 1.0),
    "exposure_points": (0.01, 100.0),
    "error_ratio_tolerance": (1.0, 100.0),
    "tail_ratio_tolerance": (1.0, 100.0),
    "hit_drop_points": (0.0, 100.0),
    "plateau_points": (0.0, 100.0),
    "plateau_looks": (0, 1_000),
    "far_beyond_ratio": (0.0, 100.0),
}


def defaults() -> dict[str, Any]:
    """The values of ``LIMITS`` that hold where nothing else is asked for."""
    return {field.name: field.default for field in dataclasses.fields(RolloutPolicy) if field.name in LIMITS}


def terms_of(intent: Mapping[str, Any]) -> dict[str, Any]:
    """The terms of a campaign.

    Args:
        intent: the parameters of ``start_rollout``; what is left out has its default. Durations are not scaled: who
            reads ``24h`` in a plan gets 24 hours, in a sandbox as well.

    Returns:
        ``stages``, ``soak_seconds``, ``look_seconds``, ``rollback``, ``accept_volatile``, and everything in ``LIMITS``.

    Raises:
        UsageError: one of them cannot be; it is named with its value.
    """
    soak, look = (_seconds(name, intent.get(name, usual)) for name, usual in (("soak", SOAK), ("look", LOOK)))
    if look > soak:
        raise UsageError(
            f"look {units.duration(look)} is longer than soak {units.duration(soak)}",
            hint="a stage soaks for one look at least",
        )
    if soak > LOOKS_MAX * look:
        raise UsageError(
            f"soak {units.duration(soak)} has more than {LOOKS_MAX} looks of {units.duration(look)}",
            hint="each look is kept and read again at every later one: make look longer",
        )
    usual = defaults()
    return {
        "stages": _stages(intent.get("stages", ",".join(map(str, STAGES)))),
        "soak_seconds": soak,
        "look_seconds": look,
        "rollback": _rollback(intent.get("rollback", "auto"), intent.get("feature")),
        "accept_volatile": intent.get("accept_volatile", False) is True,
        **{name: _limit(name, intent.get(name, usual[name]), usual[name]) for name in LIMITS},
    }


def policy_from(terms: Mapping[str, Any], thresholds: Policy) -> RolloutPolicy:
    """The policy that these terms make.

    Args:
        terms: as ``terms_of`` gives them.
        thresholds: of the environment.
    """
    return RolloutPolicy(
        thresholds=thresholds,
        stages=tuple(terms["stages"]),
        soak_seconds=terms["soak_seconds"],
        look_seconds=terms["look_seconds"],
        **{name: terms[name] for name in LIMITS},
    )


def rollback_action(terms: Mapping[str, Any], feature: str) -> str:
    """The action that takes the feature away again: ``roll_back_features`` or ``disable_feature``."""
    guide = terms["rollback"] == "guide" or (terms["rollback"] == "auto" and feature == GUIDE_FEATURES[0])
    return "roll_back_features" if guide else "disable_feature"


def _stages(text: object) -> tuple[int, ...]:
    words = [word.strip() for word in text.split(",")] if isinstance(text, str) else []
    hint = "give whole percentages 0..100 that rise, such as 0,10,25,50,75,100; the last is the goal"
    if not 0 < len(words) <= _STAGES_MAX or not all(w.isascii() and w.isdecimal() and len(w) <= 3 for w in words):
        raise UsageError(f"stages {_shown(text)} are not whole percentages", hint=hint)
    stages = tuple(map(int, words))
    if stages[-1] > 100 or any(later <= one for one, later in pairwise(stages)):
        raise UsageError(f"stages {_shown(text)} do not rise from 0 to 100 at most", hint=hint)
    if stages[-1] == 0:
        raise UsageError(f"stages {_shown(text)} end at 0 %: nobody would get the feature", hint=hint)
    return stages


def _seconds(name: str, text: object) -> float:
    found = units.parse_duration(text) if isinstance(text, str) else None
    if found is None:
        raise UsageError(f"{name} {_shown(text)} is not a duration", hint=_DURATION_HINT)
    return found


def _rollback(value: object, feature: object) -> str:
    if not isinstance(value, str) or value not in ROLLBACKS:
        raise UsageError(f"rollback {_shown(value)} is not one of {', '.join(ROLLBACKS)}", hint="leave it on auto")
    if value == "guide" and feature not in GUIDE_FEATURES:
        raise UsageError(
            f"rollback guide switches off {', '.join(GUIDE_FEATURES)}, and would leave {_shown(feature)} on",
            hint="choose rollback feature",
        )
    return value


def _limit(name: str, value: object, usual: float) -> float:
    lowest, highest = LIMITS[name]
    kind: Callable[[object], bool] = _is_whole if isinstance(usual, int) else _is_number
    if not kind(value) or not lowest <= float(value) <= highest:  # type: ignore[arg-type]  # ``kind`` has looked
        whole = "a whole number" if isinstance(usual, int) else "a number"
        raise UsageError(f"{name} {_shown(value)} is not {whole} in {lowest:g}..{highest:g}", hint=f"usual: {usual}")
    return int(value) if isinstance(usual, int) else float(value)  # type: ignore[call-overload,arg-type]  # the same


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _shown(value: object) -> str:
    return repr(one_line(str(value), longest=80))
