"""Extra traffic that faults add on top of the healthy mix, by kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sandbox.errors import UsageError
from sandbox.traffic.plan import Request, Visitors, bot_address
from sandbox.traffic.profile import DETAILS, ENDPOINTS


def missing_ids(visitors: Visitors, stream: Mapping[str, Any]) -> Request:
    """A bot of a crowd asks for a random id that does not exist.

    The bots share a work list: each id is asked for several times within seconds, by different bots, and then never
    again. The first lookup of an id is a miss, the others find its NULL_VALUE.

    Args:
        visitors: source of randomness and of paths.
        stream: ``addresses`` (how many bots), ``lowest_id``, ``highest_id``, ``asks_per_id``, ``user_agent``.
    """
    dice, recent = visitors.dice, visitors.recent_missing
    if not recent or dice.random() < 1 / stream["asks_per_id"]:
        recent.append(dice.randint(stream["lowest_id"], stream["highest_id"]))
    headers = {
        "X-Forwarded-For": bot_address(dice.randrange(stream["addresses"])),
        "User-Agent": stream["user_agent"],
    }
    number = dice.choice(recent)
    return Request(ENDPOINTS[DETAILS[number % len(DETAILS)]].path.format(number), headers)


def one_endpoint(visitors: Visitors, stream: Mapping[str, Any]) -> Request:
    """An ordinary visitor asks one endpoint, for a popular thing.

    Args:
        visitors: draws visitor and thing.
        stream: ``endpoint``, a name of ``profile.ENDPOINTS``.
    """
    return visitors.view(stream["endpoint"])


def healthy_read(visitors: Visitors, stream: Mapping[str, Any]) -> Request:
    """An ordinary visitor reads something of the healthy mix; ``stream`` says nothing more."""
    del stream
    return visitors.read()


def staff_write(visitors: Visitors, stream: Mapping[str, Any]) -> Request:
    """Staff changes a title; ``stream`` says nothing more."""
    del stream
    return visitors.write()


KINDS: Mapping[str, Callable[[Visitors, Mapping[str, Any]], Request]] = {
    "missing_ids": missing_ids,
    "one_endpoint": one_endpoint,
    "healthy_read": healthy_read,
    "staff_write": staff_write,
}


def make_request(visitors: Visitors, stream: Mapping[str, Any]) -> Request:
    """Make one request of a stream.

    Raises:
        UsageError: the kind is unknown.
    """
    kind = KINDS.get(stream["kind"])
    if kind is None:
        raise UsageError(f"Unknown kind of traffic {stream['kind']!r}. Known: {', '.join(KINDS)}.")
    return kind(visitors, stream)
