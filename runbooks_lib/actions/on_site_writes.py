"""The program that changes something inside the site. Its text is sent to ``manage.py shell``; nothing here imports it.

Standard library, Django and the site's own code only; Python 3.8 and later. It calls the methods of the flag service
that the contract names, and the command ``warm_cache``; names and values are looked up or passed on, never run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from runbooks_lib.sources.site.on_site_shared import feature_named, plain, said

METHODS = (
    "enable_feature",
    "disable_feature",
    "set_percentage",
    "set_strategy",
    "add_to_whitelist",
    "remove_from_whitelist",
)
STRATEGIES = ("startup", "scheduled")


def answer(data: Mapping[str, Any]) -> Any:
    """Carry out one order: ``{"steps": […]}`` for flags, ``{"warm": strategy}`` for a warming run. JSON types only."""
    return plain(start_warming(data["warm"]) if "warm" in data else change_flags(data["steps"]))


def change_flags(steps: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Check that every flag still is as planned, then take the steps in their order.

    Everything that is read is read before the first step, so that nothing but a step can fail after it. The steps are
    not one transaction, on purpose: in an emergency the first of them must not wait for the last.

    Returns:
        ``unread``: why the flags could not be looked at, ``differs``: feature → how it is instead, where nothing was
        done for that reason; ``done``: the steps taken, by number; ``error``: why the next one was not;
        ``copy_seconds``: how long other processes keep a copy.
    """
    result: dict[str, Any] = {"unread": "", "differs": {}, "done": [], "error": "", "copy_seconds": None}
    try:
        result["copy_seconds"] = plain(copy_seconds())
        result["differs"] = differing(steps)
    except Exception as error:  # noqa: BLE001 - whatever the site's code raises is the answer
        return {**result, "unread": said(error)}
    if result["differs"]:
        return result
    for number, step in enumerate(steps):
        try:
            take(step)
        except Exception as error:  # noqa: BLE001 - whatever the site's code raises is the answer
            result["error"] = said(error)
            break
        result["done"].append(number)
    return result


def copy_seconds() -> Any:
    """The setting FEATURE_FLAG_CACHE_SECONDS, as the site has it."""
    from django.conf import settings  # type: ignore[import-not-found,import-untyped,unused-ignore]

    return getattr(settings, "FEATURE_FLAG_CACHE_SECONDS", None)


def differing(steps: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Feature → how it is, for those that are not as planned."""
    found = {}
    for step in steps:
        now = state_of(step["feature"])
        if any(value is not None and now[name] != value for name, value in step["expected"].items()):
            found[step["feature"]] = now
    return found


def take(step: Mapping[str, Any]) -> None:
    """One call of the flag service."""
    from common.feature_flags import FeatureFlagService  # type: ignore[import-not-found,import-untyped,unused-ignore]

    if step["method"] not in METHODS:
        raise ValueError("not a method that changes flags")
    getattr(FeatureFlagService, step["method"])(feature_named(step["feature"]), *step["arguments"])


def state_of(feature: str) -> dict[str, Any]:
    """Strategy, percentage and length of the whitelist, as the service states them."""
    from common.feature_flags import FeatureFlagService  # type: ignore[import-not-found,import-untyped,unused-ignore]

    status = plain(FeatureFlagService.get_feature_status(feature_named(feature)))
    return {
        "strategy": str(status["strategy"]).lower(),
        "percentage": status["percentage"],
        "whitelist_count": status.get("whitelist_count"),
    }


def start_warming(strategy: str) -> dict[str, Any]:
    """Hand one run to the task worker, whose metrics then show it."""
    from django.core.management import call_command  # type: ignore[import-not-found,import-untyped,unused-ignore]

    if strategy not in STRATEGIES:
        raise ValueError("not a warming strategy")
    call_command("warm_cache", strategy, "--queue")
    return {"queued": strategy}
