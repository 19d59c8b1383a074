"""How often does a rollout without an effect roll back, and how soon does one with an effect? By simulation.

Every judge sees the same campaigns: the same seed is the same users, hours, bursts, gaps and missed executions.
"""

from __future__ import annotations

import math
import multiprocessing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.rollout_campaign import Outcome, Tally, run, tally
from benchmarks.rollout_methods import METHODS
from benchmarks.rollout_model import Effect, Traffic
from benchmarks.timing import Row
from runbooks_lib.policy import policy_for
from runbooks_lib.rollout_policy import RolloutPolicy, rollout_policy

PROCESSES = 2
#: The policy was tuned on campaigns below it; those from here on were not looked at before it stood.
FIRST_SEED = 100_000
#: Campaigns that one process judges at a time.
CHUNK = 10
#: False rollbacks of a campaign without an effect; misses of one with an effect.
MOST_FALSE, MOST_MISSED = 0.05, 0.05
#: Why it ended so: the most frequent reasons.
SHOWN_REASONS = 4
SHIPPED, PEER = "decide, as shipped", "naive thresholds"


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is simulated how often.

    Attributes:
        effect: of the feature.
        campaigns: how many.
        goal: highest share of wrong ends: false rollbacks, or effects that were not rolled back; None for a scenario
            that is only shown.
        harmful: whether rolling back is right.
        judges: who judges; all of them where they are compared.
    """

    effect: Effect
    campaigns: int
    goal: float | None
    harmful: bool
    judges: tuple[str, ...] = tuple(METHODS)


SCENARIOS = (
    Scenario(Effect("no effect"), 1000, MOST_FALSE, harmful=False),
    Scenario(Effect("errors 0.5 % to 1 %", error_factor=2.0), 200, MOST_MISSED, harmful=True),
    Scenario(Effect("hit rate -10 points", hit_points=10.0), 200, MOST_MISSED, harmful=True),
    Scenario(Effect("p95 +30 %", latency_factor=1.3), 200, MOST_MISSED, harmful=True),
    # What a before-and-after comparison cannot tell from the feature's doing; the hit rate has no control cohort.
    Scenario(Effect("whole site's hit rate -2", drift_points=2.0), 100, None, harmful=False, judges=(SHIPPED,)),
    Scenario(Effect("whole site's hit rate -4", drift_points=4.0), 100, None, harmful=False, judges=(SHIPPED,)),
)

Tallies = Mapping[tuple[str, str], Tally]


def judge_campaigns(scenario: Scenario, seeds: Sequence[int], policy: RolloutPolicy) -> dict[str, list[Outcome]]:
    """The same campaigns under every judge of a scenario."""
    outcomes: dict[str, list[Outcome]] = {name: [] for name in scenario.judges}
    for seed in seeds:
        traffic = Traffic(seed, scenario.effect)
        baseline = traffic.baseline()
        for name in scenario.judges:
            outcomes[name].append(run(traffic, METHODS[name], policy, baseline))
    return outcomes


def simulate(scenarios: Sequence[Scenario] = SCENARIOS) -> Tallies:
    """All scenarios under all judges, on two processes; seeds are fixed, so the answer is always the same."""
    policy = rollout_policy(policy_for())
    orders = [
        (scenario, range(FIRST_SEED + first, FIRST_SEED + min(first + CHUNK, scenario.campaigns)), policy)
        for scenario in scenarios
        for first in range(0, scenario.campaigns, CHUNK)
    ]
    found: dict[tuple[str, str], list[Outcome]] = {}
    with multiprocessing.get_context("spawn").Pool(PROCESSES) as pool:
        for (scenario, _, _), outcomes in zip(orders, pool.starmap(judge_campaigns, orders, chunksize=1), strict=True):
            for name, ends in outcomes.items():
                found.setdefault((scenario.effect.name, name), []).extend(ends)
    return {key: tally(ends) for key, ends in found.items()}


def measure() -> tuple[list[Row], str]:
    """Rows for the promises, and the table for people."""
    tallies = simulate()
    return rows(tallies), table(tallies)


def rows(tallies: Tallies, scenarios: Sequence[Scenario] = SCENARIOS) -> list[Row]:
    """One row for each promise: the share of wrong ends beside that of naive thresholds."""
    found = []
    for scenario in scenarios:
        if scenario.goal is None:
            continue
        own, peer = (_wrong(tallies[scenario.effect.name, name], scenario) for name in (SHIPPED, PEER))
        what = "not rolled back" if scenario.harmful else "rolled back"
        name = f"{scenario.effect.name}: {what}"
        found.append(Row(name, own, "share", PEER, peer, None, scenario.goal, own <= scenario.goal))
    return found


def table(tallies: Tallies) -> str:
    """Every scenario under every judge, for people."""
    head = f"{'scenario':<30} {'judge':<20} {'n':>5} {'rolled back':>11} {'95 % interval':>16} {'at':>5}"
    lines = [f"{head} {'hours':>6} {'complete':>8}"]
    for (scenario, judge), one in tallies.items():
        low, high = one.interval
        between = f"{low * 100:.1f} .. {high * 100:.1f} %"
        at = "" if math.isnan(one.percentage) else f"{one.percentage:g} %"
        hours = "" if math.isnan(one.hours) else f"{one.hours:g}"
        lines.append(
            f"{scenario:<30} {judge:<20} {one.count:>5} {one.share * 100:>9.1f} % {between:>16} {at:>5} {hours:>6} "
            f"{one.complete / one.count * 100:>6.1f} %"
        )
    lines.append("at: median percentage of those rolled back; hours: median since the first promotion above 0 %.")
    lines.append("Neither peer has a rule for a hit rate without cohorts: what they roll back there are false alarms.")
    own = tallies[SCENARIOS[0].effect.name, SHIPPED]
    lines.append(f"A/A, at 0 % (only the whitelist has it): {SHIPPED}: {own.at_zero} of {own.count} rolled back.")
    for (scenario, judge), one in tallies.items():
        if judge == SHIPPED and one.reasons:
            found = "; ".join(f"{count} {reason}" for reason, count in one.reasons[:SHOWN_REASONS])
            lines.append(f"{scenario}, {judge}: {found}")
    return "\n".join(lines)


def _wrong(one: Tally, scenario: Scenario) -> float:
    return round(1 - one.share if scenario.harmful else one.share, 4)
