"""How far a gain that cross-validation shows can be trusted."""
from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from .offset_objective import Counts, Objective

DRAWS = 1000
LEVEL = 80.0  # percent of the interval: its lower end is exceeded with 90 %
NORMAL = 1.2815515655446004  # quantile of the normal distribution at that level


@dataclass(frozen=True)
class Candidate:
    """A way to choose offsets, as cross-validation sees it.

    Args:
        anchor: Share of the prior part that offsets are shrunk to.
        strength: Groups with a class at which its own offset has half a say; infinite: the prior part alone, 0: none of it;
            None: given offsets, which nothing was fitted to.
        gain: Of the objective, in percent points.
        interval: Of the gain.
    """

    anchor: float
    strength: float | None
    gain: float = 0.0
    interval: tuple[float, float] = (0.0, 0.0)

    @property
    def family(self) -> str:
        if self.strength is None:
            return 'start'
        return 'prior' if math.isinf(self.strength) else 'shrunk' if self.strength else 'per-class'

    @property
    def name(self) -> str:
        names = {'prior': f'{self.anchor:g} prior', 'shrunk': f'shrunk {self.strength:g} to {self.anchor:g} prior'}
        return names.get(self.family, self.family)


def measured(way: Candidate, counts: Counts, base: Counts, goal: Objective, draws: np.ndarray) -> Candidate:
    """Return ``way`` with its gain and interval.

    Args:
        way: A way to choose offsets.
        counts: ``(G, C)`` counts of each group under offsets that were found on other groups.
        base: The same without offsets.
        goal: The objective.
        draws: See :func:`group_draws`.
    """
    gain = float(goal.value(counts.sum()) - goal.value(base.sum()))
    drawn = goal.value(counts.times(draws)) - goal.value(base.times(draws))
    number = witnesses(counts, base, goal)
    half = student(number - 1) * float(np.nanstd(drawn)) * (number / (number - 1)) ** 0.5
    return replace(way, gain=gain, interval=(gain - half, gain + half))


def split_groups(present: np.ndarray, number: int) -> np.ndarray:
    """Return the ``(G,)`` fold of each group: those with the rarest classes are dealt first, so that they are spread."""
    if len(present) < 2:
        raise ValueError(f'`groups` must be at least two for a cross-validation, got {len(present)}')
    frequency = np.where(present.sum(0) > 0, present.sum(0), np.iinfo(np.int64).max)
    rarest = np.where(present, frequency, frequency.max()).argmin(1)
    order = np.lexsort((np.arange(len(present)), rarest, frequency[rarest]))
    fold = np.empty(len(present), np.int64)
    fold[order] = np.arange(len(present)) % min(max(2, number), len(present))
    return fold


def witnesses(counts: Counts, base: Counts, goal: Objective) -> float:
    """Return how many groups a gain rests on, at least 2: the harmonic mean over classes, each by its share in the gain.

    A class that is in two groups is measured twice, however many other groups there are.
    """
    share = np.abs(goal.parts(counts.sum()) - goal.parts(base.sum()))
    present = np.maximum((base.labels > 0).sum(0), 1)
    return max(2.0, float(share.sum() / (share / present).sum())) if share.any() else 2.0


def student(freedom: float) -> float:
    """Return Student's quantile at :data:`LEVEL` (Cornish-Fisher; 0.5 % too small for 2 degrees, less for more)."""
    z, v = NORMAL, freedom
    terms = ((z**3 + z) / 4, (5 * z**5 + 16 * z**3 + 3 * z) / 96, (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384)
    return z + sum(term / v**(i + 1) for i, term in enumerate(terms))


def group_draws(groups: int) -> np.ndarray:
    """Return ``(B, G)``: how often each group is in each of B samples with replacement; the same at every call."""
    return np.random.default_rng(0).multinomial(groups, np.full(groups, 1 / groups), DRAWS).astype(np.float64)
