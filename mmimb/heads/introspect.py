"""What a decode head and its losses tell about themselves."""
from __future__ import annotations

import inspect
from collections.abc import Iterator
from numbers import Real
from types import CodeType
from typing import Any

from torch import nn

from ..loss_places import OF_QUERIES

ACTIVATIONS = ('none', 'softmax', 'sigmoid')


def unwrapped(model: Any) -> Any:
    """Return the segmentor inside what is wrapped around it, such as ``DistributedDataParallel``; its ``module``s have it."""
    while not hasattr(model, 'decode_head') and isinstance(getattr(model, 'module', None), nn.Module):
        model = model.module
    return model


def last_head(model: Any) -> Any:
    """Return the decode head whose output is the prediction of ``model``: the last of a cascade; None without one."""
    head = getattr(model, 'decode_head', None)
    return head[-1] if isinstance(head, nn.ModuleList) else head


def classifies_queries(head: Any) -> bool:
    """Return whether a head classifies queries and sums up their masks, as Mask2Former and what derives from it."""
    return any(kind.__name__ in OF_QUERIES for kind in type(head).__mro__)


def head_losses(head: nn.Module) -> list[nn.Module]:
    """Return the losses of a decode head, in the order of the config; of one that classifies queries the loss of their classes.

    There are none where a head keeps them in its own way.
    """
    of_queries = getattr(head, 'loss_cls', None)
    if isinstance(of_queries, nn.Module):
        return [of_queries]
    holder: Any = next((m for m in head.modules() if isinstance(getattr(m, 'loss_decode', None), nn.Module)), None)
    if holder is None:
        return []
    return list(holder.loss_decode) if isinstance(holder.loss_decode, nn.ModuleList) else [holder.loss_decode]


def prediction_loss(head: nn.Module) -> nn.Module | None:
    """Return the loss of a head that is given the logits of the prediction; None without losses.

    It is the first one, but for PIDNet's head, whose first loss is that of an auxiliary branch.
    """
    losses = head_losses(head)
    second = any(kind.__name__ == 'PIDHead' for kind in type(head).__mro__)
    return losses[1 if second else 0] if losses else None


def activation(loss: nn.Module | None) -> str:
    """Return what makes of logits that which ``loss`` compares with labels: ``'none'``, ``'softmax'`` or ``'sigmoid'``.

    Our losses say it. Of others, those with a true ``use_sigmoid`` or ``use_mask`` are sigmoid losses; the rest, and no loss
    at all, count as softmax, as everything does in mmseg.
    """
    own = getattr(loss, 'activation', None)
    if isinstance(own, str) and own in ACTIVATIONS:
        return own
    return 'sigmoid' if getattr(loss, 'use_sigmoid', False) or getattr(loss, 'use_mask', False) else 'softmax'


def loss_scale(loss: nn.Module | None) -> float | None:
    """Return the factor that ``loss`` multiplies its logits by, or None if it has no such argument."""
    scale = getattr(loss, 'scale', None)
    return float(scale) if isinstance(scale, Real) and not isinstance(scale, bool) else None


def uses_cls_seg(kind: type) -> bool:
    """Return whether a method of the head class ``kind``, those of ``BaseDecodeHead`` left out, calls ``cls_seg``."""
    from mmseg.models.decode_heads.decode_head import BaseDecodeHead

    own = [c for c in kind.__mro__ if issubclass(c, BaseDecodeHead) and c is not BaseDecodeHead]
    return any('cls_seg' in code.co_names for c in own for method in vars(c).values() for code in _codes(method))


def _codes(method: Any) -> Iterator[CodeType]:
    code = getattr(inspect.unwrap(method), '__code__', None) if callable(method) else None
    stack = [code] if code is not None else []
    while stack:
        code = stack.pop()
        yield code
        stack += [c for c in code.co_consts if isinstance(c, CodeType)]  # functions and comprehensions inside
