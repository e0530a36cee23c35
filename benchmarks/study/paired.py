"""Is an arm better than cross-entropy: intervals of the paired difference, over seeds and over the units of test."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

LEVEL = 0.95
DRAWS = 2000


class Interval(NamedTuple):
    """A mean difference in percent points with its interval; NaN where it cannot be told."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        if np.isnan(self.mean):
            return ''
        return f'{self.mean:+.1f}' + ('' if np.isnan(self.low) else f' ({self.low:+.1f} to {self.high:+.1f})')


def over_seeds(arm: Mapping[int, float], reference: Mapping[int, float]) -> Interval:
    """Return Student's 95 % interval of the mean difference over the seeds that both have; without bounds for one seed.

    >>> over_seeds({1: 3.0, 2: 5.0, 3: 4.0}, {1: 1.0, 2: 2.0, 3: 3.0, 4: 9.0})
    Interval(mean=2.0, low=-0.48..., high=4.48...)
    """
    difference = np.array([arm[seed] - reference[seed] for seed in sorted(set(arm) & set(reference))])
    if len(difference) < 2:
        return Interval(float(difference[0]) if len(difference) else np.nan, np.nan, np.nan)
    half = stats.t.ppf((1 + LEVEL) / 2, len(difference) - 1) * difference.std(ddof=1) / np.sqrt(len(difference))
    mean = float(difference.mean())
    return Interval(mean, float(mean - half), float(mean + half))


def unit_counts(counts: np.ndarray, units: Sequence[str]) -> np.ndarray:
    """Return ``(U, 3, C)`` sums of ``(N, 3, C)`` counts of images over their units."""
    names, index = np.unique(np.asarray(units), return_inverse=True)
    total = np.zeros((len(names), *counts.shape[1:]), np.int64)
    np.add.at(total, index, counts)
    return total


def over_units(arm: Sequence[np.ndarray], reference: Sequence[np.ndarray], classes: Sequence[int], *,
               seed: int = 0) -> Interval:
    """Return the 95 % bootstrap interval of the difference in mean IoU over units, drawn together for all seeds and both arms.

    Args:
        arm, reference: Of each seed the ``(U, 3, C)`` counts of :func:`unit_counts`, in the same order.
        classes: The classes of the mean; those without a labelled pixel in test are left out, in a draw also those without one
            there.
        seed: Of the draws.
    """
    there = [c for c in classes if reference[0][:, 1, c].sum() > 0]
    number = len(reference[0])
    draws = np.vstack([np.ones(number), np.random.default_rng(seed).multinomial(number, np.full(number, 1 / number), DRAWS)])
    difference = sum(_mean_iou(a, draws, there) - _mean_iou(r, draws, there) for a, r in zip(arm, reference, strict=True))
    difference = difference / len(arm)
    low, high = np.nanpercentile(difference[1:], [50 - 50 * LEVEL, 50 + 50 * LEVEL])
    return Interval(float(difference[0]), float(low), float(high))


def _mean_iou(counts: np.ndarray, draws: np.ndarray, classes: Sequence[int]) -> np.ndarray:
    hits, labelled, predicted = np.einsum('bu,ukc->kbc', draws, counts[:, :, classes].astype(np.float64))
    with np.errstate(invalid='ignore'):
        iou = np.where(labelled > 0, hits / (labelled + predicted - hits), np.nan)
        return 100 * np.nanmean(iou, axis=1)
