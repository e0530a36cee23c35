"""A decode head of the user's choice with another last layer."""
from __future__ import annotations

from functools import cache
from types import new_class
from typing import Any

from torch import Tensor, nn

from ..dispatch import Upsample
from ..registry import MODELS
from .classifier import CosineClassifier
from .introspect import head_losses, loss_scale, uses_cls_seg
from .upsampled import announce, upsampled_losses

CLASSIFIERS = ('linear', 'cosine')
COSINE_SCALE = 30.0  # of LDAM (arXiv 1906.07413)


@MODELS.register_module()
class LossHead:
    """The decode head ``base``, unchanged but for its last layer.

    ``LossHead(base='UPerHead', ...)`` is a ``UPerHead`` (a class ``LossUPerHead`` made of the two), so that
    ``decode_head=dict(type='mmimb.LossHead', base='UPerHead')`` merges over an inherited config. Where the base config has a
    list of heads, it is restated in full.

    Args:
        base: Type of a decode head that keeps the standard ``cls_seg`` and ``loss_by_feat``, such as ``'UPerHead'``.
        classifier: ``'linear'`` leaves the head as it is. ``'cosine'`` scores a pixel by the cosine between its feature and
            a direction per class, without a bias and in float32: no class wins by the size of its weights. The cosines are
            multiplied by 30, unless the losses of the head have a ``scale`` (LDAM, ELM), which then does it. A loss on raw
            outputs (``OutlyingMSELoss``) cannot pull them beyond that factor.
        upsample: How logits come to the size of the labels: ``'stock'``, as in mmseg; ``'strip'`` or ``'fused'``, without
            full-resolution logits, which only losses that are sums over pixels can do without; ``'auto'``, for each loss
            the fastest way there is. See :class:`mmimb.dispatch.Upsample`.
        head: Arguments of the base.

    Checkpoints: ``conv_seg.weight`` has the same shape in both; a cosine classifier has no ``conv_seg.bias``
    (decision offsets give it one: ``mmimb tune``).

    Raises:
        ValueError: ``base`` is unknown or cannot be wrapped, an argument is out of its range, or only some of the losses
            have a ``scale``.
    """

    wrapped: Any

    def __new__(cls, base: Any = None, *args: Any, **head: Any) -> LossHead:
        return super().__new__(head_class(_resolve(base)) if cls is LossHead else cls)

    def __init__(self, base: Any, classifier: str = 'linear', upsample: str = 'auto', **head: Any) -> None:
        if classifier not in CLASSIFIERS:
            raise ValueError(f'`classifier` must be one of {CLASSIFIERS}, got {classifier!r}')
        way = Upsample(upsample)  # refuses others before anything is built
        super().__init__(**head)
        conv = getattr(self, 'conv_seg', None)
        if type(conv) is not nn.Conv2d or conv.kernel_size != (1, 1) or conv.groups != 1:
            raise _refused(base, f'its conv_seg must be a 1x1 convolution and is {conv!r}')
        if classifier == 'cosine':
            self.conv_seg = CosineClassifier(conv.in_channels, conv.out_channels, _cosine_scale(self))
        self.upsample = way.mode
        announce(self)

    def loss_by_feat(self: Any, seg_logits: Tensor, batch_data_samples: Any) -> dict[str, Tensor]:
        """Return the losses and ``acc_seg`` as every mmseg head does.

        Where ``gt_sem_seg`` holds a map of 0, 1 and ``ignore_index`` for each class, ``acc_seg`` is the share of right labels.
        """
        label = self._stack_batch_gt(batch_data_samples).squeeze(1)
        several = label.ndim == seg_logits.ndim
        if several and self.sampler is not None:
            raise ValueError(f'`sampler` must be None where pixels have several labels, got {type(self.sampler).__name__}')
        if not several and (self.upsample == 'stock' or self.sampler is not None):
            return self.wrapped.loss_by_feat(self, seg_logits, batch_data_samples)
        return upsampled_losses(self, seg_logits, label)

    def __reduce_ex__(self, protocol: Any) -> Any:
        reduced: Any = super().__reduce_ex__(protocol)  # names the class, which no module holds
        return (_empty, (self.wrapped, ), *reduced[2:])


@cache
def head_class(base: type) -> type:
    """Return the class of a :class:`LossHead` over the head class ``base``; the same one every time.

    Raises:
        ValueError: The head cannot be wrapped.
    """
    reason = _obstacle(base)
    if reason:
        raise _refused(base.__name__, reason)
    body = {'wrapped': base, '__module__': __name__, '__doc__': base.__doc__}
    return new_class(f'Loss{base.__name__}', (LossHead, base), exec_body=lambda namespace: namespace.update(body))


def _empty(base: type) -> LossHead:
    return LossHead.__new__(head_class(base))


def _resolve(base: Any) -> type:
    from mmseg.registry import MODELS as HEADS

    found = HEADS.get(base) if isinstance(base, str) else base
    if not isinstance(found, type):
        raise ValueError(f"`base` must be the type of a registered decode head, such as 'UPerHead', got {base!r}")
    return found


def _obstacle(base: Any) -> str:
    """Return why the last layer of ``base`` cannot be exchanged; nothing if it can."""
    from mmseg.models.decode_heads.decode_head import BaseDecodeHead

    if issubclass(base, LossHead):
        return 'it is a LossHead itself'
    if not issubclass(base, BaseDecodeHead):
        return 'it is no decode head: no subclass of BaseDecodeHead'
    if base.loss_by_feat is not BaseDecodeHead.loss_by_feat:
        return 'it has a loss_by_feat of its own'
    if base.cls_seg is not BaseDecodeHead.cls_seg:
        return 'it has a cls_seg of its own'
    return '' if uses_cls_seg(base) else 'it never calls cls_seg'


def _refused(base: Any, reason: str) -> ValueError:
    return ValueError(f'`base` must be a decode head with the standard cls_seg and loss_by_feat, got {base!r} ({reason})')


def _cosine_scale(head: Any) -> float:
    """Return the classifier's own factor: 1 if all losses have a ``scale``, 30 if none has."""
    losses = head_losses(head)
    scaled = [loss_scale(loss) is not None for loss in losses]
    if any(scaled) and not all(scaled):
        names = {has: ', '.join(type(x).__name__ for x, s in zip(losses, scaled, strict=True) if s is has)
                 for has in (True, False)}
        raise ValueError("`loss_decode` must not mix losses with and without a `scale` under classifier='cosine' (they want "
                         f'cosines of different size), got {names[True]} with and {names[False]} without')
    return 1.0 if any(scaled) else COSINE_SCALE
