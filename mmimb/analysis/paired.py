"""Is one training better than another: intervals of paired differences, over seeds and over test images."""
from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

LEVEL = 0.95
DRAWS = 2000
PART = 250  # draws at a time: their weights are (PART, U)
UNDEFINED = 0.05  # share of draws without a value above which there is no interval
Key = tuple[str, Sequence[int]]


class Interval(NamedTuple):
    """A mean difference in percent points with its interval; NaN where it cannot be told."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return self.text(1)

    def text(self, digits: int) -> str:
        """Return ``+1.2 (-0.3 to +2.7)``, without the bounds where there are none; nothing for NaN.

        >>> Interval(1.234, -0.3, 2.7).text(2)
        '+1.23 (-0.30 to +2.70)'
        """
        if np.isnan(self.mean):
            return ''
        bounds = '' if np.isnan(self.low) else f' ({self.low:+.{digits}f} to {self.high:+.{digits}f})'
        return f'{self.mean:+.{digits}f}{bounds}'

    @property
    def side(self) -> int:
        """1 if all of the interval is above 0, -1 if all is below, else (and without bounds) 0."""
        return int(self.low > 0) - int(self.high < 0)


def over_seeds(arm: Mapping[int, float], reference: Mapping[int, float]) -> Interval:
    """Return Student's 95 % interval of the mean difference over the seeds that both have; without bounds for one seed.

    A seed whose value is NaN on one side counts as missing.

    >>> str(over_seeds({1: 3.0, 2: 5.0, 3: 4.0}, {1: 1.0, 2: 2.0, 3: 3.0, 4: 9.0}))
    '+2.0 (-0.5 to +4.5)'
    """
    difference = np.array([arm[seed] - reference[seed] for seed in sorted(set(arm) & set(reference))])
    difference = difference[~np.isnan(difference)]
    if len(difference) < 2:
        return Interval(float(difference[0]) if len(difference) else np.nan, np.nan, np.nan)
    from scipy.special import stdtrit  # Student's quantile; scipy.stats takes a second to import
    half = stdtrit(len(difference) - 1, (1 + LEVEL) / 2) * difference.std(ddof=1) / np.sqrt(len(difference))
    mean = float(difference.mean())
    return Interval(mean, float(mean - half), float(mean + half))


def unit_counts(counts: np.ndarray, units: Sequence[str] | Sequence[int]) -> np.ndarray:
    """Return ``(U, 3, C)`` sums of ``(N, 3, C)`` counts of images over their units."""
    names, index = np.unique(np.asarray(units), return_inverse=True)
    total = np.zeros((len(names), *counts.shape[1:]), np.int64)
    np.add.at(total, index, counts)
    return total


def over_units(pairs: Iterable[tuple[np.ndarray, np.ndarray]], keys: Mapping[str, Key], *,
               seed: int = 0) -> dict[str, Interval]:
    """Return 95 % bootstrap intervals of the differences over units, drawn together for all seeds and both arms.

    The seeds are taken as they are: an interval says how far other test images would change the difference between these
    networks, not what other networks would do.

    Args:
        pairs: For each seed the ``(U, 3, C)`` counts of an arm and of the reference: right, labelled and predicted pixels of
            the same units in the same order. They are read one after the other.
        keys: For each score its name in :data:`MEASURES` and the classes of its mean. In a draw, a class without a labelled
            pixel is left out; one that no unit has labelled counts where it is predicted, as in the metric.
        seed: Of the draws.

    Returns:
        The mean over the seeds in percent points for every key; no bounds where more than one draw in 20 is undefined, as for
        a class that is labelled in one or two units, and none with a single unit, whose draws are all alike.

    Raises:
        ValueError: There is no pair, or the counts of a pair differ in shape.
    """
    total, number = None, 0
    for arm, reference in pairs:
        if arm.shape != reference.shape:
            raise ValueError(f'`pairs` must have counts of one shape, got {arm.shape} and {reference.shape}')
        difference = _resampled(arm, keys, seed) - _resampled(reference, keys, seed)
        total = difference if total is None else total + difference
        number += 1
    if total is None:
        raise ValueError('`pairs` must hold at least one pair, got none')
    if len(arm) < 2:
        total[1:] = np.nan
    return {key: _interval(column / number) for key, column in zip(keys, total.T, strict=True)}


def _interval(drawn: np.ndarray) -> Interval:
    """Return the percentiles of all values but the first, which is the difference itself."""
    there = drawn[1:][~np.isnan(drawn[1:])]
    if len(there) < (1 - UNDEFINED) * (len(drawn) - 1):
        return Interval(float(drawn[0]), np.nan, np.nan)
    low, high = np.percentile(there, [50 - 50 * LEVEL, 50 + 50 * LEVEL])
    return Interval(float(drawn[0]), float(low), float(high))


def _resampled(counts: np.ndarray, keys: Mapping[str, Key], seed: int) -> np.ndarray:
    """Return ``(1 + DRAWS, K)`` scores in percent: of all units, then of each draw."""
    number, flat = len(counts), counts.reshape(len(counts), -1).astype(np.float64)
    rng, share = np.random.default_rng(seed), np.full(number, 1 / number)
    never = counts[:, 1].sum(0) == 0
    rows = [_scores(flat.sum(0)[None], keys, never)]
    for start in range(0, DRAWS, PART):
        draws = rng.multinomial(number, share, min(PART, DRAWS - start)).astype(np.float64)
        rows.append(_scores(draws @ flat, keys, never))
    return np.vstack(rows)


def _scores(totals: np.ndarray, keys: Mapping[str, Key], never: np.ndarray) -> np.ndarray:
    """Return ``(B, K)`` scores of ``(B, 3C)`` counts.

    A class without a labelled pixel is left out, but for those that are ``never`` labelled, in no unit: they count as in the
    metric, with IoU 0 where they are predicted.
    """
    hits, labelled, predicted = np.split(totals, 3, axis=1)
    values = {}
    with np.errstate(invalid='ignore', divide='ignore'):
        for measure in {measure for measure, _ in keys.values()}:
            values[measure] = 100 * np.where((labelled > 0) | never, MEASURES[measure](hits, labelled, predicted), np.nan)
    return np.stack([_mean(values[measure][:, list(classes)]) for measure, classes in keys.values()], axis=1)


def _mean(values: np.ndarray) -> np.ndarray:
    """Return the mean of the defined values of each row, NaN where there is none."""
    there = ~np.isnan(values)
    with np.errstate(invalid='ignore'):
        return np.where(there, values, 0).sum(1) / there.sum(1)


Counts = np.ndarray
MEASURES: dict[str, Callable[[Counts, Counts, Counts], Counts]] = {
    'IoU': lambda hits, labelled, predicted: hits / (labelled + predicted - hits),
    'Acc': lambda hits, labelled, predicted: hits / labelled,
    'Precision': lambda hits, labelled, predicted: hits / predicted,
    # for means: 0 of a class that is labelled and never predicted, none of a class that is not labelled
    'PrecisionOrZero': lambda hits, labelled, predicted: np.where(labelled > 0, hits / np.maximum(predicted, 1), np.nan),
    'aAcc': lambda hits, labelled, predicted: hits.sum(1, keepdims=True) / labelled.sum(1, keepdims=True),
}
