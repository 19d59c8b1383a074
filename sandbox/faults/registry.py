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


def _inject_prometheus_down(stack: Stack, parameters: Parameters) -> None:
    del parameters
    stack.stop_part("prometheus")


def _heal_prometheus_down(stack: Stack) -> None:
    stack.start_part("prometheus")


def _inject_enhanced_errors(stack: Stack, parameters: Parameters) -> None:
    stack.add_site_fault("enhanced_errors", parameters)


def _heal_enhanced_errors(stack: Stack) -> None:
    stack.remove_site_fault("enhanced_errors")


def _inject_enhanced_slow(stack: Stack, parameters: Parameters) -> None:
    stack.add_site_fault("enhanced_slow", parameters)


def _heal_enhanced_slow(stack: Stack) -> None:
    stack.remove_site_fault("enhanced_slow")


def _inject_enhanced_misses(stack: Stack, parameters: Parameters) -> None:
    stack.add_site_fault("enhanced_misses", parameters)


def _heal_enhanced_misses(stack: Stack) -> None:
    stack.remove_site_fault("enhanced_misses")


#: A share of something; more than all of it is a slip.
_SHARE = (0.0, 1.0)

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
    Fault(
        name="prometheus_down",
        description="Prometheus is stopped and stays down; its data are kept.",
        symptom="no metric can be read, within 5 s; after healing, the time between is a gap in every series",
        inject=_inject_prometheus_down,
        heal=_heal_prometheus_down,
    ),
    Fault(
        name="enhanced_errors",
        description="The enhanced cache breaks: callers who have it are answered 500 now and then.",
        symptom="cohort enhanced: 5 % of the requests end in 500; cohort legacy: none, within 15 s",
        inject=_inject_enhanced_errors,
        heal=_heal_enhanced_errors,
        defaults={"error_ratio": 0.05},
        limits={"error_ratio": _SHARE},
    ),
    Fault(
        name="enhanced_slow",
        description="The enhanced cache is slow: some requests of callers who have it take longer.",
        symptom="cohort enhanced: p95 over 0.5 s; cohort legacy: as before, within 15 s",
        inject=_inject_enhanced_slow,
        heal=_heal_enhanced_slow,
        # The eight threads of the site serve both cohorts: a longer delay of more requests slows everybody down.
        defaults={"seconds": 0.5, "share": 0.1},
        limits={"seconds": (0.0, 10.0), "share": _SHARE},
    ),
    Fault(
        name="enhanced_misses",
        description="The enhanced cache overlooks what it has stored, and loads it again.",
        symptom="hit rate falls by 30 % of what the enhanced cohort asks for; penetration stays, within 15 s",
        inject=_inject_enhanced_misses,
        heal=_heal_enhanced_misses,
        defaults={"share": 0.3},
        limits={"share": _SHARE},
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
