"""Losses with one value per pixel."""
from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor

from ..dispatch import Formula, Upsample, upsampled_sum
from ..functional import per_class, reduce_pixels
from .base import SegLoss


class PixelLoss(SegLoss):
    """A loss with one value per pixel, averaged over the valid pixels. Subclasses implement :meth:`formula`.

    The weights of labels are applied here. A loss that is no function of a pixel's logits and label alone overrides
    :meth:`per_pixel` instead, and applies them itself.

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
        if any(parameter.requires_grad for parameter in self.parameters()):
            return 'it has parameters of its own'
        return '' if self.has_formula else self.exempt.get('rows', '')

    def formula(self, logits: Tensor, target: Tensor, valid: Tensor, class_weight: Tensor | None) -> Formula:
        """Return the loss as a formula, without the weights of labels.

        Args:
            logits: ``(N, C, *)`` scores, of low resolution or not; only their number, channels, dtype and device count.
            target: ``(N, *)`` labels, in range where valid.
            valid: ``(N, *)`` mask of the pixels that count.
            class_weight: ``(C,)`` weights; those of channels are part of the formula, those of labels are not.
        """
        raise NotImplementedError

    def per_pixel(self, logits: Tensor, target: Tensor, valid: Tensor, class_weight: Tensor | None) -> Tensor:
        """Return the ``(N, *)`` losses of ``(N, C, *)`` logits, in their dtype; ignored pixels may hold any finite number."""
        loss = self.formula(logits, target, valid, class_weight).per_pixel(logits, target)
        return _weighted(loss, self.weight_of(target, class_weight, logits.shape[1]))

    @property
    def has_formula(self) -> bool:
        """Whether the loss is its :meth:`formula`, and not a :meth:`per_pixel` of its own."""
        return type(self).per_pixel is PixelLoss.per_pixel

    def select(self, logits: Tensor, target: Tensor, valid: Tensor) -> Tensor:
        """Return the ``(N, *)`` mask of the pixels that count: all valid ones, unless a loss chooses among them."""
        return valid

    def value(self, logits: Tensor, target: Tensor, valid: Tensor, *, weight: Tensor | None, class_weight: Tensor | None,
              reduction: str, avg_factor: float | Tensor | None) -> Tensor:
        shape = target.shape
        if target.ndim == logits.ndim:
            logits, target, valid, weight = by_channel(logits, target, valid, weight, class_weight)
            class_weight = None
        valid = self.select(logits, target, valid)
        loss = self.per_pixel(logits, target, valid, class_weight)
        if reduction != 'mean':
            total = reduce_pixels(loss, valid, weight=weight, reduction=reduction)
            return total.view(shape) if reduction == 'none' else total
        if avg_factor is None:
            avg_factor = self._divisor(valid, weight, self.weight_of(target, class_weight, logits.shape[1]))
        return reduce_pixels(loss, valid, weight=weight, divisor=avg_factor)

    def total(self, logits: Tensor, target: Tensor, valid: Tensor, *, weight: Tensor | None, class_weight: Tensor | None,
              reduction: str, avg_factor: float | Tensor | None, upsample: Upsample) -> Tensor:
        if target.ndim == logits.ndim:
            logits, target, valid, weight = by_channel(logits, target, valid, weight, class_weight)
            class_weight = None
        dtype = torch.promote_types(logits.dtype, torch.float32)
        used = self.weight_of(_cleaned(target, valid), class_weight, logits.shape[1]) if class_weight is not None else None
        coefficient = valid.to(dtype) if weight is None else torch.where(valid, weight.to(dtype), 0)
        if reduction == 'mean':
            coefficient = coefficient.div_(self._divisor(valid, weight, used) if avg_factor is None else avg_factor)
        if self.has_formula:
            formula = self.formula(logits, target, valid, class_weight)
            return upsampled_sum(formula, logits, target, _weighted(coefficient, used), upsample)

        def losses(z: Tensor, images: slice, rows: slice) -> Tensor:
            inside = valid[images, rows]
            return self.per_pixel(z, _cleaned(target[images, rows], inside), inside, class_weight)

        return upsampled_sum(losses, logits, target, coefficient, upsample)

    def weight_of(self, target: Tensor, class_weight: Tensor | None, channels: int) -> Tensor | None:
        """Return the class weight in a pixel's loss: ``(N, *)``, that of the label, or a scalar if it belongs to channels.

        With several sigmoid channels each has its own weight, which the formula applies; their average is the scalar.
        """
        if class_weight is None:
            return None
        return class_weight.mean() if self.sigmoid and channels > 1 else class_weight[target]

    def _divisor(self, valid: Tensor, weight: Tensor | None, used: Tensor | None) -> Tensor:
        if self.normalize == 'weights':
            valid = valid if weight is None else torch.where(valid, weight, 0)
            valid = valid if used is None else valid * used
        total = valid.count_nonzero() if valid.dtype == torch.bool else valid.sum()
        if self.sync_avg and dist.is_available() and dist.is_initialized():
            total = total.double() / dist.get_world_size()
            dist.all_reduce(total)
        return torch.where(total > 0, total, 1)


def by_channel(logits: Tensor, target: Tensor, valid: Tensor, weight: Tensor | None,
               class_weight: Tensor | None) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """Return pixels with several labels as the same number of binary problems: a channel of an image becomes an image.

    Args:
        logits: ``(N, C, *)`` scores.
        target: ``(N, C, *)`` labels 0 and 1.
        valid: ``(N, C, *)`` mask of the labels that count.
        weight: ``(N, *)`` pixel weights.
        class_weight: ``(C,)`` weights, which become part of the pixel weights.

    Returns:
        ``(N·C, 1, *)`` logits, and ``(N·C, *)`` labels, mask and weights.
    """
    if weight is not None:
        weight = weight.unsqueeze(1).expand_as(target)
    if class_weight is not None:
        used = per_class(class_weight, target).expand_as(target)
        weight = used if weight is None else used * weight
    flat = None if weight is None else weight.flatten(0, 1)
    return logits.flatten(0, 1).unsqueeze(1), target.flatten(0, 1), valid.flatten(0, 1), flat


def _cleaned(target: Tensor, valid: Tensor) -> Tensor:
    """Return labels that can index: 0 where ignored."""
    return target.masked_fill(~valid, 0)


def _weighted(values: Tensor, used: Tensor | None) -> Tensor:
    """Multiply ``(N, *)`` values by the weights of the labels; those of channels (a scalar) are in the formula already."""
    return values if used is None or not used.ndim else used * values
