"""Losses on regions: one term per class, averaged over the classes that occur in the batch."""
from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..checks import number
from ..dispatch import Upsample, upsampled_lovasz
from ..functional import lovasz_loss, occurring, positive_channels, soft_confusion, tversky_loss
from ..registry import MODELS
from .base import SegLoss


class RegionLoss(SegLoss):
    """A loss with one term per class. Subclasses implement :meth:`per_class`.

    ``use_sigmoid=True`` makes each channel a binary problem, which ``(N, 1, H, W)`` logits need; otherwise the terms are
    of the softmax. Ignored pixels get no gradient. ``reduction='mean'`` averages over the classes that are the label or the
    prediction of a valid pixel, ``'sum'`` adds them up; there is no value per pixel, so an OHEM sampler that ranks pixels by
    their loss (``thresh=None``) is refused, while its pixel weights count in every sum over pixels.
    """

    sigmoid = None

    def __init__(self, **common: Any) -> None:
        super().__init__(**common)
        if self.sync_avg:
            raise ValueError(f'`sync_avg` must be False for {type(self).__name__} (it is no mean over pixels), got True')

    @property
    def exempt(self) -> dict[str, str]:
        return {**super().exempt,
                'reductions': 'a region loss has no value per pixel',
                'mean': 'its mean is over classes',
                'pixel_weight': 'pixel weights count inside its sums over pixels',
                'class_weight': 'its weights belong to the terms of the average',
                'ohem_sampler': 'without a value per pixel it cannot rank pixels, and says so',
                'sync_avg': 'it is no mean over pixels and refuses the argument'}

    def per_class(self, prob: Tensor, positive: Tensor, weight: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the ``(C,)`` terms, and the mask of those that count if that is not for :func:`occurring` to say."""
        raise NotImplementedError

    def checked_reduction(self, reduction: str) -> str:
        if reduction not in ('mean', 'sum'):
            raise ValueError(f"`reduction` must be 'mean' or 'sum' for {type(self).__name__} (a region loss has no value per "
                             f'pixel, and cannot rank pixels for an OHEM sampler), got {reduction!r}')
        return reduction

    def value(self, logits: Tensor, target: Tensor, valid: Tensor, *, weight: Tensor | None, class_weight: Tensor | None,
              reduction: str, avg_factor: float | Tensor | None) -> Tensor:
        prob = logits.sigmoid() if self.sigmoid else logits.softmax(1)
        positive = positive_channels(logits, target)
        weight = weight.unsqueeze(1) if weight is not None and valid.ndim == prob.ndim else weight
        pixel = valid.to(prob.dtype) if weight is None else torch.where(valid, weight.to(prob.dtype), 0)
        terms, counts = self.per_class(prob, positive, pixel)
        counts = occurring(prob, positive, valid) if counts is None else counts
        return (terms * self._share(counts.to(prob.dtype), class_weight, reduction, avg_factor)).sum()

    def _share(self, counts: Tensor, class_weight: Tensor | None, reduction: str, avg_factor: float | Tensor | None) -> Tensor:
        """Return the ``(C,)`` factors of the terms, given 1 for those that count and 0 for the others."""
        used = counts if class_weight is None else counts * class_weight[-len(counts):]  # one channel: that of label 1
        if reduction == 'sum':
            return used
        if avg_factor is not None:
            return used / avg_factor
        divisor = counts.sum() if self.normalize == 'pixels' else used.sum()
        return used / torch.where(divisor > 0, divisor, 1)


@MODELS.register_module()
class DiceLoss(RegionLoss):
    """One minus the Dice coefficient of each class over the batch (arXiv 1606.04797), linear denominators."""

    def per_class(self, prob: Tensor, positive: Tensor, weight: Tensor) -> tuple[Tensor, Tensor | None]:
        return tversky_loss(soft_confusion(prob, positive, weight), alpha=0.5, beta=0.5), None


@MODELS.register_module()
class TverskyLoss(RegionLoss):
    """Dice with its own prices for false positives and false negatives (arXiv 1706.05721; focal: 1810.07842).

    Args:
        alpha: Price of a false positive.
        beta: Price of a false negative; more than ``alpha`` favours recall, which rare classes lack.
        gamma: Focal exponent of each class's term.
    """

    def __init__(self, alpha: float = 0.3, beta: float = 0.7, gamma: float = 1.0, **common: Any) -> None:
        self.alpha = number('alpha', alpha, least=0)
        self.beta = number('beta', beta, least=0)
        self.gamma = number('gamma', gamma, above=0)
        if self.alpha == self.beta == 0:
            raise ValueError('`alpha` or `beta` must be above 0, got 0 for both')
        super().__init__(**common)

    def per_class(self, prob: Tensor, positive: Tensor, weight: Tensor) -> tuple[Tensor, Tensor | None]:
        confusion = soft_confusion(prob, positive, weight)
        return tversky_loss(confusion, alpha=self.alpha, beta=self.beta, gamma=self.gamma), None


@MODELS.register_module()
class LovaszLoss(RegionLoss):
    """The Lovász extension of one minus IoU (arXiv 1705.08790), averaged over the classes with a label in the batch.

    Errors are counted in buckets in place of a sort (see :mod:`mmimb.functional.lovasz` for what that means for the value).
    """

    has_formula = False  # and so there is no kernel

    @property
    def needs_one_label(self) -> str:
        return 'its errors are counted pixel by pixel'

    @property
    def obstacle(self) -> str:
        return ''

    def per_class(self, prob: Tensor, positive: Tensor, weight: Tensor) -> tuple[Tensor, Tensor | None]:
        return lovasz_loss(prob, positive, weight)

    def total(self, logits: Tensor, target: Tensor, valid: Tensor, *, weight: Tensor | None, class_weight: Tensor | None,
              reduction: str, avg_factor: float | Tensor | None, upsample: Upsample) -> Tensor:
        dtype = torch.promote_types(logits.dtype, torch.float32)
        pixel = valid.to(dtype) if weight is None else torch.where(valid, weight.to(dtype), 0)
        return upsampled_lovasz(logits, target, pixel, lambda counts: self._share(counts, class_weight, reduction, avg_factor),
                                upsample, sigmoid=bool(self.sigmoid))
