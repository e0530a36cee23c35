"""Samplers that show rare classes more often, by the counts of the training split."""
from __future__ import annotations

import warnings
from bisect import bisect_right
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..checks import number
from ..registry import DATA_SAMPLERS
from .draws import WORDS, unit, words
from .labelled_items import LabelledItems, check_min_pixels, check_temperature, rare_class_probability
from .sampler_base import ClassSampler, DrawSampler, cumulative_share


@DATA_SAMPLERS.register_module()
class RareClassSampler(ClassSampler):
    """Draws a class, rare ones more often, then an image that contains it (DAFormer, arXiv 2111.14887).

    The probability of a class is ``softmax((1 - f) / temperature)`` over the classes that occur, with ``f`` its share of
    the labelled pixels.

    Args:
        dataset: The training dataset; the runner gives it.
        stats: Path of the scanner report of this dataset.
        temperature: Above 0; the smaller, the more often the rarest classes.
        min_pixels: Pixels of the class that an image must have to be drawn for it, unless none has as many.
        seed: Of the stream; the runner gives it.
        infinite: True for iteration-based loops, False for epoch-based ones.

    Raises:
        FileNotFoundError, ValueError, TypeError: The statistics do not fit the dataset, or an argument is out of its range.
    """

    def __init__(self, dataset: Any, stats: str | Path, temperature: float = 0.01, *, min_pixels: int = 1,
                 seed: int | None = None, infinite: bool = True) -> None:
        temperature = check_temperature(temperature)
        items = LabelledItems(dataset, stats)
        super().__init__(items, seed, infinite, min_pixels=check_min_pixels(min_pixels))
        self.probability = rare_class_probability(items.stats.pixels, temperature, self.occurs)
        self._cumulative = cumulative_share(self.probability)

    def cumulative(self, k: int) -> Any:
        return self._cumulative


@DATA_SAMPLERS.register_module()
class RepeatFactorSampler(DrawSampler):
    """Repeats images with classes that few images contain (LVIS, arXiv 1908.03195).

    An image occurs ``max over its classes of max(1, sqrt(threshold / f))`` times in a cycle, where ``f`` is the share of the
    images that contain the class; the fraction is rounded up or down at random in every cycle, and cycles are shuffled. An
    epoch has as many draws as a cycle on average.

    Args:
        dataset: The training dataset; the runner gives it.
        stats: Path of the scanner report of this dataset.
        threshold: Share of the images, in (0, 1], below which a class is rare. LVIS has 0.001, with 1203 classes; scenes
            need more, as most images contain most classes.
        seed: Of the stream; the runner gives it.
        infinite: True for iteration-based loops, False for epoch-based ones.

    Raises:
        FileNotFoundError, ValueError, TypeError: The statistics do not fit the dataset, or an argument is out of its range.
    """

    def __init__(self, dataset: Any, stats: str | Path, threshold: float = 0.1, *, seed: int | None = None,
                 infinite: bool = True) -> None:
        threshold = number('threshold', threshold, above=0, most=1)
        items = LabelledItems(dataset, stats)
        share = items.stats.counts('images').numpy() / len(items.counts)
        self.factor = items.largest_of(np.sqrt(threshold / np.maximum(share, np.finfo(float).tiny)), least=1.0)
        if (self.factor == 1).all():
            warnings.warn(f'RepeatFactorSampler repeats no image: every class is in at least {share[share > 0].min():.3g} of '
                          f'the images; `threshold` {threshold:g} must be above that to have an effect', stacklevel=2)
        super().__init__(items, seed, infinite, epoch_size=int(np.rint(self.factor.sum())))
        self._forget()

    def _forget(self) -> None:
        self._ends: list[int] = []  # for each cycle, the draw after its last one
        self._cycle: tuple[int, Any] = (-1, None)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        self._forget()

    def draw(self, k: int) -> int:
        while not self._ends or self._ends[-1] <= k:
            count = int(self._times(len(self._ends)).sum())
            self._ends.append((self._ends[-1] if self._ends else 0) + count)
        cycle = bisect_right(self._ends, k)
        if self._cycle[0] != cycle:
            self._cycle = cycle, self._shuffled(cycle)
        return int(self._cycle[1][k - self._ends[cycle]])

    def _times(self, cycle: int) -> Any:
        """Return how often each item occurs in a cycle."""
        whole = np.floor(self.factor).astype(np.int64)
        return whole + (unit(self._words(cycle, 0, len(whole))) < self.factor - whole)

    def _shuffled(self, cycle: int) -> Any:
        """Return the shuffled items of a cycle."""
        times = self._times(cycle)
        items = np.repeat(np.arange(len(times)), times)
        return items[np.argsort(self._words(cycle, len(times), len(items)), kind='stable')]

    def _words(self, cycle: int, skipped: int, count: int) -> Any:
        """Return ``count`` random words of a cycle, after its first ``skipped`` ones."""
        start = ((cycle + 1) << 64) + -(-skipped // WORDS)
        return words(self.seed, start, -(-count // WORDS)).reshape(-1)[:count]
