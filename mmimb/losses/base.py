"""The only adapter between a pure per-pixel function and the decode-head call of MMSegmentation."""
from __future__ import annotations

import re
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from ..functional import REDUCTIONS, reduce_pixels, split_ignore
from ..stats import StatsModule
from ..weights import build_class_weight


class PixelLoss(StatsModule):
    """A loss with one value per pixel. Subclasses implement :meth:`per_pixel`; all that mmseg asks for lives here.

    Args:
        source: Statistics the subclass computes its vectors from (see :class:`mmimb.stats.StatsModule`).
        class_weight: A list, a ``.json``, ``.yaml`` or ``.npy`` file, or ``dict(type='mmimb.<scheme>', ...)``; multiplies
            a pixel's loss by the weight of its label.
        reduction: ``'mean'``, ``'sum'`` or ``'none'``.
        normalize: ``'pixels'``: the mean divides by the valid pixels. ``'weights'``: by the sum of the weights used.
        loss_weight: Factor of the result.
        loss_name: Key in the log; contains ``loss``. ``LDAMLoss`` gives ``loss_ldam``.
        ignore_index: Label of pixels that do not count, unless the head says another.
        sync_avg: Divide by the average over all ranks, so that k ranks with batch b equal one rank with batch k·b.
        use_sigmoid: Accepted if it agrees with the loss: configs inherit it from mmseg's bases.
    """

    sigmoid = False
    vectors: tuple[str, ...] = ()

    def __init__(self, source: Any = None, *, class_weight: Any = None, reduction: str = 'mean', normalize: str = 'pixels',
                 loss_weight: float = 1.0, loss_name: str | None = None, ignore_index: int = 255, sync_avg: bool = False,
                 use_sigmoid: bool | None = None, **inherited: Any) -> None:
        super().__init__(source)
        name = type(self).__name__
        if inherited:
            raise TypeError(f'`{next(iter(inherited))}` is no argument of {name}; where a config inherits it from its base, '
                            'write _delete_=True into the new loss_decode')
        if use_sigmoid is not None and bool(use_sigmoid) != self.sigmoid:
            raise ValueError(f'`use_sigmoid` must be {self.sigmoid} or absent for {name}, got {use_sigmoid!r}; where a config '
                             'inherits it from its base, write _delete_=True into the new loss_decode')
        if normalize not in ('pixels', 'weights'):
            raise ValueError(f"`normalize` must be 'pixels' or 'weights', got {normalize!r}")
        if isinstance(ignore_index, bool) or not isinstance(ignore_index, int):
            raise TypeError(f'`ignore_index` must be an integer, got {ignore_index!r}')
        self.class_weight = build_class_weight(class_weight)
        self.reduction = _reduction(reduction)
        self.normalize = normalize
        self.loss_weight = loss_weight
        self.loss_name = loss_name if loss_name is not None else _default_name(name)
        if 'loss' not in self.loss_name:
            raise ValueError(f"`loss_name` must contain 'loss' (mmseg adds up only such keys), got {loss_name!r}")
        self.ignore_index = ignore_index
        self.sync_avg = sync_avg
        self.prepare_unless_file()

    def per_pixel(self, logits: Tensor, target: Tensor, class_weight: Tensor | None) -> Tensor:
        """Return the ``(N, *)`` losses of ``(N, C, *)`` logits, in their dtype, for labels in ``[0, C)``."""
        raise NotImplementedError

    def forward(self, logits: Tensor, target: Tensor, weight: Tensor | None = None,
                avg_factor: float | Tensor | None = None, reduction_override: str | None = None,
                ignore_index: int | None = None) -> Tensor:
        """Compute the loss as mmseg's decode heads ask for it.

        Args:
            logits: ``(N, C, *)`` scores; computed in float32 at least, never written to.
            target: ``(N, *)`` labels in ``[0, C)`` or ``ignore_index``.
            weight: ``(N, *)`` pixel weights.
            avg_factor: What ``'mean'`` divides by, instead of the rule of ``normalize``.
            reduction_override: Replaces ``reduction`` for this call.
            ignore_index: Replaces the constructor's for this call.

        Returns:
            A scalar, or ``(N, *)`` with zeros at ignored pixels for ``'none'``; exactly 0 where no pixel is valid.

        Raises:
            ValueError: Shapes or classes do not fit, a label is out of range, the reduction is unknown.
        """
        reduction = self.reduction if reduction_override is None else _reduction(reduction_override)
        self.prepare()
        logits, target = _checked(logits, target)
        class_weight = self._class_weight(logits)
        target, valid = split_ignore(target, self.ignore_index if ignore_index is None else ignore_index, logits.shape[1])
        loss = self.per_pixel(logits, target, class_weight)
        if reduction != 'mean':
            if avg_factor is not None:
                raise ValueError(f"`avg_factor` must be None unless reduction='mean', got {avg_factor!r}")
            return self.loss_weight * reduce_pixels(loss, valid, weight=weight, reduction=reduction)
        divisor = self._divisor(target, valid, weight, class_weight) if avg_factor is None else avg_factor
        return self.loss_weight * reduce_pixels(loss, valid, weight=weight, divisor=divisor)

    def vector(self, name: str, logits: Tensor) -> Tensor:
        """Return vector ``name`` in the dtype of ``(N, C, *)`` logits, or refuse it if it has not C entries."""
        vector: Tensor = getattr(self, name)
        if vector.numel() != logits.shape[1]:
            raise ValueError(f'`stats` must have the {logits.shape[1]} classes of the logits, got {vector.numel()}')
        return vector.to(logits.device, logits.dtype)

    def _class_weight(self, logits: Tensor) -> Tensor | None:
        if self.class_weight is None:
            return None
        self.class_weight.prepare()
        weight = self.class_weight.weight
        if weight.numel() != logits.shape[1]:
            raise ValueError(f'`class_weight` must have one entry per class ({logits.shape[1]}), got {weight.numel()}')
        return weight.to(logits.device, logits.dtype)

    def _divisor(self, target: Tensor, valid: Tensor, weight: Tensor | None, class_weight: Tensor | None) -> Tensor:
        if self.normalize == 'pixels' or (class_weight is None and weight is None):
            total = valid.sum()
        else:
            used = valid if class_weight is None else class_weight[target] * valid
            total = (used if weight is None else used * weight).sum()
        if self.sync_avg and dist.is_available() and dist.is_initialized():
            total = total.double() / dist.get_world_size()
            dist.all_reduce(total)
        return torch.where(total > 0, total, 1)


def _checked(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    if logits.ndim < 2 or target.shape != logits.shape[:1] + logits.shape[2:]:
        raise ValueError(f'`target` must have the shape (N, *) of (N, C, *) logits, got {tuple(target.shape)} '
                         f'for {tuple(logits.shape)}')
    if logits.shape[1] < 2:
        raise ValueError(f'`logits` must have at least 2 channels for this loss, got {tuple(logits.shape)}; '
                         'binary heads with out_channels=1 need a sigmoid loss')
    return logits if logits.dtype.itemsize >= 4 else logits.float(), target.long()


def _reduction(reduction: str) -> str:
    if reduction not in REDUCTIONS:
        raise ValueError(f'`reduction` must be one of {REDUCTIONS}, got {reduction!r}')
    return reduction


def _default_name(name: str) -> str:
    """``OutlyingMSELoss`` → ``loss_outlying_mse``."""
    words = re.sub(r'(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])', '_', name.removesuffix('Loss'))
    return f'loss_{words.lower()}'
