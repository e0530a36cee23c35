"""Weights from class statistics. All have mean 1 over the classes that occur; a class that never does gets the largest."""
from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ..checks import number
from ..functional import (
    effective_number,
    inverse_frequency,
    log_frequency,
    median_frequency,
    normalized_weights,
    suitable_beta,
)
from ..registry import MODELS
from ..stats import ClassStats
from .base import ClassWeight, checked_ratio

COLLAPSED, EXPLODED = 1.05, 1000.0  # largest weight over the smallest


class FrequencyWeight(ClassWeight):
    """Base of the schemes: subclasses implement :meth:`raw`.

    Args:
        stats: Class statistics (see :class:`mmimb.stats.ClassStats`).
        max_ratio: Cap of the largest weight over the smallest, at least 1.

    Warns:
        UserWarning: The weights are all alike (ratio below 1.05) or far apart (above 1000), with the numbers.
    """

    def __init__(self, stats: Any, *, max_ratio: float | None = None) -> None:
        self.max_ratio = checked_ratio(max_ratio)
        super().__init__(stats)
        self.prepare_unless_file()

    def raw(self, stats: ClassStats) -> Tensor:
        """Return the float64 ``(C,)`` weights of the formula; anything at classes that do not occur."""
        raise NotImplementedError

    def compute_vectors(self, source: Any) -> Mapping[str, Tensor]:
        stats = ClassStats.load(source)
        occurs = stats.counts('pixels') > 0
        weight = normalized_weights(self.raw(stats), occurs, self.max_ratio)
        ratio = float(weight[occurs].max() / weight[occurs].min())
        shown = ', '.join(f'{w:.3g}' for w in weight)
        counts = stats.counts('pixels')[occurs]
        uneven = float(counts.max() / counts.min()) >= COLLAPSED ** 2  # else equal weights are right
        if ratio < COLLAPSED and uneven and self.max_ratio is None:
            warnings.warn(f'{type(self).__name__} has no effect: its weights differ by a factor of {ratio:.4f} only ({shown}); '
                          'its parameters do not suit these counts', stacklevel=2)
        elif ratio > EXPLODED:
            warnings.warn(f'{type(self).__name__} is extreme: its weights differ by a factor of {ratio:.3g} ({shown}); '
                          'cap them with max_ratio', stacklevel=2)
        return {'weight': weight}


@MODELS.register_module()
class InverseFrequency(FrequencyWeight):
    """Weights ``share ** -power`` of the pixels.

    Args:
        stats: As for all schemes.
        power: 1 gives every class the same say in the sum; 0.5 is a milder choice.
        max_ratio: As for all schemes.
    """

    def __init__(self, stats: Any, power: float = 1.0, *, max_ratio: float | None = None) -> None:
        self.power = number('power', power, least=0)
        super().__init__(stats, max_ratio=max_ratio)

    def raw(self, stats: ClassStats) -> Tensor:
        return inverse_frequency(stats.counts('pixels'), self.power)


@MODELS.register_module()
class MedianFrequency(FrequencyWeight):
    """Weights ``median(f) / f`` with f the share of a class in the images that contain it (arXiv 1411.4734)."""

    def raw(self, stats: ClassStats) -> Tensor:
        return median_frequency(stats.counts('pixels'), stats.counts('image_pixels'))


@MODELS.register_module()
class LogFrequency(FrequencyWeight):
    """Weights ``1 / ln(c + share)`` of ENet (arXiv 1606.02147).

    Args:
        stats: As for all schemes.
        c: Above 1; the nearer to 1, the further apart the weights.
        max_ratio: As for all schemes.
    """

    def __init__(self, stats: Any, c: float = 1.02, *, max_ratio: float | None = None) -> None:
        self.c = number('c', c, above=1)
        super().__init__(stats, max_ratio=max_ratio)

    def raw(self, stats: ClassStats) -> Tensor:
        return log_frequency(stats.counts('pixels'), self.c)


@MODELS.register_module()
class EffectiveNumber(FrequencyWeight):
    """Class-balanced weights ``(1 - beta) / (1 - beta ** n)`` of the pixel counts (arXiv 1901.05555).

    Args:
        stats: As for all schemes.
        beta: In [0, 1), or ``'auto'``: saturates at the geometric mean of the counts. The papers' 0.9 ... 0.9999 are for
            image counts and make all weights of pixel counts equal.
        max_ratio: As for all schemes.
    """

    def __init__(self, stats: Any, beta: float | str = 'auto', *, max_ratio: float | None = None) -> None:
        self.beta = beta if beta == 'auto' else number('beta', beta, least=0, below=1)
        super().__init__(stats, max_ratio=max_ratio)

    def raw(self, stats: ClassStats) -> Tensor:
        counts = stats.counts('pixels')
        return effective_number(counts, suitable_beta(counts) if isinstance(self.beta, str) else self.beta)
