"""How sure must a test be at each of its planned looks? Group sequential bounds by alpha spending."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import pairwise
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

#: Bounds beyond it are cut; what is not spent there is spent at later looks.
Z_MAX = 8.0
#: Of the plan. Less new information than that is no new look: the last bound holds on.
STEP_MIN = 1e-3
#: Less is not worth a bound.
_SPENT_MIN = 1e-12
#: Deviations below 0 from which no path comes back to a bound.
_FAR_BELOW = 6.0
#: Sizes of quadrature.
_NODES = (64, 96, 128, 192, 256, 384, 512, 768)
_STANDARD = NormalDist()
_SQRT_2 = math.sqrt(2)
_SQRT_TAU = math.sqrt(2 * math.pi)


@dataclass(frozen=True, slots=True)
class Bound:
    """How sure a test must be at one look.

    Attributes:
        z: the standardised difference that is reached or passed; inf once the plan is spent.
        alpha: the p that is the same; 0 once the plan is spent.
    """

    z: float
    alpha: float


@dataclass(frozen=True, slots=True)
class _Look:
    """Brownian motion at one look, where it has not crossed a bound yet.

    Attributes:
        z: bound.
        spent: probability of having crossed a bound by now.
        nodes: where the motion may be.
        mass: probability weight of each node.
    """

    z: float
    spent: float
    nodes: NDArray[np.float64]
    mass: NDArray[np.float64]


def information(cumulative: Sequence[float], expected: float) -> tuple[float, ...]:
    """Sample sizes at the looks as parts of the plan; of the newest where that has run over the plan.

    Running over shrinks the parts of earlier looks after they have been looked at, so that the error probability is
    a little over alpha if one was already at the end of the plan. Where that must not be, give ``bounds`` parts
    of the plan as they are: what lies over 1 gets nothing to spend.

    Args:
        cumulative: sample size at each look so far, rising, above 0.
        expected: sample size at the end of the plan, above 0.

    Raises:
        ValueError: no looks or no plan.
    """
    if not cumulative or not 0 < expected < math.inf:
        raise ValueError(f"looks {cumulative!r} of a plan of {expected!r}: at least one look, a plan above 0")
    whole = max(expected, cumulative[-1])
    return tuple(size / whole for size in cumulative)


def bounds(information: Sequence[float], *, alpha: float, phi: float, two_sided: bool) -> tuple[Bound, ...]:
    """How sure must a test be at each look, so that all looks together raise a false alarm with probability alpha?

    At part t of the plan alpha t^phi has been spent. phi 1 spends evenly (like Pocock), 3 keeps nearly all for the end
    (like O'Brien and Fleming), 2 lies between. The probability of a first crossing at each look is found by
    integrating over all paths that have not crossed before. Two-sided, each direction has half of alpha, and a
    crossing of both is not credited. A bound is never below that of a test with one look at what is spent by then.

    Results are kept, by look: further looks of the same plan cost one step each.

    Args:
        information: part of the plan at each look, rising, above 0; what lies over 1 has nothing left to spend, its
            bound is inf.
        alpha: false alarms, all looks together, 0..1, both excluded.
        phi: above 0.
        two_sided: alarms in both directions.

    Returns:
        One bound for each look; of a two-sided test z is for the absolute value and alpha two-sided.

    Raises:
        ValueError: an argument outside its range, or information that falls.

    Source:
        Lan and DeMets 1983, Kim and DeMets 1987; landem.R of R's ldbounds, sequential_bound_solver of Spotify's
        confidence.
    """
    if not 0 < alpha < 1:
        raise ValueError(f"alpha is {alpha!r}, not between 0 and 1")
    if not 0 < phi < math.inf:
        raise ValueError(f"phi is {phi!r}: above 0, and finite")
    return _bounds(tuple(map(float, information)), alpha, phi, 2 if two_sided else 1)


@lru_cache(maxsize=1024)
def _bounds(information: tuple[float, ...], alpha: float, phi: float, sides: int) -> tuple[Bound, ...]:
    if not information or not information[0] > 0 or not all(map(math.isfinite, information)):
        raise ValueError(f"information is {information!r}: at least one look, parts of the plan above 0")
    if any(later < earlier for earlier, later in pairwise(information)):
        raise ValueError(f"information falls: {information!r}")
    found = []
    looks: tuple[float, ...] = ()
    for part in information:
        if part > 1 and looks and looks[-1] >= 1 - STEP_MIN:
            found.append(Bound(math.inf, 0.0))
            continue
        if not looks or part - looks[-1] >= STEP_MIN:
            looks = (*looks, min(part, 1.0))
        z = _look(looks, alpha / sides, phi).z
        found.append(Bound(z, sides * _upper(z)))
    return tuple(found)


@lru_cache(maxsize=1024)
def _look(looks: tuple[float, ...], alpha: float, phi: float) -> _Look:
    """The last of these looks, one-sided."""
    *before, part = looks
    due = alpha * part**phi
    least = -_STANDARD.inv_cdf(due) if due > _SPENT_MIN else Z_MAX
    if not before:
        z = min(least, Z_MAX)
        nodes, weights = _quadrature(z, part, math.sqrt(part))
        return _Look(z, _upper(z), nodes, weights * _density(nodes, math.sqrt(part)))
    last = _look(tuple(before), alpha, phi)
    step = math.sqrt(part - before[-1])
    crossing = due - last.spent
    z = Z_MAX
    if crossing > _SPENT_MIN:
        z = min(max(_bound(last, crossing, step, least * math.sqrt(part)) / math.sqrt(part), least), Z_MAX)
    spent = last.spent + _beyond(last, (z * math.sqrt(part) - last.nodes) / step)
    nodes, weights = _quadrature(z, part, step)
    mass = weights * (_density(np.subtract.outer(nodes, last.nodes), step) @ last.mass)
    return _Look(z, spent, nodes, mass)


def _bound(last: _Look, crossing: float, step: float, start: float) -> float:
    """Where the motion first crosses with this probability.

    The logarithm of a probability beyond a point is concave here, so that Newton's steps, after the first, come from
    the right and cannot overshoot.
    """
    bound = start
    for _ in range(50):
        away = (bound - last.nodes) / step
        beyond = _beyond(last, away)
        slope = float(last.mass @ np.exp(-0.5 * away**2)) / (step * _SQRT_TAU)
        if beyond <= 0 or slope <= 0:
            return Z_MAX
        moved = beyond / slope * math.log(beyond / crossing)
        bound += moved
        if abs(moved) < 1e-9:
            break
    return bound


def _beyond(last: _Look, away: NDArray[np.float64]) -> float:
    """Probability of a step of at least that many deviations from each node."""
    return math.fsum(mass * _upper(z) for mass, z in zip(last.mass.tolist(), away.tolist(), strict=True))


def _quadrature(z: float, part: float, step: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Nodes and weights from far below to the bound: at most about half a step apart."""
    low, high = -_FAR_BELOW * math.sqrt(part), z * math.sqrt(part)
    needed = 3 * (high - low) / step
    nodes, weights = _legendre(next((size for size in _NODES if size >= needed), _NODES[-1]))
    half = (high - low) / 2
    return low + half * (nodes + 1), half * weights


@cache
def _legendre(count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    nodes, weights = np.polynomial.legendre.leggauss(count)
    return np.asarray(nodes, dtype=np.float64), np.asarray(weights, dtype=np.float64)


def _density(values: NDArray[np.float64], deviation: float) -> NDArray[np.float64]:
    return np.asarray(np.exp(-0.5 * (values / deviation) ** 2) / (deviation * _SQRT_TAU))


def _upper(z: float) -> float:
    """P(Z > z); exact far out, where 1 - cdf is not."""
    return math.erfc(z / _SQRT_2) / 2
