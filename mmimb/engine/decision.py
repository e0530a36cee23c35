"""The last layer of a model, where decision offsets go."""
from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..heads import CosineClassifier, head_losses, last_head, unwrapped, uses_cls_seg
from ..loss_places import NO_BIAS
from ..weights import ClassWeight, Deferred

RULE = '`CHECKPOINT` must be of a model whose last decode head ends with conv_seg'


class Classifier:
    """The last layer of the last decode head of ``model``, and what it was without offsets.

    Args:
        model: A segmentor (wrapped or not).

    Raises:
        ValueError: Its scores cannot be shifted by a bias; the message says why.
    """

    def __init__(self, model: nn.Module) -> None:
        inner = unwrapped(model)
        head = last_head(inner)
        reason = _obstacle(head)
        if reason:
            raise ValueError(f'{RULE}, got {reason}')
        self.head, self.conv = head, head.conv_seg
        cosine = isinstance(self.conv, CosineClassifier)
        self.place = 'offsets' if cosine else 'bias'  # a cosine classifier has no bias
        self.key = f'{next(name for name, module in inner.named_modules() if module is self.conv)}.{self.place}'
        self.scale = float(self.conv.scale) if cosine else 1.0
        self.binary = self.conv.out_channels == 1
        self.restore(self.value)

    @property
    def value(self) -> Tensor | None:
        """The bias of the layer, or the offsets of a cosine classifier; None if that has none."""
        value: Tensor | None = getattr(self.conv, self.place)
        return value

    @property
    def num_classes(self) -> int:
        """Classes of a decision: 2 with one channel and a threshold."""
        return 2 if self.binary else int(self.conv.out_channels)

    def restore(self, bias: Tensor | None) -> None:
        """Make ``bias`` (None for a cosine classifier) that of the layer without offsets."""
        self.base = None if bias is None else bias.detach().clone().to(self.conv.weight.device)
        self.shift(np.zeros(self.num_classes))

    def shift(self, offsets: np.ndarray) -> None:
        """Add ``(num_classes,)`` offsets to the scores without offsets; all equal: the same bits as without."""
        if not offsets.any():
            self._set(None if self.base is None else self.base.clone())
            return
        moved = torch.as_tensor(offsets[1:] - offsets[:1] if self.binary else offsets / self.scale,
                                device=self.conv.weight.device)
        bias = moved if self.base is None else self.base.double() + moved
        self._set(bias.to(self.conv.weight.dtype))

    def _set(self, value: Tensor | None) -> None:
        setattr(self.conv, self.place, value if value is None or self.place == 'offsets' else nn.Parameter(value, False))

    def scores(self, logits: Tensor) -> Tensor:
        """Return the ``(num_classes, H, W)`` scores whose largest one is the prediction.

        Args:
            logits: ``(C, H, W)`` of a prediction; with one channel the probabilities that mmseg returns.
        """
        if not self.binary:
            return logits
        edge = math.log(self.head.threshold / (1 - self.head.threshold))
        foreground = torch.logit(logits.double().clamp(1e-38, 1 - 1e-16))
        return torch.cat([torch.full_like(foreground, edge), foreground])

    def check(self, predict: Any) -> None:
        """Refuse a model whose scores do not move as its bias does.

        Args:
            predict: Function that returns the ``(num_classes, H, W)`` scores of an image.
        """
        before = predict()
        size = float(before.std()) or 1.0
        probe = size * np.linspace(-1, 1, self.num_classes)
        try:
            self.shift(probe)
            moved = predict() - before
        finally:
            self.shift(np.zeros(self.num_classes))
        expected = torch.as_tensor(probe, device=moved.device).view(-1, 1, 1)
        reach = 12.0 if self.binary else math.inf  # beyond, sigmoids in float32 are flat
        inside = before.abs() + 2 * size < reach
        error = ((moved - moved[:1]) - (expected - expected[:1])).abs()[inside]
        if error.numel() and float(error.max()) > 0.02 * size:
            raise ValueError(f'{RULE}, got {type(self.head).__name__}, whose scores do not move with the bias of conv_seg')


def correction_notices(losses: Sequence[nn.Module]) -> list[str]:
    """Return what the user should know about losses that correct for the class shares already."""
    notices = []
    for loss in losses:
        name, tau = type(loss).__name__, getattr(loss, 'tau', None)
        if isinstance(tau, (int, float)) and tau:
            notices.append(f'{name}(tau={tau:g}) has corrected for the class shares in training; the offsets come on top of it')
        if getattr(loss, 'class_weight', None) is not None:
            notices.append(f'the class_weight of {name} has shifted the class shares in training; the offsets may take it back')
    return notices


def class_weights_of(losses: Sequence[nn.Module]) -> list[float] | None:
    """Return the class weights of a head that learns by softmax cross-entropy alone; None for any other head.

    Those of ``DifficultyBalanced`` are the last ones of the training; of ``Deferred`` ones there are none.

    Raises:
        ValueError, OSError: The report that the weights come from cannot be read.
    """
    kinds = [type(loss).__name__ for loss in losses]  # ours, or mmseg's, which can be another loss by its arguments
    if kinds != ['CrossEntropyLoss'] or any(getattr(losses[0], key, False) for key in ('use_sigmoid', 'use_mask')):
        return None
    weight: Any = losses[0].class_weight
    if weight is None or isinstance(weight, Deferred):
        return None
    if isinstance(weight, ClassWeight):
        weight.prepare()  # a model for inference has not read its report
        weight = weight.weight
    values = torch.as_tensor(weight, dtype=torch.float64)
    return values.tolist() if bool((values > 0).any()) else None


def losses_of(model: nn.Module) -> list[nn.Module]:
    """Return the losses of the last decode head."""
    return head_losses(last_head(unwrapped(model)))


def _obstacle(head: Any) -> str:
    """Return why no bias shifts the scores of ``head``; nothing if one does."""
    if head is None:
        return 'a model without a decode head'
    for kind in type(head).__mro__:
        if kind.__name__ in NO_BIAS:
            return NO_BIAS[kind.__name__]
    conv = getattr(head, 'conv_seg', None)
    if conv is None or not uses_cls_seg(type(head)):
        return f'{type(head).__name__}, which classifies in another way'
    if isinstance(conv, CosineClassifier):
        return ''
    if type(conv) is not nn.Conv2d:
        return f'{type(head).__name__} with a {type(conv).__name__} in its place'
    if conv.bias is None:
        return f'{type(head).__name__}, whose conv_seg has no bias'
    if conv.out_channels == 1 and not 0 < head.threshold < 1:
        return f'{type(head).__name__} with the threshold {head.threshold!r}, which no score reaches'
    return ''
