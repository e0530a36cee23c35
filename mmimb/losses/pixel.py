"""Losses with one value per pixel."""
from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor

from ..dispatch import Formula, Upsample, implementation
from ..functional import reduce_pixels, strips
from .base import SegLoss


class PixelLoss(SegLoss):
    """A loss with one value per pixel, averaged over the valid pixels. Subclasses implement :meth:`per_pixel`.

    Those that are one of our formulas say it in :meth:`formula`: it is faster on low-resolution logits, and there are kernels.

    The arguments are those of :class:`SegLoss`.
    """

    @property
    def obstacle(self) -> str:
        kind = type(self)
        if kind.value is not PixelLoss.value:
            return 'it has a value() of its own'
        if kind.select is not PixelLoss.select:
            return 'it chooses among all pixels of the batch'
        if self.reduction == 'none':
            return "reduction='none' asks for a value per pixel"
        if self.has_formula:
            return ''
        learnt = any(parameter.requires_grad for parameter in self.parameters())
        return 'it has parameters of its own' if learnt else self.exempt.get('rows', '')

    def per_pixel(self, logits: Tensor, target: Tensor, valid: Tensor, class_weight: Tensor | None) -> Tensor:
        """Return the ``(N, *)`` losses of ``(N, C, *)`` logits, in their dtype; ignored pixels may hold any finite number."""
        raise NotImplementedError

    def formula(self, logits: Tensor, target: Tensor, valid: Tensor, class_weight: Tensor | None) -> Formula | None:
        """Return :meth:`per_pixel` as a formula, without weights of labels; None if it is none of ours.

        Args:
            logits: ``(N, C, h, w)`` scores, of which only shape, dtype and device count.
            target: ``(N, H, W)`` labels, in range where valid.
            valid: ``(N, H, W)`` mask of the pixels that count.
            class_weight: ``(C,)`` weights; those of channels are part of the formula, those of labels are not.
        """
        return None

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

    def total(self, logits: Tensor, target: Tensor, valid: Tensor, *, weight: Tensor | None, class_weight: Tensor | None,
              reduction: str, avg_factor: float | Tensor | None, upsample: Upsample) -> Tensor:
        dtype = torch.promote_types(logits.dtype, torch.float32)
        used = self.weight_of(_cleaned(target, valid), class_weight, logits.shape[1]) if class_weight is not None else None
        coefficient = valid.to(dtype) if weight is None else torch.where(valid, weight.to(dtype), 0)
        if reduction == 'mean':
            coefficient = coefficient.div_(self._divisor(valid, weight, used) if avg_factor is None else avg_factor)
        formula = self.formula(logits, target, valid, class_weight) if self.has_formula else None
        functions = implementation(upsample.mode, formula, logits)
        if formula is None:
            return strips.sum_over_strips(logits, coefficient, lambda z, images, rows: self.per_pixel(
                z, _cleaned(target[images, rows], valid[images, rows]), valid[images, rows], class_weight),
                align_corners=upsample.align_corners)
        if used is not None and used.ndim:
            coefficient = coefficient * used
        target = target if functions is strips else _cleaned(target, valid)
        return formula.total(functions, logits, target, coefficient, upsample.align_corners)

    @property
    def has_formula(self) -> bool:
        """Whether the loss is one of our formulas, for which there are kernels.

        The formula must be of the class that :meth:`per_pixel` is of, or of one derived from it.
        """
        places = {name: place for place, kind in reversed(list(enumerate(type(self).__mro__))) for name in vars(kind)}
        return type(self).formula is not PixelLoss.formula and places['formula'] <= places['per_pixel']

    def weight_of(self, target: Tensor, class_weight: Tensor | None, channels: int) -> Tensor | None:
        """Return the weight that a pixel's loss was multiplied by, as ``(N, *)`` or a scalar."""
        if class_weight is None:
            return None
        if self.sigmoid and channels > 1:
            return class_weight.mean()  # each channel has its own; their losses are averaged
        return class_weight[target]

    def _divisor(self, valid: Tensor, weight: Tensor | None, used: Tensor | None) -> Tensor:
        if self.normalize == 'weights':
            valid = valid if weight is None else torch.where(valid, weight, 0)
            valid = valid if used is None else valid * used
        total = valid.count_nonzero() if valid.dtype == torch.bool else valid.sum()
        if self.sync_avg and dist.is_available() and dist.is_initialized():
            total = total.double() / dist.get_world_size()
            dist.all_reduce(total)
        return torch.where(total > 0, total, 1)


def _cleaned(target: Tensor, valid: Tensor) -> Tensor:
    """Return labels that can index: 0 where ignored."""
    return target.masked_fill(~valid, 0)
