"""The sampler that draws classes by their difficulty."""
from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..checks import whole_number
from ..registry import DATA_SAMPLERS
from ..weights.difficulty import DYNAMIC, checked_measure, checked_tau
from .labelled_items import LabelledItems, check_min_pixels
from .sampler_base import ClassSampler, cumulative_share


@DATA_SAMPLERS.register_module()
class DifficultySampler(ClassSampler):
    """Draws a class in proportion to its difficulty ``d ** tau``, then an image that contains it (CDB-S, arXiv 2207.14499).

    ``ClassWeightHook`` measures the difficulty and hands over new weights of the classes. They take effect ``delay``
    iterations later, so that it does not matter how many batches the workers have prefetched. Until the first measurement all
    classes have the same weight. State, in the checkpoint: the seed, and the weights with the draws from which they hold.

    Args:
        dataset: The training dataset; the runner gives it.
        stats: Path of the scanner report of this dataset.
        tau: Exponent of the difficulty: ``'dynamic'`` or a number of at least 0.
        measure: What the difficulty is measured by: ``'recall'``, ``'iou'`` or ``'f1'``.
        delay: Iterations from a measurement to the first draw that uses it; more than ``num_workers * prefetch_factor``.
        min_pixels: Pixels of the class that an image must have to be drawn for it, unless none has as many.
        seed: Of the stream; the runner gives it.
        infinite: True for iteration-based loops, False for epoch-based ones.

    Raises:
        FileNotFoundError, ValueError, TypeError: The statistics do not fit the dataset, or an argument is out of its range.
    """

    def __init__(self, dataset: Any, stats: str | Path, tau: float | str = DYNAMIC, *, measure: str = 'recall',
                 delay: int = 64, min_pixels: int = 1, seed: int | None = None, infinite: bool = True) -> None:
        self.tau = checked_tau(tau)
        self.measure = checked_measure(measure)
        self.delay = whole_number('delay', delay, least=1)
        super().__init__(LabelledItems(dataset, stats), seed, infinite, min_pixels=check_min_pixels(min_pixels))
        self._begin()
        self._append(0, torch.ones(1, self.num_classes, dtype=torch.float64))

    def set_class_weights(self, weight: Tensor, start: int) -> None:
        """Draw classes in proportion to ``weight`` from draw ``start`` on, counted over all ranks.

        Args:
            weight: ``(C,)`` non-negative weights of any scale, above 0 for a class that occurs.
            start: A draw that was not handed out yet. Weights set for this draw or later ones are replaced: a resumed run may
                repeat part of an epoch, or draw less in an iteration.

        Raises:
            ValueError, TypeError: The weights or ``start`` break these rules; nothing has changed then.
        """
        start = whole_number('start', start)
        if start < max(self._next, 1):
            raise ValueError(f'`start` must be at least {max(self._next, 1)}, as all draws before were handed out, got '
                             f'{start}; a larger `delay` of the sampler puts it later')
        checked = self._checked(torch.as_tensor(weight).detach().to('cpu', torch.float64).reshape(1, -1))
        while self._starts[-1] >= start:
            for column in (self._starts, self._weights, self._cumulative):
                column.pop()
        self._append(start, checked)

    def cumulative(self, k: int) -> Any:
        return self._cumulative[bisect_right(self._starts, k) - 1]

    def state_dict(self) -> dict[str, Any]:
        """Return the seed, the ``(n,)`` first draws of the weights, and the ``(n, C)`` weights."""
        return {**super().state_dict(), 'starts': torch.tensor(self._starts), 'weights': torch.cat(self._weights)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over the state, so that all draws are those of the saved sampler.

        An iterator that exists already may have drawn by other weights. That does no harm: its draws are only skipped (resume
        in mmengine 0.10), or come before the first measurement (what workers prefetch at the start).

        Raises:
            ValueError: The state is of another number of classes, or its draws do not ascend from 0.
        """
        starts, weights = [int(start) for start in state['starts']], torch.as_tensor(state['weights'], dtype=torch.float64)
        if weights.shape != (len(starts), self.num_classes):
            raise ValueError(f'`weights` of the sampler must have the shape {(len(starts), self.num_classes)} in a '
                             f'checkpoint of the same classes, got {tuple(weights.shape)}')
        if starts[:1] != [0] or any(a >= b for a, b in pairwise(starts)):
            raise ValueError(f'`starts` of the sampler must ascend from 0, got {starts}')
        self._checked(weights)
        super().load_state_dict(state)
        self._begin()
        for start, weight in zip(starts, weights.split(1), strict=True):
            self._append(start, weight)

    def _checked(self, weights: Tensor) -> Tensor:
        if weights.shape[1] != self.num_classes:
            raise ValueError(f'`weight` must have one entry per class ({self.num_classes}), got {weights.shape[1]}')
        if not bool((torch.isfinite(weights) & (weights >= 0)).all()):
            raise ValueError(f'`weight` must be finite and non-negative, got {weights.tolist()}')
        if not bool(weights[:, torch.from_numpy(self.occurs)].any(dim=1).all()):
            raise ValueError(f'`weight` must be above 0 for a class that occurs, got {weights.tolist()}')
        return weights

    def _begin(self) -> None:
        self._starts: list[int] = []
        self._weights: list[Tensor] = []
        self._cumulative: list[Any] = []

    def _append(self, start: int, weight: Tensor) -> None:
        self._starts.append(start)
        self._weights.append(weight.clone())
        self._cumulative.append(cumulative_share(weight[0].numpy() * self.occurs))
