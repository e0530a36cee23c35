"""The only adapter between pure functions and the decode-head call of MMSegmentation."""
from __future__ import annotations

import re
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ..checks import number, whole_number
from ..dispatch import Upsample, needs_full_logits
from ..functional import checked_reduction, upsampled, valid_labels
from ..stats import StatsModule
from ..weights import build_class_weight

DELETE_HINT = 'where a config inherits it from its base, write _delete_=True into the new loss_decode'


class SegLoss(StatsModule):
    """What all losses share: the arguments, the checks, and the call of a decode head. Subclasses implement :meth:`value`.

    Args:
        source: Statistics the subclass computes its vectors from (see :class:`mmimb.stats.StatsModule`).
        class_weight: A list, a ``.json``, ``.yaml`` or ``.npy`` file, or ``dict(type='mmimb.<scheme>', ...)``. Multiplies a
            pixel's loss by its label's weight (losses on logits or softmax), a channel's binary loss (sigmoid), or a
            class's term in the average (region losses).
        reduction: ``'mean'``, ``'sum'`` or ``'none'``.
        normalize: ``'pixels'``: the mean divides by the valid pixels. ``'weights'``: by the sum of the weights used.
        loss_weight: Factor of the result.
        loss_name: Key in the log; contains ``loss``. ``LDAMLoss`` gives ``loss_ldam``.
        ignore_index: Label of pixels that do not count, unless the head says another.
        sync_avg: Divide by the average over all ranks, so that k ranks with batch b equal one rank with batch k·b.
        use_sigmoid: Accepted if it agrees with the loss: configs inherit it from mmseg's bases.
    """

    sigmoid: bool | None = False  # None: the loss exists for both, and `use_sigmoid` chooses
    extra_channels = 0  # of the logits, beside those of the classes

    def __init__(self, source: Any = None, *, class_weight: Any = None, reduction: str = 'mean', normalize: str = 'pixels',
                 loss_weight: float = 1.0, loss_name: str | None = None, ignore_index: int = 255, sync_avg: bool = False,
                 use_sigmoid: bool | None = None, **inherited: Any) -> None:
        super().__init__(source)
        name = type(self).__name__
        if '_delete_' in inherited:
            raise TypeError(f'`_delete_` must be left out for {name} where the base has no setting of this name to delete')
        if inherited:
            raise TypeError(f'`{next(iter(inherited))}` is no argument of {name}; {DELETE_HINT}')
        if self.sigmoid is None:
            self.sigmoid = bool(use_sigmoid)
        elif use_sigmoid is not None and bool(use_sigmoid) != self.sigmoid:
            raise ValueError(f'`use_sigmoid` must be {self.sigmoid} or absent for {name}, got {use_sigmoid!r}; {DELETE_HINT}')
        if normalize not in ('pixels', 'weights'):
            raise ValueError(f"`normalize` must be 'pixels' or 'weights', got {normalize!r}")
        if not isinstance(sync_avg, bool):
            raise TypeError(f'`sync_avg` must be True or False, got {sync_avg!r}')
        if loss_name is not None and (not isinstance(loss_name, str) or 'loss' not in loss_name):
            raise ValueError(f"`loss_name` must contain 'loss' (mmseg adds up only such keys), got {loss_name!r}")
        self.class_weight = build_class_weight(class_weight)
        self.reduction = self.checked_reduction(reduction)
        self.normalize = normalize
        self.loss_weight = number('loss_weight', loss_weight)
        self.loss_name = loss_name if loss_name is not None else _default_name(name)
        self.ignore_index = whole_number('ignore_index', ignore_index)
        self.sync_avg = sync_avg
        self.prepare_unless_file()

    @property
    def activation(self) -> str:
        """What the loss applies to logits before it compares them with labels: ``'softmax'``, ``'sigmoid'`` or ``'none'``."""
        return 'sigmoid' if self.sigmoid else 'softmax'

    @property
    def exempt(self) -> dict[str, str]:
        """Questions of :mod:`mmimb.testing` that do not apply to this loss, with the reason."""
        return {} if self.sigmoid else {'binary': 'without a sigmoid per channel, a loss needs two channels or more'}

    @property
    def obstacle(self) -> str:
        """Why the loss needs logits of the size of the labels; empty if it can be computed without them."""
        return 'it is no sum over pixels'

    @property
    def needs_one_label(self) -> str:
        """Why a pixel must have one label; empty if the loss takes a map of 0, 1 and ``ignore_index`` for each class, too."""
        return '' if self.sigmoid else 'it compares the classes of a pixel with each other'

    def value(self, logits: Tensor, target: Tensor, valid: Tensor, *, weight: Tensor | None, class_weight: Tensor | None,
              reduction: str, avg_factor: float | Tensor | None) -> Tensor:
        """Return the reduced loss of checked inputs: labels in range where ``valid``, 0 elsewhere."""
        raise NotImplementedError

    def total(self, logits: Tensor, target: Tensor, valid: Tensor, *, weight: Tensor | None, class_weight: Tensor | None,
              reduction: str, avg_factor: float | Tensor | None, upsample: Upsample) -> Tensor:
        """Return the same value from logits of low resolution, for losses without an :attr:`obstacle`.

        Labels are in range where ``valid``; at other pixels they can be any number.
        """
        raise NotImplementedError

    def forward(self, logits: Tensor, target: Tensor, weight: Tensor | None = None,
                avg_factor: float | Tensor | None = None, reduction_override: str | None = None,
                ignore_index: int | None = None, upsample: Upsample | None = None) -> Tensor:
        """Compute the loss as mmseg's decode heads ask for it.

        Args:
            logits: ``(N, C, *)`` scores; computed in float32 at least, never written to.
            target: ``(N, *)`` labels in ``[0, C)`` or ``ignore_index``; 0 and 1 for ``C = 1``. Where a pixel can have several
                labels: ``(N, C, *)`` maps of 0, 1 and ``ignore_index``, for losses that are not said to need one label.
            weight: ``(N, *)`` pixel weights; those of ignored pixels can be any number.
            avg_factor: What ``'mean'`` divides by, instead of the rule of ``normalize``.
            reduction_override: Replaces ``reduction`` for this call.
            ignore_index: Replaces the constructor's for this call.
            upsample: For ``(N, C, h, w)`` logits that are not of the size of the labels: how to interpolate them.

        Returns:
            A scalar, or for ``'none'`` the shape of the labels with zeros where they are ignored; exactly 0 where no pixel is
            valid.

        Raises:
            ValueError: Shapes or classes do not fit, a label is out of range, the reduction is unknown, the way to up-sample
                does not exist for the loss, the device or the dtype.
        """
        reduction = self.reduction if reduction_override is None else self.checked_reduction(reduction_override)
        if avg_factor is not None and reduction != 'mean':
            raise ValueError(f"`avg_factor` must be None unless reduction='mean', got {avg_factor!r}")
        self.prepare()
        self._check(logits, target, weight, upsample)
        if target.ndim == logits.ndim and logits.shape[1] == 1:
            target = target.squeeze(1)
        labels = max(logits.shape[1], 2) if target.ndim < logits.ndim else 2
        target = target.long()
        valid = valid_labels(target, self.ignore_index if ignore_index is None else ignore_index, labels)
        compute: Any = self.value
        if upsample is not None and not self._needs_full_logits(upsample, weight, reduction):
            compute = partial(self.total, upsample=upsample)
        else:
            target = target.masked_fill(~valid, 0)
            logits = logits if upsample is None else upsampled.upsample(logits, target.shape[-2:], upsample.align_corners)
            logits = logits if logits.dtype.itemsize >= 4 else logits.float()
        return self.loss_weight * compute(logits, target, valid, weight=weight, reduction=reduction,
                                          class_weight=self._class_weight(logits), avg_factor=avg_factor)

    def vector(self, name: str, logits: Tensor) -> Tensor:
        """Return vector ``name`` for ``(N, C, *)`` logits, in float32 at least, or refuse it if it has not C entries."""
        vector: Tensor = getattr(self, name)
        if vector.numel() != logits.shape[1]:
            raise ValueError(f'`stats` must have the {logits.shape[1]} classes of the logits, got {vector.numel()}')
        return vector.to(logits.device, torch.promote_types(logits.dtype, torch.float32))

    def checked_reduction(self, reduction: str) -> str:
        """Return ``reduction`` if the loss has it."""
        return checked_reduction(reduction)

    def _class_weight(self, logits: Tensor) -> Tensor | None:
        if self.class_weight is None:
            return None
        self.class_weight.prepare()
        weight, labels = self.class_weight.weight, max(logits.shape[1], 2)
        if weight.numel() != labels:
            raise ValueError(f'`class_weight` must have one entry per class ({labels}), got {weight.numel()}')
        return weight.to(logits.device, torch.promote_types(logits.dtype, torch.float32))

    def _needs_full_logits(self, upsample: Upsample, weight: Tensor | None, reduction: str) -> bool:
        obstacle = "reduction='none' asks for a value per pixel" if reduction == 'none' else self.obstacle
        if weight is not None and weight.requires_grad and torch.is_grad_enabled():
            obstacle = 'the pixel weights want a gradient'
        return needs_full_logits(upsample.mode, type(self).__name__, obstacle)

    def _check(self, logits: Tensor, target: Tensor, weight: Tensor | None, upsample: Upsample | None) -> None:
        several = target.ndim == logits.ndim
        begin = logits.shape[:2] if several else logits.shape[:1]
        size = target.shape[-2:] if upsample is not None and target.ndim > 2 else logits.shape[2:]
        if logits.ndim < 2 or (upsample is not None and logits.ndim != 4) or target.shape != begin + size:
            shapes = '(N, H, W) for (N, C, h, w)' if upsample is not None else '(N, *) of (N, C, *)'
            raise ValueError(f'`target` must have the shape {shapes} logits, one label for each pixel, got '
                             f'{tuple(target.shape)} for {tuple(logits.shape)}')
        if several and logits.shape[1] > 1 and self.needs_one_label:
            raise ValueError(f'`target` must have one label for each pixel with {type(self).__name__} ({self.needs_one_label}; '
                             'mmimb.BinaryCrossEntropyLoss takes several, and FocalLoss, DiceLoss and TverskyLoss do with '
                             f'use_sigmoid=True), got {tuple(target.shape)}, a map for each class')
        if upsample is not None and 0 in (*logits.shape[1:], *target.shape[1:]):
            raise ValueError(f'`logits` and `target` must not be empty, got {tuple(logits.shape)} and {tuple(target.shape)}')
        if weight is not None and weight.shape != (pixels := target.shape[:1] + size):
            raise ValueError(f'`weight` must have the shape {tuple(pixels)} of the pixels, got {tuple(weight.shape)}')
        if logits.shape[1] < 2 and not self.sigmoid:
            raise ValueError(f'`logits` must have at least 2 channels for this loss, got {tuple(logits.shape)}; heads with '
                             'out_channels=1 need a sigmoid loss')
        if target.is_floating_point() or target.is_complex():
            raise TypeError(f'`target` must hold integer labels, got {target.dtype}')


def _default_name(name: str) -> str:
    """``OutlyingMSELoss`` → ``loss_outlying_mse``."""
    words = re.sub(r'(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])', '_', name.removesuffix('Loss'))
    return f'loss_{words.lower()}'
