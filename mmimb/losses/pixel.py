"""Losses with one value per pixel."""
from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor

from ..functional import reduce_pixels
from .base import SegLoss


class PixelLoss(SegLoss):
    """A loss with one value per pixel, averaged over the valid pixels. Subclasses implement :meth:`per_pixel`.

    The arguments are those of :class:`SegLoss`.
    """

    def per_pixel(self, logits: Tensor, target: Tensor, valid: Tensor, class_weight: Tensor | None) -> Tensor:
        """Return the ``(N, *)`` losses of ``(N, C, *)`` logits, in their dtype; ignored pixels may hold any finite number."""
        raise NotImplementedError

    def select(self, logits: Tensor, target: Tensor, valid: Tensor) -> Tensor:
        """Return the ``(N, *)`` mask of the pixels that count: all valid ones, unless a loss chooses among them."""
        return valid

    def value(self, logits: Tensor, target: Tensor, valid: Tensor, *, weight: Tensor | None, class_weight: Tensor | None,
              reduction: str, avg_factor: float | Tensor | None) -> Tensor:
        valid = self.select(logits, target, valid)
        loss = self.per_pixel(logits, target, valid, class_weight)
        if reduction != 'mean':
            return reduce_pixels(loss, valid, weight=weight, reduction=reduction)
        if avg_factor is None:
            avg_factor = self._divisor(valid, weight, self.weight_of(target, class_weight, logits.shape[1]))
        return reduce_pixels(loss, valid, weight=weight, divisor=avg_factor)

    def weight_of(self, target: Tensor, class_weight: Tensor | None, channels: int) -> Tensor | None:
        """Return the weight that a pixel's loss was multiplied by, as ``(N, *)`` or a scalar."""
        if class_weight is None:
            return None
        if self.sigmoid and channels > 1:
            return class_weight.mean()  # each channel has its own; their losses are averaged
        return class_weight[target]

    def _divisor(self, valid: Tensor, weight: Tensor | None, used: Tensor | None) -> Tensor:
        if self.normalize == 'weights':
            valid = valid if weight is None else valid * weight
            valid = valid if used is None else valid * used
        total = valid.sum()
        if self.sync_avg and dist.is_available() and dist.is_initialized():
            total = total.double() / dist.get_world_size()
            dist.all_reduce(total)
        return torch.where(total > 0, total, 1)
