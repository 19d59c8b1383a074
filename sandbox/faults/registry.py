"""Every fault by name. To add one: write its two functions and put a ``Fault`` into ``ALL``."""

from __future__ import annotations

from collections.abc import Mapping

from sandbox.errors import UsageError
from sandbox.faults.model import Fault, Parameters
from sandbox.faults.stack import Stack


def _inject_penetration_attack(stack: Stack, parameters: Parameters) -> None:
    stack.add_traffic("penetration_attack", {"kind": "missing_ids", **parameters})


def _heal_penetration_attack(stack: Stack) -> None:
    stack.remove_traffic("penetration_attack")


def _inject_uncached_endpoint(stack: Stack, parameters: Parameters) -> None:
    stack.add_site_fault("uncached_endpoint", {"endpoint": parameters["endpoint"]})
    stack.add_traffic("uncached_endpoint", {"kind": "one_endpoint", **parameters})


def _heal_uncached_endpoint(stack: Stack) -> None:
    stack.remove_traffic("uncached_endpoint")
    stack.remove_site_fault("uncached_endpoint")


def _inject_redis_down(stack: Stack, parameters: Parameters) -> None:
    del parameters
    stack.stop_part("redis")


def _heal_redis_down(stack: Stack) -> None:
    stack.start_part("redis")


ALL = (
    Fault(
        name="penetration_attack",
        description="Bots from thousands of addresses ask for random ids that do not exist.",
        symptom="penetration rate over 20 % and rising penetration attempts, within 30 s",
        inject=_inject_penetration_attack,
        heal=_heal_penetration_attack,
        defaults={
            "rate_per_second": 30.0,
            "addresses": 4000,
            "lowest_id": 100_000_000,
            "highest_id": 2_000_000_000,
            "asks_per_id": 5,
            "user_agent": "Mozilla/5.0 (compatible; harvest-bot/2.1; +http://bot.example/)",
        },
    ),
    Fault(
        name="uncached_endpoint",
        description="A popular endpoint looks the cache up and never stores what it loaded.",
        symptom="hit rate under 60 %; course-recommendations misses always and has no keys, within 30 s",
        inject=_inject_uncached_endpoint,
        heal=_heal_uncached_endpoint,
        defaults={"rate_per_second": 45.0, "endpoint": "course-recommendations"},
    ),
    Fault(
        name="redis_down",
        description="The cache's redis-server is stopped and stays down.",
        symptom="health check 503, X-Cache: BYPASS, no more cache lookups, within 5 s",
        inject=_inject_redis_down,
        heal=_heal_redis_down,
    ),
)


def by_name(faults: tuple[Fault, ...] = ALL) -> Mapping[str, Fault]:
    """Return the faults by name.

    Raises:
        ValueError: two faults have the same name.
    """
    named = {fault.name: fault for fault in faults}
    if len(named) != len(faults):
        raise ValueError("two faults have the same name")
    return named


def fault_named(name: str) -> Fault:
    """Return a fault.

    Raises:
        UsageError: there is none of this name; the message lists those that there are.
    """
    known = by_name()
    if name not in known:
        raise UsageError(f"Unknown fault {name!r}. Known: {', '.join(sorted(known))}.")
    return known[name]
