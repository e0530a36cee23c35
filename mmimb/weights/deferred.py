"""Weights that change with the iteration."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..checks import number
from ..registry import MODELS
from .base import ClassWeight, build_class_weight, checked_ratio


@MODELS.register_module()
class Deferred(ClassWeight):
    """Weights of 1 until ``begin``, then those of another scheme (deferred re-weighting, DRW, arXiv 1906.07413).

    Args:
        weight: What any ``class_weight`` may be.
        begin: The first iteration with weights, or a share of the training if below 1. The paper defers by 0.8.
        max_ratio: Cap of the largest weight over the smallest, at least 1; the mean of the weights stays.

    ``ClassWeightHook`` tells it the iteration; ``mmimb train`` adds the hook. It has no state of its own: a resumed run
    follows from its iteration.
    """

    def __init__(self, weight: Any, begin: float, *, max_ratio: float | None = None) -> None:
        self.begin = number('begin', begin, least=0)
        self.max_ratio = checked_ratio(max_ratio)
        super().__init__()
        later = build_class_weight(weight)
        if later is None or isinstance(later, Deferred):
            raise TypeError(f'`weight` must be a list, a file or a scheme other than Deferred, got {weight!r}')
        self.later = later
        self.active = False
        if not later.reads_file:
            self.prepare()

    @property
    def reads_file(self) -> bool:
        return self.later.reads_file

    def compute_vectors(self, source: Any) -> Mapping[str, Tensor]:
        self.later.prepare()
        return {'weight': torch.ones_like(self.later.weight)}

    def step(self, iteration: int, max_iterations: int) -> bool:
        """Set the weights for ``iteration`` (from 0) of ``max_iterations``; return whether they changed."""
        begin = round(self.begin * max_iterations, 6) if self.begin < 1 else self.begin  # 0.07 * 100 is a little above 7
        active = iteration >= begin
        if active == self.active:
            return False
        self.prepare()
        self.active = active
        self.refresh()
        return True

    def refresh(self) -> None:
        """Take over the present weights of the scheme, which change if they follow a measurement."""
        self.weight = self._capped(self.later.weight) if self.active else torch.ones_like(self.later.weight)

    def _capped(self, weight: Tensor) -> Tensor:
        if self.max_ratio is None:
            return weight.clone()
        low = weight.clamp(max=float(self.max_ratio * weight[weight > 0].min()))
        return low * (weight.mean() / low.mean())
